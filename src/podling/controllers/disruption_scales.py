"""How many Pods the controllers of a budget's Pods want: what a share of them is reckoned from.

Owns which kinds have a number that counts, and that a ReplicaSet's is its Deployment's where one controls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.resources import DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS, STATEFUL_SETS
from podling.controllers.claims import controller_of
from podling.controllers.disruption_budget import Scale

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import Pod
    from podling.api.types.meta_v1 import OwnerReference
    from podling.client.informer import Informer, Informers


class Scales:
    """Over the informers of the kinds that have a number of Pods."""

    def __init__(self, informers: Informers) -> None:
        self._sets: dict[tuple[str, str], Informer[Any]] = {
            (kind.group, kind.kind): informers.of(kind)
            for kind in (REPLICATION_CONTROLLERS, DEPLOYMENTS, REPLICA_SETS, STATEFUL_SETS)
        }

    async def wait_synced(self) -> None:
        for informer in self._sets.values():
            await informer.wait_synced()

    def of(self, pods: Iterable[Pod]) -> dict[str, Scale]:
        """Return what the controllers of `pods` want, by the uid that a Pod names; what is not known is not there."""
        found: dict[str, Scale] = {}
        for pod in pods:
            reference = controller_of(pod)
            if reference is not None and reference.uid not in found:
                scale = self._scale(reference, pod.metadata.namespace)
                if scale is not None:
                    found[reference.uid] = scale
        return found

    def _scale(self, reference: OwnerReference, namespace: str) -> Scale | None:
        group = reference.api_version.rpartition("/")[0]
        informer = self._sets.get((group, reference.kind))
        owner = informer.get(reference.name, namespace) if informer is not None else None
        if owner is None or owner.metadata.uid != reference.uid:
            return None
        above = controller_of(owner)
        if above is not None and above.kind == "Deployment":
            return self._scale(above, namespace)
        return Scale(owner.metadata.uid, owner.spec.replicas or 0)
