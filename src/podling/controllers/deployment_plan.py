"""What to do next for a Deployment: which ReplicaSet to make, which to resize, which to forget. Pure.

Owns the order of a rollout. One look makes one step; what comes of it is seen at the next.

    going ──────────────▶ only counted
    paused ─────────────▶ scaled as a whole, old ReplicaSets forgotten, no rollout
    size changed ───────▶ scaled as a whole: the one active ReplicaSet, or all in proportion
    Recreate ───────────▶ old to zero ─ when the last old Pod is gone ─▶ new made at full size
    RollingUpdate ──────▶ new made or grown by what surge lets it ─ else ─▶ old shrunk by what is available beyond need
    complete ───────────▶ old ReplicaSets beyond the history's limit forgotten
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.pods import is_terminal
from podling.controllers import deployment_revisions as revisions
from podling.controllers import deployment_sizes as sizes
from podling.controllers import deployment_status as statuses
from podling.controllers.deployment_sizes import size

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.apps_v1 import Deployment, DeploymentStatus, ReplicaSet
    from podling.api.types.core_v1 import Pod

_UNLIMITED: Final = 2**31 - 1


@dataclass(frozen=True, slots=True)
class DeploymentPlan:
    """One step."""

    create: ReplicaSet | None
    update: tuple[ReplicaSet, ...]
    """As they should be: resized, or with other annotations."""
    delete: tuple[ReplicaSet, ...]
    deployment: Deployment | None
    """The Deployment with the status and revision to be written; `None` where it says so already."""
    told: Mapping[str, str]
    """What to say of each resizing, by the name of the ReplicaSet."""
    again_in: float | None


def plan(
    deployment: Deployment, sets: Sequence[ReplicaSet], pods: Mapping[str, Sequence[Pod]], now: float
) -> DeploymentPlan:
    """Plan from a Deployment and its ReplicaSets; `pods`, by the uid of their ReplicaSet, matter to Recreate alone."""
    step = _Step(deployment, sets, now)
    if deployment.metadata.deletion_timestamp is not None:
        return step.ended()
    step.note_pause()
    if deployment.spec.paused:
        step.scale()
        step.forget()
        return step.ended()
    if step.size_changed():
        step.scale()
        return step.ended()
    if sizes.is_rolling(deployment):
        step.roll()
    else:
        step.recreate(pods)
    return step.ended(rollout=True)


@dataclass
class _Step:
    """A plan in the making. ReplicaSets are replaced, never changed."""

    deployment: Deployment
    sets: Sequence[ReplicaSet]
    now: float
    new: ReplicaSet | None = field(init=False)
    old: list[ReplicaSet] = field(init=False)
    made: bool = field(init=False, default=False)
    forgotten: list[ReplicaSet] = field(init=False, default_factory=list)
    conditions: statuses.Conditions = field(init=False)
    annotations: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.new = revisions.find_new(self.deployment, self.sets)
        self.old = [one for one in revisions.by_age(self.sets) if one is not self.new]
        self.conditions = self.deployment.status.conditions
        self.annotations = self.deployment.metadata.annotations
        if self.new is not None:
            self._note_new(self.new)

    @property
    def all(self) -> list[ReplicaSet]:
        return [*self.old, *([self.new] if self.new is not None else [])]

    @property
    def active(self) -> list[ReplicaSet]:
        return [one for one in self.all if size(one)]

    def _note_new(self, new: ReplicaSet) -> None:
        """Bring the present ReplicaSet's revision, annotations and minReadySeconds up to date."""
        noted = revisions.noted(self.deployment, new, revisions.next_revision(self.old))
        seconds = self.deployment.spec.min_ready_seconds
        if (noted.spec.min_ready_seconds or 0) != (seconds or 0):
            noted = msgspec.structs.replace(
                noted, spec=msgspec.structs.replace(noted.spec, min_ready_seconds=seconds or 0)
            )
        self.new = noted
        self._number(noted)
        if statuses.has_deadline(self.deployment) and not statuses.condition(self.conditions, statuses.PROGRESSING):
            self._progress("True", statuses.FOUND, f'Found new replica set "{noted.metadata.name}"')

    def _number(self, new: ReplicaSet) -> None:
        """Let the Deployment be of the present ReplicaSet's revision."""
        number = new.metadata.annotations.get(revisions.REVISION, "")
        if self.annotations.get(revisions.REVISION) != number:
            self.annotations = {**self.annotations, revisions.REVISION: number}

    def note_pause(self) -> None:
        if not statuses.has_deadline(self.deployment):
            return
        held = statuses.condition(self.conditions, statuses.PROGRESSING)
        reason = held.reason if held is not None else ""
        if reason == statuses.TIMED_OUT:
            return
        if self.deployment.spec.paused and reason != statuses.PAUSED:
            self._progress("Unknown", statuses.PAUSED, "Deployment is paused")
        elif not self.deployment.spec.paused and reason == statuses.PAUSED:
            self._progress("Unknown", statuses.RESUMED, "Deployment is resumed")

    def _progress(self, status: str, reason: str, message: str) -> None:
        self.conditions = statuses.told(self.conditions, statuses.PROGRESSING, status, reason, message, self.now)

    def size_changed(self) -> bool:
        """Whether an active ReplicaSet was last sized for another number of Pods than is wanted now.

        Not asked where several are active and cannot be sized in proportion: Recreate takes the old ones down anyway.
        """
        if len(self.active) > 1 and not sizes.is_rolling(self.deployment):
            return False
        noted = [sizes.annotated(one, sizes.DESIRED) for one in self.active]
        return any(number not in (None, sizes.wanted(self.deployment)) for number in noted)

    def scale(self) -> None:
        """Carry a change of the Deployment's size over to its ReplicaSets."""
        active, wanted = self.active, sizes.wanted(self.deployment)
        if len(active) <= 1:
            one = active[0] if active else self.new or (self.old[-1] if self.old else None)
            if one is not None:
                # Its note, too, where somebody else gave it the size: a change that is not noted is one for ever.
                self._resize(one, wanted, bounds=True)
        elif self._is_saturated():
            for one in active:
                if one is not self.new:
                    self._resize(one, 0)
        elif sizes.is_rolling(self.deployment):
            fresh = sizes.proportional(self.deployment, active)
            for one in active:
                self._resize(one, fresh[one.metadata.name], bounds=True)

    def _is_saturated(self) -> bool:
        wanted, new = sizes.wanted(self.deployment), self.new
        return new is not None and (size(new), sizes.annotated(new, sizes.DESIRED), sizes.available(new)) == (
            wanted,
            wanted,
            wanted,
        )

    def roll(self) -> None:
        """Grow the new ReplicaSet, or else shrink the old ones."""
        new = self._made() if self.new is None else self.new
        wanted = sizes.wanted(self.deployment)
        grown = wanted if size(new) > wanted else sizes.new_size(self.deployment, self.all, new)
        if grown != size(new):
            self._resize(new, grown)
        elif not self._shrink(new) and statuses.is_complete(self.deployment, self.deployment.status):
            self.forget()

    def _shrink(self, new: ReplicaSet) -> bool:
        """Take away old Pods: what is not available first, then what is available beyond need; whether any."""
        if not sizes.total(self.old):
            return False
        most = sizes.removable(self.deployment, self.all, new)
        if most <= 0:
            return False
        before = sizes.total(self.old)
        for one in list(self.old):
            unhealthy = size(one) - sizes.available(one)
            self._resize(one, size(one) - max(min(unhealthy, most), 0))
            most -= max(min(unhealthy, most), 0)
        least = sizes.wanted(self.deployment) - sizes.max_unavailable(self.deployment)
        spare = sum(sizes.available(one) for one in self.all) - least
        for one in list(self.old):
            gone = max(min(size(one), spare), 0)
            self._resize(one, size(one) - gone)
            spare -= gone
        return sizes.total(self.old) < before

    def recreate(self, pods: Mapping[str, Sequence[Pod]]) -> None:
        """Take all old Pods away, wait for the last of them, and make the new ones."""
        shrinks = [one for one in self.old if size(one)]
        for one in shrinks:
            self._resize(one, 0)
        if shrinks or self._old_run(pods):
            return
        new = self._made() if self.new is None else self.new
        self._resize(new, sizes.wanted(self.deployment))
        if statuses.is_complete(self.deployment, self.deployment.status):
            self.forget()

    def _old_run(self, pods: Mapping[str, Sequence[Pod]]) -> bool:
        uid = self.new.metadata.uid if self.new is not None else ""
        if any(sizes.actual(one) for one in self.old):
            return True
        return any(not is_terminal(pod) for owner, group in pods.items() if owner != uid for pod in group)

    def forget(self) -> None:
        """Let go of the oldest revisions beyond the history's limit, unless they still have Pods."""
        limit = self.deployment.spec.revision_history_limit
        if limit is None or limit == _UNLIMITED:
            return
        standing = [one for one in self.old if one.metadata.deletion_timestamp is None]
        standing.sort(key=lambda one: (revisions.revision(one), one.metadata.creation_timestamp or ""))
        for one in standing[: max(len(standing) - limit, 0)]:
            seen = one.status.observed_generation if one.status is not None else 0
            if not sizes.actual(one) and not size(one) and (one.metadata.generation or 0) <= (seen or 0):
                self.forgotten.append(one)

    def _made(self) -> ReplicaSet:
        """Make the ReplicaSet of the present template, as large as it may be at once."""
        made = revisions.new_set(self.deployment, revisions.next_revision(self.old))
        grown = sizes.new_size(self.deployment, [*self.old, made], made)
        self.new = _sized(made, grown)
        self.made = True
        self._number(self.new)
        name = made.metadata.name
        if statuses.has_deadline(self.deployment):
            self._progress("True", statuses.CREATED, f'Created new replica set "{name}"')
        return self.new

    def _resize(self, one: ReplicaSet, to: int, *, bounds: bool = False) -> None:
        """Give a ReplicaSet another size; `bounds` notes what it was sized for even where the size stays."""
        if size(one) == to and not bounds:
            return
        changed = revisions.with_bounds(_sized(one, to), self.deployment)
        if one is self.new:
            self.new = changed
        else:
            self.old[next(i for i, held in enumerate(self.old) if held is one)] = changed

    def ended(self, *, rollout: bool = False) -> DeploymentPlan:
        """Return the plan; a `rollout` also says how it gets on."""
        deployment, new = self.deployment, self.new
        standing = self.all
        status = statuses.counted(deployment, standing, new, self.conditions, self.now)
        again = None
        if rollout:
            status = statuses.progressed(deployment, status, self.conditions, new, self.now)
            status = statuses.with_failures(status, standing, new)
            if not statuses.is_complete(deployment, status):
                again = statuses.time_left(deployment, status.conditions, self.now)
        before = {one.metadata.uid: one for one in self.sets}
        known = self.old if self.made else standing
        return DeploymentPlan(
            create=new if self.made else None,
            update=tuple(one for one in known if one != before[one.metadata.uid]),
            delete=tuple(self.forgotten),
            deployment=self._written(status),
            told={
                one.metadata.name: said for one in standing if (said := _resizing(before.get(one.metadata.uid), one))
            },
            again_in=again,
        )

    def _written(self, status: DeploymentStatus) -> Deployment | None:
        held = self.deployment
        if status == held.status and self.annotations == held.metadata.annotations:
            return None
        metadata = msgspec.structs.replace(held.metadata, annotations=self.annotations)
        return msgspec.structs.replace(held, metadata=metadata, status=status)


def _resizing(before: ReplicaSet | None, after: ReplicaSet) -> str:
    """Return upstream's sentence for a change of size, empty where there is none."""
    name, was, is_now = after.metadata.name, size(before) if before is not None else 0, size(after)
    if was == is_now:
        return ""
    return f"Scaled {'up' if is_now > was else 'down'} replica set {name} from {was} to {is_now}"


def _sized(one: ReplicaSet, to: int) -> ReplicaSet:
    return msgspec.structs.replace(one, spec=msgspec.structs.replace(one.spec, replicas=to))
