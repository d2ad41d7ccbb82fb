"""Unix sockets: short of path however long the directory's name is.

Owns the opening of sockets that pass descriptors or keep packets apart. All are non-blocking; the caller closes them.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def listen_unix(path: str) -> socket.socket:
    """Listen for one connection at `path`."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        listener.bind(path)
        listener.listen(1)
    except BaseException:
        listener.close()
        raise
    return listener


async def connect_packets(directory: Path, name: str) -> socket.socket:
    """Connect to the socket `name` in `directory`, which keeps packets apart."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    try:
        descriptor = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            # A socket's path is short; a data directory's need not be.
            await asyncio.get_running_loop().sock_connect(connection, f"/proc/self/fd/{descriptor}/{name}")
        finally:
            os.close(descriptor)
    except BaseException:
        connection.close()
        raise
    return connection
