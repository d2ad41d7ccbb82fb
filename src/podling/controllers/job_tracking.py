"""The tracking finalizer on Jobs' Pods: who has it still, and how it comes off.

Owns what was written and the informer does not show yet: a finalizer that is off, a deletion that has begun. Between
the write and its echo a plan from the informer alone would count a Pod twice. What an informer shows clears it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.errors import StatusError
from podling.api.jobs import TRACKING
from podling.api.resources import PODS
from podling.api.times import to_wire
from podling.controllers.job_pods import is_tracked

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Pod
    from podling.client.client import Client
    from podling.client.informer import Informer


class Tracking:
    """Over the informer of Pods."""

    def __init__(self, client: Client, pods: Informer[Pod], clock: Clock) -> None:
        self._client = client
        self._pods = pods
        self._clock = clock
        self._off: dict[str, None] = {}
        self._going: dict[str, float] = {}

    def seen(self, old: Encoded | None, new: Encoded | None) -> None:
        """Forget what the informer shows by now."""
        if new is None:
            if old is not None:
                self._off.pop(old.uid, None)
                self._going.pop(old.uid, None)
            return
        if new.uid in self._off and not is_tracked(self._pods.view(new)):
            del self._off[new.uid]
        if new.uid in self._going and self._pods.view(new).metadata.deletion_timestamp is not None:
            del self._going[new.uid]

    def over(self, pods: Iterable[Pod]) -> list[Pod]:
        """Return Pods as they are by now."""
        return [self._as_it_is(pod) for pod in pods]

    def deleting(self, pod: Pod) -> None:
        """Take a Pod for going from now on."""
        self._going[pod.metadata.uid] = self._clock.time()

    def kept(self, pod: Pod) -> None:
        """Take it back: the deletion was refused."""
        self._going.pop(pod.metadata.uid, None)

    async def release(self, pod: Pod) -> None:
        """Take the finalizer off; a Pod that is gone has none."""
        meta = pod.metadata
        if meta.uid in self._off:
            return
        patch = {"metadata": {"uid": meta.uid, "$deleteFromPrimitiveList/finalizers": [TRACKING]}}
        try:
            await self._client.patch(PODS, meta.name, patch, namespace=meta.namespace, kind="strategic")
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
        shown = self._pods.get(meta.name, meta.namespace)
        if shown is not None and shown.metadata.uid == meta.uid and is_tracked(shown):
            self._off[meta.uid] = None  # else the echo came before the answer

    def _as_it_is(self, pod: Pod) -> Pod:
        meta = pod.metadata
        if meta.uid in self._off and TRACKING in meta.finalizers:
            meta = msgspec.structs.replace(meta, finalizers=tuple(it for it in meta.finalizers if it != TRACKING))
        if meta.uid in self._going and meta.deletion_timestamp is None:
            meta = msgspec.structs.replace(meta, deletion_timestamp=to_wire(self._going[meta.uid]))
        return pod if meta is pod.metadata else msgspec.structs.replace(pod, metadata=meta)
