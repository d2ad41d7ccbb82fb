"""Which taints a Node's state asks for. Pure.

Owns two groups of taints and nothing of the rest of a Node's taints: those that keep Pods away (NoSchedule, from the
conditions and from `spec.unschedulable`) and those that drive Pods out (NoExecute, from Ready alone, one or none).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.types.core_v1 import Taint
from podling.controllers.node_health import ready_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import Node

NOT_READY: Final = "node.kubernetes.io/not-ready"
UNREACHABLE: Final = "node.kubernetes.io/unreachable"
UNSCHEDULABLE: Final = "node.kubernetes.io/unschedulable"
OUT_OF_SERVICE: Final = "node.kubernetes.io/out-of-service"

_BY_CONDITION: Final = {
    ("Ready", "False"): NOT_READY,
    ("Ready", "Unknown"): UNREACHABLE,
    ("MemoryPressure", "True"): "node.kubernetes.io/memory-pressure",
    ("DiskPressure", "True"): "node.kubernetes.io/disk-pressure",
    ("NetworkUnavailable", "True"): "node.kubernetes.io/network-unavailable",
    ("PIDPressure", "True"): "node.kubernetes.io/pid-pressure",
}
_DRIVING: Final = {"False": NOT_READY, "Unknown": UNREACHABLE}


def keeping_away(node: Node) -> tuple[str, ...]:
    """Return the keys of the NoSchedule taints that a Node must have of those owned here."""
    states = [(c.type, c.status) for c in node.status.conditions]
    keys = [_BY_CONDITION[state] for state in states if state in _BY_CONDITION]
    return (*keys, UNSCHEDULABLE) if node.spec.unschedulable else tuple(keys)


def driving_out(node: Node) -> str:
    """Return the key of the NoExecute taint that a Node's Ready condition asks for; empty where it is ready."""
    return _DRIVING.get(ready_status(node), "")


def driven_out(node: Node) -> str:
    """Return the key of the NoExecute taint of ours that a Node has; empty where it has none."""
    return next((t.key for t in node.spec.taints if t.effect == "NoExecute" and t.key in _DRIVING.values()), "")


def wanted(node: Node, driving: Iterable[str], now: str) -> tuple[Taint, ...] | None:
    """Return a Node's taints as they must be, with the NoExecute taints `driving`; `None` where they are so already.

    Taints that stay keep their place and their time; what is new comes last, dated `now`.
    """
    asked = {(key, "NoSchedule"): None for key in keeping_away(node)} | {(key, "NoExecute"): None for key in driving}
    kept = [t for t in node.spec.taints if not _is_ours(t) or (t.key, t.effect) in asked]
    there = {(t.key, t.effect) for t in kept}
    new = [Taint(key=key, effect=effect, time_added=now) for key, effect in asked if (key, effect) not in there]
    taints = (*kept, *new)
    return None if taints == node.spec.taints else taints


def _is_ours(taint: Taint) -> bool:
    if taint.effect == "NoExecute":
        return taint.key in _DRIVING.values()
    return taint.effect == "NoSchedule" and (taint.key == UNSCHEDULABLE or taint.key in _BY_CONDITION.values())
