"""PersistentVolumes and PersistentVolumeClaims: what they say, and what of it may change.

Owns the checks of both kinds. Which sources a volume can have, and what each must say, stands in `volumes` (hostPath)
and `storage` (all others). Must not know who binds them.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.quantity import Quantity, parse
from podling.api.validation import amounts, formats, meta, storage
from podling.api.validation.affinity import check_node_selector
from podling.api.validation.difference import comparable, differences
from podling.api.validation.field import (
    METADATA,
    ROOT,
    SPEC,
    STATUS,
    Path,
    forbidden,
    immutable,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from podling.api.validation.paths import check_no_backsteps
from podling.api.validation.volumes import check_host_path

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        PersistentVolume,
        PersistentVolumeClaim,
        PersistentVolumeClaimSpec,
        PersistentVolumeSpec,
        VolumeNodeAffinity,
    )

_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_MODES: Final = ("Block", "Filesystem")
_POLICIES: Final = ("Delete", "Recycle", "Retain")
_SOURCES: Final = (
    ("host_path", "hostPath"),
    ("gce_persistent_disk", "gcePersistentDisk"),
    ("aws_elastic_block_store", "awsElasticBlockStore"),
    ("glusterfs", "glusterfs"),
    ("flocker", "flocker"),
    ("nfs", "nfs"),
    ("rbd", "rbd"),
    ("quobyte", "quobyte"),
    ("cephfs", "cephfs"),
    ("iscsi", "iscsi"),
    ("cinder", "cinder"),
    ("fc", "fc"),
    ("flex_volume", "flexVolume"),
    ("azure_file", "azureFile"),
    ("vsphere_volume", "vsphereVolume"),
    ("photon_persistent_disk", "photonPersistentDisk"),
    ("portworx_volume", "portworxVolume"),
    ("azure_disk", "azureDisk"),
    ("scale_io", "scaleIO"),
    ("local", "local"),
    ("storageos", "storageos"),
    ("csi", "csi"),
)
"""Attribute and name of each source that a PersistentVolume can have, in upstream's order."""


# PersistentVolumes.


def check_volume_create(volume: PersistentVolume, causes: list[Cause]) -> None:
    meta.check_create(volume.metadata, causes, namespaced=False)
    _check_volume_spec(volume.spec, SPEC, causes)


def check_volume_update(new: PersistentVolume, old: PersistentVolume, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_volume_spec(new.spec, SPEC, causes)
    lines = differences(_sources(old.spec), _sources(new.spec))
    if lines:
        said = "\n".join(["spec.persistentvolumesource is immutable after creation", *lines])
        causes.append(forbidden(SPEC / "persistentvolumesource", said))
    immutable(ROOT / "volumeMode", new.spec.volume_mode, old.spec.volume_mode, causes)
    if old.spec.node_affinity is not None and new.spec.node_affinity != old.spec.node_affinity:
        causes.append(invalid(ROOT / "nodeAffinity", comparable(new.spec.node_affinity), "field is immutable"))


def check_volume_status_update(new: PersistentVolume, old: PersistentVolume, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)


def _check_volume_spec(spec: PersistentVolumeSpec, path: Path, causes: list[Cause]) -> None:
    if not spec.access_modes:
        causes.append(required(path / "accessModes"))
    storage.check_access_modes(spec.access_modes, path / "accessModes", causes)
    _check_capacity(spec.capacity, path / "capacity", causes)
    policy = spec.persistent_volume_reclaim_policy
    if policy and policy not in _POLICIES:
        causes.append(not_supported(path / "persistentVolumeReclaimPolicy", policy, _POLICIES))
    _check_volume_affinity(spec.node_affinity, path / "nodeAffinity", causes)
    _check_source(spec, path, causes)
    if spec.host_path is not None and posixpath.normpath(spec.host_path.path or "/.") == "/" and policy == "Recycle":
        said = "may not be 'recycle' for a hostPath mount of '/'"
        causes.append(forbidden(path / "persistentVolumeReclaimPolicy", said))
    _check_class(spec.storage_class_name, path / "storageClassName", causes)
    if spec.volume_mode is not None and spec.volume_mode not in _MODES:
        causes.append(not_supported(path / "volumeMode", spec.volume_mode, _MODES))
    if spec.volume_attributes_class_name is not None:
        _check_attributes_class(spec, path, causes)


def _check_attributes_class(spec: PersistentVolumeSpec, path: Path, causes: list[Cause]) -> None:
    where = path / "volumeAttributesClassName"
    if not spec.volume_attributes_class_name:
        causes.append(required(where, "an empty string is disallowed"))
    else:
        _check_class(spec.volume_attributes_class_name, where, causes)
    if spec.csi is None:
        causes.append(required(path / "csi", "has to be specified when using volumeAttributesClassName"))


def _check_class(name: str, path: Path, causes: list[Cause]) -> None:
    if name:
        invalid_each(path, name, formats.dns_subdomain(name), causes)


def _check_capacity(capacity: dict[str, str], path: Path, causes: list[Cause]) -> None:
    if not capacity:
        causes.append(required(path))
    if "storage" not in capacity or len(capacity) > 1:
        causes.append(not_supported(path, capacity, ("storage",)))
    for name, text in capacity.items():
        value = amounts.amount(text, path.key(name), causes)
        if value is None:
            continue
        if value.nano < 0:
            causes.append(invalid(path.key(name), str(value), formats.NOT_NEGATIVE))
        if value.nano <= 0:
            causes.append(invalid(path.key(name), str(value), formats.NOT_POSITIVE))


def _check_volume_affinity(affinity: VolumeNodeAffinity | None, path: Path, causes: list[Cause]) -> None:
    if affinity is None:
        return
    if affinity.required is None:
        causes.append(required(path / "required", "must specify required node constraints"))
    else:
        check_node_selector(affinity.required, path / "required", causes)


def _check_source(spec: PersistentVolumeSpec, path: Path, causes: list[Cause]) -> None:
    count = 0
    for attribute, name in _SOURCES:
        source = getattr(spec, attribute)
        if source is None:
            continue
        if count:
            causes.append(forbidden(path / name, "may not specify more than 1 volume type"))
            continue
        count += 1
        if attribute == "host_path":
            check_host_path(source, path / name, causes)
        elif attribute == "local":
            _check_local(spec, path, causes)
        elif attribute == "csi":
            _check_csi(source, path / name, causes)
        else:
            storage.CHECKS[attribute](source, path / name, causes)
    if not count:
        causes.append(required(path, "must specify a volume type"))


def _check_local(spec: PersistentVolumeSpec, path: Path, causes: list[Cause]) -> None:
    assert spec.local is not None
    where = path / "local" / "path"
    if not spec.local.path:
        causes.append(required(where))
    else:
        check_no_backsteps(spec.local.path, where, causes)
    if spec.node_affinity is None:
        causes.append(required(path / "nodeAffinity", "Local volume requires node affinity"))


def _check_csi(source: Any, path: Path, causes: list[Cause]) -> None:
    storage.CHECKS["csi"](source, path, causes)
    if not source.volume_handle:
        causes.append(required(path / "volumeHandle"))


def _sources(spec: PersistentVolumeSpec) -> Any:
    return {
        name: comparable(source) for attribute, name in _SOURCES if (source := getattr(spec, attribute)) is not None
    }


# PersistentVolumeClaims.


def check_claim_create(claim: PersistentVolumeClaim, causes: list[Cause]) -> None:
    meta.check_create(claim.metadata, causes, namespaced=True)
    _check_claim_spec(claim.spec, causes)


def check_claim_update(new: PersistentVolumeClaim, old: PersistentVolumeClaim, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_claim_spec(new.spec, causes)
    allowed: dict[str, Any] = {}
    if not old.spec.volume_name:
        allowed["volume_name"] = new.spec.volume_name
    before, after = (claim.metadata.annotations.get(_BETA_CLASS) for claim in (old, new))
    named = new.spec.storage_class_name
    if old.spec.storage_class_name is None and named is not None and (before is None or before == named):
        allowed["storage_class_name"] = named
    elif before != after:
        causes.append(invalid((METADATA / "annotations").key(_BETA_CLASS), after or "", "field is immutable"))
    if new.status.phase == "Bound":
        allowed["resources"] = new.spec.resources
        allowed["volume_attributes_class_name"] = new.spec.volume_attributes_class_name
    was = _claimed(msgspec.structs.replace(old.spec, **allowed))
    lines = differences(was, _claimed(new.spec))
    if lines:
        said = (
            "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
        )
        causes.append(forbidden(SPEC, "\n".join([said, *lines])))
    if _storage(new.spec) < _storage(old.spec):
        held = new.status.capacity.get("storage")
        if held is not None and _storage(new.spec) <= (amounts.amount(held, SPEC, []) or _NOTHING):
            where = SPEC / "resources" / "requests" / "storage"
            causes.append(forbidden(where, "field can not be less than status.capacity"))
    immutable(ROOT / "volumeMode", new.spec.volume_mode, old.spec.volume_mode, causes)


def check_claim_status_update(new: PersistentVolumeClaim, old: PersistentVolumeClaim, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    if not new.spec.access_modes:
        causes.append(required(ROOT / "Spec" / "accessModes"))
    for name, text in new.status.capacity.items():
        where = (STATUS / "capacity").key(name)
        value = amounts.amount(text, where, causes)
        if value is not None and value.nano < 0:
            causes.append(invalid(where, str(value), formats.NOT_NEGATIVE))


_NOTHING: Final = Quantity(0)


def _storage(spec: PersistentVolumeClaimSpec) -> Quantity:
    text = spec.resources.requests.get("storage") if spec.resources is not None else None
    try:
        return parse(text) if text is not None else _NOTHING
    except ValueError:
        return _NOTHING  # refused elsewhere


def _claimed(spec: PersistentVolumeClaimSpec) -> Any:
    return comparable(spec)


def _check_claim_spec(spec: PersistentVolumeClaimSpec, causes: list[Cause]) -> None:
    storage.check_claim_spec(spec, SPEC, causes)
    for name, source in (("dataSource", spec.data_source), ("dataSourceRef", spec.data_source_ref)):
        if source is None:
            continue
        where = SPEC / name
        if not source.name:
            causes.append(required(where / "name"))
        if not source.kind:
            causes.append(required(where / "kind"))
        if not source.api_group and source.kind != "PersistentVolumeClaim":
            said = "must be 'PersistentVolumeClaim' when referencing the default apiGroup"
            causes.append(invalid(where, source.kind, said))
