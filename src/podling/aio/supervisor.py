"""The one supervisor: every task has a name, an owner and an end that somebody notices.

Owns the life of tasks. A component that raises or returns is a failure: logged, counted, started again after a
back-off. A job is one piece of isolated work (one Pod, one request): its failure is logged and harms nobody else.
Stopping is in the reverse of the order of starting, each task awaited before the next is cancelled.

Invariants: nothing else swallows `Exception`, but where a `# boundary:` gives the reason; after `stop` no task of this
supervisor is alive.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Self, TypeVar

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Hashable
    from types import TracebackType

    from podling.aio.clock import Clock
    from podling.aio.workqueue import WorkQueue

log = logging.getLogger("podling.supervisor")

_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0

_Key = TypeVar("_Key", bound="Hashable")


class Supervisor:
    """Runs components for ever and jobs to their end, and stops them in order.

    >>> async with Supervisor(clock) as supervisor:        # doctest: +SKIP
    ...     supervisor.component("scheduler", scheduler.run)
    ...     supervisor.job("sync default/web", pod.sync())
    """

    def __init__(self, clock: Clock, name: str = "podling") -> None:
        self._clock = clock
        self._name = name
        self._components: list[asyncio.Task[None]] = []
        self._jobs: dict[asyncio.Task[None], None] = {}
        self._group: asyncio.TaskGroup | None = None
        self._stopping = False
        self.failures = 0

    async def __aenter__(self) -> Self:
        self._group = asyncio.TaskGroup()
        await self._group.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        group, self._group = self._group, None
        try:
            await self.stop()
        except asyncio.CancelledError as impatient:
            # Asked a second time: the order is given up, but nothing is left running.
            if group is not None:
                await group.__aexit__(type(impatient), impatient, impatient.__traceback__)
            raise
        if group is not None:
            await group.__aexit__(None, None, None)

    @property
    def is_stopping(self) -> bool:
        """Whether `stop` was called: nothing can be started any more."""
        return self._stopping

    def component(self, name: str, main: Callable[[], Awaitable[object]]) -> asyncio.Task[None]:
        """Run `main` for as long as the supervisor lives; an error or a return restarts it after a back-off."""
        task = self._create(self._forever(name, main), name)
        self._components.append(task)
        return task

    def job(self, name: str, work: Coroutine[object, object, object]) -> asyncio.Task[None]:
        """Run `work` once, apart from all else; an error is logged and counted, and reaches nobody."""
        try:
            task = self._create(self._once(name, work), name)
        except RuntimeError:
            work.close()
            raise
        self._jobs[task] = None

        def finished(done: asyncio.Task[None]) -> None:
            self._jobs.pop(done, None)
            # A task that is cancelled before its first step never comes to what it was to run.
            work.close()

        task.add_done_callback(finished)
        return task

    def workers(
        self, name: str, queue: WorkQueue[_Key], process: Callable[[_Key], Awaitable[object]], count: int = 1
    ) -> None:
        """Let `count` components take keys from `queue`: success forgets its back-off, an error asks again.

        Not counted as failures: a write that somebody else was faster with, and a server that is away.
        """

        async def drain() -> None:
            while True:
                key = await queue.get()
                try:
                    await process(key)
                except (Exception, asyncio.CancelledError) as error:
                    if _asked_to_stop(error):
                        raise
                    if not (getattr(error, "is_conflict", False) or getattr(error, "is_passing", False)):
                        self._note(f"{name} {key}", error)
                    queue.add_rate_limited(key)
                else:
                    queue.forget(key)
                finally:
                    queue.done(key)

        for number in range(count):
            self.component(f"{name}-{number}" if count > 1 else name, drain)

    async def stop(self) -> None:
        """Cancel the jobs, then the components in the reverse order of their start, awaiting each."""
        self._stopping = True
        for task in [*reversed(self._jobs), *reversed(self._components)]:
            task.cancel()
            await asyncio.wait([task])
        self._components.clear()
        self._jobs.clear()

    def _create(self, work: Coroutine[object, object, None], name: str) -> asyncio.Task[None]:
        if self._group is None or self._stopping:
            work.close()
            raise RuntimeError(f"{self._name}: cannot start {name}: the supervisor is not running")
        return self._group.create_task(work, name=f"{self._name}/{name}")

    async def _forever(self, name: str, main: Callable[[], Awaitable[object]]) -> None:
        pause = _FIRST_PAUSE
        while True:
            started = self._clock.monotonic()
            try:
                await main()
                self._note(name, RuntimeError("returned, and was to run for ever"))
            except (Exception, asyncio.CancelledError) as error:
                if _asked_to_stop(error):
                    raise
                self._note(name, error)
            if self._clock.monotonic() - started > 2 * _LONGEST_PAUSE:
                pause = _FIRST_PAUSE
            await self._clock.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _once(self, name: str, work: Coroutine[object, object, object]) -> None:
        try:
            await work
        except (Exception, asyncio.CancelledError) as error:
            if _asked_to_stop(error):
                raise
            self._note(name, error)

    def _note(self, name: str, error: BaseException) -> None:
        self.failures += 1
        log.error("%s/%s failed: %s", self._name, name, str(error) or type(error).__name__, exc_info=error)


def _asked_to_stop(error: BaseException) -> bool:
    """Tell the cancellation of this very task from that of a future which it awaited: the latter is a failure."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0
