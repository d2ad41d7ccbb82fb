"""conmon: the process that holds a container, its log and its exit code while Podling comes and goes.

Owns conmon's command line, its hand-shake, its control pipe and the files it leaves. Invariant: conmon has a session of
its own, no tie to its parent's death, and stands in the instance's control group, not in the Pod's.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from typing import TYPE_CHECKING

from msgspec import Struct

from podling.linux.pipes import PipeReader
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.linux.cgroup import Cgroup
    from podling.runtime.oci.layout import Layout
    from podling.runtime.oci.lowlevel import LowLevel
    from podling.runtime.oci.records import ContainerRecord

_RESIZE = 1
_REOPEN = 2
_PATIENCE = 240.0


class CreationFailed(Exception):
    """The low-level runtime could not make the container; its words."""


class Conmon(Struct, frozen=True):
    """How conmon is started on this instance."""

    path: str
    layout: Layout
    low_level: LowLevel
    group: Cgroup
    clock: Clock

    async def create(self, record: ContainerRecord, bundle: Path) -> int:
        """Start conmon and let it create the container; return the pid of the container's first process.

        The process waits before its first instruction until it is told to go on.
        """
        argv = [
            self.path,
            "--api-version", "1",
            "--cid", record.id,
            "--cuuid", record.id,
            "--name", record.config.name,
            "--runtime", self.low_level.choice.path,
            f"--runtime-arg=--root={self.layout.low_level}",
            "--bundle", str(bundle),
            "--container-pidfile", str(bundle / "pid"),
            "--conmon-pidfile", str(bundle / "conmon.pid"),
            "--exit-dir", str(self.layout.exits),
            "--persist-dir", str(bundle),
            "--log-path", f"k8s-file:{record.log_path or '/dev/null'}",
            "--log-level", "error",
            "--full-attach",
            "--no-sync-log",
        ]  # fmt: skip
        if record.config.tty:
            argv.append("--terminal")
        if record.config.stdin:
            argv.append("--stdin")
            if not record.config.stdin_once:
                argv.append("--leave-stdin-open")
        sync_read, sync_write = os.pipe2(os.O_CLOEXEC)
        start_read, start_write = os.pipe2(os.O_CLOEXEC)
        answer = PipeReader(sync_read)
        environment = {"PATH": os.environ.get("PATH", os.defpath), "_OCI_SYNCPIPE": str(sync_write)}
        descriptors = [sync_write]
        if self.low_level.moves_processes:
            environment["_OCI_STARTPIPE"] = str(start_read)
            descriptors.append(start_read)
        try:
            child = await self.low_level.launcher.start(
                argv, environment=environment, pass_fds=descriptors, directory=str(bundle)
            )
            if self.low_level.moves_processes:
                self.group.add(child.pid)
                os.write(start_write, b"\0")
        except FileNotFoundError as error:
            answer.close()
            raise RuntimeFailure("Unavailable", "conmon is gone: install it (apt-get install conmon)") from error
        except BaseException:
            answer.close()
            raise
        finally:
            os.close(sync_write)
            os.close(start_read)
            os.close(start_write)
        try:
            async with self.clock.timeout(_PATIENCE):
                text = await self._line(answer)
                await child.wait()
        finally:
            answer.close()
        return self._pid(text, bundle)

    @staticmethod
    async def _line(answer: PipeReader) -> bytes:
        text = b""
        while b"\n" not in text:
            data = await answer.read()
            if not data:
                break
            text += data
        return text

    @staticmethod
    def _pid(text: bytes, bundle: Path) -> int:
        try:
            said = json.loads(text)
            pid = int(said.get("pid", said.get("data", -1)))
        except (ValueError, AttributeError) as error:
            raise CreationFailed(f"conmon ended without an answer: {text.decode(errors='replace')}") from error
        if pid <= 0:
            raise CreationFailed(str(said.get("message", "")).strip() or f"conmon failed in {bundle}")
        return pid


def _control(bundle: Path, message: str) -> None:
    try:
        descriptor = os.open(bundle / "ctl", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in {errno.ENXIO, errno.ENOENT}:  # conmon is gone
            raise ProcessLookupError(errno.ESRCH, "conmon is gone", str(bundle)) from error
        raise
    with contextlib.closing(os.fdopen(descriptor, "wb", buffering=0)) as control:
        control.write(message.encode())


def resize(bundle: Path, columns: int, rows: int) -> None:
    """Set the size of a container's terminal."""
    _control(bundle, f"{_RESIZE} {rows} {columns}\n")


def reopen_log(bundle: Path) -> None:
    """Let conmon open its log anew, after somebody has moved the old one away."""
    _control(bundle, f"{_REOPEN} 0 0\n")


def find() -> str:
    """Return conmon's path; `RuntimeFailure` says what to install."""
    path = shutil.which("conmon")
    if path is None:
        raise RuntimeFailure("Unavailable", "conmon is missing: install it (apt-get install conmon)")
    return path
