"""Claims stay while Pods use them, volumes while they are bound, whoever asked for their deletion.

    deletion asked for ── no Pod with a Node uses the claim, no claim the volume ──▶ the finalizer goes, and so do they

Level: Pods, claims and volumes as they are seen; that no Pod uses a claim the API server is asked itself, for a Pod
that was just made may not be seen yet. One that has lost its finalizer gets it back.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

from msgspec.structs import replace

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS
from podling.client.cache import key_of, split_key
from podling.controllers.persistent_volumes import pods_by_claim, users_of
from podling.placement.volumes import claims_of, is_made_for

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
    from podling.api.types.meta_v1 import ObjectMeta
    from podling.client.client import Client
    from podling.client.informer import Informer
    from podling.controllers.context import Context

_Kind = TypeVar("_Kind")

OF_CLAIMS: Final = "kubernetes.io/pvc-protection"
OF_VOLUMES: Final = "kubernetes.io/pv-protection"


def uses(pod: Pod, claim: PersistentVolumeClaim) -> bool:
    """Whether a Pod keeps a claim: one without a Node does not, for no kubelet starts it once deletion has begun."""
    if not pod.spec.node_name or pod.metadata.namespace != claim.metadata.namespace:
        return False
    for volume, name in claims_of(pod):
        if name != claim.metadata.name:
            continue
        if volume.ephemeral is None:
            return True
        if not _is_shut_down(pod) and is_made_for(claim, pod):
            return True
    return False


def _is_shut_down(pod: Pod) -> bool:
    return pod.metadata.deletion_timestamp is not None and pod.metadata.deletion_grace_period_seconds == 0


def protected(meta: ObjectMeta, finalizer: str, *, in_use: bool) -> ObjectMeta | None:
    """Return metadata as it must be; `None` where it is so."""
    held = finalizer in meta.finalizers
    if meta.deletion_timestamp is None:
        return None if held else replace(meta, finalizers=(*meta.finalizers, finalizer))
    if not held or in_use:
        return None
    return replace(meta, finalizers=tuple(it for it in meta.finalizers if it != finalizer))


class ClaimProtection:
    """Keys are claims."""

    account = "pvc-protection-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._claims: Informer[PersistentVolumeClaim] = context.informers.of(PERSISTENT_VOLUME_CLAIMS)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        pods_by_claim(self._pods)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._claims.on_change(self._on_claim)
        self._pods.on_change(self._on_pod)
        self._supervisor.workers("pvc-protection", self._queue, self._sync)

    def _on_claim(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None:
            self._queue.add(key_of(new))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        """Look at a Pod's claims when it has gone, or is about to."""
        if old is None or not (b'"persistentVolumeClaim"' in old.raw or b'"ephemeral"' in old.raw):
            return
        if new is None or b'"deletionTimestamp"' in new.raw or new.uid != old.uid:
            for _, name in claims_of(self._pods.view(old)):
                self._queue.add(f"{old.namespace}/{name}")

    async def _sync(self, key: str) -> None:
        await self._pods.wait_synced()
        namespace, name = split_key(key)
        claim = self._claims.get(name, namespace)
        if claim is None:
            return
        deleting = claim.metadata.deletion_timestamp is not None and OF_CLAIMS in claim.metadata.finalizers
        in_use = deleting and await self._in_use(claim)
        meta = protected(claim.metadata, OF_CLAIMS, in_use=in_use)
        if meta is not None:
            await _write(self._client, PERSISTENT_VOLUME_CLAIMS, replace(claim, metadata=meta))

    async def _in_use(self, claim: PersistentVolumeClaim) -> bool:
        if any(uses(pod, claim) for pod in users_of(self._pods, claim)):
            return True
        return any(uses(pod, claim) for pod in await self._client.list(PODS, claim.metadata.namespace))


class VolumeProtection:
    """Keys are volumes."""

    account = "pv-protection-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._volumes: Informer[PersistentVolume] = context.informers.of(PERSISTENT_VOLUMES)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._volumes.on_change(self._on_volume)
        self._supervisor.workers("pv-protection", self._queue, self._sync)

    def _on_volume(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None:
            self._queue.add(new.name)

    async def _sync(self, name: str) -> None:
        volume = self._volumes.get(name)
        if volume is None:
            return
        meta = protected(volume.metadata, OF_VOLUMES, in_use=volume.status.phase == "Bound")
        if meta is not None:
            await _write(self._client, PERSISTENT_VOLUMES, replace(volume, metadata=meta))


async def _write(client: Client, resource: Resource[_Kind], obj: _Kind) -> None:
    """Write what may have gone by itself meanwhile."""
    try:
        await client.update(resource, obj)
    except StatusError as refusal:
        if not refusal.is_not_found:
            raise
