"""Jobs: how many Pods of what template, by which labels, and what of it may be changed later.

What a Job says of failures and of success stands in `job_policies`, its status in `job_status`. A template of Jobs
(`check_job_template`) is a Job whose selector is yet to be made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.jobs import generated_labels, is_indexed
from podling.api.selectors import from_label_selector
from podling.api.validation import formats, meta
from podling.api.validation.field import METADATA, SPEC, immutable, invalid, not_supported, quoted, required, too_long
from podling.api.validation.job_policies import check_failure_policy, check_success_policy
from podling.api.validation.pod import check_template
from podling.api.validation.workloads import check_not_negative, check_selected

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.batch_v1 import Job, JobSpec, JobTemplateSpec
    from podling.api.types.core_v1 import Affinity, PodTemplateSpec
    from podling.api.validation.field import Path

_MOST_PARALLEL: Final = 100_000
_MANY: Final = 100_000
_MOST_FAILED: Final = 100_000
_MOST_OF_MANY: Final = 10_000
_MODES: Final = ("Indexed", "NonIndexed")
_REPLACEMENTS: Final = ("Failed", "TerminatingOrFailed")
_INDEXED: Final = "when completion mode is Indexed"


def check_create(new: Job, causes: list[Cause]) -> None:
    meta.check_create(new.metadata, causes, namespaced=True)
    if new.spec is None:
        causes.append(required(SPEC))
        return
    _check_generated(new, new.spec, causes)
    _check_spec(new.spec, causes)
    completions = new.spec.completions or 0
    if is_indexed(new.spec) and completions > 0:
        hostname = f"{new.metadata.name}-{completions - 1}"
        if formats.dns_label(hostname):
            said = f"will not able to create pod with invalid DNS label: {hostname}"
            causes.append(invalid(METADATA / "name", new.metadata.name, said))


def check_update(new: Job, old: Job, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    if new.spec is None or old.spec is None:
        causes.append(required(SPEC))
        return
    spec, before = new.spec, old.spec
    _check_spec(spec, causes)
    _check_completions(spec, before, causes)
    immutable(SPEC / "selector", spec.selector, before.selector, causes)
    template = before.template
    if before.suspend and old.status.start_time is None:
        template = _directed(template, spec.template)
    immutable(SPEC / "template", spec.template, template, causes)
    for name, value, was in (
        ("completionMode", spec.completion_mode, before.completion_mode),
        ("podFailurePolicy", spec.pod_failure_policy, before.pod_failure_policy),
        ("backoffLimitPerIndex", spec.backoff_limit_per_index, before.backoff_limit_per_index),
        ("managedBy", spec.managed_by, before.managed_by),
        ("successPolicy", spec.success_policy, before.success_policy),
    ):
        immutable(SPEC / name, value, was, causes)


def check_job_template(template: JobTemplateSpec, path: Path, causes: list[Cause]) -> None:
    spec, path = template.spec, path / "spec"
    if spec is None:
        causes.append(required(path))
        return
    _check_work(spec, path, causes)
    if spec.selector is not None:
        causes.append(invalid(path / "selector", spec.selector, "`selector` will be auto-generated"))
    if spec.manual_selector:
        causes.append(not_supported(path / "manualSelector", value=True, supported=("nil", "false")))


def _check_generated(job: Job, spec: JobSpec, causes: list[Cause]) -> None:
    """Check that the labels which the server gives Pods are not contradicted, unless the selector is the author's."""
    if spec.manual_selector or spec.selector is None:
        return
    path, labels = SPEC / "template" / "metadata", spec.template.metadata.labels
    wanted = generated_labels(job.metadata.name, job.metadata.uid)
    for name, value in wanted.items():
        held = labels.get(name)
        if held is None:
            causes.append(required((path / "labels").key(name), f"must be '{value}'"))
        elif held != value:
            causes.append(invalid((path / "labels").key(name), labels, f"must be '{value}'"))
    try:
        matched = from_label_selector(spec.selector).matches(wanted)
    except ValueError:
        return
    if not matched:
        causes.append(invalid(SPEC / "selector", spec.selector, "`selector` not auto-generated"))


def _check_spec(spec: JobSpec, causes: list[Cause]) -> None:
    _check_work(spec, SPEC, causes)
    if spec.selector is None:
        causes.append(required(SPEC / "selector"))
        return
    meta.check_selector(spec.selector, SPEC / "selector", causes)
    try:
        selector = from_label_selector(spec.selector)
    except ValueError:
        return
    check_selected(spec.template, selector, SPEC / "template", causes)


def _check_work(spec: JobSpec, path: Path, causes: list[Cause]) -> None:
    counts = {
        "parallelism": spec.parallelism,
        "completions": spec.completions,
        "activeDeadlineSeconds": spec.active_deadline_seconds,
        "backoffLimit": spec.backoff_limit,
        "ttlSecondsAfterFinished": spec.ttl_seconds_after_finished,
        "backoffLimitPerIndex": spec.backoff_limit_per_index,
        "maxFailedIndexes": spec.max_failed_indexes,
    }
    check_not_negative(path, counts, causes)
    if spec.max_failed_indexes is not None and spec.backoff_limit_per_index is None:
        causes.append(required(path / "backoffLimitPerIndex", "when maxFailedIndexes is specified"))
    if spec.managed_by is not None:
        for part, complaint in formats.path_of_domain(spec.managed_by):
            causes.append(invalid(path / "managedBy", part, complaint))
        if len(spec.managed_by) > 63:
            causes.append(too_long(path / "managedBy", 63))
    if spec.completion_mode is not None and spec.completion_mode not in _MODES:
        causes.append(not_supported(path / "completionMode", spec.completion_mode, _MODES))
    if is_indexed(spec):
        _check_indexed(spec, path, causes)
    elif spec.completion_mode in {None, "NonIndexed"}:
        given = {name: counts[name] for name in ("backoffLimitPerIndex", "maxFailedIndexes")}
        said = "requires indexed completion mode"
        causes.extend(invalid(path / name, value, said) for name, value in given.items() if value is not None)
    if spec.pod_failure_policy is not None:
        check_failure_policy(spec, spec.pod_failure_policy, path / "podFailurePolicy", causes)
    if spec.success_policy is not None:
        if is_indexed(spec):
            check_success_policy(spec, spec.success_policy, path / "successPolicy", causes)
        else:
            causes.append(invalid(path / "successPolicy", spec.success_policy, "requires indexed completion mode"))
    replacements = _REPLACEMENTS if spec.pod_failure_policy is None else ("Failed",)
    if spec.pod_replacement_policy is not None and spec.pod_replacement_policy not in replacements:
        causes.append(not_supported(path / "podReplacementPolicy", spec.pod_replacement_policy, replacements))
    check_template(spec.template, path / "template", causes)
    _check_restarts(spec, path / "template" / "spec" / "restartPolicy", causes)


def _check_restarts(spec: JobSpec, path: Path, causes: list[Cause]) -> None:
    policy = spec.template.spec.restart_policy if spec.template.spec is not None else ""
    allowed = ("OnFailure", "Never")
    if policy in {"", "Always"}:
        causes.append(required(path, "valid values: " + ", ".join(quoted(name) for name in allowed)))
    elif policy not in allowed:
        causes.append(not_supported(path, policy, allowed))
    elif spec.pod_failure_policy is not None and policy != "Never":
        causes.append(invalid(path, policy, 'only "Never" is supported when podFailurePolicy is specified'))


def _check_indexed(spec: JobSpec, path: Path, causes: list[Cause]) -> None:
    completions, parallelism, most = spec.completions, spec.parallelism or 0, spec.max_failed_indexes
    if completions is None:
        causes.append(required(path / "completions", _INDEXED))
    if parallelism > _MOST_PARALLEL:
        said = f"must be less than or equal to {_MOST_PARALLEL} {_INDEXED}"
        causes.append(invalid(path / "parallelism", parallelism, said))
    if completions is not None and most is not None and most > completions:
        causes.append(invalid(path / "maxFailedIndexes", most, "must be less than or equal to completions"))
    if most is not None and most > _MOST_FAILED:
        causes.append(invalid(path / "maxFailedIndexes", most, f"must be less than or equal to {_MOST_FAILED}"))
    if (completions or 0) <= _MANY or spec.backoff_limit_per_index is None:
        return
    if most is None:
        causes.append(required(path / "maxFailedIndexes", f"must be specified when completions is above {_MANY}"))
    said = (
        f"must be less than or equal to {_MOST_OF_MANY} when completions are above {_MANY} "
        "and used with backoff limit per index"
    )
    if parallelism > _MOST_OF_MANY:
        causes.append(invalid(path / "parallelism", parallelism, said))
    if (most or 0) > _MOST_OF_MANY:
        causes.append(invalid(path / "maxFailedIndexes", most, said))


def _check_completions(spec: JobSpec, before: JobSpec, causes: list[Cause]) -> None:
    """Let only an Indexed Job be made longer or shorter, all of whose Pods run at once."""
    if not is_indexed(spec):
        immutable(SPEC / "completions", spec.completions, before.completions, causes)
    elif spec.completions not in {None, before.completions, spec.parallelism}:
        said = "can only be modified in tandem with spec.parallelism"
        causes.append(invalid(SPEC / "completions", spec.completions, said))


def _directed(before: PodTemplateSpec, after: PodTemplateSpec) -> PodTemplateSpec:
    """Return the old template with what a Job that has not begun may change: where its Pods go, and their labels."""
    old, new = before.spec, after.spec
    if old is None or new is None:
        return before
    changed: dict[str, Any] = {
        "node_selector": new.node_selector,
        "tolerations": new.tolerations,
        "scheduling_gates": new.scheduling_gates,
        "affinity": _affinity(old.affinity, new.affinity),
    }
    meta_changed = msgspec.structs.replace(
        before.metadata, labels=after.metadata.labels, annotations=after.metadata.annotations
    )
    return msgspec.structs.replace(before, metadata=meta_changed, spec=msgspec.structs.replace(old, **changed))


def _affinity(old: Affinity | None, new: Affinity | None) -> Affinity | None:
    """Return the old affinity to Pods with the new one to Nodes."""
    if old is None:
        return None if new is None else msgspec.structs.replace(new, pod_affinity=None, pod_anti_affinity=None)
    made = msgspec.structs.replace(old, node_affinity=new.node_affinity if new is not None else None)
    empty = made.node_affinity is None and made.pod_affinity is None and made.pod_anti_affinity is None
    return None if new is None and empty else made
