"""How PersistentVolumeClaims are counted: each, and the storage that it asks for, in all and by storage class."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.quantity import Quantity, parse
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS
from podling.quota.amounts import ONE
from podling.quota.evaluator import Counted, count_name
from podling.quota.scopes import selects

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import PersistentVolumeClaim, ScopedResourceSelectorRequirement
    from podling.quota.amounts import Amounts

_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_STORAGE: Final = "requests.storage"
_CHARGED: Final = ("persistentvolumeclaims", _STORAGE)
_OF_CLASS: Final = ".storageclass.storage.k8s.io/"


class ClaimEvaluator(Counted):
    """Upstream's evaluator of claims."""

    def __init__(self) -> None:
        super().__init__(PERSISTENT_VOLUME_CLAIMS)

    def handles(self, verb: str, subresource: str) -> bool:
        return (verb, subresource) in {("CREATE", ""), ("UPDATE", ""), ("UPDATE", "status")}

    def matching(self, names: Iterable[str]) -> list[str]:
        count, ends = count_name(self.resource), tuple(_OF_CLASS + name for name in _CHARGED)
        return sorted(name for name in names if name == count or name in _CHARGED or name.endswith(ends))

    def in_scope(self, scope: ScopedResourceSelectorRequirement, obj: PersistentVolumeClaim) -> bool:
        if scope.scope_name != "VolumeAttributesClass":
            return False
        modifying = obj.status.modify_volume_status
        named = (
            obj.spec.volume_attributes_class_name,
            obj.status.current_volume_attributes_class_name,
            modifying.target_volume_attributes_class_name if modifying is not None else None,
        )
        return selects(scope, [name for name in named if name])

    def usage(self, obj: PersistentVolumeClaim, now: float) -> Amounts:
        found = super().usage(obj, now)
        storage = _storage(obj)
        if storage is not None:
            found[_STORAGE] = storage
        of_class = obj.metadata.annotations.get(_BETA_CLASS) or obj.spec.storage_class_name
        if of_class:
            found.update({of_class + _OF_CLASS + name: found[name] for name in _CHARGED if name in found})
        return found


def _storage(claim: PersistentVolumeClaim) -> Quantity | None:
    """Return the bytes asked for, or those allocated for an expansion that is under way, if these are more."""
    asked = (claim.spec.resources.requests if claim.spec.resources is not None else {}).get("storage")
    if asked is None:
        return None
    allocated = claim.status.allocated_resources.get("storage")
    largest = max(parse(asked), parse(allocated)) if allocated is not None else parse(asked)
    return Quantity(largest.value() * ONE.nano, largest.family)
