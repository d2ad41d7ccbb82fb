"""Frames as a Pod with NET_RAW makes them: whatever addresses, headers and pieces it likes, past its own kernel's care."""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from podling.linux import namespaces
from podling.linux.families import IPV4, Address, Family, family_of
from podling.network.links import mac

UDP, ICMPV6, FRAGMENT, ARP = 17, 58, 44, 0x0806
_ETHERTYPE = {4: 0x0800, 6: 0x86DD}


def checksum(data: bytes) -> int:
    words = struct.unpack(f">{(len(data) + 1) // 2}H", data + b"\0" * (len(data) % 2))
    total = sum(words)
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF) or 0xFFFF


def packet(source: Address, destination: Address, protocol: int, payload: bytes, *, limit: int = 64) -> bytes:
    if source.version == 6:
        head = struct.pack(">IHBB", 6 << 28, len(payload), protocol, limit)
        return head + source.packed + destination.packed + payload
    return _ipv4(source, destination, protocol, payload, 0, 0)


def _ipv4(source: Address, destination: Address, protocol: int, payload: bytes, number: int, place: int) -> bytes:
    def head(sum_: int) -> bytes:
        fixed = struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(payload), number, place, 64, protocol, sum_)
        return fixed + source.packed + destination.packed

    return head(checksum(head(0))) + payload


def datagram(source: Address, destination: Address, port: int, payload: bytes, *, source_port: int = 4000) -> bytes:
    """Return a UDP datagram without its IP header."""
    size = 8 + len(payload)
    pseudo = source.packed + destination.packed + struct.pack(">II" if source.version == 6 else ">HH", *(
        (size, UDP) if source.version == 6 else (UDP, size)
    ))  # fmt: skip
    head = struct.pack(">HHH", source_port, port, size)
    return head + struct.pack(">H", checksum(pseudo + head + b"\0\0" + payload)) + payload


def message(source: Address, destination: Address, kind: int, body: bytes, *, code: int = 0) -> bytes:
    """Return an ICMPv6 message as neighbours and routers send them, in its packet."""
    head = struct.pack(">BBH", kind, code, 0)
    pseudo = source.packed + destination.packed + struct.pack(">II", len(head) + len(body), ICMPV6)
    summed = struct.pack(">BBH", kind, code, checksum(pseudo + head + body))
    return packet(source, destination, ICMPV6, summed + body, limit=255)


def unreachable(source: Address, destination: Address, about: bytes) -> bytes:
    """Return the error that a packet's port cannot be reached."""
    if source.version == 6:
        return message(source, destination, 1, bytes(4) + about, code=4)
    body = struct.pack(">BBHI", 3, 3, 0, 0) + about
    summed = struct.pack(">BBHI", 3, 3, checksum(body), 0) + about
    return packet(source, destination, 1, summed)


def pieces(
    source: Address, destination: Address, protocol: int, payload: bytes, number: int, at: int
) -> Sequence[bytes]:
    """Return a packet in two pieces, the first of `at` bytes, a multiple of 8."""
    made = []
    for offset, part, more in ((0, payload[:at], 1), (at, payload[at:], 0)):
        if source.version == 6:
            head = struct.pack(">BBHI", protocol, 0, offset | more, number)
            made.append(packet(source, destination, FRAGMENT, head + part))
        else:
            made.append(_ipv4(source, destination, protocol, part, number, more << 13 | offset // 8))
    return made


def asking(link: str, source: Address, whom: Address) -> bytes:
    """Return the ARP question of a neighbour."""
    return struct.pack(">HHBBH", 1, 0x0800, 6, 4, 1) + mac(link, 1) + source.packed + bytes(6) + whom.packed


class RawPod:
    """The inner end of a Pod's link, whose frames go to the node."""

    def __init__(self, pin: Path, link: str) -> None:
        self._link = link

        def opened() -> socket.socket:
            made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
            made.bind(("eth0", 0))
            return made

        self._socket = namespaces.inside(str(pin / "net"), opened)

    def send(self, data: bytes, ethertype: int = 0) -> None:
        kind = ethertype or _ETHERTYPE[data[0] >> 4]
        self._socket.send(mac(self._link, 0) + mac(self._link, 1) + struct.pack(">H", kind) + data)

    def close(self) -> None:
        self._socket.close()


def listener(pin: Path | None, family: Family, port: int) -> socket.socket:
    """Return a UDP socket of every address in a Pod, or on the machine."""

    def opened() -> socket.socket:
        made = socket.socket(family.number, socket.SOCK_DGRAM)
        made.bind(("0.0.0.0" if family is IPV4 else "::", port))
        made.settimeout(0.5)
        return made

    return namespaces.inside(str(pin / "net") if pin is not None else "", opened)


def caller(pin: Path, whom: Address, port: int) -> socket.socket:
    """Return a UDP socket of a Pod that calls somebody, and has done so once."""

    def opened() -> socket.socket:
        made = socket.socket(family_of(whom).number, socket.SOCK_DGRAM)
        made.connect((str(whom), port))
        made.settimeout(0.5)
        return made

    made = namespaces.inside(str(pin / "net"), opened)
    made.send(b"?")
    return made


def is_calling(calling: socket.socket) -> bool:
    """Whether a caller waits for its answer still, and was told of no error."""
    try:
        calling.recv(100)
    except TimeoutError:
        return True
    except ConnectionRefusedError:
        return False
    return True


def heard(at: socket.socket, sends: Callable[[], object], expected: bytes | None) -> bool:
    """Whether a socket hears what is expected when somebody sends; on a busy machine it is sent again for something."""
    for _ in range(1 if expected is None else 4):
        sends()
        try:
            return at.recv(1 << 16) == expected
        except TimeoutError:
            continue
    return expected is None


def of_family(family: Family, addresses: Sequence[str]) -> Address:
    return next(one for one in map(ip_address, addresses) if family_of(one) is family)
