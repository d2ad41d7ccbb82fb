"""Owns how Services, what stands behind them and policies are shown in tables: upstream's columns and cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.selectors import from_label_selector
from podling.api.validation.addresses import bracketed
from podling.apiserver.tables.columns import AGE, NAME, NONE, UNKNOWN, UNSET, Column, Layout, age, first

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Endpoints, Service, ServicePort
    from podling.api.types.discovery_v1 import EndpointSlice
    from podling.api.types.networking_v1 import IPAddress, NetworkPolicy, ServiceCIDR


def _service(service: Service, now: float) -> list[Any]:
    spec = service.spec
    return [
        service.metadata.name,
        spec.type,
        spec.cluster_ips[0] if spec.cluster_ips else NONE,
        _external_addresses(service),
        ",".join(_port(port) for port in spec.ports) or NONE,
        age(service.metadata.creation_timestamp, now),
        ",".join(f"{key}={value}" for key, value in sorted(spec.selector.items())) or NONE,
    ]


def _port(port: ServicePort) -> str:
    number = f"{port.port}:{port.node_port}" if port.node_port else str(port.port)
    return f"{number}/{port.protocol or 'TCP'}"


def _external_addresses(service: Service) -> str:
    outside = list(service.spec.external_ips)
    match service.spec.type:
        case "ClusterIP" | "NodePort":
            return ",".join(outside) or NONE
        case "LoadBalancer":
            balancer = service.status.load_balancer
            given = {i.ip or i.hostname for i in (balancer.ingress if balancer is not None else ())} - {""}
            return ",".join([*sorted(given), *outside]) or "<pending>"
        case "ExternalName":
            return service.spec.external_name
        case _:
            return UNKNOWN


SERVICES: Final = Layout(
    (
        NAME,
        Column(
            "Type",
            "type determines how the Service is exposed. Defaults to ClusterIP. Valid options are ExternalName, "
            "ClusterIP, NodePort, and LoadBalancer.",
        ),
        Column("Cluster-IP", "clusterIP is the IP address of the service and is usually assigned randomly."),
        Column(
            "External-IP",
            "externalIPs is a list of IP addresses for which nodes in the cluster will also accept traffic for this "
            "service.",
        ),
        Column("Port(s)", "The list of ports that are exposed by this service."),
        AGE,
        Column("Selector", "Route service traffic to pods with label keys and values matching this selector.", 1),
    ),
    _service,
)


def _endpoints(endpoints: Endpoints, now: float) -> list[Any]:
    addresses = [
        f"{bracketed(address.ip)}:{port.port}" if port is not None else address.ip
        for subset in endpoints.subsets
        for port in (subset.ports or (None,))
        for address in subset.addresses
    ]
    shown = first(addresses) if endpoints.subsets else NONE
    return [endpoints.metadata.name, shown, age(endpoints.metadata.creation_timestamp, now)]


ENDPOINTS: Final = Layout(
    (
        NAME,
        Column(
            "Endpoints",
            "The set of all endpoints is the union of all subsets. Addresses are placed into subsets according to the "
            "IPs they share.",
        ),
        AGE,
    ),
    _endpoints,
)


def _slice(slice_: EndpointSlice, now: float) -> list[Any]:
    ports = [str(port.port) if port.port is not None else port.name or "*" for port in slice_.ports]
    addresses = [address for endpoint in slice_.endpoints for address in endpoint.addresses]
    return [
        slice_.metadata.name,
        slice_.address_type,
        first(ports) or UNSET,
        first(addresses) or UNSET,
        age(slice_.metadata.creation_timestamp, now),
    ]


ENDPOINT_SLICES: Final = Layout(
    (
        NAME,
        Column(
            "AddressType",
            "addressType specifies the type of address carried by this EndpointSlice. All addresses in this slice "
            "must be the same type.",
        ),
        Column(
            "Ports",
            "ports specifies the list of network ports exposed by each endpoint in this slice. Each port must have a "
            "unique name.",
        ),
        Column("Endpoints", "endpoints is a list of unique endpoints in this slice."),
        AGE,
    ),
    _slice,
)


def _policy(policy: NetworkPolicy, now: float) -> list[Any]:
    selector = policy.spec.pod_selector
    return [
        policy.metadata.name,
        (str(from_label_selector(selector)) if selector is not None else "") or NONE,
        age(policy.metadata.creation_timestamp, now),
    ]


NETWORK_POLICIES: Final = Layout(
    (
        NAME,
        Column(
            "Pod-Selector",
            "podSelector selects the pods to which this NetworkPolicy object applies. The array of rules is applied to "
            "any pods selected by this field. An empty selector matches all pods in the policy's namespace. Multiple "
            "network policies can select the same set of pods. In this case, the ingress rules for each are combined "
            "additively. This field is optional. If it is not specified, it defaults to an empty selector.",
        ),
        AGE,
    ),
    _policy,
)


def _address(address: IPAddress, now: float) -> list[Any]:
    parent = address.spec.parent_ref
    kind = f"{parent.resource}.{parent.group}" if parent.group else parent.resource
    shown = "/".join(filter(None, (kind.lower(), parent.namespace, parent.name)))
    return [address.metadata.name, shown or NONE, age(address.metadata.creation_timestamp, now)]


IP_ADDRESSES: Final = Layout(
    (
        NAME,
        Column(
            "ParentRef",
            "parentRef references the resource that an IPAddress is attached to. An IPAddress must reference a parent "
            "object.",
        ),
        AGE,
    ),
    _address,
)


def _range(ranges: ServiceCIDR, now: float) -> list[Any]:
    return [ranges.metadata.name, ",".join(ranges.spec.cidrs), age(ranges.metadata.creation_timestamp, now)]


SERVICE_CIDRS: Final = Layout(
    (
        NAME,
        Column(
            "CIDRs",
            'cidrs defines the IP blocks in CIDR notation (e.g. "192.168.0.0/24" or "2001:db8::/64") from which to '
            "assign service cluster IPs. Max of two CIDRs is allowed, one of each IP family. This field is immutable.",
        ),
        AGE,
    ),
    _range,
)
