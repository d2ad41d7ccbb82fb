"""NodePorts: two Pods cannot take the same port of a Node."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.changes import AssignedPodRemoved, Change, NodeAdded
from podling.placement.plugin import PASS, Prepared, Refusal

if TYPE_CHECKING:
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

_TAKEN = Refusal(("node(s) didn't have free ports for the requested pod ports",), resolvable=True)


class NodePorts:
    name = "NodePorts"
    awaits: tuple[type[Change], ...] = (NodeAdded, AssignedPodRemoved)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        del snapshot
        wanted = pod.host_ports
        if not wanted:
            return PASS

        def check(node: NodeInfo) -> Refusal | None:
            return _TAKEN if any(node.is_taken(port) for port in wanted) else None

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case NodeAdded():
                return True
            case AssignedPodRemoved(gone):
                freed = {(port.protocol, port.port) for port in gone.host_ports}
                return any((port.protocol, port.port) in freed for port in pod.host_ports)
        return False
