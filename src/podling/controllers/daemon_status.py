"""What a DaemonSet says of itself: how many Nodes are to have a Pod, have one, and have a good one. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.pods import is_ready
from podling.api.types.apps_v1 import DaemonSetStatus
from podling.controllers.availability import available_in
from podling.controllers.daemon_pods import is_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.apps_v1 import DaemonSet
    from podling.api.types.core_v1 import Pod
    from podling.controllers.daemon_pods import Fit

_NOTHING = DaemonSetStatus(
    current_number_scheduled=0, desired_number_scheduled=0, number_misscheduled=0, number_ready=0
)


def status(
    found: DaemonSet,
    revision: str,
    fits: Mapping[str, Fit],
    pods: Mapping[str, Sequence[Pod]],
    collisions: int,
    now: float,
) -> DaemonSetStatus:
    """Reckon the counts by the first Pod of each Node; conditions are whoever's that set them."""
    seconds = found.spec.min_ready_seconds or 0
    wanted = [node for node, place in fits.items() if place.begins]
    first = [pods[node][0] for node in wanted if pods.get(node)]
    available = sum(available_in(pod, seconds, now) == 0 for pod in first)
    return msgspec.structs.replace(
        found.status or _NOTHING,
        desired_number_scheduled=len(wanted),
        current_number_scheduled=len(first),
        number_misscheduled=sum(bool(pods.get(node)) for node, place in fits.items() if not place.begins),
        number_ready=sum(map(is_ready, first)),
        updated_number_scheduled=sum(is_of(pod, revision) for pod in first) or None,
        number_available=available or None,
        number_unavailable=len(wanted) - available or None,
        observed_generation=found.metadata.generation,
        collision_count=collisions or None,
    )
