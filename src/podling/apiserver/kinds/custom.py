"""CustomResourceDefinitions: which versions are in the store, and an end that waits for the objects."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.apiserver.custom.naming import TERMINATING, set_condition
from podling.apiserver.kinds.strategy import Plain

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from podling.api.errors import Cause
    from podling.apiserver.record import Context

_Tree = dict[str, Any]

CLEANUP: Final = "customresourcecleanup.apiextensions.k8s.io"
_NO_RULES: Final = "rules in CEL are not evaluated"
_NO_WEBHOOK: Final = "conversion webhooks are not called: versions differ in their apiVersion alone"


class DefinitionStrategy(Plain):
    """A definition that is deleted stays until `custom/kinds.py` has deleted all that it defined."""

    def __init__(self) -> None:
        super().__init__(status=True, generation=True)

    def prepare_create(self, tree: _Tree, context: Context) -> None:
        super().prepare_create(tree, context)
        status = {"conditions": [], "acceptedNames": {"plural": "", "kind": ""}, "storedVersions": []}
        tree["status"] = status
        _note_storage(tree)

    def prepare_update(self, tree: _Tree, old: _Tree, context: Context) -> None:
        super().prepare_update(tree, old, context)
        _note_storage(tree)

    def validate_create(self, tree: _Tree, context: Context) -> Sequence[Cause]:
        context.warnings.extend(_gaps(tree))
        return ()

    def validate_update(self, tree: _Tree, old: _Tree, context: Context) -> Sequence[Cause]:
        if tree.get("spec") != old.get("spec"):
            context.warnings.extend(_gaps(tree))
        return ()

    def deleting(self, tree: _Tree) -> None:
        finalizers = tree["metadata"].setdefault("finalizers", [])
        if CLEANUP not in finalizers:
            finalizers.append(CLEANUP)
        said = "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        since = tree["metadata"]["deletionTimestamp"]
        set_condition(tree.setdefault("status", {}), TERMINATING, "True", "InstanceDeletionPending", said, since)

    def held(self, tree: _Tree) -> bool:
        """Nothing but its finalizers, once its deletion has begun."""
        return not tree["metadata"].get("deletionTimestamp")


def _note_storage(tree: _Tree) -> None:
    """Let the status say in which versions objects may stand in the store."""
    versions = tree["status"].setdefault("storedVersions", [])
    for version in tree.get("spec", {}).get("versions") or ():
        if version.get("storage") and version.get("name") not in versions:
            versions.append(version.get("name"))


def _gaps(tree: _Tree) -> Iterator[str]:
    if tree["spec"].get("conversion", {}).get("strategy") == "Webhook":
        yield f"spec.conversion.webhook: {_NO_WEBHOOK}"
    for index, version in enumerate(tree["spec"].get("versions") or ()):
        where = f"spec.versions[{index}].schema.openAPIV3Schema"
        for path in _rules((version.get("schema") or {}).get("openAPIV3Schema") or {}, where):
            yield f"{path}: {_NO_RULES}"


def _rules(node: Any, path: str) -> Iterator[str]:
    if not isinstance(node, dict):
        return
    if node.get("x-kubernetes-validations"):
        yield f"{path}.x-kubernetes-validations"
    for name, child in (node.get("properties") or {}).items():
        yield from _rules(child, f"{path}.properties[{name}]")
    for name in ("items", "additionalProperties"):
        yield from _rules(node.get(name), f"{path}.{name}")
