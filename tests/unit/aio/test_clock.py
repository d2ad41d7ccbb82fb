from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any

import pytest

from podling.aio.clock import SystemClock, VirtualClock

if TYPE_CHECKING:
    from collections.abc import Callable


def test_virtual_time_is_exact(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """Sleepers wake at their exact instants, in order, and those of one instant in the order of their sleep."""
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, *naps: float) -> None:
        for nap in naps:
            await clock.sleep(nap)
            woken.append((name, clock.monotonic()))

    async def main() -> None:
        begun = clock.time()
        tasks = [
            asyncio.create_task(sleeper(*who)) for who in [("a", 300.0, 1.0), ("b", 301.0), ("c", 0.25), ("d", 301)]
        ]
        await clock.advance(0.2)
        assert woken == []
        await clock.advance(300.8)
        assert woken == [("c", 0.25), ("a", 300.0), ("b", 301.0), ("d", 301.0), ("a", 301.0)]
        assert clock.time() - begun == 301.0
        await asyncio.gather(*tasks)

    run(main())


def test_time_stands_still_by_itself(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """Nothing but `advance` and `run_until` moves the time, whatever runs."""

    async def main() -> None:
        fired: list[float] = []
        clock.call_later(1, lambda: fired.append(clock.monotonic()))
        for _ in range(100):
            await clock.sleep(0)
        await clock.settle()
        assert (clock.monotonic(), fired) == (0.0, [])
        await clock.advance(0.5)
        assert (clock.monotonic(), fired) == (0.5, [])
        await clock.advance(10)
        assert (clock.monotonic(), fired) == (10.5, [1.0])

    run(main())


def test_run_until_stops_at_the_instant(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """`run_until` returns the instant at which the condition came to hold, and `TimeoutError` past its limit."""

    async def main() -> None:
        count = 0

        async def tick() -> None:
            nonlocal count
            while True:
                await clock.sleep(10)
                count += 1

        task = asyncio.create_task(tick())
        assert await clock.run_until(lambda: count == 7) == 70.0
        with pytest.raises(TimeoutError, match="within 25 s"):
            await clock.run_until(lambda: False, limit=25)
        assert clock.monotonic() == 95.0
        assert count == 9
        task.cancel()

    run(main())


def test_cancelled_timers_do_not_fire(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """A cancelled timer, and the timer of a cancelled sleep, are as if never set."""

    async def main() -> None:
        fired: list[str] = []
        clock.call_later(1, lambda: fired.append("one")).cancel()
        clock.call_later(2, lambda: fired.append("two"))
        sleeper = asyncio.create_task(clock.sleep(1.5))
        await clock.settle()
        sleeper.cancel()
        await clock.advance(1.6)
        assert sleeper.cancelled()
        await clock.advance(1)
        assert fired == ["two"]
        assert not clock._timers

    run(main())


@pytest.mark.parametrize("virtual", [True, False], ids=["virtual", "system"])
def test_timeouts(run: Callable[[Any], Any], virtual: bool) -> None:
    """Both clocks: late blocks get `TimeoutError`, quick ones nothing, outer cancellation stays cancellation."""

    async def main() -> None:
        clock: Any = VirtualClock() if virtual else SystemClock()
        unit = 1.0 if virtual else 0.01
        seen: list[str] = []

        async def late() -> None:
            try:
                async with clock.timeout(2 * unit):
                    await clock.sleep(100 * unit)
            except TimeoutError:
                seen.append("late")
            assert asyncio.current_task().cancelling() == 0  # type: ignore[union-attr]
            await clock.sleep(unit)
            seen.append("and goes on")

        async def quick() -> None:
            async with clock.timeout(5 * unit):
                await clock.sleep(unit)
            async with clock.timeout(None):
                await clock.sleep(unit)
            await clock.sleep(10 * unit)
            seen.append("quick")

        async def inner_is_not_outer() -> None:
            try:
                async with clock.timeout(3 * unit):
                    try:
                        async with clock.timeout(50 * unit):
                            await clock.sleep(100 * unit)
                    except TimeoutError:
                        seen.append("inner")
            except TimeoutError:
                seen.append("outer")

        async def cancelled() -> None:
            async with clock.timeout(50 * unit):
                await clock.sleep(100 * unit)

        tasks = [asyncio.create_task(work()) for work in (late, quick, inner_is_not_outer)]
        victim = asyncio.create_task(cancelled())
        await asyncio.sleep(0)
        victim.cancel()
        if virtual:
            await clock.advance(30)
        await asyncio.gather(*tasks)
        assert sorted(seen) == ["and goes on", "late", "outer", "quick"]
        with pytest.raises(asyncio.CancelledError):
            await victim
        if virtual:
            assert not clock._timers

    run(main())


def test_timeouts_of_one_instant(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """Two nested timeouts that expire in the same instant are the outer one's `TimeoutError`, told once."""

    async def main() -> None:
        seen: list[str] = []

        async def work() -> None:
            try:
                async with clock.timeout(5), clock.timeout(5):
                    await clock.sleep(9)
            except TimeoutError:
                seen.append("timeout")
            await clock.sleep(1)
            seen.append("alive")

        task = asyncio.create_task(work())
        await clock.advance(10)
        await task
        assert seen == ["timeout", "alive"]

    run(main())


def test_virtual_time_waits_for_external_work(run: Callable[[Any], Any], clock: VirtualClock) -> None:
    """While a thread works under `external`, time stands; when it is done, time goes on from there."""

    async def main() -> None:
        go = threading.Event()
        order: list[str] = []
        loop = asyncio.get_running_loop()

        async def in_thread() -> None:
            with clock.external():
                await loop.run_in_executor(None, go.wait)
            order.append(f"thread at {clock.monotonic()}")

        task = asyncio.create_task(in_thread())
        clock.call_later(1, lambda: order.append(f"timer at {clock.monotonic()}"))
        moving = asyncio.create_task(clock.advance(5))
        await asyncio.sleep(0.05)
        assert order == []
        assert not moving.done()
        go.set()
        await moving
        assert order == ["thread at 0.0", "timer at 1.0"]
        await task

    run(main())


def test_task_that_never_rests_is_a_bug(run: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that yields for ever at one instant is told, instead of hanging the test."""
    monkeypatch.setattr(VirtualClock, "_TURNS_AT_ONE_INSTANT", 1000)

    async def main() -> None:
        clock = VirtualClock()

        async def restless() -> None:
            while True:
                await clock.sleep(0)

        task = asyncio.create_task(restless())
        with pytest.raises(RuntimeError, match="did not come to rest"):
            await clock.advance(1)
        task.cancel()

    run(main())
