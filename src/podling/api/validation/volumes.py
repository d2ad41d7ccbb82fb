"""A Pod's volumes: one source each, and what each source must say.

Returns the sound volumes by name: only those can be mounted. Sources of Kubernetes's own node (emptyDir, hostPath,
secret, …) are checked here, what is projected in `projections`, those of storage vendors in `storage`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.quantity import parse
from podling.api.validation import formats
from podling.api.validation.field import Path, duplicate, forbidden, invalid, invalid_each, not_supported, required
from podling.api.validation.paths import check_descending, check_no_backsteps
from podling.api.validation.projections import check_downward_items, check_items, check_mode, check_projected

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        ConfigMapVolumeSource,
        DownwardAPIVolumeSource,
        EmptyDirVolumeSource,
        HostPathVolumeSource,
        ImageVolumeSource,
        PersistentVolumeClaimVolumeSource,
        SecretVolumeSource,
        Volume,
    )

    Check = Callable[[Any, Path, list[Cause]], None]

_HOST_PATH_TYPES = (
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
)
_STICKY_MODE = 0o1777


def check_volumes(volumes: tuple[Volume, ...], pod_name: str, path: Path, causes: list[Cause]) -> dict[str, Volume]:
    """Check volumes and return the sound ones; `pod_name` is empty in templates and where it is not yet known."""
    sound: dict[str, Volume] = {}
    created = {f"{pod_name}-{volume.name}" for volume in volumes if volume.ephemeral is not None} if pod_name else set()
    for i, volume in enumerate(volumes):
        where = path[i]
        found: list[Cause] = []
        _check_source(volume, pod_name, where, found)
        if not volume.name:
            found.append(required(where / "name"))
        else:
            complaints = formats.dns_label(volume.name)
            if complaints:
                invalid_each(where / "name", volume.name, complaints, found)
        if volume.name in sound:
            found.append(duplicate(where / "name", volume.name))
        if found:
            causes += found
        else:
            sound[volume.name] = volume
        claim = volume.persistent_volume_claim
        if claim is not None and claim.claim_name in created:
            causes.append(
                invalid(
                    where / "persistentVolumeClaim" / "claimName",
                    claim.claim_name,
                    "must not reference a PVC that gets created for an ephemeral volume",
                )
            )
    return sound


def _check_source(volume: Volume, pod_name: str, path: Path, causes: list[Cause]) -> None:
    count = 0
    for attribute, name, child, check in _SOURCES:
        source = getattr(volume, attribute)
        if source is None:
            continue
        if count:
            causes.append(forbidden(path / name, "may not specify more than 1 volume type"))
            continue
        count += 1
        if check is not None:
            check(source, path / child, causes)
        else:
            _check_vendor(attribute, source, volume.name, pod_name, path, child, causes)
    if count == 0:
        causes.append(required(path, "must specify a volume type"))


def _check_vendor(
    attribute: str, source: Any, volume: str, pod_name: str, path: Path, child: str, causes: list[Cause]
) -> None:
    from podling.api.validation import storage

    storage.CHECKS[attribute](source, path / child, causes)
    if attribute == "iscsi" and source.initiator_name is not None and len(f"{volume}:{source.target_portal}") > 64:
        causes.append(
            invalid(
                path / "name",
                volume,
                "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters if "
                "iscsi.initiatorName is specified.",
            )
        )
    if attribute == "ephemeral" and pod_name and volume:
        claim = f"{pod_name}-{volume}"
        for complaint in formats.dns_subdomain(claim):
            causes.append(invalid(path / "name", volume, f'PVC name "{claim}": {complaint}'))  # noqa: PERF401


def _empty_dir(source: EmptyDirVolumeSource, path: Path, causes: list[Cause]) -> None:
    if source.size_limit is not None:
        try:
            negative = parse(source.size_limit).nano < 0
        except ValueError:
            negative = True
        if negative:
            causes.append(forbidden(path / "sizeLimit", "SizeLimit field must be a valid resource quantity"))
    if source.mode is not None and not 0 <= source.mode <= _STICKY_MODE:
        causes.append(invalid(path / "mode", source.mode, "must be between 0000 and 01777 (octal), both inclusive"))


def check_host_path(source: HostPathVolumeSource, path: Path, causes: list[Cause]) -> None:
    """Check a path of the node's, in a Pod or a PersistentVolume."""
    if not source.path:
        causes.append(required(path / "path"))
        return
    check_no_backsteps(source.path, path / "path", causes)
    if source.type is not None and source.type not in _HOST_PATH_TYPES:
        causes.append(not_supported(path / "type", source.type, _HOST_PATH_TYPES))


def _git_repo(source: Any, path: Path, causes: list[Cause]) -> None:
    if not source.repository:
        causes.append(required(path / "repository"))
    check_descending(source.directory, path / "directory", causes)


def _secret(source: SecretVolumeSource, path: Path, causes: list[Cause]) -> None:
    if not source.secret_name:
        causes.append(required(path / "secretName"))
    check_mode(source.default_mode, path / "defaultMode", causes)
    check_items(source.items, path / "items", causes)


def _config_map(source: ConfigMapVolumeSource, path: Path, causes: list[Cause]) -> None:
    if not source.name:
        causes.append(required(path / "name"))
    check_mode(source.default_mode, path / "defaultMode", causes)
    check_items(source.items, path / "items", causes)


def _downward_api(source: DownwardAPIVolumeSource, path: Path, causes: list[Cause]) -> None:
    check_mode(source.default_mode, path / "defaultMode", causes)
    check_downward_items(source.items, path, causes)


def _claim(source: PersistentVolumeClaimVolumeSource, path: Path, causes: list[Cause]) -> None:
    if not source.claim_name:
        causes.append(required(path / "claimName"))


def _image(source: ImageVolumeSource, path: Path, causes: list[Cause]) -> None:
    if not source.reference:
        causes.append(required(path / "reference"))
    check_pull_policy(source.pull_policy, path / "pullPolicy", causes)


def check_pull_policy(policy: str, path: Path, causes: list[Cause]) -> None:
    """Check when an image is pulled."""
    if policy in {"Always", "IfNotPresent", "Never"}:
        return
    if not policy:
        causes.append(required(path))
    else:
        causes.append(not_supported(path, policy, ("Always", "IfNotPresent", "Never")))


_SOURCES: tuple[tuple[str, str, str, Check | None], ...] = (
    ("empty_dir", "emptyDir", "emptyDir", _empty_dir),
    ("host_path", "hostPath", "hostPath", check_host_path),
    ("git_repo", "gitRepo", "gitRepo", _git_repo),
    ("gce_persistent_disk", "gcePersistentDisk", "persistentDisk", None),
    ("aws_elastic_block_store", "awsElasticBlockStore", "awsElasticBlockStore", None),
    ("secret", "secret", "secret", _secret),
    ("nfs", "nfs", "nfs", None),
    ("iscsi", "iscsi", "iscsi", None),
    ("glusterfs", "glusterfs", "glusterfs", None),
    ("flocker", "flocker", "flocker", None),
    ("persistent_volume_claim", "persistentVolumeClaim", "persistentVolumeClaim", _claim),
    ("rbd", "rbd", "rbd", None),
    ("cinder", "cinder", "cinder", None),
    ("cephfs", "cephFS", "cephfs", None),
    ("quobyte", "quobyte", "quobyte", None),
    ("downward_api", "downwarAPI", "downwardAPI", _downward_api),
    ("fc", "fc", "fc", None),
    ("flex_volume", "flexVolume", "flexVolume", None),
    ("config_map", "configMap", "configMap", _config_map),
    ("azure_file", "azureFile", "azureFile", None),
    ("vsphere_volume", "vsphereVolume", "vsphereVolume", None),
    ("photon_persistent_disk", "photonPersistentDisk", "photonPersistentDisk", None),
    ("portworx_volume", "portworxVolume", "portworxVolume", None),
    ("azure_disk", "azureDisk", "azureDisk", None),
    ("storageos", "storageos", "storageos", None),
    ("projected", "projected", "projected", check_projected),
    ("scale_io", "scaleIO", "scaleIO", None),
    ("csi", "csi", "csi", None),
    ("ephemeral", "ephemeral", "ephemeral", None),
    ("image", "image", "image", _image),
)
"""Attribute, the name in "more than 1 volume type", the name in paths below, the check (None: a vendor's).

The order is upstream's, and so are two odd names.
"""
