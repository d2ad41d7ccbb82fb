"""The Pod ranges of an instance, one for each family that it has, and its nodes' parts of them.

IPv4: 10.244.0.0/16 where it is free, else the next /16 that is, a /24 for each node. IPv6: fd00:10:244::/56, else the
next such network that is free, a /64 for each node. Owns the choice and the division. Pure. Invariants: a range never
overlaps a route of the machine that is not the instance's own; once chosen it stays (addresses of running Pods depend
on it) until it is taken away by `down`.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from podling.linux.families import IPV4, IPV6, Address, Family, Network, family_of

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT: Final[Network] = ip_network("10.244.0.0/16")
PREFERRED: Final = {IPV4: DEFAULT, IPV6: ip_network("fd00:10:244::/56")}
NODE_PREFIX: Final = {IPV4: 24, IPV6: 64}
"""A node's part of the range: upstream's sizes."""
_AROUND: Final = {IPV4: 8, IPV6: 32}
"""Candidates have so many bits in common."""
_APART: Final = {IPV4: 32, IPV6: 48}
"""At the latest behind so many bits they differ: one group of an IPv6 address tells them apart."""


class NoRange(Exception):
    """Every candidate overlaps something."""


@dataclass(frozen=True, slots=True)
class NodeRange:
    """A node's addresses of one family."""

    cluster: Network
    """Of all Pods and nodes of the instance."""
    own: Network
    """The node's part of it."""

    @property
    def family(self) -> Family:
        return family_of(self.own)

    @property
    def gateway(self) -> Address:
        """The node's own address, its first: Pods reach the node there, and it calls them from there."""
        return self.own.network_address + 1


def candidates(first: Network = DEFAULT) -> Iterable[Network]:
    """Yield the ranges to try, the preferred one first, then upwards and around within its /8, or /32 of IPv6."""
    yield first
    family = family_of(first)
    whole = 1 << family.bits - _AROUND[family]
    step = 1 << family.bits - min(first.prefixlen, _APART[family])
    offset = start = int(first.network_address) % whole
    base = int(first.network_address) - start
    while (offset := (offset + step) % whole) != start:
        yield ip_network((base + offset, first.prefixlen))


def choose(taken: Iterable[Network], first: Network = DEFAULT) -> Network:
    """Return the first candidate that overlaps nothing taken; default routes and the other family take nothing."""
    occupied = [network for network in taken if network.prefixlen and network.version == first.version]
    for candidate in candidates(first):
        if not any(overlap(candidate, network) for network in occupied):
            return candidate
    family = family_of(first)
    around = first.supernet(new_prefix=_AROUND[family])
    raise NoRange(f"no free range of the size of {first} is left within {around}")


def overlap(one: Network, other: Network) -> bool:
    """Whether two networks have an address in common; those of two families have none."""
    return one.version == other.version and one.overlaps(other)


def is_part(one: Network, whole: Network) -> bool:
    """Whether all addresses of a network are in another."""
    return overlap(one, whole) and one.prefixlen >= whole.prefixlen


def part_of(cluster: Network, number: int) -> Network:
    """Return the range of a node, `number` from 0; `NoRange` if the cluster's has no such part."""
    family = family_of(cluster)
    prefix = max(NODE_PREFIX[family], cluster.prefixlen)
    size = 1 << family.bits - prefix
    first = int(cluster.network_address) + number * size
    if first > int(cluster.broadcast_address):
        raise NoRange(f"{cluster} has ranges for {cluster.num_addresses // size} nodes")
    return ip_network((first, prefix))
