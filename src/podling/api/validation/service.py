"""Services: ports, types, addresses and families, traffic policies, and which of these may change.

The server's strategy has filled in clusterIPs and families before. Must not know allocation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import cluster_addresses, formats, meta
from podling.api.validation.addresses import (
    check_cidr,
    check_ip,
    check_ordinary,
    parse,
)
from podling.api.validation.containers import check_protocol
from podling.api.validation.field import (
    METADATA,
    ROOT,
    SPEC,
    STATUS,
    Path,
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
)
from podling.api.validation.handlers import check_port

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import Service, ServicePort, ServiceSpec

_TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_POLICIES = ("Cluster", "Local")
_DISTRIBUTIONS = ("PreferClose", "PreferSameNode", "PreferSameZone")
_LONGEST_AFFINITY = 86400
_SOURCE_RANGES = "service.beta.kubernetes.io/load-balancer-source-ranges"
_HINTS = "service.kubernetes.io/topology-aware-hints"
_TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
_ONLY_BALANCER = "may only be used when `type` is 'LoadBalancer'"
_ONCE = "may not change once set"


def check_create(service: Service, causes: list[Cause]) -> None:
    """Check a Service, on create and on update alike."""
    spec = service.spec
    meta.check_create(service.metadata, causes, namespaced=True, name=formats.dns_1035_label)
    annotations = service.metadata.annotations
    hints, mode = annotations.get(_HINTS), annotations.get(_TOPOLOGY_MODE)
    if hints is not None and mode is not None and hints != mode:
        said = f"must match annotations[{_HINTS}] when both are specified"
        causes.append(invalid((METADATA / "annotations").key(_TOPOLOGY_MODE), mode, said))
    headless = cluster_addresses.is_headless(spec)
    if not spec.ports and not headless and spec.type != "ExternalName":
        causes.append(required(SPEC / "ports"))
    _check_type(spec, causes)
    names: set[str] = set()
    for i, port in enumerate(spec.ports):
        _check_port(port, len(spec.ports) > 1, names, (SPEC / "ports")[i], causes)
    if spec.selector:
        meta.check_labels(spec.selector, SPEC / "selector", causes)
    _check_affinity(spec, causes)
    if spec.type != "ExternalName":
        cluster_addresses.check_addresses(spec, causes)
    for i, address in enumerate(spec.external_ips):
        where = (SPEC / "externalIPs")[i]
        if check_ip(address, where, causes):
            check_ordinary(address, where, causes)
    if not spec.type:
        causes.append(required(SPEC / "type"))
    elif spec.type not in _TYPES:
        causes.append(not_supported(SPEC / "type", spec.type, _TYPES))
    _check_ports_together(spec, causes)
    _check_source_ranges(service, causes)
    balancer = spec.type == "LoadBalancer"
    if spec.allocate_load_balancer_node_ports is not None and not balancer:
        causes.append(forbidden(SPEC / "allocateLoadBalancerNodePorts", _ONLY_BALANCER))
    if balancer and spec.allocate_load_balancer_node_ports is None:
        causes.append(required(ROOT / "allocateLoadBalancerNodePorts"))
    _check_class(spec, causes)
    _check_traffic(spec, causes)


def check_update(new: Service, old: Service, causes: list[Cause]) -> None:
    """Check a change: addresses and families stay, unless a Service turns into or from an ExternalName."""
    meta.check_update(new.metadata, old.metadata, causes)
    if "ExternalName" not in {new.spec.type, old.spec.type}:
        cluster_addresses.check_kept(new.spec, old.spec, causes)
    if new.spec.type == old.spec.type == "LoadBalancer":
        after, before = new.spec.load_balancer_class, old.spec.load_balancer_class
        if after != before:
            causes.append(invalid(SPEC / "loadBalancerClass", after, _ONCE))
    _check_class(new.spec, causes)
    if needs_health_check(new.spec) and needs_health_check(old.spec):
        after_port, before_port = new.spec.health_check_node_port or 0, old.spec.health_check_node_port or 0
        if after_port != before_port:
            causes.append(forbidden(SPEC / "healthCheckNodePort", "field is immutable"))
    check_create(new, causes)


def check_status_update(new: Service, old: Service, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    balancer = new.status.load_balancer
    path = STATUS / "loadBalancer" / "ingress"
    ingresses = balancer.ingress if balancer is not None else ()
    if new.spec.type != "LoadBalancer" and ingresses:
        causes.append(forbidden(path, "may only be used when `spec.type` is 'LoadBalancer'"))
        return
    for i, ingress in enumerate(ingresses):
        where = path[i]
        if ingress.ip:
            check_ip(ingress.ip, where / "ip", causes)
        if ingress.ip_mode is None:
            if ingress.ip:
                causes.append(required(where / "ipMode", "must be specified when `ip` is set"))
        elif not ingress.ip:
            causes.append(forbidden(where / "ipMode", "may not be specified when `ip` is not set"))
        elif ingress.ip_mode not in {"Proxy", "VIP"}:
            causes.append(not_supported(where / "ipMode", ingress.ip_mode, ("Proxy", "VIP")))
        if ingress.hostname:
            invalid_each(where / "hostname", ingress.hostname, formats.dns_subdomain(ingress.hostname), causes)
            if parse(ingress.hostname) is not None:
                said = "must be a DNS name, not an IP address"
                causes.append(invalid(where / "hostname", ingress.hostname, said))


def is_externally_accessible(spec: ServiceSpec) -> bool:
    """Whether a Service is reached from outside the cluster, so that externalTrafficPolicy means something."""
    return spec.type in {"LoadBalancer", "NodePort"} or (spec.type == "ClusterIP" and bool(spec.external_ips))


def needs_health_check(spec: ServiceSpec) -> bool:
    return spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"


def _check_type(spec: ServiceSpec, causes: list[Cause]) -> None:
    if spec.type in {"LoadBalancer", "NodePort"}:
        if cluster_addresses.is_headless(spec):
            said = f"may not be set to 'None' for {spec.type} services"
            causes.append(invalid((SPEC / "clusterIPs")[0], "None", said))
    elif spec.type == "ExternalName":
        said = "may not be set for ExternalName services"
        for name, given in (
            ("clusterIPs", bool(spec.cluster_ips)),
            ("ipFamilies", bool(spec.ip_families)),
            ("ipFamilyPolicy", spec.ip_family_policy is not None),
        ):
            if given:
                causes.append(forbidden(SPEC / name, said))
        target = spec.external_name.removesuffix(".")
        if target:
            invalid_each(SPEC / "externalName", target, formats.dns_subdomain(target), causes)
        else:
            causes.append(required(SPEC / "externalName"))


def _check_port(port: ServicePort, needs_name: bool, names: set[str], path: Path, causes: list[Cause]) -> None:
    if port.name:
        invalid_each(path / "name", port.name, formats.dns_label(port.name), causes)
        if port.name in names:
            causes.append(duplicate(path / "name", port.name))
        names.add(port.name)
    elif needs_name:
        causes.append(required(path / "name"))
    invalid_each(path / "port", port.port, formats.port_number(port.port), causes)
    check_protocol(port.protocol, path / "protocol", causes)
    check_port(port.target_port if port.target_port is not None else 0, path / "targetPort", causes)
    if port.app_protocol is not None:
        invalid_each(path / "appProtocol", port.app_protocol, formats.qualified_name(port.app_protocol), causes)


def _check_affinity(spec: ServiceSpec, causes: list[Cause]) -> None:
    affinity, config = spec.session_affinity, spec.session_affinity_config
    if not affinity:
        causes.append(required(SPEC / "sessionAffinity"))
    elif affinity not in {"ClientIP", "None"}:
        causes.append(not_supported(SPEC / "sessionAffinity", affinity, ("ClientIP", "None")))
    path = SPEC / "sessionAffinityConfig"
    if affinity == "ClientIP":
        said = "when session affinity type is ClientIP"
        client = config.client_ip if config is not None else None
        timeout = client.timeout_seconds if client is not None else None
        if config is None:
            causes.append(required(path, said))
        elif client is None:
            causes.append(required(path / "clientIP", said))
        elif timeout is None:
            causes.append(required(path / "clientIP" / "timeoutSeconds", said))
        elif not 0 < timeout <= _LONGEST_AFFINITY:
            said = f"must be greater than 0 and less than {_LONGEST_AFFINITY}"
            causes.append(invalid(path / "clientIP" / "timeoutSeconds", timeout, said))
    elif affinity == "None" and config is not None:
        causes.append(forbidden(path, "must not be set when session affinity is None"))


def _check_ports_together(spec: ServiceSpec, causes: list[Cause]) -> None:
    path = SPEC / "ports"
    node_ports, ports = set(), set()
    for i, port in enumerate(spec.ports):
        if spec.type == "ClusterIP" and port.node_port:
            causes.append(forbidden(path[i] / "nodePort", "may not be used when `type` is 'ClusterIP'"))
    for i, port in enumerate(spec.ports):
        if port.node_port:
            if (port.protocol, port.node_port) in node_ports:
                causes.append(duplicate(path[i] / "nodePort", port.node_port))
            node_ports.add((port.protocol, port.node_port))
    for i, port in enumerate(spec.ports):
        if (port.protocol, port.port) in ports:
            shown = {
                "Name": "",
                "Protocol": port.protocol,
                "AppProtocol": None,
                "Port": port.port,
                "TargetPort": 0,
                "NodePort": 0,
            }
            causes.append(duplicate(path[i], shown))
        ports.add((port.protocol, port.port))


def _check_source_ranges(service: Service, causes: list[Cause]) -> None:
    spec = service.spec
    if spec.load_balancer_source_ranges:
        path = SPEC / "LoadBalancerSourceRanges"
        if spec.type != "LoadBalancer":
            causes.append(forbidden(path, _ONLY_BALANCER))
        for i, text in enumerate(spec.load_balancer_source_ranges):
            check_cidr(text.strip(), path[i], causes)
    elif _SOURCE_RANGES in service.metadata.annotations:
        path = (METADATA / "annotations").key(_SOURCE_RANGES)
        if spec.type != "LoadBalancer":
            causes.append(forbidden(path, _ONLY_BALANCER))
        value = service.metadata.annotations[_SOURCE_RANGES].strip()
        for text in value.split(",") if value else ():
            check_cidr(text.strip(), path, causes)


def _check_class(spec: ServiceSpec, causes: list[Cause]) -> None:
    name = spec.load_balancer_class
    if name is None:
        return
    if spec.type == "LoadBalancer":
        invalid_each(SPEC / "loadBalancerClass", name, formats.qualified_name(name), causes)
    else:
        causes.append(forbidden(SPEC / "loadBalancerClass", _ONLY_BALANCER))


def _check_traffic(spec: ServiceSpec, causes: list[Cause]) -> None:
    external, where = spec.external_traffic_policy, SPEC / "externalTrafficPolicy"
    if not is_externally_accessible(spec):
        if external:
            causes.append(invalid(where, external, "may only be set for externally-accessible services"))
    elif not external:
        causes.append(required(where))
    elif external not in _POLICIES:
        causes.append(not_supported(where, external, _POLICIES))
    port, where = spec.health_check_node_port or 0, SPEC / "healthCheckNodePort"
    if not needs_health_check(spec):
        if port:
            said = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'"
            causes.append(invalid(where, port, said))
    elif not port:
        causes.append(required(where))
    else:
        invalid_each(where, port, formats.port_number(port), causes)
    internal, where = spec.internal_traffic_policy, SPEC / "internalTrafficPolicy"
    if internal is None:
        if spec.type in {"ClusterIP", "NodePort", "LoadBalancer"}:
            causes.append(required(where))
    elif internal not in _POLICIES:
        causes.append(not_supported(where, internal, _POLICIES))
    distribution = spec.traffic_distribution
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        causes.append(not_supported(SPEC / "trafficDistribution", distribution, _DISTRIBUTIONS))
