"""How claims and volumes find each other, and what becomes of a volume that was let go. Pure.

    claim    Pending ── a volume is chosen, named on both sides ──▶ Bound ── its volume is gone, or another's ──▶ Lost
    volume   Available ── named for a claim ──▶ Bound ── the claim is gone ──▶ Released ── cannot be deleted ──▶ Failed

A binding is four writes: the volume names the claim; the volume is Bound, and the claim names the volume; the claim is
Bound. Each look says what is next, at most those two that may be made at once; the watch shows it, and the next look
follows. So a binding that broke off anywhere goes on from where it stands. Invariant: the volume names the claim first,
so that two claims never share one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from msgspec.structs import replace

from podling.placement.volumes import (
    BIND_COMPLETED,
    BOUND_BY_CONTROLLER,
    PROVISIONED_BY,
    best_match,
    class_of_claim,
    given_to,
    is_bound,
    is_bound_to,
    same_volume_mode,
    waits_for_consumer,
    why_unsatisfied,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
    from podling.api.types.meta_v1 import ObjectMeta
    from podling.placement.volumes import Storage

PROVISIONER: Final = "volume.kubernetes.io/storage-provisioner"
_BETA_PROVISIONER: Final = "volume.beta.kubernetes.io/storage-provisioner"
_LEFT: Final = frozenset({"Released", "Failed"})


@dataclass(frozen=True, slots=True)
class Said:
    """An event about a claim or a volume."""

    about: PersistentVolumeClaim | PersistentVolume
    type: Literal["Normal", "Warning"]
    reason: str
    message: str


@dataclass(frozen=True, slots=True)
class Step:
    """What to do next, and what to say; of several writes none waits for another."""

    volume: PersistentVolume | None = None
    """To be written whole, but for its status."""
    volume_status: PersistentVolume | None = None
    claim: PersistentVolumeClaim | None = None
    claim_status: PersistentVolumeClaim | None = None
    said: tuple[Said, ...] = ()
    look_at_claim: bool = False
    """Whether the volume's claim has to be looked at, for it is the claim's turn."""


NOTHING: Final = Step()


def plan_claim(
    claim: PersistentVolumeClaim, storage: Storage, default_class: str = "", consumers: Sequence[str] = ()
) -> Step:
    """Return a claim's next step; `consumers` are the Pods without a Node that use it."""
    if BIND_COMPLETED in claim.metadata.annotations:
        return _plan_bound(claim, storage)
    if claim.spec.volume_name:
        return _plan_named(claim, storage)
    storage_class = storage.storage_class(class_of_claim(claim))
    waits = waits_for_consumer(claim, storage_class)
    volume = best_match(claim, storage.volumes_for(claim), delayed=waits)
    if volume is not None:
        return _bind(volume, claim)
    if claim.metadata.deletion_timestamp is not None:
        return NOTHING
    if claim.spec.storage_class_name is None and not class_of_claim(claim) and default_class:
        return Step(claim=replace(claim, spec=replace(claim.spec, storage_class_name=default_class)))
    if waits:
        return _pending(claim, _waiting(claim, consumers))
    if class_of_claim(claim):
        return _plan_provision(claim, storage)
    why = "no persistent volumes available for this claim and no storage class is set"
    return _pending(claim, Said(claim, "Normal", "FailedBinding", why))


def plan_volume(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> Step:
    """Return a volume's next step; `claim` is what stands under the name that it refers to."""
    held = volume.spec.claim_ref
    if held is None or not held.uid:
        step = _phase(volume, "Available")
        return step if step is not NOTHING or held is None else Step(look_at_claim=True)
    if claim is None or claim.metadata.uid != held.uid:
        return _let_go(volume)
    if not claim.spec.volume_name and volume.metadata.deletion_timestamp is None:
        if same_volume_mode(volume, claim):
            return Step(look_at_claim=True)
        why = "due to incompatible volumeMode."
        mine = f'Cannot bind PersistentVolume to requested PersistentVolumeClaim "{claim.metadata.name}" {why}'
        theirs = f'Cannot bind PersistentVolume "{volume.metadata.name}" to requested PersistentVolumeClaim {why}'
        said = (Said(volume, "Warning", "VolumeMismatch", mine), Said(claim, "Warning", "VolumeMismatch", theirs))
        return Step(said=said)
    if claim.spec.volume_name == volume.metadata.name:
        return _phase(volume, "Bound")
    # The claim has another, or will have: it takes none whose deletion has begun.
    if PROVISIONED_BY in volume.metadata.annotations and volume.spec.persistent_volume_reclaim_policy == "Delete":
        return _let_go(volume)  # made for this claim, which found another meanwhile
    if BOUND_BY_CONTROLLER in volume.metadata.annotations:
        meta = _without(volume.metadata, BOUND_BY_CONTROLLER)
        return Step(volume=replace(volume, metadata=meta, spec=replace(volume.spec, claim_ref=None)))
    return Step(volume=replace(volume, spec=replace(volume.spec, claim_ref=replace(held, uid=""))))


def _plan_bound(claim: PersistentVolumeClaim, storage: Storage) -> Step:
    if not claim.spec.volume_name:
        return _lost(
            claim, "ClaimLost", "Bound claim has lost reference to PersistentVolume. Data on the volume is lost!"
        )
    volume = storage.volume(claim.spec.volume_name)
    if volume is None:
        return _lost(claim, "ClaimLost", "Bound claim has lost its PersistentVolume. Data on the volume is lost!")
    held = volume.spec.claim_ref
    if held is None or held.uid == claim.metadata.uid or is_bound_to(volume, claim):
        return _bind(volume, claim)
    return _lost(claim, "ClaimMisbound", "Two claims are bound to the same volume, this one is bound incorrectly")


def _plan_named(claim: PersistentVolumeClaim, storage: Storage) -> Step:
    """Plan for a claim that asks for one volume by its name."""
    volume = storage.volume(claim.spec.volume_name)
    if volume is None:
        return _pending(claim)
    if volume.spec.claim_ref is None:
        why = why_unsatisfied(volume, claim)
        if why:
            message = f'Cannot bind to requested volume "{volume.metadata.name}": {why}'
            return _pending(claim, Said(claim, "Warning", "VolumeMismatch", message))
        return _bind(volume, claim)
    if is_bound_to(volume, claim):
        return _bind(volume, claim)
    message = f'volume "{volume.metadata.name}" already bound to a different claim.'
    return _pending(claim, Said(claim, "Warning", "FailedBinding", message))


def _waiting(claim: PersistentVolumeClaim, consumers: Sequence[str]) -> Said:
    if not consumers:
        why = "waiting for first consumer to be created before binding"
        return Said(claim, "Normal", "WaitForFirstConsumer", why)
    pods = f"pod{'s' if len(consumers) > 1 else ''} {','.join(consumers)}"
    return Said(claim, "Normal", "WaitForPodScheduled", f"waiting for {pods} to be scheduled")


def _plan_provision(claim: PersistentVolumeClaim, storage: Storage) -> Step:
    name = class_of_claim(claim)
    storage_class = storage.storage_class(name)
    if storage_class is None:
        why = f'storageclass.storage.k8s.io "{name}" not found'
        return _pending(claim, Said(claim, "Warning", "ProvisioningFailed", why))
    provisioner = storage_class.provisioner
    if provisioner.startswith("kubernetes.io/"):
        why = f"no volume plugin matched name: {provisioner}"
        return _pending(claim, Said(claim, "Warning", "ProvisioningFailed", why))
    if claim.metadata.annotations.get(PROVISIONER) != provisioner:
        told = {_BETA_PROVISIONER: provisioner, PROVISIONER: provisioner}
        return Step(claim=replace(claim, metadata=_annotated(claim.metadata, told)))
    why = (
        f"Waiting for a volume to be created either by the external provisioner '{provisioner}' or manually by the "
        "system administrator. If volume creation is delayed, please verify that the provisioner is running and "
        "correctly registered."
    )
    return _pending(claim, Said(claim, "Normal", "ExternalProvisioning", why))


def _pending(claim: PersistentVolumeClaim, *said: Said) -> Step:
    if claim.status.phase == "Pending":
        return Step(said=said)
    return Step(claim_status=replace(claim, status=replace(claim.status, phase="Pending")), said=said)


def _lost(claim: PersistentVolumeClaim, reason: str, message: str) -> Step:
    if claim.status.phase == "Lost":
        return NOTHING
    status = replace(claim.status, phase="Lost", access_modes=(), capacity={})
    return Step(claim_status=replace(claim, status=status), said=(Said(claim, "Warning", reason, message),))


def _bind(volume: PersistentVolume, claim: PersistentVolumeClaim) -> Step:
    """Return what a binding still lacks."""
    held = volume.spec.claim_ref
    if held is None or held.uid != claim.metadata.uid:
        return Step(volume=given_to(volume, claim))
    marked = _phase(volume, "Bound")
    if not is_bound(claim):
        told = {BIND_COMPLETED: "yes"}
        if not claim.spec.volume_name:
            told[BOUND_BY_CONTROLLER] = "yes"
        spec = replace(claim.spec, volume_name=volume.metadata.name)
        named = replace(claim, metadata=_annotated(claim.metadata, told), spec=spec)
        return Step(volume_status=marked.volume_status, claim=named)
    if marked is not NOTHING:
        return marked
    status = replace(claim.status, phase="Bound", access_modes=volume.spec.access_modes)
    if claim.status.phase != "Bound" or not claim.status.capacity:
        status = replace(status, capacity=volume.spec.capacity)
    return NOTHING if status == claim.status else Step(claim_status=replace(claim, status=status))


def _let_go(volume: PersistentVolume) -> Step:
    """Plan for a volume whose claim is gone: what its policy says is done to it."""
    if volume.status.phase not in _LEFT:
        return _phase(volume, "Released")
    provisioner = volume.metadata.annotations.get(PROVISIONED_BY, "")
    match volume.spec.persistent_volume_reclaim_policy:
        case "Recycle":
            return _failed(volume, "VolumeFailedRecycle", "No recycler plugin found for the volume!")
        case "Delete" if not provisioner or provisioner.startswith("kubernetes.io/"):
            name = volume.metadata.name
            why = f'error getting deleter volume plugin for volume "{name}": no deletable volume plugin matched'
            return _failed(volume, "VolumeFailedDelete", why)
    return NOTHING  # kept, or its provisioner's to delete


def _failed(volume: PersistentVolume, reason: str, message: str) -> Step:
    if volume.status.phase == "Failed":
        return NOTHING
    status = replace(volume.status, phase="Failed", message=message)
    said = (Said(volume, "Warning", reason, message),)
    return Step(volume_status=replace(volume, status=status), said=said)


def _phase(volume: PersistentVolume, phase: str) -> Step:
    if volume.status.phase == phase:
        return NOTHING
    return Step(volume_status=replace(volume, status=replace(volume.status, phase=phase, message="")))


def _annotated(meta: ObjectMeta, told: dict[str, str]) -> ObjectMeta:
    return replace(meta, annotations={**meta.annotations, **told})


def _without(meta: ObjectMeta, key: str) -> ObjectMeta:
    return replace(meta, annotations={name: text for name, text in meta.annotations.items() if name != key})
