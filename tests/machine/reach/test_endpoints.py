"""Which endpoints a Service has: a table of Pods and what becomes of them."""

from __future__ import annotations

import pytest

from podling.reach import endpoints
from tests.machine.reach.reached import NODES, node, pod, service


def found(svc, *pods, nodes=NODES):
    return endpoints.find(svc, pods, nodes)


def flat(result):
    return [(ports.address_type, [p.port for p in ports.ports], e) for ports, each in result.items() for e in each]


@pytest.mark.parametrize(
    ("made", "publish", "expected"),
    [
        ({}, False, (True, True, False)),
        ({"ready": False}, False, (False, False, False)),
        ({"going": True}, False, (False, True, True)),
        ({"going": True, "ready": False}, False, (False, False, True)),
        ({"ready": False}, True, (True, False, False)),
        ({"going": True}, True, (True, True, True)),
        ({"going": True, "ready": False}, True, (True, False, True)),
        ({"phase": "Succeeded"}, False, None),
        ({"phase": "Failed"}, True, None),
        ({"phase": "Pending"}, False, (True, True, False)),
    ],
)
def test_conditions(made, publish, expected):
    """Ready, serving and terminating as upstream has them; a Pod that has ended is no endpoint."""
    result = flat(found(service(publishNotReadyAddresses=publish), pod("a", "10.0.0.1", **made)))
    shown = [(e.conditions.ready, e.conditions.serving, e.conditions.terminating) for _, _, e in result]
    assert shown == ([expected] if expected else [])


def test_a_pod_without_address_is_no_endpoint():
    assert flat(found(service(), pod("a"))) == []


def test_addresses_by_family():
    """A Pod has one endpoint in each family that the Service has, with its addresses of that family alone."""
    both = pod("a", "10.0.0.1", "fd00::1")
    assert [(t, e.addresses) for t, _, e in flat(found(service(), both))] == [("IPv4", ("10.0.0.1",))]
    dual = service(ipFamilies=["IPv6", "IPv4"])
    shown = [(t, e.addresses) for t, _, e in flat(found(dual, both, pod("b", "10.0.0.2")))]
    assert shown == [("IPv6", ("fd00::1",)), ("IPv4", ("10.0.0.1",)), ("IPv4", ("10.0.0.2",))]


def test_named_ports_are_each_pods_own():
    """Pods that give one name different numbers come into different port sets; who does not know it has no port."""
    svc = service(ports=[{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "web"}])
    old = pod("a", "10.0.0.1", ports=[{"name": "web", "containerPort": 8080}])
    new = pod("b", "10.0.0.2", ports=[{"name": "web", "containerPort": 9090}])
    udp = pod("c", "10.0.0.3", ports=[{"name": "web", "containerPort": 53, "protocol": "UDP"}])
    sidecar = {"name": "s", "image": "i", "restartPolicy": "Always", "ports": [{"name": "web", "containerPort": 7070}]}
    side = pod("d", "10.0.0.4", initContainers=[sidecar])
    shown = [(p, e.target_ref.name) for _, p, e in flat(found(svc, old, new, udp, side))]
    assert shown == [([8080], "a"), ([9090], "b"), ([], "c"), ([7070], "d")]


def test_what_an_endpoint_tells_of_its_pod():
    (shown,) = (e for _, _, e in flat(found(service(), pod("a", "10.0.0.1"), nodes={"n1": node(zone="east")})))
    assert (shown.node_name, shown.zone, shown.hostname) == ("n1", "east", None)
    target = shown.target_ref
    assert (target.kind, target.namespace, target.name, target.uid) == ("Pod", "default", "a", "uid-a")


def test_what_a_port_speaks_is_told():
    """`appProtocol` goes with the port, and is nothing where nothing is said."""
    ports = [{"name": "a", "port": 80, "appProtocol": "kubernetes.io/h2c"}, {"name": "b", "port": 81}]
    (shown,) = found(service(ports=ports), pod("a", "10.0.0.1"))
    assert [(p.name, p.app_protocol) for p in shown.ports] == [("a", "kubernetes.io/h2c"), ("b", None)]


@pytest.mark.parametrize(
    ("spec", "name"),
    [
        ({"hostname": "db-0", "subdomain": "web"}, "db-0"),
        ({"hostname": "db-0", "subdomain": "other"}, None),
        ({"hostname": "db-0"}, None),
        ({"subdomain": "web"}, None),
    ],
)
def test_a_hostname_only_below_its_own_subdomain(spec, name):
    (shown,) = (e for _, _, e in flat(found(service(clusterIP="None"), pod("a", "10.0.0.1", **spec))))
    assert shown.hostname == name


def test_a_pod_of_an_unknown_node_is_left_out():
    """Unless the Service publishes unready Pods, who may be anywhere."""
    stray = pod("a", "10.0.0.1", node="gone")
    assert [e.target_ref.name for _, _, e in flat(found(service(), stray, pod("b", "10.0.0.2")))] == ["b"]
    assert [e.target_ref.name for _, _, e in flat(found(service(publishNotReadyAddresses=True), stray))] == ["a"]


@pytest.mark.parametrize(
    ("distribution", "zone", "zones", "nodes"),
    [
        ("PreferClose", "east", ["east"], []),
        ("PreferSameZone", "east", ["east"], []),
        ("PreferSameNode", "east", ["east"], ["n1"]),
        ("PreferSameNode", None, [], ["n1"]),
        ("PreferClose", None, None, None),
        (None, "east", None, None),
    ],
)
def test_hints(distribution, zone, zones, nodes):
    svc = service(trafficDistribution=distribution)
    (shown,) = (e for _, _, e in flat(found(svc, pod("a", "10.0.0.1"), nodes={"n1": node(zone=zone)})))
    if zones is None:
        assert shown.hints is None
    else:
        assert ([z.name for z in shown.hints.for_zones], [n.name for n in shown.hints.for_nodes]) == (zones, nodes)
