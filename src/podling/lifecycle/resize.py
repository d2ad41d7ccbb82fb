"""In-place resize: whether what a container runs with is what its specification asks for by now.

    spec changed ─▶ fits the node? ─ no ─▶ PodResizePending (Infeasible, Deferred)
                         │ yes
                         └─▶ PodResizeInProgress ─▶ cgroups written ─▶ status.resources is the specification's

Owns the comparison, the question whether a container has to be restarted for it, and the two conditions. Knows no
node: whether there is room is handed in. What an instance runs with is a fact of the runtime, so that a kubelet that
comes back goes on where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.types.core_v1 import PodCondition, ResourceRequirements
from podling.lifecycle.cgroups import limits_of
from podling.lifecycle.specs import container_named

if TYPE_CHECKING:
    from podling.api.types.core_v1 import ContainerStatus
    from podling.lifecycle.facts import ContainerFacts, PodView
    from podling.lifecycle.specs import AnyContainer

PENDING: Final = "PodResizePending"
IN_PROGRESS: Final = "PodResizeInProgress"
RESIZE_CONDITIONS: Final = (PENDING, IN_PROGRESS)


def is_resized(container: AnyContainer, instance: ContainerFacts) -> bool:
    """Whether an instance runs with other limits than are asked for now."""
    return instance.limits is not None and instance.limits != limits_of(container.resources)


def needs_restart(container: AnyContainer, instance: ContainerFacts) -> bool:
    """Whether a resource was changed whose `resizePolicy` is to restart the container."""
    if not is_resized(container, instance):
        return False
    old, new = instance.limits, limits_of(container.resources)
    assert old is not None
    changed = {
        "cpu": (old.cpu_shares, old.cpu_quota) != (new.cpu_shares, new.cpu_quota),
        # A request of memory is the scheduler's business alone: the container does not notice.
        "memory": old.memory_limit != new.memory_limit,
    }
    policies = getattr(container, "resize_policy", ())
    return any(changed.get(p.resource_name, False) and p.restart_policy == "RestartContainer" for p in policies)


def resized(view: PodView) -> tuple[tuple[AnyContainer, ContainerFacts], ...]:
    """Return the containers that run with other limits than are asked for, each with its instance."""
    found = []
    for instance in view.containers:
        container = container_named(view.pod, instance.name)
        if (
            container is not None
            and container not in view.pod.spec.ephemeral_containers
            and instance.is_running
            and is_resized(container, instance)
        ):
            found.append((container, instance))
    return tuple(found)


def resize_conditions(view: PodView) -> tuple[PodCondition, ...]:
    """Return the condition of a resize that waits or is under way; none where everything is as asked."""
    pending = resized(view)
    if not pending:
        return ()
    if view.resize_refusal is not None:
        refusal = view.resize_refusal
        return (PodCondition(type=PENDING, status="True", reason=refusal.reason, message=refusal.message),)
    for _, instance in pending:
        failure = view.failures.get(f"resize/{instance.id}")
        if failure is not None:
            return (PodCondition(type=IN_PROGRESS, status="True", reason="Error", message=failure.message),)
    return (PodCondition(type=IN_PROGRESS, status="True"),)


def resources_of(
    view: PodView, container: AnyContainer, instance: ContainerFacts, told: ContainerStatus | None
) -> tuple[ResourceRequirements, dict[str, str]]:
    """Return what an instance runs with, and what is set aside for it: `resources` and `allocatedResources`.

    While a resize is not done the former is what was told before; while it waits for room the latter is too.
    """
    asked = container.resources or ResourceRequirements()
    if not is_resized(container, instance) or told is None or told.resources is None:
        return asked, asked.requests
    return told.resources, told.allocated_resources if view.resize_refusal is not None else asked.requests
