"""StorageObjectInUseProtection: claims and volumes are kept, by a finalizer, from going while they are in use."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from podling.apiserver.admission.operation import Operation

_FINALIZERS: Final = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}


class StorageObjectInUseProtection:
    """Upstream's plugin of that name."""

    def admit(self, operation: Operation) -> None:
        finalizer = _FINALIZERS.get(operation.plural)
        if operation.verb != "CREATE" or finalizer is None or not operation.is_on("", operation.plural):
            return
        finalizers = operation.tree["metadata"].setdefault("finalizers", [])
        if finalizer not in finalizers:
            finalizers.append(finalizer)
