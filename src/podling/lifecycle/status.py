"""A Pod's status, told from facts.

Owns the phase rule, the container statuses with upstream's reasons, addresses and times. Knows no API server: it gives
the status as it should be, and the status writer sees to it. Invariants, each held by a test: a final phase never
changes; it is told only when nothing of the Pod runs any more; `restartCount` never falls; what was said of a container
that the runtime has since lost is kept.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct

from podling.api.pods import TERMINAL_PHASES, is_sidecar
from podling.api.times import to_wire
from podling.api.types.core_v1 import (
    ContainerState,
    ContainerStateRunning,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    ContainerUser,
    HostIP,
    LinuxContainerUser,
    PodIP,
    PodStatus,
    VolumeMountStatus,
)
from podling.lifecycle.conditions import conditions, disrupted
from podling.lifecycle.qos import qos_class
from podling.lifecycle.resize import pod_resources_of, resize_conditions, resources_of
from podling.lifecycle.restart import restarts, restarts_after_probe
from podling.lifecycle.restart_all import restart_all_conditions
from podling.lifecycle.specs import every_container, has_begun
from podling.lifecycle.termination import Cause

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod, VolumeMount
    from podling.lifecycle.facts import ContainerFacts, PodView
    from podling.lifecycle.pod import PodPlan
    from podling.lifecycle.specs import AnyContainer

_KILLED = 137
_MESSAGES = 12 * 1024
"""Characters that the termination messages of all containers of a Pod have together."""


class NodeFacts(Struct, frozen=True):
    """What a Pod's status says of its node."""

    addresses: tuple[str, ...]
    """The node's own, the primary first."""
    runtime: str
    """The scheme of container ids: `podling` in `podling://…`."""


def pod_status(view: PodView, plan: PodPlan, node: NodeFacts, now: float) -> PodStatus:
    """Return the whole status of a Pod on this node."""
    pod = view.pod
    if plan.ending is not None and plan.ending.cause is Cause.REJECTED:
        return _rejected(pod, plan, now)
    tell = _Teller(view, plan, node)
    inits = tuple(tell.init(container) for container in pod.spec.init_containers)
    mains = tuple(tell.main(container) for container in pod.spec.containers)
    ephemerals = tuple(tell.ephemeral(container) for container in pod.spec.ephemeral_containers)
    phase = tell.phase(inits, mains)
    failed_by_order = plan.ending is not None and plan.ending.fails and phase == "Failed"
    addresses = tell.addresses()
    held, set_aside = pod_resources_of(view)
    passing = (*restart_all_conditions(view, phase), *resize_conditions(view))
    told = conditions(pod, phase, inits, mains, has_sandbox=view.sandbox is not None, now=now, more=passing)
    if failed_by_order and view.eviction is not None and view.eviction.disrupts:
        told = disrupted(told, pod, view.eviction.message, now)
    return msgspec.structs.replace(
        pod.status,
        phase=phase,
        reason=plan.ending.reason if failed_by_order and plan.ending is not None else pod.status.reason,
        message=plan.ending.message if failed_by_order and plan.ending is not None else pod.status.message,
        observed_generation=pod.metadata.generation,
        conditions=told,
        init_container_statuses=inits,
        container_statuses=mains,
        ephemeral_container_statuses=ephemerals,
        resources=held,
        allocated_resources=set_aside,
        host_ip=node.addresses[0] if node.addresses else "",
        host_ips=tuple(HostIP(ip=address) for address in node.addresses),
        pod_ip=addresses[0] if addresses else "",
        pod_ips=tuple(PodIP(ip=address) for address in addresses),
        qos_class=pod.status.qos_class or qos_class(pod),
        start_time=pod.status.start_time or to_wire(now),
    )


def _rejected(pod: Pod, plan: PodPlan, now: float) -> PodStatus:
    assert plan.ending is not None
    return msgspec.structs.replace(
        pod.status,
        phase="Failed",
        reason=plan.ending.reason,
        message=f"Pod was rejected: {plan.ending.message}",
        observed_generation=pod.metadata.generation,
        qos_class=pod.status.qos_class or qos_class(pod),
        start_time=pod.status.start_time or to_wire(now),
    )


class _Teller:
    """Tells the parts of one status; lives no longer than the call."""

    def __init__(self, view: PodView, plan: PodPlan, node: NodeFacts) -> None:
        self._view = view
        self._plan = plan
        self._node = node
        pod = view.pod
        self._message_limit = _MESSAGES // max(sum(1 for _ in every_container(pod)), 1)
        self._told = {
            status.name: status
            for status in (
                *pod.status.init_container_statuses,
                *pod.status.container_statuses,
                *pod.status.ephemeral_container_statuses,
            )
        }
        busy = any(key.startswith("container/") for key in view.busy)
        self._over = plan.ending is not None and not busy and not any(c.is_running for c in view.containers)
        """Nothing of the Pod runs, and nothing will."""
        self._initialised = not pod.spec.init_containers or any(view.latest(c.name) for c in pod.spec.containers)

    def main(self, container: AnyContainer) -> ContainerStatus:
        latest = self._shown(container.name)
        status = self._of(container, latest, "PodInitializing" if self._view.pod.spec.init_containers else "")
        if latest is None or not latest.is_running:
            if self._over and self._initialised and status.state is not None and status.state.terminated is None:
                status = msgspec.structs.replace(status, state=_unlocatable("terminated"))
            return msgspec.structs.replace(status, ready=False, started=False)
        return msgspec.structs.replace(status, ready=self._view.is_ready(latest), started=self._view.is_started(latest))

    def init(self, container: AnyContainer) -> ContainerStatus:
        latest = self._shown(container.name)
        status = self._of(container, latest, "PodInitializing")
        if is_sidecar(container):
            started = latest is not None and self._view.is_started(latest)
            ready = latest is not None and self._view.is_ready(latest)
            return msgspec.structs.replace(status, ready=ready, started=started)
        ended = status.state.terminated if status.state is not None else None
        return msgspec.structs.replace(status, ready=ended is not None and ended.exit_code == 0, started=False)

    def ephemeral(self, container: AnyContainer) -> ContainerStatus:
        return self._of(container, self._shown(container.name), "")

    def _shown(self, name: str) -> ContainerFacts | None:
        """Return the newest instance that has begun; of one whose start and postStart are not over nothing is told."""
        begun = [
            c
            for c in self._view.containers
            if c.name == name and (c.started is not None or c.is_dead) and not self._view.is_starting(c)
        ]
        return max(begun, key=lambda c: c.attempt, default=None)

    def _of(self, container: AnyContainer, latest: ContainerFacts | None, default_reason: str) -> ContainerStatus:
        told = self._told.get(container.name)
        waiting = self._plan.waiting.get(container.name)
        waiting_state = ContainerState(
            waiting=ContainerStateWaiting(
                reason=waiting.reason if waiting else default_reason or "ContainerCreating",
                message=waiting.message if waiting else "",
            )
        )
        if latest is None:
            return self._unseen(container, told, waiting_state, explained=waiting is not None)
        restarts = max(latest.attempt, told.restart_count if told is not None else 0)
        status = ContainerStatus(
            name=container.name,
            image=latest.image or container.image,
            image_id=latest.image_id,
            container_id=self._id(latest),
            ready=False,
            restart_count=restarts,
            state=self._state(latest),
            last_state=self._last_state(latest, told),
            volume_mounts=_mounts(container),
            user=_user(latest),
            stop_signal=container.lifecycle.stop_signal if container.lifecycle is not None else None,
        )
        if latest.is_running:
            same = told if told is not None and told.container_id == status.container_id else None
            held, set_aside = resources_of(self._view, container, latest, same)
            return msgspec.structs.replace(status, resources=held, allocated_resources=set_aside)
        if latest.is_dead and (waiting is not None or self._runs_again_all_the_same(container, latest)):
            return msgspec.structs.replace(status, state=waiting_state, last_state=status.state)
        return status

    def _runs_again_all_the_same(self, container: AnyContainer, dead: ContainerFacts) -> bool:
        """Whether an instance that a probe condemned has a successor which its exit code would not give it.

        The API refuses that such a container leaves `terminated`: it is told as waiting at once.
        """
        pod = self._view.pod
        is_condemned = bool(self._view.failed_probe(dead)) and self._plan.ending is None
        return is_condemned and restarts_after_probe(pod, container) and not restarts(pod, container, dead)

    def _unseen(
        self, container: AnyContainer, told: ContainerStatus | None, waiting: ContainerState, *, explained: bool
    ) -> ContainerStatus:
        """Tell of a container that the runtime does not have: never created, or lost."""
        status = ContainerStatus(
            name=container.name,
            image=container.image,
            image_id="",
            ready=False,
            restart_count=told.restart_count if told is not None else 0,
            state=waiting,
            last_state=(told.last_state if told is not None else None) or ContainerState(),
            volume_mounts=_mounts(container),
        )
        if told is None or told.state is None:
            return status
        if told.state.terminated is not None:
            if not explained:
                return told
            return msgspec.structs.replace(
                status, last_state=told.state, container_id=told.container_id, image_id=told.image_id
            )
        if told.state.running is not None:
            again = 0 if self._plan.ending is not None else 1
            lost = _unlocatable("deleted.  The container used to be Running")
            return msgspec.structs.replace(status, last_state=lost, restart_count=told.restart_count + again)
        return status

    def _state(self, instance: ContainerFacts) -> ContainerState:
        if instance.is_dead:
            return ContainerState(terminated=self._terminated(instance))
        assert instance.started is not None
        return ContainerState(running=ContainerStateRunning(started_at=to_wire(instance.started)))

    def _last_state(self, latest: ContainerFacts, told: ContainerStatus | None) -> ContainerState:
        earlier = [c for c in self._view.containers if c.name == latest.name and c.attempt < latest.attempt]
        previous = max(earlier, key=lambda c: c.attempt, default=None)
        if previous is not None and previous.is_dead:
            return ContainerState(terminated=self._terminated(previous))
        if told is None:
            return ContainerState()
        if told.container_id != self._id(latest) and told.state is not None and told.state.terminated is not None:
            return told.state
        return told.last_state or ContainerState()

    def _terminated(self, instance: ContainerFacts) -> ContainerStateTerminated:
        code = instance.exit_code if instance.exit_code is not None else _KILLED
        reason = instance.reason
        if not reason:
            reason = "OOMKilled" if instance.oom_killed else "Completed" if code == 0 else "Error"
        return ContainerStateTerminated(
            exit_code=code,
            signal=instance.signal,
            reason=reason,
            message=instance.message[: self._message_limit],
            started_at=to_wire(instance.started if instance.started is not None else 0.0),
            finished_at=to_wire(instance.finished if instance.finished is not None else 0.0),
            container_id=self._id(instance),
        )

    def _id(self, instance: ContainerFacts) -> str:
        return f"{self._node.runtime}://{instance.id}"

    def addresses(self) -> tuple[str, ...]:
        """Return the Pod's addresses; what a stopped Pod had stays told, as upstream does."""
        view = self._view
        if view.pod.spec.host_network:
            return self._node.addresses if view.sandboxes or view.pod.status.pod_ips else ()
        if view.sandbox is not None and view.sandbox.addresses:
            return view.sandbox.addresses
        return tuple(told.ip for told in view.pod.status.pod_ips)

    def phase(self, inits: Sequence[ContainerStatus], mains: Sequence[ContainerStatus]) -> str:
        """Return the phase.

        Failed and Succeeded stay. They are told only when nothing runs any more; a deleted Pod whose containers have
        ended gets one of them too, whatever its restart policy.
        """
        pod = self._view.pod
        if pod.status.phase in TERMINAL_PHASES:
            return pod.status.phase
        if self._over:
            return self._final_phase(mains)
        regular_inits = [
            status for spec, status in zip(pod.spec.init_containers, inits, strict=True) if not is_sidecar(spec)
        ]
        begun = any(has_begun(status) for status in mains)
        if not begun and not all(status.ready for status in regular_inits):
            return "Pending"
        if any(not has_begun(status) for status in mains):
            return "Pending"
        return "Running"

    def _final_phase(self, mains: Sequence[ContainerStatus]) -> str:
        assert self._plan.ending is not None
        if self._plan.ending.fails:
            return "Failed"
        ends = [status.state.terminated if status.state is not None else None for status in mains]
        return "Succeeded" if all(end is not None and end.exit_code == 0 for end in ends) else "Failed"


def _unlocatable(how: str) -> ContainerState:
    message = f"The container could not be located when the pod was {how}"
    return ContainerState(
        terminated=ContainerStateTerminated(exit_code=_KILLED, reason="ContainerStatusUnknown", message=message)
    )


def _mounts(container: AnyContainer) -> tuple[VolumeMountStatus, ...]:
    return tuple(
        VolumeMountStatus(
            name=mount.name,
            mount_path=mount.mount_path,
            read_only=True if mount.read_only else None,
            recursive_read_only=_recursive(mount) if mount.read_only else None,
        )
        for mount in container.volume_mounts
    )


def _recursive(mount: VolumeMount) -> str:
    return "Enabled" if mount.recursive_read_only in {"Enabled", "IfPossible"} else "Disabled"


def _user(instance: ContainerFacts) -> ContainerUser | None:
    if instance.user is None:
        return None
    uid, gid, groups = instance.user
    return ContainerUser(linux=LinuxContainerUser(uid=uid, gid=gid, supplemental_groups=groups))
