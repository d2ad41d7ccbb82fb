"""A request and an answer as the chain passes them on: HTTP's words without HTTP.

Owns the two shapes. Whoever listens (the HTTP shell, the front door) makes a `Request`; the handler answers with a
`Response` whose body is bytes, an iterable of pieces, or a watch. Errors are raised as `StatusError`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from podling.api.encoded import Encoded
    from podling.apiserver.cache import Notice, WatchStream
    from podling.apiserver.cache.notices import EventType
    from podling.apiserver.record import User

JSON = "application/json"


@dataclass(slots=True)
class Request:
    """One call of one user."""

    method: str
    path: str
    query: Sequence[tuple[str, str]]
    user: User
    body: bytes = b""
    content_type: str = ""
    accept: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    """All headers, their names in lower case."""


@dataclass(slots=True)
class Watching:
    """An answer that goes on: what it begins with, what follows, and how each is put on the wire."""

    stream: WatchStream
    first: Callable[[Encoded], bytes]
    """The line of an object that the watch begins with."""
    frame: Callable[[Notice, EventType], bytes]
    """The line of a change, made once for all who ask for the same representation."""
    initial_end: bytes
    """The line that ends the initial objects; empty where none was asked for."""
    timeout: float | None
    """Seconds after which the server ends the watch."""


@dataclass(slots=True)
class Response:
    """A successful answer."""

    code: int = 200
    body: bytes = b""
    content_type: str = JSON
    warnings: Sequence[str] = ()
    pieces: Iterable[bytes] | None = None
    """Instead of `body`: the body in pieces of at most 256 KiB, made as they are sent."""
    watching: Watching | None = None
    """Instead of `body`: a watch."""
    headers: Mapping[str, str] = field(default_factory=dict)
