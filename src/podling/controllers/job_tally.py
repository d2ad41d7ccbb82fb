"""How a Job stands: which of its Pods are active, new in their end, succeeded and failed; and whether it is decided.

Pure. A Pod that has ended counts once: it has the tracking finalizer until the Job's status holds it, in a counter, an
index or `uncountedTerminatedPods`. So what is reckoned from status and Pods is right at whatever moment they are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from podling.api import indexes
from podling.api.indexes import Indexes
from podling.api.jobs import FAILURE_TARGET, SUCCESS_CRITERIA_MET, SUSPENDED, condition, is_indexed
from podling.api.pods import is_active
from podling.api.times import from_wire
from podling.api.types.batch_v1 import UncountedTerminatedPods
from podling.controllers.job_pods import (
    all_failures,
    finished_at,
    index_failed,
    is_failed,
    is_tracked,
    valid_index,
)
from podling.controllers.job_policies import action_on, match, succeeded_by

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.batch_v1 import Job, JobSpec
    from podling.api.types.core_v1 import Pod

_NO_PODS: Final[Sequence[Pod]] = ()


class Verdict(NamedTuple):
    """What a Job comes to, as soon as that is decided."""

    target: str
    """`SuccessCriteriaMet` or `FailureTarget`."""
    reason: str
    message: str

    @property
    def succeeds(self) -> bool:
        return self.target == SUCCESS_CRITERIA_MET


@dataclass(frozen=True, slots=True)
class Tally:
    active: Sequence[Pod]
    new_succeeded: Sequence[Pod]
    """Ended, and not counted yet."""
    new_failed: Sequence[Pod]
    succeeded: int
    failed: int
    done_before: Indexes
    """By the status alone."""
    done: Indexes
    lost: Indexes | None
    """The indexes that failed for good, where there is a limit for each."""
    replaced: Mapping[int, Pod]
    """By index, the failed Pod whose count of failures is yet to be handed to another one."""


def tally(job: Job, spec: JobSpec, pods: Sequence[Pod]) -> Tally:
    """Sort the Pods that a Job controls by what they are to it."""
    uncounted = job.status.uncounted_terminated_pods or UncountedTerminatedPods()
    active = [pod for pod in pods if is_active(pod)]
    indexed = is_indexed(spec)
    tracked = [pod for pod in pods if is_tracked(pod) and (not indexed or valid_index(pod, spec) is not None)]
    ended_well = [pod for pod in tracked if pod.status.phase == "Succeeded"]
    ended_badly = [pod for pod in tracked if is_failed(pod, spec)]
    new_succeeded = [pod for pod in ended_well if pod.metadata.uid not in uncounted.succeeded]
    new_failed = [pod for pod in ended_badly if pod.metadata.uid not in uncounted.failed]
    counted = sum(action_on(spec.pod_failure_policy, pod) != "Ignore" for pod in new_failed)
    succeeded = (job.status.succeeded or 0) + len(new_succeeded) + len(uncounted.succeeded)
    before, done, lost = Indexes(), Indexes(), None
    replaced: Mapping[int, Pod] = {}
    if indexed:
        below = spec.completions or 0
        before = indexes.read(job.status.completed_indexes, below)
        done = before.with_all(_indexes(ended_well, spec))
        succeeded = len(done)
        if spec.backoff_limit_per_index is not None:
            lost = indexes.read(job.status.failed_indexes or "", below)
            lost = lost.with_all(_indexes([pod for pod in ended_badly if index_failed(pod, spec)], spec))
            replaced = _replaced(ended_badly, done | lost.with_all(_indexes(active, spec)), spec)
    failed = (job.status.failed or 0) + counted + len(uncounted.failed)
    return Tally(active, new_succeeded, new_failed, succeeded, failed, before, done, lost, replaced)


def verdict(job: Job, spec: JobSpec, pods: Sequence[Pod], seen: Tally, now: float) -> Verdict | None:
    """Return what a Job comes to, if it is decided; what was decided once is not judged again."""
    for target in (SUCCESS_CRITERIA_MET, FAILURE_TARGET):
        held = condition(job, target)
        if held is not None:
            return Verdict(target, held.reason, held.message)
    for pod in pods:
        if is_failed(pod, spec):
            found = match(spec.pod_failure_policy, pod)
            if found.action == "FailJob":
                return Verdict(FAILURE_TARGET, "PodFailurePolicy", found.message)
    if seen.failed > (spec.backoff_limit or 0) or _restarted_too_often(spec, pods):
        return Verdict(FAILURE_TARGET, "BackoffLimitExceeded", "Job has reached the specified backoff limit")
    if time_left(job, spec, now) == 0:
        return Verdict(FAILURE_TARGET, "DeadlineExceeded", "Job was active longer than specified deadline")
    if seen.lost is not None:
        lost, completions = len(seen.lost), spec.completions or 0
        if spec.max_failed_indexes is not None and lost > spec.max_failed_indexes:
            said = "Job has exceeded the specified maximal number of failed indexes"
            return Verdict(FAILURE_TARGET, "MaxFailedIndexesExceeded", said)
        if lost and lost + len(seen.done) >= completions:
            return Verdict(FAILURE_TARGET, "FailedIndexes", "Job has failed indexes")
    rule = succeeded_by(spec.success_policy, seen.done, spec.completions or 0)
    return Verdict(SUCCESS_CRITERIA_MET, "SuccessPolicy", rule) if rule else None


def completed(spec: JobSpec, succeeded: int, active: int) -> Verdict | None:
    """Return that a Job has all that it was to do, once none of its Pods is active any more.

    Without a number of completions one success is the word of all: what still runs may end, nothing is begun.
    """
    wanted = 1 if spec.completions is None else spec.completions
    if active or succeeded < wanted:
        return None
    return Verdict(SUCCESS_CRITERIA_MET, "CompletionsReached", "Reached expected number of succeeded pods")


def time_left(job: Job, spec: JobSpec, now: float) -> float | None:
    """Return how many seconds a Job may still be active; `None` where that has no end, or is not begun (again) yet."""
    if spec.active_deadline_seconds is None or job.status.start_time is None or spec.suspend:
        return None
    if condition(job, SUSPENDED) is not None:
        return None
    return max(from_wire(job.status.start_time) + spec.active_deadline_seconds - now, 0.0)


def _restarted_too_often(spec: JobSpec, pods: Sequence[Pod]) -> bool:
    """Whether containers that are restarted in place have failed as often as Pods may."""
    if spec.template.spec is None or spec.template.spec.restart_policy != "OnFailure":
        return False
    restarts = sum(
        held.restart_count
        for pod in pods
        if pod.status.phase in {"Running", "Pending"}
        for held in (*pod.status.init_container_statuses, *pod.status.container_statuses)
    )
    return restarts > 0 and restarts >= (spec.backoff_limit or 0)


def _replaced(failed: Sequence[Pod], settled: Indexes, spec: JobSpec) -> Mapping[int, Pod]:
    """Return the last failed Pod of each index that has neither an end nor an active Pod."""
    found: dict[int, Pod] = {}
    for pod in failed:
        index = valid_index(pod, spec)
        if index is None or index in settled:
            continue
        other = found.get(index)
        if other is None or (all_failures(other), finished_at(other)) <= (all_failures(pod), finished_at(pod)):
            found[index] = pod
    return found


def _indexes(pods: Sequence[Pod], spec: JobSpec) -> list[int]:
    return [index for pod in pods if (index := valid_index(pod, spec)) is not None]
