"""DaemonSets: a template, and how Nodes come from one to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.selectors import NOTHING, from_label_selector
from podling.api.validation import meta
from podling.api.validation.field import SPEC, STATUS, invalid, not_supported, required
from podling.api.validation.pod import check_template
from podling.api.validation.shares import check_part, check_share, is_nothing
from podling.api.validation.workloads import (
    check_kept_running,
    check_not_decremented,
    check_not_negative,
    check_same_selector,
)

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.apps_v1 import (
        DaemonSet,
        DaemonSetStatus,
        DaemonSetUpdateStrategy,
        RollingUpdateDaemonSet,
    )
    from podling.api.types.core_v1 import PodTemplateSpec
    from podling.api.types.meta_v1 import LabelSelector
    from podling.api.validation.field import Path

_STRATEGIES: Final = ("OnDelete", "RollingUpdate")


def check_create(new: DaemonSet, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=True)
    _check_spec(new, causes)


def check_update(new: DaemonSet, old: DaemonSet, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_spec(new, causes)
    check_same_selector(new.spec.selector, old.spec.selector, SPEC / "selector", causes)


def check_status_update(new: DaemonSet, old: DaemonSet, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    if new.status is None:
        return
    _check_status(new.status, causes)
    before = old.status.collision_count if old.status is not None else None
    check_not_decremented(new.status.collision_count, before, STATUS / "collisionCount", causes)


def _check_spec(new: DaemonSet, causes: list[Cause]) -> None:
    spec = new.spec
    _check_selected(spec.selector, spec.template, SPEC, causes)
    check_template(spec.template, SPEC / "template", causes)
    check_kept_running(spec.template, "DaemonSet", SPEC / "template", causes)
    check_not_negative(SPEC, {"minReadySeconds": spec.min_ready_seconds}, causes)
    _check_strategy(spec.update_strategy, SPEC / "updateStrategy", causes)
    check_not_negative(SPEC, {"revisionHistoryLimit": spec.revision_history_limit}, causes)


def _check_selected(selector: LabelSelector | None, template: PodTemplateSpec, path: Path, causes: list[Cause]) -> None:
    """Check the selector, which selects nothing where it is absent, and that the template's Pods are selected."""
    if selector is not None:
        meta.check_selector(selector, path / "selector", causes)
    try:
        selects = from_label_selector(selector) if selector is not None else NOTHING
    except ValueError:
        return
    labels = template.metadata.labels
    if not selects.matches(labels):
        said = "`selector` does not match template `labels`"
        causes.append(invalid(path / "template" / "metadata" / "labels", labels, said))
    if selector is not None and not selector.match_labels and not selector.match_expressions:
        causes.append(invalid(path / "selector", selector, "empty selector is invalid for daemonset"))


def _check_strategy(strategy: DaemonSetUpdateStrategy | None, path: Path, causes: list[Cause]) -> None:
    kind = strategy.type if strategy is not None else ""
    if kind not in _STRATEGIES:
        causes.append(not_supported(path, strategy, _STRATEGIES))
    elif strategy is not None and kind == "RollingUpdate":
        if strategy.rolling_update is None:
            causes.append(required(path / "rollingUpdate"))
        else:
            _check_rolling(strategy.rolling_update, path / "rollingUpdate", causes)


def _check_rolling(rolling: RollingUpdateDaemonSet, path: Path, causes: list[Cause]) -> None:
    parts = {"maxUnavailable": rolling.max_unavailable, "maxSurge": rolling.max_surge}
    for check in (check_share, check_part):
        for name, value in parts.items():
            check(value, path / name, causes)
    none_missing, none_more = is_nothing(rolling.max_unavailable), is_nothing(rolling.max_surge)
    if not none_missing and not none_more:
        causes.append(invalid(path / "maxSurge", rolling.max_surge, "may not be set when maxUnavailable is non-zero"))
    elif none_missing and none_more:
        causes.append(required(path / "maxUnavailable", "cannot be 0 when maxSurge is 0"))


def _check_status(status: DaemonSetStatus, causes: list[Cause]) -> None:
    counts = {
        "currentNumberScheduled": status.current_number_scheduled,
        "numberMisscheduled": status.number_misscheduled,
        "desiredNumberScheduled": status.desired_number_scheduled,
        "numberReady": status.number_ready,
        "observedGeneration": status.observed_generation,
        "updatedNumberScheduled": status.updated_number_scheduled,
        "numberAvailable": status.number_available,
        "numberUnavailable": status.number_unavailable,
        "collisionCount": status.collision_count,
    }
    check_not_negative(STATUS, counts, causes)
