"""Endpoints and EndpointSlices."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import formats, meta
from podling.api.validation.addresses import check_ip, check_ordinary, family
from podling.api.validation.containers import PROTOCOLS, check_protocol
from podling.api.validation.field import (
    ROOT,
    Path,
    duplicate,
    immutable,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_many,
)

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import EndpointAddress, EndpointPort, Endpoints
    from podling.api.types.discovery_v1 import Endpoint, EndpointSlice
    from podling.api.types.discovery_v1 import EndpointPort as SlicePort

_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")
_MOST_ENDPOINTS = 1000
_MOST_ADDRESSES = 100
_MOST_PORTS = 20000
_MOST_TOPOLOGY = 16
_MOST_HINTS = 8


def check_endpoints_create(endpoints: Endpoints, causes: list[Cause]) -> None:
    meta.check_create(endpoints.metadata, causes, namespaced=True)
    for i, subset in enumerate(endpoints.subsets):
        where = (ROOT / "subsets")[i]
        if not subset.addresses and not subset.not_ready_addresses:
            causes.append(required(where, "must specify `addresses` or `notReadyAddresses`"))
        for name, addresses in (
            ("addresses", subset.addresses),
            ("notReadyAddresses", subset.not_ready_addresses),
        ):
            for j, address in enumerate(addresses):
                _check_address(address, (where / name)[j], causes)
        for j, port in enumerate(subset.ports):
            _check_port(port, len(subset.ports) > 1, (where / "ports")[j], causes)


def check_endpoints_update(new: Endpoints, old: Endpoints, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    check_endpoints_create(new, causes)


def _check_address(address: EndpointAddress, path: Path, causes: list[Cause]) -> None:
    check_ip(address.ip, path / "ip", causes)
    if address.hostname:
        invalid_each(path / "hostname", address.hostname, formats.dns_label(address.hostname), causes)
    if address.node_name is not None:
        invalid_each(path / "nodeName", address.node_name, formats.dns_subdomain(address.node_name), causes)
    check_ordinary(address.ip, path / "ip", causes)


def _check_port(port: EndpointPort, needs_name: bool, path: Path, causes: list[Cause]) -> None:
    if port.name:
        invalid_each(path / "name", port.name, formats.dns_label(port.name), causes)
    elif needs_name:
        causes.append(required(path / "name"))
    invalid_each(path / "port", port.port, formats.port_number(port.port), causes)
    check_protocol(port.protocol, path / "protocol", causes)
    if port.app_protocol is not None:
        invalid_each(path / "appProtocol", port.app_protocol, formats.qualified_name(port.app_protocol), causes)


def check_slice_create(endpoints: EndpointSlice, causes: list[Cause]) -> None:
    meta.check_create(endpoints.metadata, causes, namespaced=True)
    kind = endpoints.address_type
    if not kind:
        causes.append(required(ROOT / "addressType"))
    elif kind not in _ADDRESS_TYPES:
        causes.append(not_supported(ROOT / "addressType", kind, _ADDRESS_TYPES))
    if len(endpoints.endpoints) > _MOST_ENDPOINTS:
        causes.append(too_many(ROOT / "endpoints", len(endpoints.endpoints), _MOST_ENDPOINTS))
    else:
        for i, endpoint in enumerate(endpoints.endpoints):
            _check_endpoint(endpoint, kind, (ROOT / "endpoints")[i], causes)
    if len(endpoints.ports) > _MOST_PORTS:
        causes.append(too_many(ROOT / "ports", len(endpoints.ports), _MOST_PORTS))
        return
    names: set[str] = set()
    for i, port in enumerate(endpoints.ports):
        _check_slice_port(port, names, (ROOT / "ports")[i], causes)


def check_slice_update(new: EndpointSlice, old: EndpointSlice, causes: list[Cause]) -> None:
    check_slice_create(new, causes)
    meta.check_update(new.metadata, old.metadata, causes)
    immutable(ROOT / "addressType", new.address_type, old.address_type, causes)


def _check_endpoint(endpoint: Endpoint, kind: str, path: Path, causes: list[Cause]) -> None:
    where = path / "addresses"
    if not endpoint.addresses:
        causes.append(required(where, "must contain at least 1 address"))
    elif len(endpoint.addresses) > _MOST_ADDRESSES:
        causes.append(too_many(where, len(endpoint.addresses), _MOST_ADDRESSES))
    for i, address in enumerate(endpoint.addresses):
        if kind in {"IPv4", "IPv6"}:
            if family(address) != int(kind[-1]):
                causes.append(invalid(where[i], address, f"must be a valid {kind} address"))
            check_ordinary(address, where[i], causes)
        elif kind == "FQDN":
            if not address:
                causes.append(required(where[i]))
            else:
                invalid_each(where[i], address, formats.fully_qualified_domain(address), causes)
    if endpoint.node_name is not None:
        invalid_each(path / "nodeName", endpoint.node_name, formats.dns_subdomain(endpoint.node_name), causes)
    topology = path / "deprecatedTopology"
    if len(endpoint.deprecated_topology) > _MOST_TOPOLOGY:
        causes.append(too_many(topology, len(endpoint.deprecated_topology), _MOST_TOPOLOGY))
    meta.check_labels(endpoint.deprecated_topology, topology, causes)
    if "kubernetes.io/hostname" in endpoint.deprecated_topology:
        where = topology.key("kubernetes.io/hostname")
        said = "hostname cannot be specified in deprecatedTopology, use nodeName"
        causes.append(invalid(where, endpoint.deprecated_topology["kubernetes.io/hostname"], said))
    if endpoint.hostname is not None:
        invalid_each(path / "hostname", endpoint.hostname, formats.dns_label(endpoint.hostname), causes)
    if endpoint.hints is not None:
        for name, field, hints in (
            ("forZones", "name", tuple(zone.name for zone in endpoint.hints.for_zones)),
            ("forNodes", "name", tuple(node.name for node in endpoint.hints.for_nodes)),
        ):
            _check_hints(hints, path / "hints" / name, field, causes)


def _check_hints(hints: tuple[str, ...], path: Path, field: str, causes: list[Cause]) -> None:
    if len(hints) > _MOST_HINTS:
        causes.append(too_many(path, len(hints), _MOST_HINTS))
        return
    for i, hint in enumerate(hints):
        if hint in hints[:i]:
            causes.append(duplicate(path[i] / field, hint))
        complaints = formats.qualified_name(hint)
        invalid_each(path[i] / field, hint, complaints, causes)


def _check_slice_port(port: SlicePort, names: set[str], path: Path, causes: list[Cause]) -> None:
    name = port.name or ""
    if name:
        invalid_each(path / "name", name, formats.dns_label(name), causes)
    if name in names:
        causes.append(duplicate(path / "name", name))
    names.add(name)
    if port.protocol is None:
        causes.append(required(path / "protocol"))
    elif port.protocol not in PROTOCOLS:
        causes.append(not_supported(path / "protocol", port.protocol, PROTOCOLS))
    if port.port is not None:
        invalid_each(path / "port", port.port, formats.port_number(port.port), causes)
    if port.app_protocol is not None:
        invalid_each(path / "appProtocol", port.app_protocol, formats.qualified_name(port.app_protocol), causes)
