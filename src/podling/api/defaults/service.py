"""Defaults of a Service.

Must not know allocation: cluster addresses, address families and node ports come from the API server's strategy.
"""

from __future__ import annotations

from typing import Any

_CLIENT_IP_TIMEOUT = 10800
"""Seconds for which a client keeps its endpoint under session affinity: three hours."""


def apply_service(service: dict[str, Any]) -> None:
    """Fill in a Service."""
    spec = _child(service, "spec")
    _session_affinity(spec)
    kind = spec.get("type")
    if not kind:
        kind = spec["type"] = "ClusterIP"
    for port in spec.get("ports") or ():
        if not port.get("protocol"):
            port["protocol"] = "TCP"
        if port.get("targetPort") in {None, 0, ""}:
            port["targetPort"] = port.get("port") or 0
    exposed = kind in {"LoadBalancer", "NodePort"} or (kind == "ClusterIP" and bool(spec.get("externalIPs")))
    if exposed and not spec.get("externalTrafficPolicy"):
        spec["externalTrafficPolicy"] = "Cluster"
    if spec.get("internalTrafficPolicy") is None and kind in {"ClusterIP", "NodePort", "LoadBalancer"}:
        spec["internalTrafficPolicy"] = "Cluster"
    balancer = _child(_child(service, "status"), "loadBalancer")
    if kind == "LoadBalancer":
        if spec.get("allocateLoadBalancerNodePorts") is None:
            spec["allocateLoadBalancerNodePorts"] = True
        for ingress in balancer.get("ingress") or ():
            if ingress.get("ip") and ingress.get("ipMode") is None:
                ingress["ipMode"] = "VIP"


def _session_affinity(spec: dict[str, Any]) -> None:
    affinity = spec.get("sessionAffinity")
    if not affinity:
        affinity = spec["sessionAffinity"] = "None"
    if affinity == "None":
        spec.pop("sessionAffinityConfig", None)
    elif affinity == "ClientIP":
        config: dict[str, Any] = spec.get("sessionAffinityConfig") or {}
        client_ip: dict[str, Any] = config.get("clientIP") or {}
        if client_ip.get("timeoutSeconds") is None:
            spec["sessionAffinityConfig"] = {"clientIP": {"timeoutSeconds": _CLIENT_IP_TIMEOUT}}


def _child(tree: dict[str, Any], name: str) -> dict[str, Any]:
    child: dict[str, Any] | None = tree.get(name)
    if child is None:
        child = tree[name] = {}
    return child
