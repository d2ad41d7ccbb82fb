"""What a Pod may take at most: the sum of its containers' limits, or what an init container may take alone.

Owns upstream's `PodLimits` for one resource. What a Pod asks for is `placement`'s to reckon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.pods import is_sidecar, together
from podling.api.quantity import Quantity, parse

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Container, Pod


def pod_limit(pod: Pod, resource: str) -> Quantity | None:
    """Return the limit of the whole Pod, `None` where no container names one.

    Sidecars count beside the main containers, and beside the init containers after them. A limit of the Pod itself
    replaces the sum; overhead is added to what there is.
    """
    own = pod.spec.resources.limits.get(resource) if pod.spec.resources is not None else None
    limit = parse(own) if own is not None else _of_containers(pod, resource)
    if limit is not None and resource in pod.spec.overhead:
        limit += parse(pod.spec.overhead[resource])
    return limit


def every_container_limits(pod: Pod, resource: str) -> bool:
    """Whether the Pod as a whole is bounded: it names a limit itself, or each of its containers does."""
    if pod.spec.resources is not None and resource in pod.spec.resources.limits:
        return True
    return all(_limit(container, resource) for container in (*pod.spec.init_containers, *pod.spec.containers))


def _of_containers(pod: Pod, resource: str) -> Quantity | None:
    def limits(container: Container) -> dict[str, Quantity]:
        limit = _limit(container, resource)
        return {resource: limit} if limit is not None else {}

    return together(
        map(limits, pod.spec.containers),
        ((is_sidecar(container), limits(container)) for container in pod.spec.init_containers),
    ).get(resource)


def _limit(container: Container, resource: str) -> Quantity | None:
    text = container.resources.limits.get(resource) if container.resources is not None else None
    return parse(text) if text is not None else None
