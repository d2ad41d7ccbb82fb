"""What a node and its Pods use, asked when it is needed.

Owns the Protocol by which eviction, garbage collection and `/stats/summary` ask, and its simulated form. Nothing here
polls: every number is read when somebody wants it, and a Pod's files are walked only for those who ask for disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, runtime_checkable

from msgspec import Struct

from podling.api.quantity import parse
from podling.lifecycle.eviction import Observation, Signal
from podling.lifecycle.eviction_ranking import ContainerUsage, PodUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.api.types.core_v1 import Pod
    from podling.runtime.protocol import ContainerStats, Runtime

_SIMULATED_PIDS = 32_768


class FileSystem(Struct, frozen=True):
    """A file system's space, in bytes and inodes."""

    capacity: int
    available: int
    inodes: int = 0
    inodes_free: int = 0


class Stats(Protocol):
    """The use of one node."""

    async def node(self) -> Mapping[Signal, Observation]:
        """Return every signal that can be seen here; cheap enough for every ten seconds."""
        ...

    async def cpu_nanoseconds(self) -> int:
        """Return the CPU time that the node has used so far."""
        ...

    async def images(self) -> FileSystem:
        """Return the file system that images lie on."""
        ...

    async def pods(self, pods: Sequence[Pod], *, disk: bool = True) -> Mapping[str, PodUsage]:
        """Return the use of Pods that run, by uid; without `disk` no file is touched."""
        ...


@runtime_checkable
class Summing(Protocol):
    """A runtime that can tell at once what all its containers use together."""

    def totals(self) -> tuple[int, int, int]:
        """Return bytes of memory, bytes of disk, processes."""
        ...


class SimulatedStats:
    """The use of a simulated node: what the scripts of its containers say, against a capacity that was given."""

    def __init__(
        self, runtime: Runtime, capacity: Callable[[], Mapping[str, str]], limits: Callable[[], Mapping[str, str]]
    ) -> None:
        """`limits` is what all Pods together may take: capacity less what is reserved."""
        self._runtime = runtime
        self._sum = runtime.totals if isinstance(runtime, Summing) else None
        self._capacity = capacity
        self._limits = limits

    async def node(self) -> Mapping[Signal, Observation]:
        capacity, limits = self._capacity(), self._limits()
        memory, disk, pids = await self._totals()
        seen = {Signal.PIDS: Observation(_SIMULATED_PIDS - pids, _SIMULATED_PIDS)}
        if "memory" in capacity:
            seen[Signal.MEMORY] = _left(capacity["memory"], memory)
            seen[Signal.ALLOCATABLE_MEMORY] = _left(limits["memory"], memory)
        if "ephemeral-storage" in capacity:
            seen[Signal.NODEFS] = seen[Signal.IMAGEFS] = _left(capacity["ephemeral-storage"], await self._disk(disk))
        return seen

    async def cpu_nanoseconds(self) -> int:
        return sum(each.cpu_nanoseconds for each in await self._runtime.stats(disk=False))

    async def images(self) -> FileSystem:
        capacity = parse(self._capacity().get("ephemeral-storage", "0")).value()
        _, disk, _ = await self._totals()
        return FileSystem(capacity, capacity - await self._disk(disk))

    async def pods(self, pods: Sequence[Pod], *, disk: bool = True) -> Mapping[str, PodUsage]:
        by_pod = await running_stats(self._runtime, disk=disk)
        return {pod.metadata.uid: _usage(by_pod[pod.metadata.uid]) for pod in pods if pod.metadata.uid in by_pod}

    async def _totals(self) -> tuple[int, int, int]:
        if self._sum is not None:
            return self._sum()
        stats = await self._runtime.stats()
        return (
            sum(each.memory_working_set for each in stats),
            sum(each.writable_layer + sum(each.volumes.values()) for each in stats),
            sum(each.pids for each in stats),
        )

    async def _disk(self, containers: int) -> int:
        images, _ = await self._runtime.images.usage()
        return images + containers


async def running_stats(runtime: Runtime, *, disk: bool) -> dict[str, list[tuple[str, ContainerStats]]]:
    """Return (name, use) of every running container by its Pod's uid, in the order of their creation."""
    uids = {sandbox.id: sandbox.uid for sandbox in await runtime.list_sandboxes()}
    stats = {each.container: each for each in await runtime.stats(disk=disk)}
    found: dict[str, list[tuple[str, ContainerStats]]] = {}
    for container in await runtime.list_containers():
        if container.id in stats and container.sandbox in uids:
            found.setdefault(uids[container.sandbox], []).append((container.name, stats[container.id]))
    return found


def _left(capacity: str, used: int) -> Observation:
    whole = parse(capacity).value()
    return Observation(whole - used, whole)


def _usage(stats: Sequence[tuple[str, ContainerStats]]) -> PodUsage:
    volumes: dict[str, int] = {}
    for _, each in stats:
        for name, size in each.volumes.items():
            volumes[name] = volumes.get(name, 0) + size
    return PodUsage(
        memory=sum(each.memory_working_set for _, each in stats),
        disk=sum(each.writable_layer for _, each in stats) + sum(volumes.values()),
        inodes=sum(each.writable_inodes for _, each in stats),
        pids=sum(each.pids for _, each in stats),
        containers=tuple(ContainerUsage(name, each.memory_working_set, each.writable_layer) for name, each in stats),
        volumes=volumes,
    )
