"""What the streaming protocols stand on: a duplex stream of bytes, and flow control for what is read from it.

Owns the Protocol `Wire`, the plain connection as one, and `Inbox`, the bounded buffer between one reader of a
connection and the consumers of its streams. Invariant: an inbox holds at most its limit and one piece more; whoever
fills it waits.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from podling.aio.clock import Clock

PIECE = 64 * 1024
INBOX_LIMIT = 256 * 1024


class Wire(Protocol):
    """Bytes both ways."""

    async def read(self) -> bytes:
        """Return some bytes, or none at the end."""
        ...

    def write(self, data: bytes) -> None: ...

    async def drain(self) -> None:
        """Wait until the peer takes more; `ConnectionError` if it is gone."""
        ...


class Connection:
    """A plain connection as a `Wire`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(PIECE)
        except ConnectionError:
            return b""

    def write(self, data: bytes) -> None:
        self._writer.write(data)

    async def drain(self) -> None:
        if self._writer.transport.is_closing():
            raise ConnectionResetError("the client has gone")
        await self._writer.drain()


class Inbox:
    """Bytes that have come for one consumer."""

    def __init__(self, limit: int = INBOX_LIMIT) -> None:
        self._limit = limit
        self._pieces: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._unwanted = False
        self._changed = asyncio.Event()

    async def put(self, data: bytes) -> None:
        """Take bytes in; returns once there is room for more."""
        if self._unwanted or self._ended or not data:
            return
        self._pieces.append(data)
        self._size += len(data)
        self._wake()
        while self._size > self._limit and not self._unwanted:
            await self._changed.wait()

    def end(self) -> None:
        """Nothing more will come."""
        self._ended = True
        self._wake()

    def refuse(self) -> None:
        """Nobody reads: drop what is here and what will come."""
        self._unwanted = True
        self._pieces.clear()
        self._size = 0
        self._wake()

    async def get(self) -> bytes:
        """Return the next piece, or none at the end."""
        while not self._pieces:
            if self._ended or self._unwanted:
                return b""
            await self._changed.wait()
        data = self._pieces.popleft()
        self._size -= len(data)
        self._wake()
        return data

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


async def linger(task: asyncio.Task[None], clock: Clock, seconds: float) -> None:
    """Give the peer time to close first, so that nothing on its way to it is lost with the connection."""
    with contextlib.suppress(TimeoutError):
        async with clock.timeout(seconds):
            await asyncio.wait([task])
