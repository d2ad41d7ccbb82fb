"""Keeps the Endpoints of Services that have a selector: the older form, for those who still read it.

Level: Services, Pods and Endpoints as they are seen. Endpoints that were made here go with their Service; those written
by hand too, if this was there to see it go: before their Service comes, they are left alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import ENDPOINTS, PODS, SERVICES
from podling.api.types.core_v1 import Endpoints
from podling.api.types.meta_v1 import ObjectMeta
from podling.client.cache import key_of, split_key
from podling.controllers.endpoint_slice_plan import HEADLESS
from podling.controllers.refusals import namespace_is_going
from podling.controllers.selection import Selection
from podling.controllers.trigger_times import ANNOTATION, TriggerTimes
from podling.controllers.written import Written
from podling.reach import subsets
from podling.reach.subsets import MOST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Pod, Service
    from podling.client.informer import Informer
    from podling.controllers.context import Context

LEADER: Final = "control-plane.alpha.kubernetes.io/leader"
OVER_CAPACITY: Final = "endpoints.kubernetes.io/over-capacity"
MANAGED_BY: Final = "endpoints.kubernetes.io/managed-by"
CONTROLLER: Final = "endpoint-controller"
_WORKERS = 5
_PAUSE = 0.001
"""Seconds, for each Pod, that a large Service waits for more changes: all addresses are written for each of one."""


def plan(service: Service, pods: Sequence[Pod], held: Endpoints | None, triggered: str = "") -> Endpoints | None:
    """Return the Endpoints of a Service as they must be written; `None` where they are right."""
    found, cut = subsets.truncated(subsets.find(service, pods))
    labels = {key: value for key, value in service.metadata.labels.items() if key != HEADLESS}
    labels |= {HEADLESS: ""} if service.spec.cluster_ip in ("", "None") else {}
    labels[MANAGED_BY] = CONTROLLER
    capacity = "truncated" if cut else None
    metadata = (
        held.metadata
        if held is not None
        else ObjectMeta(name=service.metadata.name, namespace=service.metadata.namespace)
    )
    as_told = metadata.labels == labels and metadata.annotations.get(OVER_CAPACITY) == capacity
    if held is not None and held.subsets == found and as_told:
        return None
    noted = {ANNOTATION: triggered, OVER_CAPACITY: capacity}
    annotations = {key: value for key, value in metadata.annotations.items() if key not in noted}
    annotations |= {key: value for key, value in noted.items() if value}
    return Endpoints(metadata=msgspec.structs.replace(metadata, labels=labels, annotations=annotations), subsets=found)


class EndpointsController:
    """Keys are Services, and Endpoints, which have their names."""

    account = "endpoint-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._services: Informer[Service] = context.informers.of(SERVICES)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._endpoints: Informer[Endpoints] = context.informers.of(ENDPOINTS)
        self._selection = Selection(self._services, self._pods)
        self._written = Written(self._endpoints)
        self._times = TriggerTimes()
        self._recorder = context.recorder("endpoint-controller")
        self._queue: WorkQueue[str] = WorkQueue(context.clock)
        self._bereft: dict[str, None] = {}

    def start(self) -> None:
        self._services.on_change(self._on_service)
        self._pods.on_change(self._on_pod)
        self._endpoints.on_change(self._on_endpoints)
        self._supervisor.workers("endpoints", self._queue, self._sync, _WORKERS)

    def _on_service(self, old: Encoded | None, new: Encoded | None) -> None:
        if old is not None and new is None:
            self._bereft[key_of(old)] = None
        seen = new or old
        if seen is not None:
            self._queue.add(key_of(seen))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        for key in self._selection.concerned(old, new):
            self._queue.add_after(key, min(self._selection.large(key), MOST) * _PAUSE)

    def _on_endpoints(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None and not self._written.echoed(old, new):
            self._queue.add(key_of(seen))

    async def _sync(self, key: str) -> None:
        for informer in (self._services, self._pods, self._endpoints):
            await informer.wait_synced()
        namespace, name = split_key(key)
        service = self._services.get(name, namespace)
        seen = self._endpoints.get(name, namespace)
        held = next(iter(self._written.over(key, [seen] if seen is not None else [])), None)
        if service is None:
            self._times.forget(key)
            self._selection.forget(key)
            ours = held is not None and held.metadata.labels.get(MANAGED_BY) == CONTROLLER
            if held is not None and (ours or key in self._bereft) and LEADER not in held.metadata.annotations:
                await self._delete(held)
            self._bereft.pop(key, None)
            return
        self._bereft.pop(key, None)
        if service.spec.type == "ExternalName" or not service.spec.selector:
            return
        pods = self._selection.pods_of(service)
        todo = plan(service, pods, held, self._times.of(key, service, pods))
        if todo is None:
            return
        try:
            write = self._client.create if held is None else self._client.update
            self._written.put(key, await write(ENDPOINTS, todo))
        except StatusError as refusal:
            if namespace_is_going(refusal):
                return
            if not (refusal.is_conflict or refusal.is_already_exists):
                reason, verb = (
                    ("FailedToCreateEndpoint", "create") if held is None else ("FailedToUpdateEndpoint", "update")
                )
                said = f"Failed to {verb} endpoint {namespace}/{name}: {refusal}"
                self._recorder.event(todo, "Warning", reason, said)
            raise

    async def _delete(self, held: Endpoints) -> None:
        meta = held.metadata
        try:
            await self._client.delete(ENDPOINTS, meta.name, meta.namespace, uid=meta.uid)
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
        self._written.removed(held)
