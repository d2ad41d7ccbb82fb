"""Links, addresses, routes, neighbours and shaping through rtnetlink: a few messages of our own, no library to import.

Owns the encoding of the messages that wiring a Pod takes. A `Netlink` belongs to the network namespace of the thread
that opened it. Invariants: "exists already" on create and "not there" on delete are no errors where the caller says so.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import struct
import sys
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, Self

from podling.linux.families import FAMILIES, IPV4, Family, family_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from podling.linux.families import Address, Network

_NEWLINK: Final = 16
_DELLINK: Final = 17
_GETLINK: Final = 18
_NEWADDR: Final = 20
_DELADDR: Final = 21
_GETADDR: Final = 22
_NEWROUTE: Final = 24
_DELROUTE: Final = 25
_GETROUTE: Final = 26
_NEWNEIGH: Final = 28
_NEWQDISC: Final = 36
_REQUEST, _ACK, _DUMP, _REPLACE, _EXCL, _CREATE = 0x1, 0x4, 0x300, 0x100, 0x200, 0x400
_ERROR, _DONE = 2, 3
HEADER: Final = struct.Struct("=IHHII")
"""Of every message: its length, kind, flags, number and sender."""
_LINK = struct.Struct("=BxHiII")
_ADDRESS = struct.Struct("=BBBBi")
_ROUTE = struct.Struct("=BBBBBBBBI")
_NEIGHBOUR = struct.Struct("=BxxxiHBB")
_TRAFFIC_CONTROL = struct.Struct("=BxxxiIII")
_RATE = struct.Struct("=BBHhHI")
_ROOT: Final = 0xFFFFFFFF
_FIRST_QDISC: Final = 1 << 16
_OVER_ETHERNET: Final = 1
_IFF_UP: Final = 1
_IFF_NOARP: Final = 0x80
_OPERATES: Final = b"\6"
_LINKS_CHANGE: Final = 1
"""The group that is told of links."""
_ONLINK: Final = 4
_UNREACHABLE: Final = 7
_PERMANENT: Final = 0x80
_NO_DETECTION: Final = 0x02
"""Of an IPv6 address: no detection of duplicates."""
_NO_ROUTE: Final = 0x200
"""No route to the network around it."""
_SCOPE_LINK: Final = 253
_SCOPE_HOST: Final = 254
_BURSTS_A_SECOND: Final = 50
_QUEUES_A_SECOND: Final = 20
_LEAST_BURST: Final = 2048
"""More than a packet of the usual size; a bucket that holds less passes nothing."""
PROTOCOL: Final = 0x50
"""What routes of Podling's are marked with."""


_NO_FAMILY: Final = (errno.EOPNOTSUPP, errno.EAFNOSUPPORT)
"""What a kernel says that has come to lack a family: what there was of it is gone."""


@dataclass(frozen=True, slots=True)
class Link:
    """A network interface."""

    index: int
    name: str
    mtu: int
    mac: bytes
    up: bool


@dataclass(frozen=True, slots=True)
class Route:
    """A route of the main table."""

    destination: Network
    interface: int
    gateway: Address | None
    protocol: int
    metric: int


def _attribute(kind: int, data: bytes) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (-length % 4)


def attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (kind, data) of each attribute; what is cut short ends it."""
    offset = 0
    while offset + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, offset)
        if length < 4:
            return
        yield kind & 0x3FFF, data[offset + 4 : offset + length]
        offset += (length + 3) & ~3


def messages(data: bytes) -> Iterator[tuple[int, int, int, bytes]]:
    """Yield kind, number, sender and body of each message that came together; what is cut short ends it."""
    offset = 0
    while offset + HEADER.size <= len(data):
        length, kind, _, sequence, sender = HEADER.unpack_from(data, offset)
        if length < HEADER.size:
            return
        yield kind, sequence, sender, data[offset + HEADER.size : offset + length]
        offset += (length + 3) & ~3


class Netlink:
    """A conversation with the kernel about one network namespace. Not for several threads at once."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind((0, 0))
        self._sequence = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def _ask(self, kind: int, flags: int, payload: bytes, what: str) -> list[tuple[int, bytes]]:
        self._sequence += 1
        self._socket.send(
            HEADER.pack(HEADER.size + len(payload), kind, flags | _REQUEST | _ACK, self._sequence, 0) + payload
        )
        answers: list[tuple[int, bytes]] = []
        while True:
            for answer, sequence, _, body in messages(self._socket.recv(1 << 17)):
                if sequence != self._sequence:
                    continue
                if answer == _DONE:
                    return answers
                if answer == _ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code:
                        raise OSError(code, f"{what}: {os.strerror(code)}")
                    return answers
                answers.append((answer, body))

    def links(self) -> Sequence[Link]:
        """Return every link of the namespace."""
        links = []
        for _, body in self._ask(_GETLINK, _DUMP, _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0), "list links"):
            _, _, index, flags, _ = _LINK.unpack_from(body)
            found = dict(attributes(body[_LINK.size :]))
            name = found.get(3, b"").rstrip(b"\0").decode()
            mtu = struct.unpack("=I", found[4])[0] if 4 in found else 1500
            links.append(Link(index, name, mtu, found.get(1, b""), bool(flags & _IFF_UP)))
        return links

    def routes(self, family: Family | None = None) -> Sequence[Route]:
        """Return the routes of the main table, of one family or of both."""
        return [route for each in ([family] if family is not None else FAMILIES) for route in self._routes(each)]

    def _routes(self, family: Family) -> Iterator[Route]:
        payload = _ROUTE.pack(family.number, 0, 0, 0, 0, 0, 0, 0, 0)
        for _, body in self._ask(_GETROUTE, _DUMP, payload, "list routes"):
            number, length, _, _, table, protocol, _, _, _ = _ROUTE.unpack_from(body)
            if number != family.number or table != 254:
                continue
            found = dict(attributes(body[_ROUTE.size :]))
            gateway = found.get(5, b"")
            yield Route(
                ip_network((found.get(1, bytes(family.size)), length)),
                struct.unpack("=i", found[4])[0] if 4 in found else 0,
                ip_address(gateway) if len(gateway) == family.size else None,
                protocol,
                struct.unpack("=I", found[6])[0] if 6 in found else 0,
            )

    def addresses(self, family: Family = IPV4) -> frozenset[Address]:
        """Return the addresses of a family that the namespace's own links have."""
        return frozenset(address for _, _, address in self._addresses(family))

    def own_addresses(self, index: int, family: Family) -> frozenset[Address]:
        """Return what `add_address` gave to a link, of a family, with no network around it."""
        found = self._addresses(family)
        return frozenset(address for link, flags, address in found if link == index and flags & _NO_ROUTE)

    def _addresses(self, family: Family) -> Iterator[tuple[int, int, Address]]:
        payload = _ADDRESS.pack(family.number, 0, 0, 0, 0)
        for _, body in self._ask(_GETADDR, _DUMP, payload, "list addresses"):
            number, _, _, _, index = _ADDRESS.unpack_from(body)
            found = dict(attributes(body[_ADDRESS.size :]))
            # The local one, where a link between two has one for each end.
            own = found.get(2, found.get(1, b""))
            if number == family.number and len(own) == family.size:  # a kernel that lacks it tells of all others
                yield index, int.from_bytes(found.get(8, b""), sys.byteorder), ip_address(own)

    def create_veth(self, name: str, mac: bytes, peer: str, peer_mac: bytes, *, mtu: int, peer_namespace: int) -> None:
        """Create a veth pair, both down, whose `peer` is born in the namespace of descriptor `peer_namespace`."""
        head = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
        inner = (
            head
            + _attribute(3, peer.encode() + b"\0")
            + _attribute(1, peer_mac)
            + _attribute(4, struct.pack("=I", mtu))
            + _attribute(28, struct.pack("=i", peer_namespace))
        )
        kind = _attribute(1, b"veth") + _attribute(2, _attribute(1, inner))
        payload = (
            _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0)
            + _attribute(3, name.encode() + b"\0")
            + _attribute(1, mac)
            + _attribute(4, struct.pack("=I", mtu))
            + _attribute(18, kind)
        )
        self._ask(_NEWLINK, _CREATE | _EXCL, payload, f"create veth {name}")

    def set_up(self, index: int, *, asks: bool = True) -> None:
        """Set a link up; one that `asks` nobody knows the neighbours it is told of, and hears no ARP."""
        flags = _IFF_UP if asks else _IFF_UP | _IFF_NOARP
        self._ask(_NEWLINK, 0, _LINK.pack(socket.AF_UNSPEC, 0, index, flags, flags), f"set link {index} up")

    def wait_up(self, index: int) -> None:
        """Return when a link takes packets: the end of a veth that was set up before its other one drops them first.

        The kernel sees to it in its own time, milliseconds as a rule; a newer one when it is asked about the link. One
        that has no other end to wait for keeps nobody for longer than a second.
        """
        if self._takes_packets(index):
            return
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as changes:
            changes.bind((0, _LINKS_CHANGE))
            changes.settimeout(1.0)
            with contextlib.suppress(TimeoutError):
                while not self._takes_packets(index):
                    changes.recv(1 << 16)

    def _takes_packets(self, index: int) -> bool:
        asked = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0)
        ((_, body),) = self._ask(_GETLINK, 0, asked, f"look at link {index}")
        return dict(attributes(body[_LINK.size :])).get(16) == _OPERATES

    def shape(self, index: int, rate: int) -> None:
        """Let no more than `rate` bits per second leave a link: a token bucket in place of the link's queue."""
        bytes_each_second = max(rate // 8, 1)
        burst = min(max(bytes_each_second // _BURSTS_A_SECOND, _LEAST_BURST), 1 << 30)
        queue = min(burst + max(bytes_each_second // _QUEUES_A_SECOND, 8 * _LEAST_BURST), 1 << 30)
        unbounded = _RATE.pack(0, 0, 0, 0, 0, 0)
        bounded = _RATE.pack(0, _OVER_ETHERNET, 0, 0, 0, min(bytes_each_second, 0xFFFFFFFF))
        options = (
            _attribute(1, bounded + unbounded + struct.pack("=III", queue, 0, 0))
            + (_attribute(4, struct.pack("=Q", bytes_each_second)) if bytes_each_second > 0xFFFFFFFF else b"")
            + _attribute(6, struct.pack("=I", burst))
        )
        payload = (
            _TRAFFIC_CONTROL.pack(socket.AF_UNSPEC, index, _FIRST_QDISC, _ROOT, 0)
            + _attribute(1, b"tbf\0")
            + _attribute(2, options)
        )
        self._ask(_NEWQDISC, _CREATE | _REPLACE, payload, f"limit link {index} to {rate} bits a second")

    def delete_link(self, name: str) -> bool:
        """Delete a link; say whether it was there."""
        try:
            payload = _LINK.pack(socket.AF_UNSPEC, 0, 0, 0, 0) + _attribute(3, name.encode() + b"\0")
            self._ask(_DELLINK, 0, payload, f"delete link {name}")
        except OSError as error:
            if error.errno == errno.ENODEV:
                return False
            raise
        return True

    def add_address(self, index: int, address: Address, *, prefix: int | None = None) -> None:
        """Give a link an address, with no network around it unless `prefix` says so; it may have it already.

        An IPv6 one may be used at once: nobody else on the link is asked whether it has it too.
        """
        payload = (
            _ADDRESS.pack(family_of(address).number, prefix or address.max_prefixlen, _NO_DETECTION, 0, index)
            + _attribute(2, address.packed)
            + _attribute(1, address.packed)
            + (b"" if prefix else _attribute(8, struct.pack("=I", _NO_DETECTION | _NO_ROUTE)))
        )
        with _ignoring(errno.EEXIST):
            self._ask(_NEWADDR, _CREATE | _REPLACE, payload, f"add address {address}")

    def delete_address(self, index: int, address: Address, *, prefix: int | None = None) -> None:
        """Take an address from a link; it need not have it."""
        head = _ADDRESS.pack(family_of(address).number, prefix or address.max_prefixlen, 0, 0, index)
        payload = head + _attribute(2, address.packed)
        with _ignoring(errno.EADDRNOTAVAIL, errno.ENODEV, *_NO_FAMILY):
            self._ask(_DELADDR, 0, payload, f"delete address {address}")

    def add_neighbour(self, index: int, address: Address, mac: bytes) -> None:
        """Fix the link-layer address of a neighbour for good, so that nobody has to ask."""
        payload = (
            _NEIGHBOUR.pack(family_of(address).number, index, _PERMANENT, 0, 0)
            + _attribute(1, address.packed)
            + _attribute(2, mac)
        )
        self._ask(_NEWNEIGH, _CREATE | _REPLACE, payload, f"add neighbour {address}")

    def add_route(
        self,
        destination: Network,
        *,
        interface: int = 0,
        gateway: Address | None = None,
        source: Address | None = None,
        unreachable: bool = False,
        metric: int = 0,
    ) -> None:
        """Add or replace a route: through `gateway` (taken to be on the link), onto the link, or to nowhere."""
        scope = 0 if gateway is not None else _SCOPE_HOST if unreachable else _SCOPE_LINK
        payload = _ROUTE.pack(
            family_of(destination).number,
            destination.prefixlen,
            0,
            0,
            254,
            PROTOCOL,
            0 if unreachable else scope,
            _UNREACHABLE if unreachable else 1,
            _ONLINK if gateway is not None else 0,
        )
        if destination.prefixlen:
            payload += _attribute(1, destination.network_address.packed)
        if interface:
            payload += _attribute(4, struct.pack("=i", interface))
        if gateway is not None:
            payload += _attribute(5, gateway.packed)
        if source is not None:
            payload += _attribute(7, source.packed)
        if metric:
            payload += _attribute(6, struct.pack("=I", metric))
        self._ask(_NEWROUTE, _CREATE | _REPLACE, payload, f"add route {destination}")

    def delete_route(self, destination: Network, *, metric: int = 0) -> None:
        """Delete a route of Podling's; it need not be there."""
        payload = _ROUTE.pack(family_of(destination).number, destination.prefixlen, 0, 0, 254, PROTOCOL, 255, 0, 0)
        payload += _attribute(1, destination.network_address.packed)
        if metric:
            payload += _attribute(6, struct.pack("=I", metric))
        with _ignoring(errno.ESRCH, *_NO_FAMILY):
            self._ask(_DELROUTE, 0, payload, f"delete route {destination}")


@contextlib.contextmanager
def _ignoring(*numbers: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in numbers:
            raise
