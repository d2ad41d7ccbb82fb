"""The kernel's table of connections: read whole, followed as it changes, and freed of entries.

Owns the ctnetlink messages of one network namespace: that in which its socket was opened. Both address families'
connections are in one table, and what is read is of both unless one is asked for. An entry is a value; its
`original` tuple is what the caller asked for (a Service's address, say), its `reply` tuple who answers. Knows neither
Pods nor Services. Invariants: nothing is polled; where the kernel had to drop events the follower is told, and can
read the table anew.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podling.linux import namespaces
from podling.linux.families import IPV4, IPV6, Family
from podling.linux.netlink import HEADER, attributes, messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Sieve = Callable[[bytes], bool]
    """Says of a message, by what costs less than to parse it, whether its connection concerns who asks."""

_NETFILTER: Final = 12
_SOL_NETLINK: Final = 270
_ADD_MEMBERSHIP: Final = 1
_SUBSYSTEM: Final = 1 << 8
_NEW, _GET, _DELETE = _SUBSYSTEM, _SUBSYSTEM | 1, _SUBSYSTEM | 2
_GROUPS: Final = {"new": 1, "update": 2, "destroy": 3}
_REQUEST, _ACK, _DUMP = 0x1, 0x4, 0x300
_ERROR, _DONE = 2, 3
_FAMILY: Final = struct.Struct(">BBH")
_TUPLE: Final = struct.Struct("=HHHHHH")
"""What a tuple begins with: lengths and kinds of itself, of its addresses, and of the source among them."""
_KIND: Final = 0x3FFF
_BUFFER: Final = 4 << 20
_SO_RCVBUFFORCE: Final = 33
_BATCH: Final = 64
"""Reads for one turn of the loop: the rest waits for the next, so that a storm of connections starves nobody."""

TCP, UDP, SCTP, ICMP = 6, 17, 132, 1
_OF_DESTINATION, _OF_PROTOCOL, _OF_PORT = 1 << 1, 1 << 3, 1 << 5
"""What of a connection's original tuple a reading is filtered by."""
_ADDRESSES: Final = {IPV4: (1, 2), IPV6: (3, 4)}
"""What a tuple calls its source and its destination."""
_SOURCES: Final = frozenset(source for source, _ in _ADDRESSES.values())

SEEN_REPLY: Final = 1 << 1
"""Of `Entry.status`: a packet came back."""


@dataclass(frozen=True, slots=True)
class Tuple:
    """One direction of a connection."""

    source: str
    destination: str
    protocol: int
    source_port: int = 0
    destination_port: int = 0


@dataclass(frozen=True, slots=True)
class Entry:
    """One connection, as the kernel has it."""

    id: int
    original: Tuple
    reply: Tuple
    status: int = 0
    sent: int = 0
    """Bytes of the original direction; counted only where `nf_conntrack_acct` is on."""
    received: int = 0
    answers: int = 0
    """Packets that came back; counted as the bytes are."""
    started: float = 0.0
    """Seconds since the epoch; 0 where `nf_conntrack_timestamp` is off."""

    @property
    def answered(self) -> bool:
        """Whether anything but a refusal came back."""
        return bool(self.status & SEEN_REPLY)


def _tuple(data: bytes) -> Tuple | None:
    source = destination = ""
    protocol = source_port = destination_port = 0
    for kind, part in attributes(data):
        if kind == 1:
            for which, address in attributes(part):
                family = IPV4 if len(address) == IPV4.size else IPV6
                text = socket.inet_ntop(family.number, address)
                if which in (1, 3):
                    source = text
                else:
                    destination = text
        elif kind == 2:
            for which, value in attributes(part):
                if which == 1:
                    protocol = value[0]
                elif which == 2:
                    source_port = value[0] << 8 | value[1]
                elif which == 3:
                    destination_port = value[0] << 8 | value[1]
    if not source or not destination:
        return None
    return Tuple(source, destination, protocol, source_port, destination_port)


def _counters(data: bytes) -> tuple[int, int]:
    found = dict(attributes(data))
    return int.from_bytes(found.get(1, b""), "big"), int.from_bytes(found.get(2, b""), "big")


def sources(message: bytes) -> tuple[bytes, bytes] | None:
    """Return who has begun a connection and who answers it, packed, without parsing the rest: a tenth of the work.

    They are where kernels have put them from the first; `None` where they are not there.
    """
    try:
        whole, outer, _, within, length, kind = _TUPLE.unpack_from(message, _FAMILY.size)
        if (outer & _KIND, within & _KIND) != (1, 1) or kind & _KIND not in _SOURCES:
            return None
        start = _FAMILY.size + _TUPLE.size
        first = message[start : start + length - 4]
        reply = _FAMILY.size + ((whole + 3) & ~3)
        _, outer, _, within, length, kind = _TUPLE.unpack_from(message, reply)
    except struct.error:
        return None
    if (outer & _KIND, within & _KIND) != (2, 1) or kind & _KIND not in _SOURCES:
        return None
    start = reply + _TUPLE.size
    return first, message[start : start + length - 4]


def parse(message: bytes) -> Entry | None:
    """Return the entry that a message (behind its netlink header) is about; `None` for what is no connection."""
    original = reply = None
    number = status = sent = received = answers = 0
    started = 0.0
    for kind, data in attributes(message[_FAMILY.size :]):
        if kind == 1:
            original = _tuple(data)
        elif kind == 2:
            reply = _tuple(data)
        elif kind == 3:
            status = int.from_bytes(data, "big")
        elif kind == 9:
            sent = _counters(data)[1]
        elif kind == 10:
            answers, received = _counters(data)
        elif kind == 12:
            number = int.from_bytes(data, "big")
        elif kind == 20:
            started = int.from_bytes(dict(attributes(data)).get(1, b""), "big") / 1e9
    if original is None or reply is None:
        return None
    return Entry(number, original, reply, status, sent, received, answers, started)


def _open(namespace: str, *groups: int) -> socket.socket:
    def open_socket() -> socket.socket:
        opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
        try:
            try:
                opened.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _BUFFER)
            except PermissionError:
                opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BUFFER)
            opened.bind((0, 0))
            for group in groups:
                opened.setsockopt(_SOL_NETLINK, _ADD_MEMBERSHIP, group)
        except BaseException:
            opened.close()
            raise
        return opened

    return namespaces.inside(namespace, open_socket)


class Follower:
    """Calls `changed(what, entry)` on the running loop for each connection that is made (`new`) or ends (`destroy`)."""

    def __init__(
        self,
        namespace: str,
        changed: Callable[[str, Entry], object],
        overrun: Callable[[], object],
        *what: str,
        sieve: Sieve | None = None,
    ) -> None:
        """Follow `what` of new, update, destroy; `overrun` is called where the kernel had to drop events."""
        self._sieve = sieve
        self._changed = changed
        self._overrun = overrun
        self._socket = _open(namespace, *(_GROUPS[name] for name in what or ("new", "destroy")))
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._socket.recv(1 << 17)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                self._overrun()
                continue
            for kind, _, _, body in messages(data):
                entry = parse(body) if self._sieve is None or self._sieve(body) else None
                if entry is not None:
                    self._changed("new" if kind == _NEW else "destroy", entry)

    def close(self) -> None:
        """Stop following."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()


class Conntrack:
    """Questions and orders about the table of one namespace. Blocks; not for several threads at once."""

    def __init__(self, namespace: str = "") -> None:
        self._socket = _open(namespace)
        self._sequence = 0

    def close(self) -> None:
        self._socket.close()

    def entries(self, sieve: Sieve | None = None) -> Iterator[Entry]:
        """Yield every connection of the table, of either family, that passes the sieve."""
        for body in self._ask(_GET, _DUMP, _FAMILY.pack(socket.AF_UNSPEC, 0, 0)):
            entry = parse(body) if sieve is None or sieve(body) else None
            if entry is not None:
                yield entry

    def towards(self, protocol: int, port: int = 0, address: str = "", *, family: Family = IPV4) -> Iterator[Entry]:
        """Yield a family's connections towards a port (0: any) of one address or of any; the kernel chooses them.

        By IPv6 addresses we choose: kernels (6.18 too) tell of all but those that were asked for.
        """
        flags = _OF_PROTOCOL
        numbers = _nested(1, bytes((protocol,)), flag=0)
        if port:
            flags |= _OF_PORT
            numbers += _nested(3, port.to_bytes(2, "big"), flag=0)
        wanted = _nested(2, numbers)
        if address and family is IPV4:
            flags |= _OF_DESTINATION
            wanted = _nested(1, _nested(_ADDRESSES[family][1], socket.inet_aton(address), flag=0)) + wanted
        chosen = _nested(25, _nested(1, struct.pack("=I", flags), flag=0) + _nested(2, bytes(4), flag=0))
        for body in self._ask(_GET, _DUMP, _FAMILY.pack(family.number, 0, 0) + _nested(1, wanted) + chosen):
            entry = parse(body)
            # A kernel that does not know the filter tells of all.
            if entry is not None and _asks_for(entry.original, protocol, port, address):
                yield entry

    def delete(self, entry: Entry) -> bool:
        """Forget a connection, so that its next packet is judged anew; say whether it was there."""
        payload = _FAMILY.pack(_family(entry.original).number, 0, 0) + _nested(1, _packed(entry.original))
        payload += _nested(12, entry.id.to_bytes(4, "big"), flag=0)
        try:
            self._ask(_DELETE, _ACK, payload)
        except OSError as error:
            if error.errno != errno.ENOENT:
                raise
            return False
        return True

    def _ask(self, kind: int, flags: int, payload: bytes) -> list[bytes]:
        self._sequence += 1
        head = HEADER.pack(HEADER.size + len(payload), kind, flags | _REQUEST, self._sequence, 0)
        self._socket.send(head + payload)
        answers: list[bytes] = []
        while True:
            for answer, _, _, body in messages(self._socket.recv(1 << 17)):
                if answer == _DONE:
                    return answers
                if answer == _ERROR:
                    code = -struct.unpack_from("=i", body)[0]
                    if code:
                        raise OSError(code, f"conntrack: {os.strerror(code)}")
                    return answers
                answers.append(body)


def _asks_for(asked: Tuple, protocol: int, port: int, address: str) -> bool:
    return asked.protocol == protocol and port in (0, asked.destination_port) and address in ("", asked.destination)


def _nested(kind: int, data: bytes, *, flag: int = 0x8000) -> bytes:
    length = 4 + len(data)
    return struct.pack("=HH", length, kind | flag) + data + b"\0" * (-length % 4)


def _family(one: Tuple) -> Family:
    return IPV6 if ":" in one.source else IPV4


def _packed(one: Tuple) -> bytes:
    family = _family(one)
    addresses = b"".join(
        _nested(kind, socket.inet_pton(family.number, address), flag=0)
        for kind, address in zip(_ADDRESSES[family], (one.source, one.destination), strict=True)
    )
    numbers = _nested(1, bytes((one.protocol,)), flag=0)
    for kind, port in ((2, one.source_port), (3, one.destination_port)):
        numbers += _nested(kind, port.to_bytes(2, "big"), flag=0)
    return _nested(1, addresses) + _nested(2, numbers)
