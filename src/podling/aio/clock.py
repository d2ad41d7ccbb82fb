"""Time, injected everywhere; nothing else in Podling reads a clock or sleeps.

Owns `Clock` and its two implementations. `SystemClock` is the machine's time. `VirtualClock` stands still until a test
moves it, so that 300 s of toleration take milliseconds and always take exactly 300 s.

Invariants: virtual time never goes back; timers of one instant fire in the order in which they were set; virtual time
moves only inside `advance`, `run_until` and `settle`, when no callback is ready and no counted external work is in
flight.
"""

from __future__ import annotations

import asyncio
import heapq
import time as _time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractAsyncContextManager, AbstractContextManager
    from types import TracebackType


class Timer(Protocol):
    """A callback that will be called; `cancel` makes sure that it will not."""

    def cancel(self) -> None: ...


class Clock(Protocol):
    """Wall time, monotonic time and the ways to wait on them. Seconds throughout, as floats."""

    def time(self) -> float:
        """Seconds since the epoch, UTC; what is written into objects."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; what durations are measured with."""
        ...

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        """Call `callback` on the running loop after `seconds`."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds`; zero or less yields once."""
        ...

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        """Bound the block: `TimeoutError` leaves it once `seconds` have passed; `None` bounds nothing."""
        ...

    def external(self) -> AbstractContextManager[None]:
        """Count the block as work that the loop cannot see (a thread, a process), so that virtual time waits for it."""
        ...


class SystemClock:
    """The machine's own time."""

    def time(self) -> float:
        return _time.time()

    def monotonic(self) -> float:
        return _time.monotonic()

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        return asyncio.get_running_loop().call_later(seconds, callback)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return asyncio.timeout(seconds)

    @contextmanager
    def external(self) -> Iterator[None]:
        yield


class _VirtualTimer:
    __slots__ = ("callback", "sequence", "when")

    def __init__(self, when: float, sequence: int, callback: Callable[[], object] | None) -> None:
        self.when = when
        self.sequence = sequence
        self.callback = callback

    def __lt__(self, other: _VirtualTimer) -> bool:
        return (self.when, self.sequence) < (other.when, other.sequence)

    def cancel(self) -> None:
        self.callback = None


class VirtualClock:
    """A clock in a test's hand: time passes only when it is told to.

    `start` is the wall time at which the world begins; the default is a whole second, so that truncation to wire
    precision loses nothing.
    """

    # A task that yields for ever without waiting on time would hang the test; this many turns at one instant is a bug.
    _TURNS_AT_ONE_INSTANT = 1_000_000

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = start
        self._now = 0.0
        self._timers: list[_VirtualTimer] = []
        self._sequence = 0
        self._external = 0
        self._external_done: asyncio.Event | None = None

    def time(self) -> float:
        return self._start + self._now

    def monotonic(self) -> float:
        return self._now

    def call_later(self, seconds: float, callback: Callable[[], object]) -> Timer:
        self._sequence += 1
        timer = _VirtualTimer(self._now + max(seconds, 0.0), self._sequence, callback)
        heapq.heappush(self._timers, timer)
        return timer

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def wake() -> None:
            if not done.done():
                done.set_result(None)

        timer = self.call_later(seconds, wake)
        try:
            await done
        finally:
            timer.cancel()

    def timeout(self, seconds: float | None) -> AbstractAsyncContextManager[object]:
        return _VirtualTimeout(self, seconds)

    @contextmanager
    def external(self) -> Iterator[None]:
        self._external += 1
        try:
            yield
        finally:
            self._external -= 1
            if not self._external and self._external_done is not None:
                self._external_done.set()

    async def settle(self) -> None:
        """Return when nothing more can happen at this instant: no callback ready, no external work in flight."""
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # the one place that asks the loop
        for _ in range(self._TURNS_AT_ONE_INSTANT):
            if ready:
                await asyncio.sleep(0)
            elif self._external:
                self._external_done = asyncio.Event()
                await self._external_done.wait()
                self._external_done = None
            else:
                return
        raise RuntimeError(f"the world did not come to rest at {self._now} s: a task yields without waiting on time")

    async def advance(self, seconds: float) -> None:
        """Let `seconds` pass, firing every timer due on the way at its exact instant."""
        await self._run(self._now + seconds, lambda: False)

    async def run_until(self, reached: Callable[[], bool], limit: float = 3600.0) -> float:
        """Let time pass until `reached()` holds, and return the instant (monotonic); `TimeoutError` after `limit`."""
        end = self._now + limit
        if not await self._run(end, reached):
            raise TimeoutError(f"not reached within {limit} s of virtual time")
        return self._now

    async def _run(self, end: float, reached: Callable[[], bool]) -> bool:
        while True:
            await self.settle()
            if reached():
                return True
            while self._timers and self._timers[0].callback is None:
                heapq.heappop(self._timers)
            if not self._timers or self._timers[0].when > end:
                self._now = max(self._now, end)
                return False
            self._now = max(self._now, self._timers[0].when)
            while self._timers and self._timers[0].when <= self._now:
                callback = heapq.heappop(self._timers).callback
                if callback is not None:
                    callback()


class _VirtualTimeout:
    """`asyncio.timeout` on virtual time: cancels the block's task, and turns that cancellation into `TimeoutError`."""

    def __init__(self, clock: VirtualClock, seconds: float | None) -> None:
        self._clock = clock
        self._seconds = seconds
        self._timer: Timer | None = None
        self._task: asyncio.Task[object] | None = None
        self._expired = False
        self._cancelling = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("a timeout needs a task to bound")
        self._cancelling = self._task.cancelling()
        if self._seconds is not None:
            self._timer = self._clock.call_later(self._seconds, self._expire)
        return self

    def _expire(self) -> None:
        if self._task is not None:
            self._expired = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        task, self._task = self._task, None
        if (
            self._expired
            and task is not None
            and task.uncancel() <= self._cancelling
            and kind is not None
            and issubclass(kind, asyncio.CancelledError)
        ):
            raise TimeoutError from error
