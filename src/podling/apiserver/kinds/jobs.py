"""Jobs, whose labels for their Pods the server makes unless the author does; and CronJobs, which make Jobs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.jobs import CONTROLLER_UID, generated_labels
from podling.apiserver.kinds.workloads import WorkloadStrategy

if TYPE_CHECKING:
    from podling.apiserver.record import Context

ORPHANING: Final = (
    "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set "
    "propagationPolicy=Orphan to suppress this warning"
)


class JobStrategy(WorkloadStrategy):
    def __init__(self) -> None:
        super().__init__({})

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        spec = tree["spec"]
        _drop_scheduling(spec, {}, context, "spec")
        if not spec.get("manualSelector"):
            _generate_selector(tree["metadata"], spec)

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        _drop_scheduling(tree["spec"], old.get("spec") or {}, context, "spec")
        super().prepare_update(tree, old, context)


class CronJobStrategy(WorkloadStrategy):
    def __init__(self) -> None:
        super().__init__({}, "spec.jobTemplate.spec.template")

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        _drop_scheduling(_job_of(tree), {}, context, "spec.jobTemplate.spec")

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        _drop_scheduling(_job_of(tree), _job_of(old), context, "spec.jobTemplate.spec")
        super().prepare_update(tree, old, context)


def _job_of(tree: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = tree["spec"]["jobTemplate"]["spec"]
    return found


def _generate_selector(metadata: dict[str, Any], spec: dict[str, Any]) -> None:
    """Select by the Job's uid; what the author set already is left for validation to refuse."""
    template = spec["template"]
    given = template.get("metadata")
    if given is None:
        given = template["metadata"] = {}
    labels = generated_labels(metadata["name"], metadata["uid"])
    given["labels"] = labels | (given.get("labels") or {})
    selector = spec.get("selector")
    if selector is None:
        selector = spec["selector"] = {}
    selector["matchLabels"] = {CONTROLLER_UID: metadata["uid"]} | (selector.get("matchLabels") or {})


def _drop_scheduling(spec: dict[str, Any], old: dict[str, Any], context: Context, path: str) -> None:
    if spec.get("scheduling") is not None and old.get("scheduling") is None:
        del spec["scheduling"]
        context.warnings.append(f"{path}.scheduling: dropped: this field is alpha and off by default")
