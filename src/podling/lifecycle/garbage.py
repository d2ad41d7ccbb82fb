"""What a node may throw away: dead containers, sandboxes, and images that nobody uses.

Owns the choice; removes nothing. Invariants: what runs, and what a container stands on, is never chosen; a living Pod
keeps the newest dead instance of each container, which is `lastState` and `logs --previous`; images go from the one
longest unused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence


@dataclass(frozen=True, slots=True)
class GarbagePolicy:
    """When what is thrown away; upstream's values, settable. Percentages are of the images' file system."""

    high: int = 85
    low: int = 80
    image_age: float = 120.0
    """Seconds that an image is on the node before it may go."""
    container_age: float = 0.0
    """Seconds since its creation before a dead container may go."""
    dead_kept: int = 1
    """Dead instances kept of each container."""
    image_period: float = 300.0
    container_period: float = 60.0


UPSTREAM_GARBAGE: Final = GarbagePolicy()


class DeadContainer(NamedTuple):
    """A container that has ended."""

    id: str
    uid: str
    name: str
    attempt: int
    created: float


class DeadSandbox(NamedTuple):
    """A sandbox in which nothing can run any more and no container is left."""

    id: str
    uid: str
    attempt: int


class UnusedImage(NamedTuple):
    """An image that no container stands on."""

    id: str
    size: int
    first_seen: float
    last_used: float


def doomed_containers(
    dead: Sequence[DeadContainer], policy: GarbagePolicy, now: float, has_ended: Callable[[str], bool], *, all_: bool
) -> list[str]:
    """Return the containers to remove, oldest first; `all_`: of Pods that have ended, every one goes."""
    kept: dict[tuple[str, str], int] = {}
    doomed = []
    for container in sorted(dead, key=lambda each: (-each.attempt, -each.created)):
        if now - container.created < policy.container_age:
            continue
        key = (container.uid, container.name)
        kept[key] = kept.get(key, 0) + 1
        if kept[key] > policy.dead_kept or (all_ and has_ended(container.uid)):
            doomed.append(container.id)
    return doomed[::-1]


def doomed_sandboxes(
    dead: Sequence[DeadSandbox], newest: Mapping[str, int], has_ended: Callable[[str], bool], *, all_: bool
) -> list[str]:
    """Return the sandboxes to remove: all but a Pod's newest (`newest` is its attempt), that too where `all_`."""
    return [
        each.id
        for each in sorted(dead, key=lambda each: each.attempt)
        if each.attempt < newest[each.uid] or (all_ and has_ended(each.uid))
    ]


def to_free(policy: GarbagePolicy, capacity: int, available: int) -> int:
    """Return how many bytes of images must go: down to the low mark once the high one is reached, else none."""
    used = 100 - available * 100 // capacity
    return max(capacity * (100 - policy.low) // 100 - available, 0) if used >= policy.high else 0


def doomed_images(
    unused: Sequence[UnusedImage], policy: GarbagePolicy, wanted: int | None, now: float
) -> list[UnusedImage]:
    """Return the images to remove for `wanted` bytes (`None`: all), the longest unused first."""
    doomed: list[UnusedImage] = []
    freed = 0
    for image in sorted(unused, key=lambda each: (each.last_used, each.first_seen, each.id)):
        if wanted is not None and freed >= wanted:
            break
        if now - image.first_seen >= policy.image_age:
            doomed.append(image)
            freed += image.size
    return doomed
