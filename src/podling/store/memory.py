"""The store in memory: what tests and simulations stand on.

Owns nothing but its own memory; a write is committed within the call, without yielding, so that a cluster on virtual
time runs the same way each time. Nothing survives the process.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.store.heads import FIRST_REVISION, Heads
from podling.store.protocol import Compacted, FutureRevision, Mismatch, Wish
from podling.store.recent import History, Recent, Retention
from podling.store.watching import Watchers
from podling.store.writes import decide

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.aio.clock import Clock
    from podling.store.protocol import Page, Row
    from podling.store.watching import Watch


class MemoryStore:
    """A `Store` that forgets everything with its process."""

    def __init__(self, clock: Clock, *, history: History | None = None, watch_bound: int = 10_000) -> None:
        self._clock = clock
        self._heads = Heads()
        self._recent = Recent(FIRST_REVISION)
        self._retention = Retention(history or History())
        self._watchers = Watchers(watch_bound, lambda: self._recent.start)
        self._closed = False

    @property
    def revision(self) -> int:
        return self._heads.revision

    @property
    def compacted(self) -> int:
        return self._recent.start

    async def get(self, key: str, revision: int = 0) -> Row | None:
        head = self._heads.get(key)
        if not revision:
            return head
        self._check(revision)
        if head is not None and head.revision <= revision:
            return head
        return self._recent.undo(revision, key).get(key, head)

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        if not revision or revision == self.revision:
            return self._heads.page(prefix, after, limit)
        self._check(revision)
        return self._heads.page_before(prefix, after, limit, revision, self._recent.undo(revision, prefix))

    async def put(self, key: str, value: bytes, *, expected: int | None) -> int:
        return self._commit([Wish(key, value, expected)])[0]

    async def delete(self, key: str, *, expected: int | None) -> int:
        return self._commit([Wish(key, None, expected)])[0]

    async def write(self, wishes: Sequence[Wish]) -> Sequence[int]:
        return self._commit(wishes)

    def watch(self, prefix: str, after: int) -> Watch:
        self._check(after)
        return self._watchers.open(prefix, after, self.revision, backlog=self._recent.since(after, prefix))

    async def compact(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(self.revision)
        self._recent.forget(revision)

    async def close(self) -> None:
        self._closed = True
        self._watchers.close()

    def _check(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(self.revision)
        if revision < self._recent.start:
            raise Compacted(self._recent.start)

    def _commit(self, wishes: Sequence[Wish]) -> Sequence[int]:
        if self._closed:
            raise RuntimeError("the store is closed")
        changes, (outcome,) = decide(self._heads, [wishes])
        if isinstance(outcome, Mismatch):
            raise outcome
        for change in changes:
            self._heads.apply(change)
            self._recent.add(change)
        now = self._clock.time()
        self._retention.note(self.revision, now)
        self._recent.forget(self._retention.target(self.revision, now))
        self._watchers.publish(changes)
        return outcome
