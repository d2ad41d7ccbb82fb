"""What a Job's status becomes, in upstream's three steps, so that each Pod is counted once wherever the process dies.

    account ── written ──▶ finalizers off ──▶ settle ──▶ finish ── written

`account` puts the uids of Pods that ended into the status, before anything lets them go. `settle` moves those whose
finalizer is off, or that are gone, from there into the counters. `finish` says that all is over, when nothing is left
to count and nothing on its way out. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.jobs import COMPLETE, FAILED, SUSPENDED, is_indexed
from podling.api.pods import is_active, is_ready
from podling.api.times import to_wire
from podling.api.types.batch_v1 import JobCondition, UncountedTerminatedPods
from podling.controllers.job_pods import by_index, is_failed, is_going, is_tracked, valid_index
from podling.controllers.job_policies import action_on

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from podling.api.types.batch_v1 import Job, JobSpec, JobStatus
    from podling.api.types.core_v1 import Pod
    from podling.controllers.job_tally import Tally, Verdict

_MOST_UNCOUNTED: Final = 500
"""Uids in a status; the rest waits for its turn."""


@dataclass(frozen=True, slots=True)
class Account:
    status: JobStatus
    release: Sequence[Pod]
    """Those whose finalizer may come off once the status is written."""
    whole: bool
    """Whether all that has ended is in the status."""


def account(
    job: Job, spec: JobSpec, pods: Sequence[Pod], after: Sequence[Pod], seen: Tally, decided: Verdict | None, now: float
) -> Account:
    """Reckon a status from Pods as they were judged, and as they are `after` what was done about them."""
    status = settle(job.status, {pod.metadata.uid for pod in pods if is_tracked(pod)})
    held = status.uncounted_terminated_pods or UncountedTerminatedPods()
    succeeded, failed, release = list(held.succeeded), list(held.failed), []
    indexes: set[int] = set()
    indexed, whole = is_indexed(spec), True
    for pod in by_index(filter(is_tracked, pods), spec):
        if not _may_go(job, spec, seen, decided, pod):
            continue
        release.append(pod)
        uid, index = pod.metadata.uid, valid_index(pod, spec)
        if pod.status.phase == "Succeeded" and uid not in held.failed:
            if indexed:
                if index is not None and index not in seen.done_before:
                    indexes.add(index)
            elif uid not in held.succeeded:
                succeeded.append(uid)
        elif (
            (is_failed(pod, spec) or (decided is not None and not decided.succeeds))
            and uid not in held.failed
            and (not indexed or index is not None)
            and action_on(spec.pod_failure_policy, pod) != "Ignore"
        ):
            failed.append(uid)
        if len(indexes) + len(succeeded) + len(failed) >= _MOST_UNCOUNTED:
            whole = False
            break
    changes: dict[str, Any] = {
        "uncounted_terminated_pods": UncountedTerminatedPods(succeeded=tuple(succeeded), failed=tuple(failed)),
        "active": sum(map(is_active, after)) or None,
        "ready": sum(is_active(pod) and is_ready(pod) for pod in after),
        "terminating": sum(map(is_going, after)),
    }
    if indexed:
        done = seen.done_before.with_all(indexes)
        changes |= {"completed_indexes": str(done), "succeeded": len(done) or None}
        if seen.lost is not None:
            changes["failed_indexes"] = str(seen.lost)
    if status.start_time is None and not spec.suspend:
        changes["start_time"] = to_wire(now)
    status = msgspec.structs.replace(status, **changes)
    if decided is not None:
        status = _with(status, decided.target, "True", decided.reason, decided.message, now)
    return Account(status, release, whole)


def suspended(status: JobStatus, spec: JobSpec, now: float) -> JobStatus:
    """Say whether a Job rests. One that goes on begins its time anew."""
    if spec.suspend:
        return _with(status, SUSPENDED, "True", "JobSuspended", "Job suspended", now)
    if not any(held.type == SUSPENDED for held in status.conditions):
        return status
    fresh = _with(status, SUSPENDED, "False", "JobResumed", "Job resumed", now)
    return status if fresh == status else msgspec.structs.replace(fresh, start_time=to_wire(now))


def settle(status: JobStatus, tracked: Collection[str]) -> JobStatus:
    """Count those whose uid the status holds and whose finalizer is off; `tracked` are the uids of all others."""
    held = status.uncounted_terminated_pods or UncountedTerminatedPods()
    succeeded = tuple(uid for uid in held.succeeded if uid in tracked)
    failed = tuple(uid for uid in held.failed if uid in tracked)
    return msgspec.structs.replace(
        status,
        uncounted_terminated_pods=UncountedTerminatedPods(succeeded=succeeded, failed=failed),
        succeeded=(status.succeeded or 0) + len(held.succeeded) - len(succeeded) or None,
        failed=(status.failed or 0) + len(held.failed) - len(failed) or None,
    )


def finish(status: JobStatus, decided: Verdict, now: float) -> JobStatus:
    """Say that a Job is over, unless something of it is left."""
    held = status.uncounted_terminated_pods
    if status.terminating or status.active or (held is not None and (held.succeeded or held.failed)):
        return status
    end = COMPLETE if decided.succeeds else FAILED
    over = _with(status, end, "True", decided.reason, decided.message, now)
    return msgspec.structs.replace(over, completion_time=to_wire(now)) if decided.succeeds else over


def _may_go(job: Job, spec: JobSpec, seen: Tally, decided: Verdict | None, pod: Pod) -> bool:
    """Whether a Pod's finalizer may come off; one whose failures another is to carry on waits for that to be made."""
    if job.metadata.deletion_timestamp is not None or decided is not None or pod.status.phase == "Succeeded":
        return True
    if not is_failed(pod, spec):
        return False
    index = valid_index(pod, spec)
    waiting = seen.replaced.get(index) if index is not None else None
    return waiting is None or waiting.metadata.uid != pod.metadata.uid


def _with(status: JobStatus, kind: str, value: str, reason: str, message: str, now: float) -> JobStatus:
    """Set a condition; one that says so already keeps its time."""
    held = next((it for it in status.conditions if it.type == kind), None)
    if held is not None and (held.status, held.reason, held.message) == (value, reason, message):
        return status
    at = to_wire(now)
    fresh = JobCondition(
        type=kind, status=value, reason=reason, message=message, last_probe_time=at, last_transition_time=at
    )
    if held is None:
        return msgspec.structs.replace(status, conditions=(*status.conditions, fresh))
    return msgspec.structs.replace(
        status, conditions=tuple(fresh if it.type == kind else it for it in status.conditions)
    )
