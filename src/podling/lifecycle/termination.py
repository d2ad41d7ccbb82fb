"""How a Pod is ended: why, with how much grace, and in which order.

    SIGTERM to all main containers ──grace──▶ SIGKILL ──▶ sidecars, last first, in what is left of the grace

Owns the causes of an end and the arithmetic of grace. Knows no runtime: it says what is to be killed by when. A cause
found later never gives back what an earlier one has taken: grace only shrinks.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final

from podling.api.times import from_wire
from podling.lifecycle.specs import is_terminal

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod
    from podling.lifecycle.facts import PodView

DEFAULT_GRACE: Final = 30.0
LEAST_GRACE: Final = 1.0


class Cause(Enum):
    """Why a Pod has to end."""

    VANISHED = "the API no longer has it"
    DELETED = "its deletion was asked for"
    TERMINAL = "its phase is final"
    REJECTED = "the node does not take it"
    DEADLINE = "it ran longer than activeDeadlineSeconds"
    FINISHED = "its containers are done"


@dataclass(frozen=True, slots=True)
class Ending:
    """An end: its cause, and the `reason` and `message` of the status where the Pod fails by it."""

    cause: Cause
    reason: str = ""
    message: str = ""

    @property
    def fails(self) -> bool:
        """Whether the Pod's phase becomes Failed whatever its containers came to."""
        return self.cause in (Cause.REJECTED, Cause.DEADLINE)


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


def kill_deadline(view: PodView, now: float) -> float:
    """Return the instant by which the Pod's containers are to be dead.

    A Pod that vanished was deleted by force: it gets the least grace from when that was heard.
    """
    since = view.stopping_since if view.stopping_since is not None else now
    if view.vanished:
        return min(now + LEAST_GRACE, since + grace_of(view.pod))
    return since + grace_of(view.pod)
