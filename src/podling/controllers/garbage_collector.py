"""Deletes what nobody owns any more, and finishes foreground and orphaning deletions.

Level: the owner references of all stored objects but events, kept as a graph. An owner's end, or a new reference,
brings the dependents forth; before one is deleted, each owner that the watch does not show is asked for directly, as
watches of different resources run at different speeds. Custom kinds come and go with their definitions, and nothing of
a kind outlives it. An owner of a kind that was never served here counts as present.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import EVENTS, STORED
from podling.controllers.custom_resources import CustomResources
from podling.controllers.ownership import (
    FOREGROUND,
    ORPHAN,
    Collect,
    Detach,
    Graph,
    Metadata,
    ObjectKey,
    OwnerReference,
    OwnerState,
    plan,
)

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.client.informer import Informer
    from podling.controllers.context import Context
    from podling.controllers.custom_resources import CustomKind

_COLLECTED: Final = tuple(resource for resource in STORED if resource is not EVENTS)


_UNSUPPORTED: Final = 415


class _Object(msgspec.Struct, frozen=True):
    metadata: Metadata


_DECODER: Final = msgspec.json.Decoder(_Object)


class GarbageCollector:
    """Keys are dependents, and owners that wait for theirs."""

    account = "generic-garbage-collector"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._graph = Graph()
        self._resources: dict[tuple[str, str], Resource[Any]] = {(r.api_version, r.kind): r for r in _COLLECTED}
        self._informers: dict[tuple[str, str], Informer[Any]] = {
            (r.api_version, r.kind): context.informers.of(r) for r in _COLLECTED
        }
        self._custom = CustomResources(context.informers, self._came, self._went)
        self._ended: set[str] = set()
        """The uids of owners that went together with their kind, so that nobody can be asked about them."""
        self._queue: WorkQueue[ObjectKey] = WorkQueue(context.clock)

    def start(self) -> None:
        for (api_version, kind), informer in self._informers.items():
            informer.on_change(partial(self._on_change, api_version, kind))
        self._custom.start()
        self._supervisor.workers("garbage-collector", self._queue, self._sync, count=4)

    def _came(self, custom: CustomKind) -> None:
        kind = custom.resource.kind
        for api_version in custom.versions:
            self._resources[api_version, kind] = custom.resource
            self._informers[api_version, kind] = custom.informer
        custom.informer.on_change(partial(self._on_change, custom.resource.api_version, kind))

    def _went(self, custom: CustomKind) -> None:
        kind = custom.resource.kind
        for api_version in custom.versions:
            self._resources.pop((api_version, kind), None)
            self._informers.pop((api_version, kind), None)
        for left in list(custom.informer):
            if self._graph.dependents(left.uid):
                self._ended.add(left.uid)
            self._on_change(custom.resource.api_version, kind, left, None)

    def _on_change(self, api_version: str, kind: str, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is None:
            return
        key = ObjectKey(api_version, kind, seen.namespace, seen.name)
        if old is not None and (new is None or new.uid != old.uid):
            self._graph.set(key, ())
            for other in (*self._graph.dependents(old.uid), *self._owners_of(old)):
                self._queue.add(other)
        if new is None:
            return
        metadata = _metadata(new)
        if self._graph.set(key, metadata.owner_references):
            if metadata.owner_references:
                self._queue.add(key)
            if old is not None and new.uid == old.uid:
                # It may have held an owner up and does so no more.
                for other in self._owners_of(old):
                    self._queue.add(other)
        if metadata.goes_with(FOREGROUND) or metadata.goes_with(ORPHAN):
            self._queue.add(key)

    def _owners_of(self, dependent: Encoded) -> list[ObjectKey]:
        """Return the owners of an object that may have waited for its end."""
        keys = []
        for reference in _metadata(dependent).owner_references:
            resource = self._resources.get((reference.api_version, reference.kind))
            if resource is not None:
                namespace = dependent.namespace if resource.namespaced else ""
                keys.append(ObjectKey(reference.api_version, reference.kind, namespace, reference.name))
        return keys

    async def _sync(self, key: ObjectKey) -> None:
        while (waiting := next((it for it in self._informers.values() if not it.synced), None)) is not None:
            await waiting.wait_synced()
        informer = self._informers.get((key.api_version, key.kind))
        seen = informer.encoded(key.name, key.namespace) if informer is not None else None
        if seen is None:
            return
        metadata = _metadata(seen)
        resource = self._resources[key.api_version, key.kind]
        try:
            if metadata.goes_with(ORPHAN):
                await self._orphan(resource, seen, metadata)
            elif metadata.goes_with(FOREGROUND):
                await self._finish_foreground(resource, seen, metadata)
            if metadata.owner_references and metadata.deletion_timestamp is None:
                await self._judge(resource, seen, metadata)
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise

    async def _judge(self, resource: Resource[Any], dependent: Encoded, metadata: Metadata) -> None:
        owners = [(r, await self._state(r, dependent.namespace)) for r in metadata.owner_references]
        match plan(owners):
            case Collect():
                waiting = any(state is OwnerState.WAITING for _, state in owners)
                others = self._graph.dependents(dependent.uid)
                if waiting and any(self._waits(other) for other in others):
                    await self._unblock(resource, dependent, metadata)
                await self._client.delete(
                    resource,
                    dependent.name,
                    dependent.namespace,
                    uid=dependent.uid,
                    propagation="Foreground" if waiting and others else "Background",
                )
            case Detach(uids):
                await self._detach(resource, dependent, metadata, uids)
            case None:
                pass

    async def _state(self, reference: OwnerReference, namespace: str) -> OwnerState:
        resource = self._resources.get((reference.api_version, reference.kind))
        if resource is None or (resource.namespaced and not namespace):
            # A kind not known here, or an owner in a namespace for a dependent in none: upstream leaves those alone.
            return OwnerState.ABSENT if reference.uid in self._ended else OwnerState.PRESENT
        namespace = namespace if resource.namespaced else ""
        seen = self._informers[reference.api_version, reference.kind].encoded(reference.name, namespace)
        if seen is None or seen.uid != reference.uid:
            try:
                owner = await self._client.get(resource, reference.name, namespace)
            except StatusError as refusal:
                if refusal.is_not_found:
                    return OwnerState.ABSENT
                raise
            return OwnerState.PRESENT if owner.metadata.uid == reference.uid else OwnerState.ABSENT
        return OwnerState.WAITING if _metadata(seen).goes_with(FOREGROUND) else OwnerState.PRESENT

    async def _orphan(self, resource: Resource[Any], owner: Encoded, metadata: Metadata) -> None:
        for key in self._graph.dependents(owner.uid):
            informer = self._informers.get((key.api_version, key.kind))
            dependent = informer.encoded(key.name, key.namespace) if informer is not None else None
            if dependent is not None:
                held = self._resources[key.api_version, key.kind]
                await self._detach(held, dependent, _metadata(dependent), (owner.uid,))
        await self._release(resource, owner, metadata, ORPHAN)

    async def _finish_foreground(self, resource: Resource[Any], owner: Encoded, metadata: Metadata) -> None:
        if not self._graph.holding_up(owner.uid):
            await self._release(resource, owner, metadata, FOREGROUND)
            return
        for key in self._graph.dependents(owner.uid):
            if not self._waits(key):
                self._queue.add(key)

    def _waits(self, key: ObjectKey) -> bool:
        """Whether an object is being deleted in the foreground: its own dependents' ends will wake it."""
        seen = self._informers[key.api_version, key.kind].encoded(key.name, key.namespace)
        return seen is not None and _metadata(seen).goes_with(FOREGROUND)

    async def _unblock(self, resource: Resource[Any], dependent: Encoded, metadata: Metadata) -> None:
        """Let a dependent hold its owners up no longer: a dependent of its own waits too, so they may be a circle."""
        references = [{"uid": it.uid, "blockOwnerDeletion": False} for it in metadata.owner_references]
        patch = {"metadata": {"uid": dependent.uid, "ownerReferences": references}}
        await self._client.patch(resource, dependent.name, patch, namespace=dependent.namespace, kind="strategic")

    async def _detach(
        self, resource: Resource[Any], dependent: Encoded, metadata: Metadata, owners: tuple[str, ...]
    ) -> None:
        name, namespace = dependent.name, dependent.namespace
        references: list[object] = [{"$patch": "delete", "uid": owner} for owner in owners]
        patch: dict[str, Any] = {"metadata": {"uid": dependent.uid, "ownerReferences": references}}
        try:
            await self._client.patch(resource, name, patch, namespace=namespace, kind="strategic")
        except StatusError as refusal:
            if refusal.code != _UNSUPPORTED:
                raise
            # Of custom kinds a server takes no strategic merge patch: all references are written, at the revision seen.
            kept = [it for it in metadata.owner_references if it.uid not in owners]
            patch = {"metadata": {"resourceVersion": str(dependent.revision), "ownerReferences": kept}}
            await self._client.patch(resource, name, patch, namespace=namespace)

    async def _release(self, resource: Resource[Any], owner: Encoded, metadata: Metadata, finalizer: str) -> None:
        kept = [name for name in metadata.finalizers if name != finalizer]
        patch = {"metadata": {"resourceVersion": str(owner.revision), "finalizers": kept}}
        await self._client.patch(resource, owner.name, patch, namespace=owner.namespace)


def _metadata(obj: Encoded) -> Metadata:
    # Most objects own nothing, are owned by nobody and wait for nobody: not worth decoding.
    raw = obj.raw
    if b'"ownerReferences"' not in raw and b'"finalizers"' not in raw:
        return _NOTHING
    return _DECODER.decode(raw).metadata


_NOTHING: Final = Metadata()
