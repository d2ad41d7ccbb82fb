"""How a client's calls travel: the Protocol between `Client` and an API server, in this process or behind HTTP.

Owns the words of one call. The API server's front door implements it for a user; the HTTP transport implements it for
a URL and credentials. What passes is what passes over the wire: paths, queries, bytes, `Status` errors.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping, Sequence

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource


class Call(Struct, frozen=True):
    """One request. `query` keeps the order and repetitions of its parameters."""

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    query: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


class Answer(Struct, frozen=True):
    """A successful response; refusals are raised as `StatusError`."""

    code: int
    body: bytes
    content_type: str = "application/json"
    warnings: tuple[str, ...] = ()


class ListPage(Struct, frozen=True):
    """A page of a listing, undecoded."""

    items: Sequence[Encoded]
    revision: int
    continue_token: str


class WatchEvent(Struct, frozen=True):
    """One event of a watch. A bookmark carries an object of which only `revision` counts."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: Encoded


class Selection(Struct, frozen=True):
    """Which objects a list or watch means; empty means all."""

    namespace: str = ""
    labels: str = ""
    fields: str = ""


class Transport(Protocol):
    """Carries calls to one API server as one user."""

    async def call(self, call: Call) -> Answer:
        """Send one request and return its answer; `StatusError` for every refusal."""
        ...

    async def list(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        """Return one page; `revision` is the `resourceVersion` parameter."""
        ...

    def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncIterator[WatchEvent]:
        """Yield events after `revision`, bookmarks among them; ends when the server closes, 410 as `StatusError`."""
        ...

    async def close(self) -> None: ...
