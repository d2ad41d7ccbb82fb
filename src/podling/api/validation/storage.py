"""Volume sources of storage systems: those of vendors, CSI, and claims made for one Pod.

Loaded only where a Pod names one. Must not know Pods. Keys of `CHECKS` are the attributes of `Volume`.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from podling.api.names import out_of_range
from podling.api.quantity import parse
from podling.api.validation import formats
from podling.api.validation.field import (
    Path,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
)
from podling.api.validation.meta import check_annotations, check_labels, check_selector

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import EphemeralVolumeSource, PersistentVolumeClaimSpec
    from podling.api.types.meta_v1 import ObjectMeta

    Check = Callable[[Any, Path, list[Cause]], None]

_ISCSI_NAMES = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.([A-Za-z0-9.-]+)(:[^,;*&$|\s]+)$", re.ASCII),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$", re.ASCII),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$", re.ASCII),
}
_ACCESS_MODES = ("ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod")


def _needs(**names: str) -> Check:
    """Return a check that only wants fields set: attribute → the field's name."""

    def check(source: Any, path: Path, causes: list[Cause]) -> None:
        causes.extend(required(path / name) for attribute, name in names.items() if not getattr(source, attribute))

    return check


def _partitioned(attribute: str, name: str) -> Check:
    def check(source: Any, path: Path, causes: list[Cause]) -> None:
        if not getattr(source, attribute):
            causes.append(required(path / name))
        if not 0 <= (source.partition or 0) <= 255:
            causes.append(invalid(path / "partition", source.partition, out_of_range(1, 255)))

    return check


def _nfs(source: Any, path: Path, causes: list[Cause]) -> None:
    if not source.server:
        causes.append(required(path / "server"))
    if not source.path:
        causes.append(required(path / "path"))
    if not source.path.startswith("/"):
        causes.append(invalid(path / "path", source.path, "must be an absolute path"))


def _iscsi(source: Any, path: Path, causes: list[Cause]) -> None:
    if not source.target_portal:
        causes.append(required(path / "targetPortal"))
    if not source.iqn:
        causes.append(required(path / "iqn"))
    else:
        _check_iscsi_name(source.iqn, path / "iqn", causes)
    if not 0 <= source.lun <= 255:
        causes.append(invalid(path / "lun", source.lun, out_of_range(0, 255)))
    if (source.chap_auth_discovery or source.chap_auth_session) and source.secret_ref is None:
        causes.append(required(path / "secretRef"))
    if source.initiator_name is not None:
        _check_iscsi_name(source.initiator_name, path / "initiatorname", causes)


def _check_iscsi_name(name: str, path: Path, causes: list[Cause]) -> None:
    form = _ISCSI_NAMES.get(name[:3])
    if form is None:
        causes.append(invalid(path, name, "must be valid format starting with iqn, eui, or naa"))
    elif not form.search(name):
        causes.append(invalid(path, name, "must be valid format"))


def _flocker(source: Any, path: Path, causes: list[Cause]) -> None:
    if not source.dataset_name and not source.dataset_uuid:
        causes.append(required(path, "one of datasetName and datasetUUID is required"))
    if source.dataset_name and source.dataset_uuid:
        causes.append(invalid(path, "resource", "datasetName and datasetUUID can not be specified simultaneously"))
    if "/" in source.dataset_name:
        causes.append(invalid(path / "datasetName", source.dataset_name, "must not contain '/'"))


def _cinder(source: Any, path: Path, causes: list[Cause]) -> None:
    if not source.volume_id:
        causes.append(required(path / "volumeID"))
    _check_secret(source.secret_ref, path, causes)


def _check_secret(reference: Any, path: Path, causes: list[Cause]) -> None:
    if reference is not None and not reference.name:
        causes.append(required(path / "secretRef" / "name"))


def _quobyte(source: Any, path: Path, causes: list[Cause]) -> None:
    pairs = "must be a host:port pair or multiple pairs separated by commas"
    if not source.registry:
        causes.append(required(path / "registry", pairs))
    elif len(source.tenant) >= 65:
        causes.append(required(path / "tenant", "must be a UUID and may not exceed a length of 64 characters"))
    else:
        causes.extend(
            invalid(path / "registry", source.registry, pairs)
            for pair in source.registry.split(",")
            if not re.fullmatch(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:]*", pair)
        )
    if not source.volume:
        causes.append(required(path / "volume"))


def _fc(source: Any, path: Path, causes: list[Cause]) -> None:
    where = path / "targetWWNs"
    if not source.target_wwns and not source.wwids:
        causes.append(required(where, "must specify either targetWWNs or wwids, but not both"))
    if source.target_wwns and source.wwids:
        causes.append(invalid(where, source.target_wwns, "targetWWNs and wwids can not be specified simultaneously"))
    if source.target_wwns:
        if source.lun is None:
            causes.append(required(path / "lun", "lun is required if targetWWNs is specified"))
        elif not 0 <= source.lun <= 255:
            causes.append(invalid(path / "lun", source.lun, out_of_range(0, 255)))


def _flex(source: Any, path: Path, causes: list[Cause]) -> None:
    if not source.driver:
        causes.append(required(path / "driver"))
    causes.extend(
        invalid((path / "options").key(key), key, "kubernetes.io and k8s.io namespaces are reserved")
        for key in source.options
        if f".{key.partition('/')[0].lower()}".endswith((".kubernetes.io", ".k8s.io"))
    )


def _azure_disk(source: Any, path: Path, causes: list[Cause]) -> None:
    if not source.disk_name:
        causes.append(required(path / "diskName"))
    if not source.disk_uri:
        causes.append(required(path / "diskURI"))
    caching, kind = source.caching_mode, source.kind
    if caching is not None and caching not in {"None", "ReadOnly", "ReadWrite"}:
        causes.append(not_supported(path / "cachingMode", caching, ("None", "ReadOnly", "ReadWrite")))
    if kind is None:
        return
    if kind not in {"Dedicated", "Managed", "Shared"}:
        causes.append(not_supported(path / "kind", kind, ("Dedicated", "Managed", "Shared")))
    managed = kind == "Managed"
    if not source.disk_uri.startswith("/subscriptions/" if managed else "https://"):
        form = (
            "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute/disks/{disk-id}"
            if managed
            else "https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd"
        )
        causes.append(not_supported(path / "diskURI", source.disk_uri, (form,)))


def _storageos(source: Any, path: Path, causes: list[Cause]) -> None:
    if not source.volume_name:
        causes.append(required(path / "volumeName"))
    else:
        invalid_each(path / "volumeName", source.volume_name, formats.dns_label(source.volume_name), causes)
    if source.volume_namespace:
        where = path / "volumeNamespace"
        invalid_each(where, source.volume_namespace, formats.dns_label(source.volume_namespace), causes)
    _check_secret(source.secret_ref, path, causes)


def _csi(source: Any, path: Path, causes: list[Cause]) -> None:
    where = path / "driver"
    if not source.driver:
        causes.append(required(where))
    if len(source.driver) > 63:
        causes.append(too_long(where, 63))
    invalid_each(where, source.driver, formats.dns_subdomain(source.driver.lower()), causes)
    secret = source.node_publish_secret_ref
    if secret is not None:
        if not secret.name:
            causes.append(required(path / "nodePublishSecretRef" / "name"))
        else:
            invalid_each(path / "name", secret.name, formats.dns_subdomain(secret.name), causes)


def _ephemeral(source: EphemeralVolumeSource, path: Path, causes: list[Cause]) -> None:
    template, where = source.volume_claim_template, path / "volumeClaimTemplate"
    if template is None:
        causes.append(required(where))
        return
    _check_template_meta(template.metadata, where / "metadata", causes)
    check_claim_spec(template.spec, where / "spec", causes)


def _check_template_meta(meta: ObjectMeta, path: Path, causes: list[Cause]) -> None:
    check_annotations(meta.annotations, path / "annotations", causes)
    check_labels(meta.labels, path / "labels", causes)
    for name, value in (
        ("name", meta.name),
        ("generateName", meta.generate_name),
        ("namespace", meta.namespace),
        ("selfLink", meta.self_link),
        ("uid", meta.uid),
        ("resourceVersion", meta.resource_version),
        ("generation", meta.generation),
        ("creationTimestamp", meta.creation_timestamp),
        ("deletionTimestamp", meta.deletion_timestamp),
        ("deletionGracePeriodSeconds", meta.deletion_grace_period_seconds is not None),
        ("ownerReferences", meta.owner_references),
        ("finalizers", meta.finalizers),
        ("managedFields", meta.managed_fields),
    ):
        if value:
            causes.append(forbidden(path / name, "cannot be set"))


def check_access_modes(modes: tuple[str, ...], path: Path, causes: list[Cause]) -> None:
    """Check how a volume may be mounted, of a volume or a claim."""
    causes.extend(not_supported(path, mode, _ACCESS_MODES) for mode in modes if mode not in _ACCESS_MODES)
    known = {mode for mode in modes if mode in _ACCESS_MODES}
    if "ReadWriteOncePod" in known and len(known) > 1:
        causes.append(forbidden(path, "may not use ReadWriteOncePod with other access modes"))


def check_claim_spec(spec: PersistentVolumeClaimSpec, path: Path, causes: list[Cause]) -> None:
    """Check what a PersistentVolumeClaim asks for."""
    modes = path / "accessModes"
    if not spec.access_modes:
        causes.append(required(modes, "at least 1 access mode is required"))
    check_selector(spec.selector, path / "selector", causes)
    check_access_modes(spec.access_modes, modes, causes)
    storage = spec.resources.requests.get("storage") if spec.resources is not None else None
    where = (path / "resources").key("storage")
    if storage is None:
        causes.append(required(where))
    else:
        try:
            value = parse(storage)
        except ValueError as error:
            causes.append(invalid(where, storage, str(error)))
        else:
            if value.nano <= 0:
                causes.append(invalid(where, str(value), formats.NOT_POSITIVE))
    if spec.storage_class_name:
        complaints = formats.dns_subdomain(spec.storage_class_name)
        invalid_each(path / "storageClassName", spec.storage_class_name, complaints, causes)
    if spec.volume_mode is not None and spec.volume_mode not in {"Block", "Filesystem"}:
        causes.append(not_supported(path / "volumeMode", spec.volume_mode, ("Block", "Filesystem")))
    if spec.volume_attributes_class_name:
        complaints = formats.dns_subdomain(spec.volume_attributes_class_name)
        invalid_each(path / "volumeAttributesClassName", spec.volume_attributes_class_name, complaints, causes)


CHECKS: dict[str, Check] = {
    "gce_persistent_disk": _partitioned("pd_name", "pdName"),
    "aws_elastic_block_store": _partitioned("volume_id", "volumeID"),
    "nfs": _nfs,
    "iscsi": _iscsi,
    "glusterfs": _needs(endpoints="endpoints", path="path"),
    "flocker": _flocker,
    "rbd": _needs(monitors="monitors", image="image"),
    "cinder": _cinder,
    "cephfs": _needs(monitors="monitors"),
    "quobyte": _quobyte,
    "fc": _fc,
    "flex_volume": _flex,
    "azure_file": _needs(secret_name="secretName", share_name="shareName"),  # noqa: S106
    "vsphere_volume": _needs(volume_path="volumePath"),
    "photon_persistent_disk": _needs(pd_id="pdID"),
    "portworx_volume": _needs(volume_id="volumeID"),
    "azure_disk": _azure_disk,
    "storageos": _storageos,
    "scale_io": _needs(gateway="gateway", system="system", volume_name="volumeName"),
    "csi": _csi,
    "ephemeral": _ephemeral,
}
