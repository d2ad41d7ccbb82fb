"""How many Pods a ReplicaSet or ReplicationController lacks or has too many, and what it says of itself. Pure.

Owns upstream's rule, which is one for both kinds. What counts are active Pods: neither over nor on their way out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import msgspec

from podling.api.pods import is_ready
from podling.api.times import to_wire
from podling.api.types.apps_v1 import ReplicaSet, ReplicaSetCondition, ReplicaSetStatus
from podling.api.types.core_v1 import (
    ReplicationController,
    ReplicationControllerCondition,
    ReplicationControllerStatus,
)
from podling.controllers.availability import available_in
from podling.controllers.pod_ranking import ranked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod

Replicas: TypeAlias = ReplicaSet | ReplicationController
Status: TypeAlias = ReplicaSetStatus | ReplicationControllerStatus

BURST: Final = 500
"""How many Pods are made or deleted at one look."""
REPLICA_FAILURE: Final = "ReplicaFailure"


@dataclass(frozen=True, slots=True)
class ReplicasPlan:
    """What to make and what to take away; never both."""

    create: int
    delete: tuple[Pod, ...]


def plan(wanted: int, active: Sequence[Pod], related: Sequence[Pod], now: float) -> ReplicasPlan:
    """Compare the active Pods with the wanted number; `related` are those whose spread over Nodes matters."""
    surplus = min(len(active) - wanted, BURST)
    if surplus <= 0:
        return ReplicasPlan(min(-surplus, BURST), ())
    if surplus == len(active):
        return ReplicasPlan(0, tuple(active))
    return ReplicasPlan(0, tuple(ranked(active, related, now)[:surplus]))


def status(found: Replicas, active: Sequence[Pod], terminating: int, failure: str, now: float) -> Status | None:
    """Return the status to be written, `None` where it says so already; `failure` is why a plan was not carried out."""
    template = found.spec.template.metadata.labels if found.spec.template is not None else {}
    seconds = found.spec.min_ready_seconds or 0
    counts: dict[str, Any] = {
        "replicas": len(active),
        "fully_labeled_replicas": sum(template.items() <= pod.metadata.labels.items() for pod in active) or None,
        "ready_replicas": sum(is_ready(pod) for pod in active) or None,
        "available_replicas": sum(available_in(pod, seconds, now) == 0 for pod in active) or None,
        "observed_generation": found.metadata.generation,
        "conditions": _conditions(found, len(active), failure, now),
    }
    if isinstance(found, ReplicaSet):
        of_set = ReplicaSetStatus(**counts, terminating_replicas=terminating)
        return of_set if of_set != found.status else None
    of_controller = ReplicationControllerStatus(**counts)
    return of_controller if of_controller != found.status else None


def with_status(found: Replicas, fresh: Status) -> Replicas:
    return msgspec.structs.replace(found, status=fresh)


def _conditions(found: Replicas, have: int, failure: str, now: float) -> tuple[Any, ...]:
    """Say that the Pods cannot be made or deleted for as long as that is so, with the reason of the first time."""
    held = found.status.conditions if found.status is not None else ()
    others = tuple(condition for condition in held if condition.type != REPLICA_FAILURE)
    if not failure:
        return others
    if len(others) < len(held):
        return held
    kind = ReplicaSetCondition if isinstance(found, ReplicaSet) else ReplicationControllerCondition
    fresh = kind(
        type=REPLICA_FAILURE,
        status="True",
        reason="FailedCreate" if have < (found.spec.replicas or 0) else "FailedDelete",
        message=failure,
        last_transition_time=to_wire(now),
    )
    return (*others, fresh)
