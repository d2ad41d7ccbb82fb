"""How large each ReplicaSet of a Deployment may be: upstream's arithmetic of rolling and of proportional scaling. Pure.

    wanted − maxUnavailable ≤ available          while it rolls
    all of all ReplicaSets ≤ wanted + maxSurge

Of a share, maxSurge rounds up and maxUnavailable down; where both come to nothing, one may be unavailable, as nothing
could move otherwise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.shares import scaled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.types.apps_v1 import Deployment, ReplicaSet

DESIRED: Final = "deployment.kubernetes.io/desired-replicas"
MOST: Final = "deployment.kubernetes.io/max-replicas"


def wanted(deployment: Deployment) -> int:
    return deployment.spec.replicas or 0


def size(one: ReplicaSet) -> int:
    return one.spec.replicas or 0


def total(sets: Iterable[ReplicaSet]) -> int:
    return sum(size(one) for one in sets)


def available(one: ReplicaSet) -> int:
    return (one.status.available_replicas or 0) if one.status is not None else 0


def actual(one: ReplicaSet) -> int:
    """Return how many Pods a ReplicaSet says it has."""
    return one.status.replicas if one.status is not None else 0


def is_rolling(deployment: Deployment) -> bool:
    return deployment.spec.strategy is not None and deployment.spec.strategy.type == "RollingUpdate"


def fence_posts(deployment: Deployment) -> tuple[int, int]:
    """Return how many Pods more than wanted there may be, and how many of the wanted may be missing."""
    strategy = deployment.spec.strategy
    rolling = strategy.rolling_update if strategy is not None and strategy.type == "RollingUpdate" else None
    if rolling is None:
        return 0, 0
    surge = scaled(rolling.max_surge or 0, wanted(deployment), up=True)
    missing = scaled(rolling.max_unavailable or 0, wanted(deployment), up=False)
    return (surge, missing) if surge or missing else (0, 1)


def max_surge(deployment: Deployment) -> int:
    return fence_posts(deployment)[0]


def max_unavailable(deployment: Deployment) -> int:
    """Return how many may be missing: no more than there are."""
    return min(fence_posts(deployment)[1], wanted(deployment))


def new_size(deployment: Deployment, sets: Iterable[ReplicaSet], new: ReplicaSet) -> int:
    """Return how large the new ReplicaSet may be beside the others; `sets` holds it too."""
    if not is_rolling(deployment):
        return wanted(deployment)
    room = wanted(deployment) + max_surge(deployment) - total(sets)
    return size(new) + max(min(room, wanted(deployment) - size(new)), 0)


def removable(deployment: Deployment, sets: Iterable[ReplicaSet], new: ReplicaSet) -> int:
    """Return how many old Pods may go, the unhealthy ones among them; those that the new set still lacks count."""
    least = wanted(deployment) - max_unavailable(deployment)
    return total(sets) - least - (size(new) - available(new))


def proportional(deployment: Deployment, sets: Sequence[ReplicaSet]) -> Mapping[str, int]:
    """Return the sizes, by name, of ReplicaSets among which a Deployment that rolls spreads a change of its own.

    Each gets its share of what is added or taken; what rounding leaves goes to the largest, of which growing prefers
    the newest and shrinking the oldest.
    """
    allowed = wanted(deployment) + max_surge(deployment) if wanted(deployment) else 0
    change = allowed - total(sets)
    ordered = sorted(
        sets, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name), reverse=change > 0
    )
    ordered.sort(key=size, reverse=True)  # stable: like ones stay by age
    sizes: dict[str, int] = {}
    spread = 0
    for one in ordered:
        share = _share(deployment, one, allowed, change, spread)
        sizes[one.metadata.name] = size(one) + share
        spread += share
    if ordered and change:
        largest = ordered[0].metadata.name
        sizes[largest] = max(sizes[largest] + change - spread, 0)
    return sizes


def _share(deployment: Deployment, one: ReplicaSet, allowed: int, change: int, spread: int) -> int:
    left = change - spread
    if not size(one) or not change or not left:
        return 0
    fraction = _fraction(deployment, one, allowed)
    return min(fraction, left) if change > 0 else max(fraction, left)


def _fraction(deployment: Deployment, one: ReplicaSet, allowed: int) -> int:
    if not wanted(deployment):
        return -size(one)
    before = annotated(one, MOST) or deployment.status.replicas or 0
    if not before:
        return 0
    return _rounded(size(one) * allowed, before) - size(one)


def _rounded(dividend: int, divisor: int) -> int:
    """Return a quotient, halves rounded up."""
    return (2 * dividend + divisor) // (2 * divisor)


def annotated(one: ReplicaSet, name: str) -> int | None:
    """Return the number in an annotation; `None` where there is none."""
    try:
        return int(one.metadata.annotations[name])
    except (KeyError, ValueError):
        return None
