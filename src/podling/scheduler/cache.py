"""What the scheduler believes of Nodes and the Pods on them, a step ahead of the API server.

Owns one `NodeInfo` per Node. A Pod that has been given a Node is *assumed* there until the watch confirms it, so that
the next decision counts it in:

                 assume ──▶ assumed ──── bound ───▶ assumed until … ── not confirmed ──▶ expired: asked about again
                              │ forget                     │ confirm (the watch)
                              ▼                            ▼
                            gone ◀─────── remove ──────── on its Node

Pods whose Node is not known (yet, or any more) are kept apart and counted in when it comes. Knows no client and no
clock; whoever calls says what time it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podling.placement.counts import PodCounts
from podling.placement.nodes import NodeInfo, Snapshot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.selectors import Selector
    from podling.api.types.core_v1 import Node
    from podling.placement.pods import PodInfo
    from podling.placement.volumes import Storage

CONFIRMATION: Final = 30.0
"""Seconds after a successful binding within which the watch should have shown it."""

_ZONE: Final = "topology.kubernetes.io/zone"
_REGION: Final = "topology.kubernetes.io/region"


@dataclass(slots=True)
class _Place:
    pod: PodInfo
    node: str
    assumed: bool
    deadline: float | None = None


class Cache:
    """Nodes with their Pods."""

    def __init__(self, storage: Storage | None = None) -> None:
        self._storage = storage
        self._nodes: dict[str, NodeInfo] = {}
        self._places: dict[str, _Place] = {}
        self._homeless: dict[str, dict[str, PodInfo]] = {}
        self._assumed: dict[str, None] = {}
        self._spread: dict[str, int] = {}
        self._snapshot: Snapshot | None = None
        self._counts = PodCounts(self._nodes)
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._nominated: dict[str, dict[str, PodInfo]] = {}
        self._services: dict[str, dict[str, Mapping[str, str]]] = {}
        self._workloads: dict[str, Selector] = {}

    def set_service(self, namespace: str, name: str, selector: Mapping[str, str]) -> None:
        """Take whom a Service selects; one that is gone, or selects by other means, selects nobody."""
        if selector:
            self._services.setdefault(namespace, {})[name] = selector
        else:
            self._services.get(namespace, {}).pop(name, None)

    def set_workload(self, uid: str, selector: Selector | None) -> None:
        """Take whom a controller of Pods selects; `None` where it is gone."""
        if selector is None:
            self._workloads.pop(uid, None)
        else:
            self._workloads[uid] = selector

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Take a namespace's labels; `None` where it is gone."""
        if labels is None:
            self._namespaces.pop(name, None)
        else:
            self._namespaces[name] = labels

    def nominate(self, pod: PodInfo, node: str) -> None:
        """Note that room is being made for a Pod on a Node."""
        self.renounce(pod.uid)
        self._nominated.setdefault(node, {})[pod.uid] = pod

    def renounce(self, uid: str) -> PodInfo | None:
        """Forget for which Node a Pod was meant, and return it if it was."""
        node = self.nominated(uid)
        if not node:
            return None
        pod = self._nominated[node].pop(uid)
        if not self._nominated[node]:
            del self._nominated[node]
        return pod

    def nominated(self, uid: str) -> str:
        """Return the Node on which room is being made for a Pod; empty if there is none."""
        return next((node for node, pods in self._nominated.items() if uid in pods), "")

    def nominees(self, node: str) -> list[PodInfo]:
        """Return the Pods for which room is being made on a Node."""
        return list(self._nominated.get(node, {}).values())

    def set_node(self, node: Node) -> None:
        """Take a new Node, or a new revision of one."""
        name = node.metadata.name
        known = self._nodes.get(name)
        if known is None:
            known = self._nodes[name] = NodeInfo(node, self._counts)
            for pod in self._homeless.pop(name, {}).values():
                known.add(pod)
            self._count_images(known, 1)
            self._snapshot = None
            return
        if _zone(known.node) != _zone(node):
            self._snapshot = None
        self._count_images(known, -1)
        known.set_node(node)
        self._count_images(known, 1)

    def remove_node(self, name: str) -> None:
        """Forget a Node; its Pods are kept for its return."""
        known = self._nodes.pop(name, None)
        if known is not None:
            self._count_images(known, -1)
            self._counts.forget(known)
            if known.pods:
                self._homeless[name] = dict(known.pods)
            self._snapshot = None

    def place(self, uid: str) -> tuple[PodInfo, str] | None:
        """Return a Pod and its Node, as assumed or confirmed."""
        place = self._places.get(uid)
        return (place.pod, place.node) if place is not None else None

    def is_assumed(self, uid: str) -> bool:
        return uid in self._assumed

    def assume(self, pod: PodInfo, node: str) -> None:
        """Count a Pod in where it was decided to go."""
        self._put(_Place(pod, node, assumed=True))
        self._assumed[pod.uid] = None

    def bound(self, uid: str, now: float) -> None:
        """Note that the binding was accepted; from now on the watch has `CONFIRMATION` seconds to show it."""
        place = self._places.get(uid)
        if place is not None and place.assumed:
            place.deadline = now + CONFIRMATION

    def confirm(self, pod: PodInfo, node: str) -> None:
        """Take what the watch says, whatever was assumed."""
        self._put(_Place(pod, node, assumed=False))
        self._assumed.pop(pod.uid, None)

    def remove(self, uid: str) -> PodInfo | None:
        """Count a Pod out and return it as it was last counted."""
        place = self._places.pop(uid, None)
        if place is None:
            return None
        self._assumed.pop(uid, None)
        node = self._nodes.get(place.node)
        if node is not None:
            node.remove(uid)
        else:
            homeless = self._homeless.get(place.node)
            if homeless is not None:
                homeless.pop(uid, None)
                if not homeless:
                    del self._homeless[place.node]
        return place.pod

    def expired(self, now: float) -> list[str]:
        """Return the uids of bound Pods that the watch did not show in time."""
        return [uid for uid in self._assumed if (d := self._places[uid].deadline) is not None and d <= now]

    def next_deadline(self) -> float | None:
        """Return when the next assumption runs out."""
        deadlines = [d for uid in self._assumed if (d := self._places[uid].deadline) is not None]
        return min(deadlines, default=None)

    def snapshot(self) -> Snapshot:
        """Return all Nodes, zones taking turns so that a search that stops early has seen several of them.

        The Nodes are the cache's own: good until the caller gives way to another task.
        """
        if self._snapshot is None:
            zones: dict[str, list[NodeInfo]] = {}
            for node in self._nodes.values():
                zones.setdefault(_zone(node.node), []).append(node)
            longest = max(map(len, zones.values()), default=0)
            order = [zone[turn] for turn in range(longest) for zone in zones.values() if turn < len(zone)]
            self._snapshot = Snapshot(
                order,
                self._spread,
                self._counts,
                self._namespaces,
                self._nominated,
                self._services,
                self._storage,
                self._workloads,
            )
        return self._snapshot

    def _put(self, place: _Place) -> None:
        uid = place.pod.uid
        before = self._places.get(uid)
        if before is not None and before.node != place.node:
            self.remove(uid)
        self._places[uid] = place
        node = self._nodes.get(place.node)
        if node is not None:
            node.add(place.pod)
        else:
            self._homeless.setdefault(place.node, {})[uid] = place.pod

    def _count_images(self, node: NodeInfo, sign: int) -> None:
        for image in node.images:
            count = self._spread.get(image, 0) + sign
            if count:
                self._spread[image] = count
            else:
                del self._spread[image]


def _zone(node: Node) -> str:
    labels = node.metadata.labels
    return f"{labels.get(_REGION, '')}/{labels.get(_ZONE, '')}"
