"""What CSI drivers and their helpers say of themselves: drivers, nodes, capacities, attachments.

Podling's own kubelet speaks with no CSI driver; these kinds are for drivers, and schedulers, that bring their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation import amounts, formats, meta
from podling.api.validation.difference import comparable
from podling.api.validation.field import (
    ROOT,
    SPEC,
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
    from podling.api.types.storage_v1 import (
        CSIDriver,
        CSIDriverSpec,
        CSINode,
        CSINodeDriver,
        CSIStorageCapacity,
        VolumeAttachment,
    )

_POLICIES: Final = ("File", "None", "ReadWriteOnceWithFSType")
_MODES: Final = ("Ephemeral", "Persistent")
_LONGEST_DRIVER: Final = 63
_LONGEST_ID: Final = 256
_SHORTEST_TOKEN: Final = 600
_LONGEST_TOKEN: Final = 1 << 32
_ONE_SOURCE: Final = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"


def _check_driver_name(name: str, path: Path, causes: list[Cause]) -> None:
    if not name:
        causes.append(required(path))
    if len(name) > _LONGEST_DRIVER:
        causes.append(too_long(path, _LONGEST_DRIVER))
    invalid_each(path, name, formats.dns_subdomain(name.lower()), causes)


# Drivers.


def check_driver_create(driver: CSIDriver, causes: list[Cause]) -> None:
    meta.check_create(driver.metadata, causes, namespaced=False)
    _check_driver(driver.spec, causes)


def check_driver_update(new: CSIDriver, old: CSIDriver, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_driver(new.spec, causes)
    was, now = old.spec, new.spec
    immutable(SPEC / "attachedRequired", now.attach_required, was.attach_required, causes)
    immutable(SPEC / "volumeLifecycleModes", now.volume_lifecycle_modes, was.volume_lifecycle_modes, causes)


def _check_driver(spec: CSIDriverSpec, causes: list[Cause]) -> None:
    for name, value in (
        ("attachedRequired", spec.attach_required),
        ("podInfoOnMount", spec.pod_info_on_mount),
        ("storageCapacity", spec.storage_capacity),
    ):
        if value is None:
            causes.append(required(SPEC / name))
    if spec.fs_group_policy is None:
        causes.append(required(SPEC / "fsGroupPolicy"))
    elif spec.fs_group_policy not in _POLICIES:
        causes.append(not_supported(SPEC / "fsGroupPolicy", spec.fs_group_policy, _POLICIES))
    seen: dict[str, None] = {}
    for i, request in enumerate(spec.token_requests):
        where = (SPEC / "tokenRequests")[i]
        if request.audience in seen:
            causes.append(duplicate(where / "audience", request.audience))
        seen[request.audience] = None
        seconds = request.expiration_seconds
        if seconds is not None and seconds < _SHORTEST_TOKEN:
            said = "may not specify a duration less than 10 minutes"
            causes.append(invalid(where / "expirationSeconds", seconds, said))
        if seconds is not None and seconds > _LONGEST_TOKEN:
            said = "may not specify a duration larger than 2^32 seconds"
            causes.append(invalid(where / "expirationSeconds", seconds, said))
    causes.extend(
        not_supported(SPEC / "volumeLifecycleModes", mode, _MODES)
        for mode in spec.volume_lifecycle_modes
        if mode not in _MODES
    )


# Nodes.


def check_node_create(node: CSINode, causes: list[Cause]) -> None:
    meta.check_create(node.metadata, causes, namespaced=False)
    _check_node(node, causes)


def check_node_update(new: CSINode, old: CSINode, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_node(new, causes)
    before = {driver.name: driver for driver in old.spec.drivers}
    for driver in new.spec.drivers:
        was = before.get(driver.name)
        if was is not None and (was.node_id, was.topology_keys) != (driver.node_id, driver.topology_keys):
            causes.append(invalid(SPEC / "drivers", comparable(driver), "field is immutable"))


def _check_node(node: CSINode, causes: list[Cause]) -> None:
    seen: dict[str, None] = {}
    for i, driver in enumerate(node.spec.drivers):
        where = (SPEC / "drivers")[i]
        _check_node_driver(driver, where, causes)
        if driver.name in seen:
            causes.append(duplicate(where / "name", driver.name))
        seen[driver.name] = None


def _check_node_driver(driver: CSINodeDriver, path: Path, causes: list[Cause]) -> None:
    _check_driver_name(driver.name, path / "name", causes)
    if not driver.node_id:
        causes.append(required(path / "nodeID"))
    if len(driver.node_id.encode()) > _LONGEST_ID:
        said = f"must be {_LONGEST_ID} characters or less"
        causes.append(invalid(path / "nodeID", driver.node_id, said))
    count = driver.allocatable.count if driver.allocatable is not None else None
    if count is not None and count < 0:
        causes.append(invalid(path / "allocatable" / "count", count, formats.NOT_NEGATIVE))
    seen: dict[str, None] = {}
    for key in driver.topology_keys:
        if not key:
            causes.append(required(path))
        if key in seen:
            causes.append(duplicate(path, key))
        seen[key] = None
        invalid_each(path, key, formats.qualified_name(key), causes)


# Capacities.


def check_capacity_create(capacity: CSIStorageCapacity, causes: list[Cause]) -> None:
    meta.check_create(capacity.metadata, causes, namespaced=True)
    _check_capacity(capacity, causes)


def check_capacity_update(new: CSIStorageCapacity, old: CSIStorageCapacity, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_capacity(new, causes)
    if new.node_topology != old.node_topology:
        causes.append(invalid(ROOT / "nodeTopology", comparable(new.node_topology), "field is immutable"))
    immutable(ROOT / "storageClassName", new.storage_class_name, old.storage_class_name, causes)


def _check_capacity(capacity: CSIStorageCapacity, causes: list[Cause]) -> None:
    where = ROOT / "storageClassName"
    invalid_each(where, capacity.storage_class_name, formats.dns_subdomain(capacity.storage_class_name), causes)
    meta.check_selector(capacity.node_topology, ROOT / "nodeTopology", causes)
    for name, text in (("capacity", capacity.capacity), ("maximumVolumeSize", capacity.maximum_volume_size)):
        value = amounts.amount(text, ROOT / name, causes) if text is not None else None
        if value is not None and value.nano < 0:
            causes.append(invalid(ROOT / name, str(value), formats.NOT_NEGATIVE))


# Attachments.


def check_attachment_create(attachment: VolumeAttachment, causes: list[Cause]) -> None:
    meta.check_create(attachment.metadata, causes, namespaced=False)
    _check_attachment(attachment, causes)


def check_attachment_update(new: VolumeAttachment, old: VolumeAttachment, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_attachment(new, causes)
    if new.spec != old.spec:
        causes.append(invalid(SPEC, comparable(new.spec), "field is immutable"))


def check_attachment_status_update(new: VolumeAttachment, old: VolumeAttachment, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)


def _check_attachment(attachment: VolumeAttachment, causes: list[Cause]) -> None:
    spec = attachment.spec
    _check_driver_name(spec.attacher, SPEC / "attacher", causes)
    source, where = spec.source, SPEC / "source"
    if source.inline_volume_spec is None and source.persistent_volume_name is None:
        causes.append(required(where, _ONE_SOURCE))
    elif source.inline_volume_spec is not None and source.persistent_volume_name is not None:
        causes.append(forbidden(where, _ONE_SOURCE))
    elif source.persistent_volume_name is not None:
        name = source.persistent_volume_name
        if not name:
            causes.append(required(where / "persistentVolumeName", "must specify non empty persistentVolumeName"))
        else:
            invalid_each(where / "persistentVolumeName", name, formats.dns_subdomain(name), causes)
    invalid_each(SPEC / "nodeName", spec.node_name, formats.dns_subdomain(spec.node_name), causes)
