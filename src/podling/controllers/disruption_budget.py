"""How many of a budget's Pods may be taken away just now. Pure.

Owns upstream's arithmetic for PodDisruptionBudgets: who is healthy, how many must be, and what follows.

    healthy Pods that nobody is taking away − those that must stay = disruptions allowed
    evicted (noted in `disruptedPods`) ── deleted ──▶ off the list
                                       └─ still there after 2 min ──▶ off the list, counted again, and told
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from podling.api.pods import is_ready
from podling.api.selectors import NOTHING, from_label_selector
from podling.api.shares import scaled
from podling.api.times import from_wire, to_wire
from podling.api.types.meta_v1 import Condition
from podling.api.types.policy_v1 import PodDisruptionBudgetStatus
from podling.controllers.claims import controller_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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


class Scale(NamedTuple):
    """How many Pods a controller wants."""

    uid: str
    """Of the controller whose number it is: of a ReplicaSet's Pods, that of the Deployment above."""
    replicas: int


_NO_SCALES: Final[Mapping[str, Scale]] = MappingProxyType({})


def plan(
    budget: PodDisruptionBudget, pods: Sequence[Pod], now: float, scales: Mapping[str, Scale] = _NO_SCALES
) -> BudgetPlan:
    """Reckon a budget's status from its Pods; `ValueError` says why it cannot be.

    `scales` are known by the uid of the controller that a Pod names.
    """
    expected, desired, unmanaged = _expected(budget, pods, scales)
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


def _expected(budget: PodDisruptionBudget, pods: Sequence[Pod], scales: Mapping[str, Scale]) -> tuple[int, int, bool]:
    """Return how many Pods there should be, how many of them healthy, and whether some have no controller."""
    spec = budget.spec
    if spec.max_unavailable is not None:
        scale, unmanaged = _scale(pods, scales)
        return scale, max(scale - scaled(spec.max_unavailable, scale, up=True), 0), unmanaged
    if isinstance(spec.min_available, int):
        return len(pods), spec.min_available, False
    if spec.min_available is not None:
        scale, unmanaged = _scale(pods, scales)
        return scale, scaled(spec.min_available, scale, up=True), unmanaged
    return 0, 0, False


def _scale(pods: Sequence[Pod], scales: Mapping[str, Scale]) -> tuple[int, bool]:
    """Return how many Pods their controllers want together, each of which counts once."""
    wanted: dict[str, int] = {}
    unmanaged = False
    for pod in pods:
        reference = controller_of(pod)
        if reference is None:
            unmanaged = True
        elif reference.uid not in scales:
            raise ValueError(f'found no controllers for pod "{pod.metadata.name}"')
        else:
            wanted[scales[reference.uid].uid] = scales[reference.uid].replicas
    return sum(wanted.values()), unmanaged


def _is_healthy(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is None and is_ready(pod)
