"""PodDisruptionBudgets."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation import meta
from podling.api.validation.field import SPEC, STATUS, invalid, not_supported
from podling.api.validation.shares import check_part, check_share

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.policy_v1 import PodDisruptionBudget

_POLICIES: Final = ("AlwaysAllow", "IfHealthyBudget")


def check_create(budget: PodDisruptionBudget, causes: list[Cause]) -> None:
    meta.check_create(budget.metadata, causes, namespaced=True)
    _check_spec(budget, causes)


def check_update(new: PodDisruptionBudget, old: PodDisruptionBudget, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_spec(new, causes)


def check_status_update(new: PodDisruptionBudget, old: PodDisruptionBudget, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    status = new.status
    for name, count in (
        ("disruptionsAllowed", status.disruptions_allowed),
        ("currentHealthy", status.current_healthy),
        ("desiredHealthy", status.desired_healthy),
        ("expectedPods", status.expected_pods),
    ):
        if count is not None and count < 0:
            causes.append(invalid(STATUS / name, count, "must be greater than or equal to 0"))


def _check_spec(budget: PodDisruptionBudget, causes: list[Cause]) -> None:
    spec = budget.spec
    if spec.min_available is not None and spec.max_unavailable is not None:
        causes.append(invalid(SPEC, spec, "minAvailable and maxUnavailable cannot be both set"))
    for name, value in (("minAvailable", spec.min_available), ("maxUnavailable", spec.max_unavailable)):
        check_share(value, SPEC / name, causes)
        check_part(value, SPEC / name, causes)
    meta.check_selector(spec.selector, SPEC / "selector", causes)
    policy = spec.unhealthy_pod_eviction_policy
    if policy is not None and policy not in _POLICIES:
        causes.append(not_supported(SPEC / "unhealthyPodEvictionPolicy", policy, _POLICIES))
