"""Commands inside running containers, and terminals to what runs there already.

Owns `exec` (through the low-level runtime, so that the command gets the container's confinement) and `attach` (through
conmon's socket). Invariants: an exec that is let go of is killed with everything that it started, also where that forks
without end; output is bounded where the caller bounds it; an attached container does not notice its clients.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
import struct
import termios
from typing import TYPE_CHECKING

import msgspec

from podling.linux import files, processes, sockets
from podling.linux.spawn import PipeReader, PipeWriter
from podling.runtime.oci import conmon
from podling.runtime.protocol import ExecResult, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.linux.cgroup import Cgroup
    from podling.linux.spawn import Child
    from podling.runtime.oci.lowlevel import LowLevel

_QUOTED = re.compile(r'msg="((?:[^"\\]|\\.)*)"')
_MISSING = re.compile(r"executable file [`\"']?.*?[`\"']? ?not found in \$?PATH", re.DOTALL)
_PROCESS = "unable to start container process: "
_REFUSALS = {
    "permission denied": "permission denied",
    "operation not permitted": "permission denied",
    "is a directory": "permission denied",
    "no such file or directory": "no such file or directory",
    "exec format error": "exec format error",
}


def explain(text: str, name: str) -> str:
    """Return a low-level runtime's complaint in upstream's words, as events and clients show them."""
    lines = [line for line in text.splitlines() if line.strip()]
    text = lines[-1].strip() if lines else "no reason was given"
    quoted = _QUOTED.search(text)
    if quoted:
        text = quoted.group(1).replace('\\"', '"')
    if _MISSING.search(text) or (name and name in text and "not found" in text):
        if "/" in name:
            return f'{_PROCESS}exec: "{name}": stat {name}: no such file or directory: unknown'
        return f'{_PROCESS}exec: "{name}": executable file not found in $PATH: unknown'
    if name and (name in text or "executable" in text):
        for said, refusal in _REFUSALS.items():
            if said in text.lower():
                stat = f"stat {name}: " if refusal.startswith("no such") else ""
                return f'{_PROCESS}exec: "{name}": {stat}{refusal}: unknown'
    return f"{_PROCESS}{text.rpartition(_PROCESS)[2]}: unknown"


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
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

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
        self._scratch = scratch

    def _arguments(self, command: Sequence[str], tty: bool, console: str = "") -> list[str]:
        process = msgspec.json.decode((self._bundle / "config.json").read_bytes())["process"]
        process["args"] = list(command)
        process["terminal"] = tty
        if tty and not any(item.startswith("TERM=") for item in process["env"]):
            process["env"].append("TERM=xterm")
        (self._scratch / "process.json").write_bytes(msgspec.json.encode(process))
        return self._low_level.command(
            "exec",
            "--process",
            str(self._scratch / "process.json"),
            "--pid-file",
            str(self._scratch / "pid"),
            *(["--console-socket", console] if console else []),
            self._container,
        )

    def _inner(self) -> list[int]:
        text = files.read_text(self._scratch / "pid")
        return [int(text)] if text and text.isdigit() else []

    async def _kill(self, child: Child) -> None:
        inner = self._inner()
        if inner:
            # The runtime reaps what it has started; killed first, it would leave a zombie to the container's init.
            await kill_tree(self._group, inner, child.pid)
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(2.0):
                    await child.wait()
                return
        await kill_tree(self._group, [child.pid], child.pid)
        await child.kill()

    def _failure(self, text: str, name: str) -> RuntimeFailure:
        return RuntimeFailure(
            "StartError",
            f'failed to exec in container: failed to start exec "{self._scratch.name}": OCI runtime exec failed: '
            f"exec failed: {explain(text, name)}",
        )

    async def run(self, command: Sequence[str], timeout: float, limit: int) -> ExecResult:
        """Run a command to its end; stdout and stderr come as one, in the order in which they were written."""
        self._scratch.mkdir(parents=True)
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
                await self._kill(child)
                return ExecResult(137, bytes(kept), timed_out=True)
            except BaseException:
                await self._kill(child)
                raise
            # Something left in the background may hold the pipe open for ever: take what has been written by now.
            with contextlib.suppress(TimeoutError):
                async with self._clock.timeout(0.02):
                    await asyncio.shield(collector)
            if code != 0 and not self._inner():
                raise self._failure(bytes(kept).decode(errors="replace"), command[0] if command else "")
            return ExecResult(code if code >= 0 else 128 - code, bytes(kept))
        finally:
            if collector is not None:
                collector.cancel()
                await asyncio.gather(collector, return_exceptions=True)
            output.close()
            files.remove_tree(self._scratch)

    async def open(self, command: Sequence[str], *, stdin: bool, tty: bool) -> ExecSession:
        """Start a command and return its streams."""
        self._scratch.mkdir(parents=True)
        try:
            if tty and self._low_level.choice.name == "runc":
                return await self._open_proxied_terminal(command)
            if tty:
                return await self._open_terminal(command)
            return await self._open_pipes(command, stdin=stdin)
        except BaseException:
            files.remove_tree(self._scratch)
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
        path = str(self._scratch / "tty")
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
                    raise self._failure(text, command[0] if command else "")
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
        if self._terminal and self._stdin._descriptor >= 0:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self._stdin._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            self._child.send(signal.SIGWINCH)  # whoever copies between two terminals has no other way to know

    async def wait(self) -> int:
        code = await self._child.wait()
        if code != 0 and not self._closed and not self._owner._inner():
            text = self._complaint or await self._stderr.read_all(4096)
            raise self._owner._failure(text.decode(errors="replace"), self._name)
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if not self._child.ended:
            await self._owner._kill(self._child)
        self._stdin.close()
        self._stdout.close()
        self._stderr.close()
        files.remove_tree(self._owner._scratch)


class AttachSession:
    """A container's own streams, shared with whoever else is attached."""

    def __init__(self, bundle: Path, connection: socket.socket, ended: Callable[[], Awaitable[int]]) -> None:
        self._bundle = bundle
        self._socket = connection
        self._ended = ended
        self._streams: dict[int, asyncio.Queue[bytes]] = {2: asyncio.Queue(256), 3: asyncio.Queue(256)}
        self._finished: set[int] = set()
        self._pump = asyncio.create_task(self._receive(), name=f"attach {bundle.name}")

    async def _receive(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while data := await loop.sock_recv(self._socket, 65536):
                stream = self._streams.get(data[0])
                if stream is not None and len(data) > 1:
                    await stream.put(data[1:])
        except (ConnectionError, OSError):
            pass
        finally:
            for stream in self._streams.values():
                with contextlib.suppress(asyncio.QueueFull):
                    stream.put_nowait(b"")

    async def _read(self, number: int) -> bytes:
        stream = self._streams[number]
        if number in self._finished or (self._pump.done() and stream.empty()):
            return b""
        data = await stream.get()
        if not data:
            self._finished.add(number)
        return data

    async def read_stdout(self) -> bytes:
        return await self._read(2)

    async def read_stderr(self) -> bytes:
        return await self._read(3)

    async def write_stdin(self, data: bytes) -> None:
        loop = asyncio.get_running_loop()
        # The socket keeps packets apart, and conmon reads at most 8 KiB of each.
        for offset in range(0, len(data), 8192):
            await loop.sock_sendall(self._socket, data[offset : offset + 8192])

    async def close_stdin(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    async def resize(self, columns: int, rows: int) -> None:
        with contextlib.suppress(ProcessLookupError):
            conmon.resize(self._bundle, columns, rows)

    async def wait(self) -> int:
        return await self._ended()

    async def close(self) -> None:
        self._pump.cancel()
        await asyncio.gather(self._pump, return_exceptions=True)
        self._socket.close()


async def attach(bundle: Path, ended: Callable[[], Awaitable[int]]) -> AttachSession:
    """Connect to a container's conmon."""
    try:
        connection = await sockets.connect_packets(bundle, "attach")
    except OSError as error:
        raise RuntimeFailure("Unavailable", f"cannot attach: {error.strerror or error}") from error
    return AttachSession(bundle, connection, ended)
