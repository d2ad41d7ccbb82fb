"""DefaultStorageClass and PersistentVolumeClaimResize: what a claim's class means for its writing.

A claim that names no class gets the default one, if there is one; a claim grows only where its class lets it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.errors import forbidden
from podling.api.quantity import Quantity, parse
from podling.api.resources import STORAGE_CLASSES
from podling.apiserver.cache import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry

_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_IS_DEFAULT: Final = (
    "storageclass.kubernetes.io/is-default-class",
    "storageclass.beta.kubernetes.io/is-default-class",
)
_NOT_BOUND: Final = "Only bound persistent volume claims can be expanded"
_NOT_EXPANDABLE: Final = (
    "only dynamically provisioned pvc can be resized and the storageclass that provisions the pvc must support resize"
)


class DefaultStorageClass:
    """Upstream's plugin of that name: of several default classes the youngest, then the first by name."""

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
        defaults = sorted(self._defaults(), key=lambda it: it["metadata"]["name"])
        if defaults:
            youngest = max(it["metadata"]["creationTimestamp"] for it in defaults)
            chosen = next(it for it in defaults if it["metadata"]["creationTimestamp"] == youngest)
            spec["storageClassName"] = chosen["metadata"]["name"]

    def _defaults(self) -> Iterator[dict[str, Any]]:
        for encoded in self._registry.shelf(self._registry.record(STORAGE_CLASSES)).select(Scope()):
            tree: dict[str, Any] = msgspec.json.decode(encoded.raw)
            annotations = tree["metadata"].get("annotations") or {}
            if any(annotations.get(key) == "true" for key in _IS_DEFAULT):
                yield tree


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
