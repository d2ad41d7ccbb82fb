"""watch: from now, from a revision, or from all there is (`sendInitialEvents`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.errors import expired
from podling.apiserver.options import revision_of
from podling.apiserver.verbs.reading import at_least
from podling.store.protocol import Compacted

if TYPE_CHECKING:
    from podling.apiserver.cache import Scope, WatchStream
    from podling.apiserver.options import ListOptions
    from podling.apiserver.record import Record
    from podling.apiserver.registry import Registry

INITIAL_EVENTS_END = "k8s.io/initial-events-end"


async def open_watch(registry: Registry, record: Record, scope: Scope, options: ListOptions) -> WatchStream:
    """Register a watch; `StatusError` 410 where the revision asked for is no longer kept."""
    shelf = registry.shelf(record)
    revision = revision_of(options.revision)
    cache = registry.cache
    await at_least(registry, revision)
    if options.initial_events or (options.initial_events is None and not revision):
        return cache.open(
            shelf, scope, bookmarks=options.bookmarks, initial_end=bool(options.initial_events and options.bookmarks)
        )
    try:
        return await cache.resume(shelf, scope, revision or cache.revision, bookmarks=options.bookmarks)
    except Compacted as compacted:
        raise expired(f"too old resource version: {revision} ({compacted.oldest})") from None
