"""What a Pod is to its Job: its index, whether it failed and when, how often its index did before; and how it is made.

Pure. Owns the annotations and the label by which an Indexed Job's Pods carry their index and its failures from one Pod
to the next, so that nothing of a back-off per index has to be remembered elsewhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.jobs import TRACKING, is_indexed
from podling.api.pods import is_sidecar, is_terminal, ready_condition
from podling.api.resources import JOBS
from podling.api.times import from_wire
from podling.api.types.core_v1 import EnvVar, EnvVarSource, ObjectFieldSelector
from podling.controllers.job_policies import action_on
from podling.controllers.pods_of_templates import pod_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.batch_v1 import Job, JobSpec
    from podling.api.types.core_v1 import Container, ContainerStatus, Pod

INDEX: Final = "batch.kubernetes.io/job-completion-index"
FAILURES: Final = "batch.kubernetes.io/job-index-failure-count"
IGNORED: Final = "batch.kubernetes.io/job-index-ignored-failure-count"
_VARIABLE: Final = "JOB_COMPLETION_INDEX"
_LONGEST_PREFIX: Final = 58
"""Of a name that the server completes."""


def is_tracked(pod: Pod) -> bool:
    """Whether a Pod waits to be counted."""
    return TRACKING in pod.metadata.finalizers


def is_going(pod: Pod) -> bool:
    """Whether a Pod is on its way out and not over yet."""
    return pod.metadata.deletion_timestamp is not None and not is_terminal(pod)


def is_failed(pod: Pod, spec: JobSpec) -> bool:
    """Whether a Pod counts as failed: one that is on its way out may never come to say so itself."""
    if pod.status.phase == "Failed":
        return True
    return spec.pod_replacement_policy != "Failed" and is_going(pod)


def index_of(pod: Pod) -> int | None:
    """Return a Pod's completion index; `None` where it has none that can be read."""
    return _number(pod.metadata.annotations.get(INDEX, ""))


def valid_index(pod: Pod, spec: JobSpec) -> int | None:
    """Return a Pod's completion index, if it is one of the Job's."""
    index = index_of(pod)
    return index if index is not None and index < (spec.completions or 0) else None


def failures(pod: Pod) -> int:
    """Return how many Pods of a Pod's index had failed before it was made."""
    return _number(pod.metadata.annotations.get(FAILURES, "")) or 0


def all_failures(pod: Pod) -> int:
    """Return the same with those that a policy ignored."""
    return failures(pod) + (_number(pod.metadata.annotations.get(IGNORED, "")) or 0)


def index_failed(pod: Pod, spec: JobSpec) -> bool:
    """Whether a failed Pod is its index's last: it may not fail so often, or not in this way."""
    action = action_on(spec.pod_failure_policy, pod)
    if action == "FailIndex":
        return True
    return action != "Ignore" and failures(pod) >= (spec.backoff_limit_per_index or 0)


def finished_at(pod: Pod) -> float:
    """Return when a Pod ended, by whatever tells it best."""
    told = _containers_finished(pod)
    if told is not None:
        return told
    ready = ready_condition(pod)
    if ready is not None and ready.status == "False" and ready.last_transition_time:
        return from_wire(ready.last_transition_time)
    if pod.metadata.deletion_timestamp is not None:
        return from_wire(pod.metadata.deletion_timestamp) - (pod.metadata.deletion_grace_period_seconds or 0)
    return from_wire(pod.metadata.creation_timestamp) if pod.metadata.creation_timestamp else 0.0


def made(job: Job, spec: JobSpec, index: int | None, before: Pod | None) -> Pod:
    """Return the Pod that a Job makes; `before` is the failed one whose index it takes over."""
    pod = pod_of(spec.template, JOBS, job)
    meta = pod.metadata
    finalizers = tuple(dict.fromkeys((*meta.finalizers, TRACKING)))
    if index is None:
        return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(meta, finalizers=finalizers))
    annotations = {**meta.annotations, INDEX: str(index)}
    if spec.backoff_limit_per_index is not None:
        annotations |= _failure_counts(spec, before)
    suffix = f"-{index}-"
    meta = msgspec.structs.replace(
        meta,
        generate_name=job.metadata.name[: _LONGEST_PREFIX - len(suffix)] + suffix,
        labels={**meta.labels, INDEX: str(index)},
        annotations=annotations,
        finalizers=finalizers,
    )
    assert pod.spec is not None
    told = msgspec.structs.replace(
        pod.spec,
        hostname=f"{job.metadata.name}-{index}",
        containers=_with_index(pod.spec.containers),
        init_containers=_with_index(pod.spec.init_containers),
    )
    return msgspec.structs.replace(pod, metadata=meta, spec=told)


def by_index(pods: Iterable[Pod], spec: JobSpec) -> list[Pod]:
    """Return Pods in the order in which their success is told."""
    if not is_indexed(spec):
        return list(pods)
    return sorted(pods, key=lambda pod: -1 if (index := index_of(pod)) is None else index)


def _failure_counts(spec: JobSpec, before: Pod | None) -> dict[str, str]:
    if before is None:
        return {FAILURES: "0"}
    counted, ignored = failures(before), all_failures(before) - failures(before)
    if action_on(spec.pod_failure_policy, before) == "Ignore":
        ignored += 1
    else:
        counted += 1
    return {FAILURES: str(counted)} | ({IGNORED: str(ignored)} if ignored else {})


def _with_index(containers: tuple[Container, ...]) -> tuple[Container, ...]:
    source = EnvVarSource(field_ref=ObjectFieldSelector(field_path=f"metadata.labels['{INDEX}']"))
    variable = EnvVar(name=_VARIABLE, value_from=source)
    return tuple(
        one
        if any(held.name == _VARIABLE for held in one.env)
        else msgspec.structs.replace(one, env=(*one.env, variable))
        for one in containers
    )


def _containers_finished(pod: Pod) -> float | None:
    """Return when the last of a Pod's containers ended, `None` while one has not."""
    beside = {container.name for container in pod.spec.init_containers if is_sidecar(container)}
    statuses: list[ContainerStatus] = [
        *pod.status.container_statuses,
        *(held for held in pod.status.init_container_statuses if held.name in beside),
    ]
    times = []
    for held in statuses:
        ended = held.state.terminated if held.state is not None else None
        if ended is None or not ended.finished_at:
            return None
        times.append(from_wire(ended.finished_at))
    return max(times, default=None)


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() else None
