"""The scheduler's view of volumes, a step ahead of the API server, and the binding of what a chosen Node asks for.

Owns reservations: a volume promised to a claim, a Node selected for a claim. They stand from the decision until the
watch shows them written, or the attempt has failed, so that the next decision counts them in. Binding is two sorts of
writes (a found volume names its claim; a claim that needs a new one names its Node) and a wait: binder and provisioner
do the rest. Knows no Pod's place and no queue.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from podling.api.errors import StatusError
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, STORAGE_CLASSES
from podling.client.cache import key_of
from podling.placement.nodes import NodeInfo
from podling.placement.volumes import SELECTED_NODE, audience, audiences, fits_node, given_to, is_bound

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Node, PersistentVolume, PersistentVolumeClaim
    from podling.api.types.storage_v1 import StorageClass
    from podling.client.client import Client
    from podling.client.informer import Informer, Informers
    from podling.placement.claims import VolumePlan

TIMEOUT: Final = 600.0
"""Seconds within which volumes must be bound: upstream's `bindTimeoutSeconds`."""
_FOR: Final = "volumes by whom they are for"


class NotBound(Exception):
    """The volumes of a Pod were not bound."""


class Volumes:
    """A `Storage` over the informers, with what was promised meanwhile."""

    def __init__(self, client: Client, informers: Informers, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self.claims: Informer[PersistentVolumeClaim] = informers.of(PERSISTENT_VOLUME_CLAIMS)
        self.volumes: Informer[PersistentVolume] = informers.of(PERSISTENT_VOLUMES)
        self.classes: Informer[StorageClass] = informers.of(STORAGE_CLASSES)
        self.volumes.add_index(_FOR, lambda obj: (audience(self.volumes.view(obj)),))
        self._promised: dict[str, PersistentVolumeClaim] = {}
        """By volume, the claim that it is promised to."""
        self._selected: dict[str, str] = {}
        """By claim uid, the Node that was selected for it."""
        self._waiters: dict[str, asyncio.Future[None]] = {}
        """By Pod uid, who waits for volumes to be bound."""
        self._waiting_for: dict[str, dict[str, None]] = {}
        """By claim, the uids of the Pods that wait for it."""
        self._abandoned: dict[str, None] = {}

    async def wait_synced(self) -> None:
        for informer in (self.claims, self.volumes, self.classes):
            await informer.wait_synced()

    # The moment, as the rules see it.

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        claim = self.claims.get(name, namespace)
        node = self._selected.get(claim.metadata.uid) if claim is not None else None
        return _with_node(claim, node) if claim is not None and node is not None else claim

    def volume(self, name: str) -> PersistentVolume | None:
        volume = self.volumes.get(name)
        return self._as_promised(volume) if volume is not None else None

    def storage_class(self, name: str) -> StorageClass | None:
        return self.classes.get(name)

    def volumes_for(self, claim: PersistentVolumeClaim) -> Iterator[PersistentVolume]:
        for key in audiences(claim):
            for obj in self.volumes.indexed(_FOR, key):
                yield self._as_promised(self.volumes.view(obj))

    def _as_promised(self, volume: PersistentVolume) -> PersistentVolume:
        claim = self._promised.get(volume.metadata.name)
        if claim is None or volume.spec.claim_ref is not None:
            return volume
        return given_to(volume, claim)

    # Promises.

    def reserve(self, plan: VolumePlan, node: str) -> None:
        """Count in what is about to be written."""
        for claim, volume in plan.found:
            self._promised[volume.metadata.name] = claim
        for claim in plan.made:
            self._selected[claim.metadata.uid] = node

    def give_up(self, plan: VolumePlan) -> None:
        """Take back what was promised; what has been written stays, and counts by itself."""
        for claim, volume in plan.found:
            held = self._promised.get(volume.metadata.name)
            if held is not None and held.metadata.uid == claim.metadata.uid:
                del self._promised[volume.metadata.name]
        for claim in plan.made:
            self._selected.pop(claim.metadata.uid, None)

    def on_volume(self, old: Encoded | None, new: Encoded | None) -> None:
        """Drop a promise that the watch has shown, or whose volume is gone; wake who waits."""
        seen = new or old
        if seen is not None and (new is None or self.volumes.view(new).spec.claim_ref is not None):
            self._promised.pop(seen.name, None)
        held = self.volumes.view(seen).spec.claim_ref if seen is not None else None
        if held is not None:
            self._wake(f"{held.namespace}/{held.name}")

    def on_claim(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None and (new is None or SELECTED_NODE in self.claims.view(new).metadata.annotations):
            self._selected.pop(seen.uid, None)
        if seen is not None:
            self._wake(key_of(seen))

    def abandon(self, uid: str) -> None:
        """Let nobody wait any longer for a Pod that is gone."""
        waiter = self._waiters.get(uid)
        if waiter is not None:
            self._abandoned[uid] = None
            _wake(waiter)

    def _wake(self, claim: str) -> None:
        for uid in self._waiting_for.get(claim, ()):
            waiter = self._waiters.get(uid)
            if waiter is not None:
                _wake(waiter)

    # Binding.

    async def bind(self, uid: str, plan: VolumePlan, node: Node) -> None:
        """Write what the plan says and return when all of it is bound; `NotBound` says why it is not."""
        try:
            for claim, volume in plan.found:
                held = self.volumes.get(volume.metadata.name) or volume
                if held.spec.claim_ref is None or not held.spec.claim_ref.uid:
                    await self._client.update(PERSISTENT_VOLUMES, given_to(held, claim))
            for claim in plan.made:
                await self._select(claim, node.metadata.name)
        except StatusError as refusal:
            raise NotBound(str(refusal)) from refusal
        deadline = self._clock.monotonic() + TIMEOUT
        keys = [f"{claim.metadata.namespace}/{claim.metadata.name}" for claim in plan.claims]
        for key in keys:
            self._waiting_for.setdefault(key, {})[uid] = None
        try:
            while not self._is_done(plan, node):
                await self._change(uid, deadline)
        finally:
            self._waiters.pop(uid, None)
            self._abandoned.pop(uid, None)
            for key in keys:
                waiting = self._waiting_for.get(key, {})
                waiting.pop(uid, None)
                if not waiting:
                    self._waiting_for.pop(key, None)

    async def _select(self, promised: PersistentVolumeClaim, node: str) -> None:
        meta = promised.metadata
        claim = self.claims.get(meta.name, meta.namespace)
        if claim is None or SELECTED_NODE in claim.metadata.annotations:
            return  # gone, or chosen already: seen while waiting
        told = {"metadata": {"uid": meta.uid, "annotations": {SELECTED_NODE: node}}}
        await self._client.patch(PERSISTENT_VOLUME_CLAIMS, meta.name, told, namespace=meta.namespace)

    def _is_done(self, plan: VolumePlan, node: Node) -> bool:
        done = True
        for promised in plan.claims:
            meta = promised.metadata
            claim = self.claims.get(meta.name, meta.namespace)
            if claim is None or claim.metadata.uid != meta.uid:
                raise NotBound(f'persistentvolumeclaim "{meta.name}" not found')
            if is_bound(claim):
                volume = self.volumes.get(claim.spec.volume_name)
                if volume is None:
                    done = False
                elif not fits_node(volume, NodeInfo(node)):
                    raise NotBound(
                        f'pv "{volume.metadata.name}" node affinity doesn\'t match node "{node.metadata.name}"'
                    )
                continue
            done = False
            if promised in plan.made and meta.uid not in self._selected:
                selected = claim.metadata.annotations.get(SELECTED_NODE)
                if selected != node.metadata.name:
                    raise NotBound(f'provisioning failed for PVC "{meta.name}"')
        return done

    async def _change(self, uid: str, deadline: float) -> None:
        if uid in self._abandoned:
            raise NotBound("the pod is gone")
        left = deadline - self._clock.monotonic()
        if left <= 0:
            raise NotBound("context deadline exceeded")
        waiter = self._waiters[uid] = asyncio.get_running_loop().create_future()
        timer = self._clock.call_later(left, lambda: _wake(waiter))
        try:
            await waiter
        finally:
            timer.cancel()


def _wake(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _with_node(claim: PersistentVolumeClaim, node: str) -> PersistentVolumeClaim:
    annotations = {**claim.metadata.annotations, SELECTED_NODE: node}
    return replace(claim, metadata=replace(claim.metadata, annotations=annotations))
