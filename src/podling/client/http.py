"""The transport over HTTP: any Kubernetes API server, by URL or unix socket.

Owns one connection pool as one user. Knows nothing of caches; a watch that breaks off simply ends, and whoever reads
it begins again from the last revision that it saw. What goes wrong on the way is a `StatusError` like a refusal: 503
where no server answers, 504 where it answers too late; 429 with a time to come back is waited out. aiohttp is imported
at the first call, since a process that stays in-process never needs it.
"""

from __future__ import annotations

import ssl
import tempfile
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import msgspec

from podling.api import errors
from podling.api.errors import StatusError
from podling.client.client import selectors
from podling.client.parse import parse_list, parse_watch_line
from podling.client.transport import Answer, ListPage, WatchEvent

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Mapping

    import aiohttp

    from podling.aio.clock import Clock
    from podling.api.resources import Resource
    from podling.client.kubeconfig import Connection
    from podling.client.transport import Call, Selection

_PATIENCE_429 = 10


class HttpTransport:
    """A `Transport` over HTTP/1.1. `timeout` bounds each call but watches, in seconds."""

    def __init__(
        self, connection: Connection, clock: Clock, *, user_agent: str = "podling", timeout: float = 60.0
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._user_agent = user_agent
        self._timeout = timeout
        self._session: aiohttp.ClientSession | None = None
        self._base = "http://localhost" if connection.socket else connection.server.rstrip("/")

    async def call(self, call: Call) -> Answer:
        for attempt in range(_PATIENCE_429):
            try:
                return await self._once(call)
            except StatusError as refusal:
                seconds = (refusal.details or {}).get("retryAfterSeconds")
                if refusal.code != 429 or not seconds or attempt == _PATIENCE_429 - 1:
                    raise
            await self._clock.sleep(float(seconds))
        raise AssertionError("the last attempt returns or raises")

    async def list(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        from podling.client.transport import Call

        query = selectors(selection)
        if limit:
            query += (("limit", str(limit)),)
        if continue_token:
            query += (("continue", continue_token),)
        elif revision:
            query += (("resourceVersion", revision),)
        answer = await self.call(Call("GET", resource.path(selection.namespace), query))
        return ListPage(*parse_list(resource, answer.body))

    async def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncGenerator[WatchEvent, None]:
        import aiohttp

        query = [*selectors(selection), ("watch", "true"), ("allowWatchBookmarks", "true")]
        query.append(("resourceVersion", str(revision)))
        if timeout is not None:
            query.append(("timeoutSeconds", str(int(timeout))))
        path = resource.path(selection.namespace)
        async with self._response("GET", path, query, b"", {}) as response:
            try:
                async with aclosing(_lines(response)) as lines:
                    async for line in lines:
                        kind, obj = parse_watch_line(resource, line)
                        yield WatchEvent(cast("Literal['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']", kind), obj)
            except (aiohttp.ClientError, ConnectionError):
                # Broken off is closed: the reader goes on from the last revision that it saw.
                return

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _once(self, call: Call) -> Answer:
        headers = {**call.headers}
        if call.body:
            headers["Content-Type"] = call.content_type
        headers.setdefault("Accept", "application/json")
        try:
            async with (
                self._clock.timeout(self._timeout),
                self._response(call.method, call.path, call.query, call.body, headers) as response,
            ):
                return Answer(
                    response.status,
                    await response.read(),
                    response.content_type,
                    tuple(_warning(text) for text in response.headers.getall("Warning", ())),
                )
        except TimeoutError as late:
            raise errors.timeout(f"{call.method} {call.path} was not answered in {self._timeout:g} s") from late

    @asynccontextmanager
    async def _response(
        self, method: str, path: str, query: Any, body: bytes, headers: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        import aiohttp

        token = self._connection.bearer()
        if token:
            headers = {**headers, "Authorization": f"Bearer {token}"}
        session = self._session or self._open()
        try:
            response = await session.request(
                method,
                self._base + path,
                params=query or None,
                data=body or None,
                headers=headers,
                server_hostname=self._connection.server_name or None,
            )
        except (aiohttp.ClientError, OSError) as error:
            raise errors.service_unavailable(f"{self._connection.server} cannot be reached: {error}") from error
        try:
            if response.status >= 400:
                raise _refusal(response.status, await response.read(), response.headers)
            yield response
        except aiohttp.ClientPayloadError as error:
            raise errors.service_unavailable(f"{self._connection.server} broke off its answer: {error}") from error
        finally:
            response.close() if not response.content.at_eof() else response.release()

    def _open(self) -> aiohttp.ClientSession:
        import aiohttp

        connector: aiohttp.BaseConnector
        if self._connection.socket:
            connector = aiohttp.UnixConnector(self._connection.socket, limit=0)
        else:
            connector = aiohttp.TCPConnector(limit=0, ssl=_tls(self._connection))
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),  # the injected clock bounds calls
            headers={"User-Agent": self._user_agent},
            auto_decompress=True,
        )
        return self._session


async def _lines(response: aiohttp.ClientResponse) -> AsyncGenerator[bytes, None]:
    # The stream's own readline refuses lines beyond its buffer; objects may be as large as the server allows.
    held = bytearray()
    async for chunk in response.content.iter_any():
        searched = len(held)
        held += chunk
        end = held.find(b"\n", searched)
        if end < 0:
            continue
        begin = 0
        while end >= 0:
            if end > begin:
                yield bytes(held[begin:end])
            begin = end + 1
            end = held.find(b"\n", begin)
        del held[:begin]
    # Broken off would have raised: what is left is a whole line without its end.
    if held.strip():
        yield bytes(held)


def _refusal(code: int, body: bytes, headers: Mapping[str, str]) -> StatusError:
    try:
        tree = msgspec.json.decode(body)
    except msgspec.DecodeError:
        tree = None
    if isinstance(tree, dict) and tree.get("kind") == "Status":
        error = StatusError.from_tree(tree, code)
    else:
        text = body.decode(errors="replace").strip()
        error = StatusError(code, "", text or f"the server answered {code}")
    after = headers.get("Retry-After", "")
    if code == 429 and after.isdigit():
        error.details = {"retryAfterSeconds": int(after), **(error.details or {})}
    return error


def _warning(text: str) -> str:
    """Return the sentence of `299 - "sentence"`."""
    begin, end = text.find('"'), text.rfind('"')
    return text[begin + 1 : end].replace('\\"', '"').replace("\\\\", "\\") if 0 <= begin < end else text


def _tls(connection: Connection) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=connection.ca.decode() if connection.ca else None)
    if connection.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if connection.certificate:
        # The library takes certificates from files only; these live for the length of the call, for this user's eyes.
        with tempfile.TemporaryDirectory(prefix="podling-") as directory:
            certificate, key = Path(directory) / "crt", Path(directory) / "key"
            certificate.write_bytes(connection.certificate)
            key.write_bytes(connection.key)
            context.load_cert_chain(certificate, key)
    return context
