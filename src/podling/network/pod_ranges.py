"""A node's ranges of Pod addresses where it stands: chosen, reserved by routes, and given up; and its own addresses.

Owns the choice of an instance's ranges against what else is there, and everything by which they show: an unreachable
route for each (which also answers for addresses that no Pod has), and the node's addresses on its loopback. Knows no
Pod and no rule. Blocking, in the network namespace of the thread that calls. Invariants: choosing and reserving are one
step under the lock of all instances of the machine; what a range has put up goes with the range.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Final

from podling.linux import files
from podling.linux.families import family_of
from podling.linux.netlink import PROTOCOL, Netlink
from podling.network.addresses import OWN, Addresses
from podling.network.ranges import NodeRange, choose, is_part, overlap, part_of
from podling.network.service_ranges import reserved

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from podling.linux.families import Address, Network

_LAST: Final = 0x7FFFFFF0
"""Metric of the routes that reserve."""


class RangeHeld(Exception):  # an outcome that the command words for its user
    """The first node has the instance's whole range, as an older Podling gave it, and its Pods' addresses need it."""


def choose_ranges(addresses: Addresses, preferred: Iterable[Network], run_root: Path, several: bool) -> None:
    """Take the instance's ranges, unless it has such that still are nobody else's, and the first node's parts.

    `preferred` has the range to try first of each family that the instance is to have; any other that it had goes.
    `RangeHeld` where there are `several` nodes and the first has what was to be the others'.
    """
    with files.locked(run_root / "ranges.lock"), Netlink() as netlink:
        known = {each.family: each for each in addresses.ranges}
        of_services = reserved(run_root)
        ranges = []
        for wanted in preferred:
            held = known.get(family_of(wanted))
            others = [*_of_others(netlink, wanted, held), *of_services]
            if held is None or any(overlap(held.cluster, other) for other in others if other.prefixlen):
                mine = choose(others, wanted)
                held = NodeRange(mine, part_of(mine, 0))
            elif held.own == held.cluster:
                held = _narrowed(addresses, held, several)
            ranges.append(held)
        _take(netlink, addresses, ranges)
        reserve(netlink, ranges)


def reserve(netlink: Netlink, ranges: Iterable[NodeRange]) -> None:
    """Keep ranges from others on the machine, and answer for those addresses of them that nobody has."""
    for each in ranges:
        netlink.add_route(each.cluster, unreachable=True, metric=_LAST)


def missing(addresses: Addresses) -> Sequence[Address]:
    """Return which of the node's own addresses it has no more."""
    held, families = addresses.held(), [each.family for each in addresses.ranges]
    own = [each.gateway for each in addresses.ranges]
    own += [address for name in OWN for address in held.get(name, ())]
    with Netlink() as netlink:
        there = {address for family in families for address in netlink.addresses(family)}
    return [address for address in own if address not in there]


def _of_others(netlink: Netlink, wanted: Network, held: NodeRange | None) -> Sequence[Network]:
    """Return where the machine knows a way to, of a family, but for what is the instance's own."""
    return [
        route.destination
        for route in netlink.routes(family_of(wanted))
        if not (held and route.protocol == PROTOCOL and is_part(route.destination, held.cluster))
    ]


def _narrowed(addresses: Addresses, whole: NodeRange, several: bool) -> NodeRange:
    """Leave the first node, which an older Podling gave the whole range, its part of it."""
    part = part_of(whole.cluster, 0)
    if addresses.narrow(part):
        return NodeRange(whole.cluster, part)
    if several:
        raise RangeHeld(f"Pods of the first node have addresses all over {whole.cluster}")
    return whole


def take_ranges(addresses: Addresses, ranges: Sequence[NodeRange]) -> None:
    """Take what a further node was given, and give up what it had."""
    with Netlink() as netlink:
        _take(netlink, addresses, ranges)


def _take(netlink: Netlink, addresses: Addresses, ranges: Sequence[NodeRange]) -> None:
    kept = {each.cluster for each in ranges}
    for each in addresses.ranges:
        if each.cluster not in kept:
            withdraw(netlink, each, addresses)
    addresses.set_ranges(ranges)


def settle(ranges: Iterable[NodeRange], *, parted: bool) -> None:
    """Give the node its own addresses; where its range is `parted` from the rest by a namespace, reserve it there."""
    with Netlink() as netlink:
        for each in ranges:
            if parted:
                netlink.add_route(each.own, unreachable=True, metric=_LAST)
            netlink.add_address(socket.if_nametoindex("lo"), each.gateway)


def add_to_loopback(addresses: Iterable[Address]) -> None:
    """Have the node answer on further addresses."""
    with Netlink() as netlink:
        for address in addresses:
            netlink.add_address(socket.if_nametoindex("lo"), address)


def withdraw(netlink: Netlink, node: NodeRange, addresses: Addresses) -> None:
    """Take away what a range of the node's has put up: routes, those to Pods too, and the node's own addresses."""
    for route in netlink.routes(node.family):
        if route.protocol == PROTOCOL and is_part(route.destination, node.cluster):
            netlink.delete_route(route.destination, metric=route.metric)
    held = addresses.held()
    own = [address for name in OWN for address in held.get(name, ()) if address in node.own]
    for address in (node.gateway, *own):
        netlink.delete_address(socket.if_nametoindex("lo"), address)
