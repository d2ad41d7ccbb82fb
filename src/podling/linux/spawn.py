"""Starting processes cheaply, and hearing of their end without a thread or a poll for each.

Owns `Launcher`, one thread from which processes are started by `vfork`: what that thread has entered (a private mount
namespace, control groups), every process started from it inherits, without a wrapper between.
Invariants: a `Child` is reaped exactly once; the descriptors given to a launch stay the caller's to close.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from podling.aio.clock import SystemClock
from podling.linux import processes, syscalls
from podling.linux.host import Completed
from podling.linux.pipes import PipeReader, PipeWriter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from podling.aio.clock import Clock


class Child:
    """A process that this one has started and will reap."""

    def __init__(self, process: subprocess.Popen[bytes], loop: asyncio.AbstractEventLoop) -> None:
        self.pid = process.pid
        self._process = process
        self._descriptor = os.pidfd_open(process.pid)
        self._ended: asyncio.Future[int] = loop.create_future()
        loop.add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        code = self._process.wait()
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._descriptor = -1
        if not self._ended.done():
            self._ended.set_result(code)

    @property
    def ended(self) -> bool:
        """True once it was reaped."""
        return self._ended.done()

    async def wait(self) -> int:
        """Return the exit code once it has ended; negative is the signal that ended it."""
        return await asyncio.shield(self._ended)

    def send(self, number: int) -> None:
        """Send a signal; nothing happens once it has ended."""
        if self._descriptor >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, number)

    async def kill(self) -> None:
        """End it with its process group, and reap it."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if self._descriptor >= 0 and os.getpgid(self.pid) == self.pid:
                os.killpg(self.pid, signal.SIGKILL)
        self.send(signal.SIGKILL)
        await self.wait()


class Launcher:
    """Starts processes from one thread; `enter` runs in it first, and its effects are inherited."""

    def __init__(
        self, enter: Callable[[], None] | None = None, name: str = "podling-launch", *, clock: Clock | None = None
    ) -> None:
        self._clock = clock or SystemClock()
        self._executor = ThreadPoolExecutor(1, name)
        self._enter = enter
        self._entered = False

    def again(self) -> None:
        """Let `enter` run once more before the next process starts."""
        self._entered = False

    async def start(
        self,
        argv: Sequence[str],
        *,
        stdin: int = subprocess.DEVNULL,
        stdout: int = subprocess.DEVNULL,
        stderr: int = subprocess.DEVNULL,
        environment: Mapping[str, str] | None = None,
        pass_fds: Sequence[int] = (),
        directory: str | None = None,
    ) -> Child:
        """Start a command in a session of its own; `FileNotFoundError` where there is no such program."""

        def launch() -> subprocess.Popen[bytes]:
            if not self._entered:
                if self._enter is not None:
                    self._enter()
                self._entered = True
            return subprocess.Popen(
                argv,
                stdin=stdin,
                stdout=stdout,
                stderr=stderr,
                env=environment,
                pass_fds=pass_fds,
                cwd=directory,
                start_new_session=True,
            )

        loop = asyncio.get_running_loop()
        launching = loop.run_in_executor(self._executor, launch)
        try:
            process = await asyncio.shield(launching)
        except asyncio.CancelledError:
            # The process may start all the same: it is ended and reaped, or it would be nobody's.
            launching.add_done_callback(_abandon)
            raise
        return Child(process, loop)

    async def run(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        timeout: float | None = None,
        environment: Mapping[str, str] | None = None,
        limit: int = 1 << 20,
        pass_fds: Sequence[int] = (),
    ) -> Completed:
        """Run a command to its end, keeping at most `limit` bytes of each output; `TimeoutError` kills it."""
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        in_read, in_write = os.pipe2(os.O_CLOEXEC) if stdin else (-1, -1)
        outputs = [PipeReader(out_read), PipeReader(err_read)]
        try:
            child = await self.start(
                argv,
                stdin=in_read if stdin else subprocess.DEVNULL,
                stdout=out_write,
                stderr=err_write,
                environment=environment,
                pass_fds=pass_fds,
            )
        except BaseException:
            for output in outputs:
                output.close()
            if stdin:
                os.close(in_write)
            raise
        finally:
            os.close(out_write)
            os.close(err_write)
            if stdin:
                os.close(in_read)
        feeder = asyncio.ensure_future(_feed(in_write, stdin)) if stdin else None
        try:
            async with self._clock.timeout(timeout):
                stdout, stderr = await asyncio.gather(*(output.read_all(limit) for output in outputs))
                return Completed(await child.wait(), stdout, stderr)
        except BaseException:
            await child.kill()
            raise
        finally:
            if feeder is not None:
                feeder.cancel()
                await asyncio.gather(feeder, return_exceptions=True)
            for output in outputs:
                output.close()

    def call(self, function: Callable[[], None]) -> None:
        """Run `function` in the launching thread and wait for it."""
        self._executor.submit(function).result()

    def close(self) -> None:
        """End the thread; processes started from it live on."""
        self._executor.shutdown(wait=True)


def run_and_wait(argv: Sequence[str]) -> bytes:
    """Run a short command where there is no loop, and return its output; `CalledProcessError` where it fails."""
    return subprocess.run(argv, capture_output=True, check=True, stdin=subprocess.DEVNULL).stdout


def start_first_process(argv: Sequence[str]) -> int:
    """Start the first process of a new PID namespace, which lives as long as it does; return its pid out here.

    The calling thread is spoilt by it: use one that ends. Nobody waits for the process but who kills it.
    """
    syscalls.unshare(syscalls.CLONE_NEWPID)
    process = subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"PATH": os.defpath},
        cwd="/",
        start_new_session=True,
    )
    process.returncode = 0  # it is not this object that reaps it
    return process.pid


@contextlib.contextmanager
def in_new_namespaces(kinds: Sequence[str]) -> Iterator[int]:
    """Keep a process in new namespaces of `kinds` (user, net, ipc, uts) for the block; yield its pid.

    They belong to the user namespace where one is among them, which a process of many threads cannot make for itself.
    The process holds nothing of ours and ends when we do, however that comes.
    """
    names = {"user": "--user", "net": "--net", "ipc": "--ipc", "uts": "--uts"}
    process = subprocess.Popen(
        ["unshare", *(names[kind] for kind in kinds), "--", "/bin/sh", "-c", "echo; read -r _"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={"PATH": os.environ.get("PATH", os.defpath)},
        cwd="/",
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            if not process.stdout.readline():
                why = process.stderr.read().decode(errors="replace").strip()
                raise OSError(errno.EPERM, f"cannot make namespaces: {why}")
            yield process.pid
        finally:
            process.kill()


def start_first_process_of(users: str, argv: Sequence[str]) -> int:
    """Start the first process of a new PID namespace that belongs to the user namespace pinned at `users`.

    Only a process of one thread can enter a user namespace, so that a program does it, which then waits for the process
    and ends with it.
    """
    read, write = os.pipe2(os.O_CLOEXEC)
    words = ["nsenter", f"--user={users}", "unshare", "--pid", "--fork", "--kill-child", "--"]
    try:
        process = subprocess.Popen(
            [*words, "/bin/sh", "-c", 'echo; exec >&-; exec "$@"', "sh", *argv],
            stdin=subprocess.DEVNULL,
            stdout=write,
            stderr=subprocess.DEVNULL,
            env={"PATH": os.environ.get("PATH", os.defpath)},
            cwd="/",
            start_new_session=True,
        )
    finally:
        os.close(write)
    try:
        said = os.read(read, 1)
    finally:
        os.close(read)
    inner = processes.children(process.pid)
    if not said or not inner:
        process.kill()
        process.wait()
        raise OSError(errno.EPERM, f"cannot start a process in the user namespace {users}")
    process.returncode = 0  # it is not this object that reaps it
    return inner[0]


def _abandon(launching: asyncio.Future[subprocess.Popen[bytes]]) -> None:
    if not launching.cancelled() and launching.exception() is None:
        process = launching.result()
        process.kill()
        process.wait()


async def _feed(descriptor: int, data: bytes) -> None:
    writer = PipeWriter(descriptor)
    try:
        await writer.write(data)
    except BrokenPipeError:
        pass
    finally:
        writer.close()
