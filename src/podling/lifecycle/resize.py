"""In-place resize: whether what a container runs with is what its specification asks for by now.

    spec changed ─▶ fits the node? ─ no ─▶ PodResizePending (Infeasible, Deferred)
                         │ yes
                         └─▶ PodResizeInProgress ─▶ cgroups written ─▶ status.resources is the specification's

Owns the comparison, the question whether a container has to be restarted for it, the two conditions, and what is told
when they change. Knows no node: whether there is room is handed in. What an instance runs with is a fact of the
runtime, so that a kubelet that comes back goes on where it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from podling.api.codec import encode, to_tree
from podling.api.pods import sidecars
from podling.api.types.core_v1 import PodCondition, ResourceRequirements
from podling.lifecycle.cgroups import limits_of, pod_limits
from podling.lifecycle.specs import container_named

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import ContainerStatus, Pod
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


def is_pod_resized(view: PodView) -> bool:
    """Whether the Pod names resources of its own and runs with others as a whole."""
    if view.pod.spec.resources is None or view.sandbox is None or view.sandbox.limits is None:
        return False
    return view.sandbox.limits != pod_limits(view.pod)


def is_pending(view: PodView) -> bool:
    """Whether anything of the Pod, or the Pod itself, runs with other limits than are asked for."""
    return bool(resized(view)) or is_pod_resized(view)


def below_use(what: str, before: int | None, after: int | None, used: int) -> str:
    """Return why a limit of memory is not lowered: the kernel would kill. Empty if it may be.

    `what` is whose it is. Whoever grows meanwhile is not protected: upstream does its best too, and no more.
    """
    if after is None or (before is not None and after >= before) or used <= after:
        return ""
    return f"attempting to set {what} memory limit ({after}) below current usage ({used})"


def resize_conditions(view: PodView) -> tuple[PodCondition, ...]:
    """Return the condition of a resize that waits or is under way; none where everything is as asked."""
    if not is_pending(view):
        return ()
    if view.resize_refusal is not None:
        refusal = view.resize_refusal
        return (PodCondition(type=PENDING, status="True", reason=refusal.reason, message=refusal.message),)
    for key in ("pod", *(instance.id for _, instance in resized(view))):
        failure = view.failures.get(f"resize/{key}")
        if failure is not None:
            return (PodCondition(type=IN_PROGRESS, status="True", reason="Error", message=failure.message),)
    return (PodCondition(type=IN_PROGRESS, status="True"),)


EventType = Literal["Normal", "Warning"]


class ResizeNews(NamedTuple):
    """What is told of a resize when it moves on."""

    type: EventType
    reason: str
    message: str


_TOLD: Final[dict[tuple[str, str], tuple[EventType, str, str]]] = {
    ("", "Deferred"): ("Warning", "ResizeDeferred", "Pod resize Deferred"),
    ("", "Infeasible"): ("Warning", "ResizeInfeasible", "Pod resize Infeasible"),
    ("Infeasible", "Deferred"): ("Warning", "ResizeDeferred", "Pod resize Deferred"),
    ("Deferred", "Infeasible"): ("Warning", "ResizeInfeasible", "Pod resize Infeasible"),
    ("", "Started"): ("Normal", "ResizeStarted", "Pod resize started"),
    ("Deferred", "Started"): ("Normal", "ResizeStarted", "Pod resize started"),
    ("Infeasible", "Started"): ("Normal", "ResizeStarted", "Pod resize started"),
    ("", "Error"): ("Warning", "ResizeError", "Pod resize error"),
    ("Started", "Error"): ("Warning", "ResizeError", "Pod resize error"),
    ("Started", ""): ("Normal", "ResizeCompleted", "Pod resize completed"),
    ("Error", ""): ("Normal", "ResizeCompleted", "Pod resize completed"),
}
"""(stage before, stage after) → event. What is taken back while it waits, and what is tried again, is not told."""


def resize_news(pod: Pod, before: Iterable[PodCondition], after: Iterable[PodCondition]) -> ResizeNews | None:
    """Return the event for a resize that has moved on between two tellings of a Pod's conditions; `None` if none has.

    A deferred resize whose message changes has not moved: the message tells what is free just now, and changes often.
    """
    (old, _), (new, error) = _stage(before), _stage(after)
    words = _TOLD.get((old, new))
    if words is None:
        return None
    type_, reason, sentence = words
    return ResizeNews(type_, reason, f"{sentence}: {_summary(pod, error)}")


def _stage(conditions: Iterable[PodCondition]) -> tuple[str, str]:
    for condition in conditions:
        if condition.type == PENDING:
            return condition.reason, condition.message
        if condition.type == IN_PROGRESS:
            return ("Error", condition.message) if condition.reason == "Error" else ("Started", "")
    return "", ""


def _summary(pod: Pod, error: str) -> str:
    tree: dict[str, object] = {}
    for key, containers in (("initContainers", sidecars(pod)), ("containers", pod.spec.containers)):
        if containers:
            asked = [(c.name, c.resources or ResourceRequirements()) for c in containers]
            tree[key] = [{"name": name, "resources": to_tree(resources)} for name, resources in asked]
    if pod.spec.resources is not None:
        tree["resources"] = to_tree(pod.spec.resources)
    tree["generation"] = pod.metadata.generation or 0
    if error:
        tree["error"] = error
    return encode(tree).decode()


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


def pod_resources_of(view: PodView) -> tuple[ResourceRequirements | None, dict[str, str]]:
    """Return what a Pod with resources of its own runs with as a whole, and what is set aside for it."""
    asked, told = view.pod.spec.resources, view.pod.status
    if asked is None or not (asked.requests or asked.limits):
        return None, {}
    if view.sandbox is None or not is_pod_resized(view) or told.resources is None:
        return asked, asked.requests
    return told.resources, told.allocated_resources if view.resize_refusal is not None else asked.requests
