"""What a Pod's containers share: pinned namespaces, /dev/shm, a control group and, where asked for, a PID namespace.

Owns the making and taking away of these (in threads), and in `Sandboxes` their records. Knows no container: whoever
stops or removes a sandbox has ended its containers. Invariant: a sandbox is whole or not there.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from podling.linux import cgroup, mounts, namespaces, processes, syscalls
from podling.linux.spawn import start_first_process, start_first_process_of
from podling.runtime.oci import records
from podling.runtime.oci.layout import is_name
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.runtime.oci.layout import Layout
    from podling.runtime.protocol import ContainerConfig, Resources, Sandbox, SandboxConfig

log = logging.getLogger("podling.runtime.oci")

_SHM = 64 << 20
_HOLDERS = "holder"
# A first process that reaps: a shell's `wait` takes in whatever it inherits, and two sleeping programs of 200 KB do.
_HOLDER = "trap 'exit 0' TERM; sleep infinity & while :; do wait; done"


def limits(resources: Resources) -> cgroup.Limits:
    """Return the runtime's resources as a control group's limits."""
    return cgroup.Limits(
        cpu_shares=resources.cpu_shares,
        cpu_quota=resources.cpu_quota,
        cpu_period=resources.cpu_period,
        memory_limit=resources.memory_limit,
        pids_limit=resources.pids_limit,
        cpuset_cpus=resources.cpuset_cpus,
    )


def set_limits(group: cgroup.Cgroup, resources: Resources) -> None:
    """Limit a Pod's or a container's group; says in the log what this machine cannot enforce."""
    try:
        missing = group.limit(limits(resources))
    except OSError as error:
        raise RuntimeFailure("Unavailable", f"cannot set limits of {group.path}: {error.strerror}") from error
    if missing:
        log.warning("this machine has no %s controller: limits of %s are not enforced", missing, group.path)


def group(hierarchies: cgroup.Hierarchies, layout: Layout, config: SandboxConfig) -> cgroup.Cgroup:
    """Return the Pod's control group."""
    path = config.cgroup_parent.strip("/") or f"pod{config.uid}"
    own = layout.cgroup.strip("/")
    return hierarchies.group(path if path == own or path.startswith(f"{own}/") else f"{own}/{path}")


def create(config: SandboxConfig, layout: Layout, hierarchies: cgroup.Hierarchies) -> tuple[int, int] | None:
    """Make a sandbox; return the PID namespace's holder (pid, start time) where there is one."""
    pin = layout.pin(config.uid, config.attempt)
    pod = group(hierarchies, layout, config)
    holder: tuple[int, int] | None = None
    try:
        kinds = tuple(
            kind
            for kind, wanted in (
                ("net", not config.host_network),
                ("ipc", not config.host_ipc),
                ("uts", not config.host_network),
            )
            if wanted
        )
        hostname = config.hostname[:64]
        ids = [(mapping.container, mapping.host, mapping.length) for mapping in config.user_mappings]
        namespaces.create(pin, kinds, hostname=hostname, sysctls=config.sysctls, ids=ids)
        # Its root, who is nobody on the node, must find what is in there; no other user of the node may.
        os.chown(pin, -1, root_of(config))
        pin.chmod(0o710)
        if ids:
            mounts.check_mappable(str(layout.images), str(pin / "user"))
        (pin / "hostname").write_text(f"{hostname}\n", encoding="utf-8")
        (pin / "hostname").chmod(0o644)
        if not config.host_ipc:
            (pin / "shm").mkdir()
            mounts.tmpfs(
                str(pin / "shm"),
                size=_SHM,
                flags=syscalls.MS_NOSUID | syscalls.MS_NODEV | syscalls.MS_NOEXEC,
            )
        for name in ("hostname", "shm") if config.user_mappings else ():
            if (pin / name).exists():
                os.chown(pin / name, root_of(config), root_of(config))
        pod.create()
        pod.limit(limits(config.resources))
        if config.share_process_namespace:
            holder = _hold_processes(pin, pod, str(pin / "user") if config.user_mappings else "")
    except (OSError, ValueError) as error:
        destroy(pin, pod, holder)
        raise RuntimeFailure(
            "FailedCreatePodSandBox", f'failed to create pod sandbox "{config.namespace}/{config.name}": {error}'
        ) from error
    return holder


def _hold_processes(pin: Path, pod: cgroup.Cgroup, users: str) -> tuple[int, int]:
    command, group = ["/bin/sh", "-c", _HOLDER], pod.child(_HOLDERS)
    group.create()

    def start() -> int:
        # It begins in there where version 1 can do that, and is found there if we are killed before its pid is kept.
        group.add_own_thread()
        return start_first_process_of(users, command) if users else start_first_process(command)

    pid = namespaces.in_thread(start)
    group.add(pid)
    (pin / "pid").touch()
    mounts.bind(f"/proc/{pid}/ns/pid", str(pin / "pid"))
    return pid, processes.start_time(pid) or 0


def root_of(config: SandboxConfig) -> int:
    """Return who the sandbox's root is out here."""
    return next((mapping.host for mapping in config.user_mappings if mapping.container == 0), 0)


def destroy(pin: Path, pod: cgroup.Cgroup, holder: tuple[int, int] | None) -> None:
    """Take a sandbox's parts away; nothing happens where nothing is."""
    if holder is not None:
        above = processes.parent(holder[0])
        with contextlib.suppress(ProcessLookupError):
            watched = processes.Watched(*holder)
            watched.send(signal.SIGKILL)
            watched.close()
        processes.reap(holder[0])
        if above is not None:
            processes.reap(above[0])  # what entered the user namespace for it, and waits for it
    held = pod.child(_HOLDERS)
    if held.exists():
        held.kill()  # also what an earlier life has started and not come to write down
    namespaces.release(pin)
    pod.remove()


class Sandboxes:
    """The sandboxes of an instance. `publish` is told the sandbox and the Pod of each change."""

    def __init__(
        self,
        layout: Layout,
        hierarchies: cgroup.Hierarchies,
        clock: Clock,
        chance: Chance,
        boot: str,
        publish: Callable[[str, str], None],
    ) -> None:
        self._layout = layout
        self._hierarchies = hierarchies
        self._clock = clock
        self._chance = chance
        self._boot = boot
        self._publish = publish
        self._records: dict[str, records.SandboxRecord] = {}

    def take_up(self, survivors: Mapping[str, records.SandboxRecord]) -> None:
        """Go on with what an earlier life of this process has left."""
        self._records = dict(survivors)

    def find(self, sandbox: str) -> records.SandboxRecord | None:
        return self._records.get(sandbox)

    def get(self, sandbox: str) -> records.SandboxRecord:
        """Return a sandbox's record; `RuntimeFailure` where there is none of this id."""
        record = self._records.get(sandbox)
        if record is None:
            raise RuntimeFailure("NotFound", f'sandbox "{sandbox}" not found')
        return record

    def view(self, record: records.SandboxRecord) -> Sandbox:
        config = record.config
        pin: Path | None = self._layout.pin(config.uid, config.attempt)
        if config.host_network:
            pin = self._layout.host
        return record.view(str(pin / "net") if pin is not None else "")

    def views(self, uid: str = "") -> Sequence[Sandbox]:
        """Return all sandboxes, or those of one Pod."""
        return [self.view(record) for record in self._records.values() if uid in ("", record.config.uid)]

    async def run(self, config: SandboxConfig) -> Sandbox:
        """Make a sandbox, or return the one that the Pod has for this attempt."""
        for known in self._records.values():
            if (known.config.uid, known.config.attempt) == (config.uid, config.attempt):
                if known.stopped is not None:
                    raise RuntimeFailure(
                        "FailedCreatePodSandBox", f"attempt {config.attempt} of pod {config.uid} has ended before"
                    )
                return self.view(known)
        if not is_name(config.uid):
            raise RuntimeFailure("FailedCreatePodSandBox", f"pod uid {config.uid!r} is no name for a directory")
        record = records.SandboxRecord(self._chance.hex(64), config, self._clock.time(), self._boot)
        path = self._layout.sandbox(config.uid, config.attempt)

        def make() -> tuple[int, int] | None:
            path.parent.mkdir(parents=True, exist_ok=True)
            records.save(path, record)
            try:
                return create(config, self._layout, self._hierarchies)
            except BaseException:
                path.unlink()
                raise

        record.holder = await asyncio.to_thread(make)
        if record.holder is not None:
            records.save(path, record)
        self._records[record.id] = record
        self._publish(record.id, config.uid)
        return self.view(record)

    async def stop(self, record: records.SandboxRecord) -> None:
        """Take away what the containers shared; the record stays."""
        if record.stopped is not None:
            return
        config = record.config
        pin = self._layout.pin(config.uid, config.attempt)
        await asyncio.to_thread(destroy, pin, self._group(record), record.holder)
        record.stopped = self._clock.time()
        records.save(self._layout.sandbox(config.uid, config.attempt), record)
        self._publish(record.id, config.uid)

    async def remove(self, record: records.SandboxRecord) -> None:
        """Forget a sandbox that was stopped."""
        config = record.config
        await self._group(record).remove_soon(self._clock)

        def remove() -> None:
            path = self._layout.sandbox(config.uid, config.attempt)
            path.unlink(missing_ok=True)
            for directory in (path.parent / "bundles", path.parent):
                with contextlib.suppress(OSError):
                    directory.rmdir()

        await asyncio.to_thread(remove)
        self._records.pop(record.id, None)
        self._publish(record.id, config.uid)

    def update(self, record: records.SandboxRecord, resources: Resources) -> None:
        """Limit the Pod anew."""
        set_limits(self._group(record), resources)
        record.config = replace(record.config, resources=resources)
        records.save(self._layout.sandbox(record.config.uid, record.config.attempt), record)

    def shared_with(
        self, record: records.SandboxRecord, config: ContainerConfig, own: cgroup.Cgroup, target: int | None
    ) -> dict[str, Any]:
        """Return the parts of `spec.Surroundings` that a container has of its sandbox.

        `own` is its control group; `target` the process whose PID namespace it is to see.
        """
        pod = record.config
        pin = self._layout.pin(pod.uid, pod.attempt)
        shared = {"network": "net", "ipc": "ipc", "uts": "uts"}
        joined = {
            kind: str(pin / name)
            for kind, name in shared.items()
            if not (pod.host_ipc if kind == "ipc" else pod.host_network)
        }
        if pod.host_network and self._layout.host is not None:
            joined |= {"network": str(self._layout.host / "net"), "uts": str(self._layout.host / "uts")}
        joined["mount"] = ""
        if pod.user_mappings:
            joined["user"] = str(pin / "user")
        if target is not None:
            joined["pid"] = f"/proc/{target}/ns/pid"
        elif pod.share_process_namespace:
            joined["pid"] = str(pin / "pid")
        elif not pod.host_pid:
            joined["pid"] = ""
        if self._hierarchies.unified and not config.security.privileged:
            joined["cgroup"] = ""
        return {
            "cgroup": own.path,
            "namespaces": joined,
            "shm": "/dev/shm" if pod.host_ipc else str(pin / "shm"),
            "hostname_file": str(pin / "hostname"),
            "oom_group": self._hierarchies.unified,
            "ids": pod.user_mappings,
        }

    def _group(self, record: records.SandboxRecord) -> cgroup.Cgroup:
        return group(self._hierarchies, self._layout, record.config)
