"""Which Nodes get a daemon Pod and which Pods go: one for each Node that is to have one, and of the present template.

Pure. Owns upstream's two steps. `keep` makes what is missing and takes away what is too much, in the wrong place or
over. Where it finds nothing to do, `renew` replaces Pods of old templates, so many at a time that no more Nodes than
allowed are without an available one (or, with a surge, have two).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from podling.api.pods import is_ready
from podling.api.shares import scaled
from podling.controllers.availability import available_in
from podling.controllers.daemon_pods import is_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.apps_v1 import DaemonSet
    from podling.api.types.core_v1 import Pod
    from podling.controllers.daemon_pods import Fit

BURST: Final = 250
"""How many Pods are made, and how many deleted, at one look."""
_NEITHER: Final = (None, None)


@dataclass(slots=True)
class DaemonPlan:
    create: list[str] = field(default_factory=list)
    """Names of Nodes."""
    delete: list[Pod] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)
    """The Nodes whose Pod goes because it failed."""
    told: list[tuple[str, str, str]] = field(default_factory=list)
    again: float | None = None
    """In how many seconds a failed Pod may go."""


class _Look:
    """One DaemonSet at one moment."""

    def __init__(self, found: DaemonSet, revision: str, now: float) -> None:
        self.revision = revision
        self._seconds = found.spec.min_ready_seconds or 0
        self._now = now
        strategy = found.spec.update_strategy
        rolling = strategy.rolling_update if strategy is not None else None
        self.rolls = strategy is not None and strategy.type == "RollingUpdate"
        self.most_surge = (rolling.max_surge if rolling is not None else None) or 0
        self.most_away = rolling.max_unavailable if rolling is not None else None

    @property
    def surges(self) -> bool:
        return self.rolls and scaled(self.most_surge, 100, up=True) > 0

    def available(self, pod: Pod) -> bool:
        return available_in(pod, self._seconds, self._now) == 0

    def pair(self, pods: Sequence[Pod]) -> tuple[Pod | None, Pod | None] | None:
        """Return the new and the old Pod of a Node; nothing where there are two of a kind, which `keep` will end."""
        staying = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        new = [pod for pod in staying if is_of(pod, self.revision)]
        old = [pod for pod in staying if not is_of(pod, self.revision)]
        if len(new) > 1 or len(old) > 1:
            return None
        return (new[0] if new else None, old[0] if old else None)


def keep(
    found: DaemonSet,
    revision: str,
    fits: Mapping[str, Fit],
    pods: Mapping[str, Sequence[Pod]],
    waits: Mapping[str, float],
    now: float,
) -> DaemonPlan:
    """Make what is missing, take away what is too much; `waits` are back-offs of failed Pods by Node, in seconds."""
    look, made = _Look(found, revision, now), DaemonPlan()
    for node, place in fits.items():
        here = pods.get(node, ())
        if place.begins and not here:
            made.create.append(node)
        elif place.stays:
            _prune(look, node, here, waits.get(node, 0.0), made)
        else:
            made.delete += [pod for pod in here if pod.metadata.deletion_timestamp is None]
    for node, here in pods.items():
        if node not in fits:
            made.delete += [pod for pod in here if not pod.spec.node_name and pod.metadata.deletion_timestamp is None]
    return _bounded(made)


def renew(
    found: DaemonSet, revision: str, fits: Mapping[str, Fit], pods: Mapping[str, Sequence[Pod]], now: float
) -> DaemonPlan:
    """Replace Pods of old templates, as far as may be now."""
    look = _Look(found, revision, now)
    if not look.rolls:
        return DaemonPlan()
    wanted = [node for node, place in fits.items() if place.begins]
    surge = scaled(look.most_surge, len(wanted), up=True)
    away = scaled(1 if look.most_away is None else look.most_away, len(wanted), up=True)
    places = {**dict.fromkeys(wanted, ()), **{node: here for node, here in pods.items() if node in fits}}
    pairs = {node: look.pair(here) for node, here in places.items()}
    if surge:
        return _bounded(_surge(look, pairs, fits, surge))
    return _bounded(_in_place(look, pairs, max(away, 1)))


def _prune(look: _Look, node: str, pods: Sequence[Pod], wait: float, made: DaemonPlan) -> None:
    """Take away from a Node that is to have a Pod what is over, and all but one; with a surge, all but one of each."""
    running: list[Pod] = []
    for pod in pods:
        name = f"{pod.metadata.namespace}/{pod.metadata.name}"
        if pod.metadata.deletion_timestamp is not None:
            continue
        if pod.status.phase == "Failed":
            if wait > 0:
                made.again = min(wait, made.again or wait)
                continue
            said = f"Found failed daemon pod {name} on node {node}, will try to kill it"
            made.told.append(("Warning", "FailedDaemonPod", said))
            made.failed.append(node)
            made.delete.append(pod)
        elif pod.status.phase == "Succeeded":
            said = f"Found succeeded daemon pod {name} on node {node}, will try to delete it"
            made.told.append(("Normal", "SucceededDaemonPod", said))
            made.delete.append(pod)
        else:
            running.append(pod)
    if not look.surges:
        made.delete += running[1:]
        return
    new = [pod for pod in running if is_of(pod, look.revision)]
    old = [pod for pod in running if not is_of(pod, look.revision)]
    made.delete += [*new[1:], *old[1:]]
    if new and old and (not is_ready(old[0]) or look.available(new[0])):
        made.delete.append(old[0])


def _in_place(look: _Look, pairs: Mapping[str, tuple[Pod | None, Pod | None] | None], most: int) -> DaemonPlan:
    """Take old Pods away: all that are of no use, and of the others as many as Nodes may be without."""
    away, useless, others = 0, [], []
    for pair in pairs.values():
        new, old = pair or _NEITHER
        if (new is None) == (old is None):
            away += 1
        elif new is not None:
            away += not look.available(new)
        elif old is not None and not look.available(old):
            away += 1
            useless.append(old)
        elif old is not None:
            others.append(old)
    return DaemonPlan(delete=[*useless, *others[: max(most - away, 0)]])


def _surge(
    look: _Look,
    pairs: Mapping[str, tuple[Pod | None, Pod | None] | None],
    fits: Mapping[str, Fit],
    most: int,
) -> DaemonPlan:
    """Put new Pods beside old ones: beside all that are of no use, and beside as many others as may be two."""
    made, beside, others = DaemonPlan(), 0, []
    for node, pair in pairs.items():
        if pair is None:
            beside += 1
            continue
        new, old = pair
        if old is None:
            continue
        if new is not None:
            if look.available(new):
                made.delete.append(old)
            else:
                beside += 1
        elif look.available(old):
            others.append(node)
        elif fits[node].begins:
            made.create.append(node)
        else:
            made.delete.append(old)
    made.create += others[: max(most - beside, 0)]
    return made


def _bounded(made: DaemonPlan) -> DaemonPlan:
    del made.create[BURST:]
    del made.delete[BURST:]
    return made
