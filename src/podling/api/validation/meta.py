"""What every object has: names, labels, annotations, owners, finalizers; and label selectors.

Must not know kinds: each passes the format of its names. The server has filled in what an update leaves out (uid,
timestamps), so emptiness in the new object is never a change.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import formats
from podling.api.validation.field import (
    METADATA,
    Path,
    forbidden,
    immutable,
    invalid,
    invalid_each,
    quoted,
    required,
    too_long,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podling.api.errors import Cause
    from podling.api.types.meta_v1 import LabelSelector, LabelSelectorRequirement, ObjectMeta, OwnerReference

_ANNOTATIONS_SIZE = 256 * 1024
_STANDARD_FINALIZERS = {"kubernetes", "orphan", "foregroundDeletion"}

_MATCH_LABELS = "matchLabels"


def check_create(
    meta: ObjectMeta,
    causes: list[Cause],
    *,
    namespaced: bool,
    name: Callable[[str], formats.Complaints] = formats.dns_subdomain,
    any_finalizer: bool = False,
) -> None:
    """Check the metadata of an object that is created, after its name was generated.

    `any_finalizer` is for kinds that are not of Kubernetes's core, whose finalizers need not name a domain.
    """
    if meta.generate_name:
        invalid_each(METADATA / "generateName", meta.generate_name, name(formats.masked(meta.generate_name)), causes)
    if not meta.name:
        causes.append(required(METADATA / "name", "name or generateName is required"))
    else:
        invalid_each(METADATA / "name", meta.name, name(meta.name), causes)
    if namespaced:
        if not meta.namespace:
            causes.append(required(METADATA / "namespace"))
        else:
            invalid_each(METADATA / "namespace", meta.namespace, formats.dns_label(meta.namespace), causes)
    elif meta.namespace:
        causes.append(forbidden(METADATA / "namespace", "not allowed on this type"))
    _check_common(meta, causes, any_finalizer=any_finalizer)


def check_update(new: ObjectMeta, old: ObjectMeta, causes: list[Cause], *, any_finalizer: bool = False) -> None:
    """Check how an update changes metadata."""
    if old.deletion_timestamp is not None:
        extra = sorted(set(new.finalizers) - set(old.finalizers))
        if extra:
            names = ", ".join(quoted(name) for name in extra)
            causes.append(
                forbidden(
                    METADATA / "finalizers",
                    "no new finalizers can be added if the object is being deleted, found new finalizers "
                    f"[]string{{{names}}}",
                )
            )
    if old.resource_version and not new.resource_version:
        causes.append(invalid(METADATA / "resourceVersion", "", "must be specified for an update"))
    if new.generation is not None and new.generation < (old.generation or 0):
        causes.append(invalid(METADATA / "generation", new.generation, "must not be decremented"))
    immutable(METADATA / "name", new.name, old.name, causes)
    immutable(METADATA / "namespace", new.namespace, old.namespace, causes)
    if new.uid:
        immutable(METADATA / "uid", new.uid, old.uid, causes)
    if new.deletion_timestamp is not None:
        immutable(METADATA / "deletionTimestamp", new.deletion_timestamp, old.deletion_timestamp, causes)
    if new.deletion_grace_period_seconds is not None:
        immutable(
            METADATA / "deletionGracePeriodSeconds",
            new.deletion_grace_period_seconds,
            old.deletion_grace_period_seconds,
            causes,
        )
    _check_common(new, causes, finalizers=False, any_finalizer=any_finalizer)


def _check_common(
    meta: ObjectMeta, causes: list[Cause], *, finalizers: bool = True, any_finalizer: bool = False
) -> None:
    if meta.generation is not None and meta.generation < 0:
        causes.append(invalid(METADATA / "generation", meta.generation, formats.NOT_NEGATIVE))
    if meta.labels:
        check_labels(meta.labels, METADATA / "labels", causes)
    if meta.annotations:
        check_annotations(meta.annotations, METADATA / "annotations", causes)
    if meta.owner_references:
        _check_owners(meta.owner_references, METADATA / "ownerReferences", causes)
    if meta.finalizers:
        path = METADATA / "finalizers"
        if finalizers:
            for finalizer in meta.finalizers:
                invalid_each(path, finalizer, formats.qualified_name(finalizer), causes)
            if "orphan" in meta.finalizers and "foregroundDeletion" in meta.finalizers:
                causes.append(
                    invalid(path, meta.finalizers, "finalizer orphan and foregroundDeletion cannot be both set")
                )
        for i, finalizer in enumerate(() if any_finalizer else meta.finalizers):
            check_finalizer_known(finalizer, path[i], causes)


def check_finalizer_known(finalizer: str, path: Path, causes: list[Cause]) -> None:
    """Refuse a finalizer that names no owner by a domain and is none of Kubernetes's own."""
    if "/" not in finalizer and finalizer not in _STANDARD_FINALIZERS:
        causes.append(invalid(path, finalizer, "name is neither a standard finalizer name nor is it fully qualified"))


def check_labels(labels: Mapping[str, str], path: Path, causes: list[Cause]) -> None:
    for key, value in labels.items():
        complaints = formats.qualified_name(key)
        if complaints:
            invalid_each(path, key, complaints, causes)
        complaints = formats.label_value(value)
        if complaints:
            invalid_each(path, value, complaints, causes)


def check_label_name(name: str, path: Path, causes: list[Cause]) -> None:
    invalid_each(path, name, formats.qualified_name(name), causes)


def check_annotations(annotations: Mapping[str, str], path: Path, causes: list[Cause]) -> None:
    size = 0
    for key, value in annotations.items():
        complaints = formats.qualified_name(key.lower())
        if complaints:
            invalid_each(path, key, complaints, causes)
        size += len(key) + (len(value) if value.isascii() else len(value.encode()))
    if size > _ANNOTATIONS_SIZE:
        causes.append(too_long(path, _ANNOTATIONS_SIZE))


def check_selector(selector: LabelSelector | None, path: Path, causes: list[Cause]) -> None:
    """Check a label selector, its values too."""
    if selector is None:
        return
    if selector.match_labels:
        check_labels(selector.match_labels, path / _MATCH_LABELS, causes)
    for i, requirement in enumerate(selector.match_expressions):
        _check_requirement(requirement, (path / "matchExpressions")[i], causes)


def _check_requirement(requirement: LabelSelectorRequirement, path: Path, causes: list[Cause]) -> None:
    match requirement.operator:
        case "In" | "NotIn":
            if not requirement.values:
                causes.append(required(path / "values", "must be specified when `operator` is 'In' or 'NotIn'"))
        case "Exists" | "DoesNotExist":
            if requirement.values:
                causes.append(
                    forbidden(path / "values", "may not be specified when `operator` is 'Exists' or 'DoesNotExist'")
                )
        case _:
            causes.append(invalid(path / "operator", requirement.operator, "not a valid selector operator"))
    check_label_name(requirement.key, path / "key", causes)
    for i, value in enumerate(requirement.values):
        invalid_each((path / "values")[i], value, formats.label_value(value), causes)


def _check_owners(owners: tuple[OwnerReference, ...], path: Path, causes: list[Cause]) -> None:
    controller = ""
    for owner in owners:
        version = owner.api_version.rpartition("/")[2] if owner.api_version.count("/") < 2 else ""
        if not version:
            causes.append(invalid(path / "apiVersion", owner.api_version, "version must not be empty"))
        for name, value in (("kind", owner.kind), ("name", owner.name), ("uid", owner.uid)):
            if not value:
                causes.append(invalid(path / name, value, "must not be empty"))
        if owner.api_version == "v1" and owner.kind == "Event":
            causes.append(invalid(path, _owner(owner), "/v1, Kind=Event is disallowed from being an owner"))
        if owner.controller:
            this = f"{owner.kind}/{owner.name}"
            if controller:
                causes.append(
                    invalid(
                        path,
                        [_owner(one) for one in owners],
                        'Only one reference can have Controller set to true. Found "true" in references for '
                        f"{controller} and {this}",
                    )
                )
            else:
                controller = this


def _owner(owner: OwnerReference) -> dict[str, object]:
    shown: dict[str, object] = {
        "apiVersion": owner.api_version,
        "kind": owner.kind,
        "name": owner.name,
        "uid": owner.uid,
    }
    if owner.controller is not None:
        shown["controller"] = owner.controller
    if owner.block_owner_deletion is not None:
        shown["blockOwnerDeletion"] = owner.block_owner_deletion
    return shown
