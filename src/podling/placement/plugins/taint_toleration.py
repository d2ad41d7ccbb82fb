"""TaintToleration: taints keep Pods away that do not tolerate them; PreferNoSchedule only weighs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.changes import Change, NodeAdded, NodeUpdated, changed_taints
from podling.placement.nodes import NodeInfo
from podling.placement.plugin import Prepared, Refusal, normalised
from podling.placement.tolerations import tolerates, untolerated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.placement.nodes import Snapshot
    from podling.placement.pods import PendingPod

_UNTOLERATED = Refusal(("node(s) had untolerated taint(s)",))


class TaintToleration:
    name = "TaintToleration"
    awaits: tuple[type[Change], ...] = (NodeAdded, NodeUpdated)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        del snapshot
        tolerations = pod.pod.spec.tolerations

        def check(node: NodeInfo) -> Refusal | None:
            if not node.hard_taints or untolerated(node.hard_taints, tolerations) is None:
                return None
            return _UNTOLERATED

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case NodeAdded(node):
                return _passes(pod, NodeInfo(node))
            case NodeUpdated(old, new):
                return changed_taints(old, new) and _passes(pod, NodeInfo(new))
        return False

    def score(self, pod: PendingPod, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """Give the most to Nodes with the fewest taints that the Pod would rather avoid."""
        del snapshot
        if not any(node.soft_taints for node in nodes):
            return None  # every Node would score the same
        tolerations = [t for t in pod.pod.spec.tolerations if t.effect in ("", "PreferNoSchedule")]
        return normalised(
            [sum(not any(tolerates(t, taint) for t in tolerations) for taint in node.soft_taints) for node in nodes],
            reverse=True,
        )


def _passes(pod: PendingPod, node: NodeInfo) -> bool:
    return untolerated(node.hard_taints, pod.pod.spec.tolerations) is None
