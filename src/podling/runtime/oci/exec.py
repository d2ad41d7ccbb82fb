"""Commands inside running containers, through the low-level runtime, so that they get the container's confinement.

Owns `Exec`, `ExecSession` and the terminals and pipes between. Invariants: an exec that is let go of is killed with
everything that it started, also where that forks without end; output is bounded where the caller bounds it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING

import msgspec

from podling.linux import files, processes, sockets, trees
from podling.linux.pipes import PipeReader, PipeWriter
from podling.runtime.oci.complaints import explain
from podling.runtime.protocol import ExecResult, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.linux.cgroup import Cgroup
    from podling.linux.spawn import Child
    from podling.runtime.oci.lowlevel import LowLevel


async def kill_tree(group: Cgroup, roots: Sequence[int], session_leader: int) -> None:
    """Kill processes with all that descend from them inside a container, which stands still meanwhile.

    Nothing in a frozen group forks, so that even a fork bomb is seen whole; what was orphaned on purpose is
    found by the session in which the command was started.
    """

    def body() -> None:
        with group.frozen():
            table = {pid: found for pid in group.processes() if (found := processes.parent(pid)) is not None}
            # crun gives the command a session of its own, led by a helper that has ended by now.
            sessions = {table[pid][1] for pid in roots if pid in table}
            doomed = {*roots, session_leader, *(sessions - table.keys())}
            grown = True
            while grown:
                more = {pid for pid, (above, session) in table.items() if above in doomed or session in doomed}
                grown = not more <= doomed
                doomed |= more
            for pid in doomed & {*table, *roots}:
                processes.kill(pid)

    await asyncio.to_thread(body)


class Exec:
    """How commands are run in one container."""

    def __init__(
        self, low_level: LowLevel, clock: Clock, container: str, bundle: Path, group: Cgroup, scratch: Path
    ) -> None:
        self._low_level = low_level
        self._clock = clock
        self._container = container
        self._bundle = bundle
        self._group = group
        self.scratch = scratch

    def _arguments(self, command: Sequence[str], tty: bool, console: str = "") -> list[str]:
        process = msgspec.json.decode((self._bundle / "config.json").read_bytes())["process"]
        process["args"] = list(command)
        process["terminal"] = tty
        if tty and not any(item.startswith("TERM=") for item in process["env"]):
            process["env"].append("TERM=xterm")
        (self.scratch / "process.json").write_bytes(msgspec.json.encode(process))
        return self._low_level.command(
            "exec",
            "--process",
            str(self.scratch / "process.json"),
            "--pid-file",
            str(self.scratch / "pid"),
            *(["--console-socket", console] if console else []),
            self._container,
        )

    def inner(self) -> list[int]:
        """Return the pid of the command inside the container, once the low-level runtime has started it."""
        text = files.read_text(self.scratch / "pid")
        return [int(text)] if text and text.isdigit() else []

    async def kill(self, child: Child) -> None:
        """End the command and all that it started; `child` is the low-level runtime that waits for it."""
        inner = self.inner()
        if inner:
            # The runtime reaps what it has started; killed first, it would leave a zombie to the container's init.
            await kill_tree(self._group, inner, child.pid)
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(2.0):
                    await child.wait()
                return
        await kill_tree(self._group, [child.pid], child.pid)
        await child.kill()

    def failure(self, text: str, name: str) -> RuntimeFailure:
        """Return what to say of a command `name` that could not be started; `text` is the runtime's complaint."""
        return RuntimeFailure(
            "StartError",
            f'failed to exec in container: failed to start exec "{self.scratch.name}": OCI runtime exec failed: '
            f"exec failed: {explain(text, name)}",
        )

    async def run(self, command: Sequence[str], timeout: float, limit: int) -> ExecResult:
        """Run a command to its end; stdout and stderr come as one, in the order in which they were written."""
        self.scratch.mkdir(mode=0o700, parents=True)  # what is in it tells the container's environment
        read, write = os.pipe2(os.O_CLOEXEC)
        output = PipeReader(read)
        kept = bytearray()

        async def collect() -> None:
            while data := await output.read():
                kept.extend(data[: max(0, limit - len(kept))])

        collector: asyncio.Task[None] | None = None
        try:
            try:
                child = await self._low_level.launcher.start(
                    self._arguments(command, tty=False), stdout=write, stderr=write
                )
            finally:
                os.close(write)
            collector = asyncio.create_task(collect())
            try:
                async with self._clock.timeout(timeout if timeout > 0 else None):
                    code = await child.wait()
            except TimeoutError:
                await self.kill(child)
                return ExecResult(137, bytes(kept), timed_out=True)
            except BaseException:
                await self.kill(child)
                raise
            # Something left in the background may hold the pipe open for ever: take what has been written by now.
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(0.02):
                    await asyncio.shield(collector)
            if code != 0 and not self.inner():
                raise self.failure(bytes(kept).decode(errors="replace"), command[0] if command else "")
            return ExecResult(code if code >= 0 else 128 - code, bytes(kept))
        finally:
            if collector is not None:
                collector.cancel()
                await asyncio.gather(collector, return_exceptions=True)
            output.close()
            trees.remove_tree(self.scratch)

    async def open(self, command: Sequence[str], *, stdin: bool, tty: bool) -> ExecSession:
        """Start a command and return its streams."""
        self.scratch.mkdir(mode=0o700, parents=True)
        try:
            if tty and self._low_level.choice.name == "runc":
                return await self._open_proxied_terminal(command)
            if tty:
                return await self._open_terminal(command)
            return await self._open_pipes(command, stdin=stdin)
        except BaseException:
            trees.remove_tree(self.scratch)
            raise

    async def _open_pipes(self, command: Sequence[str], *, stdin: bool) -> ExecSession:
        in_read, in_write = os.pipe2(os.O_CLOEXEC)
        out_read, out_write = os.pipe2(os.O_CLOEXEC)
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        try:
            child = await self._low_level.launcher.start(
                self._arguments(command, tty=False), stdin=in_read, stdout=out_write, stderr=err_write
            )
        except BaseException:
            for descriptor in (in_write, out_read, err_read):
                os.close(descriptor)
            raise
        finally:
            for descriptor in (in_read, out_write, err_write):
                os.close(descriptor)
        session = ExecSession(
            self, child, PipeReader(out_read), PipeReader(err_read), PipeWriter(in_write), command[0] if command else ""
        )
        if not stdin:
            await session.close_stdin()
        return session

    async def _open_proxied_terminal(self, command: Sequence[str]) -> ExecSession:
        # runc hands its terminal over only to those who do not wait for the exit code; it copies between two instead.
        master, slave = os.openpty()
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        try:
            child = await self._low_level.launcher.start(
                [*self._arguments(command, tty=True)], stdin=slave, stdout=slave, stderr=err_write
            )
        except BaseException:
            os.close(master)
            os.close(err_read)
            raise
        finally:
            os.close(slave)
            os.close(err_write)
        return ExecSession(
            self,
            child,
            PipeReader(master),
            PipeReader(err_read),
            PipeWriter(os.dup(master)),
            command[0] if command else "",
            terminal=True,
        )

    async def _open_terminal(self, command: Sequence[str]) -> ExecSession:
        err_read, err_write = os.pipe2(os.O_CLOEXEC)
        complaints = PipeReader(err_read)
        path = str(self.scratch / "tty")
        listener = sockets.listen_unix(path)
        try:
            try:
                child = await self._low_level.launcher.start(
                    self._arguments(command, tty=True, console=path), stderr=err_write
                )
            finally:
                os.close(err_write)
            receiving = asyncio.create_task(_receive_terminal(listener))
            ending = asyncio.create_task(child.wait())
            try:
                await asyncio.wait([receiving, ending], return_when=asyncio.FIRST_COMPLETED)
                if not receiving.done():
                    text = (await complaints.read_all(8192)).decode(errors="replace")
                    raise self.failure(text, command[0] if command else "")
                master = receiving.result()
            finally:
                receiving.cancel()
                ending.cancel()
                await asyncio.gather(receiving, ending, return_exceptions=True)
        except BaseException:
            complaints.close()
            raise
        finally:
            listener.close()
        return ExecSession(
            self,
            child,
            PipeReader(master),
            complaints,
            PipeWriter(os.dup(master)),
            command[0] if command else "",
            terminal=True,
        )


async def _receive_terminal(listener: socket.socket) -> int:
    loop = asyncio.get_running_loop()
    connection, _ = await loop.sock_accept(listener)
    with connection:
        while True:
            ready = loop.create_future()
            loop.add_reader(connection, ready.set_result, None)
            try:
                await ready
            finally:
                loop.remove_reader(connection)
            try:
                _, descriptors, _, _ = socket.recv_fds(connection, 4096, 1)
            except BlockingIOError:
                continue
            if not descriptors:
                raise RuntimeFailure("StartError", "the runtime sent no terminal")
            os.set_inheritable(descriptors[0], False)
            return descriptors[0]


class ExecSession:
    """A command's three streams and its end."""

    def __init__(
        self,
        owner: Exec,
        child: Child,
        stdout: PipeReader,
        stderr: PipeReader,
        stdin: PipeWriter,
        name: str,
        *,
        terminal: bool = False,
    ) -> None:
        self._owner = owner
        self._child = child
        self._stdout = stdout
        self._stderr = stderr
        self._stdin = stdin
        self._name = name
        self._terminal = terminal
        self._complaint = b""
        self._closed = False

    async def read_stdout(self) -> bytes:
        return await self._stdout.read()

    async def read_stderr(self) -> bytes:
        if self._terminal:
            return b""
        data = await self._stderr.read()
        if len(self._complaint) < 4096:
            self._complaint += data[:4096]
        return data

    async def write_stdin(self, data: bytes) -> None:
        await self._stdin.write(data)

    async def close_stdin(self) -> None:
        if not self._terminal:
            self._stdin.close()

    async def resize(self, columns: int, rows: int) -> None:
        if self._terminal and not self._stdin.closed:
            self._stdin.resize_terminal(columns, rows)
            self._child.send(signal.SIGWINCH)  # whoever copies between two terminals has no other way to know

    async def wait(self) -> int:
        code = await self._child.wait()
        if code != 0 and not self._closed and not self._owner.inner():
            text = self._complaint or await self._stderr.read_all(4096)
            raise self._owner.failure(text.decode(errors="replace"), self._name)
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._child.ended:
            await self._owner.kill(self._child)
        self._stdin.close()
        self._stdout.close()
        self._stderr.close()
        trees.remove_tree(self._owner.scratch)
