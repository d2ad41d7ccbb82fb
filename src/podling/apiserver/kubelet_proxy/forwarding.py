"""One request passed on over a raw connection: head, body, and after an upgrade whatever both sides say.

Owns HTTP/1.1 as far as passing on needs it. Bytes are passed as they come and never held: whoever is slow slows the
other. Invariants: headers that belong to one connection do not cross; credentials do not cross; a body that breaks off
breaks the client's connection too, so that nobody takes a piece for the whole.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from podling.aio.takeover import Taken, Takeover
from podling.api.errors import internal

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from aiohttp import web

_PIECE = 64 * 1024
HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_TOKEN = "base64url.bearer.authorization.k8s.io."  # noqa: S105  # how browsers bring a token along
_SECRET = frozenset({"authorization", "host", "content-length", "expect"})


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer."""

    code: int
    phrase: str
    headers: Sequence[tuple[str, str]]
    raw: bytes

    def header(self, name: str) -> str:
        """Return a header's first value, "" without it."""
        return next((value for key, value in self.headers if key.lower() == name), "")


async def ask(
    request: web.BaseRequest, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str, host: str,
    *, upgrade: bool, more: Sequence[str] = (),
) -> Head:  # fmt: skip
    """Send the request on as one for `target`, with `more` lines in its head, and return the head of the answer."""
    lines = [f"{request.method} {target} HTTP/1.1", f"Host: {host}"]
    kept_back = HOP | _SECRET | {it.strip().lower() for it in request.headers.get("Connection", "").split(",")}
    if upgrade:
        kept_back -= {"connection", "upgrade"}
    for name, value in request.headers.items():
        if name.lower() == "sec-websocket-protocol":
            value = ", ".join(it for it in map(str.strip, value.split(",")) if not it.startswith(_TOKEN))
        if value and name.lower() not in kept_back and not name.lower().startswith("impersonate-"):
            lines.append(f"{name}: {value}")
    if not upgrade:
        lines.append("Connection: close")
    if request.remote:
        lines.append(f"X-Forwarded-For: {request.remote}")
    lines += more
    length = request.content_length
    if request.can_read_body and length is None:
        lines.append("Transfer-Encoding: chunked")
    elif length is not None or request.method not in {"GET", "HEAD"}:
        lines.append(f"Content-Length: {length or 0}")
    try:
        writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
        if request.can_read_body:
            async for piece in request.content.iter_any():
                writer.write(piece if length is not None else b"%x\r\n%b\r\n" % (len(piece), piece))
                await writer.drain()
            if length is None:
                writer.write(b"0\r\n\r\n")
        while (head := await head_of(reader)).code == 100:
            pass
    except (ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise internal(f"error trying to reach the backend: {error or type(error).__name__}") from error
    return head


async def head_of(reader: asyncio.StreamReader) -> Head:
    """Read the head of an answer; what is none raises as its reader does, or ValueError."""
    raw = await reader.readuntil(b"\r\n\r\n")
    first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
    version, code, *phrase = first.split(" ", 2)
    if not version.startswith("HTTP/1."):
        raise ValueError(f"malformed HTTP response {first[:80]!r}")
    headers = [(name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    return Head(int(code), phrase[0] if phrase else "", headers, raw)


async def body_of(head: Head, reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    """Yield a body as it comes, without the frames around it; one that breaks off is a ConnectionResetError."""
    chunked = "chunked" in head.header("transfer-encoding").lower()
    length = head.header("content-length")
    left = int(length) if length.isdecimal() else -1
    try:
        while chunked and (size := int((await reader.readuntil(b"\n")).split(b";")[0], 16)):
            async for piece in _counted(reader, size):
                yield piece
            await reader.readuntil(b"\n")
        if not chunked:
            async for piece in _counted(reader, left):
                yield piece
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError) as error:
        raise ConnectionResetError("the backend broke off") from error


async def _counted(reader: asyncio.StreamReader, left: int) -> AsyncIterator[bytes]:
    """Yield as many bytes; all there are where `left` is negative."""
    while left and (piece := await reader.read(_PIECE if left < 0 else min(_PIECE, left))):
        left -= len(piece) if left > 0 else 0
        yield piece
    if left > 0:
        raise ConnectionResetError("the backend broke off")


async def short_body(head: Head, reader: asyncio.StreamReader, limit: int = 10_000) -> str:
    """Return the beginning of a body as text: what is said beside an error."""
    body = bytearray()
    with contextlib.suppress(ConnectionError):
        async for piece in body_of(head, reader):
            body += piece
            if len(body) >= limit:
                break
    return body[:limit].decode("utf-8", "replace")


def is_bare(request: web.BaseRequest, head: Head) -> bool:
    """Whether an answer has no body, whatever its head says of one."""
    return request.method == "HEAD" or head.code in {204, 304}


async def pass_answer(request: web.BaseRequest, head: Head, reader: asyncio.StreamReader) -> web.StreamResponse:
    """Pass an answer on as it comes."""
    transport: Any = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    chunked = "chunked" in head.header("transfer-encoding").lower()
    length = head.header("content-length")
    bare = is_bare(request, head)
    counted = bare or (not chunked and length.isdecimal())
    lines = [f"HTTP/1.1 {head.code} {head.phrase}"]
    lines += [f"{name}: {value}" for name, value in head.headers if name.lower() not in HOP]
    if chunked and not bare:
        lines.append("Transfer-Encoding: chunked")
    if not counted:
        lines.append("Connection: close")
    transport.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
    left = 0 if bare else int(length) if counted else -1
    ending = b""
    while left and (piece := await reader.read(_PIECE if left < 0 else min(_PIECE, left))):
        if left > 0:
            left -= len(piece)
        ending = (ending + piece)[-5:]
        if transport.is_closing():
            raise ConnectionResetError("the client has gone")
        transport.write(piece)
        await request.protocol._drain_helper()
    if left > 0 or (chunked and not bare and ending != b"0\r\n\r\n"):
        transport.abort()
        raise ConnectionResetError("the backend broke off")
    return Taken(status=head.code, keep=counted and request.keep_alive)


async def tunnel(
    request: web.BaseRequest, head: Head, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> web.StreamResponse:
    """Join the client's connection with the backend's after an upgrade, until either closes."""
    async with Takeover(request) as (client_reader, client_writer):
        client_writer.write(head.raw)
        ways = {
            asyncio.create_task(_pump(client_reader, writer), name="tunnel to the backend"),
            asyncio.create_task(_pump(reader, client_writer), name="tunnel to the client"),
        }
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            # Not closed but broken off: a backend that has stopped reading would keep a close waiting for ever.
            writer.transport.abort()
    return Taken(status=101)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_PIECE):
            if writer.transport.is_closing():
                return
            writer.write(data)
            await writer.drain()
