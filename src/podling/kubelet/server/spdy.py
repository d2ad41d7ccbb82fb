"""SPDY/3.1 as bytes in and events out: what kubectl before 1.30 and Go programs speak after an upgrade.

Owns framing and header compression. Pure: no I/O, no clock. The windows of SPDY are accepted and ignored, as the Go
library at the other end ignores them; whoever holds a codec holds back by not reading.

Invariants: a control frame is refused before its body is buffered if it is too long; a data frame is told piece by
piece and never held; headers that inflate beyond their bound are refused; after `SpdyError` the codec is of no use.
"""

from __future__ import annotations

import struct
import zlib
from enum import IntEnum
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping

MAX_CONTROL = 64 * 1024
"""Bytes of one control frame's body."""
MAX_HEADERS = 64 * 1024
"""Bytes of one header block, inflated."""
MAX_DATA = 32 * 1024
"""Bytes put into one data frame."""

_FIN = 0x01
PROTOCOL_ERROR, INVALID_STREAM, REFUSED_STREAM, CANCEL, INTERNAL_ERROR = 1, 2, 3, 5, 6

_NAMES = [
    "options",
    "head",
    "post",
    "put",
    "delete",
    "trace",
    "accept",
    "accept-charset",
    "accept-encoding",
    "accept-language",
    "accept-ranges",
    "age",
    "allow",
    "authorization",
    "cache-control",
    "connection",
    "content-base",
    "content-encoding",
    "content-language",
    "content-length",
    "content-location",
    "content-md5",
    "content-range",
    "content-type",
    "date",
    "etag",
    "expect",
    "expires",
    "from",
    "host",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "last-modified",
    "location",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "referer",
    "retry-after",
    "server",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "vary",
    "via",
    "warning",
    "www-authenticate",
    "method",
    "get",
    "status",
]
_PLAIN = (
    "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505"
    "203 Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized"
    "403 Forbidden404 Not Found500 Internal Server Error501 Not Implemented503 Service Unavailable"
    "Jan Feb Mar Apr May Jun Jul Aug Sept Oct Nov Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMT"
    "chunked,text/html,image/png,image/jpg,image/gif,application/xml,application/xhtml+xml,text/plain,"
    "text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-1,utf-,*,enq=0."
)


def _counted(*words: str) -> bytes:
    return b"".join(struct.pack(">I", len(word)) + word.encode() for word in words)


DICTIONARY = (
    _counted(*_NAMES, "200 OK", "version", "HTTP/1.1", "url", "public", "set-cookie", "keep-alive", "origin")
    + _PLAIN.encode()
)
"""The dictionary that both ends prime zlib with; its Adler-32 is e3c6a7c2."""


class _Kind(IntEnum):
    SYN_STREAM = 1
    SYN_REPLY = 2
    RST_STREAM = 3
    PING = 6
    GOAWAY = 7
    HEADERS = 8


class SpdyError(Exception):
    """The peer broke the protocol; the connection is to be closed."""


class SynStream(Struct, frozen=True):
    """The peer opened a stream."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


class SynReply(Struct, frozen=True):
    """The peer accepted a stream."""

    stream: int
    headers: Mapping[str, str]
    fin: bool = False


class Data(Struct, frozen=True):
    """Bytes of a stream; `fin` closes the peer's half."""

    stream: int
    data: bytes
    fin: bool = False


class RstStream(Struct, frozen=True):
    """The peer gave a stream up."""

    stream: int
    code: int


class Ping(Struct, frozen=True):
    """A ping of the peer's (to be sent back), or the return of one of ours."""

    id: int
    ours: bool


class GoAway(Struct, frozen=True):
    """The peer will open and accept no more streams."""

    last_stream: int


Event = SynStream | SynReply | Data | RstStream | Ping | GoAway


class SpdyCodec:
    """One end of a connection: the server's unless `client`."""

    def __init__(self, *, client: bool = False) -> None:
        self._client = client
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._held = bytearray()
        self._body: tuple[int, int, int] | None = None  # of the data frame under way: stream, flags, bytes to come
        self._last_peer_stream = 0

    @property
    def held(self) -> int:
        """Bytes kept until the rest of their frame has come."""
        return len(self._held)

    def receive(self, data: bytes) -> list[Event]:
        """Take bytes; return what they told."""
        self._held += data
        events: list[Event] = []
        while True:
            if self._body is not None:
                stream, flags, left = self._body
                if not self._held and left:
                    return events
                piece = bytes(self._held[:left])
                del self._held[: len(piece)]
                left -= len(piece)
                self._body = (stream, flags, left) if left else None
                events.append(Data(stream, piece, fin=not left and bool(flags & _FIN)))
                continue
            if len(self._held) < 8:
                return events
            first, second = struct.unpack_from(">II", self._held)
            flags, length = second >> 24, second & 0xFFFFFF
            if not first & 0x80000000:
                if not first:
                    raise SpdyError("data on stream 0")
                del self._held[:8]
                self._body = (first, flags, length)
                continue
            if length > MAX_CONTROL:
                raise SpdyError(f"a control frame of {length} bytes")
            if len(self._held) < 8 + length:
                return events
            body = bytes(self._held[8 : 8 + length])
            del self._held[: 8 + length]
            version, kind = (first >> 16) & 0x7FFF, first & 0xFFFF
            if version != 3:
                raise SpdyError(f"SPDY version {version}")
            event = self._control(kind, flags, body)
            if event is not None:
                events.append(event)

    def _control(self, kind: int, flags: int, body: bytes) -> Event | None:
        try:
            match kind:
                case _Kind.SYN_STREAM:
                    return self._syn_stream(flags, body)
                case _Kind.SYN_REPLY:
                    (stream,) = struct.unpack_from(">I", body)
                    return SynReply(stream & 0x7FFFFFFF, self._headers(body[4:]), bool(flags & _FIN))
                case _Kind.RST_STREAM:
                    stream, code = struct.unpack(">II", body)
                    return RstStream(stream & 0x7FFFFFFF, code)
                case _Kind.PING:
                    (number,) = struct.unpack(">I", body)
                    return Ping(number, bool(number & 1) == self._client)
                case _Kind.GOAWAY:
                    last, _ = struct.unpack(">II", body)
                    return GoAway(last & 0x7FFFFFFF)
                case _Kind.HEADERS:
                    # Later headers mean nothing to Kubernetes, but the compression's state must follow them.
                    self._headers(body[4:])
                    if flags & _FIN:
                        (stream,) = struct.unpack_from(">I", body)
                        return Data(stream & 0x7FFFFFFF, b"", fin=True)
                case _:
                    pass  # SETTINGS, WINDOW_UPDATE, CREDENTIAL and what is not known: skipped, as the standard asks
        except struct.error as error:
            raise SpdyError(f"a malformed frame of type {kind}") from error
        return None

    def _syn_stream(self, flags: int, body: bytes) -> SynStream:
        stream, _, _ = struct.unpack_from(">IIH", body)
        stream &= 0x7FFFFFFF
        headers = self._headers(body[10:])
        if bool(stream & 1) == self._client or stream <= self._last_peer_stream:
            raise SpdyError(f"the peer may not open stream {stream}")
        self._last_peer_stream = stream
        return SynStream(stream, headers, bool(flags & _FIN))

    def _headers(self, block: bytes) -> Mapping[str, str]:
        try:
            text = self._inflate.decompress(block, MAX_HEADERS)
        except zlib.error as error:
            raise SpdyError("headers that do not inflate") from error
        if self._inflate.unconsumed_tail or self._inflate.eof:
            raise SpdyError("too many headers")
        (count,) = struct.unpack_from(">I", text)
        offset = 4
        headers: dict[str, str] = {}
        for _ in range(count):
            words: list[str] = []
            for _ in range(2):
                (size,) = struct.unpack_from(">I", text, offset)
                offset += 4
                if offset + size > len(text):
                    raise SpdyError("a header longer than its frame")
                words.append(text[offset : offset + size].decode("utf-8", "replace"))
                offset += size
            headers[words[0].lower()] = words[1].split("\0")[0]
        return headers

    # --- what is sent ------------------------------------------------------------------------------------------------

    def _block(self, headers: Mapping[str, str]) -> bytes:
        text = struct.pack(">I", len(headers))
        for name, value in headers.items():
            text += _counted(name.lower()) + struct.pack(">I", len(value.encode())) + value.encode()
        return self._deflate.compress(text) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def syn_stream(self, stream: int, headers: Mapping[str, str], *, fin: bool = False) -> bytes:
        return _frame(_Kind.SYN_STREAM, _FIN * fin, struct.pack(">IIH", stream, 0, 0) + self._block(headers))

    def syn_reply(self, stream: int, headers: Mapping[str, str] | None = None, *, fin: bool = False) -> bytes:
        return _frame(_Kind.SYN_REPLY, _FIN * fin, struct.pack(">I", stream) + self._block(headers or {}))


def data_frames(stream: int, data: bytes, *, fin: bool = False) -> bytes:
    """Return data as frames of at most `MAX_DATA` bytes; the last one closes this end's half if `fin`."""
    pieces = [data[at : at + MAX_DATA] for at in range(0, len(data), MAX_DATA)] or [b""]
    last = len(pieces) - 1
    return b"".join(
        struct.pack(">II", stream, (_FIN * (fin and index == last)) << 24 | len(piece)) + piece
        for index, piece in enumerate(pieces)
    )


def rst_stream(stream: int, code: int = CANCEL) -> bytes:
    return _frame(_Kind.RST_STREAM, 0, struct.pack(">II", stream, code))


def ping(number: int) -> bytes:
    return _frame(_Kind.PING, 0, struct.pack(">I", number))


def _frame(kind: int, flags: int, body: bytes) -> bytes:
    return struct.pack(">HHI", 0x8003, kind, flags << 24 | len(body)) + body
