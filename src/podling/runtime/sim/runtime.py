"""The simulated runtime's verbs.

Owns the hints that something changed and the faults that a test injects; how containers live and die is `lives`'s.
Invariants: a verb that waits leaves the state whole if it is cancelled; with one seed and one sequence of calls the
same ids and addresses come.
"""

from __future__ import annotations

import errno
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from podling.aio.broadcast import Broadcast, Overrun, Subscription
from podling.lifecycle.container import CONTAINER, Event, Stage
from podling.runtime.protocol import (
    Container,
    ContainerConfig,
    ContainerId,
    ContainerStats,
    ExecResult,
    Resources,
    RuntimeEvent,
    RuntimeFailure,
    Sandbox,
    SandboxConfig,
    SandboxId,
    SandboxState,
)
from podling.runtime.sim.images import SimImages
from podling.runtime.sim.lives import KILLED, Lives
from podling.runtime.sim.logs import create_log
from podling.runtime.sim.script import Answer, Exec, Script, at, scripts_of
from podling.runtime.sim.sessions import AttachSession, ExecSession
from podling.runtime.sim.state import SimContainer, SimSandbox, SimState

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.runtime.protocol import ByteStream, Images, Session
    from podling.runtime.sim.script import ImageScript

_LOST: Final = 255


@dataclass
class Fault:
    """How a verb misbehaves for its next `times` calls: late, and failing where there is a `reason`."""

    times: int = 1
    latency: float = 0.0
    reason: str = ""
    message: str = "a fault was injected"


class SimRuntime:
    """Runs nothing, and says so convincingly."""

    def __init__(
        self,
        clock: Clock,
        chance: Chance,
        *,
        networks: Sequence[str] = ("10.88.0.0/16",),
        images: Mapping[str, ImageScript] | None = None,
        state: SimState | None = None,
        write_logs: bool = False,
    ) -> None:
        """`networks` is where sandboxes have their addresses: one range, or one of each family, the primary first.

        `state` is taken over and goes on where it was; `write_logs` puts logs into the sandbox's folder.
        """
        self._clock = clock
        self._chance = chance
        self._networks = tuple(ipaddress.ip_network(each) for each in networks)
        self._state = state if state is not None else SimState()
        self._write_logs = write_logs
        self._images = SimImages(self._state, clock, images or {})
        self._events: Broadcast[RuntimeEvent] = Broadcast(bound=4096)
        self._lives = Lives(self._state, clock, self._moved, write_logs=write_logs)
        self.faults: dict[str, Fault] = {}
        """By verb: `run_sandbox`, `create_container`, …"""

    @property
    def images(self) -> Images:
        return self._images

    @property
    def name(self) -> str:
        return "sim"

    async def version(self) -> str:
        from podling import __version__

        return f"sim://{__version__}"

    async def start(self) -> None:
        self._lives.resume()

    async def close(self) -> None:
        self._lives.pause()

    def events(self) -> AsyncIterator[RuntimeEvent]:
        return _Events(self._events.subscribe())

    def snapshot(self) -> SimState:
        """Return a copy of everything that is so; a runtime made from it goes its own way."""
        return self._state.copy()

    def reboot(self) -> None:
        """Let the machine restart: every container has died, every sandbox is lost."""
        for container_id in list(self._state.containers):
            if not self._lives.is_over(container_id):
                self._lives.die(container_id, _LOST, reason="Unknown")
        for sandbox_id in list(self._state.sandboxes):
            self._lose(SandboxId(sandbox_id))

    # Sandboxes.

    async def run_sandbox(self, config: SandboxConfig) -> Sandbox:
        await self._fault("run_sandbox")
        scripts_of(config.annotations)
        sandbox_id = SandboxId(self._chance.hex(64))
        addresses = () if config.host_network else self._state.take_addresses(sandbox_id, self._networks)
        sandbox = Sandbox(
            sandbox_id,
            config.uid,
            config.namespace,
            config.name,
            config.attempt,
            self._clock.time(),
            SandboxState.READY,
            network_namespace="",
            addresses=addresses,
            resources=config.resources,
            labels=dict(config.labels),
            annotations=dict(config.annotations),
        )
        self._state.sandboxes[sandbox_id] = SimSandbox(sandbox, config)
        self._tell(sandbox_id)
        return sandbox

    async def stop_sandbox(self, sandbox: SandboxId) -> None:
        await self._fault("stop_sandbox")
        for container_id, held in list(self._state.containers.items()):
            if held.container.sandbox == sandbox and not self._lives.is_over(container_id):
                self._lives.die(container_id)
        self._lose(sandbox)

    async def remove_sandbox(self, sandbox: SandboxId) -> None:
        await self.stop_sandbox(sandbox)
        for container_id in [c for c, held in self._state.containers.items() if held.container.sandbox == sandbox]:
            await self.remove_container(ContainerId(container_id))
        self._tell(sandbox)
        self._state.sandboxes.pop(sandbox, None)

    async def list_sandboxes(self, uid: str = "") -> Sequence[Sandbox]:
        return [held.sandbox for held in self._state.sandboxes.values() if uid in ("", held.sandbox.uid)]

    def _lose(self, sandbox: SandboxId) -> None:
        held = self._state.sandboxes.get(sandbox)
        self._state.addresses.pop(sandbox, None)
        if held is not None and held.sandbox.state is SandboxState.READY:
            lost = replace(held.sandbox, state=SandboxState.NOT_READY)
            self._state.sandboxes[sandbox] = replace(held, sandbox=lost)
            self._tell(sandbox)

    # Containers.

    async def create_container(self, sandbox: SandboxId, config: ContainerConfig) -> ContainerId:
        held = self._state.sandboxes.get(sandbox)
        if held is None or held.sandbox.state is not SandboxState.READY:
            raise RuntimeFailure("CreateContainerError", f"sandbox {sandbox} is not ready")
        run = self._script(held.config, config).run(config.attempt)
        await self._fault("create_container")
        if run.create_latency:
            await self._clock.sleep(run.create_latency)
        container_id = ContainerId(self._chance.hex(64))
        container = Container(
            container_id,
            sandbox,
            config.name,
            config.attempt,
            config.image,
            config.image_reference,
            self._clock.time(),
            log_path=str(held.config.log_directory / config.log_path) if config.log_path else "",
            labels=dict(config.labels),
            annotations=dict(config.annotations),
            resources=config.resources,
        )
        self._state.containers[container_id] = SimContainer(container, run)
        self._tell(sandbox, container_id)
        return container_id

    def _script(self, sandbox: SandboxConfig, config: ContainerConfig) -> Script:
        scripts = scripts_of(sandbox.annotations)
        found = scripts.get(config.name) or scripts.get("*")
        return found if found is not None else self._images.script(config.image_reference).script

    async def start_container(self, container: ContainerId) -> None:
        held = self._held(container)
        if not CONTAINER.allows(held.stage, Event.START):
            raise RuntimeFailure("RunContainerError", f"container {container} is {held.stage.value}, not created")
        try:
            await self._fault("start_container")
        except RuntimeFailure as failure:
            self._lives.refuse_start(container, failure.message)
            raise
        await self._lives.start(container)

    async def stop_container(self, container: ContainerId, grace: float) -> None:
        await self._fault("stop_container")
        if container not in self._state.containers:
            return  # gone before, or while the verb was held up
        self._lives.stop(container, grace)
        if not self._lives.is_over(container):
            await self._lives.death(container).wait()

    async def remove_container(self, container: ContainerId) -> None:
        held = self._state.containers.get(container)
        if held is None:
            return
        if not self._lives.is_over(container):
            self._lives.die(container)
        self._state.containers.pop(container).step(Event.REMOVE)
        self._lives.forget(container)
        self._tell(held.container.sandbox, container)

    async def list_containers(self, sandbox: SandboxId | None = None) -> Sequence[Container]:
        held = self._state.containers.values()
        return [h.container for h in held if sandbox is None or h.container.sandbox == sandbox]

    async def container(self, container: ContainerId) -> Container | None:
        held = self._state.containers.get(container)
        return held.container if held is not None else None

    async def update_resources(self, container: ContainerId, resources: Resources) -> None:
        await self._fault("update_resources")
        held = self._held(container)
        changed = replace(held.container, resources=resources)
        self._state.containers[container] = replace(held, container=changed)

    async def update_sandbox_resources(self, sandbox: SandboxId, resources: Resources) -> None:
        held = self._state.sandboxes.get(sandbox)
        if held is None:
            raise RuntimeFailure("NotFound", f"sandbox {sandbox} is not there")
        changed = replace(held.sandbox, resources=resources)
        self._state.sandboxes[sandbox] = replace(
            held, sandbox=changed, config=replace(held.config, resources=resources)
        )

    async def reopen_log(self, container: ContainerId) -> None:
        held = self._held(container)
        if self._write_logs and held.container.log_path:
            create_log(held.container.log_path)

    # Talking to them.

    async def exec_sync(
        self, container: ContainerId, command: Sequence[str], timeout: float, limit: int = 16384
    ) -> ExecResult:
        answer = self._answer(container, command)
        if 0 < timeout < answer.lasts:
            await self._clock.sleep(timeout)
            return ExecResult(-1, b"", timed_out=True)
        if answer.lasts:
            await self._clock.sleep(answer.lasts)
        return ExecResult(answer.exit_code, answer.output.encode()[:limit])

    async def exec(
        self,
        container: ContainerId,
        command: Sequence[str],
        *,
        stdin: bool = False,  # noqa: ARG002  # the Protocol asks for it
        stdout: bool = True,
        stderr: bool = True,  # noqa: ARG002  # the Protocol asks for it
        tty: bool = False,  # noqa: ARG002  # the Protocol asks for it
    ) -> Session:
        return ExecSession(self._clock, self._answer(container, command), with_stdout=stdout)

    async def attach(self, container: ContainerId, *, stdin: bool = False, tty: bool = False) -> Session:  # noqa: ARG002  # the Protocol asks for it
        self._running(container)
        return AttachSession(self._lives.death(container), lambda: self._exit_code(container))

    async def port_forward(self, sandbox: SandboxId, port: int) -> ByteStream:  # noqa: ARG002  # the Protocol asks for it
        raise RuntimeFailure("Unavailable", f"nothing listens on port {port}: the Pod is simulated")

    def totals(self) -> tuple[int, int, int]:
        """Return what all running containers use together: bytes of memory, bytes of disk, processes.

        A thousand nodes ask every ten seconds: nothing is made for each container.
        """
        memory = disk = pids = 0
        for held in self._state.containers.values():
            if held.stage in (Stage.RUNNING, Stage.STOPPING):
                run = held.run
                memory += run.memory
                pids += run.pids
                if run.disk or run.volumes:
                    disk += run.disk + sum(run.volumes.values())
        return memory, disk, pids

    async def stats(
        self, *, sandboxes: Collection[SandboxId] | None = None, disk: bool = True
    ) -> Sequence[ContainerStats]:
        now = self._clock.time()
        return [
            ContainerStats(
                held.container.id,
                now,
                int((now - (held.container.started or now)) * held.run.cpu * 1e9),
                held.run.memory,
                held.run.memory,
                writable_layer=held.run.disk if disk else 0,
                pids=held.run.pids,
                volumes=held.run.volumes,
            )
            for held in self._state.containers.values()
            if held.stage in (Stage.RUNNING, Stage.STOPPING)
            and (sandboxes is None or held.container.sandbox in sandboxes)
        ]

    def _answer(self, container: ContainerId, command: Sequence[str]) -> Exec:
        held = self._running(container)
        execs = held.run.execs
        found = execs.get(" ".join(command)) or execs.get("*")
        return (at(found, self._age(held)) if found is not None else None) or Exec()

    def _age(self, held: SimContainer) -> float:
        started = held.container.started
        return self._clock.time() - started if started is not None else 0.0

    # Answering probes and hooks: a simulated node is a `Wire`.

    async def connect(self, container: str, address: str, port: int) -> None:
        """Connect to a port and hang up; `ConnectionRefusedError` where the script says that nothing listens."""
        del address
        self._listening(container, port)

    async def exchange(
        self,
        container: str,
        address: str,
        port: int,
        request: bytes,
        is_whole: Callable[[bytearray], bool],  # noqa: ARG002  # what a script answers is always whole
        *,
        limit: int,
        tls: bool = False,  # noqa: ARG002  # the same is answered with TLS
    ) -> bytes:
        """Answer an HTTP request as the script says."""
        del address
        path = request.split(b" ", 2)[1].decode()
        answer = self._listening(container, port, path)
        if answer.lasts:
            await self._clock.sleep(answer.lasts)
        body = answer.body.encode()
        head = f"HTTP/1.1 {answer.status} Scripted\r\nContent-Length: {len(body)}\r\n"
        if answer.location:
            head += f"Location: {answer.location}\r\n"
        return (head.encode() + b"\r\n" + body)[:limit]

    async def health(
        self,
        container: str,
        address: str,
        port: int,
        service: str,
        timeout: float,  # noqa: ARG002  # the caller bounds it too
    ) -> tuple[int, str, str]:
        """Answer gRPC's health check as the script says."""
        del address
        answer = self._listening(container, port, f"/{service}")
        if answer.lasts:
            await self._clock.sleep(answer.lasts)
        return 0, "", answer.serving

    def _listening(self, container: str, port: int, path: str = "") -> Answer:
        held = self._state.containers.get(container)
        if held is None or held.stage not in (Stage.RUNNING, Stage.STOPPING):
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        ports = held.run.ports
        found = ports.get(f"{port}{path}") or ports.get(str(port)) or ports.get("*")
        answer = at(found, self._age(held)) if found is not None else None if ports else Answer()
        if answer is None or answer.refused:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        return answer

    def _running(self, container: ContainerId) -> SimContainer:
        held = self._held(container)
        if held.stage not in (Stage.RUNNING, Stage.STOPPING):
            raise RuntimeFailure("Unavailable", f"container {container} is not running")
        return held

    def _held(self, container: ContainerId) -> SimContainer:
        held = self._state.containers.get(container)
        if held is None:
            raise RuntimeFailure("NotFound", f"container {container} is not there")
        return held

    # Hints and faults.

    def _exit_code(self, container: str) -> int:
        held = self._state.containers.get(container)
        code = held.container.exit_code if held is not None else None
        return code if code is not None else KILLED

    def _moved(self, container: str) -> None:
        self._tell(self._state.containers[container].container.sandbox, ContainerId(container))

    def _tell(self, sandbox: SandboxId, container: ContainerId | None = None) -> None:
        held = self._state.sandboxes.get(sandbox)
        self._events.publish(RuntimeEvent(sandbox, held.sandbox.uid if held is not None else "", container))

    async def _fault(self, verb: str) -> None:
        fault = self.faults.get(verb)
        if fault is None or fault.times == 0:
            return
        fault.times -= 1
        if fault.latency:
            await self._clock.sleep(fault.latency)
        if fault.reason:
            raise RuntimeFailure(fault.reason, fault.message)


class _Events:
    """Hints from the subscription on; ends where the reader fell behind."""

    def __init__(self, subscription: Subscription[RuntimeEvent]) -> None:
        self._subscription = subscription

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> RuntimeEvent:
        try:
            return await self._subscription.__anext__()
        except Overrun:
            raise StopAsyncIteration from None

    async def aclose(self) -> None:
        self._subscription.close()
