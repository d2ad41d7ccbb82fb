"""UDP: a socket to be asked on, and one short conversation.

Owns sockets for packets. Invariants: nothing blocks the loop; each conversation has a port of its own, chosen by the
kernel, and hears only whom it asked; the socket is closed however the call ends.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

from podling.linux import internet, namespaces

if TYPE_CHECKING:
    from collections.abc import Callable

_BURST = 1 << 20
"""Bytes of packets that may wait for the loop."""
_LARGEST = 65535


def bound(address: str, port: int) -> socket.socket:
    """Return a non-blocking socket bound to `address`; port 0 takes a free one."""
    made = internet.opened(address, socket.SOCK_DGRAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _BURST)
        made.bind(internet.place(address, port))
    except BaseException:
        made.close()
        raise
    return made


async def converse(namespace: str, address: str, port: int, packet: bytes, is_answer: Callable[[bytes], bool]) -> bytes:
    """Send `packet` from the network namespace pinned at `namespace`; return the first packet that `is_answer`.

    `OSError` where the other side refuses. The caller bounds the time.
    """

    def connected() -> socket.socket:
        made = internet.opened(address, socket.SOCK_DGRAM)
        try:
            made.connect(internet.place(address, port))
        except BaseException:
            made.close()
            raise
        return made

    own = await namespaces.inside_async(namespace, connected) if namespace else connected()
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(own, packet)
        while True:
            heard = await loop.sock_recv(own, _LARGEST)
            if is_answer(heard):
                return heard
    finally:
        own.close()
