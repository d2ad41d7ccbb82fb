"""Owns how volumes, claims and storage classes are shown in tables: upstream's columns and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.annotations import DEFAULT_STORAGE_CLASS
from podling.apiserver.tables.columns import AGE, NAME, NONE, UNSET, Column, Layout, age

if TYPE_CHECKING:
    from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
    from podling.api.types.storage_v1 import CSIDriver, CSINode, CSIStorageCapacity, StorageClass, VolumeAttachment

_SHORT: Final = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}
_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_MODE: Final = Column(
    "VolumeMode",
    "volumeMode says whether the volume is used with a formatted file system or stays a raw block device.",
    1,
)
_ATTRIBUTES: Final = Column(
    "VolumeAttributesClass", "Name of the VolumeAttributesClass that the volume belongs to, where there is one."
)


def modes(names: tuple[str, ...]) -> str:
    """Return access modes in short, in upstream's order."""
    return ",".join(short for name, short in _SHORT.items() if name in names)


def _volume(volume: PersistentVolume, now: float) -> list[Any]:
    meta, spec, status = volume.metadata, volume.spec, volume.status
    claim = spec.claim_ref
    return [
        meta.name,
        spec.capacity.get("storage", "0"),
        modes(spec.access_modes),
        spec.persistent_volume_reclaim_policy,
        status.phase if meta.deletion_timestamp is None else "Terminating",
        f"{claim.namespace}/{claim.name}" if claim is not None else "",
        meta.annotations.get(_BETA_CLASS) or spec.storage_class_name,
        UNSET if spec.volume_attributes_class_name is None else spec.volume_attributes_class_name,
        status.reason,
        age(meta.creation_timestamp, now),
        UNSET if spec.volume_mode is None else spec.volume_mode,
    ]


PERSISTENT_VOLUMES: Final = Layout(
    (
        NAME,
        Column("Capacity", "capacity is the description of the persistent volume's resources and capacity."),
        Column("Access Modes", "accessModes contains all ways in which the volume can be mounted."),
        Column("Reclaim Policy", "What happens to the volume when it is released from its claim."),
        Column("Status", "phase indicates whether the volume is available, bound to a claim, or released by one."),
        Column("Claim", "claimRef is part of a bi-directional binding between the volume and its claim."),
        Column("StorageClass", "Name of the StorageClass that the volume belongs to."),
        _ATTRIBUTES,
        Column("Reason", "reason is a brief word that says why the volume is in its phase."),
        AGE,
        _MODE,
    ),
    _volume,
)


def _claim(claim: PersistentVolumeClaim, now: float) -> list[Any]:
    meta, spec, status = claim.metadata, claim.spec, claim.status
    bound = bool(spec.volume_name)
    return [
        meta.name,
        status.phase if meta.deletion_timestamp is None else "Terminating",
        spec.volume_name,
        status.capacity.get("storage", "0") if bound else "",
        modes(status.access_modes) if bound else "",
        meta.annotations.get(_BETA_CLASS) or spec.storage_class_name or "",
        UNSET if spec.volume_attributes_class_name is None else spec.volume_attributes_class_name,
        age(meta.creation_timestamp, now),
        UNSET if spec.volume_mode is None else spec.volume_mode,
    ]


PERSISTENT_VOLUME_CLAIMS: Final = Layout(
    (
        NAME,
        Column("Status", "phase represents the current phase of the claim."),
        Column("Volume", "volumeName is the binding reference to the volume that backs the claim."),
        Column("Capacity", "capacity represents the actual resources of the underlying volume."),
        Column("Access Modes", "accessModes contains the actual access modes of the underlying volume."),
        Column("StorageClass", "storageClassName is the name of the StorageClass that the claim asks for."),
        _ATTRIBUTES,
        AGE,
        _MODE,
    ),
    _claim,
)


def _storage_class(storage: StorageClass, now: float) -> list[Any]:
    meta = storage.metadata
    is_default = any(meta.annotations.get(key) == "true" for key in DEFAULT_STORAGE_CLASS)
    return [
        f"{meta.name} (default)" if is_default else meta.name,
        storage.provisioner,
        storage.reclaim_policy or "Delete",
        storage.volume_binding_mode or "Immediate",
        bool(storage.allow_volume_expansion),
        age(meta.creation_timestamp, now),
    ]


STORAGE_CLASSES: Final = Layout(
    (
        NAME,
        Column("Provisioner", "provisioner indicates the type of the provisioner."),
        Column("ReclaimPolicy", "reclaimPolicy is what volumes of this class are created with."),
        Column("VolumeBindingMode", "volumeBindingMode says when claims are provisioned and bound."),
        Column(
            "AllowVolumeExpansion",
            "allowVolumeExpansion shows whether the storage class allows volumes to grow.",
        ),
        AGE,
    ),
    _storage_class,
)


def _driver(driver: CSIDriver, now: float) -> list[Any]:
    spec = driver.spec
    return [
        driver.metadata.name,
        True if spec.attach_required is None else spec.attach_required,
        bool(spec.pod_info_on_mount),
        bool(spec.storage_capacity),
        ",".join(request.audience for request in spec.token_requests) or UNSET,
        bool(spec.requires_republish),
        ",".join(spec.volume_lifecycle_modes) or NONE,
        age(driver.metadata.creation_timestamp, now),
    ]


CSI_DRIVERS: Final = Layout(
    (
        NAME,
        Column("AttachRequired", "Whether volumes of this driver have to be attached first.", type="boolean"),
        Column("PodInfoOnMount", "Whether the driver is told of Pods at mounting.", type="boolean"),
        Column("StorageCapacity", "Whether the driver tells how much it can store.", type="boolean"),
        Column("TokenRequests", "Audiences of the service account tokens that the driver is given."),
        Column("RequiresRepublish", "Whether volumes are to be published again and again.", type="boolean"),
        Column("Modes", "The kinds of volumes that the driver supports."),
        AGE,
    ),
    _driver,
)


def _csi_node(node: CSINode, now: float) -> list[Any]:
    return [node.metadata.name, len(node.spec.drivers), age(node.metadata.creation_timestamp, now)]


CSI_NODES: Final = Layout(
    (NAME, Column("Drivers", "The number of drivers that are on the node.", type="integer"), AGE), _csi_node
)


def _capacity(capacity: CSIStorageCapacity, _now: float) -> list[Any]:
    return [capacity.metadata.name, capacity.storage_class_name, capacity.capacity or UNSET]


CSI_STORAGE_CAPACITIES: Final = Layout(
    (
        NAME,
        Column("StorageClassName", "The class whose volumes this is about."),
        Column("Capacity", "How much can still be stored."),
    ),
    _capacity,
)


def _attachment(attachment: VolumeAttachment, now: float) -> list[Any]:
    spec, status = attachment.spec, attachment.status
    return [
        attachment.metadata.name,
        spec.attacher,
        spec.source.persistent_volume_name or "",
        spec.node_name,
        status is not None and status.attached,
        age(attachment.metadata.creation_timestamp, now),
    ]


VOLUME_ATTACHMENTS: Final = Layout(
    (
        NAME,
        Column("Attacher", "The driver that has to do it.", format="name"),
        Column("PV", "The volume that is to be attached."),
        Column("Node", "The node to which it is to be attached."),
        Column("Attached", "Whether it is.", type="boolean"),
        AGE,
    ),
    _attachment,
)
