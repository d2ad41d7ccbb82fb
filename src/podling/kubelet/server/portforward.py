"""Forwarded ports: pairs of streams over SPDY, pairs of channels over WebSocket.

Owns the pairing and what a client is told when a port does not answer. Each forwarded connection is a task of its own;
one that fails harms no other. Invariants: a pair that stays incomplete is given up; connections and the bytes held for
each are bounded.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import logging
import struct
from typing import TYPE_CHECKING

from podling.kubelet.server.sessions import join
from podling.kubelet.server.spdy import SpdyError
from podling.kubelet.server.spdystreams import SpdyConnection, SpdyStream
from podling.kubelet.server.wire import Inbox, Wire
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from podling.aio.clock import Clock
    from podling.kubelet.server.websocketwire import WebSocketWire
    from podling.runtime.protocol import ByteStream

log = logging.getLogger("podling.kubelet.server")

SPDY_PROTOCOL = "portforward.k8s.io"
TUNNEL_PROTOCOL = "SPDY/3.1+portforward.k8s.io"
"""SPDY inside the messages of a WebSocket, as kubectl does it since 1.30."""
WEBSOCKET_VERSIONS = ("v4.channel.k8s.io", "v4.base64.channel.k8s.io")
PAIR_PATIENCE = 30.0


class _Tasks:
    """The connections under way."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def start(self, work: Awaitable[None], name: str) -> None:
        async def run() -> None:
            await work

        task = asyncio.create_task(run(), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s failed", task.get_name(), exc_info=error)

    async def end(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class SpdyForwarding:
    """Streams `error` and `data` with the same `requestID` make one connection to their `port`."""

    def __init__(self, wire: Wire, connect: Callable[[int], Awaitable[ByteStream]], pod: str, clock: Clock) -> None:
        self._connection = SpdyConnection(wire, self._accept)
        self._connect = connect
        self._pod = pod
        self._clock = clock
        self._waiting: dict[str, tuple[SpdyStream, asyncio.Event]] = {}
        self._tasks = _Tasks()

    async def run(self) -> None:
        """Serve until the client closes the connection."""
        try:
            await self._connection.run()
        except (ConnectionError, SpdyError) as error:
            log.debug("a client was cut off: %s", error)
        finally:
            await self._tasks.end()

    def _accept(self, stream: SpdyStream) -> bool:
        kind, port = stream.headers.get("streamtype", ""), stream.headers.get("port", "")
        if kind not in {"error", "data"} or not port.isdecimal() or not 0 < int(port) < 65536:
            return False
        # Clients older than requestID open the data stream right after the error stream.
        request = stream.headers.get("requestid") or f"#{stream.id if kind == 'error' else stream.id - 2}"
        if request not in self._waiting:
            complete = asyncio.Event()
            self._waiting[request] = (stream, complete)
            self._tasks.start(self._give_up(request, complete), f"port-forward {request}")
            return True
        other, complete = self._waiting[request]
        if other.headers.get("streamtype") == kind:
            return False
        del self._waiting[request]
        complete.set()
        data, error = (stream, other) if kind == "data" else (other, stream)
        self._tasks.start(self._forward(data, error, int(data.headers["port"])), f"port-forward {port}")
        return True

    async def _give_up(self, request: str, complete: asyncio.Event) -> None:
        try:
            async with self._clock.timeout(PAIR_PATIENCE):
                await complete.wait()
        except TimeoutError:
            stream, _ = self._waiting.pop(request)
            await _quietly(stream.reset())

    async def _forward(self, data: SpdyStream, error: SpdyStream, port: int) -> None:
        error.inbox.refuse()
        try:
            try:
                target = await self._connect(port)
                await join(data.read, data.write, data.close_write, target)
            except (RuntimeFailure, OSError) as failure:
                if data.over:
                    return
                await error.write(refusal(port, self._pod, failure).encode())
            data.inbox.refuse()
            await data.close_write()
            await error.close_write()
        except ConnectionError as gone:
            log.debug("a client has gone: %s", gone)


class WebSocketForwarding:
    """Channels 2n (data) and 2n+1 (error) carry the n-th port; each begins with the port in two bytes."""

    def __init__(
        self, socket: WebSocketWire, connect: Callable[[int], Awaitable[ByteStream]], pod: str, ports: Sequence[int],
        *, text: bool = False,
    ) -> None:  # fmt: skip
        self._socket = socket
        self._connect = connect
        self._pod = pod
        self._ports = ports
        self._text = text
        self._inboxes = [Inbox() for _ in ports]
        self._open = len(ports)
        self._tasks = _Tasks()

    async def run(self) -> None:
        """Serve until the client closes the connection."""
        try:
            for index, port in enumerate(self._ports):
                for channel in (2 * index, 2 * index + 1):
                    await self._send(channel, struct.pack("<H", port))
            for index, port in enumerate(self._ports):
                self._tasks.start(self._forward(index, port), f"port-forward {port}")
            while (message := await self._socket.receive()) is not None:
                if not message:
                    continue
                try:
                    channel = message[0] - ord("0") if self._text else message[0]
                    data = base64.b64decode(message[1:], validate=True) if self._text else message[1:]
                except binascii.Error:
                    await self._socket.close(1007, "base64 that cannot be decoded")
                    return
                if channel % 2 == 0 and 0 <= channel // 2 < len(self._inboxes):
                    await self._inboxes[channel // 2].put(data)
        except ConnectionError as error:
            log.debug("a client has gone: %s", error)
        finally:
            for inbox in self._inboxes:
                inbox.end()
            await self._tasks.end()

    async def _send(self, channel: int, data: bytes) -> None:
        if self._text:
            await self._socket.send(b"%d" % channel + base64.b64encode(data), text=True)
        else:
            await self._socket.send(bytes((channel,)) + data)

    async def _forward(self, index: int, port: int) -> None:
        inbox = self._inboxes[index]

        async def write(data: bytes) -> None:
            await self._send(2 * index, data)

        async def nothing() -> None:
            """WebSocket channels cannot be closed by half."""

        try:
            try:
                await join(inbox.get, write, nothing, await self._connect(port))
            except (RuntimeFailure, OSError) as failure:
                await self._send(2 * index + 1, refusal(port, self._pod, failure).encode())
            inbox.refuse()
            self._open -= 1
            if not self._open:
                await self._socket.close()
        except ConnectionError as gone:
            log.debug("a client has gone: %s", gone)


def refusal(port: int, pod: str, failure: Exception) -> str:
    """Return what a client is told of a port that does not answer, as upstream words it."""
    why = failure.message if isinstance(failure, RuntimeFailure) else str(failure)
    return f"error forwarding port {port} to pod {pod}, uid : {why}"


async def _quietly(work: Awaitable[None]) -> None:
    try:
        await work
    except ConnectionError as error:
        log.debug("a client has gone: %s", error)
