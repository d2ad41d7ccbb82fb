"""The front door for components of this process: the Transport of one user, without HTTP.

Owns the shortest way into the chain: the same authorization, admission and rules, but lists and watches hand out the
cache's own `Encoded` objects. Knows nothing of aiohttp; runs on virtual time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.errors import StatusError, no_such_path
from podling.apiserver.chain import Chain, attributes_for
from podling.apiserver.messages import Request
from podling.apiserver.objects import Shape, tree_of
from podling.apiserver.options import ListOptions
from podling.apiserver.verbs.reading import list_page
from podling.apiserver.verbs.selecting import scope_of
from podling.apiserver.verbs.watching import open_watch
from podling.client.transport import Answer, ListPage, Selection, WatchEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.apiserver.record import Record, User
    from podling.apiserver.registry import Registry
    from podling.client.transport import Call


class FrontDoor:
    """A `Transport` into this process's own API server, as one user."""

    def __init__(self, registry: Registry, chain: Chain, user: User) -> None:
        self._registry = registry
        self._chain = chain
        self.user = user

    async def call(self, call: Call) -> Answer:
        response = await self._chain.handle(
            Request(
                call.method,
                call.path,
                call.query,
                self.user,
                call.body,
                call.content_type,
                call.headers.get("Accept", call.headers.get("accept", "")),
                {key.lower(): value for key, value in call.headers.items()} if call.headers else {},
            )
        )
        if response.watching is not None:
            response.watching.stream.watcher.close()
            raise StatusError(400, "BadRequest", "watch through Transport.watch")
        body = response.body if response.pieces is None else b"".join(response.pieces)
        return Answer(response.code, body, response.content_type, tuple(response.warnings))

    async def list(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        self._authorize("list", resource, selection)
        record = self._record(resource)
        scope = scope_of(record, selection.namespace, selection.labels, selection.fields)
        options = ListOptions(limit=limit, continue_token=continue_token, revision=revision)
        listing = await list_page(self._registry, record, scope, options)
        items = listing.items
        if record.face is not None:
            items = [_faced(record, it) for it in items]
        return ListPage(items, listing.revision, listing.token)

    async def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncIterator[WatchEvent]:
        self._authorize("watch", resource, selection)
        record = self._record(resource)
        scope = scope_of(record, selection.namespace, selection.labels, selection.fields)
        options = ListOptions(revision=str(revision) if revision else "", bookmarks=True)
        stream = await open_watch(self._registry, record, scope, options)
        watcher = stream.watcher
        timer = self._registry.clock.call_later(timeout, watcher.close) if timeout is not None else None
        face = record.face is not None
        try:
            for encoded in stream.initial:
                yield WatchEvent("ADDED", _faced(record, encoded) if face else encoded)
            async for notice, kind in watcher:
                event = notice.event(kind)
                yield WatchEvent(kind, _faced(record, event.object)) if face and kind != "BOOKMARK" else event
        finally:
            watcher.close()
            if timer is not None:
                timer.cancel()

    async def close(self) -> None:
        """Nothing is held open for a user."""

    def _record(self, resource: Resource[Any]) -> Record:
        record = self._registry.routes.record(resource.group, resource.version, resource.plural)
        if record is None:
            raise no_such_path()
        return record

    def _authorize(self, verb: str, resource: Resource[Any], selection: Selection) -> None:
        asked = (resource.group, resource.version, resource.plural, selection.namespace, selection.fields)
        self._chain.authorize(attributes_for(self.user, verb, *asked))


_shapes: dict[str, Shape] = {}


def _faced(record: Record, encoded: Encoded) -> Encoded:
    """Return an object as another face of its kind."""
    assert record.face is not None
    resource = record.resource
    shape = _shapes.get(resource.api_version)
    if shape is None:
        shape = _shapes[resource.api_version] = Shape(resource.api_version, resource.kind)
    raw = shape.encode(record.face.from_stored(tree_of(encoded)))
    return shape.read(raw, encoded.revision, encoded.created)
