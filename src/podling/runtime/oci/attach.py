"""Clients of a running container's own streams, through conmon's socket.

Owns `AttachSession`. Invariant: an attached container does not notice its clients, nor they one another.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import TYPE_CHECKING

from podling.linux import sockets
from podling.runtime.oci import conmon
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path


class AttachSession:
    """A container's own streams, shared with whoever else is attached."""

    def __init__(self, bundle: Path, connection: socket.socket, ended: Callable[[], Awaitable[int]]) -> None:
        self._bundle = bundle
        self._socket = connection
        self._ended = ended
        self._streams: dict[int, asyncio.Queue[bytes]] = {2: asyncio.Queue(256), 3: asyncio.Queue(256)}
        self._finished: set[int] = set()
        self._pump = asyncio.create_task(self._receive(), name=f"attach {bundle.name}")

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self._socket, 65536):
                stream = self._streams.get(data[0])
                if stream is not None and len(data) > 1:
                    await stream.put(data[1:])
        except (ConnectionError, OSError):
            pass
        finally:
            for stream in self._streams.values():
                with contextlib.suppress(asyncio.QueueFull):
                    stream.put_nowait(b"")

    async def _read(self, number: int) -> bytes:
        stream = self._streams[number]
        if number in self._finished or (self._pump.done() and stream.empty()):
            return b""
        data = await stream.get()
        if not data:
            self._finished.add(number)
        return data

    async def read_stdout(self) -> bytes:
        return await self._read(2)

    async def read_stderr(self) -> bytes:
        return await self._read(3)

    async def write_stdin(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        # The socket keeps packets apart, and conmon reads at most 8 KiB of each.
        for offset in range(0, len(data), 8192):
            await loop.sock_sendall(self._socket, data[offset : offset + 8192])

    async def close_stdin(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            conmon.resize(self._bundle, columns, rows)

    async def wait(self) -> int:
        return await self._ended()

    async def close(self) -> None:
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        self._socket.close()


async def attach(bundle: Path, ended: Callable[[], Awaitable[int]]) -> AttachSession:
    """Connect to a container's conmon."""
    try:
        connection = await sockets.connect_packets(bundle, "attach")
    except OSError as error:
        raise RuntimeFailure("Unavailable", f"cannot attach: {error.strerror or error}") from error
    return AttachSession(bundle, connection, ended)
