"""What the EndpointSlices of one Service must become: `reach`'s endpoints and division, as objects.

Owns labels, annotations and names of slices; pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.types.discovery_v1 import EndpointSlice
from podling.api.types.meta_v1 import ObjectMeta, OwnerReference
from podling.controllers.trigger_times import ANNOTATION
from podling.reach import endpoints, slices

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Endpoints, Node, Pod, Service
    from podling.api.types.discovery_v1 import Endpoint
    from podling.reach.endpoints import PortSet

MANAGED_BY: Final = "endpointslice.kubernetes.io/managed-by"
CONTROLLER: Final = "endpointslice-controller.k8s.io"
HEADLESS: Final = "service.kubernetes.io/headless"
_RESERVED: Final = (MANAGED_BY, HEADLESS, endpoints.SERVICE_NAME)


class SlicesPlan(msgspec.Struct, frozen=True):
    """Objects to be created, updated and deleted, in this order."""

    create: Sequence[EndpointSlice] = ()
    update: Sequence[EndpointSlice] = ()
    delete: Sequence[EndpointSlice] = ()


def plan(
    service: Service,
    pods: Sequence[Pod],
    nodes: Mapping[str, Node],
    existing: Sequence[EndpointSlice],
    triggered: str = "",
    most: int = slices.MOST,
) -> SlicesPlan:
    """Plan the slices of a Service that has a selector.

    `existing` are those that this controller manages for it; `triggered` is the time to be noted on what changes.
    Slices of an earlier Service of the same name are deleted, not taken over.
    """
    owned = [held for held in existing if owner_uid(held) == service.metadata.uid]
    strangers = [held for held in existing if owner_uid(held) != service.metadata.uid]
    found = endpoints.find(service, pods, nodes)
    divided = slices.divide(found, owned, endpoints.families(service), most)
    labels = labels_of(service)
    noted = {ANNOTATION: triggered} if triggered else {}
    update = [_changed(held, ports, inside, labels, noted) for held, ports, inside in divided.update]
    update += [
        _changed(held, endpoints.PortSet(held.address_type, held.ports), held.endpoints, labels, noted)
        for held in divided.kept
        if held.metadata.labels != labels
    ]
    return SlicesPlan(
        [new_slice(service, "Service", "v1", ports, inside, labels, noted) for ports, inside in divided.create],
        update,
        [*divided.delete, *strangers],
    )


def labels_of(service: Service) -> dict[str, str]:
    """Return the labels of a Service's slices: its own, and those that say whose they are."""
    own = {key: value for key, value in service.metadata.labels.items() if key not in _RESERVED}
    headless = {HEADLESS: ""} if service.spec.cluster_ip in ("", "None") else {}
    return own | headless | {endpoints.SERVICE_NAME: service.metadata.name, MANAGED_BY: CONTROLLER}


def owner_uid(held: EndpointSlice) -> str:
    return next((owner.uid for owner in held.metadata.owner_references if owner.controller), "")


def new_slice(
    owner: Service | Endpoints,
    kind: str,
    version: str,
    ports: PortSet,
    inside: Sequence[Endpoint],
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
) -> EndpointSlice:
    """Return a slice without a name, owned by a Service or an Endpoints."""
    meta = owner.metadata
    reference = OwnerReference(
        api_version=version, kind=kind, name=meta.name, uid=meta.uid, controller=True, block_owner_deletion=True
    )
    metadata = ObjectMeta(
        generate_name=f"{meta.name}-",
        namespace=meta.namespace,
        labels=dict(labels),
        annotations=dict(annotations),
        owner_references=(reference,),
    )
    return EndpointSlice(metadata=metadata, address_type=ports.address_type, ports=ports.ports, endpoints=tuple(inside))


def _changed(
    held: EndpointSlice,
    ports: PortSet,
    inside: Sequence[Endpoint],
    labels: Mapping[str, str],
    noted: Mapping[str, str],
) -> EndpointSlice:
    others = {key: value for key, value in held.metadata.annotations.items() if key != ANNOTATION}
    metadata = msgspec.structs.replace(held.metadata, labels=dict(labels), annotations=others | dict(noted))
    return msgspec.structs.replace(held, metadata=metadata, ports=ports.ports, endpoints=tuple(inside))
