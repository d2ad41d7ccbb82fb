"""Connections without an end (UDP) that lead to endpoints which are not chosen any more: the kernel is to forget them.

Owns which frontends to look at after a change, and the looking, which goes on beside all else. A client that goes on
sending from one port would else go on being sent where it was sent first: to an endpoint that is gone, or past a
Service that was not there yet. Invariants: a connection that leads to an endpoint still chosen is left alone, and so
is one that is to no address of the Service's: a port of the node is one of the node's own addresses, and nobody
else's of that number.
"""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from podling.linux import namespaces
from podling.linux.conntrack import UDP, Conntrack
from podling.linux.families import FAMILIES
from podling.linux.netlink import Netlink
from podling.network.proxy.sets import (
    PORTLESS,
    at_any_address,
    frontend_bytes,
    frontend_key,
    is_any,
    parts_of,
    target_value,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from podling.linux.conntrack import Entry, Tuple
    from podling.linux.families import Address, Family
    from podling.network.proxy.rules import ServiceRules

_FEW: Final = 8
"""Of more frontends than that all connections are read once: the kernel goes through its whole table each time."""


class StaleFlows:
    """Has the kernel of one node forget what changes of the rules leave behind."""

    def __init__(self, namespace: str, rid: Callable[[int], object]) -> None:
        """`rid` is told up to which revision everything is in the rules, and the kernel is rid of what it left."""
        self._namespace = namespace
        self._rid = rid
        self._noted: dict[bytes, frozenset[bytes]] = {}
        self._revision = 0
        self._kicked = asyncio.Event()

    def note(self, changes: Mapping[str, tuple[ServiceRules, ServiceRules]]) -> None:
        """Remember what changes leave behind, until they are settled."""
        self._noted |= to_look_at(changes)

    def settled(self, revision: int) -> None:
        """Hear that everything up to a revision is in the rules, and was noted."""
        self._revision = revision
        self._kicked.set()

    async def forget(self) -> None:
        """Let the kernel forget, for ever; a component of the supervisor."""
        while True:
            await self._kicked.wait()
            self._kicked.clear()
            noted, self._noted = self._noted, {}
            revision = self._revision
            try:
                if noted:  # it goes through the whole table of connections for them, which takes a while
                    await asyncio.to_thread(forget, self._namespace, noted)
            except OSError:
                self._noted = {**noted, **self._noted}
                self._kicked.set()
                raise
            self._rid(revision)


def to_look_at(changes: Mapping[str, tuple[ServiceRules, ServiceRules]]) -> dict[bytes, frozenset[bytes]]:
    """Return the frontends that lost an endpoint, have their first, or are gone; each with the endpoints it has now."""
    found: dict[bytes, frozenset[bytes]] = {}
    for before, after in changes.values():
        for key in (*before.remembered, *(key for key in after.remembered if key not in before.remembered)):
            if parts_of(key)[1] != UDP:
                continue
            had = before.remembered[key].targets if key in before.remembered else frozenset()
            has = after.remembered[key].targets if key in after.remembered else frozenset()
            if had - has or (has and not had):
                found[key] = found.get(key, frozenset()) | has
    return found


def forget(namespace: str, frontends: Mapping[bytes, frozenset[bytes]]) -> int:
    """Delete the connections to frontends that lead to none of their endpoints; return how many there were. Blocks."""
    table = Conntrack(namespace)
    try:
        return sum(_forget(namespace, table, family, frontends) for family in FAMILIES)
    finally:
        table.close()


def _forget(namespace: str, table: Conntrack, family: Family, frontends: Mapping[bytes, frozenset[bytes]]) -> int:
    ours = {key: targets for key, targets in frontends.items() if len(key) == frontend_bytes(family)}
    if not ours:
        return 0
    own = namespaces.inside(namespace, lambda: _own_addresses(family))
    stale = [entry for entry in _candidates(table, family, ours) if is_stale(entry, ours, own)]
    return sum(table.delete(entry) for entry in stale)


def _candidates(table: Conntrack, family: Family, frontends: Iterable[bytes]) -> Iterator[Entry]:
    keys = list(frontends)
    if len(keys) > _FEW:
        yield from table.towards(UDP, family=family)
        return
    for key in keys:
        address, _, port = parts_of(key)
        named = "" if is_any(address) else socket.inet_ntop(family.number, address)
        yield from table.towards(UDP, port, named, family=family)


def _own_addresses(family: Family) -> frozenset[Address]:
    with Netlink() as netlink:
        return netlink.addresses(family)


def is_stale(entry: Entry, frontends: Mapping[bytes, frozenset[bytes]], own: frozenset[Address]) -> bool:
    """Whether a connection is to one of `frontends`, and to none of its endpoints; `own` are the node's addresses."""
    asked = ip_address(entry.original.destination)
    key = frontend_key(asked.packed, UDP, entry.original.destination_port)
    targets = frontends.get(key)
    if targets is None and _has_ports(asked, own):
        targets = frontends.get(at_any_address(key))
    return targets is not None and _answering(entry.reply) not in targets


def _has_ports(address: Address, own: frozenset[Address]) -> bool:
    """Whether the node's ports are at an address; all of 127.0.0.0/8 is its own."""
    return address.packed != PORTLESS and (address.is_loopback or address in own)


def _answering(reply: Tuple) -> bytes:
    return target_value(ip_address(reply.source).packed, reply.source_port)
