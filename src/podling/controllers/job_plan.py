"""Which Pods a Job makes and which it takes away. Pure.

Owns upstream's rule: as many active Pods as are still to succeed, `parallelism` at most; none while it rests, none
while it backs off, and none beside those on their way out where only what has failed is replaced. It either makes or
takes away, never both at one look.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Final

from podling.api.jobs import is_indexed
from podling.controllers.job_backoff import of_index
from podling.controllers.job_pods import is_going, valid_index
from podling.controllers.job_tally import verdict
from podling.controllers.pod_ranking import ranked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.batch_v1 import Job, JobSpec
    from podling.api.types.core_v1 import Pod
    from podling.controllers.job_backoff import Backoff
    from podling.controllers.job_tally import Tally, Verdict

BURST: Final = 500
"""How many Pods are made or taken away at one look."""


@dataclass(frozen=True, slots=True)
class JobPlan:
    verdict: Verdict | None = None
    create: Sequence[int | None] = ()
    """One for each Pod: its index, or nothing."""
    delete: Sequence[Pod] = ()
    uncounted: bool = False
    """Whether what is deleted is of no account: taken away, and not failed."""
    again: float | None = None
    """In how many seconds a back-off is over."""


def plan(job: Job, spec: JobSpec, pods: Sequence[Pod], seen: Tally, backoff: Backoff, now: float) -> JobPlan:
    """Compare a Job's Pods with what it wants."""
    decided = verdict(job, spec, pods, seen, now)
    if decided is not None:
        return JobPlan(decided, delete=seen.active)
    if job.metadata.deletion_timestamp is not None:
        return JobPlan()
    if spec.suspend:
        return JobPlan(delete=seen.active, uncounted=True)
    wanted = _wanted(spec, seen)
    surplus = _surplus(spec, seen.active, max(len(seen.active) - wanted, 0), now)
    if surplus:
        return JobPlan(delete=surplus[:BURST], uncounted=True)
    going = sum(map(is_going, pods)) if spec.pod_replacement_policy == "Failed" else 0
    lacking = wanted - going - len(seen.active)
    if lacking <= 0:
        return JobPlan()
    create, wait = _creations(spec, pods, seen, min(lacking, BURST), backoff, now)
    return JobPlan(create=create, again=wait)


def _wanted(spec: JobSpec, seen: Tally) -> int:
    parallelism = spec.parallelism or 0
    if spec.completions is None:
        return len(seen.active) if seen.succeeded else parallelism
    return max(min(spec.completions - seen.succeeded, parallelism), 0)


def _creations(
    spec: JobSpec, pods: Sequence[Pod], seen: Tally, count: int, backoff: Backoff, now: float
) -> tuple[Sequence[int | None], float | None]:
    """Return what to make now, and how long to wait for what must be waited for."""
    if spec.backoff_limit_per_index is None:
        wait = backoff.remaining(now)
        if wait > 0:
            return (), wait
        return (list(_pending(spec, pods, seen, count)) if is_indexed(spec) else [None] * count), None
    waits = {index: of_index(seen.replaced.get(index)).remaining(now) for index in _pending(spec, pods, seen, count)}
    ready = [index for index, wait in waits.items() if wait == 0]
    return ready, min((wait for wait in waits.values() if wait > 0), default=None)


def _pending(spec: JobSpec, pods: Sequence[Pod], seen: Tally, count: int) -> list[int]:
    """Return the first indexes that have neither an end nor a Pod."""
    held = [*seen.active]
    if spec.pod_replacement_policy == "Failed":
        held += filter(is_going, pods)
    taken = seen.done.with_all(index for pod in held if (index := valid_index(pod, spec)) is not None)
    if seen.lost is not None:
        taken |= seen.lost
    return list(islice(taken.missing(spec.completions or 0), count))


def _surplus(spec: JobSpec, active: Sequence[Pod], at_least: int, now: float) -> list[Pod]:
    """Return which active Pods go: those whose index is none, or another's too, and then the least advanced."""
    remove: list[Pod] = []
    left: list[Pod] = []
    if is_indexed(spec):
        places: defaultdict[int, list[Pod]] = defaultdict(list)
        for pod in active:
            index = valid_index(pod, spec)
            if index is None:
                remove.append(pod)
            else:
                places[index].append(pod)
        for _, beside in sorted(places.items()):
            *others, last = ranked(beside, (), now)
            remove += others
            left.append(last)
    else:
        left = list(active)
    if len(remove) < at_least:
        remove += ranked(left, (), now)[: at_least - len(remove)]
    return remove
