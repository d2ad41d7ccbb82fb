"""A Pod's place in the cgroup tree, and what the kernel is told about CPU and memory.

    /kubepods ─┬─ pod<uid>              Guaranteed
               ├─ burstable/pod<uid>
               └─ besteffort/pod<uid>

Owns names and arithmetic; writes nothing. Shares weigh requests against each other, quota caps at the limit.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podling.api.quantity import parse
from podling.lifecycle.qos import BEST_EFFORT, BURSTABLE, memory_request, qos_class

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod, ResourceRequirements

LEAST_SHARES: Final = 2
MOST_SHARES: Final = 262_144
PERIOD: Final = 100_000
"""Microseconds."""
_LEAST_QUOTA: Final = 1_000


@dataclass(frozen=True, slots=True)
class Limits:
    """What a cgroup is told; `None` leaves the kernel's default."""

    cpu_shares: int
    cpu_quota: int | None
    memory_limit: int | None
    memory_request: int | None


def cgroup_parent(pod: Pod, root: str = "/kubepods") -> str:
    """Return the Pod's cgroup, as a path below each controller's root."""
    tier = {BURSTABLE: "/burstable", BEST_EFFORT: "/besteffort"}.get(qos_class(pod), "")
    return f"{root}{tier}/pod{pod.metadata.uid}"


def limits_of(resources: ResourceRequirements | None) -> Limits:
    """Return what a container's cgroup is told. A limit without a request asks for the limit."""
    requests = resources.requests if resources is not None else {}
    limits = resources.limits if resources is not None else {}
    cpu_limit = parse(limits["cpu"]).milli_value() if "cpu" in limits else 0
    cpu_request = parse(requests["cpu"]).milli_value() if "cpu" in requests else cpu_limit
    memory = parse(limits["memory"]).value() if "memory" in limits else 0
    return Limits(
        shares(cpu_request),
        quota(cpu_limit) if cpu_limit else None,
        memory or None,
        memory_request(resources) or None,
    )


def pod_limits(pod: Pod) -> Limits:
    """Return what the Pod's own cgroup is told: sums, and a cap only where every container has one."""
    each = [limits_of(container.resources) for container in pod.spec.containers]
    cpu_request = 0
    for container in pod.spec.containers:
        resources = container.resources
        if resources is not None:
            text = resources.requests.get("cpu") or resources.limits.get("cpu")
            cpu_request += parse(text).milli_value() if text else 0
    quotas = [limit.cpu_quota for limit in each if limit.cpu_quota is not None]
    memories = [limit.memory_limit for limit in each if limit.memory_limit is not None]
    whole = bool(each) and not pod.spec.init_containers
    return Limits(
        shares(cpu_request),
        sum(quotas) if whole and len(quotas) == len(each) else None,
        sum(memories) if whole and len(memories) == len(each) else None,
        sum(limit.memory_request or 0 for limit in each) or None,
    )


def shares(milli_cpu: int) -> int:
    """Return cgroup v1's weight of a CPU request."""
    return min(max(milli_cpu * 1024 // 1000, LEAST_SHARES), MOST_SHARES)


def quota(milli_cpu: int) -> int:
    """Return microseconds of CPU in each period."""
    return max(milli_cpu * PERIOD // 1000, _LEAST_QUOTA)
