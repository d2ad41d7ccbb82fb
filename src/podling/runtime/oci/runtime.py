"""The `oci` runtime: containers by conmon and crun (or runc) on overlays, with no daemon and no infra container.

Owns the verbs of `Runtime`: what each asks of images, bundles, sandboxes (`sandboxes.py`) and containers (`lives.py`),
and in which order.
"""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from podling.aio.broadcast import Broadcast, Overrun, Subscription
from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.linux import cgroup, inotify, mounts, processes, trees
from podling.linux.local import connect_inside
from podling.runtime.oci import bundles, conmon, records, recovery, spec, users
from podling.runtime.oci.attach import attach
from podling.runtime.oci.exec import Exec
from podling.runtime.oci.images.pull import Puller
from podling.runtime.oci.images.store import OciImages
from podling.runtime.oci.layout import RUN, Layout, instance_id, is_name
from podling.runtime.oci.live import make_live
from podling.runtime.oci.lives import Lives
from podling.runtime.oci.lowlevel import LowLevel
from podling.runtime.oci.sandboxes import Sandboxes, set_limits
from podling.runtime.oci.streams import StreamPair
from podling.runtime.protocol import (
    ByteStream,
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
    Session,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Sequence

    from podling.aio.clock import Clock


class OciRuntime:
    """Containers of one instance on this machine."""

    def __init__(
        self,
        data: Path,
        *,
        instance: str = "",
        node: str = "",
        clock: Clock | None = None,
        chance: Chance | None = None,
        run_root: Path = RUN,
        puller: Puller | None = None,
        low_level: str = "",
    ) -> None:
        """`node` is a further node's name, whose own namespaces are pinned where its layout says."""
        self._layout = Layout(data.resolve(), instance or instance_id(data), run_root, node)
        self._clock: Clock = clock or SystemClock()
        self._chance = chance or Chance()
        self._images = OciImages(self._layout.images, self._chance, puller=puller or Puller(self._clock))
        self._images.in_use = self._layers_in_use
        self._forced = low_level
        self._hierarchies = cgroup.detect()
        self._low_level = LowLevel(self._layout, self._clock, self._hierarchies)
        self._conmon: conmon.Conmon | None = None
        self._boot = processes.boot_id()
        self._events: Broadcast[RuntimeEvent] = Broadcast(4096)
        self._sandboxes = Sandboxes(
            self._layout, self._hierarchies, self._clock, self._chance, self._boot, self._publish
        )
        self._containers = Lives(self._layout, self._clock, self._low_level, self._publish)
        self._exits: inotify.DirectoryWatch | None = None

    @property
    def images(self) -> OciImages:
        return self._images

    @property
    def name(self) -> str:
        return "podling"

    @property
    def layout(self) -> Layout:
        """Where this instance keeps things."""
        return self._layout

    async def version(self) -> str:
        choice = self._low_level.choice
        return f"podling://{choice.name}-{choice.version}"

    # -- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        layout = self._layout
        for directory in (layout.pods, layout.images, layout.pins, layout.exits, layout.low_level):
            directory.mkdir(parents=True, exist_ok=True)
        layout.run.chmod(0o711)
        mounts.share(str(layout.run))
        mounts.share(str(layout.pods))
        self._images.open()
        path = conmon.find()
        await self._low_level.choose(self._forced)
        group = self._hierarchies.group(f"{layout.cgroup}/conmon")
        group.create()
        self._conmon = conmon.Conmon(path, layout, self._low_level, group, self._clock)
        self._exits = inotify.DirectoryWatch(str(layout.exits), self._containers.exit_noticed)
        found = await asyncio.to_thread(recovery.recover, layout, self._hierarchies, self._boot, self._clock)
        self._sandboxes.take_up(found.sandboxes)
        self._containers.take_up(found.containers)

    async def close(self) -> None:
        try:
            if self._exits is not None:
                self._exits.close()
                self._exits = None
            await self._images.close()
            await self._containers.close()
        finally:
            self._low_level.close()

    def events(self) -> AsyncIterator[RuntimeEvent]:
        return _until_overrun(self._events.subscribe())

    def _publish(self, sandbox: str, uid: str, container: str = "") -> None:
        self._events.publish(RuntimeEvent(SandboxId(sandbox), uid, ContainerId(container) if container else None))

    def _layers_in_use(self) -> set[str]:
        return {layer for live in self._containers for layer in live.record.layers}

    # -- sandboxes -------------------------------------------------------------------------------------------------

    async def run_sandbox(self, config: SandboxConfig) -> Sandbox:
        self._check_handler(config.runtime_handler)
        return await self._sandboxes.run(config)

    async def stop_sandbox(self, sandbox: SandboxId) -> None:
        record = self._sandboxes.find(sandbox)
        if record is not None:
            await asyncio.gather(*(self._containers.end(live) for live in self._containers.in_sandbox(sandbox)))
            await self._sandboxes.stop(record)

    def _check_handler(self, handler: str) -> None:
        """Refuse a RuntimeClass's handler that is not this node's, as containerd does."""
        if handler not in {"", self.name, self._low_level.choice.name}:
            raise RuntimeFailure(
                "FailedCreatePodSandBox",
                f'failed to get sandbox runtime: no runtime for "{handler}" is configured',
            )

    async def remove_sandbox(self, sandbox: SandboxId) -> None:
        record = self._sandboxes.find(sandbox)
        if record is None:
            return
        await self.stop_sandbox(sandbox)
        for live in self._containers.in_sandbox(sandbox):
            await self.remove_container(ContainerId(live.record.id))
        await self._sandboxes.remove(record)

    async def list_sandboxes(self, uid: str = "") -> Sequence[Sandbox]:
        return self._sandboxes.views(uid)

    async def update_sandbox_resources(self, sandbox: SandboxId, resources: Resources) -> None:
        self._sandboxes.update(self._sandboxes.get(sandbox), resources)

    # -- containers ------------------------------------------------------------------------------------------------

    async def create_container(self, sandbox: SandboxId, config: ContainerConfig) -> ContainerId:
        pod = self._sandboxes.get(sandbox)
        if pod.stopped is not None:
            raise RuntimeFailure("CreateContainerError", f'sandbox "{sandbox}" is not ready')
        if not is_name(config.name):
            raise RuntimeFailure("CreateContainerError", f"{config.name!r} is no container name")
        bundle = self._layout.container(pod.config.uid, config.name, config.attempt)
        for known in self._containers:
            if known.bundle == bundle:
                return ContainerId(known.record.id)
        image = await self._images.status(config.image)
        if image is None:
            raise RuntimeFailure("CreateContainerError", f'image "{config.image}" not found')
        record = records.ContainerRecord(self._chance.hex(64), sandbox, config, self._clock.time(), self._boot)
        layers = self._images.layers(image.id)
        mounted = {mount.image: self._images.layers(mount.image) for mount in config.mounts if mount.image}
        record.layers = [Path(layer).name for held in (layers, *mounted.values()) for layer in held]
        record.stop_signal = config.stop_signal or image.stop_signal
        if config.log_path:
            log_path = pod.config.log_directory / config.log_path
            record.log_path = str(log_path)
        live = make_live(self._layout, self._hierarchies, record, bundle, pod)
        # Known before it is on disk, so that a second wish for it meanwhile finds it.
        self._containers.add(live)
        try:
            async with live.lock:
                around = self._sandboxes.shared_with(pod, config, live.group, self._target(config))
                if record.log_path:
                    Path(record.log_path).parent.mkdir(parents=True, exist_ok=True)
                place = self._layout.roots / record.id
                foreign = self._low_level.foreign(mount.host_path for mount in config.mounts if mount.host_path)
                if foreign:
                    await asyncio.to_thread(self._low_level.look, foreign)
                await asyncio.to_thread(
                    bundles.prepare, bundle, record, pod.config, image, layers, mounted, around, place
                )
        except BaseException as error:
            self._containers.drop(record.id)
            if isinstance(error, spec.NoCommand | users.UserNotFound | OSError):
                raise RuntimeFailure(
                    "CreateContainerError", f"failed to generate container {record.id!r} spec: {error}"
                ) from error
            raise
        self._publish(sandbox, pod.config.uid, record.id)
        return ContainerId(record.id)

    def _target(self, config: ContainerConfig) -> int | None:
        """Return the process whose PID namespace the container is to see, where it names a container for that."""
        if config.target_container is None:
            return None
        other = self._containers.get(config.target_container)
        if not other.running:
            raise RuntimeFailure("CreateContainerError", f'target container "{config.target_container}" is not running')
        return other.record.pid

    async def start_container(self, container: ContainerId) -> None:
        live = self._containers.get(container)
        if self._conmon is None:
            raise RuntimeFailure("Unavailable", "the runtime is not started")
        await self._containers.start(live, self._conmon)

    async def stop_container(self, container: ContainerId, grace: float) -> None:
        live = self._containers.find(container)
        if live is not None:
            await self._containers.stop(live, grace)

    async def remove_container(self, container: ContainerId) -> None:
        live = self._containers.find(container)
        if live is None:
            return
        await self._containers.end(live)
        async with live.lock:
            await asyncio.to_thread(bundles.discard, live.bundle)
            self._containers.drop(container)
        self._publish(live.record.sandbox, live.uid, container)

    async def list_containers(self, sandbox: SandboxId | None = None) -> Sequence[Container]:
        return [live.record.view() for live in self._containers if sandbox is None or live.record.sandbox == sandbox]

    async def container(self, container: ContainerId) -> Container | None:
        live = self._containers.find(container)
        return live.record.view() if live is not None else None

    async def update_resources(self, container: ContainerId, resources: Resources) -> None:
        live = self._containers.running(container)
        set_limits(live.group, resources)
        live.record.config = replace(live.record.config, resources=resources)
        live.save()

    async def reopen_log(self, container: ContainerId) -> None:
        live = self._containers.get(container)
        try:
            conmon.reopen_log(live.bundle)
        except ProcessLookupError as error:
            raise RuntimeFailure("Unavailable", f'container "{container}" is not running') from error

    async def stats(
        self, *, sandboxes: Collection[SandboxId] | None = None, disk: bool = True
    ) -> Sequence[ContainerStats]:
        wanted = [it for it in self._containers if sandboxes is None or it.record.sandbox in sandboxes]
        running = [live for live in wanted if live.running]

        def measure() -> list[ContainerStats]:
            found = []
            for live in running:
                usage = live.group.usage()
                size, inodes = trees.usage_of(live.bundle / "upper") if disk else (0, 0)
                found.append(
                    ContainerStats(
                        container=ContainerId(live.record.id),
                        at=self._clock.time(),
                        cpu_nanoseconds=usage.cpu_nanoseconds,
                        memory_working_set=usage.memory_working_set,
                        memory_usage=usage.memory_usage,
                        writable_layer=size,
                        writable_inodes=inodes,
                        pids=usage.pids,
                    )
                )
            return found

        return await asyncio.to_thread(measure)

    # -- sessions --------------------------------------------------------------------------------------------------

    def _exec(self, container: str) -> Exec:
        live = self._containers.running(container)
        scratch = self._layout.run / f"exec-{self._chance.hex(16)}"
        return Exec(self._low_level, self._clock, live.record.id, live.bundle, live.group, scratch)

    async def exec_sync(
        self, container: ContainerId, command: Sequence[str], timeout: float, limit: int = 16384
    ) -> ExecResult:
        return await self._exec(container).run(command, timeout, limit)

    async def exec(
        self,
        container: ContainerId,
        command: Sequence[str],
        *,
        stdin: bool = False,
        stdout: bool = True,
        stderr: bool = True,
        tty: bool = False,
    ) -> Session:
        # Both outputs are always taken: a command whose stderr went nowhere would fail where its shell has one.
        del stdout, stderr
        return await self._exec(container).open(command, stdin=stdin, tty=tty)

    async def attach(self, container: ContainerId, *, stdin: bool = False, tty: bool = False) -> Session:
        del stdin, tty  # conmon was told at the start what the container has
        live = self._containers.running(container)
        return await attach(live.bundle, live.ended)

    async def port_forward(self, sandbox: SandboxId, port: int) -> ByteStream:
        record = self._sandboxes.get(sandbox)
        view = self._sandboxes.view(record)
        if record.stopped is not None:
            raise RuntimeFailure("NotFound", f'sandbox "{sandbox}" is not running')
        complaint = ""
        for address in ("127.0.0.1", "::1"):
            try:
                connection = await connect_inside(view.network_namespace, address, port)
            except OSError as error:
                complaint += f" dial {address}:{port}: {error.strerror or error}"
                continue
            return StreamPair(*await asyncio.open_connection(sock=connection))
        raise RuntimeFailure(
            "Unavailable",
            f'failed to connect to localhost:{port} inside namespace "{view.network_namespace}":{complaint}',
        )


async def _until_overrun(items: Subscription[RuntimeEvent]) -> AsyncIterator[RuntimeEvent]:
    with items, contextlib.suppress(Overrun):
        async for item in items:
            yield item
