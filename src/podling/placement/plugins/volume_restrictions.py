"""VolumeRestrictions: a ReadWriteOncePod claim is one Pod's at a time, wherever that Pod is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.changes import AssignedPodRemoved, Change, ClaimChanged
from podling.placement.plugin import PASS, Prepared, Refusal

if TYPE_CHECKING:
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

_TAKEN = Refusal(
    ("node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode",), resolvable=True
)


class VolumeRestrictions:
    name = "VolumeRestrictions"
    awaits: tuple[type[Change], ...] = (AssignedPodRemoved, ClaimChanged)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        storage = snapshot.storage
        if not pod.claims or storage is None:
            return PASS
        alone = []
        for key in pod.claims:
            claim = storage.claim(pod.namespace, key.partition("/")[2])
            if claim is not None and "ReadWriteOncePod" in claim.spec.access_modes:
                alone.append(key)
        if not alone:
            return PASS

        def check(node: NodeInfo) -> Refusal | None:
            del node
            return _TAKEN if any(key in other.claims for other in snapshot.nodes for key in alone) else None

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case AssignedPodRemoved(gone):
                return any(key in pod.claims for key in gone.claims)
            case ClaimChanged(claim):
                return f"{claim.metadata.namespace}/{claim.metadata.name}" in pod.claims
        return False
