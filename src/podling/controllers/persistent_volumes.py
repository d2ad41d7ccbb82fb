"""The volume binder: the shell around `volume_binding`.

Level: claims, volumes and classes as they are seen. A change of one side asks about the other; a volume that becomes
free, or a class that comes, asks about the claims that wait for such. Before a volume is let go because its claim is
gone, or has another, the API server itself is asked: what this process has seen of claims may be older than what it has
seen of volumes.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from podling.client.cache import key_of, split_key
from podling.controllers.volume_binding import plan_claim, plan_volume
from podling.placement.volumes import audience, audiences, claims_of, class_of_claim, class_of_volume, is_bound

if TYPE_CHECKING:
    from collections.abc import Awaitable, Iterable

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim, Pod
    from podling.api.types.storage_v1 import StorageClass
    from podling.client.informer import Informer
    from podling.controllers.context import Context
    from podling.controllers.volume_binding import Step

_CLAIM, _VOLUME = "claim", "volume"
_WANTS: Final = "claims by what they want"
_FOR: Final = "volumes by whom they are for"
_BY_CLAIM: Final = "pods by claim"
_IS_DEFAULT: Final = "storageclass.kubernetes.io/is-default-class"

Key = tuple[str, str]


def pods_by_claim(pods: Informer[Pod]) -> None:
    """Group Pods by the claims that they use."""

    def claims(obj: Encoded) -> Iterable[str]:
        if b'"persistentVolumeClaim"' not in obj.raw and b'"ephemeral"' not in obj.raw:
            return ()
        return [f"{obj.namespace}/{name}" for _, name in claims_of(pods.view(obj))]

    pods.add_index(_BY_CLAIM, claims)


def users_of(pods: Informer[Pod], claim: PersistentVolumeClaim) -> list[Pod]:
    """Return the Pods that use a claim; `pods_by_claim` was called before."""
    key = f"{claim.metadata.namespace}/{claim.metadata.name}"
    return [pods.view(obj) for obj in pods.indexed(_BY_CLAIM, key)]


def _is_settled(volume: PersistentVolume, claim: PersistentVolumeClaim | None) -> bool:
    """Whether a claim, as seen, is the one that a volume names, and names it in turn."""
    held = volume.spec.claim_ref
    if claim is None or held is None or claim.metadata.uid != held.uid:
        return False
    return claim.spec.volume_name == volume.metadata.name


class PersistentVolumes:
    """Keys are claims and volumes."""

    account = "persistent-volume-binder"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._claims: Informer[PersistentVolumeClaim] = context.informers.of(PERSISTENT_VOLUME_CLAIMS)
        self._volumes: Informer[PersistentVolume] = context.informers.of(PERSISTENT_VOLUMES)
        self._classes: Informer[StorageClass] = context.informers.of(STORAGE_CLASSES)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._claims.add_index(_WANTS, self._wants)
        self._volumes.add_index(_FOR, lambda obj: (audience(self._volumes.view(obj)),))
        pods_by_claim(self._pods)
        self._recorder = context.recorder("persistentvolume-controller")
        self._queue: WorkQueue[Key] = WorkQueue(context.clock)
        self._said: dict[str, str] = {}
        """What was last said of each object, by uid: a state is told once, not at every look."""

    def start(self) -> None:
        self._claims.on_change(self._on_claim)
        self._volumes.on_change(self._on_volume)
        self._classes.on_change(self._on_class)
        self._supervisor.workers("persistent-volume-binder", self._queue, self._sync)

    # A moment of all storage, for the plans.

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return self._claims.get(name, namespace)

    def volume(self, name: str) -> PersistentVolume | None:
        return self._volumes.get(name)

    def storage_class(self, name: str) -> StorageClass | None:
        return self._classes.get(name)

    def volumes_for(self, claim: PersistentVolumeClaim) -> list[PersistentVolume]:
        return [self._volumes.view(obj) for key in audiences(claim) for obj in self._volumes.indexed(_FOR, key)]

    def _wants(self, obj: Encoded) -> Iterable[str]:
        """Return a claim's volume, and its class while it has none for good."""
        claim = self._claims.view(obj)
        wants = [f"volume {claim.spec.volume_name}"] if claim.spec.volume_name else []
        return wants if is_bound(claim) else [*wants, f"class {class_of_claim(claim)}"]

    # Whom a change concerns.

    def _on_claim(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._queue.add((_CLAIM, key_of(new)))
        for seen in (old, new):
            volume = self._claims.view(seen).spec.volume_name if seen is not None else ""
            if volume:
                self._queue.add((_VOLUME, volume))
        if new is None and old is not None:
            self._said.pop(old.uid, None)

    def _on_volume(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is None:
            return
        if new is not None:
            self._queue.add((_VOLUME, new.name))
        else:
            self._said.pop(seen.uid, None)
        volume = self._volumes.view(seen)
        held = volume.spec.claim_ref
        if held is not None:
            self._queue.add((_CLAIM, f"{held.namespace}/{held.name}"))
        elif new is not None and volume.status.phase == "Available":
            self._ask_unbound(class_of_volume(volume))
        if new is None or old is None:
            self._ask_named(seen.name)

    def _on_class(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None:
            self._ask_unbound(seen.name)
            self._ask_unbound("")

    def _ask_unbound(self, storage_class: str) -> None:
        for claim in self._claims.indexed(_WANTS, f"class {storage_class}"):
            self._queue.add((_CLAIM, key_of(claim)))

    def _ask_named(self, volume: str) -> None:
        """Look at the claims that ask for a volume which has come, or has gone, by its name."""
        for claim in self._claims.indexed(_WANTS, f"volume {volume}"):
            self._queue.add((_CLAIM, key_of(claim)))

    # One look.

    async def _sync(self, key: Key) -> None:
        for informer in (self._claims, self._volumes, self._classes, self._pods):
            await informer.wait_synced()
        if key[0] == _CLAIM:
            namespace, name = split_key(key[1])
            claim = self._claims.get(name, namespace)
            if claim is not None:
                step = plan_claim(claim, self, self._default_class(), self._consumers(claim))
                # No volume is told to be Bound for a claim that only this process still sees.
                if step.volume_status is None or await self._newest(claim.metadata.name, namespace) is not None:
                    await self._perform(step)
            return
        volume = self._volumes.get(key[1])
        if volume is not None:
            await self._perform(await self._plan_volume(volume))

    async def _plan_volume(self, volume: PersistentVolume) -> Step:
        held = volume.spec.claim_ref
        claim = self._claims.get(held.name, held.namespace) if held is not None else None
        if held is not None and held.uid and not _is_settled(volume, claim):
            claim = await self._newest(held.name, held.namespace)
        step = plan_volume(volume, claim)
        if step.look_at_claim and held is not None:
            self._queue.add((_CLAIM, f"{held.namespace}/{held.name}"))
        return step

    async def _newest(self, name: str, namespace: str) -> PersistentVolumeClaim | None:
        """Return a claim as the API server has it."""
        try:
            return await self._client.get(PERSISTENT_VOLUME_CLAIMS, name, namespace)
        except StatusError as refusal:
            if refusal.is_not_found:
                return None
            raise

    def _consumers(self, claim: PersistentVolumeClaim) -> list[str]:
        return [pod.metadata.name for pod in users_of(self._pods, claim) if not pod.spec.node_name]

    def _default_class(self) -> str:
        found = [it.metadata for it in self._classes.list() if it.metadata.annotations.get(_IS_DEFAULT) == "true"]
        youngest = max((meta.creation_timestamp or "" for meta in found), default="")
        return min((meta.name for meta in found if (meta.creation_timestamp or "") == youngest), default="")

    async def _perform(self, step: Step) -> None:
        writes: list[Awaitable[object]] = []
        if step.volume is not None:
            volume = self._client.update(PERSISTENT_VOLUMES, step.volume)
            writes.append(volume)
        if step.volume_status is not None:
            volume = self._client.update_status(PERSISTENT_VOLUMES, step.volume_status)
            writes.append(volume)
        if step.claim is not None:
            claim = self._client.update(PERSISTENT_VOLUME_CLAIMS, step.claim)
            writes.append(claim)
        if step.claim_status is not None:
            claim = self._client.update_status(PERSISTENT_VOLUME_CLAIMS, step.claim_status)
            writes.append(claim)
        for outcome in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(outcome, StatusError) and outcome.is_not_found:
                return
            if isinstance(outcome, BaseException):
                raise outcome
        for said in step.said:
            uid = said.about.metadata.uid
            if self._said.get(uid) != said.message:
                self._said[uid] = said.message
                self._recorder.event(said.about, said.type, said.reason, said.message)
