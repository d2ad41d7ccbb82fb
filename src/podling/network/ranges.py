"""The Pod range of an instance, 10.244.0.0/16 where it is free, else the next /16 that is; and its nodes' parts of it.

Pure but for the reservation. Owns the choice; invariants: a range never overlaps a route of the machine that is not the
instance's own; once chosen it stays (addresses of running Pods depend on it) until it is taken away by `down`.
"""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

DEFAULT = IPv4Network("10.244.0.0/16")
NODE_PREFIX = 24
"""A node's part of the range: upstream's size."""


class NoRange(Exception):
    """Every candidate overlaps something."""


def candidates(first: IPv4Network = DEFAULT) -> Iterable[IPv4Network]:
    """Yield the ranges to try, the preferred one first, then upwards and around within its /8."""
    yield first
    base = int(first.network_address) >> 24 << 24
    step = 1 << (32 - first.prefixlen)
    offset = int(first.network_address) - base
    while (offset := (offset + step) % (1 << 24)) != int(first.network_address) - base:
        yield IPv4Network((base + offset, first.prefixlen))


def choose(taken: Iterable[IPv4Network], first: IPv4Network = DEFAULT) -> IPv4Network:
    """Return the first candidate that overlaps nothing taken; the default route takes nothing."""
    occupied = [network for network in taken if network.prefixlen]
    for candidate in candidates(first):
        if not any(candidate.overlaps(network) for network in occupied):
            return candidate
    raise NoRange(f"no free range of the size of {first} is left below 10.0.0.0/8; give one with --pod-cidr")


def part_of(cluster: IPv4Network, number: int) -> IPv4Network:
    """Return the range of a node, `number` from 0; `NoRange` if the cluster's has no such part."""
    size = 1 << (32 - max(NODE_PREFIX, cluster.prefixlen))
    first = int(cluster.network_address) + number * size
    if first > int(cluster.broadcast_address):
        raise NoRange(f"{cluster} has ranges for {cluster.num_addresses // size} nodes")
    return IPv4Network((first, max(NODE_PREFIX, cluster.prefixlen)))
