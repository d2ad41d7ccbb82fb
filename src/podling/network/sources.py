"""Who may send from which address, and as whom the world sees Pods: the rules of one node's table.

    from a Pod's link      its own address, by a set of pairs; nothing else, and no IPv6
    from a node's link     that node's range; nothing else, and no IPv6
    from anywhere else     nothing with an address of the instance's
    to the world           from the machine's address

Owns the rules; the table and its set are `podnetwork`'s. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podling.linux import nf_expressions as nf
from podling.linux.families import IPV4
from podling.linux.nf_tables import Element, NamedSet
from podling.network.links import UPLINK

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from podling.linux.families import Address, Network
    from podling.linux.nf_tables import Batch

LINKS: Final = NamedSet("links", ("link", "address"))
"""Which address comes from which Pod's link."""
_NAME_BYTES: Final = 16
_ACCEPT: Final = nf.verdict(nf.Verdict(nf.ACCEPT))
_DROP: Final = nf.verdict(nf.Verdict(nf.DROP))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who sends to a node, by which links."""

    cluster: Network
    """The range of all Pods and nodes."""
    own: Network
    """The node's part of it."""
    links: str
    """What the names of links to Pods begin with."""
    node_links: str = ""
    """The same of links to further nodes; empty on those, whose only neighbour is the machine."""
    nodes: Mapping[str, Network] | None = None
    """By its link, the range of each further node."""


def lay_down(batch: Batch, around: Surroundings) -> None:
    """Replace the table by one without Pods."""
    batch.replace_table()
    batch.add_set(LINKS)
    batch.add_chain("source", "filter", "prerouting", -310)
    for rule in _sources(around):
        batch.add_rule("source", *rule)
    batch.add_chain("outside", "nat", "postrouting", 100)
    if around.node_links:
        batch.add_rule("outside", *_to_the_world(around))


def element(link: str, address: Address) -> Element:
    """Return what lets a Pod's link pass its address."""
    return Element(_exactly(link) + address.packed)


def _sources(around: Surroundings) -> Iterator[Sequence[bytes]]:
    from_pods = (nf.input_link(), nf.equal(around.links.encode()))
    from_nodes = (nf.input_link(), nf.equal(around.node_links.encode()))
    other_family = (nf.of_family(IPV4, inverted=True),)
    yield *other_family, *from_pods, _DROP
    if around.node_links:
        yield *other_family, *from_nodes, _DROP
    yield *other_family, _ACCEPT
    for link, network in (around.nodes or {}).items():
        yield nf.input_link(), nf.equal(_exactly(link)), nf.source(), *_within(network), _ACCEPT
    not_from_pods = (nf.input_link(), nf.equal(around.links.encode(), inverted=True))
    if around.node_links:
        yield *from_nodes, _DROP
        not_from_here = (nf.input_link(), nf.equal(_exactly("lo"), inverted=True), *not_from_pods)
        yield *not_from_here, nf.source(), *_within(around.cluster), _DROP
    else:
        yield nf.input_link(), nf.equal(_exactly(UPLINK)), nf.source(), *_within(around.own), _DROP
    yield *not_from_pods, _ACCEPT
    yield nf.input_link(8), nf.source(12), nf.lookup(LINKS.name, 8), _ACCEPT
    yield (_DROP,)


def _to_the_world(around: Surroundings) -> Sequence[bytes]:
    return (
        nf.of_family(IPV4),
        nf.source(), *_within(around.cluster),
        nf.destination(), *_within(around.cluster, inverted=True),
        nf.output_link(), nf.equal(around.links.encode(), inverted=True),
        nf.address_type(of_source=True), nf.equal(struct.pack("=I", nf.LOCAL), inverted=True),
        nf.masquerade(),
    )  # fmt: skip


def _within(network: Network, *, inverted: bool = False) -> Sequence[bytes]:
    return nf.masked(network.netmask.packed), nf.equal(network.network_address.packed, inverted=inverted)


def _exactly(link: str) -> bytes:
    return link.encode().ljust(_NAME_BYTES, b"\0")
