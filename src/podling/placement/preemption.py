"""Taking Pods of lower priority away so that one of higher priority finds room.

Owns upstream's choice: on which Nodes it could help, who must go on each, and which Node it costs least. It works on
copies; who deletes the victims is the scheduler.

    of each Node: all lesser Pods away ─▶ does it fit? ─▶ bring back, most important first, whoever leaves room
    of all Nodes: fewest broken budgets, then the least important top victim, least priority in sum, fewest victims,
                  then the one whose top victims have run for the shortest time
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.placement.diagnosis import tally
from podling.placement.fitting import refusal

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from podling.api.selectors import Selector
    from podling.placement.diagnosis import Diagnosis
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod, PodInfo
    from podling.placement.profile import Profile

_NO_USE: Final = ("Preemption is not helpful for scheduling",)
_NO_VICTIMS: Final = ("No preemption victims found for incoming pod",)
_NEVER: Final = "not eligible due to preemptionPolicy=Never."
_UNDER_WAY: Final = "not eligible due to a terminating pod on the nominated node."
_LEAST_CANDIDATES: Final = 100
_CANDIDATE_SHARE: Final = 10
_ABOVE_ANY_PRIORITY: Final = 2**31
"""Added to each priority of a sum, so that fewer victims of less than no priority do not look dearer than many."""
_NOT_STARTED: Final = "~"


class Budget(Struct, frozen=True):
    """What a PodDisruptionBudget still allows."""

    namespace: str
    selector: Selector
    allowed: int
    disrupted: Mapping[str, str]
    """Names of Pods that are counted as gone already."""

    def covers(self, pod: PodInfo) -> bool:
        is_of_it = pod.namespace == self.namespace and not self.selector.empty and self.selector.matches(pod.labels)
        return is_of_it and pod.name not in self.disrupted


class Preemption(Struct, frozen=True):
    """Where room is to be made, and by whom; the most important victim first."""

    node: str
    victims: tuple[PodInfo, ...]
    violations: int = 0
    """How many of them a budget wants to keep."""


class NoPreemption(Struct, frozen=True):
    """Why no room can be made."""

    message: str
    is_hopeless: bool
    """Whether an earlier promise of a Node is void, too."""


def preempt(
    pod: PendingPod,
    snapshot: Snapshot,
    diagnosis: Diagnosis,
    profile: Profile,
    *,
    nominated: str = "",
    budgets: Collection[Budget] = (),
    start: int = 0,
) -> Preemption | NoPreemption:
    """Choose the Node on which making room for a Pod costs least; begins to look at the `start`-th."""
    if pod.pod.spec.preemption_policy == "Never":
        return NoPreemption(_NEVER, is_hopeless=False)
    if _is_under_way(pod, snapshot, diagnosis, nominated):
        return NoPreemption(_UNDER_WAY, is_hopeless=False)
    count = len(snapshot)
    enough = max(count // _CANDIDATE_SHARE, _LEAST_CANDIDATES)
    reasons: list[tuple[str, ...]] = []
    candidates: list[Preemption] = []
    for index in range(start, start + count):
        node = snapshot.nodes[index % count]
        refused = diagnosis.refusal(node.name)
        if refused is None or not refused.resolvable:
            reasons.append(_NO_USE)
            continue
        found = _victims(pod, node, snapshot, profile, budgets)
        if isinstance(found, Preemption):
            candidates.append(found)
            if len(candidates) >= enough and any(not c.violations for c in candidates):
                break
        else:
            reasons.append(found)
    if candidates:
        return _cheapest(candidates)
    return NoPreemption(tally(diagnosis.nodes, reasons), is_hopeless=True)


def _is_under_way(pod: PendingPod, snapshot: Snapshot, diagnosis: Diagnosis, nominated: str) -> bool:
    """Whether those who made room on the nominated Node are still leaving it: then nobody else has to go."""
    node = snapshot.by_name.get(nominated) if nominated else None
    if node is None:
        return False
    refused = diagnosis.refusal(nominated)
    if refused is not None and not refused.resolvable:
        return False
    return any(other.preempted and other.priority < pod.priority for other in node.pods.values())


def _victims(
    pod: PendingPod, node: NodeInfo, snapshot: Snapshot, profile: Profile, budgets: Collection[Budget]
) -> Preemption | tuple[str, ...]:
    if not any(priority < pod.priority for priority in node.priorities):
        return _NO_VICTIMS
    lesser = sorted((p for p in node.pods.values() if p.priority < pod.priority), key=_importance)
    emptied = node.copy()
    trial = snapshot.with_node(emptied)
    for other in lesser:
        emptied.remove(other.uid)
    refused = refusal(pod, emptied, trial, profile)
    if refused is not None:
        return refused.reasons
    protected = _protected(lesser, budgets)
    victims: list[PodInfo] = []
    violations = 0
    for other in (*(p for p in lesser if p.uid in protected), *(p for p in lesser if p.uid not in protected)):
        emptied.add(other)
        if refusal(pod, emptied, trial, profile) is not None:
            emptied.remove(other.uid)
            victims.append(other)
            violations += other.uid in protected
    return Preemption(node.name, tuple(sorted(victims, key=_importance)), violations)


def _protected(pods: Sequence[PodInfo], budgets: Collection[Budget]) -> dict[str, None]:
    """Return the uids of those whose going would break a budget; the most important are granted first."""
    left = {id(budget): budget.allowed for budget in budgets}
    protected: dict[str, None] = {}
    for pod in pods:
        for budget in budgets:
            if budget.covers(pod):
                left[id(budget)] -= 1
                if left[id(budget)] < 0:
                    protected[pod.uid] = None
    return protected


def _importance(pod: PodInfo) -> tuple[int, str]:
    """Order by priority, highest first, then by who has run longest."""
    return -pod.priority, pod.started or _NOT_STARTED


def _cheapest(candidates: Sequence[Preemption]) -> Preemption:
    def cost(candidate: Preemption) -> tuple[int, int, int, int]:
        priorities = [victim.priority for victim in candidate.victims]
        if not priorities:
            return (-1, 0, 0, 0)
        total = sum(priority + _ABOVE_ANY_PRIORITY for priority in priorities)
        return (candidate.violations, max(priorities), total, len(priorities))

    def top_started(candidate: Preemption) -> str:
        top = max((victim.priority for victim in candidate.victims), default=0)
        return min((v.started or _NOT_STARTED for v in candidate.victims if v.priority == top), default=_NOT_STARTED)

    least = min(map(cost, candidates))
    return max((c for c in candidates if cost(c) == least), key=top_started)
