"""One repository of a registry over the distribution API: requests, redirects, challenges, and what failed in words.

Owns the HTTP. Knows nothing of images. Invariants: credentials go to the registry that they are for and to the token
service which that registry itself names, and nowhere a redirect leads; plain HTTP is spoken to the loopback and to
hosts that were named, and to nobody else; no request waits without bound. Failures speak as containerd does, which is
what users search for.
"""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import urllib.request
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final
from urllib.parse import urlencode, urljoin, urlsplit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    import aiohttp

    from podling.aio.clock import Clock
    from podling.runtime.oci.images.reference import Reference
    from podling.runtime.protocol import Credentials

_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_ADDRESS = re.compile(r"\('([^']+)', (\d+)")
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class PullRefused(Exception):  # an outcome: the puller puts the image's name before it
    """A registry did not give what was asked for, or nobody answers; the text is containerd's."""


class Unreachable(PullRefused):  # an outcome: somebody may try again
    """No answer came at all."""


class Interrupted(Exception):  # an outcome: the request is made again, from where it broke
    """The connection broke in the middle, or went on too slowly; what has arrived is kept."""


def is_loopback(host: str) -> bool:
    """Whether a host, with or without its port, is this machine."""
    name = urlsplit(f"//{host}").hostname or ""
    return name in {"localhost", "::1"} or name.startswith("127.")


class Repository:
    """Asks one repository; the authorization that it gains is kept. `silence` bounds every answer, in seconds."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        reference: Reference,
        credentials: Credentials | None,
        clock: Clock,
        *,
        insecure: Sequence[str] | frozenset[str] = (),
        silence: float = 60.0,
    ) -> None:
        host = "registry-1.docker.io" if reference.registry == "docker.io" else reference.registry
        self._session = session
        self._path = reference.path
        self._credentials = credentials
        self._clock = clock
        self._insecure = insecure
        self._silence = silence
        self._host = host
        self._base = f"{'http' if self._plain(host) else 'https'}://{host}/v2/{reference.path}/"
        self._authorization = ""
        if credentials is not None and credentials.registry_token:
            self._authorization = f"Bearer {credentials.registry_token}"

    def _plain(self, host: str) -> bool:
        return host in self._insecure or is_loopback(host)

    @asynccontextmanager
    async def ask(
        self, method: str, path: str, headers: Mapping[str, str], expected: Sequence[int] = (200,)
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """Request something of the repository, answering its challenge once; `PullRefused` for other statuses."""
        url = urljoin(self._base, path)
        response = await self._request(method, url, self._authorized(headers))
        try:
            # Whom a redirect led to is not the registry: what it asks for is not answered.
            if response.status == 401 and urlsplit(str(response.url)).netloc == self._host:
                challenges = response.headers.getall("WWW-Authenticate", [])
                before = self._authorization
                await self._answer(challenges)
                if self._authorization and self._authorization != before:
                    response.release()
                    response = await self._request(method, url, self._authorized(headers))
                    if response.status == 401:
                        self._denied(response.headers.getall("WWW-Authenticate", []))
            if response.status not in expected:
                raise PullRefused(
                    f"unexpected status from {method} request to {url}: {response.status} {response.reason}"
                )
            yield response
        finally:
            response.release()

    def _authorized(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {**headers, "Authorization": self._authorization} if self._authorization else dict(headers)

    async def _request(self, method: str, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        # Redirects are followed by hand: storage behind a registry must not see what is meant for the registry.
        for _ in range(6):
            response = await self._send(method, url, headers)
            if response.status not in _REDIRECTS:
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            response.release()
            before, after = urlsplit(url), urlsplit(target)
            if after.scheme != "https" and not (after.scheme == "http" and self._plain(after.netloc)):
                raise PullRefused(f"registry redirects to {after.scheme}://{after.netloc}, which is not allowed")
            if (before.scheme, before.netloc) != (after.scheme, after.netloc):
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise PullRefused(f'failed to do request: {_go(method)} "{url}": stopped after 6 redirects')

    async def _send(
        self, method: str, url: str, headers: Mapping[str, str], form: Mapping[str, str] | None = None
    ) -> aiohttp.ClientResponse:
        """Make one request of one host, to the head of its answer."""
        import aiohttp

        try:
            async with self._clock.timeout(self._silence):
                return await self._session.request(
                    method, url, headers=headers, data=form, allow_redirects=False, proxy=_proxy(url)
                )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Unreachable(f'failed to do request: {_go(method)} "{url}": {in_words(error)}') from error
        except (ValueError, UnicodeError) as error:  # a host that no URL can have
            raise PullRefused(f'failed to do request: {_go(method)} "{url}": {error}') from error

    async def small(self, response: aiohttp.ClientResponse, limit: int) -> bytes:
        """Read a body that is no blob, at most `limit` bytes of it and one more."""
        import aiohttp

        data = b""
        try:
            async with self._clock.timeout(self._silence):
                while len(data) <= limit and (more := await response.content.read(1 << 16)):
                    data += more
        except (aiohttp.ClientError, TimeoutError) as error:
            raise PullRefused(f"failed to read {response.url}: {in_words(error)}") from error
        return data

    # -- challenges ------------------------------------------------------------------------------------------------

    async def _answer(self, challenges: Sequence[str]) -> None:
        """Gain an authorization that the registry's challenge asks for, if it can be."""
        known = {scheme.lower(): rest for scheme, _, rest in (text.partition(" ") for text in challenges)}
        credentials = self._credentials
        basic = ""
        if credentials is not None and credentials.username:
            pair = f"{credentials.username}:{credentials.password}".encode()
            basic = f"Basic {base64.b64encode(pair).decode()}"
        if "bearer" in known:
            self._authorization = await self._token(dict(_CHALLENGE.findall(known["bearer"])), basic)
        elif "basic" in known:
            if not basic:
                raise PullRefused(
                    "pull access denied, repository does not exist or may require authorization: "
                    "authorization failed: no basic auth credentials"
                )
            self._authorization = basic

    async def _token(self, parameters: dict[str, str], basic: str) -> str:
        realm = parameters.get("realm", "")
        where = urlsplit(realm)
        if where.scheme != "https" and not (where.scheme == "http" and self._plain(where.netloc)):
            raise PullRefused(f"registry names {realm!r} as its token service, which is not allowed")
        query = {"scope": parameters.get("scope") or f"repository:{self._path}:pull"}
        if parameters.get("service"):
            query["service"] = parameters["service"]
        credentials = self._credentials
        refresh = credentials.identity_token if credentials is not None else ""
        kind = "oauth" if basic or refresh else "anonymous"
        try:
            if refresh:
                form = {**query, "grant_type": "refresh_token", "client_id": "podling", "refresh_token": refresh}
                method, url = "POST", realm
                response = await self._send(method, url, {}, form)
            else:
                method, url = "GET", f"{realm}{'&' if where.query else '?'}{urlencode(query)}"
                response = await self._send(method, url, {"Authorization": basic} if basic else {})
            async with response:
                if response.status != 200:
                    raise PullRefused(
                        f"unexpected status from {method} request to {url}: {response.status} {response.reason}"
                    )
                data = await self.small(response, 1 << 20)
            try:
                answer = json.loads(data)
            except ValueError as error:
                raise PullRefused(f"unable to decode token response: {error}") from error
            token = (answer.get("token") or answer.get("access_token")) if isinstance(answer, dict) else None
            if not isinstance(token, str) or not token.isascii() or not token.isprintable():
                raise PullRefused("authorization server did not include a token in the response")
        except PullRefused as refusal:
            raise PullRefused(f"failed to authorize: failed to fetch {kind} token: {refusal}") from refusal
        return f"Bearer {token}"

    def _denied(self, challenges: Sequence[str]) -> None:
        """Say what a registry has against an authorization that its own service gave."""
        for challenge in challenges:
            error = dict(_CHALLENGE.findall(challenge)).get("error")
            if error:
                raise PullRefused(
                    "pull access denied, repository does not exist or may require authorization: "
                    f"server message: {error}: authorization failed"
                )


def _go(method: str) -> str:
    return method.capitalize()


def _proxy(url: str) -> str | None:
    """Return the proxy that the environment names for a URL; the loopback has none, as in Go."""
    parts = urlsplit(url)
    if is_loopback(parts.netloc) or urllib.request.proxy_bypass(parts.netloc):
        return None
    return urllib.request.getproxies().get(parts.scheme)


def in_words(error: Exception) -> str:
    """Say what happened to a connection as Go says it."""
    import aiohttp

    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"tls: failed to verify certificate: x509: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        reason = getattr(error.os_error, "reason", "") or ""
        if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL", "HTTP_REQUEST"}:
            return "http: server gave HTTP response to HTTPS client"
        return f"remote error: tls: {reason.replace('_', ' ').lower() or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        place = f"{error.host}:{error.port}"
        cause = error.os_error
        if isinstance(cause, socket.gaierror) or isinstance(error, aiohttp.ClientConnectorDNSError):
            return f"dial tcp: lookup {error.host}: no such host"
        address = _ADDRESS.search(str(cause))
        if address is not None:
            place = f"{address[1]}:{address[2]}"
        return f"dial tcp {place}: connect: {os.strerror(cause.errno or 0).lower() if cause.errno else cause}"
    if isinstance(error, aiohttp.ConnectionTimeoutError):
        return "dial tcp: i/o timeout"
    if isinstance(error, TimeoutError):
        return "net/http: timeout awaiting response headers"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "EOF"
    if isinstance(error, aiohttp.ClientOSError) and error.errno:
        return f"read: {os.strerror(error.errno).lower()}"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "unexpected EOF"
    return str(error) or type(error).__name__
