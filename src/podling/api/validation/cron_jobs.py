"""CronJobs: when, in which zone, how many at once and kept, and of what template."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from podling.api import cron
from podling.api.validation import meta
from podling.api.validation.field import METADATA, SPEC, invalid, not_supported, required
from podling.api.validation.jobs import check_job_template
from podling.api.validation.workloads import check_not_negative

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.batch_v1 import CronJob, CronJobSpec

_LONGEST_NAME: Final = 52
"""A Job's name has eleven characters more."""
_POLICIES: Final = ("Allow", "Forbid", "Replace")
_is_part_of_zone: Final = re.compile(r"[A-Za-z.\-_0-9+]{1,14}").fullmatch


def check_create(new: CronJob, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=True)
    _check_spec(new.spec, None, causes)
    if len(new.metadata.name) > _LONGEST_NAME:
        said = f"must be no more than {_LONGEST_NAME} characters"
        causes.append(invalid(METADATA / "name", new.metadata.name, said))


def check_update(new: CronJob, old: CronJob, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_spec(new.spec, old.spec, causes)


def _check_spec(spec: CronJobSpec, old: CronJobSpec | None, causes: list[Cause]) -> None:
    _check_schedule(spec, old, causes)
    check_not_negative(SPEC, {"startingDeadlineSeconds": spec.starting_deadline_seconds}, causes)
    if old is None or spec.time_zone != old.time_zone:
        _check_zone(spec.time_zone, causes)
    path = SPEC / "concurrencyPolicy"
    if not spec.concurrency_policy:
        causes.append(required(path))
    elif spec.concurrency_policy not in _POLICIES:
        causes.append(not_supported(path, spec.concurrency_policy, _POLICIES))
    check_job_template(spec.job_template, SPEC / "jobTemplate", causes)
    limits = {
        "successfulJobsHistoryLimit": spec.successful_jobs_history_limit,
        "failedJobsHistoryLimit": spec.failed_jobs_history_limit,
    }
    check_not_negative(SPEC, limits, causes)


def _check_schedule(spec: CronJobSpec, old: CronJobSpec | None, causes: list[Cause]) -> None:
    path, text = SPEC / "schedule", spec.schedule
    if not text:
        causes.append(required(path))
        return
    try:
        cron.parse(text)
    except ValueError as why:
        causes.append(invalid(path, text, str(why)))
    if "TZ" not in text:
        return
    if old is None or "TZ" not in old.schedule:
        causes.append(invalid(path, text, "cannot use TZ or CRON_TZ in schedule, use timeZone field instead"))
    elif spec.time_zone is not None:
        causes.append(invalid(path, text, "cannot use both timeZone field and TZ or CRON_TZ in schedule"))


def _check_zone(name: str | None, causes: list[Cause]) -> None:
    path = SPEC / "timeZone"
    if name is None:
        return
    if not name:
        causes.append(invalid(path, name, "timeZone must be nil or non-empty string"))
        return
    parts = name.split("/")
    if any(part in {".", ".."} or part.startswith("-") or not _is_part_of_zone(part) for part in parts):
        causes.append(invalid(path, name, f"unknown time zone {name}"))
        return
    if name.lower() == "local":
        said = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones"
        causes.append(invalid(path, name, said))
    if name == "Local":
        return
    try:
        cron.zone_of(name)
    except ValueError as why:
        causes.append(invalid(path, name, str(why)))
