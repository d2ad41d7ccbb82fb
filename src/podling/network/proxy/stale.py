"""Connections without an end (UDP) that lead to endpoints which are not chosen any more: the kernel is to forget them.

Owns which frontends to look at after a change, and the looking. A client that goes on sending from one port would else
go on being sent where it was sent first: to an endpoint that is gone, or past a Service that was not there yet.
Invariant: a connection that leads to an endpoint still chosen is left alone.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from podling.linux.conntrack import UDP, Conntrack
from podling.network.proxy.chains import ANY_ADDRESS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.linux.conntrack import Tuple
    from podling.network.proxy.rules import ServiceRules


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
    count = 0
    try:
        for key, targets in frontends.items():
            address = "" if key.startswith(ANY_ADDRESS) else socket.inet_ntoa(key[:4])
            for entry in list(table.towards(UDP, int.from_bytes(key[8:10], "big"), address)):
                if _answering(entry.reply) not in targets:
                    count += table.delete(entry)
    finally:
        table.close()
    return count


def _answering(reply: Tuple) -> bytes:
    return socket.inet_aton(reply.source) + reply.source_port.to_bytes(2, "big") + b"\0\0"
