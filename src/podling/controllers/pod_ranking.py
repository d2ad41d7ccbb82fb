"""Which of a workload's Pods it can do without: upstream's ranking of active Pods. Pure.

Owns the order. From who goes first to who goes last:

    without a Node · Pending · Unknown · not ready · cheap by the Pod's own annotation · many of its kind on its Node
    · ready for a short time · often restarted · young

Ages are compared by their magnitude (powers of two), and between Pods of like age the uid decides, so that scaling down
does not always hit the Pods of the same zone, which came last.
"""

from __future__ import annotations

import math
from collections import Counter
from functools import cmp_to_key
from typing import TYPE_CHECKING, Final

from podling.api.pods import is_active, is_ready, is_sidecar, ready_condition
from podling.api.times import from_wire

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.types.core_v1 import Pod

DELETION_COST: Final = "controller.kubernetes.io/pod-deletion-cost"
_PHASES: Final = {"Pending": 0, "Unknown": 1, "Running": 2}
_NANOSECONDS: Final = 1_000_000_000


def ranked(pods: Iterable[Pod], related: Iterable[Pod], now: float) -> Sequence[Pod]:
    """Return Pods in the order in which they may go; `related` are those whose spread over the Nodes matters."""
    beside = Counter(pod.spec.node_name for pod in related if is_active(pod))

    def fixed(pod: Pod) -> tuple[object, ...]:
        return (
            bool(pod.spec.node_name),
            _PHASES.get(pod.status.phase, 0),
            is_ready(pod),
            _cost(pod),
            -beside[pod.spec.node_name],
        )

    def compare(one: Pod, other: Pod) -> int:
        first, second = fixed(one), fixed(other)
        if first != second:
            return -1 if first < second else 1
        if is_ready(one):
            order = _by_age(one, other, _ready_since(one), _ready_since(other), now)
            if order:
                return order
        first, second = _restarts(one), _restarts(other)
        if first != second:
            return -1 if first > second else 1
        return _by_age(one, other, one.metadata.creation_timestamp, other.metadata.creation_timestamp, now)

    return sorted(pods, key=cmp_to_key(compare))


def _by_age(one: Pod, other: Pod, since: str | None, other_since: str | None, now: float) -> int:
    """Compare by how long something has been so: unknown first, then what is of a lesser magnitude."""
    if since == other_since:
        return 0
    if not since or not other_since:
        return 1 if since else -1
    magnitude, other_magnitude = _magnitude(since, now), _magnitude(other_since, now)
    if magnitude != other_magnitude:
        return magnitude - other_magnitude
    return -1 if one.metadata.uid < other.metadata.uid else 1


def _magnitude(since: str, now: float) -> int:
    age = now - from_wire(since)
    return int(math.log2(age * _NANOSECONDS)) if age > 0 else -1


def _ready_since(pod: Pod) -> str | None:
    held = ready_condition(pod)
    return held.last_transition_time if held is not None else None


def _restarts(pod: Pod) -> tuple[int, int]:
    """Return the most restarts of any container, and of any sidecar."""
    beside = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    return (
        max((held.restart_count for held in pod.status.container_statuses), default=0),
        max((held.restart_count for held in pod.status.init_container_statuses if held.name in beside), default=0),
    )


def _cost(pod: Pod) -> int:
    text = pod.metadata.annotations.get(DELETION_COST, "0")
    try:
        return int(text)
    except ValueError:
        return 0
