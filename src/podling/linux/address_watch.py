"""News of a network namespace's own addresses: that one came to its loopback, or went from there.

Owns the messages. What they say is not told: whoever hears of one looks again. Invariant: where the kernel had to drop
news, that is news.
"""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from typing import TYPE_CHECKING, Final

from podling.linux import namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESSES_CHANGE: Final = 0x10 | 0x100
"""Of either family."""
_NEWS: Final = (20, 21)
_HEADER: Final = struct.Struct("=IHHII")
_ADDRESS: Final = struct.Struct("=BBBBi")


class AddressWatch:
    """Calls `changed` on the running loop when the addresses of a namespace's loopback have changed."""

    def __init__(self, namespace: str, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._socket, self._loopback = namespaces.inside(namespace, _open)
        asyncio.get_running_loop().add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        try:
            data = self._socket.recv(1 << 16)
        except BlockingIOError:
            return
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise
            self._changed()
            return
        offset = 0
        while offset + _HEADER.size + _ADDRESS.size <= len(data):
            length, kind, *_ = _HEADER.unpack_from(data, offset)
            *_, index = _ADDRESS.unpack_from(data, offset + _HEADER.size)
            if length < _HEADER.size:
                return
            if kind in _NEWS and index == self._loopback:
                self._changed()
                return
            offset += (length + 3) & ~3

    def close(self) -> None:
        """Stop watching."""
        if self._socket.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(self._socket)
            self._socket.close()


def _open() -> tuple[socket.socket, int]:
    kinds = socket.SOCK_RAW | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
    opened = socket.socket(socket.AF_NETLINK, kinds, socket.NETLINK_ROUTE)
    try:
        opened.bind((0, _ADDRESSES_CHANGE))
        return opened, socket.if_nametoindex("lo")
    except BaseException:
        opened.close()
        raise
