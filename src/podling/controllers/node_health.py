"""Is a Node still there? Pure.

Owns when a Node was last heard of and what is said of one that has gone silent. A sign of life is a new heartbeat in
the Ready condition or a renewed Lease, and it counts from when it was *seen*: the clocks of Nodes are not trusted.

    heard of ──── grace period over ───▶ Ready and the pressures Unknown ──── a sign of life: the kubelet says so itself
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from podling.api.times import from_wire

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Node, NodeCondition
    from podling.controllers.settings import Settings

_TYPES: Final = ("Ready", "MemoryPressure", "DiskPressure", "PIDPressure")


@dataclass(frozen=True, slots=True)
class Health:
    """What was last seen of a Node. Instants are monotonic."""

    heard: float
    has_status: bool
    heartbeat: str | None
    renewed: float | None
    """The Lease's renewal as the Node dated it."""

    def lost_at(self, settings: Settings) -> float:
        """Return when the Node counts as lost if nothing more is heard of it."""
        period = settings.node_monitor_grace_period if self.has_status else settings.node_startup_grace_period
        return self.heard + period


def condition(node: Node, type_: str) -> NodeCondition | None:
    return next((c for c in node.status.conditions if c.type == type_), None)


def ready_status(node: Node) -> str:
    """Return the status of the Ready condition; Unknown where there is none."""
    ready = condition(node, "Ready")
    return ready.status if ready is not None else "Unknown"


def observe(held: Health | None, node: Node, renewed: str | None, now: float, age: float) -> Health:
    """Take in a Node and its Lease as they are seen `now`; `age` is the seconds since the Node's creation."""
    ready = condition(node, "Ready")
    heartbeat = ready.last_heartbeat_time if ready is not None else None
    lease = _instant(renewed)
    if held is None:
        heard = now if ready is not None else now - age
    elif held.has_status != (ready is not None) or held.heartbeat != heartbeat:
        heard = now
    else:
        heard = held.heard
    before = held.renewed if held is not None else None
    if lease is not None and (before is None or lease > before):
        heard = now
    else:
        lease = before
    return Health(heard, ready is not None, heartbeat, lease)


def silenced(node: Node, now: str) -> list[dict[str, Any]]:
    """Return the conditions that change when a Node is lost, as a strategic patch merges them."""
    changed: list[dict[str, Any]] = []
    for type_ in _TYPES:
        held = condition(node, type_)
        told: dict[str, Any] = {"type": type_, "status": "Unknown", "lastTransitionTime": now}
        if held is None:
            created = node.metadata.creation_timestamp
            told |= {"reason": "NodeStatusNeverUpdated", "message": "Kubelet never posted node status."}
            changed.append(told | {"lastHeartbeatTime": created})
        elif held.status != "Unknown":
            told |= {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
            changed.append(told)
    return changed


def _instant(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return from_wire(text)
    except ValueError:
        return None
