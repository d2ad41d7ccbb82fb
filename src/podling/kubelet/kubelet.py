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
from podling.kubelet.instances import Instances
from podling.kubelet.logrotation import LogRotation
from podling.kubelet.node import NodeAgent
from podling.kubelet.objects import References
from podling.kubelet.probes.checks import Checks
from podling.kubelet.recovery import Recovery
from podling.kubelet.resizing import Resizer
from podling.kubelet.sandboxes import Sandboxes
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
    from podling.api.types.core_v1 import Pod
    from podling.client.informer import Informers
    from podling.client.presence import Presence
    from podling.kubelet.body import Body
    from podling.kubelet.letting_go import LettingGo
    from podling.kubelet.settings import Settings
    from podling.kubelet.volumes import Volumes
    from podling.lifecycle.facts import Rejection

_PAUSE = 1.0


class Kubelet:
    """The agent of one node. `start` registers it and begins to work; the supervisor ends it."""

    def __init__(
        self,
        node_name: str,
        presence: Presence,
        body: Body,
        clock: Clock,
        supervisor: Supervisor,
        settings: Settings,
        letting_go: LettingGo | None = None,
    ) -> None:
        """`presence` is how it is in the cluster, as `system:node:NAME`; `body` is what its node is made of."""
        self.name = node_name
        self.runtime = body.runtime
        self.settings = settings
        self._client = presence.client
        self._clock = clock
        self._supervisor = supervisor
        informers = presence.informers
        self._pods = informers.of(PODS, Selection(fields=f"spec.nodeName={node_name}"))
        self._nodes = informers.of(NODES, Selection(fields=f"metadata.name={node_name}"))
        self._services = ServiceVariables(informers.of(SERVICES))
        self.node = NodeAgent(node_name, presence, body, clock, settings)
        self.node.heard = lambda: self._nodes.get(node_name)
        self.workers = PodWorkers(self._worker, clock, supervisor)
        self._config = PodConfig(self._pods, self.workers)
        references = References(presence.client)
        volumes = self._make_volumes(informers, references)
        self.housekeeping = Housekeeping(
            body, self.workers, self._config, volumes, self.node, presence.recorder, clock, supervisor, settings
        )
        self._admission = Admission(
            lambda: self.node.newest,
            self.workers.pods,
            lambda: self.housekeeping.conditions,
            settings.allowed_unsafe_sysctls,
        )
        events, status = PodEvents(presence.recorder), StatusWriter(presence.client, clock, supervisor)
        self._shop = Workshop(
            self._make_effects(body, references, volumes, status, events),
            status,
            events,
            Checks(body.runtime, body.wire, clock),
            clock,
            supervisor,
            settings.policy,
            NodeFacts(tuple(settings.addresses), body.runtime.name),
            self._admission.resize,
            self._appeal,
            letting_go,
            settings.volume_period if settings.root is not None else None,
        )
        self._recovery = Recovery(body.runtime, body.network, volumes, self._config, self.workers, settings.root)

    def _make_volumes(self, informers: Informers, references: References) -> Volumes:
        settings, client, clock = self.settings, self._client, self._clock
        changes = VolumeChanges(informers, self._volumes_changed) if settings.root is not None else None
        payloads = Payloads(client, references, clock, settings.addresses, lambda: self.node.allocatable, changes)
        claims = ClaimVolumes(client, lambda: self.node.newest)
        if settings.root is None:
            return SimulatedVolumes(payloads, claims)
        return DiskVolumes(
            settings.root, payloads, clock, lambda: _memory_of(self.node), claims, secrets_in_memory=True
        )

    def _make_effects(
        self, body: Body, references: References, volumes: Volumes, status: StatusWriter, events: PodEvents
    ) -> Effects:
        runtime, settings, clock = body.runtime, self.settings, self._clock
        environment = EnvironmentBuilder(
            references, settings.addresses, lambda: self.node.allocatable, self._services.variables
        )
        builder = ContainerBuilder(settings, environment, body.machine.memory, body.machine.resolv)
        hooks = Hooks(runtime, body.wire, clock, self._supervisor, events)
        return Effects(
            Sandboxes(runtime, body.network, references, builder, events, settings),
            Instances(runtime, builder, hooks, events, clock),
            Resizer(runtime, settings),
            volumes,
            ImageEnsurer(runtime.images, references, events, clock, settings.home),
            status,
            events,
            settings,
        )

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
