"""What a container mounts: volumes as directories and as block devices.

The Pod's sound volumes come as a map by name; a mount of one that is missing or unsound is `Not found`. Some paths lack
the mount's index: so upstream reports them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation.field import Path, duplicate, forbidden, invalid, not_found, not_supported, required
from podling.api.validation.paths import check_descending, check_no_backsteps

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import Volume, VolumeDevice, VolumeMount

_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_BIND_OPTIONS = ("nodev", "noexec", "nosuid")


def check_mounts(
    mounts: tuple[VolumeMount, ...],
    devices: tuple[VolumeDevice, ...],
    volumes: Mapping[str, Volume],
    *,
    privileged: bool,
    path: Path,
    causes: list[Cause],
) -> None:
    device_paths = {device.name: device.device_path for device in devices}
    seen = set()
    for i, mount in enumerate(mounts):
        volume = volumes.get(mount.name)
        if not mount.name:
            causes.append(required(path[i] / "name"))
        if volume is None:
            causes.append(not_found(path[i] / "name", mount.name))
        if not mount.mount_path:
            causes.append(required(path[i] / "mountPath"))
        if mount.mount_path in seen:
            causes.append(invalid(path[i] / "mountPath", mount.mount_path, "must be unique"))
        seen.add(mount.mount_path)
        if device_paths:
            if mount.name in device_paths:
                causes.append(invalid(path[i] / "name", mount.name, "must not already exist in volumeDevices"))
            if mount.mount_path in device_paths.values():
                causes.append(
                    invalid(
                        path[i] / "mountPath", mount.mount_path, "must not already exist as a path in volumeDevices"
                    )
                )
        _check_sub_paths(mount, path, i, causes)
        if mount.mount_propagation is not None:
            _check_propagation(mount.mount_propagation, path / "mountPropagation", causes, privileged=privileged)
        if mount.recursive_read_only is not None:
            _check_recursive_read_only(mount, path / "recursiveReadOnly", causes)
        if mount.bind_mount_options:
            _check_bind_options(mount, volume, path[i] / "bindMountOptions", causes)


def check_devices(
    devices: tuple[VolumeDevice, ...],
    mounts: tuple[VolumeMount, ...],
    volumes: Mapping[str, Volume],
    path: Path,
    causes: list[Cause],
) -> None:
    mount_paths = {mount.name: mount.mount_path for mount in mounts}
    names, paths = set(), set()
    for i, device in enumerate(devices):
        volume = volumes.get(device.name)
        name_path, device_path = path[i] / "name", path[i] / "devicePath"
        if not device.name:
            causes.append(required(name_path))
        if device.name in names:
            causes.append(invalid(name_path, device.name, "must be unique"))
        if volume is not None and volume.persistent_volume_claim is None and volume.ephemeral is None:
            causes.append(
                invalid(
                    name_path,
                    device.name,
                    "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode",
                )
            )
        if volume is None:
            causes.append(not_found(name_path, device.name))
        if not device.device_path:
            causes.append(required(device_path))
        if device.device_path in paths:
            causes.append(invalid(device_path, device.device_path, "must be unique"))
        if device.device_path and not check_no_backsteps(device.device_path, path, []):
            causes.append(invalid(device_path, device.device_path, "can not contain backsteps ('..')"))
        else:
            paths.add(device.device_path)
        if device.name in mount_paths:
            causes.append(invalid(name_path, device.name, "must not already exist in volumeMounts"))
        if device.device_path in mount_paths.values():
            causes.append(invalid(device_path, device.device_path, "must not already exist as a path in volumeMounts"))
        if device.name:
            names.add(device.name)


def _check_sub_paths(mount: VolumeMount, path: Path, i: int, causes: list[Cause]) -> None:
    if not mount.sub_path and not mount.sub_path_expr:
        return
    if mount.sub_path:
        check_descending(mount.sub_path, path / "subPath", causes)
    if mount.sub_path_expr:
        if mount.sub_path:
            causes.append(
                invalid(path[i] / "subPathExpr", mount.sub_path_expr, "subPathExpr and subPath are mutually exclusive")
            )
        check_descending(mount.sub_path_expr, path / "subPathExpr", causes)


def _check_propagation(mode: str, path: Path, causes: list[Cause], *, privileged: bool) -> None:
    if mode not in _PROPAGATIONS:
        causes.append(not_supported(path, mode, _PROPAGATIONS))
    if mode == "Bidirectional" and not privileged:
        causes.append(forbidden(path, "Bidirectional mount propagation is available only to privileged containers"))


def _check_recursive_read_only(mount: VolumeMount, path: Path, causes: list[Cause]) -> None:
    match mount.recursive_read_only:
        case "Disabled":
            return
        case "Enabled" | "IfPossible":
            if not mount.read_only:
                causes.append(forbidden(path, "may only be specified when readOnly is true"))
            if mount.mount_propagation not in {None, "None"}:
                causes.append(forbidden(path, "may only be specified when mountPropagation is None or not specified"))
        case other:
            causes.append(not_supported(path, other, ("Disabled", "Enabled", "IfPossible")))


def _check_bind_options(mount: VolumeMount, volume: Volume | None, path: Path, causes: list[Cause]) -> None:
    if volume is not None and volume.image is not None:
        causes.append(forbidden(path, "not allowed in image volume sources"))
    seen = set()
    for i, option in enumerate(mount.bind_mount_options):
        if option not in _BIND_OPTIONS:
            causes.append(not_supported(path[i], option, _BIND_OPTIONS))
        if option in seen:
            causes.append(duplicate(path[i], option))
        seen.add(option)
