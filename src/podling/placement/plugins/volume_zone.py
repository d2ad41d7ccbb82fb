"""VolumeZone: a Pod stays in the zones and regions that its volumes are labelled with."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.changes import Change, ClaimChanged, NodeAdded, NodeUpdated, VolumeChanged, changed_labels
from podling.placement.plugin import PASS, Prepared, Refusal

if TYPE_CHECKING:
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

_ELSEWHERE = Refusal(("node(s) had no available volume zone",))
_TOPOLOGY = {
    "topology.kubernetes.io/zone": "failure-domain.beta.kubernetes.io/zone",
    "topology.kubernetes.io/region": "failure-domain.beta.kubernetes.io/region",
}
"""Label → what it was called before."""


class VolumeZone:
    name = "VolumeZone"
    awaits: tuple[type[Change], ...] = (NodeAdded, NodeUpdated, ClaimChanged, VolumeChanged)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        storage = snapshot.storage
        if not pod.claims or storage is None:
            return PASS
        wanted: list[tuple[str, tuple[str, ...]]] = []
        for key in pod.claims:
            claim = storage.claim(pod.namespace, key.partition("/")[2])
            volume = storage.volume(claim.spec.volume_name) if claim is not None else None
            labels = volume.metadata.labels if volume is not None else {}
            for label, older in _TOPOLOGY.items():
                value = labels.get(label, labels.get(older))
                if value is not None:
                    wanted.append((label, tuple(value.split("__"))))
        if not wanted:
            return PASS

        def check(node: NodeInfo) -> Refusal | None:
            # A Node that knows no zones at all is anywhere.
            if not any(label in node.labels or older in node.labels for label, older in _TOPOLOGY.items()):
                return None
            for label, values in wanted:
                if node.labels.get(label, node.labels.get(_TOPOLOGY[label], "")) not in values:
                    return _ELSEWHERE
            return None

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case NodeUpdated(old, new):
                return changed_labels(old, new)
            case ClaimChanged(claim):
                return f"{claim.metadata.namespace}/{claim.metadata.name}" in pod.claims
        return True
