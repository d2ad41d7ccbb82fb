"""A Node as the rules see it, with the Pods on it counted in; and a moment of all Nodes.

Owns the running sums, so that adding a Pod costs what the Pod has, not what the Node has. `NodeInfo` is mutable and
belongs to one owner (the scheduler's cache); rules only read it. `copy` makes one that may be changed on trial, as
preemption does.

Invariant: the sums of a `NodeInfo` equal those recomputed from its Pods.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from podling.placement.amounts import amounts
from podling.placement.counts import PodCounts, Trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.selectors import Selector
    from podling.api.types.core_v1 import Node
    from podling.placement.counts import Counts
    from podling.placement.pods import HostPort, PodInfo
    from podling.placement.volumes import Storage

_Key = TypeVar("_Key")
_OWNED: Final = frozenset({"claims", "pods", "ports", "priorities", "scalars"})
"""What a copy of a Node must have for itself."""
_ANY_ADDRESS: Final = "0.0.0.0"  # noqa: S104 - compared, not bound


class NodeInfo:
    """One Node with the Pods that are, or are assumed to be, on it."""

    __slots__ = (
        "allocatable",
        "claims",
        "counts",
        "ephemeral_storage",
        "hard_taints",
        "images",
        "labels",
        "memory",
        "milli_cpu",
        "name",
        "node",
        "pods",
        "ports",
        "priorities",
        "scalars",
        "soft_taints",
        "unschedulable",
        "weighed_memory",
        "weighed_milli_cpu",
    )

    def __init__(self, node: Node, counts: PodCounts | None = None) -> None:
        self.name = node.metadata.name
        self.counts = counts
        """Whom to tell of Pods that come and go."""
        self.pods: dict[str, PodInfo] = {}
        self.milli_cpu = 0
        self.memory = 0
        self.ephemeral_storage = 0
        self.scalars: dict[str, int] = {}
        self.weighed_milli_cpu = 0
        self.weighed_memory = 0
        self.ports: dict[HostPort, int] = {}
        self.claims: dict[str, int] = {}
        """How many Pods use each claim."""
        self.priorities: dict[int, int] = {}
        """How many Pods there are of each priority."""
        self.set_node(node)

    def __repr__(self) -> str:
        return f"<NodeInfo {self.name}: {len(self.pods)} Pods>"

    def set_node(self, node: Node) -> None:
        """Take a new revision of the Node; its Pods stay."""
        self.node = node
        self.labels = node.metadata.labels
        self.unschedulable = bool(node.spec.unschedulable)
        taints = node.spec.taints
        self.hard_taints = tuple(t for t in taints if t.effect in ("NoSchedule", "NoExecute"))
        self.soft_taints = tuple(t for t in taints if t.effect == "PreferNoSchedule")
        self.allocatable = amounts(node.status.allocatable)
        self.images = {name: image.size_bytes or 0 for image in node.status.images for name in image.names}

    def add(self, pod: PodInfo) -> None:
        """Count a Pod in; one already counted is replaced."""
        if pod.uid in self.pods:
            self.remove(pod.uid)
        self.pods[pod.uid] = pod
        self._count(pod, 1)

    def remove(self, uid: str) -> PodInfo | None:
        """Count a Pod out and return it; nothing happens where it is not."""
        pod = self.pods.pop(uid, None)
        if pod is not None:
            self._count(pod, -1)
        return pod

    def copy(self) -> NodeInfo:
        """Return an independent Node with the same Pods."""
        twin = NodeInfo.__new__(NodeInfo)
        for slot in self.__slots__:
            value = getattr(self, slot)
            setattr(twin, slot, dict(value) if slot in _OWNED else value)
        twin.counts = None
        return twin

    def is_taken(self, wanted: HostPort) -> bool:
        """Whether a port is in use; an address conflicts with itself and with the wildcard."""
        if not self.ports:
            return False
        if wanted.address == _ANY_ADDRESS:
            return any(p.port == wanted.port and p.protocol == wanted.protocol for p in self.ports)
        return wanted in self.ports or wanted._replace(address=_ANY_ADDRESS) in self.ports

    def _count(self, pod: PodInfo, sign: int) -> None:
        asked = pod.requests
        self.milli_cpu += sign * asked.milli_cpu
        self.memory += sign * asked.memory
        self.ephemeral_storage += sign * asked.ephemeral_storage
        for name, amount in asked.scalars.items():
            self.scalars[name] = self.scalars.get(name, 0) + sign * amount
        self.weighed_milli_cpu += sign * pod.milli_cpu
        self.weighed_memory += sign * pod.memory
        _tally(self.priorities, pod.priority, sign)
        for port in pod.host_ports:
            _tally(self.ports, port, sign)
        for claim in pod.claims:
            _tally(self.claims, claim, sign)
        if self.counts is not None:
            self.counts.changed(self.name, pod, sign)


class Snapshot:
    """All Nodes at one moment, in the order in which they are tried.

    Valid until its owner next changes a Node: a decision is reckoned without giving way to other tasks, so nothing is
    copied for it.
    """

    __slots__ = (
        "_by_name",
        "_counts",
        "_nodes",
        "_trial",
        "image_spread",
        "namespaces",
        "nominated",
        "services",
        "storage",
        "workloads",
    )

    def __init__(
        self,
        nodes: Sequence[NodeInfo],
        image_spread: Mapping[str, int] | None = None,
        counts: Counts | None = None,
        namespaces: Mapping[str, Mapping[str, str]] | None = None,
        nominated: Mapping[str, Mapping[str, PodInfo]] | None = None,
        services: Mapping[str, Mapping[str, Mapping[str, str]]] | None = None,
        storage: Storage | None = None,
        workloads: Mapping[str, Selector] | None = None,
    ) -> None:
        self._nodes = nodes
        self._by_name: Mapping[str, NodeInfo] | None = None
        self._counts = counts
        self._trial: NodeInfo | None = None
        self.image_spread: Mapping[str, int] = _spread(nodes) if image_spread is None else image_spread
        """On how many Nodes each image is present."""
        self.namespaces: Mapping[str, Mapping[str, str]] = namespaces if namespaces is not None else {}
        """The labels of each namespace."""
        self.nominated: Mapping[str, Mapping[str, PodInfo]] = nominated if nominated is not None else {}
        """By Node, by uid: Pods for which room is being made there."""
        self.services: Mapping[str, Mapping[str, Mapping[str, str]]] = services if services is not None else {}
        """By namespace, by name: whom each Service selects."""
        self.storage = storage
        """Claims and volumes; where nothing is known of them, none stands in the way."""
        self.workloads: Mapping[str, Selector] = workloads if workloads is not None else {}
        """By uid: whom each controller of Pods selects."""

    def __len__(self) -> int:
        return len(self._nodes)

    @property
    def nodes(self) -> Sequence[NodeInfo]:
        if self._trial is not None:
            changed, self._trial = self._trial, None
            self._nodes = [changed if node.name == changed.name else node for node in self._nodes]
        return self._nodes

    @property
    def by_name(self) -> Mapping[str, NodeInfo]:
        if self._by_name is None:
            self._by_name = {node.name: node for node in self.nodes}
        return self._by_name

    @property
    def counts(self) -> Counts:
        """How many Pods of a kind are on each Node."""
        if self._counts is None:
            self._counts = PodCounts.of(self.nodes)
        return self._counts

    def with_node(self, changed: NodeInfo) -> Snapshot:
        """Return the same moment with one Node replaced, to try changes on; it follows what is done to `changed`.

        Costs nothing until a rule looks at other Nodes.
        """
        counts = Trial(self.counts, self.by_name[changed.name], changed)
        trial = Snapshot(
            self.nodes,
            self.image_spread,
            counts,
            self.namespaces,
            self.nominated,
            self.services,
            self.storage,
            self.workloads,
        )
        trial._trial = changed
        return trial


def _tally(counts: dict[_Key, int], key: _Key, sign: int) -> None:
    count = counts.get(key, 0) + sign
    if count:
        counts[key] = count
    else:
        counts.pop(key, None)


def _spread(nodes: Sequence[NodeInfo]) -> dict[str, int]:
    spread: dict[str, int] = {}
    for node in nodes:
        for image in node.images:
            spread[image] = spread.get(image, 0) + 1
    return spread
