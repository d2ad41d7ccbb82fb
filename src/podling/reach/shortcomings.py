"""Why a Pod is not called though somebody names it or selects it: in words, from its status. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.pods import is_terminal

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod


def absence(pod: Pod) -> str:
    """Say why a Pod has no address to call or be called by."""
    if is_terminal(pod):
        return f"is over: its phase is {pod.status.phase}"
    return f"has no address yet: its phase is {pod.status.phase or 'Pending'}"


def unreadiness(pod: Pod) -> str:
    """Say why a Pod is no ready endpoint: which gate is shut, in the words of its conditions."""
    if pod.metadata.deletion_timestamp is not None:
        return "is terminating"
    conditions = {condition.type: condition for condition in pod.status.conditions}
    gates = [gate.condition_type for gate in pod.spec.readiness_gates]
    shut = [gate for gate in gates if gate not in conditions or conditions[gate].status != "True"]
    if shut and (found := conditions.get("ContainersReady")) is not None and found.status == "True":
        return f"is not Ready: its readiness gate {shut[0]} is not True"
    probed = [status.name for status in pod.status.container_statuses if not status.ready and status.state is not None]
    waiting = [
        f"container {status.name} waits: {status.state.waiting.reason}"
        for status in pod.status.container_statuses
        if status.state is not None and status.state.waiting is not None
    ]
    if waiting:
        return f"is not Ready: {waiting[0]}"
    containers = {container.name: container for container in pod.spec.containers}
    for name in probed:
        container = containers.get(name)
        if container is not None and container.readiness_probe is not None:
            return f"is not Ready: the readiness probe of container {name} does not succeed"
    ready = conditions.get("Ready")
    return f"is not Ready: {ready.message or ready.reason or 'no reason is given'}" if ready else "is not Ready"
