"""A kubelet, composed: which organs there are and the order in which they start.

Owns the wiring of one node's agent and nothing else. Knows its surroundings by their Protocols alone, so that it runs
in a cluster's process, in a simulation, or by itself over HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.errors import StatusError
from podling.api.quantity import parse
from podling.api.resources import NODES, PODS, SERVICES
from podling.client.transport import Selection
from podling.kubelet.admission import Admission
from podling.kubelet.config import PodConfig
from podling.kubelet.containers import ContainerBuilder
from podling.kubelet.effects import Effects
from podling.kubelet.environment import EnvironmentBuilder
from podling.kubelet.hooks import Hooks
from podling.kubelet.housekeeping import Housekeeping
from podling.kubelet.images import ImageEnsurer
from podling.kubelet.logrotation import LogRotation
from podling.kubelet.node import NodeAgent
from podling.kubelet.objects import References
from podling.kubelet.probes.checks import Checks
from podling.kubelet.recovery import Recovery
from podling.kubelet.services import ServiceVariables
from podling.kubelet.static import StaticPods
from podling.kubelet.status import StatusWriter
from podling.kubelet.volumes import DiskVolumes, SimulatedVolumes
from podling.kubelet.volumes.changes import VolumeChanges
from podling.kubelet.volumes.claims import ClaimVolumes
from podling.kubelet.volumes.payload import Payloads
from podling.kubelet.wording import PodEvents
from podling.kubelet.worker import PodWorker, Workshop
from podling.kubelet.workers import PodWorkers
from podling.lifecycle.status import NodeFacts
from podling.runtime.protocol import SandboxId

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.types.core_v1 import Node, Pod
    from podling.client.client import Client
    from podling.client.events import EventRecorder
    from podling.client.informer import Informers
    from podling.client.seams import PodNetwork
    from podling.kubelet.letting_go import LettingGo
    from podling.kubelet.machine import Machine
    from podling.kubelet.probes.wire import Wire
    from podling.kubelet.resources import NodeCgroups
    from podling.kubelet.settings import Settings
    from podling.kubelet.stats import Stats
    from podling.kubelet.volumes import Volumes
    from podling.lifecycle.facts import Rejection
    from podling.runtime.protocol import Runtime

_PAUSE = 1.0


class Kubelet:
    """The agent of one node. `start` registers it and begins to work; the supervisor ends it."""

    def __init__(
        self,
        node_name: str,
        client: Client,
        informers: Informers,
        runtime: Runtime,
        network: PodNetwork,
        machine: Machine,
        clock: Clock,
        supervisor: Supervisor,
        recorder: EventRecorder,
        settings: Settings,
        *,
        wire: Wire,
        stats: Stats | None = None,
        cgroups: NodeCgroups | None = None,
        letting_go: LettingGo | None = None,
    ) -> None:
        """`wire` is how probes and hooks reach the ports of containers.

        `stats` and `cgroups` are a real node's; without them what its containers use is what the runtime says.
        """
        self.name = node_name
        self.runtime = runtime
        self.settings = settings
        self._client = client
        self._clock = clock
        self._supervisor = supervisor
        self.node = NodeAgent(node_name, client, runtime, machine, clock, recorder, settings)
        self._pods = informers.of(PODS, Selection(fields=f"spec.nodeName={node_name}"))
        self._nodes = informers.of(NODES, Selection(fields=f"metadata.name={node_name}"))
        self.node.heard = lambda: self._nodes.get(node_name)
        self._services = ServiceVariables(informers.of(SERVICES))
        events, status = PodEvents(recorder), StatusWriter(client, clock, supervisor)
        references = References(client)
        changes = VolumeChanges(informers, self._volumes_changed) if settings.root is not None else None
        payloads = Payloads(client, references, clock, settings.addresses, lambda: self.node.allocatable, changes)
        claims = ClaimVolumes(client, self._newest_node)
        volumes: Volumes = SimulatedVolumes(payloads, claims)
        if settings.root is not None:
            volumes = DiskVolumes(
                settings.root, payloads, clock, lambda: _memory_of(self.node), claims, secrets_in_memory=True
            )
        environment = EnvironmentBuilder(
            references, settings.addresses, lambda: self.node.allocatable, self._services.variables
        )
        effects = Effects(
            runtime,
            network,
            volumes,
            ImageEnsurer(runtime.images, references, events, clock, settings.home),
            references,
            ContainerBuilder(settings, environment, machine.memory, machine.resolv),
            status,
            events,
            Hooks(runtime, wire, clock, supervisor, events),
            clock,
            settings,
        )
        self.workers = PodWorkers(self._worker, clock, supervisor)
        self._config = PodConfig(self._pods, self.workers)
        self.housekeeping = Housekeeping(
            runtime,
            self.workers,
            self._config,
            volumes,
            self.node,
            recorder,
            clock,
            supervisor,
            settings,
            stats=stats,
            cgroups=cgroups,
        )
        self._admission = Admission(
            self._newest_node,
            self.workers.pods,
            lambda: self.housekeeping.conditions,
            settings.allowed_unsafe_sysctls,
        )
        self._shop = Workshop(
            effects,
            status,
            events,
            Checks(runtime, wire, clock),
            clock,
            supervisor,
            settings.policy,
            NodeFacts(tuple(settings.addresses), runtime.name),
            self._admission.resize,
            self._appeal,
            letting_go,
            settings.volume_period if settings.root is not None else None,
        )
        self._recovery = Recovery(runtime, network, volumes, self._config, self.workers, settings.root)

    async def start(self) -> None:
        """Find what survived, register the node, take up its Pods; returns when the node is told to be Ready."""
        await self.runtime.start()
        self.housekeeping.prepare()
        self._supervisor.component(f"runtime events {self.name}", lambda: self.workers.follow(self.runtime))
        await self.node.register()
        if self.settings.root is not None:
            self._supervisor.component(f"log rotation {self.name}", LogRotation(self.runtime, self._clock).keep)
        self._supervisor.component(f"node lease {self.name}", self.node.keep_lease)
        self._supervisor.component(f"node status {self.name}", self.node.keep_status)
        self._supervisor.job(f"pods {self.name}", self._take_up())

    def pods(self) -> Sequence[Pod]:
        """Return the Pods of this node, each with its status as its worker knows it: a `server.PodLookup`."""
        return [worker.view.pod for worker in self.workers]

    def pod(self, namespace: str, name: str) -> Pod | None:
        """Return a Pod by its name; of two with one name, the younger."""
        found = None
        for pod in self.pods():
            if (pod.metadata.namespace, pod.metadata.name) == (namespace, name):
                found = pod
        return found

    def sandbox(self, uid: str) -> SandboxId | None:
        """Return the sandbox that a Pod's containers run in now."""
        for worker in self.workers:
            if worker.pod.metadata.uid == uid:
                sandbox = worker.view.sandbox
                return SandboxId(sandbox.id) if sandbox is not None else None
        return None

    def _volumes_changed(self, uid: str) -> None:
        worker = self.workers.get(uid)
        if worker is not None:
            worker.volumes_changed()

    def _newest_node(self) -> Node:
        """Return the Node as last heard of: labels and taints are others' to change, and Pods come because of them."""
        heard, known = self._nodes.get(self.name), self.node.node
        newer = heard is not None and int(heard.metadata.resource_version) > int(known.metadata.resource_version or 0)
        return heard if heard is not None and newer else known

    async def _appeal(self, pod: Pod, rejection: Rejection) -> Rejection | None:
        """Judge a Pod that was refused for the Node's labels once more, by the Node that the API has.

        A refusal is final, and what was heard of the Node may be old: upstream asks too.
        """
        while rejection.reason == "NodeAffinity":
            try:
                await self.node.fetch()
            except StatusError:
                await self._clock.sleep(_PAUSE)
            else:
                return self._admission.judge(pod)
        return rejection

    async def _take_up(self) -> None:
        await self._services.synced()
        await self._nodes.wait_synced()
        await self._pods.wait_synced()
        self._config.follow()
        self.housekeeping.start()
        self._supervisor.job(f"recovery {self.name}", self._recovery.sweep())
        if self.settings.home is not None:
            folder = self.settings.home / "manifests"
            static = StaticPods(folder, self.name, lambda: self.node.node, self._client, self._pods, self._clock)
            self._supervisor.component(f"static pods {self.name}", static.keep)

    def _worker(self, pod: Pod) -> PodWorker:
        self.housekeeping.weigh_soon()
        return PodWorker(pod, self._shop, self._admission.judge(pod))


def _memory_of(node: NodeAgent) -> int | None:
    """Return the bytes of memory that Pods of a node can have."""
    text = node.allocatable.get("memory")
    return parse(text).value() if text is not None else None
