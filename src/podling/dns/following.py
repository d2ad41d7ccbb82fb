"""Keeps a zone equal to the cluster: Services, their slices and namespaces, as the watch shows them.

Level: each change asks for one Service to be taken in as it now is; a relist brings all of them. No polling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.aio.workqueue import WorkQueue
from podling.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from podling.client.cache import key_of, split_key
from podling.reach.endpoints import SERVICE_NAME

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.encoded import Encoded
    from podling.client.informer import Informers
    from podling.reach.names import Zone

_SERVICE: Final = "service"


class Following:
    """Keys are Services."""

    def __init__(self, zone: Zone, informers: Informers, clock: Clock, supervisor: Supervisor) -> None:
        self._zone = zone
        self._supervisor = supervisor
        self._services = informers.of(SERVICES)
        self._slices = informers.of(ENDPOINT_SLICES)
        self._namespaces = informers.of(NAMESPACES)
        self._slices.add_index(_SERVICE, _service_of)
        self._queue: WorkQueue[str] = WorkQueue(clock)

    async def start(self) -> None:
        """Follow from now on; returns when the zone holds what is there."""
        self._services.on_change(self._on_service)
        self._slices.on_change(self._on_slice)
        self._namespaces.on_change(self._on_namespace)
        for informer in (self._services, self._slices, self._namespaces):
            await informer.wait_synced()
        for seen in self._services:
            await self._sync(key_of(seen))
        self._supervisor.workers("dns", self._queue, self._sync)

    def _on_namespace(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._zone.put_namespace(new.name)
        elif old is not None:
            self._zone.drop_namespace(old.name)

    def _on_service(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None:
            self._queue.add(key_of(seen))

    def _on_slice(self, old: Encoded | None, new: Encoded | None) -> None:
        for key in dict.fromkeys(key for seen in (old, new) if seen is not None for key in _service_of(seen)):
            namespace, name = split_key(key)
            service = self._services.encoded(name, namespace)
            # Of all others the addresses are their own, whatever their endpoints are.
            if service is None or service.fields.get("spec.clusterIP") == "None":
                self._queue.add(key)

    async def _sync(self, key: str) -> None:
        namespace, name = split_key(key)
        service = self._services.get(name, namespace)
        if service is None:
            self._zone.drop_service(namespace, name)
        else:
            slices = [self._slices.view(each) for each in self._slices.indexed(_SERVICE, key)]
            self._zone.put_service(service, slices)


def _service_of(held: Encoded) -> Iterable[str]:
    name = held.labels.get(SERVICE_NAME)
    return (f"{held.namespace}/{name}",) if name else ()
