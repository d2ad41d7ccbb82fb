"""What a Service keeps of its former self over an update, and what falls away with a change of its type.

Owns upstream's rules: who never saw an allocation does not lose it by leaving it out, who knows of one cluster address
alone means the first, and what the old type needed and the new one may not have is cleared, if the caller left it as it
was.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Spec = dict[str, Any]

_WITH_PORTS = frozenset({"NodePort", "LoadBalancer"})


def has_address(spec: Spec) -> bool:
    return spec.get("type") != "ExternalName"


def has_node_ports(spec: Spec) -> bool:
    return spec.get("type") in _WITH_PORTS


def has_health_check(spec: Spec) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def is_balanced(spec: Spec) -> bool:
    return spec.get("type") == "LoadBalancer"


def is_external(spec: Spec) -> bool:
    """Whether externalTrafficPolicy means something."""
    return has_node_ports(spec) or (spec.get("type") == "ClusterIP" and bool(spec.get("externalIPs")))


def keep_allocated(spec: Spec, before: Spec) -> None:
    """Fill in, from the stored object, what a caller who never saw the allocations left out."""
    if has_address(spec) and has_address(before):
        for key in ("clusterIP", "clusterIPs"):
            if not spec.get(key) and before.get(key):
                spec[key] = copy.copy(before[key])
    if has_node_ports(spec) and has_node_ports(before):
        held = {(port.get("protocol"), port.get("port")): port.get("nodePort") for port in before.get("ports") or ()}
        used = {port.get("nodePort") for port in spec.get("ports") or ()}
        for port in spec.get("ports") or ():
            kept = held.get((port.get("protocol"), port.get("port")))
            if not port.get("nodePort") and kept and kept not in used:
                port["nodePort"] = kept
    if has_health_check(spec) and has_health_check(before) and not spec.get("healthCheckNodePort"):
        _copy("healthCheckNodePort", spec, before)


def follow_primary(spec: Spec, before: Spec) -> None:
    """Let `clusterIPs` follow `clusterIP` where a caller changed or cleared this alone: older clients know no other."""
    address = spec.get("clusterIP") or ""
    if address != (before.get("clusterIP") or "") and _same_addresses(spec, before):
        spec["clusterIPs"] = [address] if address else []


def drop_outdated(spec: Spec, before: Spec) -> None:
    """Clear what the former type needed and the new one may not have; what the caller has changed is left to judge."""
    cleared: tuple[tuple[Callable[[Spec], bool], tuple[str, ...]], ...] = (
        (has_address, ("clusterIP", "clusterIPs")),
        (has_address, ("ipFamilies",)),
        (has_address, ("ipFamilyPolicy",)),
        (has_health_check, ("healthCheckNodePort",)),
        (is_balanced, ("allocateLoadBalancerNodePorts",)),
        (is_balanced, ("loadBalancerClass",)),
        (is_external, ("externalTrafficPolicy",)),
    )
    for needs, keys in cleared:
        if needs(before) and not needs(spec) and all(spec.get(key) == before.get(key) for key in keys):
            for key in keys:
                spec.pop(key, None)
    if has_node_ports(before) and not has_node_ports(spec) and _node_ports(spec) <= _node_ports(before):
        for port in spec.get("ports") or ():
            port.pop("nodePort", None)


def _same_addresses(spec: Spec, before: Spec) -> bool:
    return list(spec.get("clusterIPs") or ()) == list(before.get("clusterIPs") or ())


def _node_ports(spec: Spec) -> set[int]:
    return {port["nodePort"] for port in spec.get("ports") or () if port.get("nodePort")}


def _copy(key: str, spec: Spec, before: Spec) -> None:
    if before.get(key):
        spec[key] = before[key]
