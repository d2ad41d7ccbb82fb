"""RestartAllContainers: one container's exit sets the whole Pod back to its beginning, where it is.

    exit that a rule names ─▶ condition True ─▶ kill all, at once ─▶ forget every instance ─▶ condition False, again

Owns when that begins and when it is over, and the condition that tells of it. Sandbox, address and volumes stay; init
containers run again. Knows no runtime: what is left of the containers are facts. Invariants: once begun it is gone
through with, over a restart of the kubelet too, because the condition is in the API and the instance whose exit began
it is forgotten last; a Pod that ends is not set back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.pods import RESTART_ALL, TERMINAL_PHASES, may_restart_all
from podling.api.types.core_v1 import PodCondition
from podling.lifecycle.restart import action_on_exit
from podling.lifecycle.specs import container_named

if TYPE_CHECKING:
    from podling.lifecycle.facts import ContainerFacts, PodView

ALL_RESTARTING: Final = "AllContainersRestarting"
LEAST_ROUND: Final = 1.0
"""Seconds from the creation of the container that asks for it to the next beginning: upstream has no back-off here, but
its kubelet looks only once a second."""


def is_restarting_all(view: PodView) -> bool:
    """Whether everything of a Pod that runs is to die, so that it may begin anew."""
    pod = view.pod
    if not may_restart_all(pod) or view.stopping_since is not None:
        return False
    if not instances(view):
        return False
    told = any(c.type == ALL_RESTARTING and c.status == "True" for c in pod.status.conditions)
    return told or any(asks_for_all(view, instance) for instance in instances(view))


def instances(view: PodView) -> tuple[ContainerFacts, ...]:
    """Return the instances of init and main containers that have to be forgotten before the Pod begins anew."""
    names = {container.name for container in (*view.pod.spec.init_containers, *view.pod.spec.containers)}
    return tuple(instance for instance in view.containers if instance.name in names)


def asks_for_all(view: PodView, instance: ContainerFacts) -> bool:
    """Whether the exit of an instance, the newest of its container, is one for which all are restarted."""
    container = container_named(view.pod, instance.name)
    if container is None or not instance.is_dead or view.latest(instance.name) != instance:
        return False
    code = instance.exit_code if instance.exit_code is not None else 1
    return action_on_exit(container, code) == RESTART_ALL


def restart_all_conditions(view: PodView, phase: str) -> tuple[PodCondition, ...]:
    """Return the condition of a Pod that has such a rule; no other Pod has one."""
    if not may_restart_all(view.pod):
        return ()
    if phase in TERMINAL_PHASES:
        reason = "PodCompleted" if phase == "Succeeded" else "PodFailed"
        return (PodCondition(type=ALL_RESTARTING, status="False", reason=reason),)
    if not is_restarting_all(view):
        return (PodCondition(type=ALL_RESTARTING, status="False"),)
    return (
        PodCondition(
            type=ALL_RESTARTING,
            status="True",
            reason="RestartAllContainersStarted",
            message="container exited with restart policy rule",
        ),
    )
