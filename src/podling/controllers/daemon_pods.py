"""The Pods of a DaemonSet: made for one Node each, and whether a Node is to have one. Pure.

Owns the tolerations that let daemons run where others may not, and the affinity by which a Pod says for which Node it
is before the scheduler has bound it. Whether it fits there is `placement`'s rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from podling.api.annotations import TEMPLATE_GENERATION
from podling.api.pods import is_terminal
from podling.api.resources import DAEMON_SETS
from podling.api.types.core_v1 import (
    Affinity,
    NodeAffinity,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    Toleration,
)
from podling.controllers.pods_of_templates import pod_of
from podling.controllers.revisions import HASH
from podling.placement.plugins.node_affinity import matches_required
from podling.placement.tolerations import untolerated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.apps_v1 import DaemonSet
    from podling.api.types.core_v1 import Pod
    from podling.placement.nodes import NodeInfo
    from podling.placement.pods import PendingPod

_GENERATION_LABEL: Final = "pod-template-generation"
_NAME: Final = "metadata.name"


def _tolerated(key: str, effect: str) -> Toleration:
    return Toleration(key=f"node.kubernetes.io/{key}", operator="Exists", effect=effect)


_TOLERATIONS: Final = (
    _tolerated("not-ready", "NoExecute"),
    _tolerated("unreachable", "NoExecute"),
    _tolerated("disk-pressure", "NoSchedule"),
    _tolerated("memory-pressure", "NoSchedule"),
    _tolerated("pid-pressure", "NoSchedule"),
    _tolerated("unschedulable", "NoSchedule"),
)
_WITHOUT_NETWORK: Final = _tolerated("network-unavailable", "NoSchedule")


class Fit(NamedTuple):
    """Whether a Node is to have a daemon Pod."""

    begins: bool
    stays: bool
    """Whether one that is there may remain."""


def draft(found: DaemonSet) -> Pod:
    """Return a DaemonSet's Pod for no Node yet, with all that decides where it may run."""
    pod = pod_of(found.spec.template, DAEMON_SETS, found)
    extra = (*_TOLERATIONS, _WITHOUT_NETWORK) if pod.spec.host_network else _TOLERATIONS
    kept = [
        held
        for held in pod.spec.tolerations
        if not any((held.key, held.operator, held.effect) == (it.key, it.operator, it.effect) for it in extra)
    ]
    spec = msgspec.structs.replace(pod.spec, tolerations=(*kept, *extra))
    return msgspec.structs.replace(pod, spec=spec)


def fit(pod: PendingPod, node: NodeInfo) -> Fit:
    """Ask `placement` whether a drafted Pod fits a Node, leaving aside what a Node has room for."""
    wanted = pod.pod.spec.node_name
    if (wanted and wanted != node.name) or not matches_required(pod, node):
        return Fit(begins=False, stays=False)
    tolerations = pod.pod.spec.tolerations
    if untolerated(node.hard_taints, tolerations) is None:
        return Fit(begins=True, stays=True)
    driven = [taint for taint in node.hard_taints if taint.effect == "NoExecute"]
    return Fit(begins=False, stays=untolerated(driven, tolerations) is None)


def made(found: DaemonSet, pod: Pod, node: str, revision: str) -> Pod:
    """Return the Pod for one Node, from the draft."""
    labels = {**pod.metadata.labels, HASH: revision}
    generation = found.metadata.annotations.get(TEMPLATE_GENERATION)
    if generation:
        labels[_GENERATION_LABEL] = generation
    affinity = pod.spec.affinity or Affinity()
    term = NodeSelectorTerm(match_fields=(NodeSelectorRequirement(key=_NAME, operator="In", values=(node,)),))
    bound = msgspec.structs.replace(
        affinity.node_affinity or NodeAffinity(),
        required_during_scheduling_ignored_during_execution=NodeSelector(node_selector_terms=(term,)),
    )
    spec = msgspec.structs.replace(pod.spec, affinity=msgspec.structs.replace(affinity, node_affinity=bound))
    return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels), spec=spec)


def node_of(pod: Pod) -> str:
    """Return for which Node a Pod is, bound or not; empty where it does not say."""
    if pod.spec.node_name:
        return pod.spec.node_name
    affinity = pod.spec.affinity.node_affinity if pod.spec.affinity is not None else None
    required = affinity.required_during_scheduling_ignored_during_execution if affinity is not None else None
    for term in required.node_selector_terms if required is not None else ():
        for field in term.match_fields:
            if field.key == _NAME and field.operator == "In" and len(field.values) == 1:
                return field.values[0]
    return ""


def by_node(pods: Iterable[Pod]) -> dict[str, list[Pod]]:
    """Return a DaemonSet's Pods by Node, the first that counts first; those over and going are of no account."""
    found: dict[str, list[Pod]] = {}
    for pod in pods:
        if not (is_terminal(pod) and pod.metadata.deletion_timestamp is not None):
            found.setdefault(node_of(pod), []).append(pod)
    for held in found.values():
        held.sort(key=lambda pod: (not pod.spec.node_name, pod.metadata.creation_timestamp or "", pod.metadata.name))
    return found


def is_of(pod: Pod, revision: str) -> bool:
    """Whether a Pod is of a revision, by its hash."""
    return pod.metadata.labels.get(HASH) == revision
