"""What a Pod may take at most: the sum of its containers' limits, or what an init container may take alone.

Owns upstream's `PodLimits` for one resource. What a Pod asks for is `placement`'s to reckon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

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
    limits = [limit for container in pod.spec.containers if (limit := _limit(container, resource)) is not None]
    beside: Quantity | None = None
    peak: Quantity | None = None
    for container in pod.spec.init_containers:
        limit = _limit(container, resource)
        if limit is None:
            continue
        if container.restart_policy == "Always":
            limits.append(limit)
            beside = beside + limit if beside is not None else limit
            alone = beside
        else:
            alone = beside + limit if beside is not None else limit
        peak = alone if peak is None else max(peak, alone)
    total: Quantity | None = None
    for limit in limits:
        total = total + limit if total is not None else limit
    if total is None or peak is None:
        return total if total is not None else peak
    return max(total, peak)


def _limit(container: Container, resource: str) -> Quantity | None:
    text = container.resources.limits.get(resource) if container.resources is not None else None
    return parse(text) if text is not None else None
