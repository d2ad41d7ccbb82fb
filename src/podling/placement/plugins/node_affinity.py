"""NodeAffinity: `nodeSelector` and `nodeAffinity`, required and preferred."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.changes import Change, NodeAdded, NodeUpdated, changed_labels
from podling.placement.nodes import NodeInfo
from podling.placement.plugin import PASS, Prepared, Refusal, normalised
from podling.placement.requirements import matches_term, matches_terms, named_nodes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import NodeAffinity as Affinity
    from podling.placement.nodes import Snapshot
    from podling.placement.pods import PendingPod

_NO_MATCH = Refusal(("node(s) didn't match Pod's node affinity/selector",))
_CONFLICT = Refusal(("pod affinity terms conflict",))


class NodeAffinity:
    name = "NodeAffinity"
    awaits: tuple[type[Change], ...] = (NodeAdded, NodeUpdated)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        del snapshot
        affinity = _affinity(pod)
        required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
        if required is None and not pod.pod.spec.node_selector:
            return PASS
        only: tuple[str, ...] | None = None
        if required is not None and required.node_selector_terms:
            only = named_nodes(required.node_selector_terms)
            if only == ():
                return Prepared(refusal=_CONFLICT)

        def check(node: NodeInfo) -> Refusal | None:
            return None if matches_required(pod, node) else _NO_MATCH

        return Prepared(check, only)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case NodeAdded(node):
                return matches_required(pod, NodeInfo(node))
            case NodeUpdated(old, new):
                return changed_labels(old, new) and matches_required(pod, NodeInfo(new))
        return False

    def score(self, pod: PendingPod, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """Sum the weights of the preferences that a Node meets."""
        del snapshot
        affinity = _affinity(pod)
        preferred = affinity.preferred_during_scheduling_ignored_during_execution if affinity else ()
        if not preferred:
            return None
        return normalised(
            [sum(term.weight for term in preferred if matches_term(term.preference, node)) for node in nodes]
        )


def matches_required(pod: PendingPod, node: NodeInfo) -> bool:
    """Whether a Node meets a Pod's `nodeSelector` and required terms; DaemonSets and the kubelet ask this too."""
    labels = node.labels
    if not all(labels.get(key) == value for key, value in pod.pod.spec.node_selector.items()):
        return False
    affinity = _affinity(pod)
    required = affinity.required_during_scheduling_ignored_during_execution if affinity else None
    return required is None or matches_terms(required.node_selector_terms, node)


def _affinity(pod: PendingPod) -> Affinity | None:
    return pod.pod.spec.affinity.node_affinity if pod.pod.spec.affinity else None
