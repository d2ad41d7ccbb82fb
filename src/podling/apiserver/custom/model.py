"""What the objects of a custom kind must be like, in one of its versions: the `Model` made from a definition.

Unlike built-in kinds nothing is typed: trees are pruned, completed and judged by the schema, and their metadata by the
rules for all kinds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from podling.api.conform import WrongType, cannot_handle
from podling.api.custom.defaulting import complete, has_defaults
from podling.api.custom.pruning import prune
from podling.api.custom.structural import schema_of
from podling.api.custom.values import validator
from podling.api.types.meta_v1 import ObjectMeta
from podling.api.validation import meta
from podling.api.validation.shape import typed
from podling.apiserver.custom.columns import layout_of
from podling.apiserver.custom.definitions import definitions_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.conform import Problems
    from podling.api.errors import Cause
    from podling.api.resources import Resource


_OWN_FINALIZERS: Final = frozenset({"orphan", "foregroundDeletion"})


class View(NamedTuple):
    """A custom object as it is judged."""

    tree: dict[str, Any]
    metadata: ObjectMeta


class CustomModel:
    """One version of a custom kind."""

    merged = None
    is_typed = False

    def __init__(self, resource: Resource[Any], version: Mapping[str, Any], list_kind: str) -> None:
        """`version` is an item of a definition's `spec.versions`."""
        self._resource = resource
        self._version = version
        node = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        self.node: Mapping[str, Any] = node
        self.schema = schema_of(node)
        self.layout = layout_of(version.get("additionalPrinterColumns") or ())
        self._has_defaults = has_defaults(self.schema)
        self._check = validator(node)
        self._list_kind = list_kind
        self._definitions: Mapping[str, Any] | None = None

    @property
    def definitions(self) -> Mapping[str, Any]:
        if self._definitions is None:
            self._definitions = definitions_of(self._resource, self.node, self._list_kind)
        return self._definitions

    def conform(self, tree: dict[str, Any]) -> Problems:
        try:
            return prune(tree, self.schema)
        except WrongType as error:
            resource = self._resource
            raise cannot_handle(tree, resource.version, resource.kind, str(error)) from None

    def walk(self, tree: dict[str, Any]) -> Problems:
        if type(tree) is not dict:
            raise WrongType("the result is no object")
        return prune(tree, self.schema)

    def complete(self, tree: dict[str, Any]) -> None:
        if self._has_defaults:
            complete(tree, self.schema)

    def view(self, tree: dict[str, Any]) -> View:
        return View(tree, typed(ObjectMeta, tree["metadata"]))

    def create(self, view: View) -> Sequence[Cause]:
        causes: list[Cause] = []
        meta.check_create(view.metadata, causes, namespaced=self._resource.namespaced, any_finalizer=True)
        self._check(view.tree, "", causes)
        return causes

    def update(self, new: View, old: View) -> Sequence[Cause]:
        causes: list[Cause] = []
        meta.check_update(new.metadata, old.metadata, causes, any_finalizer=True)
        wrong: list[Cause] = []
        self._check(new.tree, "", wrong)
        if wrong:
            # What was wrong before, under an earlier schema, may stay as it is while the rest is changed.
            known: list[Cause] = []
            self._check(old.tree, "", known)
            same = {cause.field for cause in known if cause in wrong and _at(new.tree, cause) == _at(old.tree, cause)}
            wrong = [cause for cause in wrong if cause not in known or cause.field not in same]
        return [*causes, *wrong]

    def subresource_update(self, subresource: str, new: View, old: View) -> Sequence[Cause]:  # noqa: ARG002
        return self.update(new, old)

    def warnings(self, new: View, old: View | None = None) -> Sequence[str]:
        known = old.metadata.finalizers if old is not None else ()
        return [
            f'metadata.finalizers: "{name}": prefer a domain-qualified finalizer name including a path (/) to avoid '
            "accidental conflicts with other finalizer writers"
            for name in new.metadata.finalizers
            if "/" not in name and name not in known and name not in _OWN_FINALIZERS
        ]

    def gaps(self, tree: dict[str, Any]) -> Sequence[str]:  # noqa: ARG002
        return ()


def _at(tree: Any, cause: Cause) -> Any:
    """Return what stands where a cause points, as far as its path goes by names and indexes."""
    for step in cause.field.replace("[", ".").replace("]", "").split("."):
        if isinstance(tree, dict):
            tree = tree.get(step)
        elif isinstance(tree, list) and step.isdecimal() and int(step) < len(tree):
            tree = tree[int(step)]
    return tree
