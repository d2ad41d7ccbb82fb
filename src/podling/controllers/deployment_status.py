"""What a Deployment says of itself: counts, whether enough Pods are available, and whether it gets on. Pure.

    Progressing   True     NewReplicaSetCreated, FoundNewReplicaSet, ReplicaSetUpdated, NewReplicaSetAvailable
                  Unknown  DeploymentPaused, DeploymentResumed
                  False    ProgressDeadlineExceeded, ReplicaSetCreateError

Each step forward is dated (`lastUpdateTime`); the deadline is counted from the last.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.times import from_wire, to_wire
from podling.api.types.apps_v1 import DeploymentCondition, DeploymentStatus
from podling.controllers.deployment_sizes import actual, available, max_unavailable, total, wanted
from podling.controllers.replicas_plan import REPLICA_FAILURE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.apps_v1 import Deployment, ReplicaSet

PROGRESSING: Final = "Progressing"
AVAILABLE: Final = "Available"
CREATED: Final = "NewReplicaSetCreated"
FOUND: Final = "FoundNewReplicaSet"
UPDATED: Final = "ReplicaSetUpdated"
DONE: Final = "NewReplicaSetAvailable"
PAUSED: Final = "DeploymentPaused"
RESUMED: Final = "DeploymentResumed"
TIMED_OUT: Final = "ProgressDeadlineExceeded"
NOT_CREATED: Final = "ReplicaSetCreateError"
_NEVER: Final = 2**31 - 1
_A_LITTLE: Final = 0.001
"""A Deployment is late once its time is over, not when it ends."""

Conditions = tuple[DeploymentCondition, ...]


def has_deadline(deployment: Deployment) -> bool:
    return deployment.spec.progress_deadline_seconds not in (None, _NEVER)


def condition(conditions: Conditions, kind: str) -> DeploymentCondition | None:
    return next((held for held in conditions if held.type == kind), None)


def without(conditions: Conditions, kind: str) -> Conditions:
    return tuple(held for held in conditions if held.type != kind)


def told(conditions: Conditions, kind: str, status: str, reason: str, message: str, now: float) -> Conditions:
    """Return conditions that say something; what they say already, with that reason, stays as it is."""
    held, instant = condition(conditions, kind), to_wire(now)
    if held is not None and held.status == status and held.reason == reason:
        return conditions
    return _with(
        conditions,
        DeploymentCondition(
            type=kind,
            status=status,
            reason=reason,
            message=message,
            last_update_time=instant,
            last_transition_time=held.last_transition_time if held is not None and held.status == status else instant,
        ),
    )


def _with(conditions: Conditions, fresh: DeploymentCondition) -> Conditions:
    return (*without(conditions, fresh.type), fresh)


def counted(
    deployment: Deployment, sets: Sequence[ReplicaSet], new: ReplicaSet | None, conditions: Conditions, now: float
) -> DeploymentStatus:
    """Return the counts over all ReplicaSets, and whether enough Pods are available."""
    ready = sum((one.status.ready_replicas or 0) for one in sets if one.status is not None)
    have = sum(available(one) for one in sets)
    going = [one.status.terminating_replicas for one in sets if one.status is not None]
    if have >= wanted(deployment) - max_unavailable(deployment):
        said = ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    else:
        said = ("False", "MinimumReplicasUnavailable", "Deployment does not have minimum availability.")
    return DeploymentStatus(
        observed_generation=deployment.metadata.generation,
        replicas=sum(actual(one) for one in sets) or None,
        updated_replicas=(actual(new) if new is not None else 0) or None,
        ready_replicas=ready or None,
        available_replicas=have or None,
        unavailable_replicas=max(total(sets) - have, 0) or None,
        terminating_replicas=sum(number or 0 for number in going) if None not in going else None,
        collision_count=deployment.status.collision_count,
        conditions=told(conditions, AVAILABLE, *said, now),
    )


def is_complete(deployment: Deployment, status: DeploymentStatus) -> bool:
    """Whether all the Pods that are wanted, and no others, are of the present template and available."""
    counts = (status.updated_replicas or 0, status.replicas or 0, status.available_replicas or 0)
    seen = (status.observed_generation or 0) >= (deployment.metadata.generation or 0)
    return counts == (wanted(deployment),) * 3 and seen


def progressed(
    deployment: Deployment, fresh: DeploymentStatus, before: Conditions, new: ReplicaSet | None, now: float
) -> DeploymentStatus:
    """Return a status that also says how the rollout gets on; `before` are the conditions to go on from."""
    held = condition(before, PROGRESSING)
    conditions = fresh.conditions
    if not has_deadline(deployment):
        return msgspec.structs.replace(fresh, conditions=without(conditions, PROGRESSING))
    if held is not None and held.reason == DONE and (fresh.replicas or 0) == (fresh.updated_replicas or 0):
        return fresh
    who = f'ReplicaSet "{new.metadata.name}"' if new is not None else f'Deployment "{deployment.metadata.name}"'
    if is_complete(deployment, fresh):
        said = f"{who} has successfully progressed."
        conditions = told(conditions, PROGRESSING, "True", DONE, said, now)
    elif _moved(deployment.status, fresh):
        # Even with the same reason as before: the step is dated anew.
        since = held.last_transition_time if held is not None and held.status == "True" else None
        step = DeploymentCondition(
            type=PROGRESSING,
            status="True",
            reason=UPDATED,
            message=f"{who} is progressing.",
            last_update_time=to_wire(now),
            last_transition_time=since or to_wire(now),
        )
        conditions = _with(conditions, step)
    elif (left := time_left(deployment, conditions, now)) is not None and left <= 0:
        said = f"{who} has timed out progressing."
        conditions = told(conditions, PROGRESSING, "False", TIMED_OUT, said, now)
    return msgspec.structs.replace(fresh, conditions=conditions)


def time_left(deployment: Deployment, conditions: Conditions, now: float) -> float | None:
    """Return how long until a rollout that does not get on is given up; `None` where that is no question."""
    held = condition(conditions, PROGRESSING)
    if not has_deadline(deployment) or held is None or held.reason in (DONE, TIMED_OUT) or not held.last_update_time:
        return None
    deadline = deployment.spec.progress_deadline_seconds or 0
    return from_wire(held.last_update_time) + deadline + _A_LITTLE - now


def with_failures(status: DeploymentStatus, sets: Sequence[ReplicaSet], new: ReplicaSet | None) -> DeploymentStatus:
    """Return a status with the failure of a ReplicaSet to make its Pods, the new one's first."""
    ordered = [*([new] if new is not None else []), *(one for one in sets if one is not new)]
    failures = [
        held
        for one in ordered
        if one.status is not None
        for held in one.status.conditions
        if held.type == REPLICA_FAILURE
    ]
    if not failures:
        return msgspec.structs.replace(status, conditions=without(status.conditions, REPLICA_FAILURE))
    first, held = failures[0], condition(status.conditions, REPLICA_FAILURE)
    if held is not None and (held.status, held.reason) == (first.status, first.reason):
        return status
    fresh = DeploymentCondition(
        type=REPLICA_FAILURE,
        status=first.status,
        reason=first.reason,
        message=first.message,
        last_update_time=first.last_transition_time,
        last_transition_time=first.last_transition_time,
    )
    return msgspec.structs.replace(status, conditions=_with(status.conditions, fresh))


def _moved(before: DeploymentStatus, after: DeploymentStatus) -> bool:
    """Whether there are more new, fewer old, more ready or more available Pods than before."""
    new, new_before = after.updated_replicas or 0, before.updated_replicas or 0
    old, old_before = (after.replicas or 0) - new, (before.replicas or 0) - new_before
    return (
        new > new_before
        or old < old_before
        or (after.ready_replicas or 0) > (before.ready_replicas or 0)
        or (after.available_replicas or 0) > (before.available_replicas or 0)
    )
