"""VolumeBinding: a Pod goes where its volumes are, or can be found or made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.changes import (
    Change,
    ClaimChanged,
    NodeAdded,
    NodeUpdated,
    StorageClassChanged,
    VolumeChanged,
    changed_labels,
)
from podling.placement.claims import BIND_CONFLICT, NotReady, look_up, plan_on, why_not_bound_here
from podling.placement.plugin import PASS, Prepared, Refusal

if TYPE_CHECKING:
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

_NOTHING_SUITS = Refusal((BIND_CONFLICT,))


class VolumeBinding:
    name = "VolumeBinding"
    awaits: tuple[type[Change], ...] = (NodeAdded, NodeUpdated, ClaimChanged, VolumeChanged, StorageClassChanged)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        storage = snapshot.storage
        if not pod.claims or storage is None:
            return PASS
        try:
            claims = look_up(pod.pod, storage)
        except NotReady as why:
            return Prepared(refusal=Refusal((str(why),)))

        def check(node: NodeInfo) -> Refusal | None:
            why = why_not_bound_here(claims, node, storage)
            if why:
                return Refusal((why,))
            return None if not claims.late or plan_on(claims, node, storage) is not None else _NOTHING_SUITS

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case ClaimChanged(claim):
                return f"{claim.metadata.namespace}/{claim.metadata.name}" in pod.claims
            case NodeUpdated(old, new):
                return changed_labels(old, new)
        return True
