"""What a real node uses: the kernel's counters, the file systems, and Pods' files where they are asked for.

Owns where each number is read. Knows nobody who asks. A node that was given a part of the machine counts what its own
Pods use of memory and processors; else the machine's use counts, as upstream reckons it: memory that is not free, less
the part of the file cache that is inactive.
"""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING, Final

from podling.kubelet.containers import log_folder
from podling.kubelet.stats import FileSystem, running_stats
from podling.lifecycle.eviction import Observation, Signal
from podling.lifecycle.eviction_ranking import ContainerUsage, PodUsage
from podling.linux.files import read_text
from podling.linux.trees import usage_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from podling.api.types.core_v1 import Pod
    from podling.kubelet.resources import NodeCgroups
    from podling.kubelet.settings import Settings
    from podling.runtime.protocol import ContainerStats, Runtime

_EMPTY_DIRS: Final = "kubernetes.io~empty-dir"


class MachineStats:
    """The use of this machine by one node."""

    def __init__(
        self, runtime: Runtime, settings: Settings, images: Path, cgroups: NodeCgroups, memory: int, *, shared: bool
    ) -> None:
        """`memory` is the node's, in bytes; `shared` says that the machine has more and the node a part of it."""
        assert settings.root is not None
        self._runtime = runtime
        self._settings = settings
        self._root = settings.root
        self._images = images
        self._cgroups = cgroups
        self._memory = memory
        self._shared = shared

    async def node(self) -> Mapping[Signal, Observation]:
        seen: dict[Signal, Observation] = {}
        pods = self._cgroups.working_set()
        used = pods if self._shared else machine_working_set()
        seen[Signal.MEMORY] = Observation(self._memory - used, self._memory)
        limit = self._cgroups.memory_limit or self._memory
        seen[Signal.ALLOCATABLE_MEMORY] = Observation(limit - pods, limit)
        for path, space, inodes in (
            (self._root, Signal.NODEFS, Signal.NODEFS_INODES),
            (self._images, Signal.IMAGEFS, Signal.IMAGEFS_INODES),
        ):
            system = file_system(path)
            seen[space] = Observation(system.available, system.capacity)
            if system.inodes:
                seen[inodes] = Observation(system.inodes_free, system.inodes)
        most, running = processes()
        if most:
            seen[Signal.PIDS] = Observation(most - running, most)
        return seen

    async def cpu_nanoseconds(self) -> int:
        return self._cgroups.cpu_nanoseconds() if self._shared else machine_cpu_nanoseconds()

    async def images(self) -> FileSystem:
        return file_system(self._images)

    async def pods(self, pods: Sequence[Pod], *, disk: bool = True) -> Mapping[str, PodUsage]:
        # Every layer would be walked for the sake of a few Pods: only theirs are.
        by_pod = await running_stats(self._runtime, disk=False)
        wanted = [pod for pod in pods if pod.metadata.uid in by_pod]
        layers: dict[str, ContainerStats] = {}
        if disk and wanted:
            uids = frozenset(pod.metadata.uid for pod in wanted)
            ids = [s.id for s in await self._runtime.list_sandboxes() if s.uid in uids]
            layers = {each.container: each for each in await self._runtime.stats(sandboxes=ids)}

        def measure() -> dict[str, PodUsage]:
            return {p.metadata.uid: self._usage(p, by_pod[p.metadata.uid], layers, disk=disk) for p in wanted}

        return await asyncio.to_thread(measure)

    def _usage(
        self, pod: Pod, stats: Sequence[tuple[str, ContainerStats]], layers: Mapping[str, ContainerStats], *, disk: bool
    ) -> PodUsage:
        volumes: dict[str, int] = {}
        size = inodes = 0
        logs: dict[str, int] = {}
        if disk:
            size, inodes, volumes = volume_usage(self._root / pod.metadata.uid / "volumes")
            folder = log_folder(pod, self._settings)
            for name in dict.fromkeys(name for name, _ in stats):
                logs[name], more = usage_of(folder / name)
                size += logs[name]
                inodes += more
        containers = []
        for name, each in stats:
            layer = layers.get(each.container)
            size += layer.writable_layer if layer is not None else 0
            inodes += layer.writable_inodes if layer is not None else 0
            containers.append(
                ContainerUsage(
                    name, each.memory_working_set, layer.writable_layer if layer is not None else 0, logs.get(name, 0)
                )
            )
        return PodUsage(
            memory=self._cgroups.pod_working_set(pod),
            disk=size,
            inodes=inodes,
            pids=sum(each.pids for _, each in stats),
            containers=tuple(containers),
            volumes=volumes,
        )


def volume_usage(folder: Path) -> tuple[int, int, dict[str, int]]:
    """Return the bytes and inodes of a Pod's volumes on disk, and the bytes of each emptyDir, in memory or not."""
    size = inodes = 0
    empty_dirs: dict[str, int] = {}
    try:
        kinds = sorted(folder.iterdir())
    except FileNotFoundError:
        return 0, 0, {}
    for kind in kinds:
        for volume in sorted(kind.iterdir()):
            if _device(volume) != _device(folder):
                space = os.statvfs(volume)
                used = (space.f_blocks - space.f_bfree) * space.f_frsize
            else:
                used, more = usage_of(volume)
                size += used
                inodes += more
            if kind.name == _EMPTY_DIRS:
                empty_dirs[volume.name] = used
    return size, inodes, empty_dirs


def machine_working_set() -> int:
    """Return the bytes of memory that the machine could not give away at once."""
    fields = {}
    for line in (read_text("/proc/meminfo") or "").splitlines():
        name, _, value = line.partition(":")
        fields[name] = int(value.split()[0]) * 1024
    return max(fields.get("MemTotal", 0) - fields.get("MemFree", 0) - fields.get("Inactive(file)", 0), 0)


def machine_cpu_nanoseconds() -> int:
    """Return the CPU time that was neither idle nor waiting, since the boot."""
    ticks = [int(field) for field in (read_text("/proc/stat") or "cpu 0").splitlines()[0].split()[1:]]
    busy = sum(ticks[:3]) + sum(ticks[5:8])
    return busy * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def file_system(path: Path) -> FileSystem:
    """Return the space of the file system that a path lies on, as somebody without privileges may use it."""
    space = os.statvfs(path)
    return FileSystem(space.f_blocks * space.f_frsize, space.f_bavail * space.f_frsize, space.f_files, space.f_ffree)


def processes() -> tuple[int, int]:
    """Return how many processes and threads the machine can have, and has."""
    most = min(
        (int(text) for text in map(read_text, ("/proc/sys/kernel/pid_max", "/proc/sys/kernel/threads-max")) if text),
        default=0,
    )
    running = (read_text("/proc/loadavg") or "0 0 0 0/0").split()[3].partition("/")[2]
    return most, int(running)


def _device(path: Path) -> int:
    try:
        return path.lstat().st_dev
    except FileNotFoundError:
        return 0
