from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from podling.aio.clock import SystemClock, VirtualClock
from podling.store import Compacted, History, Mismatch, Page, Store, Wish, open_store
from tests.contract.store import store_scenarios as scenarios
from tests.contract.store.store_scenarios import Wrapped

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from pathlib import Path


@pytest.mark.parametrize("scenario", scenarios.ALL, ids=lambda scenario: scenario.__name__)
def test_store_keeps_its_promise(hold: Callable[..., None], scenario: Callable[[Store], Awaitable[None]]) -> None:
    """Every store keeps every promise of the Protocol."""
    hold(scenario)


class ForgetsToCompare(Wrapped):
    async def put(self, key: str, value: bytes, *, expected: int | None) -> int:
        return await self.inner.put(key, value, expected=None)


class WritesOneByOne(Wrapped):
    async def write(self, wishes: Sequence[Wish]) -> Sequence[int]:
        return [await self.inner.put(key, value or b"", expected=expected) for key, value, expected in wishes]


class CountsRefusals(Wrapped):
    refused = 0

    @property
    def revision(self) -> int:
        return self.inner.revision + self.refused

    async def put(self, key: str, value: bytes, *, expected: int | None) -> int:
        try:
            return await self.inner.put(key, value, expected=expected)
        except Mismatch:
            self.refused += 1
            raise


class ListsUnordered(Wrapped):
    async def list(self, prefix: str, **how: Any) -> Page:
        page = await self.inner.list(prefix, **how)
        return Page(page.rows[::-1], page.revision, page.more, page.remaining)


class ContinuesAtTheNewest(Wrapped):
    async def list(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        page = await self.inner.list(prefix, after=after, limit=limit)
        return Page(page.rows, revision or page.revision, page.more, page.remaining)


class WatchesFromNow(Wrapped):
    def watch(self, prefix: str, after: int) -> AsyncIterator[Any]:
        return self.inner.watch(prefix, max(after, self.inner.revision - 1))


class RepeatsBatches(Wrapped):
    async def watch(self, prefix: str, after: int) -> AsyncIterator[Sequence[Any]]:
        async for batch in self.inner.watch(prefix, after):
            yield [*batch, *batch]


class WakesWatchersLate(Wrapped):
    async def watch(self, prefix: str, after: int) -> AsyncIterator[Sequence[Any]]:
        async for batch in self.inner.watch(prefix, after):
            await asyncio.sleep(0.01)
            yield batch


class NeverCompacts(Wrapped):
    async def compact(self, revision: int) -> None:
        pass


@pytest.mark.parametrize(
    ("planted", "catcher"),
    [
        (ForgetsToCompare, scenarios.compare_and_swap),
        (ForgetsToCompare, scenarios.one_of_many_swaps_wins),
        (WritesOneByOne, scenarios.together_or_not_at_all),
        (CountsRefusals, scenarios.compare_and_swap),
        (ListsUnordered, scenarios.ordered_listing),
        (ContinuesAtTheNewest, scenarios.listing_continues_at_its_revision),
        (ContinuesAtTheNewest, scenarios.every_past_can_be_read),
        (WatchesFromNow, scenarios.watch_from_any_revision),
        (RepeatsBatches, scenarios.watch_says_what_happened),
        (WakesWatchersLate, scenarios.watchers_know_before_writers),
        (NeverCompacts, scenarios.compaction),
    ],
)
def test_contract_catches_planted_bugs(
    planted: type[Wrapped], catcher: Callable[[Any], Awaitable[None]], tmp_path: Path
) -> None:
    """A store with a bug in it does not pass: each scenario can fail."""

    async def main() -> None:
        store = open_store("memory", tmp_path, SystemClock())
        with pytest.raises((AssertionError, pytest.fail.Exception, Mismatch)):
            await asyncio.wait_for(catcher(planted(store)), 5)
        await store.close()

    asyncio.run(main())


def test_slow_watcher_is_cut_off(spec: str, tmp_path: Path) -> None:
    """A watcher that falls behind its bound gets what was buffered and then `Compacted`; the others lose nothing."""
    from podling.store.memory import MemoryStore
    from podling.store.sqlite import SqliteStore

    async def main() -> None:
        clock = SystemClock()
        store: Store = (
            MemoryStore(clock, watch_bound=10)
            if spec == "memory"
            else SqliteStore(tmp_path / "s", clock, watch_bound=10)
        )
        slow = store.watch("/", store.revision)
        quick = asyncio.create_task(scenarios.collect(store, "/", store.revision, store.revision + 30))
        await asyncio.sleep(0)
        first = store.revision + 1
        for number in range(30):
            await store.put(f"/{number}", b"", expected=0)
            await asyncio.sleep(0)
        seen: list[int] = []
        with pytest.raises(Compacted):
            async for batch in slow:
                seen += [change.revision for change in batch]
        assert seen == list(range(first, first + 10))
        assert len(await quick) == 30
        await store.close()

    asyncio.run(main())


def test_history_ages_out(spec: str, tmp_path: Path) -> None:
    """History older than its bound in time is forgotten, and not before, on the injected clock."""

    async def main() -> None:
        clock = VirtualClock()
        store = open_store(spec, tmp_path, clock, history=History(seconds=600))
        old = await store.put("/a", b"1", expected=0)
        await clock.advance(300)
        await store.put("/a", b"2", expected=None)
        row = await store.get("/a", old)
        assert row is not None
        assert row.value == b"1"
        await clock.advance(301)
        newest = await store.put("/b", b"", expected=None)
        row = await store.get("/a", old)
        assert row is not None
        assert row.value == b"1"
        await clock.advance(300)
        newest = await store.put("/b", b"", expected=None)
        with pytest.raises(Compacted):
            await store.get("/a", old)
        assert store.compacted < newest
        await store.close()

    asyncio.run(main())


def test_history_is_bounded_in_number(spec: str, tmp_path: Path) -> None:
    """No more revisions are kept than asked for, give or take a step of compaction."""

    async def main() -> None:
        store = open_store(spec, tmp_path, SystemClock(), history=History(revisions=500))
        for start in range(0, 4000, 200):
            await asyncio.gather(*(store.put(f"/{start + n}", b"", expected=0) for n in range(200)))
        assert store.revision == 4001
        assert 2400 <= store.compacted <= 3501
        assert len((await store.list("/")).rows) == 4000
        await store.close()

    asyncio.run(main())
