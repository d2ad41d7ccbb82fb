"""Jobs: the server makes the labels by which a Job knows its Pods, unless its author does."""

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
        _drop_scheduling(spec, {}, context)
        if not spec.get("manualSelector"):
            _generate_selector(tree["metadata"], spec)

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        _drop_scheduling(tree["spec"], old.get("spec") or {}, context)
        super().prepare_update(tree, old, context)


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


def _drop_scheduling(spec: dict[str, Any], old: dict[str, Any], context: Context) -> None:
    if spec.get("scheduling") is not None and old.get("scheduling") is None:
        del spec["scheduling"]
        context.warnings.append("spec.scheduling: dropped: this field is alpha and off by default")
