"""What a StatefulSet says of itself: how many Pods there are, and of which template. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.types.apps_v1 import StatefulSetStatus
from podling.controllers.stateful_pods import is_available, is_running, number_of, revision_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.apps_v1 import StatefulSet
    from podling.api.types.core_v1 import Pod


def status(
    found: StatefulSet, current: str, update: str, pods: Iterable[Pod], collisions: int, now: float
) -> StatefulSetStatus:
    """Count a set's Pods, by the names of its revisions.

    Once all that are wanted are of the present template, that is the current one.
    """
    mine = [pod for pod in pods if number_of(found, pod) is not None and pod.status.phase]
    seconds, wanted = found.spec.min_ready_seconds or 0, found.spec.replicas or 0
    ready = [pod for pod in mine if is_running(pod)]
    staying = [revision_of(pod) for pod in mine if pod.metadata.deletion_timestamp is None]
    updated = staying.count(update)
    strategy = found.spec.update_strategy
    rolling = strategy is not None and strategy.type == "RollingUpdate"
    if rolling and updated == len(mine) == len(ready) == wanted:
        current = update
    return StatefulSetStatus(
        observed_generation=found.metadata.generation,
        replicas=len(mine),
        ready_replicas=len(ready) or None,
        available_replicas=sum(is_available(pod, seconds, now) for pod in ready),
        current_replicas=staying.count(current) or None,
        updated_replicas=updated or None,
        current_revision=current,
        update_revision=update,
        collision_count=collisions,
        conditions=found.status.conditions if found.status is not None else (),
    )
