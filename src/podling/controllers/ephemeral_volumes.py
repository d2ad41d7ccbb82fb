"""A claim for each generic ephemeral volume of a Pod: made from its template, owned by the Pod, gone with it.

Level: Pods and claims as they are seen. A claim of that name which is not this Pod's is left alone, and the Pod waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.pods import is_active
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from podling.api.types.core_v1 import PersistentVolumeClaim
from podling.api.types.meta_v1 import ObjectMeta, OwnerReference
from podling.client.cache import key_of, split_key
from podling.controllers.refusals import namespace_is_going
from podling.placement.volumes import claim_name

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Pod, Volume
    from podling.client.informer import Informer
    from podling.controllers.context import Context


def claim_for(pod: Pod, volume: Volume) -> PersistentVolumeClaim:
    """Return the claim of a generic ephemeral volume."""
    assert volume.ephemeral is not None
    assert volume.ephemeral.volume_claim_template is not None
    template = volume.ephemeral.volume_claim_template
    owner = OwnerReference(
        api_version="v1",
        kind="Pod",
        name=pod.metadata.name,
        uid=pod.metadata.uid,
        controller=True,
        block_owner_deletion=True,
    )
    metadata = ObjectMeta(
        name=claim_name(pod, volume),
        namespace=pod.metadata.namespace,
        labels=template.metadata.labels,
        annotations=template.metadata.annotations,
        owner_references=(owner,),
    )
    return PersistentVolumeClaim(metadata=metadata, spec=template.spec)


class EphemeralVolumes:
    """Keys are Pods."""

    account = "ephemeral-volume-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._claims: Informer[PersistentVolumeClaim] = context.informers.of(PERSISTENT_VOLUME_CLAIMS)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._pods.on_change(self._on_pod)
        self._claims.on_change(self._on_claim)
        self._supervisor.workers("ephemeral-volume-controller", self._queue, self._sync)

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None and old is None and b'"ephemeral"' in new.raw:
            self._queue.add(key_of(new))

    def _on_claim(self, old: Encoded | None, new: Encoded | None) -> None:
        """Make a claim again that was deleted under its Pod, or for which another has made room."""
        if new is not None or old is None:
            return
        for pod in self._pods.indexed("namespace", old.namespace):
            if b'"ephemeral"' in pod.raw and old.name.startswith(f"{pod.name}-"):
                self._queue.add(key_of(pod))

    async def _sync(self, key: str) -> None:
        await self._claims.wait_synced()
        namespace, name = split_key(key)
        pod = self._pods.get(name, namespace)
        if pod is None or not is_active(pod):
            return
        for volume in pod.spec.volumes:
            if volume.ephemeral is None or self._claims.get(claim_name(pod, volume), namespace) is not None:
                continue
            try:
                await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim_for(pod, volume))
            except StatusError as refusal:
                if not (refusal.is_already_exists or namespace_is_going(refusal)):
                    raise
