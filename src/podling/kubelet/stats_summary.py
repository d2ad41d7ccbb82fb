"""`/stats/summary` and `/metrics/resource`: the use of a node and its Pods, in upstream's forms.

Owns the shapes (`stats/v1alpha1`, and the text that metrics servers scrape). Measures nothing itself, and nothing is
measured unless somebody asks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.times import from_wire, to_wire
from podling.kubelet.stats import running_stats
from podling.lifecycle.eviction import Signal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Pod
    from podling.kubelet.stats import Stats
    from podling.lifecycle.eviction import Observation
    from podling.lifecycle.eviction_ranking import PodUsage
    from podling.runtime.protocol import ContainerStats, Runtime


async def summary(
    node: str, pods: Sequence[Pod], stats: Stats, runtime: Runtime, now: float, *, disk: bool = True
) -> dict[str, Any]:
    """Return the summary; without `disk` (upstream's `only_cpu_and_memory`) no file is walked."""
    at = to_wire(now)
    seen = await stats.node()
    by_pod = await running_stats(runtime, disk=disk)
    usage = await stats.pods(pods, disk=disk)
    whole: dict[str, Any] = {
        "nodeName": node,
        "cpu": {"time": at, "usageCoreNanoSeconds": await stats.cpu_nanoseconds()},
    }
    if Signal.MEMORY in seen:
        whole["memory"] = _memory(at, seen[Signal.MEMORY])
    if Signal.ALLOCATABLE_MEMORY in seen:
        whole["systemContainers"] = [{"name": "pods", "memory": _memory(at, seen[Signal.ALLOCATABLE_MEMORY])}]
    if disk:
        whole["fs"] = _file_system(at, seen, Signal.NODEFS, Signal.NODEFS_INODES)
        whole["runtime"] = {"imageFs": _file_system(at, seen, Signal.IMAGEFS, Signal.IMAGEFS_INODES)}
        if Signal.PIDS in seen:
            pids = seen[Signal.PIDS]
            whole["rlimit"] = {"time": at, "maxpid": pids.capacity, "curproc": pids.capacity - pids.available}
    told = [
        _pod(pod, by_pod[pod.metadata.uid], usage[pod.metadata.uid], at, disk=disk)
        for pod in pods
        if pod.metadata.uid in by_pod and pod.metadata.uid in usage
    ]
    return {"node": whole, "pods": told}


async def resource_metrics(pods: Sequence[Pod], stats: Stats, runtime: Runtime) -> str:
    """Return what metrics servers scrape: CPU and memory of the node, of Pods and of containers."""
    by_pod = await running_stats(runtime, disk=False)
    usage = await stats.pods(pods, disk=False)
    seen = await stats.node()
    node = [f"node_cpu_usage_seconds_total {await stats.cpu_nanoseconds() / 1e9:.6f}"]
    if Signal.MEMORY in seen:
        node.append(f"node_memory_working_set_bytes {seen[Signal.MEMORY].capacity - seen[Signal.MEMORY].available}")
    lines: dict[str, list[str]] = {}
    for pod in pods:
        meta = pod.metadata
        if meta.uid not in by_pod or meta.uid not in usage:
            continue
        labels = f'namespace="{meta.namespace}",pod="{meta.name}"'
        cpu = sum(each.cpu_nanoseconds for _, each in by_pod[meta.uid])
        lines.setdefault("pod_cpu_usage_seconds_total", []).append(f"{{{labels}}} {cpu / 1e9:.6f}")
        lines.setdefault("pod_memory_working_set_bytes", []).append(f"{{{labels}}} {usage[meta.uid].memory}")
        for name, each in by_pod[meta.uid]:
            inner = f'{{container="{name}",{labels}}}'
            cpu_seconds = f"{inner} {each.cpu_nanoseconds / 1e9:.6f}"
            lines.setdefault("container_cpu_usage_seconds_total", []).append(cpu_seconds)
            memory = f"{inner} {each.memory_working_set}"
            lines.setdefault("container_memory_working_set_bytes", []).append(memory)
            start = _started(pod, name)
            if start:
                since = f"{inner} {from_wire(start):.6f}"
                lines.setdefault("container_start_time_seconds", []).append(since)
    text = [f"# TYPE {line.split()[0]} {_kind(line)}\n{line}" for line in node]
    for name in sorted(lines):
        text += [f"# TYPE {name} {_kind(name)}", *(f"{name}{line}" for line in lines[name])]
    text += ["# TYPE resource_scrape_error gauge", "resource_scrape_error 0", ""]
    return "\n".join(text)


def _kind(name: str) -> str:
    return "counter" if "seconds_total" in name else "gauge"


def _pod(
    pod: Pod, stats: Sequence[tuple[str, ContainerStats]], usage: PodUsage, at: str, *, disk: bool
) -> dict[str, Any]:
    logs = {each.name: each.logs for each in usage.containers}
    containers = []
    for name, each in stats:
        told: dict[str, Any] = {
            "name": name,
            "startTime": _started(pod, name),
            "cpu": {"time": at, "usageCoreNanoSeconds": each.cpu_nanoseconds},
            "memory": {
                "time": at,
                "usageBytes": each.memory_usage,
                "workingSetBytes": each.memory_working_set,
            },
        }
        if disk:
            told["rootfs"] = {"time": at, "usedBytes": each.writable_layer, "inodesUsed": each.writable_inodes}
            told["logs"] = {"time": at, "usedBytes": logs.get(name, 0)}
        containers.append(told)
    meta = pod.metadata
    whole: dict[str, Any] = {
        "podRef": {"name": meta.name, "namespace": meta.namespace, "uid": meta.uid},
        "startTime": pod.status.start_time,
        "containers": containers,
        "cpu": {"time": at, "usageCoreNanoSeconds": sum(each.cpu_nanoseconds for _, each in stats)},
        "memory": {
            "time": at,
            "usageBytes": sum(each.memory_usage for _, each in stats),
            "workingSetBytes": usage.memory,
        },
        "process_stats": {"process_count": usage.pids},
    }
    if disk:
        whole["volume"] = [{"time": at, "name": name, "usedBytes": size} for name, size in usage.volumes.items()]
        whole["ephemeral-storage"] = {"time": at, "usedBytes": usage.disk, "inodesUsed": usage.inodes}
    return whole


def _started(pod: Pod, container: str) -> str | None:
    """Return when a container of the Pod began to run, as its status tells."""
    status = pod.status
    for told in (*status.container_statuses, *status.init_container_statuses, *status.ephemeral_container_statuses):
        if told.name == container and told.state is not None and told.state.running is not None:
            return told.state.running.started_at
    return None


def _memory(at: str, seen: Observation) -> dict[str, Any]:
    used = seen.capacity - seen.available
    return {"time": at, "availableBytes": seen.available, "usageBytes": used, "workingSetBytes": used}


def _file_system(at: str, seen: Mapping[Signal, Observation], space: Signal, inodes: Signal) -> dict[str, Any]:
    told: dict[str, Any] = {"time": at}
    if space in seen:
        bytes_ = seen[space]
        told |= {
            "availableBytes": bytes_.available,
            "capacityBytes": bytes_.capacity,
            "usedBytes": bytes_.capacity - bytes_.available,
        }
    if inodes in seen:
        files = seen[inodes]
        told |= {
            "inodesFree": files.available,
            "inodes": files.capacity,
            "inodesUsed": files.capacity - files.available,
        }
    return told
