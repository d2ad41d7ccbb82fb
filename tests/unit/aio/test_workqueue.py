from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from podling.aio.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.aio.clock import VirtualClock


def test_keys_are_fair_and_taken_once(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """Keys come in order of their first addition; one added again before it is taken is taken once."""

    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue(clock)
        for key in "abcabd":
            queue.add(key)
        assert len(queue) == 4
        assert [await queue.get() for _ in range(4)] == ["a", "b", "c", "d"]

    run(main())


def test_never_two_workers_on_one_key(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """A key added while it is processed waits for `done`, and is then processed once more."""

    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue(clock)
        working: dict[str, int] = {}
        processed: list[str] = []

        async def work() -> None:
            while True:
                key = await queue.get()
                working[key] = working.get(key, 0) + 1
                assert working[key] == 1
                await clock.sleep(1)
                working[key] -= 1
                processed.append(key)
                queue.done(key)

        workers = [asyncio.create_task(work()) for _ in range(4)]
        queue.add("a")
        queue.add("b")
        await clock.advance(0.5)
        for _ in range(5):
            queue.add("a")
        await clock.advance(10)
        assert sorted(processed) == ["a", "a", "b"]
        for worker in workers:
            worker.cancel()

    run(main())


def test_later_is_the_soonest_wish(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """Of several delayed additions the soonest stands, and fires at its exact instant."""

    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue(clock)
        queue.add_after("a", 10)
        queue.add_after("a", 5)
        queue.add_after("a", 20)
        queue.add_after("b", 0)
        assert await queue.get() == "b"
        taker = asyncio.create_task(queue.get())
        assert await clock.run_until(taker.done) == 5.0
        queue.done("a")
        await clock.advance(60)
        assert len(queue) == 0

    run(main())


def test_back_off_doubles_until_forgotten(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """Rate-limited additions wait 5 ms, 10 ms, 20 ms … up to the longest; `forget` begins again."""

    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue(clock, first=0.005, longest=0.03)
        waits: list[float] = []
        for number in range(6):
            if number == 5:
                queue.forget("a")
            before = clock.monotonic()
            queue.add_rate_limited("a")
            taker = asyncio.create_task(queue.get())
            waits.append(round(await clock.run_until(taker.done) - before, 6))
            queue.done("a")
        assert waits == [0.005, 0.01, 0.02, 0.03, 0.03, 0.005]

    run(main())


def test_cancelled_taker_loses_no_wake_up(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """A key whose wake-up reached a taker that was cancelled in the same turn is taken by the next."""

    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue(clock)
        first, second = asyncio.create_task(queue.get()), asyncio.create_task(queue.get())
        await clock.settle()
        queue.add("a")
        first.cancel()
        await clock.settle()
        assert second.done()
        assert second.result() == "a"
        with suppress(asyncio.CancelledError):
            await first
        third = asyncio.create_task(queue.get())
        await clock.settle()
        third.cancel()
        await clock.settle()
        queue.add("b")
        assert await queue.get() == "b"

    run(main())
