"""Finding a Node for a Pod: filter, score, and what is left to chance.

`decide` is the whole of a scheduling cycle's thinking. On large clusters it stops looking once enough Nodes fit, and
says where the next Pod should begin, so that all Nodes get their turn; both as upstream does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from podling.placement.diagnosis import Diagnosis
from podling.placement.plugin import Prepared, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.plugin import NodeCheck
    from podling.placement.pods import PendingPod
    from podling.placement.profile import Profile

_ALWAYS_ENOUGH: Final = 100
_LEAST_PERCENTAGE: Final = 5


class Chosen(Struct, frozen=True):
    """The Nodes of the highest score; which of them is chance."""

    best: tuple[str, ...]
    evaluated: int
    feasible: int
    next_start: int


class Unschedulable(Struct, frozen=True):
    """No Node fits, and why."""

    diagnosis: Diagnosis
    next_start: int


Decision: TypeAlias = Chosen | Unschedulable


def decide(pod: PendingPod, snapshot: Snapshot, profile: Profile, start: int = 0, nominated: str = "") -> Decision:
    """Return the best Nodes for a Pod, or why there is none; begins to look at the `start`-th Node.

    A Node on which room was made for the Pod (`nominated`) is taken without a look at others, if the Pod fits by now.
    """
    if not snapshot.nodes:
        return Unschedulable(Diagnosis(nodes=0), 0)
    promised = snapshot.by_name.get(nominated) if nominated else None
    if promised is not None and refusal(pod, promised, snapshot, profile) is None:
        return Chosen((nominated,), 1, 1, start)
    checks: list[tuple[str, NodeCheck]] = []
    only: set[str] | None = None
    narrowing: list[str] = []
    for plugin in profile.filters:
        prepared = plugin.prepare(pod, snapshot)
        if prepared.refusal is not None:
            return Unschedulable(
                Diagnosis(nodes=len(snapshot), plugins=(plugin.name,), everywhere=prepared.refusal), start
            )
        if prepared.only is not None:
            only = set(prepared.only) if only is None else only & set(prepared.only)
            narrowing.append(plugin.name)
        if prepared.check is not None:
            checks.append((plugin.name, prepared.check))
    nodes = snapshot.nodes
    absent: Refusal | None = None
    if only is not None:
        nodes = [node for node in nodes if node.name in only]
        absent = Refusal((f"node(s) didn't satisfy plugin(s) [{' '.join(sorted(narrowing))}]",))
    found = _filter(pod, snapshot, profile, nodes, checks, start)
    next_start = (start + found.evaluated) % len(snapshot)
    if not found.feasible:
        plugins = list(dict.fromkeys([*found.plugins, *narrowing]))
        return Unschedulable(Diagnosis(len(snapshot), found.refusals, tuple(plugins), absent=absent), next_start)
    best = _best(pod, snapshot, profile, found.feasible)
    return Chosen(best, found.evaluated, len(found.feasible), next_start)


def refusal(pod: PendingPod, node: NodeInfo, snapshot: Snapshot, profile: Profile) -> Refusal | None:
    """Return why one Node cannot have a Pod, or `None` if it can: for whoever asks about a Node of his own.

    Pods of no lower priority for which room is being made there count in; but nothing may rest on their coming.
    """
    refused = _crowded(pod, node, snapshot, profile) or _refusal(pod, node, snapshot, profile)
    return refused[1] if refused is not None else None


def _crowded(pod: PendingPod, node: NodeInfo, snapshot: Snapshot, profile: Profile) -> tuple[str, Refusal] | None:
    """Ask as if all had come for whom room is being made on a Node."""
    nominated = snapshot.nominated.get(node.name)
    if not nominated:
        return None
    coming = [p for p in nominated.values() if p.uid != pod.uid and p.priority >= pod.priority]
    if not coming:
        return None
    crowded = node.copy()
    for other in coming:
        crowded.add(other)
    return _refusal(pod, crowded, snapshot.with_node(crowded), profile)


def _refusal(pod: PendingPod, node: NodeInfo, snapshot: Snapshot, profile: Profile) -> tuple[str, Refusal] | None:
    for plugin in profile.filters:
        found = _ask(plugin.prepare(pod, snapshot), node)
        if found is not None:
            return plugin.name, found
    return None


def _ask(prepared: Prepared, node: NodeInfo) -> Refusal | None:
    if prepared.refusal is not None:
        return prepared.refusal
    return prepared.check(node) if prepared.check is not None else None


@dataclass(slots=True)
class _Found:
    feasible: list[NodeInfo]
    refusals: dict[str, Refusal]
    plugins: dict[str, None]
    evaluated: int


def _filter(
    pod: PendingPod,
    snapshot: Snapshot,
    profile: Profile,
    nodes: Sequence[NodeInfo],
    checks: Sequence[tuple[str, NodeCheck]],
    start: int,
) -> _Found:
    found = _Found([], {}, {}, 0)
    count = len(nodes)
    enough = _enough(count)
    for index in range(start, start + count):
        node = nodes[index % count]
        found.evaluated += 1
        if node.name in snapshot.nominated and (crowded := _crowded(pod, node, snapshot, profile)) is not None:
            found.plugins[crowded[0]] = None
            found.refusals[node.name] = crowded[1]
            continue
        for name, check in checks:
            refused = check(node)
            if refused is not None:
                found.refusals[node.name] = refused
                found.plugins[name] = None
                break
        else:
            found.feasible.append(node)
            if len(found.feasible) >= enough:
                break
    return found


def _enough(nodes: int) -> int:
    """How many feasible Nodes suffice: all of a hundred, and of more a share that falls from 50 % to 5 %."""
    if nodes < _ALWAYS_ENOUGH:
        return nodes
    percentage = max(50 - nodes // 125, _LEAST_PERCENTAGE)
    return max(nodes * percentage // 100, _ALWAYS_ENOUGH)


def _best(pod: PendingPod, snapshot: Snapshot, profile: Profile, feasible: Sequence[NodeInfo]) -> tuple[str, ...]:
    if len(feasible) == 1:
        return (feasible[0].name,)
    totals = [0] * len(feasible)
    for plugin, weight in profile.scores:
        scores = plugin.score(pod, snapshot, feasible)
        if scores is not None:
            totals = [total + weight * score for total, score in zip(totals, scores, strict=True)]
    highest = max(totals)
    return tuple(node.name for node, total in zip(feasible, totals, strict=True) if total == highest)
