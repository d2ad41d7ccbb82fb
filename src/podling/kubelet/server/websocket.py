"""WebSocket (RFC 6455) as bytes in and messages out.

Owns the handshake's arithmetic, framing, masks, fragments and control frames. Pure: no I/O, no clock. No extensions are
negotiated. Invariants: a message longer than `limit` is refused before it is buffered; a server refuses unmasked
frames, a client masked ones; after `WebSocketError` the codec is of no use, and `code` says why in a close frame.
"""

from __future__ import annotations

import base64
import hashlib
import struct
from enum import IntEnum

from msgspec import Struct

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
MESSAGE_LIMIT = 8 * 1024 * 1024
NORMAL, PROTOCOL_ERROR, TOO_BIG, INTERNAL = 1000, 1002, 1009, 1011


class Opcode(IntEnum):
    """What a frame is."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


class WebSocketError(Exception):
    """The peer broke the protocol."""

    def __init__(self, code: int, why: str) -> None:
        super().__init__(why)
        self.code = code


class Message(Struct, frozen=True):
    """A whole message, or a control frame."""

    opcode: Opcode
    data: bytes


def accept_key(key: str) -> str:
    """Return what a server answers to a client's Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()).decode()


class WebSocketCodec:
    """One end of a connection: the server's unless `client`."""

    def __init__(self, *, client: bool = False, limit: int = MESSAGE_LIMIT) -> None:
        self._client = client
        self._limit = limit
        self._held = bytearray()
        self._parts = bytearray()
        self._opcode: Opcode | None = None

    @property
    def held(self) -> int:
        """Bytes kept until the rest of their message has come."""
        return len(self._held) + len(self._parts)

    def receive(self, data: bytes) -> list[Message]:
        """Take bytes; return the messages that they complete."""
        self._held += data
        messages: list[Message] = []
        while (frame := self._frame()) is not None:
            message = self._message(*frame)
            if message is not None:
                messages.append(message)
        return messages

    def _frame(self) -> tuple[bool, Opcode, bytes] | None:
        held = self._held
        if len(held) < 2:
            return None
        first, second = held[0], held[1]
        if first & 0x70:
            raise WebSocketError(PROTOCOL_ERROR, "reserved bits are set")
        try:
            opcode = Opcode(first & 0x0F)
        except ValueError:
            raise WebSocketError(PROTOCOL_ERROR, f"opcode {first & 0x0F}") from None
        masked, length, offset = bool(second & 0x80), second & 0x7F, 2
        if masked == self._client:
            raise WebSocketError(PROTOCOL_ERROR, "a frame masked by the wrong side")
        if opcode >= Opcode.CLOSE and (length > 125 or not first & 0x80):
            raise WebSocketError(PROTOCOL_ERROR, "a control frame that is long or fragmented")
        if length >= 126:
            width = 2 if length == 126 else 8
            if len(held) < 2 + width:
                return None
            length = int.from_bytes(held[2 : 2 + width], "big")
            offset += width
        if length + len(self._parts) > self._limit:
            raise WebSocketError(TOO_BIG, f"a message of more than {self._limit} bytes")
        mask = b""
        if masked:
            mask = bytes(held[offset : offset + 4])
            offset += 4
        if len(held) < offset + length:
            return None
        payload = bytes(held[offset : offset + length])
        del held[: offset + length]
        return bool(first & 0x80), opcode, _masked(payload, mask) if masked else payload

    def _message(self, final: bool, opcode: Opcode, payload: bytes) -> Message | None:
        if opcode >= Opcode.CLOSE:
            return Message(opcode, payload)
        if (opcode is Opcode.CONTINUATION) != (self._opcode is not None):
            raise WebSocketError(PROTOCOL_ERROR, "fragments out of order")
        if self._opcode is None:
            if final:
                return Message(opcode, payload)
            self._opcode = opcode
        self._parts += payload
        if not final:
            return None
        message = Message(self._opcode, bytes(self._parts))
        self._opcode = None
        self._parts.clear()
        return message

    def frame(self, opcode: Opcode, data: bytes, mask: bytes = b"\0\0\0\0") -> bytes:
        """Return a whole message as one frame; a client gives four bytes of chance as its mask."""
        length = len(data)
        bit = 0x80 if self._client else 0
        if length < 126:
            head = bytes((0x80 | opcode, bit | length))
        elif length < 65536:
            head = struct.pack(">BBH", 0x80 | opcode, bit | 126, length)
        else:
            head = struct.pack(">BBQ", 0x80 | opcode, bit | 127, length)
        return head + (mask + _masked(data, mask) if self._client else data)

    def close_frame(self, code: int = NORMAL, why: str = "") -> bytes:
        """Return the frame that ends the conversation."""
        return self.frame(Opcode.CLOSE, struct.pack(">H", code) + why.encode()[:120])


def _masked(data: bytes, mask: bytes) -> bytes:
    if not data or mask == b"\0\0\0\0":
        return data
    # One exclusive or over a long integer: a loop over bytes would cost more than everything else here.
    length = len(data)
    key = (mask * (length // 4 + 1))[:length]
    return (int.from_bytes(data, "little") ^ int.from_bytes(key, "little")).to_bytes(length, "little")
