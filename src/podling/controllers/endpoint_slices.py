"""Keeps the EndpointSlices of Services that have a selector: which of their Pods may be called, and where.

Level: Services, Pods, Nodes and slices as they are seen. A change of a Pod is written at once, with no pause to gather
others but for Services of hundreds of Pods: what comes while a Service is being written is gathered by that. Services
without a selector, and those of type ExternalName, are left to whoever writes their slices.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import ENDPOINT_SLICES, NODES, PODS, SERVICES
from podling.client.cache import key_of, split_key
from podling.controllers.endpoint_slice_plan import CONTROLLER, MANAGED_BY, plan
from podling.controllers.refusals import namespace_is_going
from podling.controllers.selection import Selection
from podling.controllers.trigger_times import TriggerTimes
from podling.controllers.written import Written
from podling.reach.endpoints import SERVICE_NAME, ZONE

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Node, Pod, Service
    from podling.api.types.discovery_v1 import EndpointSlice
    from podling.client.client import Client
    from podling.client.informer import Informer
    from podling.controllers.context import Context
    from podling.controllers.endpoint_slice_plan import SlicesPlan

_WORKERS = 5
_PAUSE = 0.00001
"""Seconds, for each Pod, that a large Service waits for more changes: looking through it costs the loop as much."""
_MANAGED = "service"


def service_of(held: Encoded, controller: str = CONTROLLER) -> Iterable[str]:
    """Return the key of the Service whose slice this is, where `controller` manages it."""
    name = held.labels.get(SERVICE_NAME)
    return (f"{held.namespace}/{name}",) if name and held.labels.get(MANAGED_BY) == controller else ()


class EndpointSlices:
    """Keys are Services."""

    account = "endpointslice-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._most = context.settings.max_endpoints_per_slice
        self._services: Informer[Service] = context.informers.of(SERVICES)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._nodes: Informer[Node] = context.informers.of(NODES)
        self._slices: Informer[EndpointSlice] = context.informers.of(ENDPOINT_SLICES)
        self._slices.add_index(_MANAGED, service_of)
        self._selection = Selection(self._services, self._pods)
        self._written = Written(self._slices)
        self._times = TriggerTimes()
        self._recorder = context.recorder("endpoint-slice-controller")
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._services.on_change(self._on_service)
        self._pods.on_change(self._on_pod)
        self._nodes.on_change(self._on_node)
        self._slices.on_change(self._on_slice)
        self._supervisor.workers("endpointslices", self._queue, self._sync, _WORKERS)

    def _on_service(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None:
            self._queue.add(key_of(seen))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        for key in self._selection.concerned(old, new):
            self._queue.add_after(key, self._selection.large(key) * _PAUSE)

    def _on_node(self, old: Encoded | None, new: Encoded | None) -> None:
        """A Node's coming, going or zone is all of it that endpoints show."""
        seen = new or old
        if seen is None or (old is not None and new is not None and old.labels.get(ZONE) == new.labels.get(ZONE)):
            return
        for key in self._selection.services_on(seen.name):
            self._queue.add(key)

    def _on_slice(self, old: Encoded | None, new: Encoded | None) -> None:
        if self._written.echoed(old, new):
            return
        for seen in (old, new):
            if seen is not None:
                for key in service_of(seen):
                    self._queue.add(key)

    async def _sync(self, key: str) -> None:
        for informer in (self._services, self._pods, self._nodes, self._slices):
            await informer.wait_synced()
        namespace, name = split_key(key)
        service = self._services.get(name, namespace)
        if service is None:
            self._selection.forget(key)
            self._times.forget(key)  # the garbage collector takes the slices
            return
        if service.spec.type == "ExternalName" or not service.spec.selector:
            return
        pods = self._selection.pods_of(service)
        nodes = {}
        for pod in pods:
            node = self._nodes.get(pod.spec.node_name) if pod.spec.node_name else None
            if node is not None:
                nodes[pod.spec.node_name] = node
        seen = [self._slices.view(held) for held in self._slices.indexed(_MANAGED, key)]
        existing = [s for s in self._written.over(key, seen) if s.metadata.deletion_timestamp is None]
        triggered = self._times.of(key, service, pods)
        todo = plan(service, pods, nodes, existing, triggered, self._most)
        try:
            await write(self._client, self._written, key, todo, self._queue)
        except StatusError as refusal:
            if namespace_is_going(refusal):
                return
            if not refusal.is_conflict:
                said = f"Error updating Endpoint Slices for Service {namespace}/{name}: {refusal}"
                self._recorder.event(service, "Warning", "FailedToUpdateEndpointSlices", said)
            raise


async def write(
    client: Client, written: Written[EndpointSlice], key: str, todo: SlicesPlan, queue: WorkQueue[str]
) -> None:
    """Perform a plan for `key`, which is queued again where somebody was faster."""
    for made in todo.create:
        written.put(key, await client.create(ENDPOINT_SLICES, made))
    for changed in todo.update:
        try:
            written.put(key, await client.update(ENDPOINT_SLICES, changed))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
            # Somebody deleted it, and the watch has not told us yet.
            written.removed(changed)
            queue.add(key)
    for held in todo.delete:
        meta = held.metadata
        try:
            await client.delete(ENDPOINT_SLICES, meta.name, meta.namespace, uid=meta.uid)
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
        written.removed(held)
