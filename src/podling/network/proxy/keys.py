"""How addresses, protocols and ports stand in the sets of a table: as bytes, in registers of four.

Owns the forms of keys and values, of either address family. A frontend, where a Service is called, is an address, a
protocol and a port; keys that are about one begin with it. Pure. Invariant: what a key is of is told by its length, so
that nobody who has one needs to be told its family.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation.addresses import parse

if TYPE_CHECKING:
    from podling.linux.families import Family

_TAIL: Final = 8
"""Bytes of a frontend behind its address."""


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
