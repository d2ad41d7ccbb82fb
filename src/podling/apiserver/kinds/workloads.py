"""The kinds that make Pods from a template: their status is their controller's, and their template has Pods' gates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.annotations import TEMPLATE_GENERATION
from podling.apiserver.kinds.pod_gates import drop_alpha
from podling.apiserver.kinds.strategy import Plain, keep

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.apiserver.record import Context


class WorkloadStrategy(Plain):
    """A workload begins with the status that says of its counts what upstream's zero value does."""

    def __init__(self, status: Mapping[str, Any], path: str = "spec.template") -> None:
        """`path` is where the template stands."""
        super().__init__(status=True, generation=True)
        self._first = status
        self._path = path

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        tree["status"] = dict(self._first)
        drop_alpha(self._template(tree), None, context.warnings, f"{self._path}.spec")

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        drop_alpha(self._template(tree), self._template(old), context.warnings, f"{self._path}.spec")
        super().prepare_update(tree, old, context)

    def _template(self, tree: dict[str, Any]) -> dict[str, Any]:
        for step in self._path.split("."):
            tree = tree.get(step) or {}
        return tree


class DeploymentStrategy(WorkloadStrategy):
    """A Deployment's annotations count as a change, as they go to its ReplicaSets.

    Who writes the status writes annotations too (the revision is one), but no labels.
    """

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        super().prepare_update(tree, old, context)
        metadata, before = tree["metadata"], old["metadata"]
        if (metadata.get("annotations") or {}) != (before.get("annotations") or {}):
            metadata["generation"] = before.get("generation", 0) + 1

    def prepare_subresource(
        self, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context
    ) -> None:
        super().prepare_subresource(subresource, tree, old, context)
        keep(tree["metadata"], old["metadata"], "labels")


class DaemonSetStrategy(WorkloadStrategy):
    """A DaemonSet counts its templates in an annotation, from a time before revisions; its Pods are labelled by it.

    What a caller says of the number is nothing: it is the server's.
    """

    def __init__(self) -> None:
        counts = ("currentNumberScheduled", "numberMisscheduled", "desiredNumberScheduled", "numberReady")
        super().__init__(dict.fromkeys(counts, 0))

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:
        super().prepare_create(tree, context)
        _number(tree, 1)

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
        super().prepare_update(tree, old, context)
        held = (old["metadata"].get("annotations") or {}).get(TEMPLATE_GENERATION, "")
        before = int(held) if held.isascii() and held.isdigit() else 1
        _number(tree, before + (self._template(tree) != self._template(old)))


def _number(tree: dict[str, Any], number: int) -> None:
    metadata = tree["metadata"]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), TEMPLATE_GENERATION: str(number)}
