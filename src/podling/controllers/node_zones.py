"""How fast lost Nodes may be tainted NoExecute, zone by zone. Pure.

Owns upstream's caution: where many Nodes are lost at once, the network is the likelier culprit, and Pods are driven out
slowly, or not at all. A Node's own state decides nothing here; only how many share it.

    zone:     normal 0.1/s ── 3 or more lost, 55 % of it ──▶ partial 0.01/s (none in a small zone)
              all of it lost ──▶ 0.1/s again
    cluster:  every zone all lost ──▶ nobody is driven out ── some Node is back ──▶ all are heard afresh
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Node
    from podling.controllers.settings import Settings

_ZONE: Final = "topology.kubernetes.io/zone"
_REGION: Final = "topology.kubernetes.io/region"
_EXCLUDED: Final = "node.kubernetes.io/exclude-disruption"
_MANY: Final = 2


class Disruption(Enum):
    NORMAL = auto()
    PARTIAL = auto()
    FULL = auto()


@dataclass(slots=True)
class _Zone:
    ready: int = 0
    lost: int = 0
    next_taint: float = 0.0


@dataclass(slots=True)
class Zones:
    """All Nodes by zone."""

    settings: Settings
    _zones: dict[str, _Zone] = field(default_factory=dict)
    _nodes: dict[str, tuple[str, bool]] = field(default_factory=dict)

    def set(self, node: Node, ready: bool) -> None:
        """Count a Node in as it is now."""
        self.remove(node.metadata.name)
        if _EXCLUDED in node.metadata.labels:
            return
        zone = zone_of(node)
        self._nodes[node.metadata.name] = (zone, ready)
        held = self._zones.setdefault(zone, _Zone())
        held.ready += ready
        held.lost += not ready

    def remove(self, name: str) -> None:
        counted = self._nodes.pop(name, None)
        if counted is not None:
            zone, ready = counted
            self._zones[zone].ready -= ready
            self._zones[zone].lost -= not ready

    @property
    def all_lost(self) -> bool:
        """Whether no Node at all is ready: then nobody is driven out."""
        peopled = [zone for zone in self._zones.values() if zone.ready or zone.lost]
        return bool(peopled) and not any(zone.ready for zone in peopled)

    def disruption(self, zone: str) -> Disruption:
        held = self._zones.get(zone, _Zone())
        if held.lost and not held.ready:
            return Disruption.FULL
        if held.lost > _MANY and held.lost / (held.lost + held.ready) >= self.settings.unhealthy_zone_threshold:
            return Disruption.PARTIAL
        return Disruption.NORMAL

    def states(self) -> dict[str, Disruption]:
        return {zone: self.disruption(zone) for zone in self._zones}

    def wait(self, node: Node, now: float) -> float | None:
        """Return the seconds until a Node of this zone may be tainted; `None` as long as things stay as they are."""
        if self.all_lost or not self._rate(zone_of(node)):
            return None
        return max(self._zones.setdefault(zone_of(node), _Zone()).next_taint - now, 0.0)

    def tainted(self, node: Node, now: float) -> None:
        """Note that a Node was tainted: the next of its zone waits."""
        zone = zone_of(node)
        rate = self._rate(zone)
        self._zones.setdefault(zone, _Zone()).next_taint = now + (1 / rate if rate else 0.0)

    def _rate(self, zone: str) -> float:
        if self.disruption(zone) is not Disruption.PARTIAL:
            return self.settings.node_eviction_rate
        held = self._zones[zone]
        is_large = held.ready + held.lost > self.settings.large_cluster_size_threshold
        return self.settings.secondary_node_eviction_rate if is_large else 0.0


def zone_of(node: Node) -> str:
    """Return region and zone as one key; empty where a Node names neither."""
    labels = node.metadata.labels
    region, zone = labels.get(_REGION, ""), labels.get(_ZONE, "")
    return f"{region}:\0:{zone}" if region or zone else ""
