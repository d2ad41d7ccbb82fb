"""Which endpoints a Service has: its Pods as endpoints, with what they answer on and whether they may be called.

Owns membership (a Pod with an address that has not ended), the conditions ready, serving and terminating, target ports,
and the hints that say for whom an endpoint is. Knows no slices and no proxy. Invariants: from the moment of its
deletionTimestamp a Pod is not ready, whatever its probes say, unless the Service publishes the unready ones; Pods whose
ports differ (a named port is each Pod's own) never share a port set; order is that of the Pods given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.api.pods import is_ready, is_terminal, sidecars
from podling.api.types.core_v1 import ObjectReference
from podling.api.types.discovery_v1 import (
    Endpoint,
    EndpointConditions,
    EndpointHints,
    EndpointPort,
    ForNode,
    ForZone,
)
from podling.api.validation.addresses import family_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.types.core_v1 import Node, Pod, Service, ServicePort

SERVICE_NAME: Final = "kubernetes.io/service-name"
"""The label by which an EndpointSlice names its Service."""
ZONE: Final = "topology.kubernetes.io/zone"
_TRUE: Final = EndpointConditions(ready=True, serving=True, terminating=False)
_FALSE: Final = EndpointConditions(ready=False, serving=False, terminating=False)
_CONDITIONS: Final = {
    (c.ready, c.serving, c.terminating): c
    for c in (
        _TRUE,
        _FALSE,
        EndpointConditions(ready=False, serving=True, terminating=True),
        EndpointConditions(ready=False, serving=False, terminating=True),
        EndpointConditions(ready=True, serving=False, terminating=False),
        EndpointConditions(ready=True, serving=True, terminating=True),
        EndpointConditions(ready=True, serving=False, terminating=True),
    )
}


class PortSet(Struct, frozen=True):
    """What the endpoints of a slice have in common: address type and ports."""

    address_type: str
    ports: tuple[EndpointPort, ...]


def is_headless(service: Service) -> bool:
    return service.spec.cluster_ip == "None"


def families(service: Service) -> Sequence[str]:
    """Return the address families that a Service is reached by."""
    if service.spec.ip_families:
        return service.spec.ip_families
    return (family_name(service.spec.cluster_ip),)


def addresses(pod: Pod) -> Sequence[str]:
    """Return all addresses of a Pod; older writers fill in the single one alone."""
    several = tuple(each.ip for each in pod.status.pod_ips)
    return several or ((pod.status.pod_ip,) if pod.status.pod_ip else ())


def is_member(pod: Pod, *, terminating: bool = True) -> bool:
    """Whether a Pod that the selector matches is an endpoint; `terminating` is whether one that is deleted may be."""
    if is_terminal(pod) or not addresses(pod):
        return False
    return terminating or pod.metadata.deletion_timestamp is None


def conditions(pod: Pod, service: Service) -> EndpointConditions:
    serving = is_ready(pod)
    terminating = pod.metadata.deletion_timestamp is not None
    ready = bool(service.spec.publish_not_ready_addresses) or (serving and not terminating)
    return _CONDITIONS[ready, serving, terminating]


def target_port(pod: Pod, port: ServicePort) -> int | None:
    """Return the number by which a Pod serves a Service's port; `None` where it has no port of that name."""
    wanted = port.target_port
    if wanted is None or wanted in (0, ""):
        return port.port
    if isinstance(wanted, int):
        return wanted
    protocol = port.protocol or "TCP"
    for container in (*pod.spec.containers, *sidecars(pod)):
        for offered in container.ports:
            if offered.name == wanted and (offered.protocol or "TCP") == protocol:
                return offered.container_port
    return None


def ports(service: Service, pod: Pod) -> tuple[EndpointPort, ...]:
    """Return the ports that a Pod has for a Service; those whose name it does not know are left out."""
    found = []
    for port in service.spec.ports:
        number = target_port(pod, port)
        if number is not None:
            found.append(
                EndpointPort(name=port.name, port=number, protocol=port.protocol, app_protocol=port.app_protocol)
            )
    return tuple(found)


def hostname(pod: Pod, service: Service) -> str | None:
    """Return the name that a Pod has below the Service's: only where its subdomain is the Service."""
    spec = pod.spec
    named = spec.hostname and spec.subdomain == service.metadata.name
    return spec.hostname if named and pod.metadata.namespace == service.metadata.namespace else None


def reference(pod: Pod) -> ObjectReference:
    meta = pod.metadata
    return ObjectReference(kind="Pod", namespace=meta.namespace, name=meta.name, uid=meta.uid)


def endpoint(pod: Pod, service: Service, node: Node | None, family: str) -> Endpoint | None:
    """Return a Pod as an endpoint of one address family; `None` where it has no address of it."""
    own = tuple(address for address in addresses(pod) if family_name(address) == family)
    if not own:
        return None
    zone = node.metadata.labels.get(ZONE) if node is not None else None
    return Endpoint(
        addresses=own,
        conditions=conditions(pod, service),
        hints=hints(service, pod.spec.node_name or None, zone),
        hostname=hostname(pod, service),
        node_name=pod.spec.node_name or None,
        target_ref=reference(pod),
        zone=zone,
    )


def hints(service: Service, node: str | None, zone: str | None) -> EndpointHints | None:
    """Return for whom an endpoint is, as `trafficDistribution` has it: for its zone, or for its own Node first."""
    match service.spec.traffic_distribution:
        case "PreferClose" | "PreferSameZone":
            return EndpointHints(for_zones=(ForZone(name=zone),)) if zone else None
        case "PreferSameNode":
            zones = (ForZone(name=zone),) if zone else ()
            return EndpointHints(for_nodes=(ForNode(name=node),), for_zones=zones) if node else None
        case _:
            return None


def find(service: Service, pods: Iterable[Pod], nodes: Mapping[str, Node]) -> Mapping[PortSet, Sequence[Endpoint]]:
    """Return the endpoints of `service` among the `pods` that its selector matches, by port set.

    As upstream: a Pod whose Node is unknown is left out, until that is heard of; a Service that publishes unready Pods
    has it all the same.
    """
    chosen = [pod for pod in pods if is_member(pod)]
    found: dict[PortSet, list[Endpoint]] = {}
    offered: dict[str, tuple[EndpointPort, ...]] = {}
    named = any(isinstance(port.target_port, str) for port in service.spec.ports)
    for family in families(service):
        same: list[Endpoint] | None = None
        for pod in chosen:
            node = nodes.get(pod.spec.node_name)
            name = pod.metadata.name
            if node is None and not service.spec.publish_not_ready_addresses:
                continue
            made = endpoint(pod, service, node, family)
            if made is None:
                continue
            if same is not None and not named:  # numbers are all Pods' own alike
                same.append(made)
                continue
            if name not in offered:
                offered[name] = ports(service, pod)
            same = found.setdefault(PortSet(family, offered[name]), [])
            same.append(made)
    return found
