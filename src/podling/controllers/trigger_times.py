"""Since when a change of endpoints has been waiting: the annotation by which its way through the cluster is measured.

Owns what was last seen of each Service and its Pods. Upstream's rule: the earliest of what has changed since; for a
Service seen for the first time, its creation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.pods import ready_condition

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod, Service

ANNOTATION: Final = "endpoints.kubernetes.io/last-change-trigger-time"


class TriggerTimes:
    """Times on the wire, which sort as text."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[str, dict[str, str]]] = {}

    def of(self, key: str, service: Service, pods: Sequence[Pod]) -> str:
        """Return what triggered the change that is now seen; empty where nothing has a time of its own."""
        created = service.metadata.creation_timestamp or ""
        times = {}
        for pod in pods:
            ready = ready_condition(pod)
            if ready is not None and ready.last_transition_time:
                times[pod.metadata.name] = ready.last_transition_time
        before = self._seen.get(key)
        self._seen[key] = (created, times)
        if before is None:
            return created
        changed = [time for name, time in times.items() if time > before[1].get(name, "")]
        if created > before[0]:
            changed.append(created)
        return min(changed, default="")

    def forget(self, key: str) -> None:
        self._seen.pop(key, None)
