"""A WebSocket connection: messages over a wire, and itself a wire for what is tunnelled through it.

Owns the shell around `websocket`: pings answered, close frames answered once. Invariant: `receive` reads no further
while its message is not taken, so that the connection holds back whoever writes faster than is read.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from podling.kubelet.server import websocket
from podling.kubelet.server.websocket import Message, Opcode, WebSocketCodec, WebSocketError

if TYPE_CHECKING:
    from podling.kubelet.server.wire import Wire


class WebSocketWire:
    """The server's end of a WebSocket, after the handshake."""

    def __init__(self, wire: Wire, limit: int = websocket.MESSAGE_LIMIT) -> None:
        self._wire = wire
        self._codec = WebSocketCodec(limit=limit)
        self._messages: deque[Message] = deque()
        self._closed = False

    async def receive(self) -> bytes | None:
        """Return the next message; `None` at the end."""
        while True:
            while self._messages:
                message = self._messages.popleft()
                match message.opcode:
                    case Opcode.TEXT | Opcode.BINARY:
                        return message.data
                    case Opcode.PING:
                        await self._send(Opcode.PONG, message.data)
                    case Opcode.CLOSE:
                        await self.close()
                        return None
                    case _:
                        pass
            data = await self._wire.read()
            if not data:
                return None
            try:
                self._messages.extend(self._codec.receive(data))
            except WebSocketError as error:
                await self.close(error.code, str(error))
                return None

    async def send(self, data: bytes, *, text: bool = False) -> None:
        await self._send(Opcode.TEXT if text else Opcode.BINARY, data)

    async def ping(self) -> None:
        await self._send(Opcode.PING, b"")

    async def close(self, code: int = websocket.NORMAL, why: str = "") -> None:
        """Say that nothing more will be sent."""
        if not self._closed:
            self._closed = True
            self._wire.write(self._codec.close_frame(code, why))
            await self._wire.drain()

    async def _send(self, opcode: Opcode, data: bytes) -> None:
        if not self._closed:
            self._wire.write(self._codec.frame(opcode, data))
            await self._wire.drain()

    # As a wire.

    async def read(self) -> bytes:
        while (data := await self.receive()) is not None:
            if data:
                return data
        return b""

    def write(self, data: bytes) -> None:
        if not self._closed:
            self._wire.write(self._codec.frame(Opcode.BINARY, data))

    async def drain(self) -> None:
        await self._wire.drain()
