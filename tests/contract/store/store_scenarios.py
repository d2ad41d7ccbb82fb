"""What every store promises, as scenarios: each takes a fresh store and asserts one promise."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from podling.store import Change, Compacted, FutureRevision, Mismatch, Store, Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

PODS = "/registry/pods/"


class Wrapped:
    """A store that passes everything on; planted bugs override one method."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


async def collect(store: Store, prefix: str, after: int, upto: int) -> list[Change]:
    """Read a watch until the change at `upto`."""
    seen: list[Change] = []
    async for batch in store.watch(prefix, after):
        seen += batch
        if seen[-1].revision >= upto:
            return seen
    raise AssertionError("the watch ended early")


async def compare_and_swap(store: Store) -> None:
    first = await store.put(PODS + "a", b"1", expected=0)
    with pytest.raises(Mismatch) as created:
        await store.put(PODS + "a", b"2", expected=0)
    assert created.value.current is not None
    assert (created.value.current.value, created.value.current.revision) == (b"1", first)
    second = await store.put(PODS + "a", b"2", expected=first)
    assert second == first + 1 == store.revision
    with pytest.raises(Mismatch):
        await store.put(PODS + "a", b"3", expected=first)
    with pytest.raises(Mismatch):
        await store.delete(PODS + "a", expected=first)
    with pytest.raises(Mismatch) as absent:
        await store.put(PODS + "b", b"1", expected=first)
    assert absent.value.current is None
    with pytest.raises(Mismatch):
        await store.delete(PODS + "b", expected=None)
    assert store.revision == second
    row = await store.get(PODS + "a")
    assert row is not None
    assert (row.key, row.value, row.revision, row.created) == (PODS + "a", b"2", second, first)
    gone = await store.delete(PODS + "a", expected=second)
    assert gone == second + 1
    assert await store.get(PODS + "a") is None
    again = await store.put(PODS + "a", b"4", expected=0)
    row = await store.get(PODS + "a")
    assert row is not None
    assert row.created == again


async def one_of_many_swaps_wins(store: Store) -> None:
    base = await store.put(PODS + "a", b"", expected=0)
    outcomes = await asyncio.gather(
        *(store.put(PODS + "a", b"%d" % number, expected=base) for number in range(20)), return_exceptions=True
    )
    won = [outcome for outcome in outcomes if isinstance(outcome, int)]
    assert won == [base + 1] == [store.revision]
    for outcome in outcomes:
        if not isinstance(outcome, int):
            assert isinstance(outcome, Mismatch)
            assert outcome.current is not None
            assert outcome.current.revision == base + 1


async def together_or_not_at_all(store: Store) -> None:
    base = await store.put(PODS + "count", b"0", expected=0)
    pair = [Wish(PODS + "count", b"1", base), Wish(PODS + "a", b"a", 0)]
    assert await store.write(pair) == [base + 1, base + 2]
    with pytest.raises(Mismatch) as stale:
        await store.write([Wish(PODS + "b", b"b", 0), Wish(PODS + "count", b"2", base)])
    assert stale.value.key == PODS + "count"
    assert stale.value.current is not None
    assert stale.value.current.revision == base + 1
    assert store.revision == base + 2
    assert await store.get(PODS + "b") is None
    outcomes = await asyncio.gather(
        *(store.write([Wish(f"{PODS}b{n}", b"b", 0), Wish(PODS + "count", b"2", base + 1)]) for n in range(10)),
        return_exceptions=True,
    )
    assert [outcome for outcome in outcomes if not isinstance(outcome, BaseException)] == [[base + 3, base + 4]]
    rows = (await store.list(PODS)).rows
    assert [row.key for row in rows] == [PODS + "a", PODS + "b0", PODS + "count"]
    first, second = [c for c in await collect(store, PODS, base + 2, base + 4) if c.revision > base + 2]
    assert (first.key, second.key) == (PODS + "b0", PODS + "count")
    await store.write([Wish(PODS + "b0", None, base + 3), Wish(PODS + "b0", b"again", 0)])
    row = await store.get(PODS + "b0")
    assert row is not None
    assert (row.value, row.created) == (b"again", base + 6)


async def ordered_listing(store: Store) -> None:
    for key in ["b/2", "a", "b/10", "c", "b/1", "b", "bb"]:
        await store.put(PODS + key, key.encode(), expected=0)
    page = await store.list(PODS)
    assert [row.key for row in page.rows] == [PODS + key for key in ["a", "b", "b/1", "b/10", "b/2", "bb", "c"]]
    assert (page.more, page.remaining, page.revision) == (False, 0, store.revision)
    page = await store.list(PODS + "b/")
    assert [row.value for row in page.rows] == [b"b/1", b"b/10", b"b/2"]
    assert (await store.list("/registry/none/")).rows == []


async def listing_continues_at_its_revision(store: Store) -> None:
    for number in range(10):
        await store.put(f"{PODS}{number}", b"old", expected=0)
    first = await store.list(PODS, limit=4)
    assert (len(first.rows), first.more, first.remaining) == (4, True, 6)
    await store.put(PODS + "5", b"new", expected=None)
    await store.delete(PODS + "6", expected=None)
    await store.put(PODS + "45", b"inserted", expected=0)
    await store.delete(PODS + "7", expected=None)
    await store.put(PODS + "7", b"again", expected=0)
    rest, after = list(first.rows), first.rows[-1].key
    while True:
        page = await store.list(PODS, after=after, limit=4, revision=first.revision)
        assert page.revision == first.revision
        assert page.remaining == 10 - len(rest) - len(page.rows)
        rest += page.rows
        if not page.more:
            break
        after = page.rows[-1].key
    assert [(row.key, row.value) for row in rest] == [(f"{PODS}{number}", b"old") for number in range(10)]
    now = await store.list(PODS)
    assert [row.value for row in now.rows].count(b"old") == 7


async def every_past_can_be_read(store: Store) -> None:
    states: dict[int, dict[str, tuple[bytes, int, int]]] = {}
    state: dict[str, tuple[bytes, int, int]] = {}
    for step in range(40):
        key = f"{PODS}{step * 7 % 5}"
        if step % 4 == 3 and key in state:
            revision = await store.delete(key, expected=None)
            del state[key]
        else:
            revision = await store.put(key, b"%d" % step, expected=None)
            state[key] = (b"%d" % step, revision, state[key][2] if key in state else revision)
        states[revision] = dict(state)
    await store.put("/registry/other/x", b"", expected=0)
    for revision, was in states.items():
        page = await store.list(PODS, revision=revision)
        assert {row.key: (row.value, row.revision, row.created) for row in page.rows} == was
        for number in range(5):
            row = await store.get(f"{PODS}{number}", revision)
            assert (row and (row.value, row.revision, row.created)) == was.get(f"{PODS}{number}")


async def watch_says_what_happened(store: Store) -> None:
    start = store.revision
    watch = store.watch(PODS, start)
    one = await store.put(PODS + "a", b"1", expected=0)
    await store.put("/registry/nodes/n", b"", expected=0)
    two = await store.put(PODS + "a", b"2", expected=one)
    three = await store.delete(PODS + "a", expected=two)
    four = await store.put(PODS + "a", b"3", expected=0)
    seen: list[Change] = []
    while not seen or seen[-1].revision < four:
        seen += await anext(watch)
    assert [(c.revision, c.value, c.created, c.previous and c.previous.value) for c in seen] == [
        (one, b"1", one, None),
        (two, b"2", one, b"1"),
        (three, None, one, b"2"),
        (four, b"3", four, None),
    ]
    assert await collect(store, PODS, start, four) == seen


async def watchers_know_before_writers(store: Store) -> None:
    watch = store.watch(PODS, store.revision)
    known: list[int] = []

    async def read() -> None:
        async for batch in watch:
            known.extend(change.revision for change in batch)

    reader = asyncio.create_task(read())
    await asyncio.sleep(0)
    for number in range(20):
        revision = await store.put(f"{PODS}{number}", b"", expected=0)
        # Handed over means woken: it takes the reader's own turn, and no more.
        await asyncio.sleep(0)
        assert revision in known
    reader.cancel()
    with suppress(asyncio.CancelledError):
        await reader


async def watch_from_any_revision(store: Store) -> None:
    """Watches begin at many revisions while eight writers write; none misses or repeats a change."""
    writers, each = 8, 60
    end = store.revision + writers * each
    watches: list[asyncio.Task[list[Change]]] = []
    starts: list[int] = []

    async def write(writer: int) -> None:
        for number in range(each):
            key = f"{PODS}{writer}-{number % 6}"
            await store.put(key, b"%d" % number, expected=None)
            if number % 10 == writer:
                starts.append(max(1, store.revision - 13 * writer))
                watches.append(asyncio.create_task(collect(store, PODS, starts[-1], end)))
            if number % 17 == 0:
                await asyncio.sleep(0)

    await asyncio.gather(*(write(writer) for writer in range(writers)))
    assert store.revision == end
    whole = await collect(store, PODS, 1, end)
    assert [change.revision for change in whole] == list(range(2, end + 1))
    newest: dict[str, Change] = {}
    for change in whole:
        before = newest.get(change.key)
        assert (change.previous and change.previous.revision) == (before and before.revision)
        newest[change.key] = change
    assert len(watches) > 40
    for start, watch in zip(starts, watches, strict=True):
        assert await watch == whole[start - 1 :]


async def compaction(store: Store) -> None:
    revisions = [await store.put(PODS + "a", b"%d" % number, expected=None) for number in range(10)]
    gone = await store.delete(PODS + "a", expected=None)
    keep = await store.put(PODS + "keep", b"k", expected=0)
    last = await store.put(PODS + "b", b"", expected=0)
    await store.compact(revisions[5])
    assert store.compacted == revisions[5]
    for old in [revisions[0], revisions[4]]:
        with pytest.raises(Compacted) as listing:
            await store.list(PODS, revision=old)
        assert listing.value.oldest == revisions[5]
        with pytest.raises(Compacted):
            await store.get(PODS + "a", old)
        with pytest.raises(Compacted):
            await anext(store.watch(PODS, old))
    row = await store.get(PODS + "a", revisions[5])
    assert row is not None
    assert row.value == b"5"
    seen = await collect(store, PODS, revisions[5], last)
    assert [change.revision for change in seen] == list(range(revisions[6], last + 1))
    assert seen[0].previous is not None
    assert seen[0].previous.value == b"5"
    await store.compact(last)
    await store.compact(last)
    await store.compact(revisions[0])
    assert store.compacted == last
    with pytest.raises(Compacted):
        await store.get(PODS + "a", gone)
    assert [row.key for row in (await store.list(PODS)).rows] == [PODS + "b", PODS + "keep"]
    row = await store.get(PODS + "keep")
    assert row is not None
    assert row.revision == keep
    assert await store.put(PODS + "c", b"", expected=0) == last + 1


async def the_future_is_refused(store: Store) -> None:
    newest = await store.put(PODS + "a", b"", expected=0)
    with pytest.raises(FutureRevision) as listing:
        await store.list(PODS, revision=newest + 1)
    assert listing.value.newest == newest
    with pytest.raises(FutureRevision):
        await store.get(PODS + "a", newest + 1)
    with pytest.raises(FutureRevision):
        await anext(store.watch(PODS, newest + 1))
    with pytest.raises(FutureRevision):
        await store.compact(newest + 1)


async def closing_ends_watches(store: Store) -> None:
    watch = store.watch(PODS, store.revision)
    revision = await store.put(PODS + "a", b"", expected=0)
    await store.close()
    batches: list[Sequence[Change]] = [batch async for batch in watch]
    assert [change.revision for batch in batches for change in batch] == [revision]
    with pytest.raises(RuntimeError):
        await store.put(PODS + "b", b"", expected=0)


ALL = [
    compare_and_swap,
    one_of_many_swaps_wins,
    together_or_not_at_all,
    ordered_listing,
    listing_continues_at_its_revision,
    every_past_can_be_read,
    watch_says_what_happened,
    watchers_know_before_writers,
    watch_from_any_revision,
    compaction,
    the_future_is_refused,
    closing_ends_watches,
]
