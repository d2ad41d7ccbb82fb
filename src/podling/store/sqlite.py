"""The store on disk: group commit on one side, reads from memory and from a snapshot on the other.

Owns the order of writes. Writes that arrive while one transaction is on its way to the disk wait together and share
the next; a write that finds nothing on its way begins a transaction at the end of the loop's turn, without a timer.
One group is in flight at a time and is decided against committed rows only, so no refusal ever rests on a write that
might still fail.

    put ─▶ waiting ─▶ decide ─▶ thread: one statement, one fsync ─▶ heads, watchers, then the writers

The newest rows are in memory; older revisions are read from a second connection. History is compacted and the
write-ahead log emptied in small pieces, when no write waits, or now and then between groups when writes never cease.
"""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from podling.store.disk import Disk, Past
from podling.store.heads import Heads
from podling.store.lane import Lane
from podling.store.protocol import Compacted, FutureRevision, Mismatch, Unwritable, Wish
from podling.store.recent import History, Recent, Retention
from podling.store.watching import Watchers
from podling.store.writes import decide

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.store.protocol import Change, Page, Row
    from podling.store.watching import Watch
    from podling.store.writes import Outcome

_LARGEST_GROUP = 256
_RECENT = 1024
_RECENT_BYTES = 4 << 20
_BITE = 512
_GROUPS_PER_BITE = 8
_CHECKPOINT_BYTES = 4 << 20
_LONGEST_LOG_BYTES = 16 << 20
# Compaction costs a transaction: not for a few revisions, unless they have waited long.
_COMPACTION_STEP = 1000
_COMPACTION_PAUSE = 30.0

log = logging.getLogger("podling.store")


@dataclass(slots=True, eq=False)
class _Write:
    wishes: Sequence[Wish]
    answer: asyncio.Future[Sequence[int]]


def _unwritable(error: BaseException) -> Unwritable:
    refusal = Unwritable(str(error))
    refusal.__cause__ = error
    return refusal


class SqliteStore:
    """A `Store` in one SQLite file. Its caller makes sure that no other process has the file open."""

    def __init__(self, path: Path, clock: Clock, *, history: History | None = None, watch_bound: int = 10_000) -> None:
        self._clock = clock
        self._disk = Disk(path)
        loaded = self._disk.load()
        self._past = Past(path)
        self._heads = Heads(loaded.rows, loaded.revision)
        self._recent = Recent(loaded.revision, _RECENT, _RECENT_BYTES)
        self._retention = Retention(history or History(), loaded.moments)
        self._compacted = loaded.compacted
        self._swept = loaded.swept
        self._watchers = Watchers(watch_bound, lambda: self._compacted)
        self._writer = Lane("store-writer", clock)
        self._reader = Lane("store-reader", clock)
        self._waiting: list[_Write] = []
        self._scheduled = False
        self._busy = False
        self._closing: asyncio.Future[None] | None = None
        self._marked = loaded.compacted
        self._swept_waiters: list[tuple[int, asyncio.Future[None]]] = []
        self._groups_since_bite = 0
        self._logged_bytes = 0
        self._since_checkpoint = 0
        self._checkpointing = False
        self._compacted_at = clock.monotonic()
        self._resting = False
        self.commits = 0
        """How many groups have been committed."""

    @property
    def revision(self) -> int:
        return self._heads.revision

    @property
    def compacted(self) -> int:
        return self._compacted

    async def get(self, key: str, revision: int = 0) -> Row | None:
        head = self._heads.get(key)
        if not revision:
            return head
        self._check(revision)
        if head is not None and head.revision <= revision:
            return head
        if revision >= self._recent.start:
            return self._recent.undo(revision, key).get(key, head)
        row = await self._reader.run(partial(self._past.row, key, revision))
        self._check(revision)
        return row

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        if not revision or revision == self.revision:
            return self._heads.page(prefix, after, limit)
        self._check(revision)
        if revision >= self._recent.start:
            return self._heads.page_before(prefix, after, limit, revision, self._recent.undo(revision, prefix))
        page = await self._reader.run(partial(self._past.listing, prefix, after, limit, revision))
        # Compaction may have begun while the page was read, and taken rows that belonged on it.
        self._check(revision)
        return page

    async def put(self, key: str, value: bytes, *, expected: int | None) -> int:
        return (await self._write((Wish(key, value, expected),)))[0]

    async def delete(self, key: str, *, expected: int | None) -> int:
        return (await self._write((Wish(key, None, expected),)))[0]

    async def write(self, wishes: Sequence[Wish]) -> Sequence[int]:
        return await self._write(wishes)

    def watch(self, prefix: str, after: int) -> Watch:
        self._check(after)
        if after >= self._recent.start:
            return self._watchers.open(prefix, after, self.revision, backlog=self._recent.since(after, prefix))
        return self._watchers.open(prefix, after, self.revision, past=self._changes)

    async def compact(self, revision: int) -> None:
        """Forget the history before `revision`; returns when the file is rid of it too."""
        if revision > self.revision:
            raise FutureRevision(self.revision)
        if self._closing is not None:
            raise RuntimeError("the store is closed")
        self._compacted = max(self._compacted, revision)
        self._resting = False
        if self._sweep_target() > self._swept:
            swept: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._swept_waiters.append((self._sweep_target(), swept))
            self._schedule()
            await swept

    async def close(self) -> None:
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_future()
            self._schedule()
        await self._closing

    def _check(self, revision: int) -> None:
        if revision > self.revision:
            raise FutureRevision(self.revision)
        if revision < self._compacted:
            raise Compacted(self._compacted)

    async def _changes(self, prefix: str, after: int, upto: int) -> tuple[Sequence[Change], int]:
        return await self._reader.run(partial(self._past.changes, prefix, after, upto))

    # Writing: everything below runs on the loop, except the work handed to a lane.

    def _write(self, wishes: Sequence[Wish]) -> asyncio.Future[Sequence[int]]:
        if self._closing is not None:
            raise RuntimeError("the store is closed")
        answer: asyncio.Future[Sequence[int]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Write(wishes, answer))
        self._schedule()
        return answer

    def _schedule(self) -> None:
        # At the end of the turn, not at once: writers that run in the same turn share the transaction.
        if not self._scheduled and not self._busy:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        if self._busy:
            return
        if self._logged_bytes > _LONGEST_LOG_BYTES and not self._resting and not self._checkpointing:
            # Little is left to copy, as checkpoints beside the writers went before; but only without writers does the
            # log begin anew.
            self._in_writer(partial(self._disk.checkpoint, wholly=True), self._emptied)
        elif self._waiting and not self._bite_is_due():
            self._commit_group()
        elif self._may_bite() and self._sweep_target() > self._swept:
            self._bite()
        elif self._waiting:
            self._commit_group()
        elif self._closing is not None and not self._closing.done():
            self._finish()

    def _in_writer(self, work: Callable[[], None], then: Callable[[], object]) -> None:
        self._busy = True

        def landed(future: Future[None]) -> None:
            self._busy = False
            error = future.exception()
            if error is None:
                then()
            else:
                # What is left undone costs space only; it is tried again after the next write that succeeds.
                log.warning("housekeeping of the store failed: %s", error)
                self._resting = True
                self._answer_swept(error)
            self._schedule()

        self._writer.submit(work, landed)

    def _commit_group(self) -> None:
        group, self._waiting = self._waiting[:_LARGEST_GROUP], self._waiting[_LARGEST_GROUP:]
        changes, outcomes = decide(self._heads, [write.wishes for write in group])
        if not changes:
            self._answer(group, outcomes)
            self._schedule()
            return
        newest, now = changes[-1].revision, self._clock.time()
        moment = (newest, now) if self._retention.note(newest, now) else None
        self._busy = True

        def landed(future: Future[None]) -> None:
            self._busy = False
            error = future.exception()
            if error is not None:
                for write in group:
                    if not write.answer.done():
                        write.answer.set_exception(_unwritable(error))
            else:
                self._take_in(changes)
                self._answer(group, outcomes)
            # Behind the writers that were just answered, so that their next writes join this turn's group.
            self._schedule()

        self._writer.submit(partial(self._disk.append, changes, moment), landed)

    def _take_in(self, changes: Sequence[Change]) -> None:
        self.commits += 1
        self._resting = False
        self._groups_since_bite += 1
        for change in changes:
            self._heads.apply(change)
            self._recent.add(change)
            self._logged_bytes += len(change.value or b"") + 256
        self._watchers.publish(changes)
        target = self._retention.target(self.revision, self._clock.time())
        waited = self._clock.monotonic() - self._compacted_at >= _COMPACTION_PAUSE
        if target > self._compacted and (waited or target >= self._compacted + _COMPACTION_STEP):
            self._compacted = target
            self._compacted_at = self._clock.monotonic()
        if self._logged_bytes - self._since_checkpoint > _CHECKPOINT_BYTES and not self._checkpointing:
            self._checkpointing = True
            self._since_checkpoint = self._logged_bytes
            self._reader.submit(self._past.checkpoint, self._checkpointed)

    @staticmethod
    def _answer(group: Sequence[_Write], outcomes: Sequence[Outcome]) -> None:
        for write, outcome in zip(group, outcomes, strict=True):
            if write.answer.done():
                continue
            if isinstance(outcome, Mismatch):
                write.answer.set_exception(outcome)
            else:
                write.answer.set_result(outcome)

    # Keeping house.

    def _sweep_target(self) -> int:
        # The newest revision's row stays whatever it is: it is where the counter goes on from after a restart.
        return min(self._compacted, self.revision - 1)

    def _may_bite(self) -> bool:
        return not self._resting and (self._closing is None or bool(self._swept_waiters))

    def _bite_is_due(self) -> bool:
        return (
            self._may_bite()
            and self._groups_since_bite >= _GROUPS_PER_BITE
            and self._sweep_target() - self._swept > _BITE
        )

    def _bite(self) -> None:
        self._groups_since_bite = 0
        if self._marked < self._compacted:
            compacted = self._compacted

            def marked() -> None:
                self._marked = compacted

            self._in_writer(partial(self._disk.mark_compacted, compacted), marked)
            return
        upto = min(self._swept + _BITE, self._sweep_target())

        def swept() -> None:
            self._swept = upto
            self._answer_swept(None)

        self._in_writer(partial(self._disk.sweep, self._swept, upto), swept)

    def _answer_swept(self, error: BaseException | None) -> None:
        for wanted, waiter in self._swept_waiters:
            if waiter.done():
                continue
            if error is not None:
                waiter.set_exception(_unwritable(error))
            elif wanted <= self._swept:
                waiter.set_result(None)
        self._swept_waiters = [pair for pair in self._swept_waiters if not pair[1].done()]

    def _checkpointed(self, future: Future[bool]) -> None:
        self._checkpointing = False
        error = future.exception()
        if error is not None:
            log.warning("a checkpoint of the store failed: %s", error)
        elif future.result() and self._logged_bytes == self._since_checkpoint:
            self._emptied()

    def _emptied(self) -> None:
        self._logged_bytes = self._since_checkpoint = 0

    def _finish(self) -> None:
        self._watchers.close()
        self._busy = True

        def written(future: Future[None]) -> None:
            self._writer.close()
            self._reader.close()
            if self._closing is not None and not self._closing.done():
                error = future.exception()
                if error is not None:
                    self._closing.set_exception(error)
                else:
                    self._closing.set_result(None)

        def last() -> None:
            self._disk.checkpoint(wholly=True)
            self._disk.close()

        def read(_: Future[None]) -> None:
            self._writer.submit(last, written)

        self._reader.submit(self._past.close, read)
