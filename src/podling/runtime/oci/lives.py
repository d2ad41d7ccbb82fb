"""From a container's start to its end: the moves that must be safe to be killed at any instant.

Owns the containers that this instance knows, the tasks that watch them, and the order of a start: the intent on disk,
then conmon and the waiting first process, then its release, then the fact that it runs. Knows neither images nor
specifications. Invariants: what may have run is never started again; an end is heard of by its exit file, by the end of
its conmon, or by neither and then the container is killed; what an ended container leaves is taken away once.

             create           start                 released                exit file
    (nothing) ───▶ created ───▶ starting (waiting) ───▶ running ───▶ exited
                      ▲               │ Podling died: killed, never ran
                      └───────────────┘
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import signal
from typing import TYPE_CHECKING

from podling.runtime.oci import conmon, recovery
from podling.runtime.oci.complaints import explain
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Mapping
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.linux import processes
    from podling.runtime.oci.layout import Layout
    from podling.runtime.oci.live import Live
    from podling.runtime.oci.lowlevel import LowLevel

log = logging.getLogger("podling.runtime.oci")

# How long a killed process may take to be gone before the verb says so: the kernel may be writing out its memory.
_DEATH = 60.0
_QUICK_DEATH = 0.5
_EXISTS = re.compile("already exists|exists already")
"""How low-level runtimes speak of a container whose id is taken."""


class Lives:
    """The containers of an instance. `publish` is told the sandbox, the Pod and the container of each change."""

    def __init__(
        self, layout: Layout, clock: Clock, low_level: LowLevel, publish: Callable[[str, str, str], None]
    ) -> None:
        self._layout = layout
        self._clock = clock
        self._low_level = low_level
        self._publish = publish
        self._containers: dict[str, Live] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[Live]:
        return iter(list(self._containers.values()))

    def find(self, container: str) -> Live | None:
        return self._containers.get(container)

    def get(self, container: str) -> Live:
        """Return a container; `RuntimeFailure` where there is none of this id."""
        live = self._containers.get(container)
        if live is None:
            raise RuntimeFailure("NotFound", f'container "{container}" not found')
        return live

    def running(self, container: str) -> Live:
        """Return a container that runs; `RuntimeFailure` where it does not."""
        live = self.get(container)
        if not live.running:
            raise RuntimeFailure("Unavailable", f"container {container} is not running")
        return live

    def in_sandbox(self, sandbox: str) -> list[Live]:
        return [live for live in self._containers.values() if live.record.sandbox == sandbox]

    def add(self, live: Live) -> None:
        self._containers[live.record.id] = live

    def drop(self, container: str) -> None:
        self._containers.pop(container, None)

    def take_up(self, survivors: Mapping[str, Live]) -> None:
        """Go on with what an earlier life of this process has left."""
        self._containers = dict(survivors)
        for live in self:
            if live.running:
                self._watch(live)
            elif live.record.finished is not None:
                self._background(live.reap(self._layout, self._clock), f"reap {live.record.id[:12]}")
        for live in self:
            self._look(live)

    async def close(self) -> None:
        """Let go of all containers; they live on."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for live in self._containers.values():
            live.forget()

    async def start(self, live: Live, holder: conmon.Conmon) -> None:
        """Start a container that was created; once started, or ended, nothing happens."""
        # A caller that gives up must not leave a container half-made, nor be told that it is.
        await asyncio.shield(asyncio.ensure_future(self._start_once(live, holder)))

    async def _start_once(self, live: Live, holder: conmon.Conmon) -> None:
        async with live.lock:
            record = live.record
            if record.finished is not None and record.message:
                raise RuntimeFailure("RunContainerError", record.message)
            if record.starting is not None or record.finished is not None:
                return
            # From here on it may run: the intent is written before anything of it exists.
            record.starting = self._clock.time()
            live.save()
            try:
                await self._start(live, holder)
            finally:
                self._publish(record.sandbox, live.uid, record.id)

    async def _start(self, live: Live, holder: conmon.Conmon) -> None:
        record = live.record
        try:
            pid = await self._create(live, holder)
            live.adopt(pid)
            live.save()
            await self._release(live)
        except (conmon.CreationFailed, ProcessLookupError, TimeoutError) as error:
            if live.process is not None:
                self._look(live)
                if live.record.finished is not None:
                    return
            await self._undo(live)
            (self._layout.exits / record.id).unlink(missing_ok=True)
            name = record.config.command[0] if record.config.command else _program(live.bundle)
            message = (
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: "
                f"{self._low_level.choice.name} create failed: {explain(str(error), name)}"
            )
            live.fail(self._clock.time(), 128, "StartError", message)
            await live.reap(self._layout, self._clock)
            raise RuntimeFailure("RunContainerError", message) from error
        except RuntimeFailure:
            # The machine lacks something: nothing of the container ever was, and it may be tried again.
            await self._undo(live)
            record.starting = None
            live.save()
            raise
        if record.started is None:
            record.started = self._clock.time()
            live.save()
        if record.finished is None:
            self._watch(live)
            # It may have ended before anybody watched.
            self._look(live)

    async def _create(self, live: Live, holder: conmon.Conmon) -> int:
        """Make the container, whose first process waits; return its pid."""
        try:
            return await holder.create(live.record, live.bundle)
        except conmon.CreationFailed as failed:
            if not _EXISTS.search(str(failed)):
                raise
            # What a killed Podling had begun may come to be only after it was looked for. It never ran: a container
            # waits for its release, and nobody but this record's holder gives it.
            await self._undo(live)
            return await holder.create(live.record, live.bundle)

    async def _release(self, live: Live) -> None:
        """Let the waiting first process go on to the container's program."""
        answer = await self._low_level.run("start", live.record.id)
        if answer.code != 0:
            raise conmon.CreationFailed(answer.stderr.decode(errors="replace"))

    async def _undo(self, live: Live) -> None:
        await asyncio.to_thread(recovery.kill_leftovers, self._layout, live)

    def _watch(self, live: Live) -> None:
        live.watch_conmon()
        if live.conmon is not None:
            self._background(self._conmon_ended(live, live.conmon), f"conmon of {live.record.id[:12]}")
            return
        # Its conmon is gone already: either its end stands written, or nobody will ever write it.
        self._look(live)
        if live.record.finished is None:
            self._background(self._orphaned(live), f"orphan {live.record.id[:12]}")

    async def _conmon_ended(self, live: Live, watched: processes.Watched) -> None:
        await watched.ended()
        if live.record.finished is None and watched is live.conmon:
            self._look(live)
            if live.record.finished is None:
                await self._orphaned(live)

    async def _orphaned(self, live: Live) -> None:
        """Without its conmon a container has neither log nor exit code: it ends."""
        log.error("conmon of container %s is gone; the container is killed", live.record.id)
        await asyncio.to_thread(live.group.kill)
        if live.process is not None:
            live.process.send(signal.SIGKILL)
            await live.process.ended()
        if live.record.finished is None:
            live.lose(self._clock.time())
            self._ended(live)

    def exit_noticed(self, name: str) -> None:
        """Hear that an exit file was written; without a name, that any may have been."""
        if not name:
            for live in self:
                self._look(live)
        elif name in self._containers:
            self._look(self._containers[name])

    def _look(self, live: Live) -> None:
        if live.record.starting is None or live.record.finished is not None:
            return
        if live.lock.locked() and live.process is None:
            return  # conmon's own report of a failed creation; `_start` hears of it
        if live.finish(self._layout, self._clock):
            self._ended(live)

    def _ended(self, live: Live) -> None:
        self._background(self._reap(live), f"reap {live.record.id[:12]}")
        self._publish(live.record.sandbox, live.uid, live.record.id)

    async def _reap(self, live: Live) -> None:
        # What ended at once may still be on its way through the low-level runtime's `start`.
        async with live.lock:
            await live.reap(self._layout, self._clock)

    async def stop(self, live: Live, grace: float) -> None:
        """Return when a container has ended: asked to, and killed after `grace` seconds."""
        async with live.lock:
            pass  # a start under way is awaited, so that it is not overtaken
        if not live.running or live.process is None:
            return
        if grace > 0:
            live.process.send(stop_signal(live.record.stop_signal))
            try:
                async with self._clock.timeout(grace):
                    await live.ended()
                return
            except TimeoutError:
                pass
        live.process.send(signal.SIGKILL)
        if not live.own_pids:
            await asyncio.to_thread(live.group.kill)
        try:
            async with self._clock.timeout(_QUICK_DEATH):
                await live.ended()
            return
        except TimeoutError:
            pass
        try:
            # A fork bomb under a small CPU limit would take minutes to die.
            with live.group.parent.unthrottled(), live.group.unthrottled():
                async with self._clock.timeout(_DEATH):
                    await live.ended()
        except TimeoutError as error:
            raise RuntimeFailure("Unavailable", f'container "{live.record.id}" does not die') from error

    async def end(self, live: Live) -> None:
        """Return when a container has ended at once, and nothing of it is left but its record and its files."""
        await self.stop(live, 0.0)
        if live.record.finished is not None:
            await live.reaped.wait()

    def _background(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"oci/{name}")
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("%s failed: %s", name, error, exc_info=error)

        task.add_done_callback(done)


def stop_signal(text: str) -> int:
    """Return a stop signal's number: `SIGTERM`, `TERM`, `15`, `SIGRTMIN+3`; SIGTERM where nothing or nonsense is said.

    Images say it, and anybody makes images: nothing that they say may keep a container from being stopped.
    """
    text = text.strip().upper()
    if text.isdecimal():
        return int(text) if len(text) < 3 and 0 < int(text) <= signal.SIGRTMAX else signal.SIGTERM
    name = text if text.startswith("SIG") else f"SIG{text}"
    base, plus, offset = name.partition("+")
    if base == "SIGRTMIN" and plus:
        number = signal.SIGRTMIN + int(offset) if offset.isdecimal() and len(offset) < 3 else 0
        return number if 0 < number <= signal.SIGRTMAX else signal.SIGTERM
    return signal.Signals[name] if name in signal.Signals.__members__ else signal.SIGTERM


def _program(bundle: Path) -> str:
    arguments = json.loads((bundle / "config.json").read_bytes())["process"]["args"]
    return str(arguments[0])
