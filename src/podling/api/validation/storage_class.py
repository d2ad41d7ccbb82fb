"""StorageClasses: their provisioner, parameters and policies, nearly none of which may change."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation import formats, meta
from podling.api.validation.field import (
    ROOT,
    Path,
    duplicate,
    forbidden,
    immutable,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
)

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import TopologySelectorTerm
    from podling.api.types.storage_v1 import StorageClass

_MOST_PARAMETERS: Final = 512
_LARGEST_PARAMETERS: Final = 256 * 1024
_POLICIES: Final = ("Delete", "Retain")
_BINDING_MODES: Final = ("Immediate", "WaitForFirstConsumer")


def check_create(storage: StorageClass, causes: list[Cause]) -> None:
    meta.check_create(storage.metadata, causes, namespaced=False)
    if not storage.provisioner:
        causes.append(required(ROOT / "provisioner"))
    else:
        complaints = formats.qualified_name(storage.provisioner.lower())
        invalid_each(ROOT / "provisioner", storage.provisioner, complaints, causes)
    _check_parameters(storage.parameters, ROOT / "parameters", causes)
    if storage.reclaim_policy and storage.reclaim_policy not in _POLICIES:
        causes.append(not_supported(ROOT / "reclaimPolicy", storage.reclaim_policy, _POLICIES))
    if storage.volume_binding_mode is None:
        causes.append(required(ROOT / "volumeBindingMode"))
    elif storage.volume_binding_mode not in _BINDING_MODES:
        causes.append(not_supported(ROOT / "volumeBindingMode", storage.volume_binding_mode, _BINDING_MODES))
    for i, term in enumerate(storage.allowed_topologies):
        where = (ROOT / "allowedTopologies")[i]
        _check_topology(term, where, causes)
        if term in storage.allowed_topologies[:i]:
            causes.append(duplicate(where / "matchLabelExpressions", ""))


def check_update(new: StorageClass, old: StorageClass, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    for name, is_other in (
        ("parameters", new.parameters != old.parameters),
        ("provisioner", new.provisioner != old.provisioner),
        ("reclaimPolicy", new.reclaim_policy != old.reclaim_policy),
    ):
        if is_other:
            causes.append(forbidden(ROOT / name, f"updates to {name} are forbidden."))
    immutable(ROOT / "volumeBindingMode", new.volume_binding_mode, old.volume_binding_mode, causes)


def _check_parameters(parameters: dict[str, str], path: Path, causes: list[Cause]) -> None:
    if len(parameters) > _MOST_PARAMETERS:
        causes.append(too_long(path, _MOST_PARAMETERS))
        return
    size = 0
    for key, value in parameters.items():
        if not key:
            causes.append(invalid(path, key, "field can not be empty."))
        size += len(key.encode()) + len(value.encode())
    if size > _LARGEST_PARAMETERS:
        causes.append(too_long(path, _LARGEST_PARAMETERS))


def _check_topology(term: TopologySelectorTerm, path: Path, causes: list[Cause]) -> None:
    seen: dict[str, None] = {}
    for i, requirement in enumerate(term.match_label_expressions):
        where = (path / "matchLabelExpressions")[i]
        if not requirement.values:
            causes.append(required(where / "values"))
        values: dict[str, None] = {}
        for j, value in enumerate(requirement.values):
            if value in values:
                causes.append(duplicate((where / "values")[j], value))
            values[value] = None
        meta.check_label_name(requirement.key, where / "key", causes)
        if requirement.key in seen:
            causes.append(duplicate(where / "key", requirement.key))
        seen[requirement.key] = None
