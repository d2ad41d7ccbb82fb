from __future__ import annotations

import asyncio
import gc
import sys
import warnings
from typing import TYPE_CHECKING, Any

import pytest

from podling.aio.supervisor import Supervisor
from podling.aio.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.aio.clock import VirtualClock


def test_components_are_started_again(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """A component that raises, returns, or is cancelled from within runs again after 0.5 s, doubling to 30 s."""

    async def main() -> None:
        starts: list[float] = []

        async def fails() -> None:
            starts.append(clock.monotonic())
            match len(starts) % 3:
                case 0:
                    raise ValueError("planted")
                case 1:
                    return
                case _:
                    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    lost.cancel()
                    await lost

        async with Supervisor(clock) as supervisor:
            supervisor.component("failing", fails)
            await clock.advance(100)
            assert starts == [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5, 61.5, 91.5]
            assert supervisor.failures == 9

    run(main())


def test_long_life_forgets_the_back_off(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """A component that ran for more than a minute is started again after the first pause."""

    async def main() -> None:
        starts: list[float] = []

        async def fails() -> None:
            starts.append(clock.monotonic())
            if len(starts) == 4:
                await clock.sleep(61)
            raise ValueError("planted")

        async with Supervisor(clock) as supervisor:
            supervisor.component("failing", fails)
            await clock.advance(70)
            assert starts == [0.0, 0.5, 1.5, 3.5, 65.0, 66.0, 68.0]

    run(main())


def test_stop_is_in_reverse_and_waits(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """Jobs stop first, then components in the reverse order of their start, each ended before the next is asked."""

    async def main() -> None:
        log: list[str] = []

        async def lives(name: str, farewell: float) -> None:
            try:
                await clock.sleep(1000)
            finally:
                log.append(f"{name} asked")
                for _ in range(int(farewell)):
                    await clock.sleep(0)
                log.append(f"{name} ended")

        async with Supervisor(clock) as supervisor:
            supervisor.component("store", lambda: lives("store", 1))
            supervisor.component("api", lambda: lives("api", 5))
            supervisor.job("job", lives("job", 3))
            await clock.settle()
        assert log == ["job asked", "job ended", "api asked", "api ended", "store asked", "store ended"]
        with pytest.raises(RuntimeError, match="not running"):
            supervisor.component("late", lambda: lives("late", 0))

    run(main())


def test_impatient_stop_leaves_nothing(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """Cancelled twice, the supervisor gives up its order but no task outlives it (the fixture looks)."""

    async def main() -> None:
        async def stubborn() -> None:
            try:
                await clock.sleep(1000)
            finally:
                await clock.sleep(50)

        async def supervised() -> None:
            async with Supervisor(clock) as supervisor:
                supervisor.component("first", lambda: clock.sleep(1000))
                supervisor.component("stubborn", stubborn)
                await clock.sleep(1000)

        task = asyncio.create_task(supervised())
        await clock.settle()
        task.cancel()
        await clock.settle()
        assert not task.done()
        task.cancel()
        await clock.settle()
        assert task.cancelled()

    run(main())


def test_job_fails_alone(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """A job's error is counted and reaches neither its siblings nor the supervisor."""

    async def main() -> None:
        done: list[str] = []

        async def bad() -> None:
            raise ValueError("planted")

        async def good() -> None:
            await clock.sleep(1)
            done.append("good")

        async with Supervisor(clock) as supervisor:
            supervisor.job("bad", bad())
            supervisor.job("good", good())
            await clock.advance(2)
            assert (done, supervisor.failures) == (["good"], 1)
            assert not supervisor._jobs

    run(main())


def test_workers_retry_what_fails(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """A key that fails, or whose processing is cancelled from within, comes again after its back-off; conflicts are
    no failures."""

    class Conflict(Exception):
        is_conflict = True

    async def main() -> None:
        queue: WorkQueue[str] = WorkQueue(clock, first=1)
        seen: list[tuple[str, float]] = []

        async def process(key: str) -> None:
            seen.append((key, clock.monotonic()))
            match len(seen):
                case 1:
                    raise ValueError("planted")
                case 2:
                    raise Conflict
                case 3:
                    lost: asyncio.Future[None] = asyncio.get_running_loop().create_future()
                    lost.cancel()
                    await lost

        async with Supervisor(clock) as supervisor:
            supervisor.workers("sync", queue, process, count=2)
            queue.add("a")
            await clock.advance(20)
            assert seen == [("a", 0.0), ("a", 1.0), ("a", 3.0), ("a", 7.0)]
            assert supervisor.failures == 2
            queue.add_rate_limited("a")
            await clock.advance(1)
            assert seen[-1] == ("a", 21.0)

    run(main())


def test_error_in_the_body_stops_everything(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """An error within the supervisor's block leaves it as itself, after all components have stopped."""

    async def main() -> None:
        with pytest.raises(ValueError, match="planted"):
            async with Supervisor(clock) as supervisor:
                supervisor.component("lives", lambda: clock.sleep(1000))
                await clock.settle()
                raise ValueError("planted")

    run(main())


def test_a_job_that_never_began_is_closed(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """A job stopped before its first step, or refused, leaves no coroutine behind that warns of never being awaited."""

    async def main() -> None:
        async def work() -> None:
            raise AssertionError("it never begins")

        with warnings.catch_warnings():
            warnings.simplefilter("error")
            unraisable: list[object] = []
            hook, sys.unraisablehook = sys.unraisablehook, lambda it: unraisable.append(it.exc_value)
            try:
                async with Supervisor(clock) as supervisor:
                    supervisor.job("late", work())
                with pytest.raises(RuntimeError, match="not running"):
                    supervisor.job("later", work())
                gc.collect()
            finally:
                sys.unraisablehook = hook
            assert unraisable == []

    run(main())
