"""Nodes, composed: a kubelet with the runtime and network that its kind of node has.

Owns what all kinds of nodes have in common, and the simulated kind (sim runtime, no network to wire, a capacity that is
given); the real kind is `real_nodes.py`'s. Knows nothing of how the control plane is reached beyond the client it is
handed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from podling.cluster import simulated_addresses
from podling.cluster.control_plane import node_user
from podling.kubelet.body import Body
from podling.kubelet.kubelet import Kubelet
from podling.kubelet.machine import Machine
from podling.kubelet.settings import Settings
from podling.kubelet.volumes.local_path import DiskFolders, SimulatedFolders
from podling.lifecycle.traffic import UNBOUNDED

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.cluster.control_plane import ControlPlane
    from podling.kubelet.letting_go import LettingGo
    from podling.lifecycle.traffic import Traffic
    from podling.runtime.protocol import Runtime
    from podling.runtime.sim.runtime import SimRuntime
    from podling.runtime.sim.script import ImageScript

SIMULATED_CAPACITY = {"cpu": "4", "memory": "8Gi", "ephemeral-storage": "100Gi"}


@dataclass(frozen=True, slots=True)
class ComposedNode:
    """A node that is ready to start."""

    kubelet: Kubelet
    runtime: Runtime
    listeners: Sequence[socket.socket] = ()
    """Where its kubelet's server listens beside its unix socket: at each address of the node."""


class NoWiring:
    """The `PodNetwork` of nodes whose runtime gives Pods their addresses itself."""

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        raise NotImplementedError("this runtime addresses its sandboxes itself")

    async def detach(self, uid: str) -> None:
        """There is no link to take away."""

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return {}


def make_kubelet(
    name: str,
    plane: ControlPlane,
    body: Body,
    clock: Clock,
    supervisor: Supervisor,
    settings: Settings,
    letting_go: LettingGo | None = None,
) -> Kubelet:
    """Return the kubelet of node `name`, calling as that node."""
    presence = plane.presence(node_user(name), "kubelet", name, supervisor)
    if settings.root is not None:
        plane.folders.enter(name, DiskFolders(settings.root.parent / "volumes", clock))
    else:
        plane.folders.enter(name, SimulatedFolders())
    return Kubelet(name, presence, body, clock, supervisor, settings, letting_go)


def read_settings(path: Path | None, settings: Settings) -> Settings:
    """Return the settings as a KubeletConfiguration's file changes them; `ValueError` says what is wrong with it."""
    if path is None:
        return settings
    import yaml

    from podling.kubelet.configuration import configured

    try:
        return configured(settings, yaml.safe_load(path.read_text()) or {})
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is no YAML: {error}") from error


def make_simulated(
    number: int,
    plane: ControlPlane,
    clock: Clock,
    chance: Chance,
    supervisor: Supervisor,
    *,
    name: str = "",
    settings: Settings | None = None,
    images: Mapping[str, ImageScript] | None = None,
    runtime: SimRuntime | None = None,
    families: Sequence[str] = (simulated_addresses.IPV4,),
) -> tuple[Kubelet, SimRuntime]:
    """Return a simulated node's kubelet and runtime; `number` (from 0) gives it its name and its addresses.

    A `runtime` that is given is taken over, as by a kubelet that comes back; else one is made that knows `images`.
    """
    from podling.runtime.sim.runtime import SimRuntime

    if runtime is None:
        runtime = SimRuntime(clock, chance, networks=simulated_addresses.pods(number, families), images=images)
    settings = settings or Settings()
    given = replace(
        settings,
        addresses=simulated_addresses.node(number, families),
        pod_cidrs=simulated_addresses.pods(number, families),
        capacity={**SIMULATED_CAPACITY, **settings.capacity},
    )
    body = Body(Machine(capacity=given.capacity), runtime, NoWiring(), wire=runtime)
    kubelet = make_kubelet(name or f"node-{number}", plane, body, clock, supervisor, given)
    return kubelet, runtime
