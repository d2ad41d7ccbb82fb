"""What the objects of a kind must be like: their shape, their defaults and what speaks against them.

Owns `Model`, the seam through which the generic verbs ask, and `BuiltIn`, which answers from the tables of `api/`. The
other answer, from a CustomResourceDefinition, stands in `custom/model.py`. Trees are plain JSON in the kind's own
version; a view is whatever a model judges by, made once for each object.
"""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from podling.api import conform, defaults, validation
from podling.api.schema import Schema
from podling.api.validation.shape import typed
from podling.apiserver.gaps import unenforced
from podling.linux import confinement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.conform import Problems
    from podling.api.errors import Cause
    from podling.api.resources import Resource
    from podling.apiserver.tables.columns import Layout


class Model(Protocol):
    """What the generic verbs ask of a kind."""

    @property
    def is_typed(self) -> bool:
        """Whether upstream has Go types for the kind: lists of such do not repeat kind and apiVersion."""
        ...

    @property
    def merged(self) -> Schema | None:
        """By what schema a strategic merge patch is applied; `None` where there is none, as for custom kinds."""
        ...

    @property
    def definitions(self) -> Mapping[str, Any]:
        """OpenAPI definitions by name, beside those that upstream publishes."""
        ...

    @property
    def layout(self) -> Layout | None:
        """How a table shows the kind; `None`: as `tables` has it."""
        ...

    def conform(self, tree: dict[str, Any]) -> Problems:
        """Bring a fresh tree into the kind's shape, in place; `StatusError` 400 for what cannot be."""
        ...

    def walk(self, tree: dict[str, Any]) -> Problems:
        """As `conform`, but `WrongType` is raised."""
        ...

    def complete(self, tree: dict[str, Any]) -> None:
        """Fill in what the tree leaves unset."""
        ...

    def view(self, tree: dict[str, Any]) -> Any: ...

    def create(self, view: Any) -> Sequence[Cause]: ...

    def update(self, new: Any, old: Any) -> Sequence[Cause]: ...

    def subresource_update(self, subresource: str, new: Any, old: Any) -> Sequence[Cause]: ...

    def warnings(self, new: Any, old: Any = None) -> Sequence[str]:
        """Return what upstream warns of."""
        ...

    def gaps(self, tree: dict[str, Any]) -> Sequence[str]:
        """Return a sentence for all that is accepted and not carried out."""
        ...


class BuiltIn:
    """A kind that upstream publishes."""

    layout = None
    is_typed = True

    def __init__(self, resource: Resource[Any]) -> None:
        self._resource = resource
        self.definitions: Mapping[str, Any] = {}

    @cached_property
    def merged(self) -> Schema:
        resource = self._resource
        return Schema.of_kind(resource.group, resource.version, resource.kind)

    def conform(self, tree: dict[str, Any]) -> Problems:
        return conform.conform(tree, self.merged)

    def walk(self, tree: dict[str, Any]) -> Problems:
        return conform.walk(tree, self.merged)

    def complete(self, tree: dict[str, Any]) -> None:
        defaults.apply(self._resource, tree)

    def view(self, tree: dict[str, Any]) -> Any:
        return typed(self._resource.type, tree)

    def create(self, view: Any) -> Sequence[Cause]:
        return validation.create(self._resource, view)

    def update(self, new: Any, old: Any) -> Sequence[Cause]:
        return validation.update(self._resource, new, old)

    def subresource_update(self, subresource: str, new: Any, old: Any) -> Sequence[Cause]:
        return validation.subresource_update(self._resource, subresource, new, old)

    def warnings(self, new: Any, old: Any = None) -> Sequence[str]:
        return validation.warnings(self._resource, new, old)

    def gaps(self, tree: dict[str, Any]) -> Sequence[str]:
        return unenforced(self._resource, tree, apparmor=confinement.apparmor())
