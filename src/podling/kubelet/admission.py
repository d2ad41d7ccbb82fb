"""Whether this node takes a Pod that was bound to it.

Owns upstream's words for a refusal: OutOfcpu, NodePorts, NodeAffinity. The rules themselves are `placement`'s (room,
ports, affinity) and `lifecycle.admission`'s. Knows what the node can give and which Pods it has; remembers nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.lifecycle.admission import admit
from podling.lifecycle.facts import Rejection
from podling.lifecycle.specs import is_terminal
from podling.placement.nodes import NodeInfo, Snapshot
from podling.placement.plugins.node_affinity import NodeAffinity
from podling.placement.plugins.node_resources_fit import insufficient
from podling.placement.pods import PendingPod, PodInfo

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import Node, Pod


def judge(pod: Pod, node: Node, others: Iterable[Pod]) -> Rejection | None:
    """Return why the node refuses a Pod beside the `others` it has, or `None`.

    A Pod that was taken once, by its start time, is not judged again: it keeps its place over a restart of the kubelet.
    """
    if pod.status.start_time is not None or pod.metadata.deletion_timestamp is not None or is_terminal(pod):
        return None
    info = NodeInfo(node)
    for other in others:
        if other.metadata.uid != pod.metadata.uid and not is_terminal(other):
            info.add(PodInfo(other))
    pending = PendingPod(pod)
    return admit(pod, node) or _room(pending, info) or _ports(pending, info) or _affinity(pending, info)


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
