"""The Node object of this kubelet: registered, kept current, kept alive.

Owns `status` of the Node (capacity, conditions, addresses, images) and its Lease. Knows no Pod. Invariants: the status
is written when it changed, else every five minutes; a condition's `lastTransitionTime` moves when its status does; the
lease is renewed whatever becomes of the status.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from podling.api.codec import to_tree
from podling.api.errors import StatusError
from podling.api.quantity import Quantity, parse
from podling.api.resources import LEASES, NODES
from podling.api.times import to_wire, to_wire_micro
from podling.api.types.coordination_v1 import Lease, LeaseSpec
from podling.api.types.core_v1 import (
    ContainerImage,
    DaemonEndpoint,
    Node,
    NodeAddress,
    NodeCondition,
    NodeDaemonEndpoints,
    NodeFeatures,
    NodeRuntimeHandler,
    NodeRuntimeHandlerFeatures,
    NodeSpec,
    NodeStatus,
    NodeSystemInfo,
    ObjectReference,
    Taint,
)
from podling.api.types.meta_v1 import ObjectMeta, OwnerReference
from podling.kubelet.differences import status_patch
from podling.lifecycle.eviction import DISK_PRESSURE, MEMORY_PRESSURE, PID_PRESSURE, Signal, kept_back, quantity
from podling.linux import confinement
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from podling.aio.clock import Clock
    from podling.client.presence import Presence
    from podling.kubelet.body import Body
    from podling.kubelet.settings import Settings

log = logging.getLogger("podling.kubelet.node")

KUBERNETES_VERSION: Final = "v1.37.0"
"""Whose kubelet this one answers for; clients judge by it what a node can do."""

_LEASE_NAMESPACE: Final = "kube-node-lease"
_MOST_IMAGES: Final = 50
_FIRST_PAUSE: Final = 0.1
_LONGEST_PAUSE: Final = 7.0

_FEATURES: Final = NodeFeatures(supplemental_groups_policy=True)
_HANDLERS: Final = (
    NodeRuntimeHandler(features=NodeRuntimeHandlerFeatures(recursive_read_only_mounts=True, user_namespaces=True)),
)
"""What containers of this node can have; a simulated node says nothing of it."""
_PRESSURES: Final = {
    MEMORY_PRESSURE: (
        ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
    ),
    DISK_PRESSURE: (
        ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ("KubeletHasDiskPressure", "kubelet has disk pressure"),
    ),
    PID_PRESSURE: (
        ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
    ),
}
"""By condition: reason and message while it is False, and while it is True."""

_CONDITION_EVENTS: Final = {
    ("MemoryPressure", "False"): "NodeHasSufficientMemory",
    ("DiskPressure", "False"): "NodeHasNoDiskPressure",
    ("PIDPressure", "False"): "NodeHasSufficientPID",
    ("MemoryPressure", "True"): "NodeHasInsufficientMemory",
    ("DiskPressure", "True"): "NodeHasDiskPressure",
    ("PIDPressure", "True"): "NodeHasInsufficientPID",
    ("Ready", "True"): "NodeReady",
    ("Ready", "False"): "NodeNotReady",
}


class NodeAgent:
    """Registers a Node and speaks for it."""

    def __init__(
        self,
        name: str,
        presence: Presence,
        body: Body,
        clock: Clock,
        settings: Settings,
    ) -> None:
        self.name = name
        self._client = presence.client
        self._recorder = presence.recorder
        self._runtime = body.runtime
        self._machine = body.machine
        self._clock = clock
        self._settings = settings
        self._node: Node | None = None
        self._reported = 0.0
        self._runtime_version = ""
        self._said: dict[str, str] = {}
        self.problem = ""
        """Why the node cannot run Pods, as of the last look at the runtime; empty while it can."""
        self.pressures: Callable[[], Collection[str]] = tuple
        """Gives the pressures that the node is under."""
        self.heard: Callable[[], Node | None] = lambda: None
        """Gives the Node as last heard of from the API, where somebody listens."""

    @property
    def node(self) -> Node:
        """The Node as last known to the API, or as it will be registered."""
        return self._node if self._node is not None else self._fresh((), self._clock.time())

    @property
    def newest(self) -> Node:
        """The Node as last heard of: labels and taints are others' to change, and Pods come because of them."""
        heard, known = self.heard(), self.node
        newer = heard is not None and int(heard.metadata.resource_version) > int(known.metadata.resource_version or 0)
        return heard if heard is not None and newer else known

    @property
    def allocatable(self) -> Mapping[str, str]:
        """What Pods can have: capacity less what is reserved and what hard eviction thresholds keep back."""
        given = dict(self.limits)
        if self._settings.thresholds_reserve:
            for name, signal in (("memory", Signal.MEMORY), ("ephemeral-storage", Signal.NODEFS)):
                if name in given:
                    whole = parse(self.capacity[name])
                    kept = kept_back(self._settings.eviction.thresholds, signal, whole.value())
                    given[name] = _less(given[name], quantity(kept, signal))
        return given

    @property
    def limits(self) -> Mapping[str, str]:
        """What all Pods together are held to: capacity less what is reserved."""
        given = dict(self.capacity)
        for name, text in self._settings.reserved.items():
            if name in given:
                given[name] = _less(given[name], parse(text))
        return given

    @property
    def capacity(self) -> Mapping[str, str]:
        return {"pods": str(self._settings.max_pods), **self._machine.capacity, **self._settings.capacity}

    async def register(self) -> None:
        """Have the Node in the API with a current status; tries until it is."""
        pause = _FIRST_PAUSE
        self._runtime_version = await self._runtime.version()
        self._say("Starting", "Starting kubelet.")
        while True:
            try:
                await self._register()
                return
            except StatusError as refusal:
                log.info("registering node %s: %s", self.name, refusal)
                await self._clock.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)

    async def fetch(self) -> None:
        """Take the Node as the API has it now."""
        self._node = await self._client.get(NODES, self.name)

    async def _register(self) -> None:
        fresh = self._fresh(await self._images(), self._clock.time())
        try:
            self._node = await self._client.create(NODES, fresh)
        except StatusError as refusal:
            if not refusal.is_already_exists:
                raise
            self._node = await self._client.get(NODES, self.name)
            missing = {k: v for k, v in fresh.metadata.labels.items() if self._node.metadata.labels.get(k) != v}
            if missing:
                self._node = await self._client.patch(NODES, self.name, {"metadata": {"labels": missing}})
        await self.report(force=True)

    async def keep_status(self) -> None:
        """Keep the Node's status current, for ever."""
        while True:
            await self._clock.sleep(self._settings.status_period)
            try:
                await self.report()
            except StatusError as refusal:
                log.info("status of node %s: %s", self.name, refusal)
                if refusal.is_not_found:
                    await self.register()

    async def report(self, *, force: bool = False) -> None:
        """Write the status if it changed, or if the last report is too old."""
        assert self._node is not None
        now = self._clock.time()
        before = self.newest
        try:
            images = await self._images()
            self.problem = ""
        except RuntimeFailure as failure:
            images = before.status.images
            self.problem = f"container runtime is down: {failure.message}"
        wanted = self._status(before, images, now)
        is_due = force or now - self._reported >= self._settings.report_period
        if not is_due and _without_heartbeats(wanted) == _without_heartbeats(before.status):
            return
        changes = status_patch(to_tree(before.status), to_tree(wanted), ("addresses",))
        if changes:
            self._node = await self._client.patch(
                NODES, self.name, {"status": changes}, kind="strategic", subresource="status"
            )
        self._reported = now
        self._say_changes(wanted)

    async def keep_lease(self) -> None:
        """Renew the node's lease, for ever."""
        held = False
        while True:
            try:
                if held:
                    renewed = {"spec": {"renewTime": to_wire_micro(self._clock.time())}}
                    await self._client.patch(LEASES, self.name, renewed, namespace=_LEASE_NAMESPACE)
                else:
                    await self._take_lease()
                    held = True
            except StatusError as refusal:
                log.info("lease of node %s: %s", self.name, refusal)
                held = held and not refusal.is_not_found
            await self._clock.sleep(self._settings.lease_period)

    async def _take_lease(self) -> None:
        now = to_wire_micro(self._clock.time())
        spec = LeaseSpec(
            holder_identity=self.name, lease_duration_seconds=self._settings.lease_duration, renew_time=now
        )
        owner = OwnerReference(api_version="v1", kind="Node", name=self.name, uid=self.node.metadata.uid)
        meta = ObjectMeta(name=self.name, namespace=_LEASE_NAMESPACE, owner_references=(owner,))
        try:
            await self._client.create(LEASES, Lease(metadata=meta, spec=spec))
        except StatusError as refusal:
            if not refusal.is_already_exists:
                raise
            await self._client.patch(LEASES, self.name, {"spec": to_tree(spec)}, namespace=_LEASE_NAMESPACE)

    def _fresh(self, images: tuple[ContainerImage, ...], now: float) -> Node:
        architecture = self._machine.architecture
        labels = {
            "beta.kubernetes.io/arch": architecture,
            "beta.kubernetes.io/os": "linux",
            "kubernetes.io/arch": architecture,
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            **self._settings.labels,
        }
        taints = tuple(Taint(key=key, value=value, effect=effect) for key, value, effect in self._settings.taints)
        cidrs = self._settings.pod_cidrs
        spec = NodeSpec(taints=taints, pod_cidr=next(iter(cidrs), ""), pod_cidrs=cidrs)
        node = Node(metadata=ObjectMeta(name=self.name, labels=labels), spec=spec)
        return msgspec.structs.replace(node, status=self._status(node, images, now))

    def _status(self, node: Node, images: tuple[ContainerImage, ...], now: float) -> NodeStatus:
        machine, settings = self._machine, self._settings
        addresses = [NodeAddress(type="InternalIP", address=address) for address in settings.addresses]
        # Extended resources are whoever's who wrote them; Pods can have all there is of them.
        own = self.capacity
        others = {name: text for name, text in node.status.capacity.items() if "/" in name and name not in own}
        return msgspec.structs.replace(
            node.status,
            capacity=dict(sorted({**others, **own}.items())),
            allocatable=dict(sorted({**others, **self.allocatable}.items())),
            conditions=self._conditions(node, now),
            addresses=(*addresses, NodeAddress(type="Hostname", address=self.name)),
            daemon_endpoints=NodeDaemonEndpoints(kubelet_endpoint=DaemonEndpoint(port=settings.port)),
            node_info=NodeSystemInfo(
                architecture=machine.architecture,
                boot_id=machine.boot_id,
                container_runtime_version=self._runtime_version,
                kernel_version=machine.kernel,
                kube_proxy_version="",
                kubelet_version=KUBERNETES_VERSION,
                machine_id=machine.machine_id,
                operating_system="linux",
                os_image=machine.os_image,
                system_uuid=machine.system_uuid,
            ),
            images=images,
            features=_FEATURES if settings.root is not None else node.status.features,
            runtime_handlers=_HANDLERS if settings.root is not None else node.status.runtime_handlers,
        )

    def _conditions(self, node: Node, now: float) -> tuple[NodeCondition, ...]:
        pressures = self.pressures()
        fresh = [
            (kind, "True" if kind in pressures else "False", *texts[kind in pressures])
            for kind, texts in _PRESSURES.items()
        ]
        if self.problem:
            fresh.append(("Ready", "False", "KubeletNotReady", self.problem))
        else:
            armed = self._settings.root is not None and confinement.apparmor()
            said = f"kubelet is posting ready status{'. AppArmor enabled' if armed else ''}"
            fresh.append(("Ready", "True", "KubeletReady", said))
        held = {condition.type: condition for condition in node.status.conditions}
        told = to_wire(now)
        ours = []
        for kind, status, reason, message in fresh:
            before = held.pop(kind, None)
            since = before.last_transition_time if before is not None and before.status == status else told
            ours.append(
                NodeCondition(
                    type=kind,
                    status=status,
                    reason=reason,
                    message=message,
                    last_heartbeat_time=told,
                    last_transition_time=since,
                )
            )
        return (*held.values(), *ours)

    async def _images(self) -> tuple[ContainerImage, ...]:
        images = sorted(await self._runtime.images.list(), key=lambda image: (-image.size, image.id))
        return tuple(
            ContainerImage(names=(*image.digests, *image.tags), size_bytes=image.size)
            for image in images[:_MOST_IMAGES]
        )

    def _say_changes(self, status: NodeStatus) -> None:
        for condition in status.conditions:
            reason = _CONDITION_EVENTS.get((condition.type, condition.status))
            if reason is not None and self._said.get(condition.type) != condition.status:
                self._said[condition.type] = condition.status
                self._say(reason, f"Node {self.name} status is now: {reason}")

    def tell(self, reason: str, message: str) -> None:
        """Tell of the node in an Event."""
        self._say(reason, message)

    def warn(self, reason: str, message: str) -> None:
        """Tell of something wrong with the node in an Event."""
        self._say(reason, message, "Warning")

    def _say(self, reason: str, message: str, type_: Literal["Normal", "Warning"] = "Normal") -> None:
        # Upstream points at a Node by its name in place of its uid: events are then found before registration too.
        about = ObjectReference(kind="Node", name=self.name, uid=self.name)
        self._recorder.event(about, type_, reason, message)


def _less(given: str, kept: Quantity) -> str:
    """Return what is left of a quantity, never less than nothing."""
    left = parse(given) - kept
    return str(left) if left.nano > 0 else "0"


def _without_heartbeats(status: NodeStatus) -> Any:
    conditions = tuple(msgspec.structs.replace(condition, last_heartbeat_time=None) for condition in status.conditions)
    return msgspec.structs.replace(status, conditions=tuple(sorted(conditions, key=lambda c: c.type)))
