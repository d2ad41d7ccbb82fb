"""One thread that a store's blocking work goes through, in order.

Owns the thread and the way back to the loop. Invariant: while work is in flight it is counted as external, so that
virtual time waits for the disk.

A thread that comes back from the disk needs the interpreter's lock. A busy loop gives it up at each look at its
sockets and takes it again before the thread is awake, which also starts the thread's patience (5 ms) anew: with turns
shorter than that the thread may wait for ever. Eight writers beside such a loop got 7 writes a second, and 2,400 with
a patience of a tenth of a millisecond. So `Lane` sets that for its process.
"""

from __future__ import annotations

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from podling.aio.clock import Clock

_Result = TypeVar("_Result")

_PATIENCE = 0.0001


class Lane:
    """Runs one piece of work at a time, off the loop."""

    def __init__(self, name: str, clock: Clock) -> None:
        self._clock = clock
        sys.setswitchinterval(min(sys.getswitchinterval(), _PATIENCE))
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(self, work: Callable[[], _Result], done: Callable[[Future[_Result]], object]) -> None:
        """Run `work` in the thread, then `done` on the loop; no future in between, as every write passes here."""
        loop = asyncio.get_running_loop()
        flight = ExitStack()
        flight.enter_context(self._clock.external())

        def landed(future: Future[_Result]) -> None:
            flight.close()
            done(future)

        def hand_back(future: Future[_Result]) -> None:
            # A loop that was closed meanwhile has nobody left who waits.
            if not loop.is_closed():
                loop.call_soon_threadsafe(landed, future)

        self._executor.submit(work).add_done_callback(hand_back)

    async def run(self, work: Callable[[], _Result]) -> _Result:
        """Run `work` in the thread and return what it returns."""
        result: asyncio.Future[_Result] = asyncio.get_running_loop().create_future()

        def settle(future: Future[_Result]) -> None:
            if result.done():
                return
            error = future.exception()
            if error is not None:
                result.set_exception(error)
            else:
                result.set_result(future.result())

        self.submit(work, settle)
        return await result

    def close(self) -> None:
        """Let the thread end once it has nothing left to do."""
        self._executor.shutdown(wait=False)
