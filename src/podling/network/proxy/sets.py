"""The sets and maps of a table, and how addresses, protocols and ports stand in them: as bytes, in registers of four.

Owns their names and the forms of keys and values, of either address family. A frontend, where a Service is called, is
an address, a protocol and a port; keys that are about one begin with it. Pure. Invariant: a frontend's key has its
address first and a tail of fixed length, so that nobody who has one needs to be told its family.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from podling.api.validation.addresses import parse
from podling.linux.nf_tables import DYNAMIC, INTERVAL, TIMEOUT, NamedSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.linux.families import Family

SERVICES, UNSERVED, STICKY, ENDPOINTS, AFFINITY = "services", "unserved", "sticky", "endpoints", "affinity"
FIREWALLED, SOURCES, CLUSTER, HAIRPINS = "firewalled", "sources", "cluster-addresses", "hairpins"
CONNECTIONS: Final = "connections"
OF_FRONTENDS: Final = frozenset((SERVICES, UNSERVED, STICKY, ENDPOINTS, FIREWALLED, SOURCES))
"""The sets whose keys begin with a frontend."""

PORTLESS: Final = ip_address("::1").packed
"""The one address of a node at which it has no ports: the kernel forwards nothing from there, and upstream has none."""
_TAIL: Final = 8
"""Bytes of a frontend behind its address."""


def of(family: Family) -> Sequence[NamedSet]:
    """Return the sets and maps of a family's table."""
    address = family.field
    frontend, target = (address, "protocol", "port"), (address, "port")
    return (
        NamedSet(SERVICES, frontend, ()),
        NamedSet(UNSERVED, frontend, ()),
        NamedSet(STICKY, frontend, ()),
        NamedSet(ENDPOINTS, (*frontend, "number"), target),
        NamedSet(AFFINITY, (address, *frontend), target, TIMEOUT | DYNAMIC, 1 << 16),
        NamedSet(FIREWALLED, frontend),
        NamedSet(SOURCES, (*frontend, address), flags=INTERVAL),
        NamedSet(CLUSTER, (address,)),
        NamedSet(HAIRPINS, (address, address)),
        NamedSet(CONNECTIONS, (address,), flags=DYNAMIC, size=1 << 16),
    )


def any_address(family: Family) -> bytes:
    """Return what stands in keys for every address that is the node's own."""
    return bytes(family.size)


def packed(text: str) -> bytes:
    """Return an address of an object, which is known to be one."""
    address = parse(text)
    assert address is not None, text
    return address.packed


def frontend_key(address: bytes, protocol: int, port: int) -> bytes:
    """Return the key of a frontend."""
    return address + bytes((protocol, 0, 0, 0)) + port.to_bytes(2, "big") + b"\0\0"


def frontend_bytes(family: Family) -> int:
    """Return how long the key of a frontend is."""
    return family.size + _TAIL


def parts_of(frontend: bytes) -> tuple[bytes, int, int]:
    """Return the address, protocol and port that a key is made of."""
    return frontend[:-_TAIL], frontend[-_TAIL], int.from_bytes(frontend[-4:-2], "big")


def is_any(address: bytes) -> bool:
    return not any(address)


def at_any_address(frontend: bytes) -> bytes:
    """Return the key of the same port at every address that is the node's own."""
    return bytes(len(frontend) - _TAIL) + frontend[-_TAIL:]


def target_value(address: bytes, port: int) -> bytes:
    """Return the value that leads to an endpoint."""
    return address + port.to_bytes(2, "big") + b"\0\0"
