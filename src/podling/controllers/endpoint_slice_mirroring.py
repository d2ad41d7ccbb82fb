"""Mirrors hand-written Endpoints into EndpointSlices, so that whoever reads slices alone sees them.

Level: Endpoints, Services and slices as they are seen. Mirrored are the Endpoints of a Service without a selector,
unless they are labelled otherwise. One slice for each subset and address family, as upstream's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import ENDPOINT_SLICES, ENDPOINTS, SERVICES
from podling.api.types.discovery_v1 import Endpoint, EndpointConditions, EndpointPort
from podling.api.validation.addresses import family_name, parse
from podling.client.cache import key_of, split_key
from podling.controllers.endpoint_slice_plan import MANAGED_BY, SlicesPlan, new_slice, owner_uid
from podling.controllers.endpoint_slices import service_of, write
from podling.controllers.endpoints import LEADER
from podling.controllers.refusals import namespace_is_going
from podling.controllers.trigger_times import ANNOTATION
from podling.controllers.written import Written
from podling.reach.endpoints import SERVICE_NAME, PortSet
from podling.reach.slices import divide

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import EndpointAddress, Endpoints, EndpointSubset, Service
    from podling.api.types.discovery_v1 import EndpointSlice
    from podling.client.informer import Informer
    from podling.controllers.context import Context

CONTROLLER: Final = "endpointslicemirroring-controller.k8s.io"
SKIP: Final = "endpointslice.kubernetes.io/skip-mirror"
_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"
_MIRRORED: Final = "mirrored"
_WORKERS = 5


class MirrorPlan(msgspec.Struct, frozen=True):
    """What to write, and how many addresses of the Endpoints found no place."""

    slices: SlicesPlan
    skipped: int = 0
    invalid: int = 0


def is_mirrored(endpoints: Endpoints | None, service: Service | None) -> bool:
    """Whether Endpoints are written by hand, and to be mirrored."""
    if endpoints is None or service is None or service.spec.selector:
        return False
    meta = endpoints.metadata
    return meta.labels.get(SKIP) != "true" and LEADER not in meta.annotations


def plan(
    endpoints: Endpoints | None, service: Service | None, existing: Sequence[EndpointSlice], most: int
) -> MirrorPlan:
    """Plan the mirrored slices of one Endpoints; `most` addresses of each subset are mirrored."""
    if endpoints is None or not is_mirrored(endpoints, service):
        return MirrorPlan(SlicesPlan(delete=existing))
    wanted: dict[PortSet, dict[str, Endpoint]] = {}
    skipped = invalid = 0
    for subset in endpoints.subsets:
        taken = 0
        for address, ready in _addresses(subset):
            if parse(address.ip) is None:
                invalid += 1
            elif taken >= most:
                skipped += 1
            else:
                taken += 1
                ports = PortSet(family_name(address.ip), _ports(subset))
                wanted.setdefault(ports, {}).setdefault(address.ip, _endpoint(address, ready))
    owned = [held for held in existing if owner_uid(held) == endpoints.metadata.uid]
    strangers = [held for held in existing if owner_uid(held) != endpoints.metadata.uid]
    divided = divide({ports: list(each.values()) for ports, each in wanted.items()}, owned, (), most)
    meta = endpoints.metadata
    labels = meta.labels | {SERVICE_NAME: meta.name, MANAGED_BY: CONTROLLER}
    noted = {key: value for key, value in meta.annotations.items() if key not in (ANNOTATION, _APPLIED)}
    changes = [(held, ports.ports, inside) for held, ports, inside in divided.update]
    changes += [
        (held, held.ports, held.endpoints)
        for held in divided.kept
        if (held.metadata.labels, held.metadata.annotations) != (labels, noted)
    ]
    update = []
    for held, numbers, inside in changes:
        metadata = msgspec.structs.replace(held.metadata, labels=labels, annotations=noted)
        update.append(msgspec.structs.replace(held, metadata=metadata, ports=numbers, endpoints=tuple(inside)))
    create = [new_slice(endpoints, "Endpoints", "v1", ports, inside, labels, noted) for ports, inside in divided.create]
    return MirrorPlan(SlicesPlan(create, update, [*divided.delete, *strangers]), skipped, invalid)


def _addresses(subset: EndpointSubset) -> Iterable[tuple[EndpointAddress, bool]]:
    yield from ((address, True) for address in subset.addresses)
    yield from ((address, False) for address in subset.not_ready_addresses)


def _ports(subset: EndpointSubset) -> tuple[EndpointPort, ...]:
    return tuple(
        EndpointPort(name=p.name, port=p.port, protocol=p.protocol, app_protocol=p.app_protocol) for p in subset.ports
    )


def _endpoint(address: EndpointAddress, ready: bool) -> Endpoint:
    return Endpoint(
        addresses=(address.ip,),
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        node_name=address.node_name,
        target_ref=address.target_ref,
    )


class EndpointSliceMirroring:
    """Keys are Endpoints, and Services, which have their names."""

    account = "endpointslicemirroring-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._most = context.settings.mirroring_max_endpoints_per_subset
        self._services: Informer[Service] = context.informers.of(SERVICES)
        self._endpoints: Informer[Endpoints] = context.informers.of(ENDPOINTS)
        self._slices: Informer[EndpointSlice] = context.informers.of(ENDPOINT_SLICES)
        self._slices.add_index(_MIRRORED, lambda held: service_of(held, CONTROLLER))
        self._written = Written(self._slices)
        self._recorder = context.recorder("endpoint-slice-mirroring-controller")
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._services.on_change(self._on_change)
        self._endpoints.on_change(self._on_change)
        self._slices.on_change(self._on_slice)
        self._supervisor.workers("endpointslicemirroring", self._queue, self._sync, _WORKERS)

    def _on_change(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None:
            self._queue.add(key_of(seen))

    def _on_slice(self, old: Encoded | None, new: Encoded | None) -> None:
        if self._written.echoed(old, new):
            return
        for seen in (old, new):
            if seen is not None:
                for key in service_of(seen, CONTROLLER):
                    self._queue.add(key)

    async def _sync(self, key: str) -> None:
        for informer in (self._services, self._endpoints, self._slices):
            await informer.wait_synced()
        namespace, name = split_key(key)
        endpoints = self._endpoints.get(name, namespace)
        seen = [self._slices.view(held) for held in self._slices.indexed(_MIRRORED, key)]
        existing = [s for s in self._written.over(key, seen) if s.metadata.deletion_timestamp is None]
        if not existing and not is_mirrored(endpoints, self._services.get(name, namespace)):
            return
        todo = plan(endpoints, self._services.get(name, namespace), existing, self._most)
        if endpoints is not None:
            self._tell(endpoints, todo)
        try:
            await write(self._client, self._written, key, todo.slices, self._queue)
        except StatusError as refusal:
            if namespace_is_going(refusal):
                return
            if endpoints is not None and not refusal.is_conflict:
                said = f"Error updating mirrored EndpointSlices for Endpoints {namespace}/{name}: {refusal}"
                self._recorder.event(endpoints, "Warning", "FailedToUpdateEndpointSlices", said)
            raise

    def _tell(self, endpoints: Endpoints, todo: MirrorPlan) -> None:
        if todo.invalid:
            said = f"Skipped {todo.invalid} invalid IP addresses when mirroring to EndpointSlices"
            self._recorder.event(endpoints, "Warning", "InvalidIPAddress", said)
        if todo.skipped:
            said = (
                f"A max of {self._most} addresses can be mirrored to EndpointSlices per Endpoints subset. "
                f"{todo.skipped} addresses were skipped"
            )
            self._recorder.event(endpoints, "Warning", "TooManyAddressesToMirror", said)
