"""Deployments: the ReplicaSet's rules, and those of going from one template to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation import meta
from podling.api.validation.field import SPEC, STATUS, forbidden, invalid, not_supported, required
from podling.api.validation.shares import check_part, check_share, is_nothing
from podling.api.validation.workloads import (
    check_at_most,
    check_not_decremented,
    check_not_negative,
    check_running_template,
    check_same_selector,
    check_selector,
)

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.apps_v1 import (
        Deployment,
        DeploymentStatus,
        DeploymentStrategy,
        RollingUpdateDeployment,
    )
    from podling.api.validation.field import Path

_STRATEGIES: Final = ("Recreate", "RollingUpdate")
_PARTS: Final = ("updatedReplicas", "readyReplicas", "availableReplicas")


def check_create(new: Deployment, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=True)
    _check_spec(new, causes)


def check_update(new: Deployment, old: Deployment, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_spec(new, causes)
    check_same_selector(new.spec.selector, old.spec.selector, SPEC / "selector", causes)


def check_status_update(new: Deployment, old: Deployment, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_status(new.status, causes)
    count, before = new.status.collision_count, old.status.collision_count
    check_not_decremented(count, before, STATUS / "collisionCount", causes)


def _check_spec(new: Deployment, causes: list[Cause]) -> None:
    spec = new.spec
    check_not_negative(SPEC, {"replicas": spec.replicas}, causes)
    selector = check_selector(spec.selector, SPEC / "selector", causes)
    check_running_template(spec.template, selector, "ReplicaSet", SPEC / "template", causes)
    _check_strategy(spec.strategy, SPEC / "strategy", causes)
    counts = {"minReadySeconds": spec.min_ready_seconds, "revisionHistoryLimit": spec.revision_history_limit}
    check_not_negative(SPEC, counts, causes)
    deadline = spec.progress_deadline_seconds
    if deadline is not None:
        check_not_negative(SPEC, {"progressDeadlineSeconds": deadline}, causes)
        if deadline <= (spec.min_ready_seconds or 0):
            causes.append(invalid(SPEC / "progressDeadlineSeconds", deadline, "must be greater than minReadySeconds"))


def _check_strategy(strategy: DeploymentStrategy | None, path: Path, causes: list[Cause]) -> None:
    kind = strategy.type if strategy is not None else ""
    rolling = strategy.rolling_update if strategy is not None else None
    if kind == "Recreate":
        if rolling is not None:
            said = "may not be specified when strategy `type` is 'Recreate'"
            causes.append(forbidden(path / "rollingUpdate", said))
    elif kind != "RollingUpdate":
        causes.append(not_supported(path, strategy, _STRATEGIES))
    elif rolling is None:
        causes.append(required(path / "rollingUpdate", "this should be defaulted and never be nil"))
    else:
        _check_rolling(rolling, path / "rollingUpdate", causes)


def _check_rolling(rolling: RollingUpdateDeployment, path: Path, causes: list[Cause]) -> None:
    check_share(rolling.max_unavailable, path / "maxUnavailable", causes)
    check_share(rolling.max_surge, path / "maxSurge", causes)
    if is_nothing(rolling.max_unavailable) and is_nothing(rolling.max_surge):
        said = "may not be 0 when `maxSurge` is 0"
        causes.append(invalid(path / "maxUnavailable", rolling.max_unavailable, said))
    check_part(rolling.max_unavailable, path / "maxUnavailable", causes)


def _check_status(status: DeploymentStatus, causes: list[Cause]) -> None:
    counts = {
        "observedGeneration": status.observed_generation,
        "replicas": status.replicas,
        "updatedReplicas": status.updated_replicas,
        "readyReplicas": status.ready_replicas,
        "availableReplicas": status.available_replicas,
        "unavailableReplicas": status.unavailable_replicas,
        "terminatingReplicas": status.terminating_replicas,
        "collisionCount": status.collision_count,
    }
    check_not_negative(STATUS, counts, causes)
    check_at_most(STATUS, counts, _PARTS, "replicas", "cannot be greater than status.replicas", causes)
    said = "cannot be greater than readyReplicas"
    check_at_most(STATUS, counts, ("availableReplicas",), "readyReplicas", said, causes)
