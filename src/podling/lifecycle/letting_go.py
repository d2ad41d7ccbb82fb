"""When a Pod that is deleted is told to stop: not while new connections are still sent to it.

    deleted ─▶ every proxy has let it go, or has had its time ─▶ what came before is answered ─▶ SIGTERM

Owns that rule; upstream has none, and drops what arrives between a Pod's end and its proxies' hearing of it. Knows
neither Services nor proxies: the kubelet says what holds the Pod. Invariants: the grace period is not lengthened, and
at least half of it is left for the Pod to stop in; nobody waits where nothing is gained by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from podling.lifecycle.termination import grace_of

if TYPE_CHECKING:
    from podling.lifecycle.facts import PodView
    from podling.lifecycle.restart import Policy


@dataclass(frozen=True, slots=True)
class Hold:
    """What may still send new connections to a Pod that goes, and for which others could take over."""

    offered: bool
    """Whether the Pod's Services offer it yet."""
    revision: int
    """The newest word about that."""
    programmed: tuple[int, ...]
    """Up to which word each live proxy follows."""
    let_go_at: float | None = None
    """When it was first seen to be let go."""


def is_let_go(hold: Hold) -> bool:
    """Whether no proxy sends new connections any more."""
    return not hold.offered and all(known >= hold.revision for known in hold.programmed)


def stop_at(view: PodView, now: float, policy: Policy) -> float:
    """Return the instant of the Pod's SIGTERM as far as is known at `now`; `now` if nothing holds it."""
    hold = view.hold
    if hold is None or not hold.programmed:
        return now
    since = view.stopping_since if view.stopping_since is not None else now
    latest = since + min(policy.let_go, grace_of(view.pod) / 2)
    if is_let_go(hold):
        return min(latest, (hold.let_go_at if hold.let_go_at is not None else now) + policy.last_answers)
    return latest
