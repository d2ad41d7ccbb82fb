"""Owns how Jobs and CronJobs are shown in tables: upstream's columns and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.durations import human_duration
from podling.api.jobs import COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, SUSPENDED, condition
from podling.api.times import from_wire
from podling.apiserver.tables.columns import AGE, NAME, NONE, Column, Layout, age
from podling.apiserver.tables.sets import CONTAINERS, IMAGES, count, selector_cell, template_cells

if TYPE_CHECKING:
    from podling.api.types.batch_v1 import CronJob, Job, JobSpec

_SELECTOR: Final = Column(
    "Selector",
    "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    1,
)


def _completions(job: Job) -> str:
    done, spec = job.status.succeeded or 0, job.spec
    if spec is not None and spec.completions is not None:
        return f"{done}/{spec.completions}"
    parallelism = (spec.parallelism or 0) if spec is not None else 0
    return f"{done}/1 of {parallelism}" if parallelism > 1 else f"{done}/1"


def _status(job: Job) -> str:
    for kind in (COMPLETE, FAILED):
        if condition(job, kind) is not None:
            return kind
    if job.metadata.deletion_timestamp is not None:
        return "Terminating"
    for kind in (SUSPENDED, FAILURE_TARGET, SUCCESS_CRITERIA_MET):
        if condition(job, kind) is not None:
            return kind
    return "Running"


def _duration(job: Job, now: float) -> str:
    started, ended = job.status.start_time, job.status.completion_time
    if started is None:
        return ""
    return human_duration((from_wire(ended) if ended is not None else now) - from_wire(started))


def _wide(spec: JobSpec | None) -> list[Any]:
    if spec is None:
        return ["", "", NONE]
    return [*template_cells(spec.template), selector_cell(spec.selector)]


def _job(job: Job, now: float) -> list[Any]:
    return [
        job.metadata.name,
        _status(job),
        _completions(job),
        _duration(job, now),
        age(job.metadata.creation_timestamp, now),
        *_wide(job.spec),
    ]


JOBS: Final = Layout(
    (
        NAME,
        Column("Status", "Status of the job."),
        Column(
            "Completions",
            "The number of pods which reached phase Succeeded. The value increases monotonically for a given spec. "
            "However, it may decrease in reaction to scale down of elastic indexed jobs.",
        ),
        Column("Duration", "Time required to complete the job."),
        AGE,
        CONTAINERS,
        IMAGES,
        _SELECTOR,
    ),
    _job,
)


def _cron_job(found: CronJob, now: float) -> list[Any]:
    spec, last = found.spec, found.status.last_schedule_time
    return [
        found.metadata.name,
        spec.schedule,
        spec.time_zone if spec.time_zone is not None else NONE,
        "True" if spec.suspend else "False",
        len(found.status.active),
        age(last, now) if last is not None else NONE,
        age(found.metadata.creation_timestamp, now),
        *_wide(spec.job_template.spec),
    ]


CRON_JOBS: Final = Layout(
    (
        NAME,
        Column("Schedule", "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron."),
        Column(
            "Timezone",
            "The time zone name for the given schedule, see "
            "https://en.wikipedia.org/wiki/List_of_tz_database_time_zones. If not specified, this will default to the "
            "time zone of the kube-controller-manager process. The set of valid time zone names and the time zone "
            "offset is loaded from the system-wide time zone database by the API server during CronJob validation and "
            "the controller manager during execution. If no system-wide time zone database can be found a bundled "
            "version of the database is used instead. If the time zone name becomes invalid during the lifetime of a "
            "CronJob or due to a change in host configuration, the controller will stop creating new new Jobs and will "
            "create a system event with the reason UnknownTimeZone. More information can be found in "
            "https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#time-zones",
        ),
        Column(
            "Suspend",
            "This flag tells the controller to suspend subsequent executions, it does not apply to already started "
            "executions.  Defaults to false.",
            type="boolean",
        ),
        count("Active", "A list of pointers to currently running jobs."),
        Column("Last Schedule", "Information when was the last time the job was successfully scheduled."),
        AGE,
        CONTAINERS,
        IMAGES,
        _SELECTOR,
    ),
    _cron_job,
)
