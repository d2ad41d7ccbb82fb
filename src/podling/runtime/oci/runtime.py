"""The `oci` runtime: containers by conmon and crun (or runc) on overlays, with no daemon and no infra container.

Owns the verbs of `Runtime`, and the order that makes them safe to be killed at any instant: id and directory on disk,
then the intent to start, then conmon and the waiting first process, then its release, then the fact that it runs. What
may have run is never started again.

             create           start                 released                exit file
    (nothing) ───▶ created ───▶ starting (waiting) ───▶ running ───▶ exited
                      ▲               │ Podling died: killed, never ran
                      └───────────────┘
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from podling.aio.broadcast import Broadcast, Overrun, Subscription
from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.linux import cgroup, files, inotify, mounts, processes
from podling.linux.local import connect_inside
from podling.runtime.oci import bundles, conmon, records, recovery, sandboxes, seccomp, sessions, spec, users
from podling.runtime.oci.images.pull import Puller
from podling.runtime.oci.images.store import OciImages
from podling.runtime.oci.layout import RUN, Layout, instance_id
from podling.runtime.oci.live import Live, make_live
from podling.runtime.oci.lowlevel import LowLevel
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
    from collections.abc import AsyncIterator, Coroutine, Sequence

    from podling.aio.clock import Clock

log = logging.getLogger("podling.runtime.oci")

# How long a killed process may take to be gone before the verb says so: the kernel may be writing out its memory.
_DEATH = 60.0
_QUICK_DEATH = 0.5


class OciRuntime:
    """Containers of one instance on this machine."""

    def __init__(
        self,
        data: Path,
        *,
        instance: str = "",
        clock: Clock | None = None,
        chance: Chance | None = None,
        run_root: Path = RUN,
        puller: Puller | None = None,
        low_level: str = "",
    ) -> None:
        self._layout = Layout(data.resolve(), instance or instance_id(data), run_root)
        self._clock: Clock = clock or SystemClock()
        self._chance = chance or Chance()
        self._images = OciImages(self._layout.images, self._chance, puller=puller or Puller(self._clock))
        self._images.in_use = self._layers_in_use
        self._forced = low_level
        self._hierarchies = cgroup.detect()
        self._low_level = LowLevel(self._layout, self._clock, self._hierarchies)
        self._conmon: conmon.Conmon | None = None
        self._boot = processes.boot_id()
        self._sandboxes: dict[str, records.SandboxRecord] = {}
        self._containers: dict[str, Live] = {}
        self._events: Broadcast[RuntimeEvent] = Broadcast(4096)
        self._exits: inotify.DirectoryWatch | None = None
        self._tasks: set[asyncio.Task[None]] = set()

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
        self._exits = inotify.DirectoryWatch(str(layout.exits), self._exit_noticed)
        found = await asyncio.to_thread(recovery.recover, layout, self._hierarchies, self._boot, self._clock)
        self._sandboxes = found.sandboxes
        self._containers = found.containers
        for live in list(self._containers.values()):
            if live.running:
                self._watch(live)
            elif live.record.finished is not None:
                self._background(live.reap(layout, self._clock), f"reap {live.record.id[:12]}")
        for live in list(self._containers.values()):
            self._look(live)

    async def close(self) -> None:
        try:
            if self._exits is not None:
                self._exits.close()
                self._exits = None
            await self._images.close()
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            for live in self._containers.values():
                live.forget()
        finally:
            self._low_level.close()

    def events(self) -> AsyncIterator[RuntimeEvent]:
        return _until_overrun(self._events.subscribe())

    def _publish(self, sandbox: str, uid: str, container: str | None = None) -> None:
        self._events.publish(RuntimeEvent(SandboxId(sandbox), uid, ContainerId(container) if container else None))

    def _background(self, work: Coroutine[object, object, None], name: str) -> None:
        task = asyncio.create_task(work, name=f"oci/{name}")
        self._tasks.add(task)

        def done(task: asyncio.Task[None]) -> None:
            self._tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("%s failed: %s", name, error, exc_info=error)

        task.add_done_callback(done)

    def _layers_in_use(self) -> set[str]:
        return {layer for live in self._containers.values() for layer in live.record.layers}

    # -- sandboxes -------------------------------------------------------------------------------------------------

    def _sandbox(self, sandbox: str) -> records.SandboxRecord:
        record = self._sandboxes.get(sandbox)
        if record is None:
            raise RuntimeFailure("NotFound", f'sandbox "{sandbox}" not found')
        return record

    def _view(self, record: records.SandboxRecord) -> Sandbox:
        config = record.config
        pin = self._layout.pin(config.uid, config.attempt) / "net"
        return record.view("" if config.host_network else str(pin))

    async def run_sandbox(self, config: SandboxConfig) -> Sandbox:
        for known in self._sandboxes.values():
            if (known.config.uid, known.config.attempt) == (config.uid, config.attempt):
                if known.stopped is not None:
                    raise RuntimeFailure(
                        "FailedCreatePodSandBox", f"attempt {config.attempt} of pod {config.uid} has ended before"
                    )
                return self._view(known)
        if not _is_name(config.uid):
            raise RuntimeFailure("FailedCreatePodSandBox", f"pod uid {config.uid!r} is no name for a directory")
        record = records.SandboxRecord(self._chance.hex(64), config, self._clock.time(), self._boot)
        path = self._layout.sandbox(config.uid, config.attempt)

        def make() -> tuple[int, int] | None:
            path.parent.mkdir(parents=True, exist_ok=True)
            records.save(path, record)
            try:
                return sandboxes.create(config, self._layout, self._hierarchies)
            except BaseException:
                path.unlink()
                raise

        record.holder = await asyncio.to_thread(make)
        if record.holder is not None:
            records.save(path, record)
        self._sandboxes[record.id] = record
        self._publish(record.id, config.uid)
        return self._view(record)

    async def stop_sandbox(self, sandbox: SandboxId) -> None:
        record = self._sandboxes.get(sandbox)
        if record is None:
            return
        mine = [live for live in self._containers.values() if live.record.sandbox == sandbox]
        await asyncio.gather(*(self._stop(live, 0.0) for live in mine))
        for live in mine:
            if live.record.finished is not None:
                await live.reaped.wait()
        if record.stopped is not None:
            return
        config = record.config

        def destroy() -> None:
            sandboxes.destroy(
                self._layout.pin(config.uid, config.attempt),
                sandboxes.group(self._hierarchies, self._layout, config),
                record.holder,
            )

        await asyncio.to_thread(destroy)
        record.stopped = self._clock.time()
        records.save(self._layout.sandbox(config.uid, config.attempt), record)
        self._publish(record.id, config.uid)

    async def remove_sandbox(self, sandbox: SandboxId) -> None:
        record = self._sandboxes.get(sandbox)
        if record is None:
            return
        await self.stop_sandbox(sandbox)
        for live in [live for live in self._containers.values() if live.record.sandbox == sandbox]:
            await self.remove_container(ContainerId(live.record.id))
        config = record.config
        pod = sandboxes.group(self._hierarchies, self._layout, config)
        await pod.remove_soon(self._clock)

        def remove() -> None:
            path = self._layout.sandbox(config.uid, config.attempt)
            path.unlink(missing_ok=True)
            for directory in (path.parent / "bundles", path.parent):
                with contextlib.suppress(OSError):
                    directory.rmdir()

        await asyncio.to_thread(remove)
        self._sandboxes.pop(sandbox, None)
        self._publish(record.id, config.uid)

    async def list_sandboxes(self) -> Sequence[Sandbox]:
        return [self._view(record) for record in self._sandboxes.values()]

    async def update_sandbox_resources(self, sandbox: SandboxId, resources: Resources) -> None:
        record = self._sandbox(sandbox)
        pod = sandboxes.group(self._hierarchies, self._layout, record.config)
        _limit(pod, resources)
        record.config = replace(record.config, resources=resources)
        records.save(self._layout.sandbox(record.config.uid, record.config.attempt), record)

    # -- containers ------------------------------------------------------------------------------------------------

    def _live(self, container: str) -> Live:
        live = self._containers.get(container)
        if live is None:
            raise RuntimeFailure("NotFound", f'container "{container}" not found')
        return live

    async def create_container(self, sandbox: SandboxId, config: ContainerConfig) -> ContainerId:
        pod = self._sandbox(sandbox)
        if pod.stopped is not None:
            raise RuntimeFailure("CreateContainerError", f'sandbox "{sandbox}" is not ready')
        if not _is_name(config.name):
            raise RuntimeFailure("CreateContainerError", f"{config.name!r} is no container name")
        bundle = self._layout.container(pod.config.uid, config.name, config.attempt)
        for known in self._containers.values():
            if known.bundle == bundle:
                return ContainerId(known.record.id)
        image = await self._images.status(config.image)
        if image is None:
            raise RuntimeFailure("CreateContainerError", f'image "{config.image}" not found')
        record = records.ContainerRecord(self._chance.hex(64), sandbox, config, self._clock.time(), self._boot)
        layers = self._images.layers(image.id)
        record.layers = [Path(layer).name for layer in layers]
        record.stop_signal = config.stop_signal or image.stop_signal
        if config.log_path:
            log_path = pod.config.log_directory / config.log_path
            record.log_path = str(log_path)
        live = make_live(self._layout, self._hierarchies, record, bundle, pod)
        # Known before it is on disk, so that a second wish for it meanwhile finds it.
        self._containers[record.id] = live
        try:
            async with live.lock:
                around = self._around(pod, live)
                if record.log_path:
                    Path(record.log_path).parent.mkdir(parents=True, exist_ok=True)
                await asyncio.to_thread(
                    bundles.prepare, bundle, record, pod.config, image, layers, self._images.layers, around
                )
        except BaseException as error:
            self._containers.pop(record.id, None)
            if isinstance(error, spec.NoCommand | users.UserNotFound | OSError):
                raise RuntimeFailure(
                    "CreateContainerError", f"failed to generate container {record.id!r} spec: {error}"
                ) from error
            raise
        self._publish(sandbox, pod.config.uid, record.id)
        return ContainerId(record.id)

    def _around(self, pod: records.SandboxRecord, live: Live) -> dict[str, object]:
        config = pod.config
        pin = self._layout.pin(config.uid, config.attempt)
        shared = {"network": "net", "ipc": "ipc", "uts": "uts"}
        joined = {
            kind: str(pin / name)
            for kind, name in shared.items()
            if not (config.host_ipc if kind == "ipc" else config.host_network)
        }
        joined["mount"] = ""
        target = live.record.config.target_container
        if target is not None:
            other = self._live(target)
            if not other.running:
                raise RuntimeFailure("CreateContainerError", f'target container "{target}" is not running')
            joined["pid"] = f"/proc/{other.record.pid}/ns/pid"
        elif config.share_process_namespace:
            joined["pid"] = str(pin / "pid")
        elif not config.host_pid:
            joined["pid"] = ""
        if self._hierarchies.unified and not live.record.config.security.privileged:
            joined["cgroup"] = ""
        return {
            "cgroup": live.group.path,
            "namespaces": joined,
            "shm": "/dev/shm" if config.host_ipc else str(pin / "shm"),
            "hostname_file": str(pin / "hostname"),
            "unified_cgroups": self._hierarchies.unified,
            "seccomp": seccomp.profile(live.record.config.security),
        }

    async def start_container(self, container: ContainerId) -> None:
        live = self._live(container)
        if self._conmon is None:
            raise RuntimeFailure("Unavailable", "the runtime is not started")
        # A caller that gives up must not leave a container half-made, nor be told that it is.
        await asyncio.shield(asyncio.ensure_future(self._start_once(live, self._conmon)))

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
            pid = await holder.create(record, live.bundle)
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
                f"{self._low_level.choice.name} create failed: {sessions.explain(str(error), name)}"
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

    def _exit_noticed(self, name: str) -> None:
        if not name:
            for live in list(self._containers.values()):
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

    async def stop_container(self, container: ContainerId, grace: float) -> None:
        live = self._containers.get(container)
        if live is not None:
            await self._stop(live, grace)

    async def _stop(self, live: Live, grace: float) -> None:
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

    async def remove_container(self, container: ContainerId) -> None:
        live = self._containers.get(container)
        if live is None:
            return
        await self._stop(live, 0.0)
        if live.record.finished is not None:
            await live.reaped.wait()
        async with live.lock:
            await asyncio.to_thread(bundles.discard, live.bundle)
            self._containers.pop(container, None)
        self._publish(live.record.sandbox, live.uid, container)

    async def list_containers(self, sandbox: SandboxId | None = None) -> Sequence[Container]:
        return [
            live.record.view()
            for live in self._containers.values()
            if sandbox is None or live.record.sandbox == sandbox
        ]

    async def container(self, container: ContainerId) -> Container | None:
        live = self._containers.get(container)
        return live.record.view() if live is not None else None

    async def update_resources(self, container: ContainerId, resources: Resources) -> None:
        live = self._live(container)
        if not live.running:
            raise RuntimeFailure("Unavailable", f'container "{container}" is not running')
        _limit(live.group, resources)
        live.record.config = replace(live.record.config, resources=resources)
        live.save()

    async def reopen_log(self, container: ContainerId) -> None:
        live = self._live(container)
        try:
            conmon.reopen_log(live.bundle)
        except ProcessLookupError as error:
            raise RuntimeFailure("Unavailable", f'container "{container}" is not running') from error

    async def stats(self, *, disk: bool = True) -> Sequence[ContainerStats]:
        running = [live for live in self._containers.values() if live.running]

        def measure() -> list[ContainerStats]:
            found = []
            for live in running:
                usage = live.group.usage()
                size, inodes = files.usage_of(live.bundle / "upper") if disk else (0, 0)
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

    def _exec(self, container: str) -> sessions.Exec:
        live = self._live(container)
        if not live.running:
            raise RuntimeFailure("Unavailable", f"container {container} is not running")
        scratch = self._layout.run / f"exec-{self._chance.hex(16)}"
        return sessions.Exec(self._low_level, self._clock, live.record.id, live.bundle, live.group, scratch)

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
        live = self._live(container)
        if not live.running:
            raise RuntimeFailure("Unavailable", f"container {container} is not running")
        return await sessions.attach(live.bundle, live.ended)

    async def port_forward(self, sandbox: SandboxId, port: int) -> ByteStream:
        record = self._sandbox(sandbox)
        view = self._view(record)
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


def stop_signal(text: str) -> int:
    """Return a stop signal's number: `SIGTERM`, `TERM` or `15`; SIGTERM where nothing or nonsense is said."""
    text = text.strip().upper()
    if text.isdigit():
        return int(text) if 0 < int(text) < 65 else signal.SIGTERM
    if text.startswith(("SIGRTMIN+", "RTMIN+")):
        return signal.SIGRTMIN + int(text.partition("+")[2] or 0)
    name = text if text.startswith("SIG") else f"SIG{text}"
    return signal.Signals[name] if name in signal.Signals.__members__ else signal.SIGTERM


def _limit(group: cgroup.Cgroup, resources: Resources) -> None:
    try:
        missing = group.limit(sandboxes.limits(resources))
    except OSError as error:
        raise RuntimeFailure("Unavailable", f"cannot set limits of {group.path}: {error.strerror}") from error
    if missing:
        log.warning("this machine has no %s controller: limits of %s are not enforced", missing, group.path)


def _is_name(text: str) -> bool:
    return bool(text) and text not in {".", ".."} and "/" not in text and "\0" not in text and len(text) < 254


def _program(bundle: Path) -> str:
    arguments = json.loads((bundle / "config.json").read_bytes())["process"]["args"]
    return str(arguments[0])
