"""A SPDY connection's streams as things to read and write.

Owns the shell around `spdy`: who opened what, what has come for each stream, and the connection's one reader. A stream
that is not read holds the whole connection back, as with the Go library at the other end: without windows there is no
other way to bound what is buffered. Invariants: replies and frames leave in the order of the calls; once the connection
is lost every stream is at its end.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.kubelet.server import spdy
from podling.kubelet.server.wire import Inbox

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podling.kubelet.server.wire import Wire

MOST_STREAMS = 1024
"""Streams open at once on one connection."""


class SpdyStream:
    """One stream; its half is closed by `close_write`, both by `reset`."""

    def __init__(self, connection: SpdyConnection, number: int, headers: Mapping[str, str]) -> None:
        self._connection = connection
        self.id = number
        self.headers = headers
        self.inbox = Inbox()
        self.peer_closed = False
        self._write_closed = False

    async def read(self) -> bytes:
        """Return some bytes, or none at the end."""
        return await self.inbox.get()

    async def write(self, data: bytes) -> None:
        if data and not self._write_closed:
            await self._connection.send(spdy.data_frames(self.id, data))

    async def close_write(self) -> None:
        if not self._write_closed:
            self._write_closed = True
            await self._connection.send(spdy.data_frames(self.id, b"", fin=True))
            self._connection.settle(self)

    async def reset(self) -> None:
        """Give the stream up, with whatever is on its way."""
        self.inbox.refuse()
        self._write_closed = self.peer_closed = True
        self._connection.settle(self)
        await self._connection.send(spdy.rst_stream(self.id))

    @property
    def over(self) -> bool:
        return self._write_closed and self.peer_closed

    def _cut(self) -> None:
        self._write_closed = self.peer_closed = True
        self.inbox.end()


class SpdyConnection:
    """A connection; `run` reads it until its end, `accept` is told of each stream that the peer opens."""

    def __init__(self, wire: Wire, accept: Callable[[SpdyStream], bool], *, client: bool = False) -> None:
        self._wire = wire
        self._codec = spdy.SpdyCodec(client=client)
        self._accept = accept
        self._streams: dict[int, SpdyStream] = {}
        self._next = 1 if client else 2
        self._pings = 1 if client else 0

    async def run(self) -> None:
        """Serve until the peer closes; `SpdyError` if it breaks the protocol."""
        try:
            while data := await self._wire.read():
                for event in self._codec.receive(data):
                    await self._handle(event)
        finally:
            for stream in list(self._streams.values()):
                stream._cut()
            self._streams.clear()

    async def open(self, headers: Mapping[str, str]) -> SpdyStream:
        """Open a stream of our own."""
        number = self._next
        self._next += 2
        stream = self._streams[number] = SpdyStream(self, number, headers)
        await self.send(self._codec.syn_stream(number, headers))
        return stream

    async def send(self, data: bytes) -> None:
        self._wire.write(data)
        await self._wire.drain()

    async def ping(self) -> None:
        self._pings += 2
        await self.send(spdy.ping(self._pings))

    def settle(self, stream: SpdyStream) -> None:
        """Forget a stream that is closed from both sides."""
        if stream.over:
            self._streams.pop(stream.id, None)

    async def _handle(self, event: spdy.Event) -> None:
        match event:
            case spdy.SynStream():
                await self._opened(event)
            case spdy.Data(number, data, fin):
                stream = self._streams.get(number)
                if stream is None or stream.peer_closed:
                    return
                await stream.inbox.put(data)
                if fin:
                    self._ended(stream)
            case spdy.SynReply(number, _, fin):
                stream = self._streams.get(number)
                if stream is not None and fin:
                    self._ended(stream)
            case spdy.RstStream(number, _):
                stream = self._streams.pop(number, None)
                if stream is not None:
                    stream._cut()
            case spdy.Ping(number, ours):
                if not ours:
                    await self.send(spdy.ping(number))
            case spdy.GoAway():
                pass  # the peer closes the connection when it is done with its streams

    async def _opened(self, event: spdy.SynStream) -> None:
        if len(self._streams) >= MOST_STREAMS:
            await self.send(spdy.rst_stream(event.stream, spdy.REFUSED_STREAM))
            return
        stream = SpdyStream(self, event.stream, event.headers)
        self._streams[event.stream] = stream
        if not self._accept(stream):
            self._streams.pop(event.stream)
            stream._cut()
            await self.send(spdy.rst_stream(event.stream, spdy.REFUSED_STREAM))
            return
        await self.send(self._codec.syn_reply(event.stream))
        if event.fin:
            self._ended(stream)

    def _ended(self, stream: SpdyStream) -> None:
        stream.peer_closed = True
        stream.inbox.end()
        self.settle(stream)
