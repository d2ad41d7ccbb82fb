"""Facts about processes: whose they are, when they began, whether they still live; and how to end them surely.

Owns the pairing of a pid with its start time, without which a pid says nothing after a while. Invariant: signals go
through a pidfd, never to a bare pid that may be somebody else by now; `kill` alone is for pids read in the same breath.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal

from podling.linux import files


def boot_id() -> str:
    """Return what identifies this boot of the machine."""
    return files.read_text("/proc/sys/kernel/random/boot_id") or ""


def start_time(pid: int) -> int | None:
    """Return when a process began, in clock ticks since boot; nothing if it is gone or a zombie."""
    text = files.read_text(f"/proc/{pid}/stat")
    if not text:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def parent(pid: int) -> tuple[int, int] | None:
    """Return a process's parent and session, or nothing if it is gone."""
    text = files.read_text(f"/proc/{pid}/stat")
    if not text:
        return None
    fields = text[text.rindex(")") + 2 :].split()
    return int(fields[1]), int(fields[3])


def children(pid: int) -> list[int]:
    """Return the processes whose parent `pid` is; looks at all there are."""
    found = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    return [each for each in found if (above := parent(each)) is not None and above[0] == pid]


def kill(pid: int) -> None:
    """Send SIGKILL; nothing happens where there is no such process. For pids that were only just read."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def reap(pid: int) -> None:
    """Wait for a killed process to be gone, if it is a child of this one."""
    with contextlib.suppress(ChildProcessError):
        os.waitpid(pid, 0)


def oom_score_floor() -> int:
    """Return the lowest oom_score_adj that a process started by this one may be given."""
    current = int(files.read_text("/proc/self/oom_score_adj") or 0)
    capabilities = next(
        (line for line in (files.read_text("/proc/self/status") or "").splitlines() if line.startswith("CapEff")), "0"
    )
    may_lower = int(capabilities.split()[-1], 16) >> 24 & 1
    return -1000 if may_lower else current


class Watched:
    """One process by its pidfd: signalled without doubt, awaited without polling."""

    def __init__(self, pid: int, started: int | None = None) -> None:
        """`ProcessLookupError` if no such process lives, or if it is not the one that began at `started`."""
        self.pid = pid
        self._descriptor = os.pidfd_open(pid)
        now = start_time(pid)
        if now is None or (started is not None and now != started):
            os.close(self._descriptor)
            raise ProcessLookupError(3, "the process is gone", str(pid))
        self.started = now
        self._ended: asyncio.Future[None] | None = None

    def send(self, number: int) -> bool:
        """Send a signal; say whether the process was still there."""
        if self._descriptor < 0:
            return False
        try:
            signal.pidfd_send_signal(self._descriptor, number)
        except ProcessLookupError:
            return False
        return True

    async def ended(self) -> None:
        """Return once the process has ended."""
        if self._descriptor < 0:
            return
        if self._ended is None:
            loop = asyncio.get_running_loop()
            self._ended = loop.create_future()
            loop.add_reader(self._descriptor, self._readable)
        await asyncio.shield(self._ended)

    def _readable(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        if self._ended is not None and not self._ended.done():
            self._ended.set_result(None)

    def close(self) -> None:
        """Let go of the process; it lives on."""
        if self._descriptor < 0:
            return
        if self._ended is not None:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_reader(self._descriptor)
            if not self._ended.done():
                self._ended.set_result(None)
        os.close(self._descriptor)
        self._descriptor = -1
