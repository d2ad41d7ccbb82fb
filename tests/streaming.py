"""A node in a test's hand: the real kubelet server and API server over sockets, Pods that are plain subprocesses."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import pty
import signal
import struct
import termios
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from msgspec.structs import replace

from podling.aio.broadcast import Broadcast
from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.api import codec
from podling.api.resources import PODS
from podling.api.types.core_v1 import Pod
from podling.apiserver.kubelet_proxy import ConnectionProxy, LocalNodes
from podling.apiserver.record import Decision, User
from podling.apiserver.server import ApiServer
from podling.client.transport import Call
from podling.kubelet.server import KubeletServer
from podling.linux.local import LocalHost
from podling.runtime.protocol import Container, ContainerId, ImageId, RuntimeEvent, RuntimeFailure, SandboxId
from podling.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import Sequence

NODE = "one"
POD_ADDRESS = "192.0.2.7"


class _Everything:
    """Lets everybody do everything, as the administrator."""

    def authorize(self, attributes: Any) -> Decision:
        return Decision(True)

    async def authenticate(self, headers: Any, peer_certificate: Any) -> User:
        return User("admin", ("system:masters", "system:authenticated"))


def _wake(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


class ProcessSession:
    """A subprocess as a Session; closing it kills its process group."""

    def __init__(self, process: asyncio.subprocess.Process, master: int = -1) -> None:
        self.process = process
        self.master = master
        self.sizes: list[tuple[int, int]] = []
        self.closed = False
        self.gone = False
        """Whether it is closed to the end: nothing of its process is left."""
        self.reader: asyncio.StreamReader | None = None

    async def read_stdout(self) -> bytes:
        if self.master >= 0:
            return await self._read_terminal()
        assert self.process.stdout is not None
        return await self.process.stdout.read(65536)

    async def _read_terminal(self) -> bytes:
        loop = asyncio.get_running_loop()
        while True:
            ready = loop.create_future()
            loop.add_reader(self.master, _wake, ready)
            try:
                await ready
                return os.read(self.master, 65536)
            except BlockingIOError:
                continue
            except OSError:
                return b""
            finally:
                loop.remove_reader(self.master)

    async def read_stderr(self) -> bytes:
        return b"" if self.process.stderr is None else await self.process.stderr.read(65536)

    async def write_stdin(self, data: bytes) -> None:
        if self.master >= 0:
            os.write(self.master, data)
        elif self.process.stdin is not None:
            self.process.stdin.write(data)
            await self.process.stdin.drain()

    async def close_stdin(self) -> None:
        if self.process.stdin is not None:
            self.process.stdin.close()

    async def resize(self, columns: int, rows: int) -> None:
        self.sizes.append((columns, rows))
        if self.master >= 0:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    async def wait(self) -> int:
        code = await self.process.wait()
        return code if code >= 0 else 128 - code

    async def close(self) -> None:
        if self.closed:
            return
        self.closed = True
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()
        # That its pipes have ended may be heard only after the loop has: asyncio offers no way to wait for it.
        self.process._transport.close()  # type: ignore[attr-defined]
        self.gone = True
        if self.master >= 0:
            os.close(self.master)


class _Forwarded:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, limit: int = 65536) -> bytes:
        return await self._reader.read(limit)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close_write(self) -> None:
        self._writer.write_eof()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class SubprocessRuntime:
    """What the server asks of a runtime, done by subprocesses of this one; containers are records that a test changes."""

    name = "test"

    def __init__(self) -> None:
        self.containers: dict[str, Container] = {}
        self.sessions: list[ProcessSession] = []
        self.attached = ["sh", "-c", "while read line; do echo got $line; done; echo over"]
        self._events: Broadcast[RuntimeEvent] = Broadcast()

    def put(self, container: Container) -> None:
        self.containers[container.id] = container
        self._events.publish(RuntimeEvent(container.sandbox, "", container.id))

    def end(self, container: str, code: int = 0) -> None:
        self.put(replace(self.containers[container], finished=2.0, exit_code=code))

    def events(self) -> Any:
        async def until_closed(subscription: Any) -> Any:
            with subscription:
                async for item in subscription:
                    yield item

        return until_closed(self._events.subscribe())

    async def container(self, container: ContainerId) -> Container | None:
        return self.containers.get(container)

    async def list_containers(self, sandbox: SandboxId | None = None) -> Sequence[Container]:
        return [it for it in self.containers.values() if sandbox in {None, it.sandbox}]

    async def list_sandboxes(self) -> Sequence[Any]:
        return ()

    async def stats(self, **_: Any) -> Sequence[Any]:
        return []

    async def exec(
        self, container: ContainerId, command: Sequence[str], *, stdin: bool = False, stdout: bool = True,
        stderr: bool = True, tty: bool = False,
    ) -> ProcessSession:  # fmt: skip
        try:
            if tty:
                master, slave = pty.openpty()
                os.set_blocking(master, False)
                try:
                    process = await asyncio.create_subprocess_exec(
                        *command, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
                    )
                finally:
                    os.close(slave)
                session = ProcessSession(process, master)
            else:
                pipe = asyncio.subprocess.PIPE
                session = ProcessSession(
                    await asyncio.create_subprocess_exec(
                        *command, stdin=pipe if stdin else asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe,
                        start_new_session=True,
                    )
                )  # fmt: skip
        except FileNotFoundError:
            raise RuntimeFailure("StartError", f'exec: "{command[0]}": executable file not found in $PATH') from None
        self.sessions.append(session)
        return session

    async def exec_sync(
        self, container: ContainerId, command: Sequence[str], timeout: float, limit: int = 16384
    ) -> Any:
        from podling.runtime.protocol import ExecResult

        session = await self.exec(container, command)
        output = b""
        while data := await session.read_stdout():
            output += data
        code = await session.wait()
        await session.close()
        return ExecResult(code, output)

    async def attach(self, container: ContainerId, *, stdin: bool = False, tty: bool = False) -> ProcessSession:
        return await self.exec(container, self.attached, stdin=stdin, tty=tty)

    async def port_forward(self, sandbox: SandboxId, port: int) -> _Forwarded:
        return _Forwarded(*await asyncio.open_connection("127.0.0.1", port))

    async def close(self) -> None:
        for session in self.sessions:
            await session.close()


def pod(name: str = "web", *containers: str, node: str = NODE) -> dict[str, Any]:
    names = containers or ("main",)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "containers": [{"name": it, "image": "busybox"} for it in names]},
    }


class _Host(LocalHost):
    """The machine, where what is meant for `POD_ADDRESS` goes to the loopback."""

    async def connect(
        self, address: str, port: int, *, timeout: float | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        assert address == POD_ADDRESS
        return await super().connect("127.0.0.1", port, timeout=timeout)


class Streaming:
    """The composition: memory store, API server, HTTP, proxy, kubelet server. Pods are those of the API."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.clock = SystemClock()
        self.runtime = SubprocessRuntime()
        self.store = MemoryStore(self.clock)
        everything = _Everything()
        self.api = ApiServer(self.store, self.clock, Chance(seed=1), authorizer=everything)
        self.kubelet = KubeletServer(self, self.runtime, self.clock, node=NODE)  # type: ignore[arg-type]
        self.host = _Host("test")
        self.socket = str(folder / "kubelet.sock")
        self.proxy = ConnectionProxy(self.api.registry, LocalNodes({NODE: self.socket}), self.host)
        self.http = self.api.http(everything, self.proxy)
        self.port = 0
        self.known: dict[str, Pod] = {}
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(main()) for _, main in self.api.components()]
        await self.api.start()
        self.door = self.api.transport(User("admin", ("system:masters",)))
        await self._call("POST", "/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        await self.kubelet.start(unix_path=self.socket)
        self.port = await self.http.listen()
        self.kubeconfig = self.folder / "kubeconfig"
        self.kubeconfig.write_text(
            "apiVersion: v1\nkind: Config\ncurrent-context: t\n"
            f"clusters: [{{name: t, cluster: {{server: 'http://127.0.0.1:{self.port}'}}}}]\n"
            "contexts: [{name: t, context: {cluster: t, user: t}}]\nusers: [{name: t, user: {}}]\n"
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.proxy.close()
        await self.kubelet.close()
        await self.api.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()
        await self.runtime.close()
        self.host.close()

    async def _call(self, method: str, path: str, body: Any) -> Any:
        import msgspec

        return msgspec.json.decode((await self.door.call(Call(method, path, (), msgspec.json.encode(body)))).body)

    async def run_pod(self, name: str = "web", *containers: str, log: str = "") -> Pod:
        """Create a Pod whose containers run."""
        tree = await self._call("POST", "/api/v1/namespaces/default/pods", pod(name, *containers))
        statuses = []
        for container in containers or ("main",):
            made = ContainerId(f"{name}-{container}")
            path = self.folder / f"{made}.log"
            path.write_text(log)
            self.runtime.put(
                Container(
                    made, SandboxId(f"box-{name}"), container, 0, ImageId("sha256:x"), "busybox", 1.0, started=1.0,
                    log_path=str(path),
                )
            )  # fmt: skip
            statuses.append(
                {
                    "name": container, "ready": True, "restartCount": 0, "image": "busybox", "imageID": "x",
                    "containerID": f"test://{made}", "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            )  # fmt: skip
        tree["status"] |= {"phase": "Running", "podIP": POD_ADDRESS, "containerStatuses": statuses}
        tree["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        await self._call("PUT", f"/api/v1/namespaces/default/pods/{name}/status", tree)
        found = self.api.registry.find(PODS, "default", name)
        assert found is not None
        self.known[name] = codec.decode(Pod, found.wire())
        return self.known[name]

    # PodLookup

    def pods(self) -> Sequence[Pod]:
        return list(self.known.values())

    def pod(self, namespace: str, name: str) -> Pod | None:
        return self.known.get(name) if namespace == "default" else None

    def sandbox(self, uid: str) -> SandboxId | None:
        return next(
            (SandboxId(f"box-{it.metadata.name}") for it in self.known.values() if it.metadata.uid == uid), None
        )

    # kubectl

    async def spawn(self, *arguments: str, protocol: str = "websocket", **options: Any) -> asyncio.subprocess.Process:
        """Start kubectl, which is to stream over `protocol`: websocket or spdy."""
        modern = "true" if protocol == "websocket" else "false"
        environment = {
            **os.environ, "KUBECTL_REMOTE_COMMAND_WEBSOCKETS": modern, "KUBECTL_PORT_FORWARD_WEBSOCKETS": modern,
        }  # fmt: skip
        pipe, nothing = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
        streams = {"stdin": nothing, "stdout": pipe, "stderr": pipe} | options
        return await asyncio.create_subprocess_exec(
            "kubectl", "--kubeconfig", str(self.kubeconfig), *arguments, env=environment, **streams
        )

    async def kubectl(
        self, *arguments: str, stdin: bytes | None = None, protocol: str = "websocket", limit: float = 40.0
    ) -> tuple[int, bytes, bytes]:
        """Run kubectl to its end; return its exit code, output and complaints."""
        options = {} if stdin is None else {"stdin": asyncio.subprocess.PIPE}
        process = await self.spawn(*arguments, protocol=protocol, **options)
        try:
            async with asyncio.timeout(limit):
                out, err = await process.communicate(stdin)
        except BaseException:
            process.kill()
            await process.wait()
            raise
        assert process.returncode is not None
        return process.returncode, out, err
