"""Connections without an end (UDP) that lead to endpoints which are not chosen any more: the kernel is to forget them.

Owns which frontends to look at after a change, and the looking. A client that goes on sending from one port would else
go on being sent where it was sent first: to an endpoint that is gone, or past a Service that was not there yet.
Invariants: a connection that leads to an endpoint still chosen is left alone, and so is one that is to no address of
the Service's: a port of the node is one of the node's own addresses, and nobody else's of that number.
"""

from __future__ import annotations

import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from podling.linux import namespaces
from podling.linux.conntrack import UDP, Conntrack
from podling.linux.netlink import Netlink
from podling.network.proxy.chains import ANY_ADDRESS
from podling.network.proxy.rules import frontend_key

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from podling.linux.conntrack import Entry, Tuple
    from podling.linux.families import Address
    from podling.network.proxy.rules import ServiceRules

_FEW: Final = 8
"""Of more frontends than that all connections are read once: the kernel goes through its whole table each time."""


def to_look_at(changes: Mapping[str, tuple[ServiceRules, ServiceRules]]) -> dict[bytes, frozenset[bytes]]:
    """Return the frontends that lost an endpoint, have their first, or are gone; each with the endpoints it has now."""
    found: dict[bytes, frozenset[bytes]] = {}
    for before, after in changes.values():
        for key in (*before.remembered, *(key for key in after.remembered if key not in before.remembered)):
            if key[4] != UDP:
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
        own = namespaces.inside(namespace, _own_addresses)
        stale = [entry for entry in _candidates(table, frontends) if is_stale(entry, frontends, own)]
        return sum(table.delete(entry) for entry in stale)
    finally:
        table.close()


def _candidates(table: Conntrack, frontends: Mapping[bytes, frozenset[bytes]]) -> Iterator[Entry]:
    if len(frontends) > _FEW:
        yield from table.towards(UDP)
        return
    for key in frontends:
        address = "" if key.startswith(ANY_ADDRESS) else socket.inet_ntoa(key[:4])
        yield from table.towards(UDP, int.from_bytes(key[8:10], "big"), address)


def _own_addresses() -> frozenset[Address]:
    with Netlink() as netlink:
        return netlink.addresses()


def is_stale(entry: Entry, frontends: Mapping[bytes, frozenset[bytes]], own: frozenset[Address]) -> bool:
    """Whether a connection is to one of `frontends`, and to none of its endpoints; `own` are the node's addresses."""
    asked = entry.original
    key = frontend_key(asked.destination, UDP, asked.destination_port)
    targets = frontends.get(key)
    if targets is None and ANY_ADDRESS + key[4:] in frontends:
        address = ip_address(asked.destination)
        targets = frontends[ANY_ADDRESS + key[4:]] if address in own or address.is_loopback else None
    return targets is not None and _answering(entry.reply) not in targets


def _answering(reply: Tuple) -> bytes:
    return socket.inet_aton(reply.source) + reply.source_port.to_bytes(2, "big") + b"\0\0"
