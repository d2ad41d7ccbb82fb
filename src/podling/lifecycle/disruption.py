"""What others than its kubelet say in a Pod's status: that it is about to be deleted, or not ready any more. Pure.

Owns the form of the patches: strategic merges by type, bound to the Pod's uid, so that a namesake is never told what
was meant for another.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.pods import TERMINAL_PHASES
from podling.api.times import to_wire

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod, PodCondition

DISRUPTION_TARGET: Final = "DisruptionTarget"


def condition(pod: Pod, type_: str) -> PodCondition | None:
    return next((c for c in pod.status.conditions if c.type == type_), None)


def not_ready(pod: Pod, now: float) -> dict[str, Any] | None:
    """Return the status patch that takes a Pod's readiness away; `None` where it has none to take."""
    held = condition(pod, "Ready")
    if held is None or held.status == "False":
        return None
    told: dict[str, Any] = {"type": "Ready", "status": "False", "lastTransitionTime": to_wire(now)}
    return _patch(pod, {"conditions": [_observed(pod, told)]})


def disrupted(pod: Pod, reason: str, message: str, now: float, *, failed: bool = False) -> dict[str, Any] | None:
    """Return the status patch that says why a Pod is about to be deleted; with `failed`, that it has failed too.

    `None` where all of it is said already. Without a reason only the phase is written.
    """
    changes: dict[str, Any] = {}
    if failed and pod.status.phase not in TERMINAL_PHASES:
        changes["phase"] = "Failed"
    held = condition(pod, DISRUPTION_TARGET)
    if reason and (held is None or (held.status, held.reason, held.message) != ("True", reason, message)):
        since = held.last_transition_time if held is not None and held.status == "True" else to_wire(now)
        told: dict[str, Any] = {"type": DISRUPTION_TARGET, "status": "True", "reason": reason, "message": message}
        changes["conditions"] = [_observed(pod, told | {"lastTransitionTime": since})]
    return _patch(pod, changes) if changes else None


def _observed(pod: Pod, told: dict[str, Any]) -> dict[str, Any]:
    return told | {"observedGeneration": pod.metadata.generation} if pod.metadata.generation else told


def _patch(pod: Pod, status: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"uid": pod.metadata.uid}, "status": status}
