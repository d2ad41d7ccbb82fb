"""A Pod's conditions: the record of how far it has come.

Owns PodScheduled, PodReadyToStartContainers, Initialized, ContainersReady and Ready: their status, reason and message
from facts, and when each last changed. Knows no container runtime. Conditions of other owners (readiness gates,
DisruptionTarget) pass through untouched. Invariant: `lastTransitionTime` moves exactly when `status` does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.pods import TERMINAL_PHASES, is_sidecar
from podling.api.times import to_wire
from podling.api.types.core_v1 import PodCondition
from podling.lifecycle.disruption import DISRUPTION_TARGET
from podling.lifecycle.resize import RESIZE_CONDITIONS
from podling.lifecycle.restart_all import ALL_RESTARTING
from podling.lifecycle.specs import has_begun

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import ContainerStatus, Pod

OWNED: Final = ("PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady", "PodScheduled")
"""In the order in which upstream's kubelet writes them."""
PASSING: Final = (*RESIZE_CONDITIONS, ALL_RESTARTING)
"""The kubelet's too, and gone when what they tell of is over."""


def conditions(
    pod: Pod,
    phase: str,
    init_statuses: Sequence[ContainerStatus],
    statuses: Sequence[ContainerStatus],
    *,
    has_sandbox: bool,
    now: float,
    more: Sequence[PodCondition] = (),
) -> tuple[PodCondition, ...]:
    """Return all conditions of the Pod's status; `has_sandbox` is whether namespaces and network are there.

    `more` are conditions of the kubelet's that are there for a time only: of `PASSING`, those that are not in it go.
    """
    ready_to_start = PodCondition(type="PodReadyToStartContainers", status=_text(has_sandbox))
    containers_ready = _containers_ready(pod, phase, {s.name: s for s in (*init_statuses, *statuses)})
    fresh = {
        condition.type: condition
        for condition in (
            ready_to_start,
            _initialized(pod, phase, init_statuses, statuses),
            _ready(pod, containers_ready),
            containers_ready,
            PodCondition(type="PodScheduled", status="True"),
        )
    }
    before = {condition.type: condition for condition in pod.status.conditions}
    ours = [_dated(fresh[name], before.get(name), pod.metadata.generation, now) for name in OWNED]
    passing = [_dated(condition, before.get(condition.type), pod.metadata.generation, now) for condition in more]
    others = [c for c in pod.status.conditions if c.type not in fresh and c.type not in PASSING]
    return (*ours, *others, *passing)


def disrupted(told: Sequence[PodCondition], pod: Pod, message: str, now: float) -> tuple[PodCondition, ...]:
    """Return the conditions with the one that says that the node has ended the Pod."""
    before = next((condition for condition in told if condition.type == DISRUPTION_TARGET), None)
    fresh = PodCondition(type=DISRUPTION_TARGET, status="True", reason="TerminationByKubelet", message=message)
    others = [condition for condition in told if condition.type != DISRUPTION_TARGET]
    return (*others, _dated(fresh, before, pod.metadata.generation, now))


def _dated(fresh: PodCondition, before: PodCondition | None, generation: int | None, now: float) -> PodCondition:
    since = before.last_transition_time if before is not None and before.status == fresh.status else None
    return PodCondition(
        type=fresh.type,
        status=fresh.status,
        reason=fresh.reason,
        message=fresh.message,
        observed_generation=generation,
        last_transition_time=since or to_wire(now),
    )


def _containers_ready(pod: Pod, phase: str, statuses: Mapping[str, ContainerStatus]) -> PodCondition:
    if phase in TERMINAL_PHASES:
        return _terminal("ContainersReady", phase)
    counted = [c.name for c in pod.spec.init_containers if is_sidecar(c)] + [c.name for c in pod.spec.containers]
    unknown = [name for name in counted if name not in statuses]
    unready = [name for name in counted if name in statuses and not statuses[name].ready]
    message = _named("containers with unknown status", unknown, "containers with unready status", unready)
    if message:
        return PodCondition(type="ContainersReady", status="False", reason="ContainersNotReady", message=message)
    return PodCondition(type="ContainersReady", status="True")


def _ready(pod: Pod, containers_ready: PodCondition) -> PodCondition:
    if containers_ready.status != "True":
        return PodCondition(
            type="Ready", status="False", reason=containers_ready.reason, message=containers_ready.message
        )
    told = {condition.type: condition.status for condition in pod.status.conditions}
    unready = []
    for gate in pod.spec.readiness_gates:
        status = told.get(gate.condition_type)
        if status is None:
            unready.append(f'corresponding condition of pod readiness gate "{gate.condition_type}" does not exist.')
        elif status != "True":
            unready.append(f'the status of pod readiness gate "{gate.condition_type}" is not "True", but {status}')
    if unready:
        return PodCondition(type="Ready", status="False", reason="ReadinessGatesNotReady", message=", ".join(unready))
    return PodCondition(type="Ready", status="True")


def _initialized(
    pod: Pod, phase: str, init_statuses: Sequence[ContainerStatus], statuses: Sequence[ContainerStatus]
) -> PodCondition:
    told = {status.name: status for status in init_statuses}
    unknown = [c.name for c in pod.spec.init_containers if c.name not in told]
    if phase == "Succeeded" and not unknown:
        return PodCondition(type="Initialized", status="True", reason="PodCompleted")
    if any(has_begun(status) for status in statuses):
        return PodCondition(type="Initialized", status="True")
    incomplete = [
        c.name
        for c in pod.spec.init_containers
        if c.name in told and not (told[c.name].started if is_sidecar(c) else told[c.name].ready)
    ]
    message = _named("containers with unknown status", unknown, "containers with incomplete status", incomplete)
    if message:
        return PodCondition(type="Initialized", status="False", reason="ContainersNotInitialized", message=message)
    return PodCondition(type="Initialized", status="True")


def _terminal(kind: str, phase: str) -> PodCondition:
    return PodCondition(type=kind, status="False", reason="PodCompleted" if phase == "Succeeded" else "PodFailed")


def _named(first: str, firsts: Sequence[str], second: str, seconds: Sequence[str]) -> str:
    parts = []
    if firsts:
        parts.append(f"{first}: [{' '.join(firsts)}]")
    if seconds:
        parts.append(f"{second}: [{' '.join(seconds)}]")
    return ", ".join(parts)


def _text(holds: bool) -> str:
    return "True" if holds else "False"
