"""Packets that rules of the packet filter hand to a group, as they come.

Owns the nfnetlink_log messages of one network namespace: binding a group, and what is told of a packet. Invariants: a
group has one listener; nothing is polled; of a packet no more is copied than its headers.
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
from podling.linux.families import FAMILIES
from podling.linux.netlink import HEADER, attributes, messages
from podling.linux.nf_expressions import attribute

if TYPE_CHECKING:
    from collections.abc import Callable

_NETFILTER: Final = 12
_PACKET, _CONFIGURE = 4 << 8, 4 << 8 | 1
_FAMILY: Final = struct.Struct(">BBH")
_REQUEST, _ACK = 0x1, 0x4
_ERROR: Final = 2
_BIND: Final = 1
_COPY_PACKET: Final = 2
_COMMAND, _MODE = 1, 2
_PAYLOAD, _PREFIX = 9, 10
_BATCH: Final = 64
_BY_VERSION: Final = {family.version: family for family in FAMILIES}
_SHORTEST: Final = {4: 20, 6: 40}
"""By version, the bytes of a header without options."""
_OPTIONS, _FRAGMENT, _AUTHENTICATION = (0, 43, 60), 44, 51
"""IPv6 headers that stand before what a packet carries; each tells what comes next, and its own length."""
LENGTH: Final = 128
"""Bytes of a packet that tell who called whom: a header of either family with some options, and ports."""


@dataclass(frozen=True, slots=True)
class Packet:
    """The headers of a packet, and the word of the rule that told of it."""

    word: str
    protocol: int
    source: str
    destination: str
    source_port: int = 0
    destination_port: int = 0


def parse(message: bytes) -> Packet | None:
    """Return the packet that a message (behind its netlink header) tells of; `None` for what is of neither family."""
    found = dict(attributes(message[_FAMILY.size :]))
    data = found.get(_PAYLOAD, b"")
    family = _BY_VERSION.get(data[0] >> 4) if data else None
    if family is None or len(data) < _SHORTEST[family.version]:
        return None
    word = found.get(_PREFIX, b"").rstrip(b"\0").decode(errors="replace")
    source, destination = (
        socket.inet_ntop(family.number, data[begin : begin + family.size])
        for begin in (family.source_at, family.destination_at)
    )
    header, protocol = ((data[0] & 15) * 4, data[9]) if family.version == 4 else _carried(data)
    if len(data) < header + 4:
        return Packet(word, protocol, source, destination)
    ports = struct.unpack_from(">HH", data, header)
    return Packet(word, protocol, source, destination, *ports)


def _carried(data: bytes) -> tuple[int, int]:
    """Return where an IPv6 packet has what it carries, behind all other headers that are there, and what that is."""
    place, protocol = _SHORTEST[6], data[6]
    while place + 2 <= len(data):
        if protocol == _FRAGMENT:
            length = 8
        elif protocol in _OPTIONS:
            length = data[place + 1] * 8 + 8
        elif protocol == _AUTHENTICATION:
            length = data[place + 1] * 4 + 8
        else:
            break
        place, protocol = place + length, data[place]
    return place, protocol


class LogListener:
    """Calls `seen` on the running loop for each packet that rules hand to `group`."""

    def __init__(self, namespace: str, group: int, seen: Callable[[Packet], object]) -> None:
        """Bind the group; `OSError` with `EBUSY` where somebody else listens to it."""
        self._seen = seen
        self._socket = namespaces.inside(namespace, lambda: _bound(group))
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        for _ in range(_BATCH):
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno != errno.ENOBUFS:
                    raise
                continue  # what the kernel could not keep is counted by the rule that told of it
            for kind, _, _, body in messages(data):
                packet = parse(body) if kind == _PACKET else None
                if packet is not None:
                    self._seen(packet)

    def close(self) -> None:
        """Let the group go."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()


def _bound(group: int) -> socket.socket:
    opened = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _NETFILTER)
    try:
        opened.bind((0, 0))
        _configure(opened, group, attribute(_COMMAND, bytes((_BIND,))))
        _configure(opened, group, attribute(_MODE, struct.pack(">IBB", LENGTH, _COPY_PACKET, 0)))
    except BaseException:
        opened.close()
        raise
    return opened


def _configure(opened: socket.socket, group: int, what: bytes) -> None:
    body = _FAMILY.pack(socket.AF_UNSPEC, 0, group) + what
    opened.send(HEADER.pack(HEADER.size + len(body), _CONFIGURE, _REQUEST | _ACK, 1, 0) + body)
    while True:
        answer = opened.recv(1 << 16)
        if HEADER.unpack_from(answer)[1] == _ERROR:
            code = -struct.unpack_from("=i", answer, HEADER.size)[0]
            if code:
                raise OSError(code, f"log group {group}: {os.strerror(code)}")
            return
