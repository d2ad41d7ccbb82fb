"""Who owns the claims of a StatefulSet's Pods, so that they go when its policy says. Pure.

    whenDeleted  whenScaled   the Pod is wanted   the Pod is beyond the set's size
    Retain       Retain       nobody              nobody
    Retain       Delete       nobody              the Pod
    Delete       Retain       the set             the set
    Delete       Delete       the set             the Pod

A claim that somebody else controls is left alone. What an owner's end means is the garbage collector's to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.resources import PODS, STATEFUL_SETS
from podling.controllers.pods_of_templates import controller_reference
from podling.controllers.stateful_pods import wanted

if TYPE_CHECKING:
    from podling.api.types.apps_v1 import StatefulSet
    from podling.api.types.core_v1 import PersistentVolumeClaim, Pod
    from podling.api.types.meta_v1 import OwnerReference


def deletes_scaled(found: StatefulSet) -> bool:
    policy = found.spec.persistent_volume_claim_retention_policy
    return policy is not None and policy.when_scaled == "Delete"


def owned(found: StatefulSet, number: int, pod: Pod | None, claim: PersistentVolumeClaim) -> PersistentVolumeClaim:
    """Return a claim with the owner that it should have; `pod` is the Pod of its number, where there is one."""
    policy = found.spec.persistent_volume_claim_retention_policy
    owners: tuple[OwnerReference, ...] = ()
    if number not in wanted(found) and deletes_scaled(found):
        if pod is None:
            return claim
        owners = (controller_reference(PODS, pod),)
    elif policy is not None and policy.when_deleted == "Delete":
        owners = (controller_reference(STATEFUL_SETS, found),)
    mine = {found.metadata.uid, *((pod.metadata.uid,) if pod is not None else ())}
    held = claim.metadata.owner_references
    others = tuple(reference for reference in held if reference.uid not in mine)
    if any(reference.controller for reference in others):
        return claim
    if {reference.uid for reference in held} - {reference.uid for reference in others} == {it.uid for it in owners}:
        return claim
    metadata = msgspec.structs.replace(claim.metadata, owner_references=(*others, *owners))
    return msgspec.structs.replace(claim, metadata=metadata)


def is_stale(found: StatefulSet, pod: str, claim: PersistentVolumeClaim) -> bool:
    """Whether a claim is about to go with an earlier Pod of a name: no new one may have it."""
    if claim.metadata.deletion_timestamp is not None:
        return True
    return deletes_scaled(found) and any(
        reference.kind == PODS.kind and reference.name == pod for reference in claim.metadata.owner_references
    )
