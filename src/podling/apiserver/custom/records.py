"""From a CustomResourceDefinition to records: one for each version that is served, the stored one behind them all.

Other versions are faces of the stored one, as `events.k8s.io` is of core events: with no conversion they differ in
apiVersion, and in what their own schemas leave out and fill in.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from podling.api.custom.resources import resource_of
from podling.api.jsonpath import Path
from podling.api.resources import CUSTOM_RESOURCE_DEFINITIONS
from podling.api.validation.shape import typed
from podling.apiserver.custom.model import CustomModel
from podling.apiserver.custom.shape import CustomShape
from podling.apiserver.custom.strategy import CustomStrategy
from podling.apiserver.objects import tree_of
from podling.apiserver.record import VERBS, Record
from podling.apiserver.scales import Scaling, found

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.encoded import Encoded
    from podling.api.resources import CustomResource

_Tree = dict[str, Any]

_TERMINATING_VERBS: Final = tuple(verb for verb in VERBS if verb != "create")


@dataclass(frozen=True, slots=True)
class Kind:
    """A definition as it is served."""

    prefix: str
    stored: Record
    """The record behind all others; not served itself where its version is not."""
    served: tuple[Record, ...]

    @property
    def named(self) -> tuple[str, str, str]:
        resource = self.stored.resource
        return resource.group, resource.plural, resource.kind


def kind_of(definition: _Tree) -> Kind:
    """Return what a valid definition, whose names were accepted, lets be served."""
    spec = definition["spec"]
    terminating = bool(definition["metadata"].get("deletionTimestamp"))
    prefix = f"/registry/{spec['group']}/{spec['names']['plural']}/"
    versions = spec["versions"]
    storage = next(version for version in versions if version.get("storage"))
    stored = _record(definition, storage, prefix, terminating=terminating)
    served = []
    for version in versions:
        if not version.get("served"):
            continue
        served.append(
            stored
            if version is storage
            else _record(definition, version, prefix, terminating=terminating, stored=stored)
        )
    return Kind(prefix, stored, tuple(served))


def _record(
    definition: _Tree, version: _Tree, prefix: str, *, terminating: bool, stored: Record | None = None
) -> Record:
    resource = resource_of(typed(CUSTOM_RESOURCE_DEFINITIONS.type, definition), version["name"])
    model = CustomModel(resource, version, resource.list_kind)
    parts = version.get("subresources") or {}
    fields = _selectable(version)
    every: Mapping[str, tuple[str, ...]] = {
        name: path for each in definition["spec"]["versions"] for name, path in _selectable(each).items()
    }
    return Record(
        resource,
        prefix,
        CustomStrategy(status="status" in parts),
        subresources=tuple(name for name in ("scale", "status") if name in parts),
        fields=fields,
        verbs=_TERMINATING_VERBS if terminating else VERBS,
        unconditional_update=False,
        stored_as=stored,
        face=None if stored is None else VersionFace(stored, resource.api_version, model),
        scaling=_scaling(parts["scale"]) if "scale" in parts else None,
        deprecated=_deprecation(resource, version),
        model=model,
        shape=CustomShape(resource.api_version, resource.kind, every, model.schema),
    )


class VersionFace:
    """Shows stored objects as another version, and stores that version's."""

    def __init__(self, stored: Record, api_version: str, model: CustomModel) -> None:
        self._stored = stored.resource.api_version
        self._api_version = api_version
        self._model = model
        assert isinstance(stored.model, CustomModel)
        self._is_alike = stored.model.node == model.node

    def to_stored(self, tree: _Tree) -> _Tree:
        return {**tree, "apiVersion": self._stored}

    def from_stored(self, tree: _Tree) -> _Tree:
        shown = {**tree, "apiVersion": self._api_version}
        if not self._is_alike:
            shown = copy.deepcopy(shown)
            self._model.walk(shown)
            self._model.complete(shown)
        return shown


def _selectable(version: _Tree) -> dict[str, tuple[str, ...]]:
    paths = [it["jsonPath"] for it in version.get("selectableFields") or ()]
    return {path.removeprefix("."): Path(path).fields for path in paths}


def _scaling(scale: _Tree) -> Scaling:
    labels = Path(scale["labelSelectorPath"]).fields if scale.get("labelSelectorPath") else ()

    def selector(encoded: Encoded) -> str:
        value = found(tree_of(encoded), labels) if labels else ""
        return value if isinstance(value, str) else ""

    return Scaling(
        selector,
        wanted=Path(scale["specReplicasPath"]).fields,
        is_required=True,
        present=Path(scale["statusReplicasPath"]).fields,
    )


def _deprecation(resource: CustomResource, version: _Tree) -> str:
    if not version.get("deprecated"):
        return ""
    return version.get("deprecationWarning") or f"{resource.api_version} {resource.kind} is deprecated"
