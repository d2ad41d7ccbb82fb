"""As what a webhook sees an object, and back: the kind that its rule names, a Scale, or what a subresource speaks.

Owns the way in both directions. Invariants: what comes back is of its kind and has its defaults; name and namespace are
what they were, and so is what only the system sets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.conform import WrongType, walk
from podling.api.errors import StatusError, bad_request, internal
from podling.api.patch import copied, json_patch
from podling.api.resources import SCALES
from podling.api.schema import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.record import Record

_SYSTEM: Final = (
    "uid", "resourceVersion", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation",
    "selfLink",
)  # fmt: skip
_SCALE: Final = "scale"
_SPOKEN: Final[Mapping[str, tuple[str, str, str]]] = {
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    _SCALE: (SCALES.group, SCALES.version, SCALES.kind),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}
"""Subresources that are not the object itself, and the kinds that they speak."""


def kind_of(record: Record, operation: Operation) -> tuple[str, str, str]:
    """Return group, version and kind of what is sent as `record`'s."""
    resource = record.resource
    if operation.is_whole:
        return resource.group, resource.version, resource.kind
    if operation.subresource in _SPOKEN:
        return _SPOKEN[operation.subresource]
    return "", "v1", operation.tree.get("kind", "")  # the options of a connection


def shown(record: Record, operation: Operation, tree: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a stored tree as `record`'s."""
    if tree is None:
        return None
    if operation.subresource == _SCALE:
        return _scale(record, tree)
    if not operation.is_whole:
        if tree is operation.old:
            return None  # there is no Binding or Eviction before this one
        group, version, kind = kind_of(record, operation)
        return tree | {"apiVersion": f"{group}/{version}" if group else version, "kind": kind}
    return tree if record.face is None else record.face.from_stored(tree)


def sent(record: Record, operation: Operation, tree: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a stored tree as it is sent: as `record`'s, with the revision at which the object stands."""
    found = shown(record, operation, tree)
    if found is None or not operation.revision:
        return found
    return found | {"metadata": {**(found.get("metadata") or {}), "resourceVersion": str(operation.revision)}}


def patched(record: Record, operation: Operation, patch: Sequence[Any], by: str) -> dict[str, Any]:
    """Return the patched object as it is stored; `StatusError` 500, naming `by`, where the patch breaks it."""
    before = shown(record, operation, operation.tree)
    assert before is not None, operation
    try:
        made = json_patch(before, patch)
        if not isinstance(made, dict) or any(made.get(key) != before.get(key) for key in ("apiVersion", "kind")):
            raise WrongType("it is of another kind now")
        if operation.is_whole:
            record.model.walk(made)
        else:
            walk(made, Schema.of_kind(*kind_of(record, operation)))
    except StatusError as error:
        raise internal(f"{by}: its patch does not apply: {error.__cause__ or error}") from error
    except RecursionError:
        raise internal(f"{by}: its patch does not apply: exceeded max depth") from None
    except WrongType as error:
        raise internal(f"{by}: its patch leaves no {kind_of(record, operation)[2]}: {error}") from error
    _keep_metadata(made, before, by)
    if operation.subresource == _SCALE:
        return _scaled(record, operation.tree, made)
    if operation.is_whole:
        record.model.complete(made)
        return made if record.face is None else record.face.to_stored(made)
    return made


def _keep_metadata(made: dict[str, Any], before: dict[str, Any], by: str) -> None:
    old, metadata = before.get("metadata") or {}, made.get("metadata")
    if not isinstance(metadata, dict):
        metadata = made["metadata"] = {}
    for key in ("name", "namespace"):
        if (metadata.get(key) or "") != (old.get(key) or ""):
            raise bad_request(f"{by} changed the {key} of the object, which is not supported")
    for key in _SYSTEM:
        metadata.pop(key, None)
        if key in old:
            metadata[key] = old[key]


def _scale(record: Record, tree: dict[str, Any]) -> dict[str, Any]:
    from podling.apiserver.verbs.scaling import scale_of

    stored = record.stored_as or record
    return scale_of(record, stored.shape.read(stored.shape.encode(tree), 0, 0))


def _scaled(record: Record, tree: dict[str, Any], scale: dict[str, Any]) -> dict[str, Any]:
    from podling.apiserver.scales import put

    replicas = (scale.get("spec") or {}).get("replicas", 0)
    assert record.scaling is not None, record.resource
    made: dict[str, Any] = copied(tree)
    put(made, record.scaling.wanted, replicas)
    return made
