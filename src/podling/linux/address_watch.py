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
from podling.linux.netlink import messages

if TYPE_CHECKING:
    from collections.abc import Callable

_ADDRESSES_CHANGE: Final = 0x10 | 0x100
"""Of either family."""
_NEWS: Final = (20, 21)
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
        for kind, _, _, body in messages(data):
            if kind in _NEWS and len(body) >= _ADDRESS.size and _ADDRESS.unpack_from(body)[-1] == self._loopback:
                self._changed()
                return

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
