"""Which rules apply, in which order, with which weights: upstream's default profile.

The order of filters decides which reason a Node is refused for: the first that refuses it. To add a rule, add it here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from podling.placement.plugins.balanced_allocation import BalancedAllocation
from podling.placement.plugins.image_locality import ImageLocality
from podling.placement.plugins.inter_pod_affinity import InterPodAffinity
from podling.placement.plugins.node_affinity import NodeAffinity
from podling.placement.plugins.node_name import NodeName
from podling.placement.plugins.node_ports import NodePorts
from podling.placement.plugins.node_resources_fit import NodeResourcesFit
from podling.placement.plugins.node_unschedulable import NodeUnschedulable
from podling.placement.plugins.pod_topology_spread import PodTopologySpread
from podling.placement.plugins.taint_toleration import TaintToleration
from podling.placement.plugins.volume_binding import VolumeBinding
from podling.placement.plugins.volume_restrictions import VolumeRestrictions
from podling.placement.plugins.volume_zone import VolumeZone

if TYPE_CHECKING:
    from podling.placement.plugin import FilterPlugin, ScorePlugin

_NODE_AFFINITY = NodeAffinity()
_TAINT_TOLERATION = TaintToleration()
_NODE_RESOURCES_FIT = NodeResourcesFit()
_POD_TOPOLOGY_SPREAD = PodTopologySpread()
_INTER_POD_AFFINITY = InterPodAffinity()


class Profile(Struct, frozen=True):
    """Rules in the order in which they are asked; scores with their weights."""

    scheduler_name: str
    filters: tuple[FilterPlugin, ...]
    scores: tuple[tuple[ScorePlugin, int], ...]


DEFAULT = Profile(
    scheduler_name="default-scheduler",
    filters=(
        NodeUnschedulable(),
        NodeName(),
        _TAINT_TOLERATION,
        _NODE_AFFINITY,
        NodePorts(),
        _NODE_RESOURCES_FIT,
        VolumeRestrictions(),
        VolumeBinding(),
        VolumeZone(),
        _POD_TOPOLOGY_SPREAD,
        _INTER_POD_AFFINITY,
    ),
    scores=(
        (_TAINT_TOLERATION, 3),
        (_NODE_AFFINITY, 2),
        (_NODE_RESOURCES_FIT, 1),
        (_POD_TOPOLOGY_SPREAD, 2),
        (_INTER_POD_AFFINITY, 2),
        (BalancedAllocation(), 1),
        (ImageLocality(), 1),
    ),
)
