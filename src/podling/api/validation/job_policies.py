"""What a Job makes of its Pods' failures and of its indexes' success: `podFailurePolicy` and `successPolicy`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api import indexes
from podling.api.validation.field import Path, duplicate, invalid, not_supported, quoted, required, too_long, too_many
from podling.api.validation.meta import check_label_name
from podling.api.validation.workloads import check_not_negative

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.errors import Cause
    from podling.api.types.batch_v1 import (
        JobSpec,
        PodFailurePolicy,
        PodFailurePolicyOnExitCodesRequirement,
        PodFailurePolicyOnPodConditionsPattern,
        PodFailurePolicyRule,
        SuccessPolicy,
        SuccessPolicyRule,
    )

_MOST_RULES: Final = 20
_MOST_CODES: Final = 255
_MOST_PATTERNS: Final = 20
_LONGEST_INDEXES: Final = 64 * 1024
_ACTIONS: Final = ("Count", "FailIndex", "FailJob", "Ignore")
_OPERATORS: Final = ("In", "NotIn")
_STATUSES: Final = ("False", "True", "Unknown")


def check_failure_policy(spec: JobSpec, policy: PodFailurePolicy, path: Path, causes: list[Cause]) -> None:
    rules, path = policy.rules, path / "rules"
    if len(rules) > _MOST_RULES:
        causes.append(too_many(path, len(rules), _MOST_RULES))
    pod = spec.template.spec
    names = {one.name for one in (*pod.containers, *pod.init_containers)} if pod is not None else set()
    for i, rule in enumerate(rules):
        _check_action(spec, rule, path[i] / "action", causes)
        if rule.on_exit_codes is not None:
            _check_codes(rule.on_exit_codes, names, path[i] / "onExitCodes", causes)
        if rule.on_pod_conditions:
            _check_patterns(rule.on_pod_conditions, path[i] / "onPodConditions", causes)
        given = (rule.on_exit_codes is not None) + bool(rule.on_pod_conditions)
        if given != 1:
            said = "both OnExitCodes and OnPodConditions is not supported" if given else _NEITHER
            causes.append(_of_rule(path[i], f"specifying {said}"))


_NEITHER: Final = "one of OnExitCodes and OnPodConditions is required"


def _of_rule(path: Path, said: str) -> Cause:
    """Refuse a rule as a whole, which upstream's messages do not show."""
    from podling.api.errors import Cause

    return Cause("FieldValueInvalid", f"Invalid value: {said}", str(path))


def _check_action(spec: JobSpec, rule: PodFailurePolicyRule, path: Path, causes: list[Cause]) -> None:
    if not rule.action:
        causes.append(required(path, f"valid values: {_listed(_ACTIONS)}"))
    elif rule.action not in _ACTIONS:
        causes.append(not_supported(path, rule.action, _ACTIONS))
    elif rule.action == "FailIndex" and spec.backoff_limit_per_index is None:
        causes.append(invalid(path, rule.action, "requires the backoffLimitPerIndex to be set"))


def _check_codes(
    codes: PodFailurePolicyOnExitCodesRequirement, names: set[str], path: Path, causes: list[Cause]
) -> None:
    if not codes.operator:
        causes.append(required(path / "operator", f"valid values: {_listed(_OPERATORS)}"))
    elif codes.operator not in _OPERATORS:
        causes.append(not_supported(path / "operator", codes.operator, _OPERATORS))
    if codes.container_name is not None and codes.container_name not in names:
        said = "must be one of the container or initContainer names in the pod template"
        causes.append(invalid(path / "containerName", codes.container_name, said))
    values, path = codes.values, path / "values"
    if not values:
        causes.append(invalid(path, values, "at least one value is required"))
    elif len(values) > _MOST_CODES:
        causes.append(too_many(path, len(values), _MOST_CODES))
    seen: set[int] = set()
    for i, value in enumerate(values):
        if codes.operator == "In" and value == 0:
            causes.append(invalid(path[i], value, "must not be 0 for the In operator"))
        if value in seen:
            causes.append(duplicate(path[i], value))
        seen.add(value)
    if list(values) != sorted(values):
        causes.append(invalid(path, values, "must be ordered"))


def _check_patterns(
    patterns: Sequence[PodFailurePolicyOnPodConditionsPattern], path: Path, causes: list[Cause]
) -> None:
    if len(patterns) > _MOST_PATTERNS:
        causes.append(too_many(path, len(patterns), _MOST_PATTERNS))
    for i, pattern in enumerate(patterns):
        check_label_name(pattern.type, path[i] / "type", causes)
        if not pattern.status:
            causes.append(required(path[i] / "status", f"valid values: {_listed(_STATUSES)}"))
        elif pattern.status not in _STATUSES:
            causes.append(not_supported(path[i] / "status", pattern.status, _STATUSES))


def check_success_policy(spec: JobSpec, policy: SuccessPolicy, path: Path, causes: list[Cause]) -> None:
    """Check the rules of an Indexed Job."""
    path = path / "rules"
    if not policy.rules:
        causes.append(required(path, "at least one rules must be specified when the successPolicy is specified"))
    if len(policy.rules) > _MOST_RULES:
        causes.append(too_many(path, len(policy.rules), _MOST_RULES))
    for i, rule in enumerate(policy.rules):
        _check_success(rule, spec.completions or 0, path[i], causes)


def _check_success(rule: SuccessPolicyRule, completions: int, path: Path, causes: list[Cause]) -> None:
    count, text = rule.succeeded_count, rule.succeeded_indexes
    if count is None and text is None:
        causes.append(required(path, "at least one of succeededCount or succeededIndexes must be specified"))
    total = 0
    if text is not None:
        where = path / "succeededIndexes"
        if len(text) > _LONGEST_INDEXES:
            causes.append(too_long(where, _LONGEST_INDEXES))
        try:
            total = len(indexes.parse(text, completions))
        except ValueError as why:
            causes.append(invalid(where, text, f"error parsing succeededIndexes: {why}"))
    if count is None:
        return
    check_not_negative(path, {"succeededCount": count}, causes)
    where, most = path / "succeededCount", "must be less than or equal to"
    if count > completions:
        causes.append(invalid(where, count, f"{most} {completions} (the number of specified completions)"))
    if text is not None and count > total:
        said = f"{most} {total} (the number of indexes in the specified succeededIndexes field)"
        causes.append(invalid(where, count, said))


def _listed(values: Sequence[str]) -> str:
    """Return a list as Go's `%q` shows one."""
    return f"[{' '.join(quoted(value) for value in values)}]"
