"""What a Job may say of itself, whoever does it: counts, conditions that go together, and what cannot be taken back.

Upstream's newest release refuses another `startTime` of a Job that is not suspended; the conformance suite of 1.28
sets one, and the suite decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api import indexes
from podling.api.errors import Cause
from podling.api.jobs import COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET, condition, ended, is_indexed
from podling.api.times import from_wire
from podling.api.validation import meta
from podling.api.validation.field import STATUS, duplicate, invalid, required
from podling.api.validation.workloads import check_not_negative

if TYPE_CHECKING:
    from podling.api.types.batch_v1 import Job, JobStatus

_CONDITIONS: Final = STATUS / "conditions"


def check_status_update(new: Job, old: Job, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    status = new.status
    counts = {
        "active": status.active,
        "succeeded": status.succeeded,
        "failed": status.failed,
        "ready": status.ready,
        "terminating": status.terminating,
    }
    check_not_negative(STATUS, counts, causes)
    _check_uncounted(status, causes)
    _check_conditions(new, old, causes)
    _check_times(new, old, causes)
    _check_end(new, old, causes)
    if new.status != old.status:
        _check_indexes(new, old, causes)
    _check_decrease(new, old, causes)


def _check_uncounted(status: JobStatus, causes: list[Cause]) -> None:
    held = status.uncounted_terminated_pods
    if held is None:
        return
    seen: set[str] = set()
    for name, uids in (("succeeded", held.succeeded), ("failed", held.failed)):
        for i, uid in enumerate(uids):
            path = (STATUS / "uncountedTerminatedPods" / name)[i]
            if not uid:
                causes.append(invalid(path, uid, "must not be empty"))
            elif uid in seen:
                causes.append(duplicate(path, uid))
            seen.add(uid)


def _check_conditions(new: Job, old: Job, causes: list[Cause]) -> None:
    is_set = {
        kind: condition(new, kind) is not None for kind in (COMPLETE, FAILED, FAILURE_TARGET, SUCCESS_CRITERIA_MET)
    }
    was_set = {kind: condition(old, kind) is not None for kind in is_set}

    def refuse(said: str) -> None:
        causes.append(Cause("FieldValueInvalid", f"Invalid value: {said}", str(_CONDITIONS)))

    if is_set != was_set:
        for one, other, said in (
            (COMPLETE, FAILED, "cannot set Complete=True and Failed=true conditions"),
            (COMPLETE, FAILURE_TARGET, "cannot set Complete=True and FailureTarget=true conditions"),
            (SUCCESS_CRITERIA_MET, FAILED, "cannot set SuccessCriteriaMet=True and Failed=true conditions"),
            (
                SUCCESS_CRITERIA_MET,
                FAILURE_TARGET,
                "cannot set SuccessCriteriaMet=True and FailureTarget=true conditions",
            ),
        ):
            if is_set[one] and is_set[other]:
                refuse(said)
        if is_set[FAILED] and not was_set[FAILED] and not is_set[FAILURE_TARGET]:
            refuse("cannot set Failed=True condition without the FailureTarget=true condition")
        if is_set[COMPLETE] and not was_set[COMPLETE] and not is_set[SUCCESS_CRITERIA_MET]:
            refuse("cannot set Complete=True condition without the SuccessCriteriaMet=true condition")
    for kind in (FAILED, COMPLETE, FAILURE_TARGET):
        if was_set[kind] and not is_set[kind]:
            refuse(f"cannot disable the terminal {kind}=True condition")
    if was_set[SUCCESS_CRITERIA_MET] and not is_set[SUCCESS_CRITERIA_MET]:
        refuse("cannot disable the SuccessCriteriaMet=True condition")


def _check_times(new: Job, old: Job, causes: list[Cause]) -> None:
    status, before = new.status, old.status
    path, start, end = STATUS / "completionTime", status.start_time, status.completion_time
    complete = condition(new, COMPLETE) is not None
    if (end, complete) != (before.completion_time, condition(old, COMPLETE) is not None):
        if end is not None and not complete:
            causes.append(invalid(path, end, "cannot set completionTime when there is no Complete=True condition"))
        if end is None and complete:
            causes.append(required(path, "completionTime is required for Complete jobs"))
    changed = (start, end) != (before.start_time, before.completion_time)
    if changed and start is not None and end is not None and from_wire(end) < from_wire(start):
        causes.append(invalid(path, end, "completionTime cannot be set before startTime"))
    if end is not None and before.completion_time is not None and end != before.completion_time:
        causes.append(invalid(path, end, "completionTime cannot be mutated"))


def _check_end(new: Job, old: Job, causes: list[Cause]) -> None:
    status, before = new.status, old.status
    if ended(new) is None:
        return
    began = ended(old) is None
    if (status.active or 0) > 0 and (began or status.active != before.active):
        causes.append(invalid(STATUS / "active", status.active, "active>0 is invalid for finished job"))
    if status.start_time is None and (began or before.start_time is not None):
        causes.append(required(STATUS / "startTime", "startTime is required for finished job"))
    held = status.uncounted_terminated_pods
    if held is not None and (held.failed or held.succeeded) and (began or held != before.uncounted_terminated_pods):
        said = "uncountedTerminatedPods needs to be empty for finished job"
        causes.append(invalid(STATUS / "uncountedTerminatedPods", held, said))
    if (status.terminating or 0) > 0 and (began or status.terminating != before.terminating):
        causes.append(invalid(STATUS / "terminating", status.terminating, "terminating>0 is invalid for finished job"))


def _check_indexes(new: Job, old: Job, causes: list[Cause]) -> None:
    spec, status = new.spec, new.status
    if spec is None:
        return
    below = spec.completions or 0
    read = {}
    for name, text, was in (
        ("completedIndexes", status.completed_indexes, old.status.completed_indexes),
        ("failedIndexes", status.failed_indexes, old.status.failed_indexes),
    ):
        if text is None or text == was:
            continue
        path = STATUS / name
        if name == "completedIndexes" and text and not is_indexed(spec):
            said = "cannot set non-empty completedIndexes when non-indexed completion mode"
            causes.append(invalid(path, text, said))
        elif name == "failedIndexes" and spec.backoff_limit_per_index is None:
            said = "cannot set non-null failedIndexes when backoffLimitPerIndex is null"
            causes.append(invalid(path, text, said))
        elif spec.completions is not None:
            try:
                read[name] = indexes.parse(text, below)
            except ValueError as why:
                causes.append(invalid(path, text, f"error parsing {name}: {why}"))
    if read and status.failed_indexes is not None:
        done = indexes.read(status.completed_indexes, below)
        both = done & indexes.read(status.failed_indexes, below)
        if both:
            said = f"failedIndexes and completedIndexes overlap at index: {both.ranges[0][0]}"
            causes.append(invalid(STATUS / "failedIndexes", status.failed_indexes, said))


def _check_decrease(new: Job, old: Job, causes: list[Cause]) -> None:
    status, before, spec = new.status, old.status, new.spec
    if (status.failed or 0) < (before.failed or 0):
        causes.append(invalid(STATUS / "failed", status.failed or 0, "cannot decrease the failed counter"))
    elastic = spec is not None and is_indexed(spec) and spec.completions == spec.parallelism
    if (status.succeeded or 0) < (before.succeeded or 0) and not elastic:
        causes.append(invalid(STATUS / "succeeded", status.succeeded or 0, "cannot decrease the succeeded counter"))
