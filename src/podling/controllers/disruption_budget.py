"""How many of a budget's Pods may be taken away just now. Pure.

Owns upstream's arithmetic for PodDisruptionBudgets: who is healthy, how many must be, and what follows.

    healthy Pods that nobody is taking away − those that must stay = disruptions allowed
    evicted (noted in `disruptedPods`) ── deleted ──▶ off the list
                                       └─ still there after 2 min ──▶ off the list, counted again, and told
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.pods import is_ready
from podling.api.selectors import NOTHING, from_label_selector
from podling.api.shares import scaled
from podling.api.times import from_wire, to_wire
from podling.api.types.meta_v1 import Condition
from podling.api.types.policy_v1 import PodDisruptionBudgetStatus

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.selectors import Selector
    from podling.api.types.core_v1 import Pod
    from podling.api.types.policy_v1 import PodDisruptionBudget

DELETION_TIMEOUT: Final = 120.0
"""Seconds within which an eviction that was granted should have become a deletion."""
CONDITION: Final = "DisruptionAllowed"


@dataclass(frozen=True, slots=True)
class BudgetPlan:
    """What one look at a budget leads to."""

    status: PodDisruptionBudgetStatus | None
    """The status to be written; `None` where it says so already."""
    not_deleted: tuple[Pod, ...]
    """Pods whose eviction was granted and never came."""
    unmanaged: bool
    """Whether Pods without a controller make the arithmetic meaningless."""
    again_in: float | None


def selector_of(budget: PodDisruptionBudget) -> Selector:
    """Return whom a budget is about; one that says nothing, or everything, is about nobody."""
    selector = from_label_selector(budget.spec.selector)
    return NOTHING if selector.empty else selector


def plan(budget: PodDisruptionBudget, pods: Sequence[Pod], now: float) -> BudgetPlan:
    """Reckon a budget's status from its Pods; `ValueError` says why it cannot be."""
    expected, desired, unmanaged = _expected(budget, pods)
    disrupted: dict[str, str] = {}
    late: list[Pod] = []
    again: float | None = None
    for pod in pods:
        since = budget.status.disrupted_pods.get(pod.metadata.name)
        if since is None or pod.metadata.deletion_timestamp is not None:
            continue
        ends = from_wire(since) + DELETION_TIMEOUT
        if ends < now:
            late.append(pod)
        else:
            disrupted[pod.metadata.name] = since
            again = ends if again is None else min(again, ends)
    healthy = sum(_is_healthy(pod) and pod.metadata.name not in disrupted for pod in pods)
    allowed = max(healthy - desired, 0) if expected > 0 else 0
    status = PodDisruptionBudgetStatus(
        current_healthy=healthy,
        desired_healthy=desired,
        expected_pods=expected,
        disruptions_allowed=allowed,
        disrupted_pods=disrupted,
        observed_generation=budget.metadata.generation,
        conditions=conditions(budget, allowed, now),
    )
    wait = max(again - now, 0.0) + _A_LITTLE if again is not None else None
    return BudgetPlan(status if status != budget.status else None, tuple(late), unmanaged, wait)


def failed(budget: PodDisruptionBudget, why: str, now: float) -> PodDisruptionBudgetStatus:
    """Return the status of a budget that cannot be reckoned: nothing is allowed."""
    told = ("False", "SyncFailed", why)
    return msgspec.structs.replace(
        budget.status,
        disruptions_allowed=0,
        conditions=_conditions(budget, told, budget.status.observed_generation, now),
    )


def conditions(budget: PodDisruptionBudget, allowed: int, now: float) -> tuple[Condition, ...]:
    """Return the conditions that go with a number of allowed disruptions."""
    told = ("True", "SufficientPods", "") if allowed else ("False", "InsufficientPods", "")
    return _conditions(budget, told, budget.metadata.generation, now)


_A_LITTLE: Final = 0.001
"""A Pod is late once its time is over, not when it ends."""


def _conditions(
    budget: PodDisruptionBudget, told: tuple[str, str, str], generation: int | None, now: float
) -> tuple[Condition, ...]:
    held = next((c for c in budget.status.conditions if c.type == CONDITION), None)
    status, reason, message = told
    since = held.last_transition_time if held is not None and held.status == status else to_wire(now)
    fresh = Condition(
        type=CONDITION,
        status=status,
        reason=reason,
        message=message,
        last_transition_time=since,
        observed_generation=generation,
    )
    if held is None:
        return (*budget.status.conditions, fresh)
    return tuple(fresh if c.type == CONDITION else c for c in budget.status.conditions)


def _expected(budget: PodDisruptionBudget, pods: Sequence[Pod]) -> tuple[int, int, bool]:
    """Return how many Pods there should be, how many of them healthy, and whether some have no controller."""
    spec = budget.spec
    if spec.max_unavailable is not None:
        scale, unmanaged = _scale(pods)
        return scale, max(scale - scaled(spec.max_unavailable, scale, up=True), 0), unmanaged
    if isinstance(spec.min_available, int):
        return len(pods), spec.min_available, False
    if spec.min_available is not None:
        scale, unmanaged = _scale(pods)
        return scale, scaled(spec.min_available, scale, up=True), unmanaged
    return 0, 0, False


def _scale(pods: Sequence[Pod]) -> tuple[int, bool]:
    """Return how many Pods their controllers want. No kind that controls Pods and has a scale is known here yet."""
    for pod in pods:
        if any(owner.controller for owner in pod.metadata.owner_references):
            raise ValueError(f'found no controllers for pod "{pod.metadata.name}"')
    return 0, bool(pods)


def _is_healthy(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and is_ready(pod)
