"""One container as this process knows it: its record, its watched processes, the waiters for its end.

Owns the moves of a container's facts, each followed by a checkpoint: starting → started → finished. Invariants: an end
is noted once; exit code and instant come from conmon's exit file, whatever time Podling was away; what a container
leaves (mounts, groups, the low-level runtime's state) goes after its end is on disk.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

from podling.linux import files, processes, trees
from podling.runtime.oci import bundles, records, sandboxes

if TYPE_CHECKING:
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.linux.cgroup import Cgroup, Hierarchies
    from podling.runtime.oci.layout import Layout
    from podling.runtime.oci.records import ContainerRecord, SandboxRecord

UNKNOWN_EXIT_CODE = 255
"""What upstream's runtimes say of a container whose end nobody saw."""


class Live:
    """A container's record with what is alive about it."""

    def __init__(self, record: ContainerRecord, bundle: Path, group: Cgroup, uid: str, *, own_pids: bool) -> None:
        self.record = record
        self.bundle = bundle
        self.group = group
        self.uid = uid
        self.own_pids = own_pids
        """False where its PID namespace is shared: then the end of its first process does not end the others."""
        self.lock = asyncio.Lock()
        self.process: processes.Watched | None = None
        self.conmon: processes.Watched | None = None
        self.reaped = asyncio.Event()
        self._ended: asyncio.Future[int] | None = None

    @property
    def running(self) -> bool:
        return self.record.started is not None and self.record.finished is None

    def save(self) -> None:
        records.save(self.bundle / bundles.STATE, self.record)

    async def ended(self) -> int:
        """Return the exit code once the container has ended."""
        if self.record.finished is not None:
            return self.record.exit_code if self.record.exit_code is not None else UNKNOWN_EXIT_CODE
        if self._ended is None:
            self._ended = asyncio.get_running_loop().create_future()
        return await asyncio.shield(self._ended)

    def adopt(self, pid: int, started: int | None = None) -> None:
        """Take its first process into view; `ProcessLookupError` where it is gone."""
        self.process = processes.Watched(pid, started)
        self.record.pid, self.record.pid_started = pid, self.process.started

    def watch_conmon(self) -> None:
        """Take its conmon into view, if it lives."""
        text = files.read_text(self.bundle / "conmon.pid")
        if text and text.isdigit() and self.record.id in (files.read_text(f"/proc/{text}/cmdline") or ""):
            with contextlib.suppress(ProcessLookupError):
                self.conmon = processes.Watched(int(text))

    def finish(self, layout: Layout, clock: Clock) -> bool:
        """Note the end if conmon's exit file tells of it; say whether it did."""
        if self.record.finished is not None:
            return True
        path = layout.exits / self.record.id
        text = files.read_text(path)
        if not text:
            return False
        self._end(int(text), min(os.stat(path).st_mtime, clock.time()))  # noqa: PTH116
        path.unlink(missing_ok=True)
        return True

    def lose(self, when: float) -> None:
        """Note an end that nobody saw."""
        self._end(UNKNOWN_EXIT_CODE, when, reason="Unknown")

    def fail(self, when: float, code: int, reason: str, message: str) -> None:
        """Note that it could not be started."""
        self.record.reason, self.record.message = reason, message
        self._end(code, when)

    def _end(self, code: int, when: float, reason: str = "") -> None:
        record = self.record
        if record.started is None and not record.reason:
            record.started = record.starting
        record.exit_code = code
        record.finished = max(when, record.started or record.created)
        record.oom_killed = self.group.oom_kills() > 0 or (self.bundle / "oom").exists()
        record.reason = record.reason or reason
        self.save()
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(code)

    async def reap(self, layout: Layout, clock: Clock) -> None:
        """Take away what an ended container leaves, except its record and its writable layer."""
        if self.reaped.is_set():
            return
        if not self.own_pids or self.group.processes():
            await asyncio.to_thread(self.group.kill)
        await self.group.remove_soon(clock)
        await asyncio.to_thread(self._release, layout)
        self.forget()
        self.reaped.set()

    def _release(self, layout: Layout) -> None:
        trees.remove_tree(layout.low_level / self.record.id)
        bundles.release(self.bundle)

    def forget(self) -> None:
        """Let go of its processes; they live on."""
        for watched in (self.process, self.conmon):
            if watched is not None:
                watched.close()
        self.process = self.conmon = None


def make_live(
    layout: Layout, hierarchies: Hierarchies, record: ContainerRecord, bundle: Path, pod: SandboxRecord
) -> Live:
    """Put a container's record together with its control group."""
    group = sandboxes.group(hierarchies, layout, pod.config).child(record.id)
    config = pod.config
    own_pids = not (config.host_pid or config.share_process_namespace or record.config.target_container)
    return Live(record, bundle, group, config.uid, own_pids=own_pids)
