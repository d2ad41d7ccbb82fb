"""Who may send from which address, and as whom the world sees Pods: the rules of one node's table.

    from a Pod's link      its own addresses, by a set of pairs; nothing else, nor errors about what was not sent to it
    from a node's link     that node's ranges, and what CNI plugins gave its Pods; nothing else
    from anywhere else     nothing with an address of the instance's
    to the world           from the machine's address

A family that the instance has not is let through by none of its links. Owns the rules and their sets, one for each
family; the table is `podnetwork`'s. Pure.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podling.linux import nf_expressions as nf
from podling.linux.families import FAMILIES, IPV4, IPV6, family_of
from podling.linux.nf_tables import Element, NamedSet
from podling.network.links import UPLINK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from podling.linux.families import Address, Family, Network
    from podling.linux.nf_tables import Batch
    from podling.network.ranges import NodeRange

_LINKS: Final = {family: NamedSet(f"links{family.suffix}", ("link", family.field)) for family in FAMILIES}
"""Which address comes from which link, where a range does not tell."""
_NAME_BYTES: Final = 16
_BEFORE_FRAGMENTS: Final = -450
"""The kernel puts fragments together at -400, whichever links they came by: each is judged before."""
_BEFORE_CONNECTIONS: Final = -310
"""At -200 the kernel looks for the connection that an error is about: policies let it pass as a part of that."""
_ERRORS: Final = {IPV4: (1, ((3, 5), (11, 12))), IPV6: (58, ((0, 127),))}
"""By family, the protocol of its errors and their types; an IPv4 redirect is one of them."""
_ACCEPT: Final = nf.verdict(nf.Verdict(nf.ACCEPT))
_DROP: Final = nf.verdict(nf.Verdict(nf.DROP))


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Who sends to a node, by which links."""

    ranges: Sequence[NodeRange]
    """The node's, of each family that the instance has."""
    links: str
    """What the names of links to Pods begin with."""
    node_links: str = ""
    """The same of links to further nodes; empty on those, whose only neighbour is the machine."""
    nodes: Mapping[str, Sequence[Network]] | None = None
    """By its link, the ranges of each further node."""


def lay_down(batch: Batch, around: Surroundings) -> None:
    """Replace the table by one without Pods."""
    batch.replace_table()
    batch.add_chain("source", "filter", "prerouting", _BEFORE_FRAGMENTS)
    batch.add_chain("errors", "filter", "prerouting", _BEFORE_CONNECTIONS)
    batch.add_chain("outside", "nat", "postrouting", 100)
    present = {each.family: each for each in around.ranges}
    for family in FAMILIES:
        own_chain = f"source{family.suffix}-of-links"
        batch.add_set(_LINKS[family])
        batch.add_chain(own_chain)
        rules = _sources(around, present[family]) if family in present else _nothing(around)
        for rule in rules:
            batch.add_rule(own_chain, *rule)
        batch.add_rule("source", nf.of_family(family), nf.verdict(nf.goto(own_chain)))
        if family in present:
            _judge_errors(batch, around.links, family)
        if around.node_links and family in present:
            batch.add_rule("outside", *_to_the_world(around, present[family]))


def let_through(batch: Batch, link: str, addresses: Iterable[Address]) -> None:
    """Let a link pass addresses: a Pod's own, or those of Pods behind a node's."""
    for name, element in _pairs(link, addresses):
        batch.add_elements(name, [element])


def let_through_no_more(batch: Batch, link: str, addresses: Iterable[Address]) -> None:
    """Undo `let_through`."""
    for name, element in _pairs(link, addresses):
        batch.delete_elements(name, [element])


def _pairs(link: str, addresses: Iterable[Address]) -> Iterator[tuple[str, Element]]:
    for address in addresses:
        yield _LINKS[family_of(address)].name, Element(_exactly(link) + address.packed)


def _nothing(around: Surroundings) -> Iterator[Sequence[bytes]]:
    """Yield the rules for a family that the instance has not."""
    for links in filter(None, (around.links, around.node_links)):
        yield nf.input_link(), nf.equal(links.encode()), _DROP


def _sources(around: Surroundings, node: NodeRange) -> Iterator[Sequence[bytes]]:
    family = node.family
    source = nf.source(family=family)
    for link, networks in (around.nodes or {}).items():
        for network in networks:
            if family_of(network) is family:
                yield nf.input_link(), nf.equal(_exactly(link)), source, *_within(network), _ACCEPT
    not_from_pods = (nf.input_link(), nf.equal(around.links.encode(), inverted=True))
    listed = (nf.input_link(8), nf.source(12, family), nf.lookup(_LINKS[family].name, 8))
    if around.node_links:
        from_nodes = (nf.input_link(), nf.equal(around.node_links.encode()))
        yield *from_nodes, *listed, _ACCEPT
        yield *from_nodes, _DROP
        not_from_here = (nf.input_link(), nf.equal(_exactly("lo"), inverted=True), *not_from_pods)
        yield *not_from_here, source, *_within(node.cluster), _DROP
    else:
        yield nf.input_link(), nf.equal(_exactly(UPLINK)), source, *_within(node.own), _DROP
    yield *not_from_pods, _ACCEPT
    yield *listed, _ACCEPT
    yield (_DROP,)


def _judge_errors(batch: Batch, links: str, family: Family) -> None:
    """Let no Pod tell others that a connection of theirs, which is none of its own, has failed or is narrow."""
    chain, (protocol, types) = f"errors{family.suffix}-of-links", _ERRORS[family]
    batch.add_chain(chain)
    about = (nf.input_link(8), nf.returned_destination(12, family), nf.lookup(_LINKS[family].name, 8))
    batch.add_rule(chain, *about, _ACCEPT)
    batch.add_rule(chain, _DROP)
    from_pods = (nf.input_link(), nf.equal(links.encode()), nf.of_family(family))
    for first, last in types:
        is_error = (
            nf.protocol(),
            nf.equal(bytes((protocol,))),
            nf.message_type(),
            nf.within(bytes((first,)), bytes((last,))),
        )
        batch.add_rule("errors", *from_pods, *is_error, nf.verdict(nf.goto(chain)))


def _to_the_world(around: Surroundings, node: NodeRange) -> Sequence[bytes]:
    family = node.family
    return (
        nf.of_family(family),
        nf.source(family=family), *_within(node.cluster),
        nf.destination(family=family), *_within(node.cluster, inverted=True),
        nf.output_link(), nf.equal(around.links.encode(), inverted=True),
        nf.address_type(of_source=True), nf.equal(struct.pack("=I", nf.LOCAL), inverted=True),
        nf.masquerade(),
    )  # fmt: skip


def _within(network: Network, *, inverted: bool = False) -> Sequence[bytes]:
    return nf.masked(network.netmask.packed), nf.equal(network.network_address.packed, inverted=inverted)


def _exactly(link: str) -> bytes:
    return link.encode().ljust(_NAME_BYTES, b"\0")
