"""PodTopologySpread: Pods of a kind are spread evenly over zones, hosts, or whatever a label divides Nodes by.

Only Nodes that have all the constraints' labels count, and of those the ones that the Pod's node affinity and taints
let in, as each constraint says. Pods that terminate do not count. Pods that name no constraints are spread softly with
those of the same Services and of the same controller, as upstream's defaults have it.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.api.selectors import IN, NOTHING, Selector, from_label_selector, from_labels, requirement
from podling.placement.changes import (
    AssignedPodAdded,
    AssignedPodRemoved,
    AssignedPodTerminating,
    Change,
    NodeAdded,
    NodeUpdated,
    changed_labels,
    changed_taints,
)
from podling.placement.plugin import MAX_SCORE, PASS, Prepared, Refusal
from podling.placement.plugins.node_affinity import matches_required
from podling.placement.terms import Query
from podling.placement.tolerations import untolerated

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.types.core_v1 import TopologySpreadConstraint
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod, PodInfo

_UNEVEN = Refusal(("node(s) didn't match pod topology spread constraints",), resolvable=True)
_UNLABELLED = Refusal(("node(s) didn't match pod topology spread constraints (missing required label)",))
_HOSTNAME: Final = "kubernetes.io/hostname"
_DEFAULTS: Final = ((_HOSTNAME, 3), ("topology.kubernetes.io/zone", 5))


class Constraint(Struct, frozen=True):
    """One constraint as it holds for one Pod."""

    key: str
    max_skew: int
    min_domains: int
    selector: Selector
    query: Query
    heeds_affinity: bool
    heeds_taints: bool

    def counts_node(self, pod: PendingPod, node: NodeInfo) -> bool:
        """Whether a Node is one of those that Pods are spread over."""
        if self.heeds_affinity and not matches_required(pod, node):
            return False
        return not self.heeds_taints or untolerated(node.hard_taints, pod.pod.spec.tolerations) is None


class PodTopologySpread:
    name = "PodTopologySpread"
    awaits: tuple[type[Change], ...] = (
        NodeAdded,
        NodeUpdated,
        AssignedPodAdded,
        AssignedPodRemoved,
        AssignedPodTerminating,
    )

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        constraints = _constraints(pod, "DoNotSchedule")
        if not constraints:
            return PASS
        eligible = _labelled(snapshot.nodes, constraints)
        asked = [(c, c.selector.matches(pod.labels), *_found(pod, c, eligible, snapshot)) for c in constraints]

        def check(node: NodeInfo) -> Refusal | None:
            for constraint, counts_itself, found, fewest in asked:
                value = node.labels.get(constraint.key)
                if value is None:
                    return _UNLABELLED
                if found.get(value, 0) + counts_itself - fewest > constraint.max_skew:
                    return _UNEVEN
            return None

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case NodeAdded():
                return True
            case NodeUpdated(old, new):
                return changed_labels(old, new) or changed_taints(old, new)
            case AssignedPodAdded(other) | AssignedPodRemoved(other) | AssignedPodTerminating(other):
                return _is_counted(pod, other)
        return False

    def score(self, pod: PendingPod, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """Give the most to where the fewest are; a wide spread weighs more than one over few domains."""
        constraints = _constraints(pod, "ScheduleAnyway")
        candidates, eligible = list(nodes), snapshot.nodes
        if pod.pod.spec.topology_spread_constraints:
            candidates, eligible = _labelled(nodes, constraints), _labelled(snapshot.nodes, constraints)
        else:
            constraints = _defaults(pod, snapshot)
        if not constraints or not candidates:
            return None
        raw = dict.fromkeys((node.name for node in candidates), 0.0)
        for constraint in constraints:
            key, by_node = constraint.key, snapshot.counts.matching(constraint.query)
            if key == _HOSTNAME:
                found, size = by_node, len(candidates)
            else:
                found = {node.labels.get(key, ""): 0 for node in candidates}
                size = len(found)
                for node in eligible:
                    value = node.labels.get(key, "")
                    if value in found and node.name in by_node and constraint.counts_node(pod, node):
                        found[value] += by_node[node.name]
            weight = log(size + 2)
            for node in candidates:
                if key in node.labels:
                    count = found.get(node.name if key == _HOSTNAME else node.labels[key], 0)
                    raw[node.name] += count * weight + (constraint.max_skew - 1)
        scores = {name: _rounded(value) for name, value in raw.items()}
        lowest, highest = min(scores.values()), max(scores.values())
        if not highest:
            return [MAX_SCORE if node.name in scores else 0 for node in nodes]
        most = highest + lowest
        return [MAX_SCORE * (most - scores[n.name]) // highest if n.name in scores else 0 for n in nodes]


def _defaults(pod: PendingPod, snapshot: Snapshot) -> list[Constraint]:
    """Return what holds for a Pod that names no constraints: softly over hosts, more softly over zones.

    Evenly with those that its Services and its controller select alike; a Pod of neither is left alone.
    """
    labels: dict[str, str] = {}
    for selected in snapshot.services.get(pod.namespace, {}).values():
        if selected and all(pod.labels.get(key) == value for key, value in selected.items()):
            labels |= selected
    owner = next((it.uid for it in pod.pod.metadata.owner_references if it.controller), "")
    controlled = snapshot.workloads.get(owner)
    selector = from_labels(labels)
    if controlled is not None:
        selector = Selector((*selector.requirements, *controlled.requirements))
    if selector.empty:
        return []
    query = Query((((pod.namespace,), selector),), is_living=True)
    return [
        Constraint(key, skew, 1, selector, query, heeds_affinity=True, heeds_taints=False) for key, skew in _DEFAULTS
    ]


def _constraints(pod: PendingPod, when: str) -> list[Constraint]:
    return [
        _constraint(pod, held)
        for held in pod.pod.spec.topology_spread_constraints
        if (held.when_unsatisfiable or "DoNotSchedule") == when
    ]


def _constraint(pod: PendingPod, held: TopologySpreadConstraint) -> Constraint:
    selector = from_label_selector(held.label_selector)
    if held.label_selector is not None:
        keys = [key for key in held.match_label_keys if key in pod.labels]
        more = tuple(requirement(key, IN, (pod.labels[key],)) for key in keys)
        if more:
            selector = Selector((*selector.requirements, *more))
    else:
        selector = NOTHING
    return Constraint(
        key=held.topology_key,
        max_skew=held.max_skew,
        min_domains=held.min_domains or 1,
        selector=selector,
        query=Query((((pod.namespace,), selector),), is_living=True),
        heeds_affinity=held.node_affinity_policy != "Ignore",
        heeds_taints=held.node_taints_policy == "Honor",
    )


def _labelled(nodes: Iterable[NodeInfo], constraints: Sequence[Constraint]) -> list[NodeInfo]:
    keys = [constraint.key for constraint in constraints]
    return [node for node in nodes if all(key in node.labels for key in keys)]


def _found(
    pod: PendingPod, constraint: Constraint, eligible: Sequence[NodeInfo], snapshot: Snapshot
) -> tuple[dict[str, int], int]:
    """Return how many Pods each domain has, and the fewest; with too few domains the fewest is none."""
    by_node = snapshot.counts.matching(constraint.query)
    found: dict[str, int] = {}
    for node in eligible:
        if constraint.counts_node(pod, node):
            value = node.labels[constraint.key]
            found[value] = found.get(value, 0) + by_node.get(node.name, 0)
    fewest = min(found.values(), default=0) if len(found) >= constraint.min_domains else 0
    return found, fewest


def _is_counted(pod: PendingPod, other: PodInfo) -> bool:
    if other.namespace != pod.namespace:
        return False
    return any(c.selector.matches(other.labels) for c in _constraints(pod, "DoNotSchedule"))


def _rounded(value: float) -> int:
    """Round half away from nothing, as Go does."""
    return int(value + 0.5)
