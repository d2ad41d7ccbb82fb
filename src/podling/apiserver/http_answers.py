"""How an answer reaches its connection: bytes written at once, watched for what the connection takes.

Owns the two ways past aiohttp's own responses, which cost more than all else that a GET needs: `Raw`, an answer whose
bytes are made already, and `Line`, the connection itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterable, Iterator

    from aiohttp.abc import AbstractStreamWriter

    from podling.apiserver.messages import Watching

log = logging.getLogger("podling.apiserver.http")


class Line:
    """The connection of one request, written to directly."""

    def __init__(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client has gone")
        self._protocol = request.protocol
        self.transport: asyncio.WriteTransport = transport
        self.write = transport.write

    async def drain(self) -> None:
        """Wait until the connection takes more; `ConnectionError` if it is closed."""
        if self.transport.is_closing():
            raise ConnectionResetError("the client has gone")
        await self._protocol._drain_helper()


class Raw(web.StreamResponse):
    """An answer whose bytes, head and all, are made already (or, if empty, were written already)."""

    def __init__(self, status: int, data: bytes) -> None:
        super().__init__(status=status)
        self._data = data
        self._request: web.BaseRequest | None = None
        self._closes = False

    def force_close(self) -> None:
        self._closes = True

    @property
    def keep_alive(self) -> bool:
        request = self._request
        return not self._closes and request is not None and request.keep_alive

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        self._request = request
        return None

    async def write_eof(self, data: bytes = b"") -> None:  # noqa: ARG002
        if self._data and self._request is not None:
            line = Line(self._request)
            line.write(self._data)
            if len(self._data) > 64 * 1024:
                await line.drain()
            self._data = b""


async def write_initial(line: Line, watching: Watching) -> None:
    """Write the objects that a watch begins with, in pieces that the connection has room for."""
    held: list[bytes] = []
    size = 0
    for encoded in watching.stream.initial:
        data = watching.first(encoded)
        held.append(data)
        size += len(data)
        if size >= 256 * 1024:
            line.write(b"%x\r\n%b\r\n" % (size, b"".join(held)))
            held, size = [], 0
            await line.drain()
    if watching.initial_end:
        held.append(watching.initial_end)
        size += len(watching.initial_end)
    if held:
        line.write(b"%x\r\n%b\r\n" % (size, b"".join(held)))


def join(first: bytes, second: bytes, others: Iterable[bytes]) -> Iterator[bytes]:
    yield first
    yield second
    yield from others


def or_abort(pieces: Iterator[bytes], transport: asyncio.WriteTransport) -> Iterator[bytes]:
    """Yield the pieces; an error in the midst of a body can only be told by breaking the connection."""
    try:
        yield from pieces
    except Exception as error:
        log.exception("a list broke off")
        transport.abort()
        raise ConnectionResetError("the list broke off") from error


def takes_gzip(request: web.BaseRequest) -> bool:
    return "gzip" in request.headers.get("Accept-Encoding", "")


def quoted(text: str) -> bytes:
    return text.replace("\\", "\\\\").replace('"', '\\"').encode()
