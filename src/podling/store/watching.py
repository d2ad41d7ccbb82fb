"""Handing committed changes to watchers, none of whom can slow a writer.

Owns the watchers of one store and their bounded buffers. A watcher first reads what lies between its start and the
newest revision (from memory or, in pieces, from the store's history), then what is published. Invariants: each watcher
sees the changes under its prefix above its start, in order, each once; one that falls further behind than its bound
gets what was buffered and then `Compacted`; publishing never waits. Watchers are held weakly: one that its reader has
dropped is gone.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from typing import TYPE_CHECKING, Self

from podling.store.protocol import Compacted

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from podling.store.protocol import Change

    Past = Callable[[str, int, int], Awaitable[tuple[Sequence[Change], int]]]
    """`(prefix, after, upto)` → changes above `after`, and the revision up to which they are complete."""


class Watchers:
    """All watchers of one store. `oldest` tells the revision that readers who were cut off may begin from."""

    def __init__(self, bound: int, oldest: Callable[[], int]) -> None:
        self._bound = bound
        self._oldest = oldest
        self._watches: dict[int, weakref.ref[Watch]] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._watches)

    def open(
        self, prefix: str, after: int, newest: int, *, backlog: Sequence[Change] = (), past: Past | None = None
    ) -> Watch:
        """Return a watch that reads `backlog`, or what `past` yields up to `newest`, and then what is published."""
        watch = Watch(self, prefix, after, newest if past is not None else after, self._bound, past)
        identity = id(watch)
        self._watches[identity] = weakref.ref(watch, lambda _: self._watches.pop(identity, None))
        if backlog:
            watch._take(backlog)
        if self._closed:
            watch._end()
        return watch

    def publish(self, changes: Sequence[Change]) -> None:
        """Hand one committed group to every watcher that it concerns."""
        for reference in list(self._watches.values()):
            watch = reference()
            if watch is None:
                continue
            prefix = watch.prefix
            batch = [change for change in changes if change.key.startswith(prefix)]
            if batch:
                watch._offer(batch)

    def close(self) -> None:
        """End every watch once it has read what was buffered."""
        self._closed = True
        for reference in list(self._watches.values()):
            watch = reference()
            if watch is not None:
                watch._end()

    def _remove(self, watch: Watch) -> None:
        self._watches.pop(id(watch), None)


class Watch:
    """An asynchronous iterator over groups of changes; `aclose` lets it go early."""

    def __init__(
        self, source: Watchers, prefix: str, position: int, live_from: int, bound: int, past: Past | None
    ) -> None:
        self.prefix = prefix
        self._source = source
        self._position = position
        self._live_from = live_from
        self._bound = bound
        self._past = past
        self._batches: deque[Sequence[Change]] = deque()
        self._buffered = 0
        self._arrived: asyncio.Future[None] | None = None
        self._overrun = False
        self._ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Sequence[Change]:
        while self._past is not None and self._position < self._live_from:
            began = self._position
            changes, reached = await self._past(self.prefix, began, self._live_from)
            # Compaction may have run while the history was read, and taken away what lay ahead.
            if began < self._source._oldest():
                raise Compacted(self._source._oldest())
            self._position = reached
            if changes:
                return changes
        while not self._batches:
            if self._overrun:
                raise Compacted(self._source._oldest())
            if self._ended:
                raise StopAsyncIteration
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        batch = self._batches.popleft()
        self._buffered -= len(batch)
        return batch

    async def aclose(self) -> None:
        """Stop watching; a waiting reader ends."""
        self._source._remove(self)
        self._end()

    def _take(self, batch: Sequence[Change]) -> None:
        self._batches.append(batch)
        self._buffered += len(batch)
        self._wake()

    def _offer(self, batch: Sequence[Change]) -> None:
        if self._overrun or self._ended:
            return
        if self._batches and self._buffered + len(batch) > self._bound:
            self._overrun = True
            self._source._remove(self)
            self._wake()
        else:
            self._take(batch)

    def _end(self) -> None:
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
