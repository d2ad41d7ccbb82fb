"""Services, Pods and Nodes in few words, for the tables of this folder."""

from __future__ import annotations

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Node, Pod, Service


def service(name="web", *, labels=None, **spec):
    spec = {
        "clusterIP": "10.96.0.50",
        "ipFamilies": ["IPv4"],
        "selector": {"app": "web"},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": 8080}],
    } | spec
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": labels or {}}
    return from_tree(Service, {"metadata": meta, "spec": spec})


def pod(name, *ips, ready=True, node="n1", phase="Running", going=False, ports=(), **spec):
    meta = {"name": name, "namespace": "default", "uid": f"uid-{name}", "labels": {"app": "web"}}
    if going:
        meta |= {"deletionTimestamp": "2026-11-28T07:00:00Z", "deletionGracePeriodSeconds": 30}
    status = {"phase": phase, "conditions": [{"type": "Ready", "status": "True" if ready else "False"}]}
    if ips:
        status |= {"podIP": ips[0], "podIPs": [{"ip": ip} for ip in ips]}
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "i", "ports": list(ports)}]} | spec
    return from_tree(Pod, {"metadata": meta, "spec": spec, "status": status})


def node(name="n1", zone=None):
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    return from_tree(Node, {"metadata": {"name": name, "labels": labels}})


NODES = {"n1": node(), "n2": node("n2")}
