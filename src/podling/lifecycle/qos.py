"""How a Pod ranks when memory is short: its QoS class and the kernel's scores.

Owns the rules of upstream's quality of service. Knows no cgroup. Guaranteed: every container has CPU and memory limits
and requests equal to them. BestEffort: none asks for anything. Burstable: all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.quantity import parse

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import Pod, ResourceRequirements

GUARANTEED: Final = "Guaranteed"
BURSTABLE: Final = "Burstable"
BEST_EFFORT: Final = "BestEffort"

_COUNTED: Final = ("cpu", "memory")
_NODE_CRITICAL: Final = 2_000_001_000


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


def oom_score_adj(pod: Pod, resources: ResourceRequirements | None, memory_capacity: int) -> int:
    """Return a container's score, by which the kernel picks its victims: −997 is killed last, 1000 first.

    Between them, a Burstable container the likelier the less of the node's memory it asked for.
    """
    if pod.spec.priority is not None and pod.spec.priority >= _NODE_CRITICAL:
        return -997
    kind = qos_class(pod)
    if kind == GUARANTEED:
        return -997
    if kind == BEST_EFFORT or memory_capacity <= 0:
        return 1000
    asked = memory_request(resources)
    score = 1000 - (1000 * asked) // memory_capacity
    return min(max(score, 1000 + -997), 999)


def memory_request(resources: ResourceRequirements | None) -> int:
    """Return the bytes of memory asked for; a limit without a request asks for the limit."""
    if resources is None:
        return 0
    text = resources.requests.get("memory") or resources.limits.get("memory")
    return parse(text).value() if text else 0
