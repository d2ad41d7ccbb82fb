"""A node's care for itself, composed: stats, eviction, garbage collection, the cgroups of all Pods.

Owns the wiring of these and when they begin; none of their rules. Without stats or cgroups of its own a node is
simulated: the scripts of its containers say what they use, and nothing is enforced.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.pods import is_terminal
from podling.kubelet.eviction import Evictor
from podling.kubelet.garbage import GarbageCollector
from podling.kubelet.stats import SimulatedStats

if TYPE_CHECKING:
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.types.core_v1 import Pod
    from podling.client.events import EventRecorder
    from podling.kubelet.body import Body
    from podling.kubelet.config import PodConfig
    from podling.kubelet.node import NodeAgent
    from podling.kubelet.settings import Settings
    from podling.kubelet.stats import Stats
    from podling.kubelet.volumes import Volumes
    from podling.kubelet.workers import PodWorkers

_WEIGH_PERIOD: Final = 60.0
_WEIGH_AFTER: Final = 0.1


class Housekeeping:
    """Keeps one node fit to run Pods."""

    def __init__(
        self,
        body: Body,
        workers: PodWorkers,
        config: PodConfig,
        volumes: Volumes,
        node: NodeAgent,
        recorder: EventRecorder,
        clock: Clock,
        supervisor: Supervisor,
        settings: Settings,
    ) -> None:
        simulated = SimulatedStats(body.runtime, lambda: node.capacity, lambda: node.limits)
        self.stats: Stats = body.stats or simulated
        self._cgroups = body.cgroups
        self._workers = workers
        self._node = node
        self._volumes = volumes
        self._clock = clock
        self._supervisor = supervisor
        self._weighing = False
        self._garbage = GarbageCollector(
            body.runtime, self.stats, workers, config, volumes, node, clock, settings.garbage, _logs(settings)
        )
        self._evictor = Evictor(
            self.stats, workers, node, recorder, clock, settings.eviction, self._garbage.reclaim, self._clean_up
        )
        node.pressures = lambda: self.conditions

    @property
    def conditions(self) -> tuple[str, ...]:
        """The pressures that the node is under."""
        return self._evictor.conditions

    def prepare(self) -> None:
        """Set what all Pods together may take, before there are any."""
        if self._cgroups is None:
            return
        problem = self._cgroups.enforce(self._node.limits)
        if problem:
            self._node.warn("FailedNodeAllocatableEnforcement", problem)
        else:
            self._node.tell("NodeAllocatableEnforced", "Updated Node Allocatable limit across pods")

    def start(self) -> None:
        """Begin to care, once the Pods of the node are known."""
        name = self._node.name
        self._supervisor.component(f"eviction {name}", self._evictor.run)
        self._supervisor.component(f"container garbage {name}", self._garbage.keep_containers)
        self._supervisor.component(f"image garbage {name}", self._garbage.keep_images)
        if self._cgroups is not None:
            self._supervisor.component(f"cgroups {name}", self._keep_weights)

    def weigh_soon(self) -> None:
        """Hear that a Pod has come: those that come together are weighed together."""
        if self._cgroups is not None and not self._weighing:
            self._weighing = True
            self._clock.call_later(_WEIGH_AFTER, self._weigh)

    def _weigh(self) -> None:
        self._weighing = False
        if self._cgroups is not None:
            self._cgroups.weigh(worker.pod for worker in self._workers if not is_terminal(worker.view.pod))

    async def _keep_weights(self) -> None:
        while True:
            self._weigh()
            await self._clock.sleep(_WEIGH_PERIOD)

    async def _clean_up(self, pod: Pod) -> None:
        await self._volumes.empty(pod.metadata.uid)


def _logs(settings: Settings) -> Path | None:
    if settings.logs is not None:
        return settings.logs
    return settings.root.parent / "logs" / "pods" if settings.root is not None else None
