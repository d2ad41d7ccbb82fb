"""Owns how a Pod is shown in one line: READY, STATUS, RESTARTS and READINESS GATES of `kubectl get pods`.

The words are upstream's (`printPod`): people and scripts know them. Everything is derived from the stored object, and
nothing here decides anything. Pure; must not know tables, requests or the clock: `now` is handed in, in seconds since
the epoch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from podling.api.durations import human_duration
from podling.api.pods import is_sidecar, is_terminal, sidecars
from podling.api.times import from_wire

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Container, ContainerStateTerminated, ContainerStatus, Pod


class Display(NamedTuple):
    """A Pod in one line."""

    ready: int
    total: int
    status: str
    restarts: int
    last_restart: float | None
    """When the newest counted restart's predecessor ended, in seconds since the epoch."""

    def restarts_text(self, now: float) -> str:
        """Return `3 (5m ago)`, or the bare count where no end was recorded."""
        if self.restarts and self.last_restart is not None:
            return f"{self.restarts} ({human_duration(now - self.last_restart)} ago)"
        return str(self.restarts)


class _Tally:
    """Restarts counted so far and the newest end among them."""

    __slots__ = ("last", "restarts")

    def __init__(self) -> None:
        self.restarts = 0
        self.last: float | None = None

    def add(self, status: ContainerStatus) -> None:
        self.restarts += status.restart_count
        ended = status.last_state.terminated if status.last_state is not None else None
        if ended is not None and ended.finished_at is not None:
            at = from_wire(ended.finished_at)
            if self.last is None or at > self.last:
                self.last = at


def status_text(pod: Pod) -> str:
    """Return the STATUS word: `Running`, `Init:0/1`, `CrashLoopBackOff`, `Terminating`, …"""
    return display(pod).status


def display(pod: Pod) -> Display:
    """Return the line of a Pod, as upstream's printer reckons it."""
    status = pod.status
    reason = status.reason or status.phase
    for condition in status.conditions:
        if condition.type == "PodScheduled" and condition.reason == "SchedulingGated":
            reason = "SchedulingGated"

    inits = {c.name: c for c in pod.spec.init_containers}
    ready, init_reason, all_inits, kept = _initialization(status.init_container_statuses, inits)
    tally = all_inits
    if init_reason:
        reason = init_reason
    if not init_reason or _is_true(pod, "Initialized"):
        tally = kept
        running = False
        for container in reversed(status.container_statuses):
            tally.add(container)
            state = container.state
            if state is None:
                continue
            if state.waiting is not None and state.waiting.reason:
                reason = state.waiting.reason
            elif state.terminated is not None:
                reason = _ended(state.terminated)
            elif container.ready and state.running is not None:
                running = True
                ready += 1
        if reason == "Completed" and running:
            reason = "Running" if _is_true(pod, "Ready") else "NotReady"

    if pod.metadata.deletion_timestamp is not None:
        if status.reason == "NodeLost":
            reason = "Unknown"
        elif not is_terminal(pod):
            reason = "Terminating"
    return Display(ready, len(pod.spec.containers) + len(sidecars(pod)), reason, tally.restarts, tally.last)


def readiness_gates_text(pod: Pod) -> str:
    """Return `1/2`: how many of the Pod's readiness gates are true; `<none>` where it has none."""
    gates = pod.spec.readiness_gates
    if not gates:
        return "<none>"
    return f"{sum(1 for gate in gates if _is_true(pod, gate.condition_type))}/{len(gates)}"


def _initialization(
    statuses: tuple[ContainerStatus, ...], containers: dict[str, Container]
) -> tuple[int, str, _Tally, _Tally]:
    """Return ready sidecars, why initialization is not over ("" if it is), and restarts: of all, of sidecars alone."""
    ready = 0
    everything, sidecars = _Tally(), _Tally()
    for index, status in enumerate(statuses):
        everything.add(status)
        container = containers.get(status.name)
        beside = container is not None and is_sidecar(container)
        if beside:
            sidecars.add(status)
        ended = status.state.terminated if status.state is not None else None
        waiting = status.state.waiting if status.state is not None else None
        if ended is not None and ended.exit_code == 0:
            continue
        if beside and status.started:
            ready += status.ready
            continue
        if ended is not None:
            return ready, f"Init:{_ended(ended)}", everything, sidecars
        if waiting is not None and waiting.reason and waiting.reason != "PodInitializing":
            return ready, f"Init:{waiting.reason}", everything, sidecars
        return ready, f"Init:{index}/{len(containers)}", everything, sidecars
    return ready, "", everything, sidecars


def _ended(ended: ContainerStateTerminated) -> str:
    if ended.reason:
        return ended.reason
    return f"Signal:{ended.signal}" if ended.signal else f"ExitCode:{ended.exit_code}"


def _is_true(pod: Pod, condition_type: str) -> bool:
    return any(c.type == condition_type and c.status == "True" for c in pod.status.conditions)
