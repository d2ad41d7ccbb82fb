"""Whether this node takes a Pod that was bound to it.

Owns upstream's words for a refusal: OutOfcpu, NodePorts, NodeAffinity. The rules themselves are `placement`'s (room,
ports, affinity) and `lifecycle.admission`'s. Knows what the node can give and which Pods it has taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.pods import is_active, is_terminal
from podling.api.types.core_v1 import PodStatus, Taint
from podling.lifecycle.admission import admit
from podling.lifecycle.eviction_ranking import refusal_under_pressure
from podling.lifecycle.facts import Rejection
from podling.placement.nodes import NodeInfo, Snapshot
from podling.placement.plugins.node_affinity import NodeAffinity
from podling.placement.plugins.node_resources_fit import insufficient
from podling.placement.pods import PendingPod, PodInfo
from podling.placement.tolerations import tolerates

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.api.types.core_v1 import Node, Pod


_MEMORY_PRESSURE: Final = Taint(key="node.kubernetes.io/memory-pressure", effect="NoSchedule")


class Admission:
    """Judges Pods that were bound to this node, with those it has counted in."""

    def __init__(
        self,
        node: Callable[[], Node],
        pods: Callable[[], Mapping[str, Pod]],
        pressures: Callable[[], Sequence[str]] = tuple,
        unsafe_sysctls: Sequence[str] = (),
    ) -> None:
        """`node` gives the Node as it is known, `pods` the Pods that it has, by uid, `pressures` what is short."""
        self._unsafe_sysctls = unsafe_sysctls
        self._pressures = pressures
        self._node = node
        self._pods = pods
        self._info = NodeInfo(node())

    def judge(self, pod: Pod) -> Rejection | None:
        """Return why the node refuses a Pod, or `None` and count it in.

        A Pod that was taken once, by its start time, is not judged again: it keeps its place over a restart of the
        kubelet.
        """
        if not is_active(pod):
            return None
        self._update()
        if pod.status.start_time is None:
            pending = PendingPod(pod)
            refused = (
                refusal_under_pressure(pod, self._pressures(), tolerated=_tolerates_memory_pressure(pod))
                or admit(pod, self._info.node, self._unsafe_sysctls)
                or _room(pending, self._info)
                or _ports(pending, self._info)
                or _affinity(pending, self._info)
            )
            if refused is not None:
                return refused
        self._info.add(PodInfo(pod))
        return None

    def resize(self, pod: Pod) -> Rejection | None:
        """Return why a Pod that runs here does not get what it asks for by now, or `None` and count it so.

        `Infeasible` is more than the node has, `Deferred` more than it has left.
        """
        self._update()
        uid = pod.metadata.uid
        before = self._info.pods.get(uid)
        if before is not None:
            self._info.remove(uid)
        # What is asked for alone: what is set aside already is given back by it.
        fresh = msgspec.structs.replace(pod, status=PodStatus())
        refused = _no_room_to_grow(insufficient(PendingPod(fresh).requests, self._info))
        counted = before if refused is not None and before is not None else PodInfo(pod)
        self._info.add(counted)
        return refused

    def _update(self) -> None:
        """Take a new Node in, and count those out that have ended."""
        node = self._node()
        if node is not self._info.node:
            self._info.set_node(node)
        pods = self._pods()
        over = [uid for uid in self._info.pods if uid not in pods or is_terminal(pods[uid])]
        for uid in over:
            self._info.remove(uid)


def _tolerates_memory_pressure(pod: Pod) -> bool:
    return any(tolerates(toleration, _MEMORY_PRESSURE) for toleration in pod.spec.tolerations)


def _no_room_to_grow(missing: Sequence[tuple[str, int, int, int]]) -> Rejection | None:
    for name, wanted, _, given in missing:
        if wanted > given:
            said = f"Node didn't have enough capacity: {name}, requested: {wanted}, capacity: {given}"
            return Rejection("Infeasible", said)
    for name, wanted, used, given in missing:
        said = f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {given}"
        return Rejection("Deferred", said)
    return None


def _room(pod: PendingPod, node: NodeInfo) -> Rejection | None:
    for name, wanted, used, given in insufficient(pod.requests, node):
        message = f"Node didn't have enough resource: {name}, requested: {wanted}, used: {used}, capacity: {given}"
        return Rejection(f"OutOf{name}", message)
    return None


def _ports(pod: PendingPod, node: NodeInfo) -> Rejection | None:
    if any(node.is_taken(port) for port in pod.host_ports):
        return _failed("NodePorts", "node(s) didn't have free ports for the requested pod ports")
    return None


def _affinity(pod: PendingPod, node: NodeInfo) -> Rejection | None:
    prepared = NodeAffinity().prepare(pod, Snapshot([node]))
    refused = prepared.refusal is not None or (prepared.only is not None and node.name not in prepared.only)
    if refused or (prepared.check is not None and prepared.check(node) is not None):
        return _failed("NodeAffinity", "node(s) didn't match Pod's node affinity/selector")
    return None


def _failed(predicate: str, why: str) -> Rejection:
    return Rejection(predicate, f"Predicate {predicate} failed: {why}")
