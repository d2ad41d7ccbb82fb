"""NodeName: a Pod that names its Node goes there and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.changes import Change, NodeAdded
from podling.placement.plugin import PASS, Prepared, Refusal

if TYPE_CHECKING:
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

_ELSEWHERE = Refusal(("node(s) didn't match the requested node name",))


class NodeName:
    name = "NodeName"
    awaits: tuple[type[Change], ...] = (NodeAdded,)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        del snapshot
        wanted = pod.pod.spec.node_name
        if not wanted:
            return PASS

        def check(node: NodeInfo) -> Refusal | None:
            return None if node.name == wanted else _ELSEWHERE

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        return isinstance(change, NodeAdded) and change.node.metadata.name == pod.pod.spec.node_name
