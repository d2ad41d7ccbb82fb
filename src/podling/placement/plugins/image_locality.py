"""ImageLocality: prefers Nodes that have the Pod's images, the more so the larger and more widespread."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.placement.plugin import MAX_SCORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

_MEGABYTE: Final = 1024 * 1024
_LEAST: Final = 23 * _MEGABYTE
_MOST_PER_IMAGE: Final = 1000 * _MEGABYTE


class ImageLocality:
    name = "ImageLocality"

    def score(self, pod: PendingPod, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> list[int] | None:
        spread = snapshot.image_spread
        spec = pod.pod.spec
        containers = (*spec.init_containers, *spec.containers)
        images = [name for name in (normalised_name(c.image) for c in containers) if name in spread]
        if not images:
            return None
        most = _MOST_PER_IMAGE * len(containers)
        everywhere = len(snapshot)
        scores = []
        for node in nodes:
            have = node.images
            total = sum(int(have[name] * (spread[name] / everywhere)) for name in images if name in have)
            total = min(max(total, _LEAST), most)
            scores.append(MAX_SCORE * (total - _LEAST) // (most - _LEAST))
        return scores


def normalised_name(image: str) -> str:
    """Return an image's name as Nodes report it: with the tag `latest` where it has neither tag nor digest."""
    return image if image.rfind(":") > image.rfind("/") else f"{image}:latest"
