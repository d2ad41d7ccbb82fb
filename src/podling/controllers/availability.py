"""Since when a Pod may be relied on: ready, and that for long enough. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.pods import ready_condition
from podling.api.times import from_wire

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import Pod


def available_in(pod: Pod, seconds: int, now: float) -> float | None:
    """Return how long until a Pod has been ready for `seconds`, 0 where it has; `None` while it is not ready."""
    held = ready_condition(pod)
    if held is None or held.status != "True":
        return None
    if not seconds:
        return 0.0
    if not held.last_transition_time:
        return None
    return max(from_wire(held.last_transition_time) + seconds - now, 0.0)


def next_available(pods: Iterable[Pod], seconds: int, now: float) -> float | None:
    """Return how long until the next Pod will be available."""
    waits = [wait for pod in pods if (wait := available_in(pod, seconds, now))]
    return min(waits, default=None)
