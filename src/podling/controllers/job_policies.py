"""What a Job's own policies say of a failed Pod, and of the indexes that have succeeded. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from podling.api import indexes

if TYPE_CHECKING:
    from podling.api.indexes import Indexes
    from podling.api.types.batch_v1 import (
        PodFailurePolicy,
        PodFailurePolicyOnExitCodesRequirement,
        PodFailurePolicyRule,
        SuccessPolicy,
    )
    from podling.api.types.core_v1 import ContainerStatus, Pod

Action = Literal["", "Count", "FailIndex", "FailJob", "Ignore"]


class Match(NamedTuple):
    """The first rule that a failed Pod matches."""

    action: Action
    message: str
    """Why, for the Job that fails by it."""


_NONE: Final = Match("", "")


def match(policy: PodFailurePolicy | None, pod: Pod) -> Match:
    """Return what a policy says of a failed Pod; nothing where no rule matches."""
    for number, rule in enumerate(policy.rules) if policy is not None else ():
        why = _why(rule, pod)
        if why:
            action: Action = rule.action  # type: ignore[assignment]  # validation lets no other pass
            return Match(action, f"{why} matching {action} rule at index {number}")
    return _NONE


def action_on(policy: PodFailurePolicy | None, pod: Pod) -> Action:
    return match(policy, pod).action


def _why(rule: PodFailurePolicyRule, pod: Pod) -> str:
    """Return how a Pod matches a rule, in upstream's words; empty where it does not."""
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    if rule.on_exit_codes is not None:
        for held in (*pod.status.container_statuses, *pod.status.init_container_statuses):
            code = _code(held, rule.on_exit_codes)
            if code:
                return f"Container {held.name} for pod {name} failed with exit code {code}"
        return ""
    wanted = {(pattern.type, pattern.status) for pattern in rule.on_pod_conditions}
    for condition in pod.status.conditions:
        if (condition.type, condition.status) in wanted:
            return f"Pod {name} has condition {condition.type}"
    return ""


def _code(held: ContainerStatus, wanted: PodFailurePolicyOnExitCodesRequirement) -> int:
    """Return the exit code by which a container matches, 0 where it does not."""
    ended = held.state.terminated if held.state is not None else None
    if ended is None or wanted.container_name not in {None, held.name}:
        return 0
    listed = ended.exit_code in wanted.values
    return ended.exit_code if listed == (wanted.operator == "In") else 0


def succeeded_by(policy: SuccessPolicy | None, done: Indexes, completions: int) -> str:
    """Return by which rule a Job has succeeded before all of its indexes have; empty where by none."""
    if policy is None or not done:
        return ""
    for number, rule in enumerate(policy.rules):
        count = rule.succeeded_count
        if rule.succeeded_indexes is None:
            met = count is not None and len(done) >= count
        else:
            wanted = indexes.read(rule.succeeded_indexes, completions)
            have = len(wanted & done)
            met = bool(wanted) and (have == len(wanted) or (count is not None and have >= count))
        if met:
            return f"Matched rules at index {number}"
    return ""
