"""The lives of simulated containers: what is written in the state comes true at its instant.

Owns the timers, and the futures of those who wait for a start or a death. Knows no verb and no sandbox. Invariants:
every change of a container goes through its machine; a start or a death that was written down happens whether or not
anybody waits for it; a state taken over from a copy is armed again to the same instants.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from podling.lifecycle.container import CONTAINER, Event, Stage
from podling.runtime.protocol import RuntimeFailure
from podling.runtime.sim.logs import append_log, create_log

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.aio.clock import Clock, Timer
    from podling.runtime.sim.script import Run
    from podling.runtime.sim.state import SimState

KILLED: Final = 137
_START_FAILED: Final = 128


class Lives:
    """Moves containers through their machine as time passes. `changed` is called with the id of each that moved."""

    def __init__(self, state: SimState, clock: Clock, changed: Callable[[str], None], *, write_logs: bool) -> None:
        self._state = state
        self._clock = clock
        self._changed = changed
        self._write_logs = write_logs
        self._timers: dict[str, Timer] = {}
        self._begun: dict[str, asyncio.Future[None]] = {}
        self._deaths: dict[str, asyncio.Event] = {}

    def resume(self) -> None:
        """Take up what the state says is to come."""
        for container in self._state.containers:
            self._arm(container)

    def pause(self) -> None:
        """Let nothing more happen; the state keeps what is to come."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    async def start(self, container: str) -> None:
        """Start a created container and return when it has started; `RuntimeFailure` if it could not."""
        held = self._state.containers[container]
        starts_at = self._clock.time() + held.run.start_latency
        self._state.containers[container] = replace(held.step(Event.START), starts_at=starts_at)
        begun = self._begun[container] = asyncio.get_running_loop().create_future()
        self._arm(container)
        await begun

    def refuse_start(self, container: str, message: str) -> None:
        """Let the start of a created container fail."""
        self._state.containers[container] = self._state.containers[container].step(Event.START)
        self._fail_start(container, message)

    def stop(self, container: str, grace: float) -> None:
        """Send SIGTERM, and SIGKILL after `grace`: write down when the container will be dead. Only ever sooner."""
        held = self._state.containers[container]
        if CONTAINER.allows(held.stage, Event.STOP):
            held = held.step(Event.STOP)
            self._state.containers[container] = held
        if held.stage is not Stage.STOPPING:
            return
        outlives = held.run.ignores_sigterm or held.run.stop_latency >= grace
        last = self._clock.time() + (max(grace, 0.0) if outlives else held.run.stop_latency)
        if held.ends_at is None or held.ends_at > last:
            code = KILLED if outlives else held.run.stop_exit_code
            self._state.containers[container] = replace(held, ends_at=last, end_code=code, end_oom=False)
            self._arm(container)

    def is_over(self, container: str) -> bool:
        """Whether a container neither runs nor is about to."""
        return not CONTAINER.allows(self._state.containers[container].stage, Event.DIED)

    def die(self, container: str, code: int = KILLED, *, oom: bool = False, reason: str = "") -> None:
        """End a container now."""
        held = self._state.containers[container]
        ended = replace(
            held.container,
            started=held.container.started if held.container.started is not None else self._clock.time(),
            finished=self._clock.time(),
            exit_code=code,
            oom_killed=oom,
            reason=reason,
            message=held.run.message,
            pid=None,
        )
        died = replace(held.step(Event.DIED), container=ended, starts_at=None, ends_at=None)
        self._state.containers[container] = died
        begun = self._begun.pop(container, None)
        if begun is not None and not begun.done():
            begun.set_exception(RuntimeFailure("RunContainerError", "the container was killed while it started"))
        self._dead(container)

    def death(self, container: str) -> asyncio.Event:
        """Return what is set when a container is dead."""
        if container not in self._deaths:
            self._deaths[container] = asyncio.Event()
            if self._state.containers[container].stage is Stage.EXITED:
                self._deaths[container].set()
        return self._deaths[container]

    def forget(self, container: str) -> None:
        """Drop what is known of a removed container."""
        self._deaths.pop(container, None)

    def _arm(self, container: str) -> None:
        held = self._state.containers[container]
        timer = self._timers.pop(container, None)
        if timer is not None:
            timer.cancel()
        if held.starts_at is not None:
            wait = held.starts_at - self._clock.time()
            if wait <= 0:
                self._begin(container)
            else:
                self._timers[container] = self._clock.call_later(wait, lambda: self._begin(container))
        elif held.ends_at is not None and held.stage in (Stage.RUNNING, Stage.STOPPING):
            self._timers[container] = self._clock.call_later(
                held.ends_at - self._clock.time(), lambda: self._end(container)
            )

    def _begin(self, container: str) -> None:
        held = self._state.containers.get(container)
        if held is None or held.starts_at is None:
            return
        self._state.containers[container] = held = replace(held, starts_at=None)
        begun = self._begun.pop(container, None)
        if held.run.start_failure:
            self._fail_start(container, held.run.start_failure)
            if begun is not None and not begun.done():
                begun.set_exception(RuntimeFailure("RunContainerError", held.run.start_failure))
            return
        self._started(container, held.run)
        if begun is not None and not begun.done():
            begun.set_result(None)

    def _fail_start(self, container: str, message: str) -> None:
        held = self._state.containers[container]
        ended = replace(
            held.container,
            finished=self._clock.time(),
            exit_code=_START_FAILED,
            reason="StartError",
            message=message,
        )
        self._state.containers[container] = replace(held.step(Event.START_FAILED), container=ended)
        self._dead(container)

    def _started(self, container: str, run: Run) -> None:
        held = self._state.containers[container]
        if held.stage is Stage.EXITED:
            return
        now = self._clock.time()
        begun = replace(
            held.container, started=now, pid=len(self._state.containers) + 1, user=held.container.user or (0, 0, (0,))
        )
        lines = tuple((now, line) for line in run.log)
        if self._write_logs and begun.log_path:
            create_log(begun.log_path)
            append_log(begun.log_path, lines)
        alive = replace(held.step(Event.STARTED), container=begun, log=lines)
        ends_at = now + run.lasts if run.lasts is not None else None
        if held.ends_at is None or (ends_at is not None and ends_at < held.ends_at):
            code = KILLED if run.oom_killed else run.exit_code
            alive = replace(alive, ends_at=ends_at, end_code=code, end_oom=run.oom_killed)
        self._state.containers[container] = alive
        self._arm(container)
        self._changed(container)

    def _end(self, container: str) -> None:
        held = self._state.containers.get(container)
        if held is not None and CONTAINER.allows(held.stage, Event.DIED):
            self.die(container, held.end_code, oom=held.end_oom)

    def _dead(self, container: str) -> None:
        timer = self._timers.pop(container, None)
        if timer is not None:
            timer.cancel()
        self.death(container).set()
        self._changed(container)
