"""What every room asks of a Job: its labels and annotations, its mode, and what its conditions say. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from podling.api.types.batch_v1 import Job, JobCondition, JobSpec

CONTROLLER_UID: Final = "batch.kubernetes.io/controller-uid"
JOB_NAME: Final = "batch.kubernetes.io/job-name"
LEGACY_CONTROLLER_UID: Final = "controller-uid"
LEGACY_JOB_NAME: Final = "job-name"
TRACKING: Final = "batch.kubernetes.io/job-tracking"
"""The finalizer of a Pod that is not counted yet."""

COMPLETE: Final = "Complete"
FAILED: Final = "Failed"
FAILURE_TARGET: Final = "FailureTarget"
SUCCESS_CRITERIA_MET: Final = "SuccessCriteriaMet"
SUSPENDED: Final = "Suspended"

OWN_CONTROLLER: Final = "kubernetes.io/job-controller"
"""What `managedBy` names when a Job is left to the one controller that is always there."""


def generated_labels(name: str, uid: str) -> dict[str, str]:
    """Return the labels by which a Job knows its Pods, of which the selector asks for one."""
    return {CONTROLLER_UID: uid, JOB_NAME: name, LEGACY_CONTROLLER_UID: uid, LEGACY_JOB_NAME: name}


def is_indexed(spec: JobSpec) -> bool:
    return spec.completion_mode == "Indexed"


def condition(job: Job, kind: str) -> JobCondition | None:
    """Return a condition that holds."""
    return next((held for held in job.status.conditions if held.type == kind and held.status == "True"), None)


def ended(job: Job) -> JobCondition | None:
    """Return the condition by which a Job is over."""
    return condition(job, COMPLETE) or condition(job, FAILED)


def managed_elsewhere(job: Job) -> bool:
    """Whether a controller outside is to do a Job."""
    return job.spec is not None and job.spec.managed_by not in {None, OWN_CONTROLLER}
