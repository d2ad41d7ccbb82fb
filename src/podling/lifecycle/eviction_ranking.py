"""Which Pod goes first when a node is short of something, and what is said of it.

Owns upstream's order (usage above request, then priority, then how far above), the sentences of evictions, the limits
of local storage that a single Pod can break, and whom a node under pressure does not take. Knows no runtime: usage is
handed in. BestEffort before Burstable before Guaranteed is not a rule here but what follows from the order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct, field

from podling.api.annotations import MIRROR, SOURCE
from podling.api.quantity import BINARY_SI, Quantity, parse
from podling.lifecycle.eviction import MEMORY_PRESSURE, Signal, quantity, resource_of
from podling.lifecycle.facts import Rejection
from podling.lifecycle.limits import pod_limit
from podling.lifecycle.qos import BEST_EFFORT, qos_class

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Pod
    from podling.lifecycle.eviction import Observation, Threshold

EVICTED: Final = "Evicted"
STORAGE: Final = "ephemeral-storage"
_SYSTEM_CRITICAL: Final = 2_000_000_000
_NANO: Final = 10**9


class ContainerUsage(Struct, frozen=True):
    """What one container uses now: bytes of memory (working set), of its writable layer and of its logs."""

    name: str
    memory: int = 0
    layer: int = 0
    logs: int = 0


class PodUsage(Struct, frozen=True):
    """What one Pod uses now; disk and inodes count layers, logs and volumes on disk."""

    memory: int = 0
    disk: int = 0
    inodes: int = 0
    pids: int = 0
    containers: tuple[ContainerUsage, ...] = ()
    volumes: Mapping[str, int] = field(default_factory=dict)
    """Bytes, by the names of emptyDir volumes."""


class Candidate(Struct, frozen=True):
    """A Pod that may have to go: its requests (bytes by resource) and its usage, `None` where nobody could tell."""

    pod: Pod
    requests: Mapping[str, int]
    usage: PodUsage | None


def is_critical(pod: Pod) -> bool:
    """Whether the node cannot do without the Pod: static, a mirror, or of a system priority."""
    annotations = pod.metadata.annotations
    if annotations.get(SOURCE, "api") != "api" or MIRROR in annotations:
        return True
    return pod.spec.priority is not None and pod.spec.priority >= _SYSTEM_CRITICAL


def ranked(candidates: Sequence[Candidate], signal: Signal) -> list[Candidate]:
    """Return the Pods in the order in which they are to go; critical ones are left out."""
    may_go = [candidate for candidate in candidates if not is_critical(candidate.pod)]
    return sorted(may_go, key=lambda candidate: _rank(candidate, signal))


def _rank(candidate: Candidate, signal: Signal) -> tuple[int, int, int, int]:
    usage = candidate.usage
    if usage is None:
        return (0, 0, 0, 0)
    priority = candidate.pod.spec.priority or 0
    if signal is Signal.PIDS:
        return (1, 0, priority, -usage.pids)
    used = _used(usage, signal)
    within = used <= candidate.requests.get(resource_of(signal), 0)
    # Inodes are not asked for: upstream weighs them against the storage that is.
    asked = candidate.requests.get("memory" if _is_memory(signal) else STORAGE, 0)
    return (1, int(within), priority, asked - used)


def _used(usage: PodUsage, signal: Signal) -> int:
    if _is_memory(signal):
        return usage.memory
    return usage.inodes if resource_of(signal) == "inodes" else usage.disk


def _is_memory(signal: Signal) -> bool:
    return resource_of(signal) == "memory"


def message_of(
    candidate: Candidate, thresholds: Sequence[Threshold], seen: Mapping[Signal, Observation]
) -> tuple[str, Mapping[str, str]]:
    """Return what is said of an eviction, and the annotations of its event; the first threshold is the cause."""
    resource = resource_of(thresholds[0].signal)
    text = f"The node was low on resource: {resource}. "
    cause = next((t for t in thresholds if resource_of(t.signal) == resource and t.signal in seen), None)
    if cause is not None:
        observed = seen[cause.signal]
        least = cause.value.of(observed.capacity, cause.signal)
        text += f"Threshold quantity: {least}, available: {quantity(observed.available, cause.signal)}. "
    if candidate.usage is None:
        return text, {}
    notes: dict[str, str] = {}
    meta, own = candidate.pod.metadata, candidate.pod.spec.resources
    if resource == "memory" and own is not None and "memory" in own.requests:
        used = _bytes(candidate.usage.memory)
        text += _larger(f"Pod {meta.name}", used, own.requests["memory"], resource)
        notes |= {"offending_pod": meta.name, "offending_pod_usage": str(used)}
    offenders: list[tuple[str, str]] = []
    for usage in candidate.usage.containers:
        used = _bytes(usage.memory if resource == "memory" else usage.layer + usage.logs)
        asked = _request(candidate.pod, usage.name, resource)
        if asked is not None and resource in {"memory", STORAGE} and used > parse(asked):
            text += _larger(f"Container {usage.name}", used, asked, resource)
            offenders.append((usage.name, str(used)))
    notes["offending_containers"] = ",".join(name for name, _ in offenders)
    notes["offending_containers_usage"] = ",".join(used for _, used in offenders)
    notes["starved_resource"] = resource
    return text, notes


def _larger(who: str, used: Quantity, asked: str, resource: str) -> str:
    return f"{who} was using {used}, request is {asked}, has larger consumption of {resource}. "


def _request(pod: Pod, name: str, resource: str) -> str | None:
    """Return a container's request; ephemeral containers have none to be blamed by."""
    for container in (*pod.spec.containers, *pod.spec.init_containers):
        if container.name == name:
            requests = container.resources.requests if container.resources is not None else {}
            return requests.get(resource, "0")
    return None


def _bytes(count: int) -> Quantity:
    return Quantity(count * _NANO, BINARY_SI)


def has_storage_limits(pod: Pod) -> bool:
    """Whether the Pod can break a limit of local storage at all: of others nobody needs to know the usage."""
    limited = any(v.empty_dir is not None and v.empty_dir.size_limit for v in pod.spec.volumes)
    return limited or pod_limit(pod, STORAGE) is not None


def storage_violation(pod: Pod, usage: PodUsage) -> str | None:
    """Return upstream's sentence for a Pod that uses more local storage than it may, `None` if it does not."""
    for volume in pod.spec.volumes:
        if volume.empty_dir is None or not volume.empty_dir.size_limit or volume.name not in usage.volumes:
            continue
        limit = volume.empty_dir.size_limit
        if parse(limit).nano > 0 and usage.volumes[volume.name] * _NANO > parse(limit).nano:
            return f'Usage of EmptyDir volume "{volume.name}" exceeds the limit "{parse(limit)}". '
    together = pod_limit(pod, STORAGE)
    if together is not None and usage.disk * _NANO > together.nano:
        return f"Pod ephemeral local storage usage exceeds the total limit of containers {together}. "
    limits = {c.name: c.resources.limits.get(STORAGE) for c in pod.spec.containers if c.resources}
    for container in usage.containers:
        text = limits.get(container.name)
        if text and parse(text).nano and (container.layer + container.logs) * _NANO > parse(text).nano:
            limit = str(parse(text))
            return f'Container {container.name} exceeded its local ephemeral storage limit "{limit}". '
    return None


def refusal_under_pressure(pod: Pod, conditions: Sequence[str], *, tolerated: bool) -> Rejection | None:
    """Return why a node under pressure does not take a Pod: BestEffort when memory is short, any when others are.

    `tolerated` is whether the Pod tolerates the taint of memory pressure, which lets a BestEffort one in.
    """
    if not conditions or is_critical(pod):
        return None
    if tuple(conditions) == (MEMORY_PRESSURE,) and (tolerated or qos_class(pod) != BEST_EFFORT):
        return None
    return Rejection(EVICTED, f"The node had condition: [{' '.join(conditions)}]. ")
