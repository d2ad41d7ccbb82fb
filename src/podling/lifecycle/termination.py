"""How a Pod is ended: why, with how much grace, and in which order.

    SIGTERM to all main containers ──grace──▶ SIGKILL ──▶ sidecars, last first, in what is left of the grace

Owns the causes of an end and the arithmetic of grace. Knows no runtime: it says what is to be killed by when. A cause
found later never gives back what an earlier one has taken: grace only shrinks.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.api.pods import is_terminal
from podling.api.times import from_wire

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod
    from podling.lifecycle.facts import PodView
    from podling.lifecycle.specs import AnyContainer

DEFAULT_GRACE: Final = 30.0
LEAST_GRACE: Final = 1.0
AFTER_HOOK: Final = 2.0
"""What is left at the least between SIGTERM and SIGKILL after a preStop hook, as upstream has it."""


class Cause(Enum):
    """Why a Pod has to end."""

    VANISHED = "the API no longer has it"
    DELETED = "its deletion was asked for"
    TERMINAL = "its phase is final"
    REJECTED = "the node does not take it"
    EVICTED = "its node is short of something, or it used more than it may"
    DEADLINE = "it ran longer than activeDeadlineSeconds"
    FINISHED = "its containers are done"


class Ending(Struct, frozen=True):
    """An end: its cause, and the `reason` and `message` of the status where the Pod fails by it."""

    cause: Cause
    reason: str = ""
    message: str = ""

    @property
    def fails(self) -> bool:
        """Whether the Pod's phase becomes Failed whatever its containers came to."""
        return self.cause in (Cause.REJECTED, Cause.EVICTED, Cause.DEADLINE)


def ordered_ending(view: PodView, now: float) -> Ending | None:
    """Return the end that was ordered from outside the containers, the most pressing first."""
    pod = view.pod
    if view.vanished:
        return Ending(Cause.VANISHED)
    if pod.metadata.deletion_timestamp is not None:
        return Ending(Cause.DELETED)
    if is_terminal(pod):
        return Ending(Cause.TERMINAL)
    if view.rejection is not None:
        return Ending(Cause.REJECTED, view.rejection.reason, view.rejection.message)
    if view.eviction is not None:
        return Ending(Cause.EVICTED, "Evicted", view.eviction.message)
    deadline = active_deadline(pod)
    if deadline is not None and now >= deadline:
        return Ending(
            Cause.DEADLINE, "DeadlineExceeded", "Pod was active on the node longer than the specified deadline"
        )
    return None


def active_deadline(pod: Pod) -> float | None:
    """Return the instant at which `activeDeadlineSeconds` ends the Pod; its count begins with `status.startTime`."""
    if pod.spec.active_deadline_seconds is None or pod.status.start_time is None:
        return None
    return from_wire(pod.status.start_time) + pod.spec.active_deadline_seconds


def grace_of(pod: Pod) -> float:
    """Return the seconds between SIGTERM and SIGKILL: the deletion's if one was asked for, else the Pod's.

    Never below one second, as with upstream's kubelet.
    """
    grace: float | None = pod.metadata.deletion_grace_period_seconds
    if grace is None or pod.metadata.deletion_timestamp is None:
        grace = pod.spec.termination_grace_period_seconds
    return max(DEFAULT_GRACE if grace is None else float(grace), LEAST_GRACE)


def probe_grace(pod: Pod, container: AnyContainer, failed: str) -> float:
    """Return the grace of a container that a probe condemned: the probe's own where it has one, else the Pod's."""
    probe = container.startup_probe if failed == "Startup" else container.liveness_probe
    if probe is not None and probe.termination_grace_period_seconds is not None:
        return max(float(probe.termination_grace_period_seconds), LEAST_GRACE)
    return grace_of(pod)


def kill_deadline(view: PodView, now: float) -> float:
    """Return the instant by which the Pod's containers are to be dead.

    A Pod that vanished was deleted by force: it gets the least grace from when that was heard. An eviction may leave
    less than the Pod's own, whatever else ends it.
    """
    since = view.stopping_since if view.stopping_since is not None else now
    deadline = since + grace_of(view.pod)
    if view.vanished:
        deadline = min(now + LEAST_GRACE, deadline)
    if view.eviction is not None and view.eviction.grace > 0:
        deadline = min(view.eviction.at + max(view.eviction.grace, LEAST_GRACE), deadline)
    return deadline
