"""NodeUnschedulable: a cordoned Node takes no Pods, save those that tolerate the taint that says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.types.core_v1 import Taint
from podling.placement.changes import Change, NodeAdded, NodeUpdated
from podling.placement.plugin import PASS, Prepared, Refusal
from podling.placement.tolerations import tolerates

if TYPE_CHECKING:
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

UNSCHEDULABLE = Taint(key="node.kubernetes.io/unschedulable", effect="NoSchedule")
_CORDONED = Refusal(("node(s) were unschedulable",))


def _check(node: NodeInfo) -> Refusal | None:
    return _CORDONED if node.unschedulable else None


_ASK = Prepared(_check)


class NodeUnschedulable:
    name = "NodeUnschedulable"
    awaits: tuple[type[Change], ...] = (NodeAdded, NodeUpdated)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        del snapshot
        return PASS if any(tolerates(t, UNSCHEDULABLE) for t in pod.pod.spec.tolerations) else _ASK

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        del pod
        match change:
            case NodeAdded(node):
                return not node.spec.unschedulable
            case NodeUpdated(old, new):
                return bool(old.spec.unschedulable) and not new.spec.unschedulable
        return False
