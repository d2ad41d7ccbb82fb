"""What to do next for a StatefulSet: which Pods to make, to take away, to put right. Pure.

Owns the order. One look makes the steps that nothing stands in the way of; what comes of them is seen at the next.

    going ──────────▶ only counted
    OrderedReady ───▶ 0, 1, 2, …: made when all before are available ─ then those beyond the size go, the last first
    Parallel ───────▶ all at once
    then, RollingUpdate ──▶ from the last down to the partition: who is not of the present template goes, as many at a
                            time as may be unavailable; made anew they are
    OnDelete ───────▶ whoever is made anew is of the present template

Pods that ended, however they did, are taken away and made anew.
"""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from podling.api.pods import is_terminal
from podling.api.shares import scaled
from podling.api.times import from_wire
from podling.controllers.availability import next_available
from podling.controllers.revisions import template_of
from podling.controllers.stateful_claims import is_stale, owned
from podling.controllers.stateful_pods import (
    claims_of,
    first_number,
    identified,
    is_available,
    made_pod,
    number_of,
    revision_of,
    wanted,
)

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping

    from podling.api.types.apps_v1 import ControllerRevision, RollingUpdateStatefulSetStrategy, StatefulSet
    from podling.api.types.core_v1 import PersistentVolumeClaim, Pod

BURST: Final = 500
"""How many Pods are made or deleted at one look."""
_PAUSE: Final = 1.0
"""Seconds; a Pod that ended is left for as long from its creation: one that its node refuses would else be made anew
without end and without a breath between."""


class NewPod(NamedTuple):
    """A Pod to be made, and the claims that must be made before."""

    pod: Pod
    claims: tuple[PersistentVolumeClaim, ...]


class Revisions(NamedTuple):
    """Of which template Pods are: `current` until the update has come to them, `update` from then on."""

    current: ControllerRevision
    update: ControllerRevision


class StatefulPlan(msgspec.Struct):
    """The steps of one look."""

    create: list[NewPod] = []
    claims: list[NewPod] = []
    """Pods that are there and wait for claims that are not."""
    retain: list[PersistentVolumeClaim] = []
    """Claims with the owners that they should have."""
    repair: list[Pod] = []
    """Pods with the labels that they should have."""
    delete: list[Pod] = []
    again_in: float | None = None

    def wake(self, seconds: float | None) -> None:
        if seconds is not None:
            self.again_in = seconds if self.again_in is None else min(self.again_in, seconds)


def lacking(found: StatefulSet, held: Container[int]) -> Iterable[int]:
    """Return the first numbers of which a set wants a Pod and has none, as many as are looked at at once.

    A set may want more Pods than there is memory to think of.
    """
    return islice((number for number in wanted(found) if number not in held), BURST)


def plan(
    found: StatefulSet,
    revisions: Revisions,
    pods: Iterable[Pod],
    claims: Mapping[str, PersistentVolumeClaim],
    now: float,
) -> StatefulPlan:
    """Plan from a set, its Pods, and the claims of its namespace by name."""
    step = _Step(found, revisions, claims, now)
    step.see(pods)
    step.todo.wake(next_available(step.pods.values(), step.seconds, now))
    if found.metadata.deletion_timestamp is None:
        step.settle_claims()
        if step.keep() and step.shrink():
            step.roll()
        del step.todo.create[BURST:], step.todo.delete[BURST:]
    return step.todo


class _Step:
    """A plan in the making; each part says whether the next may go on."""

    def __init__(
        self, found: StatefulSet, revisions: Revisions, claims: Mapping[str, PersistentVolumeClaim], now: float
    ) -> None:
        self.found = found
        self.revisions = revisions
        self.held = claims
        self.now = now
        self.pods: dict[int, Pod] = {}
        self.unwell: set[int] = set()
        """The numbers of Pods that are not available, or not for long."""
        self.todo = StatefulPlan()

    def see(self, pods: Iterable[Pod]) -> None:
        for pod in pods:
            number = number_of(self.found, pod)
            if number is not None:
                self.pods[number] = pod
                if pod.metadata.deletion_timestamp is not None or not is_available(pod, self.seconds, self.now):
                    self.unwell.add(number)

    @property
    def seconds(self) -> int:
        return self.found.spec.min_ready_seconds or 0

    @property
    def ordered(self) -> bool:
        return self.found.spec.pod_management_policy != "Parallel"

    @property
    def numbers(self) -> range:
        return wanted(self.found)

    def settle_claims(self) -> None:
        for number, pod in sorted(self.pods.items()):
            for template in claims_of(self.found, number).values():
                claim = self.held.get(template.metadata.name)
                if claim is not None:
                    settled = owned(self.found, number, pod, claim)
                    if settled is not claim:
                        self.todo.retain.append(settled)

    def keep(self) -> bool:
        """See to the Pods that are wanted."""
        numbers = {*filter(self.numbers.__contains__, self.pods), *lacking(self.found, self.pods)}
        return all(self._keep(number) or not self.ordered for number in sorted(numbers))

    def _keep(self, number: int) -> bool:
        pod = self.pods.get(number)
        if pod is None:
            self._make(number)
            return False
        if is_terminal(pod):
            self._clear(pod)
            return False
        if pod.status.phase == "Pending":
            missing = self._missing(number)
            if missing:
                self.todo.claims.append(NewPod(pod, missing))
        repaired = identified(pod, number)
        if repaired is not pod:
            self.todo.repair.append(repaired)
        return number not in self.unwell

    def _make(self, number: int) -> None:
        revision = self.revisions.update
        rolling, status = self._rolling(), self.found.status
        if rolling is not None and status is not None and status.current_revision != revision.metadata.name:
            partition = first_number(self.found) + (rolling.partition or 0)
            revision = self.revisions.current if number < partition else revision
        pod = made_pod(self.found, template_of(revision), revision.metadata.name, number)
        names = [claim.metadata.name for claim in claims_of(self.found, number).values()]
        if any(is_stale(self.found, pod.metadata.name, self.held[name]) for name in names if name in self.held):
            return
        self.todo.create.append(NewPod(pod, self._missing(number)))

    def _missing(self, number: int) -> tuple[PersistentVolumeClaim, ...]:
        return tuple(
            owned(self.found, number, None, claim)
            for claim in claims_of(self.found, number).values()
            if claim.metadata.name not in self.held
        )

    def _clear(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is not None:
            return
        wait = from_wire(pod.metadata.creation_timestamp or "") + _PAUSE - self.now
        if wait > 0:
            self.todo.wake(wait)
        else:
            self.todo.delete.append(pod)

    def shrink(self) -> bool:
        """Take away the Pods that are not wanted, the last first."""
        beyond = sorted((n for n in self.pods if n not in self.numbers), reverse=True)
        first = next((n for n in reversed(beyond) if n in self.unwell), None)
        for number in beyond:
            pod = self.pods[number]
            going = pod.metadata.deletion_timestamp is not None
            if self.ordered and (going or (number != first and number in self.unwell)):
                return False
            if not going:
                self.todo.delete.append(pod)
                if self.ordered:
                    return False
        return True

    def roll(self) -> None:
        """Take away Pods of other templates than the present one, the last first, as many as may be missing."""
        rolling, strategy = self._rolling(), self.found.spec.update_strategy
        if strategy is None or strategy.type == "OnDelete":
            return
        partition = (rolling.partition or 0) if rolling is not None else 0
        share = rolling.max_unavailable if rolling is not None else None
        most = max(scaled(1 if share is None else share, self.found.spec.replicas or 0, up=True), 1)
        numbers = sorted(filter(self.numbers.__contains__, self.pods), reverse=True)
        room = most - len(self.numbers) + sum(number not in self.unwell for number in numbers)
        for number in numbers:
            pod = self.pods[number]
            if (
                number not in self.numbers[partition:]
                or is_terminal(pod)
                or pod.metadata.deletion_timestamp is not None
            ):
                continue
            if revision_of(pod) == self.revisions.update.metadata.name:
                continue
            if number not in self.unwell:
                if room <= 0:
                    continue
                room -= 1
            self.todo.delete.append(pod)

    def _rolling(self) -> RollingUpdateStatefulSetStrategy | None:
        strategy = self.found.spec.update_strategy
        return strategy.rolling_update if strategy is not None and strategy.type == "RollingUpdate" else None
