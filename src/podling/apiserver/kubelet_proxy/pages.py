"""Answers of what is behind a proxy path, passed on so that their links lead through the proxy again.

Owns which answers are changed: where one redirects to, and what an HTML page links to, plain or gzipped. Other answers
pass as they are but for the headers by which a backend lets pages of other origins read it: it does not speak for the
API server. Invariants: a page is changed as it comes and never held as a whole, neither packed nor unpacked; whatever
it is made of, others have their turn after a few milliseconds of it.
"""

from __future__ import annotations

import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aiohttp import HttpVersion11

from podling.aio.takeover import Taken
from podling.apiserver.kubelet_proxy.forwarding import HOP, Head, body_of, is_bare
from podling.apiserver.kubelet_proxy.forwarding import pass_answer as pass_as_is
from podling.apiserver.kubelet_proxy.links import Links, PageLinks

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from aiohttp import web

    from podling.aio.clock import Clock

_CORS = frozenset({
    "access-control-allow-credentials", "access-control-allow-headers", "access-control-allow-methods",
    "access-control-allow-origin",
})  # fmt: skip
_GZIP = 31
"""What zlib calls the format."""

_TURN = 8 * 1024
"""How much of a page is looked through at once."""


async def pass_answer(
    request: web.BaseRequest, head: Head, reader: asyncio.StreamReader, links: Links, clock: Clock
) -> web.StreamResponse:
    """Pass an answer on with its links led back."""
    moved = bool(head.header("location"))
    headers = [
        (name, links.led_back(value) if name.lower() == "location" else value)
        for name, value in head.headers
        if name.lower() not in _CORS
    ]
    head = replace(head, headers=headers)
    kind = head.header("content-type").partition(";")[0].strip()
    coding = head.header("content-encoding")
    if moved or kind != "text/html" or coding not in {"", "gzip"} or is_bare(request, head):
        return await pass_as_is(request, head, reader)
    return await _pass_page(request, head, reader, _Gzipped(links) if coding else _Plain(links), clock)


async def _pass_page(
    request: web.BaseRequest, head: Head, reader: asyncio.StreamReader, page: _Plain, clock: Clock
) -> web.StreamResponse:
    transport: Any = request.transport
    if transport is None:
        raise ConnectionResetError("the client has gone")
    chunked = request.version >= HttpVersion11
    lines = [f"HTTP/1.1 {head.code} {head.phrase}"]
    lines += [f"{name}: {value}" for name, value in head.headers if name.lower() not in HOP | {"content-length"}]
    lines.append("Transfer-Encoding: chunked" if chunked else "Connection: close")
    transport.write("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    async def write(pieces: Iterator[bytes]) -> None:
        for piece in pieces:
            if piece:
                transport.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                await request.protocol._drain_helper()
            await clock.sleep(0)

    try:
        async for piece in body_of(head, reader):
            if transport.is_closing():
                raise ConnectionResetError("the client has gone")
            await write(page.change(piece))
        await write(page.rest())
    except (ConnectionError, zlib.error) as error:
        transport.abort()
        raise ConnectionResetError("the backend broke off") from error
    if chunked:
        transport.write(b"0\r\n\r\n")
    return Taken(status=head.code, keep=chunked and request.keep_alive)


class _Plain:
    """A page as it stands."""

    def __init__(self, links: Links) -> None:
        self._links = PageLinks(links)

    def change(self, piece: bytes) -> Iterator[bytes]:
        for at in range(0, len(piece), _TURN):
            yield self._links.change(piece[at : at + _TURN])

    def rest(self) -> Iterator[bytes]:
        yield self._links.rest()


class _Gzipped(_Plain):
    """A page that is packed: unpacked in pieces of a bounded size, whatever it was packed from, and packed again."""

    def __init__(self, links: Links) -> None:
        super().__init__(links)
        self._unpacked = zlib.decompressobj(_GZIP)
        self._packed = zlib.compressobj(1, zlib.DEFLATED, _GZIP)

    def change(self, piece: bytes) -> Iterator[bytes]:
        more = True
        while more and not self._unpacked.eof:
            plain = self._unpacked.decompress(piece, _TURN)
            piece = self._unpacked.unconsumed_tail
            more = bool(piece) or len(plain) == _TURN
            yield self._packed.compress(self._links.change(plain))

    def rest(self) -> Iterator[bytes]:
        if not self._unpacked.eof:
            raise ConnectionResetError("the backend broke off")
        yield self._packed.compress(self._links.rest()) + self._packed.flush()
