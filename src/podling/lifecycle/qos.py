"""How a Pod ranks when memory is short: its QoS class and the kernel's scores.

Owns the rules of upstream's quality of service. Knows no cgroup. Guaranteed: every container has CPU and memory limits
and requests equal to them. BestEffort: none asks for anything. Burstable: all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.pods import is_sidecar, sidecars
from podling.api.quantity import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import Pod, ResourceRequirements
    from podling.lifecycle.specs import AnyContainer

GUARANTEED: Final = "Guaranteed"
BURSTABLE: Final = "Burstable"
BEST_EFFORT: Final = "BestEffort"

_COUNTED: Final = ("cpu", "memory")
_NODE_CRITICAL: Final = 2_000_001_000
_FIRST: Final = 1000
_LAST: Final = -997


def qos_class(pod: Pod) -> str:
    """Return Guaranteed, Burstable or BestEffort; resources of the Pod itself, where set, decide alone."""
    if pod.spec.resources is not None and (pod.spec.resources.requests or pod.spec.resources.limits):
        asked = [pod.spec.resources]
    else:
        containers = (*pod.spec.init_containers, *pod.spec.containers)
        asked = [c.resources for c in containers if c.resources is not None]
        if len(asked) < len(containers) and any(_amounts(r.requests) or _amounts(r.limits) for r in asked):
            return BURSTABLE
    requests = [_amounts(resources.requests) for resources in asked]
    limits = [_amounts(resources.limits) for resources in asked]
    if not any(requests) and not any(limits):
        return BEST_EFFORT
    for request, limit in zip(requests, limits, strict=True):
        if len(limit) < len(_COUNTED) or {**limit, **request} != limit:
            return BURSTABLE
    return GUARANTEED


def _amounts(quantities: Mapping[str, str]) -> dict[str, int]:
    amounts = {name: parse(quantities[name]).nano for name in _COUNTED if name in quantities}
    return {name: amount for name, amount in amounts.items() if amount > 0}


def oom_score_adj(pod: Pod, container: AnyContainer, memory_capacity: int) -> int:
    """Return a container's score, by which the kernel picks its victims: −997 is killed last, 1000 first.

    Between them, a Burstable container the likelier the less of the node's memory it asked for. What the Pod asks for
    beyond its containers is shared out among them. A sidecar is never likelier than the likeliest main container.
    """
    if pod.spec.priority is not None and pod.spec.priority >= _NODE_CRITICAL:
        return _LAST
    kind = qos_class(pod)
    if kind == GUARANTEED:
        return _LAST
    if kind == BEST_EFFORT or memory_capacity <= 0:
        return _FIRST
    score = _FIRST - (_FIRST * (memory_request(container.resources) + _shared_out(pod))) // memory_capacity
    if container in pod.spec.init_containers and is_sidecar(container):
        least = min((memory_request(main.resources) for main in pod.spec.containers), default=0)
        score = min(score, _FIRST - (_FIRST * least) // memory_capacity)
    return min(max(score, _FIRST + _LAST), _FIRST - 1)


def _shared_out(pod: Pod) -> int:
    """Return each container's part of what the Pod itself asks for beyond its containers."""
    own = pod.spec.resources.requests.get("memory") if pod.spec.resources is not None else None
    if own is None:
        return 0
    containers = (*pod.spec.containers, *sidecars(pod))
    rest = parse(own).value() - sum(memory_request(container.resources) for container in containers)
    return max(rest, 0) // max(len(containers), 1)


def memory_request(resources: ResourceRequirements | None) -> int:
    """Return the bytes of memory asked for; a limit without a request asks for the limit."""
    if resources is None:
        return 0
    text = resources.requests.get("memory") or resources.limits.get("memory")
    return parse(text).value() if text else 0
