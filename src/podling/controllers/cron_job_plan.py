"""What a CronJob does now: which of its Jobs are forgotten, taken away, replaced or begun. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import msgspec

from podling.api.jobs import COMPLETE, ended
from podling.api.resources import CRON_JOBS, JOBS
from podling.api.times import from_wire, to_wire
from podling.api.types.batch_v1 import Job
from podling.api.types.core_v1 import ObjectReference
from podling.api.types.meta_v1 import ObjectMeta
from podling.controllers.cron_job_times import again, due, is_late, schedule_of
from podling.controllers.pods_of_templates import controller_reference

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from podling.api.types.batch_v1 import CronJob, CronJobStatus

SCHEDULED_AT: Final = "batch.kubernetes.io/cronjob-scheduled-timestamp"


class Told(NamedTuple):
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(slots=True)
class CronJobPlan:
    status: CronJobStatus
    """What the CronJob knows before anything is begun."""
    expired: Sequence[Job] = ()
    """Those over for longer than others that are kept."""
    replaced: Sequence[ObjectReference] = ()
    begin: Job | None = None
    at: float = 0.0
    """Which time `begin` is for."""
    again: float | None = None
    told: list[Told] = field(default_factory=list)


def plan(found: CronJob, jobs: Sequence[Job], now: float) -> CronJobPlan:
    """Compare a CronJob's Jobs with what it wants of them at this time."""
    made = CronJobPlan(found.status, expired=_expired(found, jobs))
    made.status = _status(found, jobs, made)
    if found.metadata.deletion_timestamp is not None:
        return made
    try:
        schedule, zone = schedule_of(found)
    except ValueError as why:
        made.told.append(_unreadable(found, str(why)))
        return made
    if found.spec.suspend:
        return made
    made.again = again(found, schedule, zone, now)
    try:
        last = due(found, schedule, zone, now)
    except ValueError as why:
        made.told.append(Told("Warning", "InvalidSchedule", f"invalid schedule: {found.spec.schedule} : {why}"))
        made.again = None
        return made
    if last.too_many:
        said = "Set or decrease .spec.startingDeadlineSeconds or check clock skew"
        made.told.append(Told("Warning", "TooManyMissedTimes", f"too many missed start times. {said}"))
    if last.at is not None:
        _begin(made, found, last.at, zone, now)
    return made


def _begin(made: CronJobPlan, found: CronJob, at: float, zone: tzinfo, now: float) -> None:
    """Plan a start, unless it is too late for it, has been made, or may not be."""
    if is_late(found, at, now):
        when = datetime.fromtimestamp(at, UTC).strftime("%a, %d %b %Y %H:%M:%S +0000")
        made.told.append(Told("Warning", "MissSchedule", f"Missed scheduled time to start a job: {when}"))
        return
    active = made.status.active
    name = job_name(found, at)
    if any(held.name == name for held in active) or made.status.last_schedule_time == to_wire(at):
        return
    if found.spec.concurrency_policy == "Forbid" and active:
        said = "Not starting job because prior execution is running and concurrency policy is Forbid"
        made.told.append(Told("Normal", "JobAlreadyActive", said))
        return
    if found.spec.concurrency_policy == "Replace":
        made.replaced = active
    made.begin, made.at = job_for(found, at, zone), at


def job_name(found: CronJob, at: float) -> str:
    """Return the one name that a Job for this time can have, so that it is not made twice."""
    return f"{found.metadata.name}-{int(at) // 60}"


def job_for(found: CronJob, at: float, zone: tzinfo) -> Job:
    template = found.spec.job_template
    given = template.metadata
    when = datetime.fromtimestamp(at, zone).isoformat(timespec="seconds").replace("+00:00", "Z")
    meta = ObjectMeta(
        name=job_name(found, at),
        namespace=found.metadata.namespace,
        labels=dict(given.labels),
        annotations={**given.annotations, SCHEDULED_AT: when},
        owner_references=(controller_reference(CRON_JOBS, found),),
    )
    return Job(metadata=meta, spec=template.spec)


def reference_to(job: Job) -> ObjectReference:
    return ObjectReference(
        api_version=JOBS.api_version,
        kind=JOBS.kind,
        namespace=job.metadata.namespace,
        name=job.metadata.name,
        uid=job.metadata.uid,
        resource_version=job.metadata.resource_version,
    )


def begun(status: CronJobStatus, job: Job, at: float) -> CronJobStatus:
    """Return the status of a CronJob that has begun a Job."""
    active = tuple(held for held in status.active if held.uid != job.metadata.uid)
    if ended(job) is None:
        active = (*active, reference_to(job))
    return msgspec.structs.replace(status, active=active, last_schedule_time=to_wire(at))


def without(status: CronJobStatus, uids: Sequence[str]) -> CronJobStatus:
    """Return a status that does not name Jobs any more."""
    return msgspec.structs.replace(status, active=tuple(held for held in status.active if held.uid not in uids))


def _status(found: CronJob, jobs: Sequence[Job], made: CronJobPlan) -> CronJobStatus:
    """Forget Jobs that are over or gone, and remember when the last one succeeded."""
    status = found.status
    there = {job.metadata.uid: job for job in jobs}
    active: list[ObjectReference] = []
    for held in status.active:
        job = there.get(held.uid)
        over = ended(job) if job is not None else None
        if job is None:
            made.told.append(Told("Normal", "MissingJob", f"Active job went missing: {held.name}"))
        elif over is not None:
            said = f"Saw completed job: {held.name}, condition: {over.type}"
            made.told.append(Told("Normal", "SawCompletedJob", said))
        else:
            active.append(held)
    known = {held.uid for held in status.active}
    for job in jobs:
        if job.metadata.uid not in known and ended(job) is None:
            said = f"Saw a job that the controller did not create or forgot: {job.metadata.name}"
            made.told.append(Told("Warning", "UnexpectedJob", said))
    changes: dict[str, Any] = {"active": tuple(active)}
    ends = [job.status.completion_time for job in jobs if _is_complete(job) and job.status.completion_time is not None]
    latest = max(ends, key=from_wire, default=None)
    before = status.last_successful_time
    if latest is not None and (before is None or from_wire(latest) > from_wire(before)):
        changes["last_successful_time"] = latest
    return msgspec.structs.replace(status, **changes)


def _expired(found: CronJob, jobs: Sequence[Job]) -> list[Job]:
    """Return the oldest of the Jobs that are over, beyond as many as are kept."""
    spec = found.spec
    over = [job for job in jobs if ended(job) is not None]
    gone: list[Job] = []
    for limit, kept in (
        (spec.successful_jobs_history_limit, [job for job in over if _is_complete(job)]),
        (spec.failed_jobs_history_limit, [job for job in over if not _is_complete(job)]),
    ):
        if limit is not None and len(kept) > limit:
            gone += sorted(kept, key=_age)[: len(kept) - limit]
    return gone


def _age(job: Job) -> tuple[bool, float, str]:
    """Order Jobs by when they began; those that never did are the youngest."""
    began = job.status.start_time
    return began is None, from_wire(began) if began is not None else 0.0, job.metadata.name


def _is_complete(job: Job) -> bool:
    over = ended(job)
    return over is not None and over.type == COMPLETE


def _unreadable(found: CronJob, why: str) -> Told:
    if why.startswith("unknown time zone"):
        return Told("Warning", "UnknownTimeZone", f'invalid timeZone: "{found.spec.time_zone}": {why}')
    return Told("Warning", "UnparseableSchedule", f'unparseable schedule: "{found.spec.schedule}" : {why}')
