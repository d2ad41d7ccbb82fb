"""What a Pod's claims mean for where it can go, and what has to be bound once a Node is chosen. Pure.

    bound            its volume must be reachable from the Node
    unbound, late    (WaitForFirstConsumer) a free volume is found for the Node, or one can be made there
    unbound, at once the binder has yet to do its work: no Node will do

Owns the sentences about claims that are not there or not ready.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.placement.volumes import (
    NO_PROVISIONER,
    SELECTED_NODE,
    allows_topology,
    best_match,
    claims_of,
    class_of_claim,
    fits_node,
    is_bound,
    is_made_for,
    not_made_for,
    requested,
)

if TYPE_CHECKING:
    from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
    from podling.placement.nodes import NodeInfo
    from podling.placement.volumes import Storage

UNBOUND_IMMEDIATE: Final = "pod has unbound immediate PersistentVolumeClaims"
NODE_CONFLICT: Final = "node(s) had volume node affinity conflict"
BIND_CONFLICT: Final = "node(s) didn't find available persistent volumes to bind"
NO_VOLUME: Final = "node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)"


class NotReady(Exception):
    """A Pod's claims let it go nowhere, whatever the Node; the message is upstream's."""


class Claims(Struct, frozen=True):
    """A Pod's claims, sorted by what is to be done about them."""

    bound: tuple[PersistentVolumeClaim, ...] = ()
    late: tuple[PersistentVolumeClaim, ...] = ()


class VolumePlan(Struct, frozen=True):
    """What is to be bound for a Pod on one Node."""

    found: tuple[tuple[PersistentVolumeClaim, PersistentVolume], ...] = ()
    made: tuple[PersistentVolumeClaim, ...] = ()
    """Claims for which volumes are to be provisioned at the Node."""

    @property
    def claims(self) -> tuple[PersistentVolumeClaim, ...]:
        return (*(claim for claim, _ in self.found), *self.made)


def look_up(pod: Pod, storage: Storage) -> Claims:
    """Return a Pod's claims; `NotReady` says why no Node will do."""
    bound: list[PersistentVolumeClaim] = []
    late: list[PersistentVolumeClaim] = []
    at_once = False
    for volume, name in claims_of(pod):
        claim = storage.claim(pod.metadata.namespace, name)
        _check(pod, claim, name, is_ephemeral=volume.ephemeral is not None)
        assert claim is not None
        if is_bound(claim):
            bound.append(claim)
            continue
        storage_class = storage.storage_class(class_of_claim(claim))
        waits = storage_class is not None and storage_class.volume_binding_mode == "WaitForFirstConsumer"
        if waits and not claim.spec.volume_name:
            late.append(claim)
        else:
            at_once = True
    if at_once:
        raise NotReady(UNBOUND_IMMEDIATE)
    late.sort(key=requested)  # upstream's order: small claims first, so that large volumes are left for large ones
    return Claims(tuple(bound), tuple(late))


def _check(pod: Pod, claim: PersistentVolumeClaim | None, name: str, *, is_ephemeral: bool) -> None:
    if claim is None:
        if is_ephemeral:
            raise NotReady(f'waiting for ephemeral volume controller to create the persistentvolumeclaim "{name}"')
        raise NotReady(f'persistentvolumeclaim "{name}" not found')
    if claim.status.phase == "Lost":
        lost = f'bound to non-existent persistentvolume "{claim.spec.volume_name}"'
        raise NotReady(f'persistentvolumeclaim "{name}" {lost}')
    if claim.metadata.deletion_timestamp is not None:
        raise NotReady(f'persistentvolumeclaim "{name}" is being deleted')
    if is_ephemeral and not is_made_for(claim, pod):
        raise NotReady(not_made_for(claim, pod))


def why_not_bound_here(claims: Claims, node: NodeInfo, storage: Storage) -> str:
    """Say why the volumes that a Pod has already cannot be reached from a Node; empty where they can."""
    for claim in claims.bound:
        volume = storage.volume(claim.spec.volume_name)
        if volume is None:
            return NO_VOLUME
        if not fits_node(volume, node):
            return NODE_CONFLICT
    return ""


def plan_on(claims: Claims, node: NodeInfo, storage: Storage) -> VolumePlan | None:
    """Return what is to be bound if the Pod goes to a Node; `None` where nothing suits its claims there."""
    found: list[tuple[PersistentVolumeClaim, PersistentVolume]] = []
    made: list[PersistentVolumeClaim] = []
    taken: dict[str, None] = {}
    for claim in claims.late:
        selected = claim.metadata.annotations.get(SELECTED_NODE)
        if selected is not None:
            if selected != node.name:
                return None
            made.append(claim)
            continue
        volume = best_match(claim, storage.volumes_for(claim), node=node, taken=taken)
        if volume is not None:
            found.append((claim, volume))
            taken[volume.metadata.name] = None
        elif _can_be_made(claim, node, storage):
            made.append(claim)
        else:
            return None
    return VolumePlan(tuple(found), tuple(made))


def _can_be_made(claim: PersistentVolumeClaim, node: NodeInfo, storage: Storage) -> bool:
    storage_class = storage.storage_class(class_of_claim(claim))
    if storage_class is None or storage_class.provisioner in {"", NO_PROVISIONER}:
        return False
    return allows_topology(storage_class, node)
