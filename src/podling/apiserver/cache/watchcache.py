"""The watch cache over all kinds: loads from the store, follows its watch, and answers every read of the present.

Owns the shelves and the cache's revision. Invariants: the cache holds committed changes only and takes them in order;
`revision` is that of the last change applied; `reached` is how a writer waits until its own write can be read. When
the store cuts the cache off (410), everything is loaded afresh and all watchers list again.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from podling.apiserver.cache.notices import Notice
from podling.apiserver.cache.shelf import Scope, Shelf, WatchStream
from podling.store.protocol import Compacted

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Sequence

    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.apiserver.cache.watchers import Watcher
    from podling.apiserver.objects import Shape
    from podling.store.protocol import Change, Row, Store

log = logging.getLogger("podling.apiserver.cache")

_ROOT = "/registry/"
_PAGE = 2000
_BOOKMARK_INTERVAL = 60.0

WATCH_BOUND = 10_000
"""How many deliveries may wait for one watcher before it is cut off."""


class CachedKind(NamedTuple):
    """What the cache must know of a kind."""

    prefix: str
    shape: Shape
    namespaced: bool
    indexed: str
    """The selectable field with an index of its own; empty for none."""


class WatchCache:
    """All objects that the API serves, in memory, as bytes."""

    def __init__(self, store: Store, clock: Clock, kinds: Sequence[CachedKind]) -> None:
        self._store = store
        self._clock = clock
        self._shapes = {kind.prefix: kind.shape for kind in kinds}
        self._shelves = {
            kind.prefix: Shelf(kind.prefix, namespaced=kind.namespaced, index=kind.indexed) for kind in kinds
        }
        self._unclaimed: dict[str, tuple[bytes, int, int]] = {}
        """Key → value, revision, creation of what may belong to a custom kind that is not served (yet)."""
        self._listeners: dict[str, list[Callable[[Notice], None]]] = {}
        self._changes: AsyncIterator[Sequence[Change]] | None = None
        self._waiting: list[tuple[int, int, asyncio.Future[None]]] = []
        self._sequence = 0
        self._loading = asyncio.Lock()
        self.revision = 0

    def shelf(self, prefix: str) -> Shelf:
        return self._shelves[prefix]

    def shelves(self) -> Iterable[Shelf]:
        return self._shelves.values()

    def serve(self, kind: CachedKind) -> None:
        """Hold a kind from now on, with what the store has of it; one that is held already is read afresh."""
        shelf = self._shelves.get(kind.prefix)
        self._shapes[kind.prefix] = kind.shape
        if shelf is not None:
            shelf.reread(lambda it: kind.shape.read(it.stored, it.revision, it.created))
            return
        shelf = self._shelves[kind.prefix] = Shelf(kind.prefix, namespaced=kind.namespaced, index=kind.indexed)
        found: list[tuple[str, Encoded]] = []
        for key in sorted(key for key in self._unclaimed if key.startswith(kind.prefix)):
            encoded = self._read(kind.prefix, key, *self._unclaimed.pop(key))
            if encoded is not None:
                found.append((key, encoded))
        shelf.load(found, self.revision)

    def retire(self, prefix: str) -> None:
        """Hold a kind no more: its watches end, its objects wait for who serves it again."""
        shelf = self._shelves.pop(prefix, None)
        if shelf is None:
            return
        del self._shapes[prefix]
        for watcher in shelf.watchers():
            watcher.close()
        for encoded in shelf.select(Scope()):
            key = shelf.key(encoded.namespace, encoded.name)
            self._unclaimed[key] = (encoded.stored, encoded.revision, encoded.created)

    def unclaimed(self, prefix: str) -> list[tuple[str, int]]:
        """Return key and revision of what the store holds under a prefix that no kind has."""
        return [(key, row[1]) for key, row in self._unclaimed.items() if key.startswith(prefix)]

    def listen(self, prefix: str, listener: Callable[[Notice], None]) -> None:
        """Call `listener` with every change of a kind, within the change; objects loaded come as additions."""
        self._listeners.setdefault(prefix, []).append(listener)

    def listen_once(self, prefix: str, listener: Callable[[Notice], None]) -> None:
        """As `listen`, in place of whoever listened to this kind before."""
        self._listeners[prefix] = [listener]

    async def start(self) -> None:
        """Load everything, once; afterwards `follow` keeps it current."""
        async with self._loading:
            if self._changes is None:
                await self._reload()

    async def _reload(self) -> None:
        rows: list[Row] = []
        after, revision = "", 0
        while True:
            page = await self._store.list(_ROOT, after=after, limit=_PAGE, revision=revision)
            revision = page.revision
            rows.extend(page.rows)
            if not page.more:
                break
            after = page.rows[-1].key
        # Subscribed before anything else is awaited: no change between the list and the watch can be lost.
        self._changes = self._store.watch(_ROOT, revision)
        self._load(rows, revision)

    async def follow(self) -> None:
        """Take changes in for as long as the store is open."""
        while True:
            if self._changes is None:
                await self.start()
            changes = self._changes
            assert changes is not None
            try:
                async for batch in changes:
                    self._take(batch)
            except Compacted:
                log.warning("the watch cache fell behind its store, and loads everything afresh")
                self._changes = None
                continue
            except BaseException:
                # Whoever starts this again must not go on in the middle of a batch.
                self._changes = None
                raise
            # The store was closed: nothing will ever come again.
            await asyncio.get_running_loop().create_future()

    async def send_bookmarks(self) -> None:
        """Tell idle watchers how far time has gone, so that they need not list again after a break."""
        while True:
            await self._clock.sleep(_BOOKMARK_INTERVAL)
            for shelf in list(self._shelves.values()):
                if shelf.watching:
                    bookmark = self.bookmark(shelf)
                    for watcher in shelf.watchers():
                        if watcher.bookmarks:
                            watcher.deliver(bookmark, "BOOKMARK")

    def bookmark(self, shelf: Shelf) -> Notice:
        """Return the bookmark of a kind at the cache's revision."""
        return Notice(self.revision, "", None, self._shapes[shelf.prefix].bookmark(self.revision))

    async def reached(self, revision: int) -> None:
        """Return once the cache has applied `revision`."""
        if revision <= self.revision:
            return
        future = asyncio.get_running_loop().create_future()
        self._sequence += 1
        heapq.heappush(self._waiting, (revision, self._sequence, future))
        await future

    def open(self, shelf: Shelf, scope: Scope, *, bookmarks: bool = True, initial_end: bool = False) -> WatchStream:
        """Return a watch that begins with all objects of `scope` as they are now."""
        initial = list(shelf.select(scope))
        watcher = shelf.watch(scope, bound=WATCH_BOUND, bookmarks=bookmarks)
        return WatchStream(initial, watcher, self.revision, initial_end)

    async def resume(self, shelf: Shelf, scope: Scope, after: int, *, bookmarks: bool = True) -> WatchStream:
        """Return a watch of the changes above `after`; `Compacted` if they are no longer kept."""
        watcher = shelf.watch(scope, bound=WATCH_BOUND, bookmarks=bookmarks)
        try:
            if after >= shelf.ring_start:
                for notice in shelf.since(after):
                    watcher.offer(notice)
            else:
                await self._catch_up(shelf, watcher, after)
        except BaseException:
            watcher.close()
            raise
        return WatchStream((), watcher, self.revision)

    async def _catch_up(self, shelf: Shelf, watcher: Watcher, after: int) -> None:
        """Read from the store's history what the ring has forgotten, in front of what arrives meanwhile."""
        upto = shelf.changed
        past: list[Notice] = []
        if after < self._store.compacted:
            raise Compacted(self._store.compacted)
        if upto > after:
            shape = self._shapes[shelf.prefix]
            changes = self._store.watch(shelf.prefix, after)
            async for batch in changes:
                for change in batch:
                    if change.revision <= upto:
                        old = None if change.previous is None else shape.row(change.previous)
                        new = (
                            None if change.value is None else shape.read(change.value, change.revision, change.created)
                        )
                        past.append(Notice(change.revision, change.key, old, new))
                if batch[-1].revision >= upto:
                    break
            close = getattr(changes, "aclose", None)
            if close is not None:
                await close()
        watcher.precede(past)

    def _load(self, rows: Sequence[Row], revision: int) -> None:
        found: dict[str, list[Row]] = {prefix: [] for prefix in self._shelves}
        self._unclaimed = {}
        for row in rows:
            prefix = self._prefix(row.key)
            if prefix:
                found[prefix].append(row)
            elif _may_be_custom(row.key):
                self._unclaimed[row.key] = (row.value, row.revision, row.created)
        self.revision = revision
        for prefix, held in found.items():
            if prefix not in self._shelves:
                continue  # its definition is gone, as a listener has just heard
            objects = []
            for row in held:
                encoded = self._read(prefix, row.key, row.value, row.revision, row.created)
                if encoded is not None:
                    objects.append((row.key, encoded))
            changes = self._shelves[prefix].load(objects, revision)
            for listener in self._listeners.get(prefix, ()):
                for notice in changes:
                    listener(notice)
        self._release()

    def _take(self, batch: Sequence[Change]) -> None:
        for change in batch:
            prefix = self._prefix(change.key)
            if prefix:
                new = None
                if change.value is not None:
                    new = self._read(prefix, change.key, change.value, change.revision, change.created)
                # Before the watchers are told: whoever acts on an event must find the cache at its revision.
                self.revision = change.revision
                notice = self._shelves[prefix].apply(change.revision, change.key, new)
                if notice is not None:
                    for listener in self._listeners.get(prefix, ()):
                        listener(notice)
            elif change.value is None:
                self._unclaimed.pop(change.key, None)
            elif _may_be_custom(change.key):
                self._unclaimed[change.key] = (change.value, change.revision, change.created)
            self.revision = change.revision
        self._release()

    def _read(self, prefix: str, key: str, value: bytes, revision: int, created: int) -> Encoded | None:
        """Read a stored value; one that is no object of its kind is left out, so that all others can be served."""
        try:
            return self._shapes[prefix].read(value, revision, created)
        except msgspec.DecodeError as error:
            log.error("%s at revision %d is no object of its kind, and is not served: %s", key, revision, error)  # noqa: TRY400
            return None

    def _release(self) -> None:
        while self._waiting and self._waiting[0][0] <= self.revision:
            future = heapq.heappop(self._waiting)[2]
            if not future.done():
                future.set_result(None)

    def _prefix(self, key: str) -> str:
        """Return the prefix of the kind that a key belongs to; empty for what this server does not serve."""
        end = key.find("/", len(_ROOT)) + 1
        while end:
            prefix = key[:end]
            if prefix in self._shapes:
                return prefix
            end = key.find("/", end) + 1
        return ""


def _may_be_custom(key: str) -> bool:
    """Whether a key stands where objects of CustomResourceDefinitions do: under a group with a dot."""
    return "." in key[len(_ROOT) : key.find("/", len(_ROOT))]
