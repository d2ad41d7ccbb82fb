"""Taking over an aiohttp server's connection, for what is no longer HTTP after an upgrade.

Owns the exchange of the transport's protocol: bytes that aiohttp had received already come first, and when the block
ends the connection is aiohttp's again, closed. Knows nothing of what is spoken. Invariant: what was read and not yet
consumed is bounded by the reader's limit (reading pauses), what was written by the transport's (`drain` waits).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from aiohttp import web

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp.abc import AbstractStreamWriter

_LIMIT = 64 * 1024


class Taken(web.StreamResponse):
    """The answer of a handler that has written its answer itself; the connection closes after it, or is kept."""

    def __init__(self, *, status: int, keep: bool = False) -> None:
        super().__init__(status=status)
        self._keep = keep

    @property
    def keep_alive(self) -> bool:
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:  # noqa: ARG002
        return None

    async def write_eof(self, data: bytes = b"") -> None: ...


class _Pair(asyncio.StreamReaderProtocol):
    """A stream pair's protocol that remembers how the connection ended."""

    lost = False
    why: Exception | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost, self.why = True, exc
        super().connection_lost(exc)


class Takeover:
    """`async with Takeover(request) as (reader, writer)`: the connection's bytes until the block ends."""

    def __init__(self, request: web.BaseRequest) -> None:
        transport = request.transport
        if transport is None or transport.is_closing():
            raise ConnectionResetError("the client has gone")
        self._transport: Any = transport
        self._http: Any = request.protocol
        self._loop = asyncio.get_running_loop()
        self._pair: _Pair | None = None

    async def __aenter__(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader = asyncio.StreamReader(_LIMIT, self._loop)
        self._pair = _Pair(reader, loop=self._loop)
        early, self._http._message_tail = self._http._message_tail, b""
        self._transport.set_protocol(self._pair)
        self._pair.connection_made(self._transport)
        if early:
            reader.feed_data(early)
        self._transport.resume_reading()
        return reader, asyncio.StreamWriter(self._transport, self._pair, reader, self._loop)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._pair is not None
        if self._pair.lost:
            # Told late: told in time, aiohttp would cancel the very handler that still tidies up.
            self._loop.call_soon(self._http.connection_lost, self._pair.why)
            return
        self._transport.set_protocol(self._http)
        if kind is None:
            self._transport.close()
        else:
            self._transport.abort()
