"""A Pod's place in the cgroup tree, and what the kernel is told about CPU and memory.

    /kubepods ─┬─ pod<uid>              Guaranteed
               ├─ burstable/pod<uid>
               └─ besteffort/pod<uid>

Owns names and arithmetic; writes nothing. Shares weigh requests against each other, quota caps at the limit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.api.quantity import parse
from podling.lifecycle.limits import every_container_limits, pod_limit, pod_request
from podling.lifecycle.qos import BEST_EFFORT, BURSTABLE, memory_request, qos_class

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import Pod, ResourceRequirements

LEAST_SHARES: Final = 2
MOST_SHARES: Final = 262_144
PERIOD: Final = 100_000
"""Microseconds."""
_LEAST_QUOTA: Final = 1_000


class Limits(Struct, frozen=True):
    """What a cgroup is told; `None` leaves the kernel's default."""

    cpu_shares: int
    cpu_quota: int | None
    memory_limit: int | None
    memory_request: int | None
    pids_limit: int | None = None


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


def pod_limits(pod: Pod, pids: int | None = None) -> Limits:
    """Return what the Pod's own cgroup is told.

    A cap only where the whole is bounded: by the Pod's own limit, or because each container has one.
    """
    if qos_class(pod) == BEST_EFFORT:
        return Limits(LEAST_SHARES, None, None, None, pids)
    milli_cpu, memory = pod_request(pod, "cpu").milli_value(), pod_request(pod, "memory").value()
    cpu_limit = pod_limit(pod, "cpu") if every_container_limits(pod, "cpu") else None
    memory_limit = pod_limit(pod, "memory") if every_container_limits(pod, "memory") else None
    return Limits(
        shares(milli_cpu),
        quota(cpu_limit.milli_value()) if cpu_limit else None,
        memory_limit.value() if memory_limit else None,
        memory or None,
        pids,
    )


def node_limits(given: Mapping[str, str]) -> Limits:
    """Return what all Pods of a node together are told: capacity less what is reserved, as quantities."""
    memory = parse(given["memory"]).value() if "memory" in given else 0
    pids = parse(given["pid"]).value() if "pid" in given else 0
    return Limits(shares(parse(given.get("cpu", "0")).milli_value()), None, memory or None, None, pids or None)


def shares(milli_cpu: int) -> int:
    """Return cgroup v1's weight of a CPU request."""
    return min(max(milli_cpu * 1024 // 1000, LEAST_SHARES), MOST_SHARES)


def quota(milli_cpu: int) -> int:
    """Return microseconds of CPU in each period."""
    return max(milli_cpu * PERIOD // 1000, _LEAST_QUOTA)
