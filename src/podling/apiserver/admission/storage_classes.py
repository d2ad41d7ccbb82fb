"""DefaultStorageClass and PersistentVolumeClaimResize: what a claim's class means for its writing.

A claim that names no class gets the default one, if there is one; a claim grows only where its class lets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.annotations import DEFAULT_STORAGE_CLASS
from podling.api.errors import forbidden
from podling.api.quantity import Quantity, parse
from podling.api.resources import STORAGE_CLASSES
from podling.apiserver.admission.default_class import default_class

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_NOT_BOUND: Final = "Only bound persistent volume claims can be expanded"
_NOT_EXPANDABLE: Final = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)


class DefaultStorageClass:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def admit(self, operation: Operation) -> None:
        if operation.verb != "CREATE" or not operation.is_on("", "persistentvolumeclaims"):
            return
        spec = operation.tree["spec"]
        if spec.get("storageClassName") is not None or _BETA_CLASS in (
            operation.tree["metadata"].get("annotations") or {}
        ):
            return
        chosen = default_class(self._registry, STORAGE_CLASSES, DEFAULT_STORAGE_CLASS)
        if chosen:
            spec["storageClassName"] = chosen


class PersistentVolumeClaimResize:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def judge(self, operation: Operation) -> None:
        old = operation.old
        if operation.verb != "UPDATE" or old is None or not operation.is_on("", "persistentvolumeclaims"):
            return
        if _asked(operation.tree) <= _asked(old):
            return
        if (old.get("status") or {}).get("phase") != "Bound":
            raise forbidden("", operation.plural, operation.name, _NOT_BOUND)
        if not self._may_grow(operation.tree, old):
            raise forbidden("", operation.plural, operation.name, _NOT_EXPANDABLE)

    def _may_grow(self, tree: dict[str, Any], old: dict[str, Any]) -> bool:
        name = _class_of(tree)
        if not name or name != _class_of(old):
            return False
        found = self._registry.find(STORAGE_CLASSES, "", name)
        return found is not None and bool(msgspec.json.decode(found.raw).get("allowVolumeExpansion"))


def _class_of(tree: dict[str, Any]) -> str:
    annotations = tree["metadata"].get("annotations") or {}
    name: str = annotations.get(_BETA_CLASS) or tree["spec"].get("storageClassName") or ""
    return name


def _asked(tree: dict[str, Any]) -> Quantity:
    text = ((tree["spec"].get("resources") or {}).get("requests") or {}).get("storage")
    return parse(text) if text else Quantity(0)
