"""HTTP as probes and hooks speak it: one GET without keep-alive, redirects as upstream's kubelet treats them.

Owns the request's bytes, the answer's head, and the rule of redirects: to the same host they are followed, ten at
most; to another host they end the asking, and the redirect itself is the answer. Knows no probe. Invariants: of an
answer at most 10 KiB of body are kept; what is no HTTP is `BadAnswer`, never an exception of another kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import urljoin, urlsplit

from msgspec import Struct

from podling.api.validation.addresses import bracketed
from podling.kubelet.probes.wire import Endpoint, go_error
from podling.linux.dial import NotEncrypted

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.kubelet.probes.wire import Wire

BODY_LIMIT: Final = 10 * 1024
_HEAD_LIMIT: Final = 64 * 1024
_MOST_REDIRECTS: Final = 10
_REDIRECTS: Final = (301, 302, 303, 307, 308)
_USER_AGENT: Final = "kube-probe/1.37"


class BadAnswer(Exception):  # an outcome of asking, with the words for it
    """No connection, no HTTP, or too many redirects."""


class PlainAnswer(BadAnswer):
    """What was asked over TLS answered without."""


class Url(Struct, frozen=True):
    """Whom to ask for what. `host` is as it is written, without brackets."""

    scheme: str
    host: str
    port: int
    path: str
    is_port_written: bool = True

    def __str__(self) -> str:
        return f"{self.scheme}://{bracketed(self.host)}{f':{self.port}' if self.is_port_written else ''}{self.path}"

    @property
    def authority(self) -> str:
        return str(self).split("/", 3)[2]


class Answer(Struct, frozen=True):
    """A response's status and the beginning of its body."""

    status: int
    headers: Mapping[str, str]
    body: str


def url_of(scheme: str, host: str, port: int, path: str) -> Url:
    """Return the URL of an `httpGet`; a path without its slash gets one."""
    path = path if path.startswith("/") else f"/{path}"
    return Url((scheme or "http").lower(), host, port, path.replace(" ", "%20"))


async def get(wire: Wire, container: str, url: Url, headers: Sequence[tuple[str, str]]) -> tuple[Answer, bool]:
    """Return the last answer, and whether a redirect to another host was left alone.

    `BadAnswer` says in Go's words why there is none. Nothing here bounds the time.
    """
    first, loops = url, ""
    for _ in range(_MOST_REDIRECTS):
        answer = await _get_once(wire, container, url, headers)
        location = answer.headers.get("location")
        if answer.status not in _REDIRECTS or not location:
            return answer, 300 <= answer.status < 400
        url = _target(url, location)
        loops = location
        if url.host != first.host:
            return answer, True
    raise BadAnswer(f'Get "{loops}": stopped after 10 redirects')


async def _get_once(wire: Wire, container: str, url: Url, headers: Sequence[tuple[str, str]]) -> Answer:
    try:
        raw = await wire.exchange(
            container,
            url.host,
            url.port,
            _request(url, headers),
            _is_whole,
            limit=_HEAD_LIMIT + BODY_LIMIT,
            tls=url.scheme == "https",
        )
        return parse(raw, url)
    except TimeoutError:
        raise
    except BadAnswer as bad:
        raise BadAnswer(f'Get "{url}": {bad}') from bad
    except NotEncrypted as error:
        raise PlainAnswer(f'Get "{url}": http: server gave HTTP response to HTTPS client') from error
    except OSError as error:
        raise BadAnswer(f'Get "{url}": {go_error(error, Endpoint(container, url.host, url.port))}') from error


def _request(url: Url, headers: Sequence[tuple[str, str]]) -> bytes:
    given = {name.lower() for name, _ in headers}
    host = next((value for name, value in headers if name.lower() == "host" and value), url.authority)
    lines = [f"GET {url.path} HTTP/1.1", f"Host: {host}"]
    if "user-agent" not in given:
        lines.append(f"User-Agent: {_USER_AGENT}")
    if "accept" not in given:
        lines.append("Accept: */*")
    # An empty value of these two says that they are not to be sent at all.
    lines += [
        f"{name}: {value}"
        for name, value in headers
        if name.lower() != "host" and not (not value and name.lower() in ("accept", "user-agent"))
    ]
    lines.append("Connection: close")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1", "replace")


def _target(url: Url, location: str) -> Url:
    try:
        parts = urlsplit(urljoin(str(url), location))
        port = parts.port
    except ValueError as error:
        raise BadAnswer(f'failed to parse Location header "{location}": {error}') from error
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    default = 443 if parts.scheme == "https" else 80
    return Url(parts.scheme or "http", parts.hostname or "", port or default, path, port is not None)


def _head_end(data: bytearray | bytes) -> int:
    return data.find(b"\r\n\r\n")


def _is_whole(data: bytearray) -> bool:
    """Whether nothing more needs to be read: the whole body by its length, or as much of it as is kept."""
    end = _head_end(data)
    if end < 0:
        return len(data) > _HEAD_LIMIT
    body = len(data) - end - 4
    if body >= BODY_LIMIT:
        return True
    head = bytes(data[:end]).lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        if b"\r\ntransfer-encoding:" in head:
            return data.endswith(b"\r\n0\r\n\r\n") or bytes(data[end + 4 :]) == b"0\r\n\r\n"
        return bytes(data[9:12]) in (b"204", b"304")
    text = bytes(data[at + 17 : end + 1]).split(b"\r", 1)[0].strip()
    return text.isdigit() and body >= int(text)


def parse(raw: bytes, url: Url) -> Answer:
    """Return the answer in `raw`; `BadAnswer` in Go's words where there is none."""
    if not raw:
        raise BadAnswer("EOF")
    end = _head_end(raw)
    if end < 0:
        beginning = raw[:64].decode("latin-1").split("\r\n", 1)[0]
        if not raw.startswith(b"HTTP/"):
            raise BadAnswer(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{beginning}"')
        raise BadAnswer("unexpected EOF")
    lines = raw[:end].decode("latin-1").split("\r\n")
    words = lines[0].split(" ", 2)
    if not words[0].startswith("HTTP/") or len(words) < 2 or not words[1].isdigit() or len(words[1]) != 3:
        if url.scheme == "https":
            raise BadAnswer("http: server gave HTTP response to HTTPS client")
        raise BadAnswer(f'net/http: HTTP/1.x transport connection broken: malformed HTTP response "{lines[0][:64]}"')
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    body = raw[end + 4 : end + 4 + BODY_LIMIT]
    return Answer(int(words[1]), headers, body.decode(errors="replace"))
