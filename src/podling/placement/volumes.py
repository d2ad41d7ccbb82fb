"""Which volume suits a claim, and which Node a volume: the rules that binder and scheduler share. Pure.

Owns the meaning of binding: annotations, class, access modes, size, selector, node affinity. A claim is bound when it
names its volume and its binding was completed; a volume is bound to a claim when it names it, and its uid where it has
one. Must not know who writes any of this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

from msgspec.structs import replace

from podling.api.quantity import Quantity, parse
from podling.api.selectors import from_label_selector
from podling.api.types.core_v1 import ObjectReference
from podling.placement.requirements import matches_terms

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod, Volume
    from podling.api.types.storage_v1 import StorageClass
    from podling.placement.nodes import NodeInfo

BIND_COMPLETED: Final = "pv.kubernetes.io/bind-completed"
BOUND_BY_CONTROLLER: Final = "pv.kubernetes.io/bound-by-controller"
PROVISIONED_BY: Final = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE: Final = "volume.kubernetes.io/selected-node"
NO_PROVISIONER: Final = "kubernetes.io/no-provisioner"
_BETA_CLASS: Final = "volume.beta.kubernetes.io/storage-class"
_NOTHING: Final = Quantity(0)


class Storage(Protocol):
    """Claims, volumes and classes as they are at one moment."""

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None: ...

    def volume(self, name: str) -> PersistentVolume | None: ...

    def storage_class(self, name: str) -> StorageClass | None: ...

    def volumes_for(self, claim: PersistentVolumeClaim) -> Iterable[PersistentVolume]:
        """Return at least the volumes that are meant for a claim, and those of its class that are meant for nobody."""
        ...


def audience(volume: PersistentVolume) -> str:
    """Return for whom a volume is, as an index has it: `claim NAMESPACE/NAME`, or `class NAME` for all of a class."""
    held = volume.spec.claim_ref
    return f"claim {held.namespace}/{held.name}" if held is not None else f"class {class_of_volume(volume)}"


def audiences(claim: PersistentVolumeClaim) -> tuple[str, str]:
    """Return under which audiences a claim finds its volumes."""
    return f"claim {claim.metadata.namespace}/{claim.metadata.name}", f"class {class_of_claim(claim)}"


def claim_name(pod: Pod, volume: Volume) -> str:
    """Return the name of the claim that a Pod's volume stands for; empty where it is of another kind."""
    if volume.persistent_volume_claim is not None:
        return volume.persistent_volume_claim.claim_name
    return f"{pod.metadata.name}-{volume.name}" if volume.ephemeral is not None else ""


def claims_of(pod: Pod) -> Iterator[tuple[Volume, str]]:
    """Yield each of a Pod's volumes that is a claim, with the claim's name."""
    for volume in pod.spec.volumes:
        name = claim_name(pod, volume)
        if name:
            yield volume, name


def is_made_for(claim: PersistentVolumeClaim, pod: Pod) -> bool:
    """Whether a claim was made for a generic ephemeral volume of this very Pod."""
    return any(owner.controller and owner.uid == pod.metadata.uid for owner in claim.metadata.owner_references)


def not_made_for(claim: PersistentVolumeClaim, pod: Pod) -> str:
    """Return upstream's sentence about a claim that stands in the way of an ephemeral volume's."""
    claimed = f"{claim.metadata.namespace}/{claim.metadata.name}"
    return f"PVC {claimed} was not created for pod {pod.metadata.namespace}/{pod.metadata.name} (pod is not owner)"


def class_of_claim(claim: PersistentVolumeClaim) -> str:
    return claim.metadata.annotations.get(_BETA_CLASS) or claim.spec.storage_class_name or ""


def class_of_volume(volume: PersistentVolume) -> str:
    return volume.metadata.annotations.get(_BETA_CLASS) or volume.spec.storage_class_name


def is_bound(claim: PersistentVolumeClaim) -> bool:
    """Whether a claim has its volume for good."""
    return bool(claim.spec.volume_name) and BIND_COMPLETED in claim.metadata.annotations


def is_bound_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    """Whether a volume is, or is meant to be, this claim's."""
    held = volume.spec.claim_ref
    if held is None or (held.namespace, held.name) != (claim.metadata.namespace, claim.metadata.name):
        return False
    return not held.uid or held.uid == claim.metadata.uid


def reference_to(claim: PersistentVolumeClaim) -> ObjectReference:
    """Return how a volume refers to its claim."""
    meta = claim.metadata
    return ObjectReference(
        kind="PersistentVolumeClaim",
        api_version="v1",
        namespace=meta.namespace,
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
    )


def given_to(volume: PersistentVolume, claim: PersistentVolumeClaim) -> PersistentVolume:
    """Return a volume that names a claim; that it was not its owner who had meant it so is noted."""
    metadata = volume.metadata
    if volume.spec.claim_ref is None:
        metadata = replace(metadata, annotations={**metadata.annotations, BOUND_BY_CONTROLLER: "yes"})
    return replace(volume, metadata=metadata, spec=replace(volume.spec, claim_ref=reference_to(claim)))


def waits_for_consumer(claim: PersistentVolumeClaim, storage_class: StorageClass | None) -> bool:
    """Whether a claim is bound only once a Pod that uses it has been given a Node, and none has been yet."""
    delayed = storage_class is not None and storage_class.volume_binding_mode == "WaitForFirstConsumer"
    return delayed and SELECTED_NODE not in claim.metadata.annotations


def requested(claim: PersistentVolumeClaim) -> Quantity:
    """Return how much a claim asks for."""
    resources = claim.spec.resources
    return _quantity(resources.requests.get("storage")) if resources is not None else _NOTHING


def capacity(volume: PersistentVolume) -> Quantity:
    return _quantity(volume.spec.capacity.get("storage"))


def _quantity(text: str | None) -> Quantity:
    try:
        return parse(text) if text else _NOTHING
    except ValueError:
        return _NOTHING


def has_modes(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return all(mode in volume.spec.access_modes for mode in claim.spec.access_modes)


def same_volume_mode(volume: PersistentVolume, claim: PersistentVolumeClaim) -> bool:
    return (volume.spec.volume_mode or "Filesystem") == (claim.spec.volume_mode or "Filesystem")


def fits_node(volume: PersistentVolume, node: NodeInfo) -> bool:
    """Whether a volume can be reached from a Node."""
    affinity = volume.spec.node_affinity
    if affinity is None or affinity.required is None:
        return True
    return matches_terms(affinity.required.node_selector_terms, node)


def allows_topology(storage_class: StorageClass, node: NodeInfo) -> bool:
    """Whether volumes of a class may be made for a Node."""
    terms = storage_class.allowed_topologies
    return not terms or any(
        all(node.labels.get(it.key) in it.values for it in term.match_label_expressions) for term in terms
    )


def why_unsatisfied(volume: PersistentVolume, claim: PersistentVolumeClaim) -> str:
    """Say why a volume that a claim names is not good enough for it; empty where it is."""
    if volume.metadata.deletion_timestamp is not None:
        return f'the volume is marked for deletion "{volume.metadata.name}"'
    if capacity(volume) < requested(claim):
        return "requested PV is too small"
    if class_of_volume(volume) != class_of_claim(claim):
        return "storageClassName does not match"
    if not same_volume_mode(volume, claim):
        return "incompatible volumeMode"
    return "" if has_modes(volume, claim) else "incompatible accessMode"


def best_match(
    claim: PersistentVolumeClaim,
    volumes: Iterable[PersistentVolume],
    *,
    node: NodeInfo | None = None,
    taken: Container[str] = (),
    delayed: bool = False,
) -> PersistentVolume | None:
    """Return the volume that suits a claim best: one meant for it, else the smallest that is free.

    With a `node`, one that can be reached from there. Without, the fewest access modes count before the size; and for a
    claim whose binding is `delayed` only one that is meant for it, for the choice among others is the scheduler's.
    """
    asked = requested(claim)
    wanted = from_label_selector(claim.spec.selector) if claim.spec.selector is not None else None
    storage_class = class_of_claim(claim)
    free: list[PersistentVolume] = []
    for volume in volumes:
        if volume.metadata.name in taken or volume.metadata.deletion_timestamp is not None:
            continue
        if capacity(volume) < asked or not same_volume_mode(volume, claim):
            continue
        if volume.spec.claim_ref is not None:
            if is_bound_to(volume, claim):
                return volume if node is None or fits_node(volume, node) else None
            continue
        if delayed or volume.status.phase != "Available" or class_of_volume(volume) != storage_class:
            continue
        if wanted is not None and not wanted.matches(volume.metadata.labels):
            continue
        if has_modes(volume, claim) and (node is None or fits_node(volume, node)):
            free.append(volume)
    if node is None:
        return min(free, key=lambda v: (len(v.spec.access_modes), capacity(v), v.metadata.name), default=None)
    return min(free, key=lambda v: (capacity(v), v.metadata.name), default=None)
