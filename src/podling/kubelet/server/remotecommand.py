"""The remote command protocols: a client's end of an exec or attach, over SPDY or WebSocket.

Owns which streams or channels carry what, which version says what at the end, and the parsing of terminal sizes. Knows
nothing of runtimes. The versions: v1 to v3 tell a failure as text, v4 tells every end as a `Status`; over WebSocket v5
adds the closing of stdin.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import re
from typing import TYPE_CHECKING, Protocol

import msgspec
from msgspec import Struct

from podling.kubelet.server.spdystreams import SpdyConnection, SpdyStream
from podling.kubelet.server.wire import Inbox, Wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.aio.clock import Clock
    from podling.kubelet.server.websocketwire import WebSocketWire

SPDY_VERSIONS = ("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
WEBSOCKET_VERSIONS = (
    "v5.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io", "channel.k8s.io", "base64.channel.k8s.io",
)  # fmt: skip
"""What is understood, best first; a WebSocket client that names none gets the second to last."""

STREAMS_PATIENCE = 30.0
"""Seconds that a client has for opening its streams."""

STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
_SIZE = re.compile(rb"\{[^{}]*\}")
_SIZE_LIMIT = 1024


class Streams(Struct, frozen=True):
    """Which streams a client asked for. With a terminal stderr comes with stdout."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool


class Outcome(Struct, frozen=True):
    """How a command ended, in both forms that the versions know."""

    status: bytes
    """The `Status`, as JSON."""
    text: str = ""
    """What versions before v4 are told; nothing for a success."""


class Remote(Protocol):
    """A client at the other end."""

    async def run(self) -> None:
        """Read what comes until the client has gone."""
        ...

    async def ready(self) -> None:
        """Return once the client has opened what it asked for; `TimeoutError` if it does not."""
        ...

    async def read_stdin(self) -> bytes: ...

    async def read_resize(self) -> bytes: ...

    async def write(self, channel: int, data: bytes) -> None:
        """Send bytes of `STDOUT` or `STDERR`."""
        ...

    async def ping(self) -> None:
        """Send what a living client answers; `ConnectionError` where there is none."""
        ...

    async def finish(self, outcome: Outcome) -> None:
        """Tell the end and close what is ours to close."""
        ...


class TerminalSizes:
    """Reads `{"Width":80,"Height":24}` out of however many pieces it comes in."""

    def __init__(self) -> None:
        self._held = b""

    def receive(self, data: bytes) -> Iterable[tuple[int, int]]:
        """Return the sizes (columns, rows) that these bytes complete; what is no size is skipped."""
        self._held = (self._held + data)[-_SIZE_LIMIT:]
        sizes: list[tuple[int, int]] = []
        end = 0
        for match in _SIZE.finditer(self._held):
            end = match.end()
            with contextlib.suppress(msgspec.DecodeError):
                size = msgspec.json.decode(match.group(), type=_TerminalSize)
                sizes.append((size.Width, size.Height))
        self._held = self._held[end:]
        return sizes


class _TerminalSize(msgspec.Struct):
    Width: int = msgspec.field(default=0)
    Height: int = msgspec.field(default=0)


class SpdyRemote:
    """A client over SPDY: one stream for each of error, stdin, stdout, stderr and resize."""

    def __init__(self, wire: Wire, version: str, streams: Streams, clock: Clock) -> None:
        self._connection = SpdyConnection(wire, self._accept)
        self._version = version or SPDY_VERSIONS[-1]
        self._clock = clock
        wanted = {"error": True, "stdin": streams.stdin, "stdout": streams.stdout}
        wanted["stderr"] = streams.stderr and not streams.tty
        wanted["resize"] = streams.tty and self._version in SPDY_VERSIONS[:2]
        self._wanted = [name for name, asked in wanted.items() if asked]
        self._streams: dict[str, SpdyStream] = {}
        self._complete = asyncio.Event()

    def _accept(self, stream: SpdyStream) -> bool:
        name = stream.headers.get("streamtype", "")
        if name not in {"error", "stdin", "stdout", "stderr", "resize"} or name in self._streams:
            return False
        self._streams[name] = stream
        if name not in {"stdin", "resize"}:
            stream.inbox.refuse()
        if all(it in self._streams for it in self._wanted):
            self._complete.set()
        return True

    async def run(self) -> None:
        await self._connection.run()

    async def ready(self) -> None:
        async with self._clock.timeout(STREAMS_PATIENCE):
            await self._complete.wait()

    async def read_stdin(self) -> bytes:
        stream = self._streams.get("stdin")
        return await stream.read() if stream is not None else b""

    async def read_resize(self) -> bytes:
        stream = self._streams.get("resize")
        return await stream.read() if stream is not None else b""

    async def write(self, channel: int, data: bytes) -> None:
        stream = self._streams.get("stdout" if channel == STDOUT else "stderr")
        if stream is not None:
            await stream.write(data)

    async def ping(self) -> None:
        await self._connection.ping()

    async def finish(self, outcome: Outcome) -> None:
        error = self._streams.get("error")
        if error is not None:
            await error.write(outcome.status if self._version == SPDY_VERSIONS[0] else outcome.text.encode())
        for stream in self._streams.values():
            await stream.close_write()


class WebSocketRemote:
    """A client over WebSocket: the first byte of a message (a digit, in the base64 forms) is its channel."""

    def __init__(self, socket: WebSocketWire, version: str, streams: Streams) -> None:
        self._socket = socket
        self._version = version or "channel.k8s.io"
        self._text = "base64" in self._version
        self._streams = streams
        self._stdin, self._resize = Inbox(), Inbox(_SIZE_LIMIT)
        if not streams.stdin:
            self._stdin.refuse()
        if not streams.tty:
            self._resize.refuse()

    async def run(self) -> None:
        try:
            while (message := await self._socket.receive()) is not None:
                if not message:
                    continue
                if self._text:
                    channel = message[0] - ord("0")
                    try:
                        data = base64.b64decode(message[1:], validate=True)
                    except binascii.Error:
                        await self._socket.close(1007, "base64 that cannot be decoded")
                        return
                else:
                    channel, data = message[0], message[1:]
                await self._take(channel, data)
        finally:
            self._stdin.end()
            self._resize.end()

    async def _take(self, channel: int, data: bytes) -> None:
        if channel == STDIN:
            await self._stdin.put(data)
        elif channel == RESIZE:
            await self._resize.put(data)
        elif channel == CLOSE and self._version.startswith("v5") and data[:1] == bytes((STDIN,)):
            self._stdin.end()

    async def ready(self) -> None:
        """Say that the connection stands, as upstream does, by an empty message on the first channel."""
        first = STDOUT if self._streams.stdout else STDERR if self._streams.stderr else ERROR
        await self.write(first, b"")

    async def read_stdin(self) -> bytes:
        return await self._stdin.get()

    async def read_resize(self) -> bytes:
        return await self._resize.get()

    async def write(self, channel: int, data: bytes) -> None:
        if self._text:
            await self._socket.send(b"%d" % channel + base64.b64encode(data), text=True)
        else:
            await self._socket.send(bytes((channel,)) + data)

    async def ping(self) -> None:
        await self._socket.ping()

    async def finish(self, outcome: Outcome) -> None:
        said = outcome.status if self._version.startswith("v") else outcome.text.encode()
        if said:
            await self.write(ERROR, said)
        await self._socket.close()
