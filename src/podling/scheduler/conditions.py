"""The PodScheduled condition, as the scheduler writes it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.times import to_wire

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod

UNSCHEDULABLE = "Unschedulable"
SCHEDULER_ERROR = "SchedulerError"
GATED = "SchedulingGated"
PREEMPTED: Final = "PreemptionByScheduler"
GATED_MESSAGE = "Scheduling is blocked due to non-empty scheduling gates"


def not_scheduled(
    pod: Pod, reason: str, message: str, now: float, nominated: str | None = None
) -> dict[str, Any] | None:
    """Return the status patch (strategic) that says why a Pod has no Node; `None` where it says so already.

    The time of transition stays while the condition stays False, as upstream keeps it. `nominatedNodeName` becomes
    `nominated`; `None` leaves it as it is.
    """
    promise: dict[str, Any] = {}
    if nominated is not None and nominated != pod.status.nominated_node_name:
        promise["nominatedNodeName"] = nominated or None
    held = next((c for c in pod.status.conditions if c.type == "PodScheduled"), None)
    since: str | None = to_wire(now)
    if held is not None and held.status == "False":
        if held.reason == reason and held.message == message and not promise:
            return None
        since = held.last_transition_time or since
    condition: dict[str, Any] = {
        "type": "PodScheduled",
        "status": "False",
        "reason": reason,
        "message": message,
        "lastProbeTime": None,
        "lastTransitionTime": since,
    }
    if pod.metadata.generation:
        condition["observedGeneration"] = pod.metadata.generation
    return {"metadata": {"uid": pod.metadata.uid}, "status": {**promise, "conditions": [condition]}}
