"""What a Pod as a whole asks for and may take at most, by its specification alone.

Owns upstream's `PodRequests` and `PodLimits` for one resource, as a node needs them for control groups. What counts
while a resize is under way is `placement`'s to reckon.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from podling.api.pods import is_sidecar, together
from podling.api.quantity import Quantity, parse

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Container, Pod

    _Part = Literal["requests", "limits"]


def pod_request(pod: Pod, resource: str) -> Quantity:
    """Return what the whole Pod asks for; nothing where no container names it."""
    asked = _of_pod(pod, resource, "requests")
    return (asked if asked is not None else Quantity(0)) + _overhead(pod, resource)


def pod_limit(pod: Pod, resource: str) -> Quantity | None:
    """Return the limit of the whole Pod, `None` where no container names one.

    Sidecars count beside the main containers, and beside the init containers after them. A limit of the Pod itself
    replaces the sum; overhead is added to what there is.
    """
    limit = _of_pod(pod, resource, "limits")
    return limit + _overhead(pod, resource) if limit is not None else None


def every_container_limits(pod: Pod, resource: str) -> bool:
    """Whether the Pod as a whole is bounded: it names a limit itself, or each of its containers does."""
    if pod.spec.resources is not None and resource in pod.spec.resources.limits:
        return True
    return all(_amount(c, resource, "limits") for c in (*pod.spec.init_containers, *pod.spec.containers))


def _of_pod(pod: Pod, resource: str, part: _Part) -> Quantity | None:
    own = getattr(pod.spec.resources, part).get(resource) if pod.spec.resources is not None else None
    if own is not None:
        return parse(own)

    def amounts(container: Container) -> dict[str, Quantity]:
        amount = _amount(container, resource, part)
        return {resource: amount} if amount is not None else {}

    return together(
        map(amounts, pod.spec.containers),
        ((is_sidecar(container), amounts(container)) for container in pod.spec.init_containers),
    ).get(resource)


def _amount(container: Container, resource: str, part: _Part) -> Quantity | None:
    text = getattr(container.resources, part).get(resource) if container.resources is not None else None
    return parse(text) if text is not None else None


def _overhead(pod: Pod, resource: str) -> Quantity:
    text = pod.spec.overhead.get(resource)
    return parse(text) if text is not None else Quantity(0)
