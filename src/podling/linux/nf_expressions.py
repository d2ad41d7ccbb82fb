"""What rules are made of: the expressions of the kernel's packet filter, as bytes.

Owns their encoding. An expression loads into, compares or uses registers; `REGISTERS` are sixteen of four bytes, and
what is looked up together (an address, a protocol, a port) stands in consecutive ones. Pure. Invariant: nothing here
depends on the version of any program; what `nft list` shows of it is the same rules in nft's own words.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from podling.linux.families import IPV4, Family

REGISTERS: Final = range(8, 24)
DROP, ACCEPT, JUMP, GOTO, RETURN = 0, 1, -3, -4, -5
ESTABLISHED, RELATED, NEW = 2, 4, 8
"""Bits of a connection's state."""
DNAT: Final = 1 << 5
"""Bit of a connection's status: its destination was rewritten."""
LOCAL: Final = 2
"""The type of an address that is the node's own."""
_NESTED: Final = 0x8000


def attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (-length % 4)


def nested(kind: int, *parts: bytes) -> bytes:
    return attribute(kind | _NESTED, b"".join(parts))


def number(kind: int, value: int) -> bytes:
    """Return a 32-bit attribute."""
    return attribute(kind, struct.pack(">I", value & 0xFFFFFFFF))


def text(kind: int, value: str) -> bytes:
    return attribute(kind, value.encode() + b"\0")


def value_of(data: bytes) -> bytes:
    return attribute(1, data)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a packet: `DROP`, `ACCEPT`, `RETURN`, or on to a chain by `JUMP` or `GOTO`."""

    code: int
    chain: str = ""

    def encoded(self) -> bytes:
        return nested(2, number(1, self.code), text(2, self.chain) if self.chain else b"")


def goto(chain: str) -> Verdict:
    return Verdict(GOTO, chain)


def _expression(name: str, *parts: bytes) -> bytes:
    return nested(1, text(1, name), nested(2, *parts))


def _payload(base: int, offset: int, length: int, register: int) -> bytes:
    return _expression("payload", number(1, register), number(2, base), number(3, offset), number(4, length))


def source(register: int = 8, family: Family = IPV4) -> bytes:
    """Load the source address of a packet of a family, into as many registers as it takes."""
    return _payload(1, family.source_at, family.size, register)


def destination(register: int = 8, family: Family = IPV4) -> bytes:
    """Load the destination address of a packet of a family."""
    return _payload(1, family.destination_at, family.size, register)


def destination_port(register: int = 8) -> bytes:
    return _payload(2, 2, 2, register)


def message_type(register: int = 8) -> bytes:
    """Load what an ICMP message of either family is."""
    return _payload(2, 0, 1, register)


def returned_destination(register: int = 8, family: Family = IPV4) -> bytes:
    """Load where the packet was sent that an ICMP error of a family is about, which it has behind its own header."""
    return _payload(2, 8 + family.destination_at, family.size, register)


def _meta(key: int, register: int) -> bytes:
    return _expression("meta", number(1, register), number(2, key))


def mark(register: int = 8) -> bytes:
    return _meta(3, register)


def set_mark(register: int = 8) -> bytes:
    return _expression("meta", number(2, 3), number(3, register))


def input_link(register: int = 8) -> bytes:
    """Load the name of the interface that a packet came in by, sixteen bytes."""
    return _meta(6, register)


def output_link(register: int = 8) -> bytes:
    """Load the name of the interface that a packet leaves by, sixteen bytes."""
    return _meta(7, register)


def of_family(family: Family, *, inverted: bool = False) -> bytes:
    """Go on only if the packet is of a family; uses the first register."""
    return _meta(15, 8) + equal(bytes((family.number,)), inverted=inverted)


def protocol(register: int = 8) -> bytes:
    return _meta(16, register)


def connection_state(register: int = 8) -> bytes:
    return _expression("ct", number(1, register), number(2, 0))


def connection_status(register: int = 8) -> bytes:
    return _expression("ct", number(1, register), number(2, 2))


def _original(key: int, register: int) -> bytes:
    return _expression("ct", number(1, register), number(2, key), attribute(3, b"\0"))


def original_source(register: int = 8, family: Family = IPV4) -> bytes:
    """Load who made the connection, whatever was rewritten since."""
    return _original(19 if family is IPV4 else 21, register)


def original_destination(register: int = 8, family: Family = IPV4) -> bytes:
    """Load whom the caller asked for."""
    return _original(20 if family is IPV4 else 22, register)


def original_port(register: int = 8) -> bytes:
    return _original(12, register)


def address_type(register: int = 8, *, of_source: bool = False) -> bytes:
    """Load what kind of address the destination (or the source) is to this node: see `LOCAL`."""
    return _expression("fib", number(1, register), number(2, 3), number(3, 1 if of_source else 2))


def random(modulus: int, register: int = 8, *, offset: int = 0) -> bytes:
    """Load one of `modulus` numbers from `offset` on, each as likely as the others."""
    return _expression("numgen", number(1, register), number(2, modulus), number(3, 1), number(4, offset))


def constant(data: bytes, register: int = 8) -> bytes:
    return _expression("immediate", number(1, register), nested(2, value_of(data)))


def equal(data: bytes, register: int = 8, *, inverted: bool = False) -> bytes:
    """Go on only if the register begins with `data`."""
    return _expression("cmp", number(1, register), number(2, int(inverted)), nested(3, value_of(data)))


def within(first: bytes, last: bytes, register: int = 8) -> bytes:
    """Go on only if the register, in network order, is one of those from `first` to `last`."""
    return b"".join(
        _expression("cmp", number(1, register), number(2, operator), nested(3, value_of(data)))
        for operator, data in ((5, first), (3, last))
    )


def bits(mask: int, register: int = 8, *, flip: int = 0) -> bytes:
    """Keep the bits of `mask` of a register in host order, and flip those of `flip`."""
    return masked(struct.pack("=I", mask), register, flip=struct.pack("=I", flip))


def masked(mask: bytes, register: int = 8, *, flip: bytes = b"") -> bytes:
    return _expression(
        "bitwise",
        number(1, register),
        number(2, register),
        number(3, len(mask)),
        nested(4, value_of(mask)),
        nested(5, value_of(flip or bytes(len(mask)))),
    )


def lookup(name: str, register: int = 8, *, into: int | None = None, inverted: bool = False) -> bytes:
    """Go on only if the set holds what stands from `register` on; of a map, load `into` the value (0: the verdict)."""
    parts = [text(1, name), number(2, register)]
    if into is not None:
        parts.append(number(3, into))
    if inverted:
        parts.append(number(5, 1))
    return _expression("lookup", *parts)


def learn(name: str, key: int, *, value: int | None = None, timeout: float = 0.0, limit: int | None = None) -> bytes:
    """Put what stands from `key` on into a set; with `limit` go on only if it holds more connections than that."""
    parts = [text(1, name), number(3, 0 if limit is not None else 1), number(4, key)]
    if value is not None:
        parts.append(number(5, value))
    if timeout:
        parts.append(attribute(6, struct.pack(">Q", int(timeout * 1000))))
    if limit is not None:
        parts.append(nested(7, text(1, "connlimit"), nested(2, number(1, limit), number(2, 1))))
    return _expression("dynset", *parts)


def verdict(what: Verdict) -> bytes:
    return _expression("immediate", number(1, 0), nested(2, what.encoded()))


def destination_nat(register: int = 8, family: Family = IPV4) -> bytes:
    """Send the connection to the address and port that stand from `register` on; ends the chain."""
    port = register + family.registers
    return _expression("nat", number(1, 1), number(2, family.number), number(3, register), number(5, port))


_RANDOM_PORTS: Final = 1 << 4


def source_nat(register: int = 8, family: Family = IPV4) -> bytes:
    """Let the connection come from the address in `register`, from any port; ends the chain."""
    return _expression("nat", number(1, 0), number(2, family.number), number(3, register), number(7, _RANDOM_PORTS))


def masquerade() -> bytes:
    """Let the connection come from the node's address on the way out, from any port; ends the chain."""
    return _expression("masq", number(1, _RANDOM_PORTS))


def reject_tcp() -> bytes:
    return _expression("reject", number(1, 1))


def reject() -> bytes:
    """Answer that the port cannot be reached."""
    return _expression("reject", number(1, 2), attribute(2, b"\1"))


def counted(name: str) -> bytes:
    """Count the packet with the table's counter of that name."""
    return _expression("objref", number(1, 1), text(2, name))


def limited(rate: int, burst: int) -> bytes:
    """Go on only for `rate` packets in a second, and `burst` at once."""
    second = 1
    return _expression(
        "limit",
        attribute(1, struct.pack(">Q", rate)),
        attribute(2, struct.pack(">Q", second)),
        number(3, burst),
        number(4, 0),
    )


def logged(group: int, prefix: str, length: int) -> bytes:
    """Hand the first `length` bytes of the packet, one packet at a time, to who listens to `group`."""
    return _expression(
        "log", attribute(1, struct.pack(">H", group)), text(2, prefix), number(3, length), attribute(4, b"\0\1")
    )
