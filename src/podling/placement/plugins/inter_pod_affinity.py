"""InterPodAffinity: near which Pods a Pod must, must not, would and would rather not be; and what those say of it.

Required anti-affinity holds both ways: a Pod that is there keeps away whom it avoids. A first Pod of a group that needs
its own kind may go anywhere that has the topology.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.changes import (
    AssignedPodAdded,
    AssignedPodRemoved,
    Change,
    NodeAdded,
    NodeUpdated,
    changed_labels,
)
from podling.placement.plugin import MAX_SCORE, PASS, Prepared, Refusal
from podling.placement.terms import Stance, query_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod, PodInfo
    from podling.placement.terms import Term

_NOT_NEAR = Refusal(("node(s) didn't match pod affinity rules",))
_NOT_APART = Refusal(("node(s) didn't match pod anti-affinity rules",), resolvable=True)
_UNWELCOME = Refusal(("node(s) didn't satisfy existing pods anti-affinity rules",), resolvable=True)

_HARD_WEIGHT = 1
"""What a Pod's required affinity counts for when it draws others to it."""


class InterPodAffinity:
    name = "InterPodAffinity"
    awaits: tuple[type[Change], ...] = (NodeAdded, NodeUpdated, AssignedPodAdded, AssignedPodRemoved)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        counts = snapshot.counts
        unwelcome: list[tuple[str, set[str]]] = []
        for term, by_node in counts.terms(Stance.AVOIDS).items():
            if term.matches(pod, snapshot.namespaces):
                unwelcome.append((term.topology_key, _domains(term, by_node, snapshot)))
        avoided = []
        for term in _terms(pod, Stance.AVOIDS):
            by_node = counts.matching(query_of((term,), snapshot.namespaces))
            avoided.append((term.topology_key, _domains(term, by_node, snapshot)))
        needs = _terms(pod, Stance.NEEDS)
        needed = []
        if needs:
            by_node = counts.matching(query_of(needs, snapshot.namespaces))
            needed = [(term.topology_key, _domains(term, by_node, snapshot)) for term in needs]
        is_first = not any(domains for _, domains in needed) and all(t.matches(pod, snapshot.namespaces) for t in needs)
        if not (unwelcome or avoided or needed):
            return PASS

        def check(node: NodeInfo) -> Refusal | None:
            labels = node.labels
            for key, domains in needed:
                if key not in labels or (labels[key] not in domains and not is_first):
                    return _NOT_NEAR
            if any(labels.get(key) in domains for key, domains in avoided):
                return _NOT_APART
            if any(labels.get(key) in domains for key, domains in unwelcome):
                return _UNWELCOME
            return None

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case NodeAdded():
                return True
            case NodeUpdated(old, new):
                return changed_labels(old, new)
            case AssignedPodAdded(other):
                needs = _terms(pod, Stance.NEEDS)
                return bool(needs) and all(term.may_match(other) for term in needs)
            case AssignedPodRemoved(other):
                return any(term.may_match(other) for term in _terms(pod, Stance.AVOIDS)) or any(
                    term.may_match(pod) for term in _terms(other, Stance.AVOIDS)
                )
        return False

    def score(self, pod: PendingPod, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """Sum, over all Pods of a Node's topologies, what the Pod prefers of them and they of the Pod."""
        weights: dict[str, dict[str, int]] = {}
        for term in _terms(pod, Stance.PREFERS):
            by_node = snapshot.counts.matching(query_of((term,), snapshot.namespaces))
            _weigh(weights, term, by_node, term.weight, snapshot)
        for stance, factor in ((Stance.PREFERS, 1), (Stance.NEEDS, _HARD_WEIGHT)):
            for term, by_node in snapshot.counts.terms(stance).items():
                if term.matches(pod, snapshot.namespaces):
                    _weigh(weights, term, by_node, factor * term.weight, snapshot)
        if not weights:
            return None
        totals = [sum(of.get(node.labels.get(key, ""), 0) for key, of in weights.items()) for node in nodes]
        lowest, highest = min(totals), max(totals)
        if lowest == highest:
            return None
        return [MAX_SCORE * (total - lowest) // (highest - lowest) for total in totals]


def _terms(pod: PodInfo, stance: Stance) -> tuple[Term, ...]:
    return tuple(term for term in pod.terms if term.stance is stance)


def _domains(term: Term, by_node: Mapping[str, int], snapshot: Snapshot) -> set[str]:
    """Return the values of the term's topology that have any of those Pods; only asked for membership."""
    key, nodes = term.topology_key, snapshot.by_name
    return {nodes[name].labels[key] for name in by_node if name in nodes and key in nodes[name].labels}


def _weigh(
    weights: dict[str, dict[str, int]], term: Term, by_node: Mapping[str, int], weight: int, snapshot: Snapshot
) -> None:
    key = term.topology_key
    of = weights.setdefault(key, {})
    for name, count in by_node.items():
        node = snapshot.by_name.get(name)
        if node is not None and key in node.labels:
            value = node.labels[key]
            of[value] = of.get(value, 0) + count * weight
