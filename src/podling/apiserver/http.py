"""The API over HTTP/1.1: sockets, TLS and frames around the chain.

Owns the listening side: who calls (through the authenticator), bodies with their bound, answers with upstream's
headers, lists in pieces, watches written straight to the connection. Knows nothing of objects. aiohttp parses requests
and keeps connections; answers are put together here, because its own way costs more than everything the server does
for a GET.

Invariants: no answer is buffered without bound (a watcher whose connection does not keep up is cut off); after
`close` no connection of this listener is open; a connection that does not finish a request's head is closed.
"""

from __future__ import annotations

import asyncio
import logging
import zlib
from asyncio.sslproto import SSLProtocol
from email.utils import formatdate
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import parse_qsl

import msgspec
from aiohttp import HttpVersion11, web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge

from podling.aio.patience import PatientServer
from podling.api.errors import StatusError, bad_request, internal, not_found, timeout, too_large, unauthorized
from podling.apiserver.chain import MAX_BODY, attributes_of
from podling.apiserver.http_answers import Line, Raw, join, or_abort, quoted, takes_gzip, write_initial
from podling.apiserver.identity.authentication import asks_to_impersonate, impersonated
from podling.apiserver.messages import JSON, Request, Response, Watching
from podling.apiserver.paths import resource_path
from podling.apiserver.verbs.connecting import admit_connect

if TYPE_CHECKING:
    import ssl
    from collections.abc import Iterator

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.apiserver.cache import Notice
    from podling.apiserver.cache.notices import EventType
    from podling.apiserver.chain import Chain
    from podling.apiserver.record import Authenticator, Authorizer, User
    from podling.apiserver.registry import Registry

log = logging.getLogger("podling.apiserver.http")


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record of the HTTP library is about more than a request that is no HTTP: anybody can send those."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_wire = logging.getLogger("podling.apiserver.http.wire")
_wire.addFilter(_is_ours)

WRITE_LIMIT = 4 * 1024 * 1024
"""Bytes that may wait for one watcher's connection before it is cut off."""

_TLS_BUFFER = 32 * 1024
BODY_PATIENCE = 60.0
"""Seconds within which a body must have come: what upstream gives a whole request."""

_GZIP_FROM = 128 * 1024
_SHUTDOWN_PATIENCE = 5.0
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_READING = frozenset({"GET", "HEAD"})
_STREAMS = frozenset({"log", "exec", "attach", "portforward", "proxy"})


class KubeletProxy(Protocol):
    """Carries what only a kubelet (or a Pod behind it) can answer."""

    async def serve(
        self, request: web.BaseRequest, *, pod: Encoded, subresource: str, user: User
    ) -> web.StreamResponse: ...


class HttpServer:
    """One API server's listeners. `proxy` is asked for logs, exec, attach, port-forward and proxy paths."""

    def __init__(
        self,
        chain: Chain,
        registry: Registry,
        authenticator: Authenticator,
        authorizer: Authorizer,
        *,
        proxy: KubeletProxy | None = None,
        write_limit: int = WRITE_LIMIT,
    ) -> None:
        self._chain = chain
        self._registry = registry
        self._clock: Clock = registry.clock
        self._chance: Chance = registry.chance
        self._authenticator = authenticator
        self._authorizer = authorizer
        self._proxy = proxy
        self._write_limit = write_limit
        self._dates = (0, b"")
        self._runner: web.ServerRunner | None = None
        self._writes: dict[asyncio.Task[Response], None] = {}

    async def listen(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        tls: ssl.SSLContext | None = None,
        unix: str = "",
    ) -> int:
        """Listen on an address or a unix socket; return the port (0 for a unix socket)."""
        if self._runner is None:
            server = PatientServer(
                self._handle,
                self._clock,
                request_factory=_request,
                handler_cancellation=True,
                access_log=None,
                logger=_wire,
                max_line_size=64 * 1024,
                max_field_size=64 * 1024,
            )
            self._runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_PATIENCE)
            await self._runner.setup()
        if tls is not None:
            # asyncio keeps a buffer of this size for each TLS connection, a quarter of a megabyte by default.
            SSLProtocol.max_size = _TLS_BUFFER
        site: web.BaseSite
        if unix:
            site = web.UnixSite(self._runner, unix)
        else:
            site = web.TCPSite(self._runner, host, port, ssl_context=tls, backlog=1024)
        await site.start()
        if unix:
            return 0
        listening = site._server.sockets[0] if site._server is not None else None  # type: ignore[attr-defined]
        return int(listening.getsockname()[1]) if listening is not None else port

    async def close(self) -> None:
        """Stop listening, end watches, let what is in flight finish, and close the connections."""
        for shelf in self._registry.cache.shelves():
            for watcher in shelf.watchers():
                watcher.close()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        if self._writes:
            await asyncio.wait(list(self._writes))

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            return await self._answer(request)
        except StatusError as error:
            return self._refusal(request, error)
        except ConnectionError:
            raise
        except Exception as error:  # boundary: a defect answers 500, whatever it was
            log.exception("%s %s failed", request.method, request.raw_path)
            return self._refusal(request, internal(str(error) or type(error).__name__))

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        raw_path, _, raw_query = request.raw_path.partition("?")
        headers = request.headers
        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        user = await self._authenticator.authenticate(headers, certificate)
        if user is None:
            raise unauthorized()
        if asks_to_impersonate(headers):
            user = impersonated(user, headers, self._authorizer)
        asked = Request(
            request.method,
            raw_path,
            parse_qsl(raw_query, keep_blank_values=True) if raw_query else (),
            user,
            content_type=headers.get("Content-Type", ""),
            accept=headers.get("Accept", ""),
            headers=headers,
        )
        if self._proxy is not None and raw_path.startswith("/api/"):
            streamed = await self._stream(request, asked)
            if streamed is not None:
                return streamed
        if request.can_read_body:
            if (request.content_length or 0) > MAX_BODY:
                raise too_large(MAX_BODY)
            if headers.get("Expect", "").lower() == "100-continue" and transport is not None:
                transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            try:
                async with self._clock.timeout(BODY_PATIENCE):
                    asked.body = await request.read()
            except HTTPRequestEntityTooLarge:
                raise too_large(MAX_BODY) from None
            except web.RequestPayloadError:
                raise bad_request("the body of the request could not be read") from None
            except TimeoutError:
                raise timeout("request did not complete within the allotted timeout") from None
        if request.method in _READING:
            response = await self._chain.handle(asked)
        else:
            response = await self._to_its_end(asked)
        if response.watching is not None:
            if request.method == "HEAD":
                response.watching.stream.watcher.close()
                return await self._respond(request, Response(200, b"", response.content_type))
            return await self._watch(request, response, response.watching)
        return await self._respond(request, response)

    async def _to_its_end(self, asked: Request) -> Response:
        """Answer a write, which goes on even if its caller leaves, so that none is left half done."""
        task = asyncio.get_running_loop().create_task(self._chain.handle(asked), name="apiserver/write")
        self._writes[task] = None
        task.add_done_callback(self._written)
        return await asyncio.shield(task)

    def _written(self, task: asyncio.Task[Response]) -> None:
        del self._writes[task]
        if not task.cancelled():
            task.exception()  # whoever asked may have gone; the chain has counted and logged it

    async def _stream(self, request: web.BaseRequest, asked: Request) -> web.StreamResponse | None:
        """Hand what a kubelet must answer to the proxy, once it is authorized."""
        path = resource_path(asked.path)
        if path is None or path.subresource not in _STREAMS:
            return None
        target = self._chain.target(path)
        if target is None:
            return None
        assert self._proxy is not None
        self._chain.authorize(attributes_of(asked, path))
        found = self._registry.shelf(target.record).get(target.record.key(target.namespace, _host(target.name)))
        if found is None:
            raise not_found(target.record.resource.group, target.record.resource.plural, target.name)
        await admit_connect(self._registry, target, asked.user, asked.query)
        return await self._proxy.serve(request, pod=found, subresource=target.subresource, user=asked.user)

    # --- answers -----------------------------------------------------------------------------------------------------

    async def _respond(self, request: web.BaseRequest, response: Response) -> web.StreamResponse:
        body, pieces = response.body, response.pieces
        if pieces is not None:
            produced = iter(pieces)
            body = next(produced, b"")
            following = next(produced, None)
            if following is not None and request.version < HttpVersion11:
                body = b"".join(join(body, following, produced))
            elif following is not None:
                return await self._send_pieces(request, response, join(body, following, produced))
        headers = b""
        if len(body) >= _GZIP_FROM and takes_gzip(request) and "Content-Encoding" not in response.headers:
            body = zlib.compress(body, 1, 31)
            headers = b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
        head = self._head(
            response.code, response.content_type, response, b"%bContent-Length: %d\r\n" % (headers, len(body))
        )
        return Raw(response.code, head if request.method == "HEAD" else head + body)

    async def _send_pieces(
        self, request: web.BaseRequest, response: Response, pieces: Iterator[bytes]
    ) -> web.StreamResponse:
        """Send a long body as it is made, never more than a piece ahead of the connection."""
        gzip = zlib.compressobj(1, zlib.DEFLATED, 31) if takes_gzip(request) else None
        more = b"Transfer-Encoding: chunked\r\n"
        if gzip is not None:
            more += b"Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n"
        line = Line(request)
        line.write(self._head(response.code, response.content_type, response, more))
        for piece in or_abort(pieces, line.transport):
            data = piece if gzip is None else gzip.compress(piece)
            if data:
                line.write(b"%x\r\n%b\r\n" % (len(data), data))
                await line.drain()
            await self._clock.sleep(0)
        tail = b"" if gzip is None else gzip.flush()
        line.write((b"%x\r\n%b\r\n" % (len(tail), tail) if tail else b"") + b"0\r\n\r\n")
        return Raw(response.code, b"")

    async def _watch(self, request: web.BaseRequest, response: Response, watching: Watching) -> web.StreamResponse:
        """Write a watch's frames to the connection as changes happen, until its time is over or the reader is lost."""
        watcher = watching.stream.watcher
        timer = None
        try:
            line = Line(request)
            line.write(self._head(200, response.content_type, response, b"Transfer-Encoding: chunked\r\n"))
            await write_initial(line, watching)
            transport, frame, limit = line.transport, watching.frame, self._write_limit
            write, waiting = transport.write, transport.get_write_buffer_size

            def sink(notice: Notice, kind: EventType) -> bool:
                data = frame(notice, kind)
                write(b"%x\r\n%b\r\n" % (len(data), data))
                return waiting() < limit

            if watching.timeout is not None:
                timer = self._clock.call_later(watching.timeout, watcher.close)
            watcher.attach(sink)
            await watcher.closed()
            if watcher.overrun:
                # Whoever does not read would not read an explanation either.
                transport.abort()
            else:
                line.write(b"0\r\n\r\n")
        finally:
            if timer is not None:
                timer.cancel()
            watcher.close()
        return Raw(200, b"")

    def _refusal(self, request: web.BaseRequest, error: StatusError) -> web.StreamResponse:
        body = msgspec.json.encode(error.to_tree())
        more = b"Content-Length: %d\r\n" % len(body)
        retry = (error.details or {}).get("retryAfterSeconds")
        if retry:
            more += b"Retry-After: %d\r\n" % retry
        if error.code == 413:
            more += b"Connection: close\r\n"
        head = self._head(error.code, JSON, None, more)
        raw = Raw(error.code, head if request.method == "HEAD" else head + body)
        if error.code == 413:
            raw.force_close()
        return raw

    def _head(self, code: int, content_type: str, response: Response | None, more: bytes) -> bytes:
        now = int(self._clock.time())
        if now != self._dates[0]:
            self._dates = (now, formatdate(now, usegmt=True).encode())
        if response is not None:
            for text in dict.fromkeys(response.warnings):
                more += b'Warning: 299 - "%b"\r\n' % quoted(text)
            for name, value in response.headers.items():
                more += b"%b: %b\r\n" % (name.encode(), value.encode())
        if response is None or "Cache-Control" not in response.headers:
            more += b"Cache-Control: no-cache, private\r\n"
        return b"HTTP/1.1 %d %b\r\nAudit-Id: %b\r\nContent-Type: %b\r\nDate: %b\r\n%b\r\n" % (
            code,
            _REASONS.get(code, "Unknown").encode(),
            self._chance.uid().encode(),
            content_type.encode(),
            self._dates[1],
            more,
        )


def _request(message: Any, payload: Any, protocol: Any, writer: Any, task: asyncio.Task[None]) -> web.BaseRequest:
    loop = asyncio.get_running_loop()
    return web.BaseRequest(message, payload, protocol, writer, task, loop, client_max_size=MAX_BODY)


def _host(name: str) -> str:
    """Return the object's name of a proxy path, which may be SCHEME:NAME:PORT."""
    parts = name.split(":")
    return parts[0] if len(parts) < 3 else parts[1]
