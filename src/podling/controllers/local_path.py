"""The provisioner `podling.dev/local-path`: a volume is a folder on one Node. Pure.

Owns what such a volume looks like, which claims get one and where, and when its folder goes. Invariant: a folder is
only ever removed for a volume that was provisioned here, whose path is the very one that its name gives, whose policy
is Delete, and which no claim holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from podling.api.types.core_v1 import (
    LocalVolumeSource,
    NodeSelector,
    NodeSelectorRequirement,
    NodeSelectorTerm,
    PersistentVolume,
    PersistentVolumeSpec,
    VolumeNodeAffinity,
)
from podling.api.types.meta_v1 import ObjectMeta
from podling.controllers.node_health import ready_status
from podling.controllers.volume_binding import PROVISIONER
from podling.placement.nodes import NodeInfo
from podling.placement.volumes import (
    PROVISIONED_BY,
    SELECTED_NODE,
    allows_topology,
    capacity,
    is_bound,
    reference_to,
    requested,
    waits_for_consumer,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from podling.api.types.core_v1 import Node, PersistentVolumeClaim
    from podling.api.types.storage_v1 import StorageClass

NAME: Final = "podling.dev/local-path"
FINALIZER: Final = "external-provisioner.volume.kubernetes.io/finalizer"
HOSTNAME: Final = "kubernetes.io/hostname"
_MODES: Final = ("ReadWriteOnce", "ReadWriteOncePod")


def wants_volume(claim: PersistentVolumeClaim, storage_class: StorageClass | None) -> bool:
    """Whether a claim waits for this provisioner, and is due."""
    if claim.spec.volume_name or claim.metadata.deletion_timestamp is not None or storage_class is None:
        return False
    if storage_class.provisioner != NAME or waits_for_consumer(claim, storage_class):
        return False
    # A Node is selected where no volume was found: then the binder has nothing to add.
    return SELECTED_NODE in claim.metadata.annotations or claim.metadata.annotations.get(PROVISIONER) == NAME


def why_not(claim: PersistentVolumeClaim, storage_class: StorageClass) -> str:
    """Say why a folder on one Node is not what a claim or its class asks for; empty where it is."""
    if storage_class.parameters:
        return f'parameter "{min(storage_class.parameters)}" is not known: volumes of this provisioner have none'
    if claim.spec.volume_mode == "Block":
        return "block volumes are not supported: a volume of this class is a folder"
    beyond = [mode for mode in claim.spec.access_modes if mode not in _MODES]
    if beyond:
        return f"access mode {beyond[0]} is not supported: a volume of this class is on one node ({', '.join(_MODES)})"
    if claim.spec.data_source_ref is not None or claim.spec.data_source is not None:
        return "data sources are not supported: a volume of this class begins empty"
    return ""


def volume_name(claim: PersistentVolumeClaim) -> str:
    return f"pvc-{claim.metadata.uid}"


def volume_for(claim: PersistentVolumeClaim, storage_class: StorageClass, node: Node, path: str) -> PersistentVolume:
    """Return the volume of a claim: the folder `path` of a Node."""
    policy = storage_class.reclaim_policy or "Delete"
    hostname = node.metadata.labels.get(HOSTNAME, node.metadata.name)
    here = NodeSelectorRequirement(key=HOSTNAME, operator="In", values=(hostname,))
    terms = (NodeSelectorTerm(match_expressions=(here,)),)
    return PersistentVolume(
        metadata=ObjectMeta(
            name=volume_name(claim),
            annotations={PROVISIONED_BY: NAME},
            finalizers=(FINALIZER,) if policy == "Delete" else (),
        ),
        spec=PersistentVolumeSpec(
            access_modes=claim.spec.access_modes,
            capacity={"storage": str(requested(claim))},
            claim_ref=reference_to(claim),
            local=LocalVolumeSource(path=path),
            mount_options=storage_class.mount_options,
            node_affinity=VolumeNodeAffinity(required=NodeSelector(node_selector_terms=terms)),
            persistent_volume_reclaim_policy=policy,
            storage_class_name=storage_class.metadata.name,
            volume_mode=claim.spec.volume_mode,
        ),
    )


def chosen_node(
    claim: PersistentVolumeClaim,
    storage_class: StorageClass,
    nodes: Iterable[Node],
    held: Callable[[str], int],
) -> str:
    """Return the Node for a claim's volume: the scheduler's choice, else the ready one with the fewest volumes.

    `held` says how many volumes there are at a host name.
    """
    selected = claim.metadata.annotations.get(SELECTED_NODE, "")
    if selected:
        return selected
    fit = [node for node in nodes if has_room(node) and allows_topology(storage_class, NodeInfo(node))]
    best = min(fit, key=lambda n: (held(n.metadata.labels.get(HOSTNAME, "")), n.metadata.name), default=None)
    return best.metadata.name if best is not None else ""


def has_room(node: Node) -> bool:
    """Whether a Node takes volumes that no Pod has chosen it for."""
    return ready_status(node) == "True" and not node.spec.unschedulable


def home_of(volume: PersistentVolume) -> str:
    """Return the host name that a provisioned volume is bound to; empty where it is no such."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None or len(affinity.required.node_selector_terms) != 1:
        return ""
    for here in affinity.required.node_selector_terms[0].match_expressions:
        if here.key == HOSTNAME and here.operator == "In" and len(here.values) == 1:
            return here.values[0]
    return ""


def is_ours(volume: PersistentVolume) -> bool:
    return volume.metadata.annotations.get(PROVISIONED_BY) == NAME and volume.spec.local is not None


def must_go(volume: PersistentVolume) -> bool:
    """Whether a volume's folder is to be removed, and the volume after it."""
    if not is_ours(volume) or volume.spec.persistent_volume_reclaim_policy != "Delete":
        return False
    if volume.metadata.deletion_timestamp is None:
        return volume.status.phase == "Released"
    return volume.status.phase != "Bound" and FINALIZER in volume.metadata.finalizers


def released(volume: PersistentVolume) -> PersistentVolume | None:
    """Return a volume without this provisioner's hold on it; `None` where there is none."""
    if FINALIZER not in volume.metadata.finalizers:
        return None
    kept = tuple(it for it in volume.metadata.finalizers if it != FINALIZER)
    return replace(volume, metadata=replace(volume.metadata, finalizers=kept))


def is_kept(volume: PersistentVolume) -> bool:
    """Whether a volume is being deleted whose folder is to stay."""
    retains = volume.spec.persistent_volume_reclaim_policy != "Delete"
    return is_ours(volume) and retains and volume.metadata.deletion_timestamp is not None


def grown(
    claim: PersistentVolumeClaim, volume: PersistentVolume, storage_class: StorageClass | None
) -> tuple[PersistentVolume | None, PersistentVolumeClaim | None]:
    """Return volume and claim as they are to be after an expansion, `None` for what needs no write.

    A folder has no size of its own: to grow is to say so, the volume first.
    """
    if not (is_ours(volume) and is_bound(claim) and storage_class is not None and storage_class.allow_volume_expansion):
        return None, None
    asked = requested(claim)
    size = {"storage": str(asked)}
    if capacity(volume) < asked:
        return replace(volume, spec=replace(volume.spec, capacity=size)), None
    if claim.status.phase == "Bound" and claim.status.capacity != volume.spec.capacity and capacity(volume) == asked:
        return None, replace(claim, status=replace(claim.status, capacity=volume.spec.capacity))
    return None, None
