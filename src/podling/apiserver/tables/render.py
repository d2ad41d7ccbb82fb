"""Owns the Table and PartialObjectMetadata forms of objects, in the versions v1 and v1beta1 of meta.k8s.io.

A Table's cells are made from the typed view, which is shared with whoever else holds it; metadata is cut out of the
object's bytes undecoded. Must not know requests: the handler decides which form is wanted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from podling.api import resources
from podling.apiserver.objects import tree_of
from podling.apiserver.tables import (
    batch,
    calls,
    flow_control,
    ingress,
    network,
    plain,
    sets,
    stateful,
    storage,
    workloads,
)
from podling.apiserver.tables.columns import CREATED_AT, NAME, Column, Layout

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.encoded import Encoded
    from podling.apiserver.record import Record

Include = Literal["None", "Metadata", "Object"]
"""What a row carries of its object; `Metadata` unless the request's `includeObject` says otherwise."""

LAYOUTS: Final[Mapping[tuple[str, str], Layout]] = {
    (resource.group, resource.plural): layout
    for resource, layout in (
        (resources.PODS, workloads.PODS),
        (resources.NODES, workloads.NODES),
        (resources.SERVICES, network.SERVICES),
        (resources.ENDPOINTS, network.ENDPOINTS),
        (resources.ENDPOINT_SLICES, network.ENDPOINT_SLICES),
        (resources.EVENTS, plain.EVENTS),
        (resources.NAMESPACES, plain.NAMESPACES),
        (resources.CONFIG_MAPS, plain.CONFIG_MAPS),
        (resources.SECRETS, plain.SECRETS),
        (resources.SERVICE_ACCOUNTS, plain.SERVICE_ACCOUNTS),
        (resources.LEASES, plain.LEASES),
        (resources.PRIORITY_CLASSES, plain.PRIORITY_CLASSES),
        (resources.POD_DISRUPTION_BUDGETS, plain.POD_DISRUPTION_BUDGETS),
        (resources.NETWORK_POLICIES, network.NETWORK_POLICIES),
        (resources.RESOURCE_QUOTAS, plain.RESOURCE_QUOTAS),
        (resources.CERTIFICATE_SIGNING_REQUESTS, plain.CERTIFICATE_SIGNING_REQUESTS),
        (resources.FLOW_SCHEMAS, flow_control.FLOW_SCHEMAS),
        (resources.PRIORITY_LEVELS, flow_control.PRIORITY_LEVELS),
        (resources.INGRESSES, ingress.INGRESSES),
        (resources.INGRESS_CLASSES, ingress.INGRESS_CLASSES),
        (resources.POD_TEMPLATES, workloads.POD_TEMPLATES),
        (resources.IP_ADDRESSES, network.IP_ADDRESSES),
        (resources.SERVICE_CIDRS, network.SERVICE_CIDRS),
        (resources.MUTATING_WEBHOOKS, plain.WEBHOOKS),
        (resources.VALIDATING_WEBHOOKS, plain.WEBHOOKS),
        (resources.RUNTIME_CLASSES, plain.RUNTIME_CLASSES),
        (resources.REPLICATION_CONTROLLERS, sets.REPLICATION_CONTROLLERS),
        (resources.STATEFUL_SETS, stateful.STATEFUL_SETS),
        (resources.DAEMON_SETS, stateful.DAEMON_SETS),
        (resources.CONTROLLER_REVISIONS, stateful.CONTROLLER_REVISIONS),
        (resources.SCALES, sets.SCALES),
        (resources.DEPLOYMENTS, sets.DEPLOYMENTS),
        (resources.REPLICA_SETS, sets.REPLICA_SETS),
        (resources.CRON_JOBS, batch.CRON_JOBS),
        (resources.JOBS, batch.JOBS),
        (resources.PERSISTENT_VOLUMES, storage.PERSISTENT_VOLUMES),
        (resources.PERSISTENT_VOLUME_CLAIMS, storage.PERSISTENT_VOLUME_CLAIMS),
        (resources.STORAGE_CLASSES, storage.STORAGE_CLASSES),
        (resources.CSI_DRIVERS, storage.CSI_DRIVERS),
        (resources.CSI_NODES, storage.CSI_NODES),
        (resources.CSI_STORAGE_CAPACITIES, storage.CSI_STORAGE_CAPACITIES),
        (resources.VOLUME_ATTACHMENTS, storage.VOLUME_ATTACHMENTS),
        (resources.ROLES, plain.ROLES),
        (resources.CLUSTER_ROLES, plain.ROLES),
        (resources.ROLE_BINDINGS, plain.BINDINGS),
        (resources.CLUSTER_ROLE_BINDINGS, plain.BINDINGS),
        (resources.CALLS, calls.CALLS),
    )
}
"""How each kind is shown; a kind that is not here has its name and creation time."""


class _Head(msgspec.Struct, gc=False):
    metadata: msgspec.Raw


class _CreationTime(msgspec.Struct, gc=False):
    creationTimestamp: str = ""  # noqa: N815 - the wire's name


_head = msgspec.json.Decoder(_Head).decode
_creation_time = msgspec.json.Decoder(_CreationTime).decode
_encode = msgspec.json.Encoder().encode


def render(
    record: Record,
    items: Sequence[Encoded],
    *,
    now: float,
    include_object: Include = "Metadata",
    list_meta: Mapping[str, Any] | None = None,
    version: str = "v1",
    headers: bool = True,
    wires: Iterable[bytes] | None = None,
) -> bytes:
    """Return `items` as a Table.

    `list_meta` is the list's metadata (resourceVersion, continue, remainingItemCount). One object is a table of one
    row; so is the object of a watch event, of which the first alone need carry `headers`. `wires` stands in for the
    items' own bytes in `Object` rows, for kinds that are shown under another face than they are stored in.
    """
    stored = record.stored_as or record
    layout = _layout(record)
    rows = bytearray()
    shown = iter(wires) if wires is not None else None
    for item in items:
        if rows:
            rows += b","
        wire = item.wire()
        metadata = bytes(_head(wire).metadata)
        if layout is None:
            rows += b'{"cells":' + _encode([item.name, plain.created_at(_creation_time(metadata).creationTimestamp)])
        else:
            view = tree_of(item) if layout.of_trees else item.view(stored.resource.type)
            rows += b'{"cells":' + _encode(layout.cells(view, now))
            conditions = layout.conditions(view) if layout.conditions is not None else None
            if conditions:
                rows += b',"conditions":' + _encode(conditions)
        rows += b',"object":'
        match include_object:
            case "None":
                rows += b"null}"
            case "Object":
                rows += (next(shown) if shown is not None else wire) + b"}"
            case _:
                rows += _partial(metadata, version) + b"}"
    columns = [column.to_tree() for column in columns_of(record)] if headers else []
    if list_meta is None and len(items) == 1:
        list_meta = {"resourceVersion": str(items[0].revision)}
    return b'{"kind":"Table","apiVersion":"meta.k8s.io/%b","metadata":%b,"columnDefinitions":%b,"rows":[%b]}' % (
        version.encode(),
        _encode(list_meta or {}),
        _encode(columns),
        bytes(rows),
    )


def columns_of(record: Record) -> tuple[Column, ...]:
    """Return the columns of a kind."""
    layout = _layout(record)
    return layout.columns if layout is not None else (NAME, CREATED_AT)


def _layout(record: Record) -> Layout | None:
    """Return what the kind's model says, or else the table of built-in kinds."""
    stored = record.stored_as or record
    return record.model.layout or LAYOUTS.get((stored.resource.group, stored.resource.plural))


def partial_object(item: Encoded, *, version: str = "v1") -> bytes:
    """Return an object's metadata alone: a PartialObjectMetadata."""
    return _partial(bytes(_head(item.wire()).metadata), version)


def partial_list(items: Iterable[Encoded], *, list_meta: Mapping[str, Any] | None = None, version: str = "v1") -> bytes:
    """Return the metadata of many: a PartialObjectMetadataList."""
    return b'{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/%b","metadata":%b,"items":[%b]}' % (
        version.encode(),
        _encode(list_meta or {}),
        b",".join(partial_object(item, version=version) for item in items),
    )


def _partial(metadata: bytes, version: str) -> bytes:
    return b'{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/%b","metadata":%b}' % (
        version.encode(),
        metadata,
    )
