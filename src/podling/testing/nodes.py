"""A simulated node in a test's hand: it can lose its kubelet, lose its power, and come back.

Owns the lives of one node's kubelet and runtime. Invariants: a kubelet that is gone leaves no task; containers outlive
their kubelet and die with the power; what the runtime knows outlives both, as a disk would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.aio.supervisor import Supervisor
from podling.cluster.nodes import make_simulated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.cluster.control_plane import ControlPlane
    from podling.kubelet.kubelet import Kubelet
    from podling.kubelet.settings import Settings
    from podling.runtime.sim import ImageScript, SimRuntime


class SimulatedNode:
    """One node. Its scripts, images and faults are `runtime`'s."""

    def __init__(
        self,
        number: int,
        plane: ControlPlane,
        clock: Clock,
        chance: Chance,
        images: Mapping[str, ImageScript],
        settings: Settings,
        families: Sequence[str],
    ) -> None:
        self.name = f"node-{number}"
        self._number = number
        self._plane = plane
        self._clock = clock
        self._chance = chance
        self._images = images
        self._settings = settings
        self._families = families
        self._supervisor: Supervisor | None = None
        self._kubelet: Kubelet | None = None
        self._runtime: SimRuntime | None = None
        self.failures = 0
        """How many failures the supervisors of kubelets that have ended had noted."""

    @property
    def runtime(self) -> SimRuntime:
        """What runs the containers: `faults` by verb, `images`, `snapshot()`."""
        assert self._runtime is not None, f"{self.name} was never started"
        return self._runtime

    @property
    def kubelet(self) -> Kubelet:
        """The kubelet that runs now."""
        assert self._kubelet is not None, f"no kubelet runs on {self.name}"
        return self._kubelet

    @property
    def supervisor(self) -> Supervisor | None:
        """Under which the kubelet's tasks run; none while it is gone."""
        return self._supervisor

    @property
    def running(self) -> bool:
        return self._supervisor is not None

    async def start(self) -> None:
        """Start the kubelet. It registers in its own time: the API server may be away."""
        assert not self.running, f"{self.name} runs already"
        self._supervisor = await Supervisor(self._clock, self.name).__aenter__()
        self._kubelet, self._runtime = make_simulated(
            self._number,
            self._plane,
            self._clock,
            self._chance,
            self._supervisor,
            name=self.name,
            settings=self._settings,
            images=self._images,
            runtime=self._runtime,
            families=self._families,
        )
        self._supervisor.job(f"start {self.name}", self._kubelet.start())

    async def stop_kubelet(self) -> None:
        """Let the kubelet be gone, as `kill -9` would; containers run on."""
        supervisor, self._supervisor = self._supervisor, None
        self._kubelet = None
        self._plane.folders.leave(self.name)
        if supervisor is not None:
            await supervisor.__aexit__(None, None, None)
            self.failures += supervisor.failures

    async def kill(self) -> None:
        """Cut the power: kubelet, containers and sandboxes are gone at this instant."""
        await self.stop_kubelet()
        self.runtime.reboot()

    async def close(self) -> None:
        await self.stop_kubelet()
        if self._runtime is not None:
            await self._runtime.close()
