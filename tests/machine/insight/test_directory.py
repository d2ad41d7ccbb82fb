"""Whose an address is: Pods, Nodes and Services by the addresses of both families, and which flows count."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import msgspec
import pytest

from podling.api.codec import from_tree
from podling.api.times import from_wire
from podling.api.types.core_v1 import Node, Pod, Service
from podling.client.flows import Block
from podling.insight.directory import NOBODY, OUTSIDE, Directory, Party
from podling.reach import policy as reach
from tests.machine.insight.test_ledger import flow


def pod(name: str, address: str, node: str = "n1", *, uid: str = "", phase: str = "Running", host: bool = False) -> Pod:
    return from_tree(
        Pod,
        {
            "metadata": {"name": name, "namespace": "default", "uid": uid or name},
            "spec": {"nodeName": node, "containers": [], "hostNetwork": host},
            "status": {"phase": phase, "podIPs": [{"ip": address}]},
        },
    )


def directory() -> Directory:
    made = Directory([IPv4Network("10.244.0.0/16"), IPv6Network("fd00:10:244::/56")], "n1")
    for name, address in (("n1", "10.244.0.1"), ("n2", "10.244.1.1")):
        made.place_node(
            from_tree(
                Node,
                {"metadata": {"name": name}, "status": {"addresses": [{"type": "InternalIP", "address": address}]}},
            )
        )
    made.place_pod(pod("a", "10.244.0.2"))
    made.place_pod(pod("b", "10.244.1.3", "n2"))
    made.place_service(
        from_tree(
            Service,
            {
                "metadata": {"name": "web", "namespace": "default"},
                "spec": {
                    "clusterIP": "10.96.0.7",
                    "clusterIPs": ["10.96.0.7"],
                    "externalIPs": ["192.0.2.1"],
                    "ports": [{"port": 80, "nodePort": 30080}, {"port": 53, "protocol": "UDP", "name": "d"}],
                },
            },
        )  # fmt: skip
    )
    return made


def test_services_are_known_by_each_of_their_faces() -> None:
    """Cluster address, external address, node port on a node's address; another port or protocol is none of them."""
    known = directory()
    faces = [("10.96.0.7", "TCP", 80), ("192.0.2.1", "TCP", 80), ("10.244.0.1", "TCP", 30080), ("10.96.0.7", "UDP", 53)]
    assert [known.service(*face) for face in faces] == ["default/web"] * 4
    assert known.service("10.96.0.7", "TCP", 53) == ""
    assert known.service("10.244.0.2", "TCP", 30080) == ""  # a Pod's own port of that number
    known.forget_service("default/web")
    assert [known.service(*face) for face in faces] == [""] * 4


def dual() -> Directory:
    """A cluster of both families: a Node, two Pods, a Service with every face of each, one of IPv4 alone."""
    made = Directory([IPv4Network("10.244.0.0/16"), IPv6Network("fd00:10:244::/56")], "n1")
    internal = [{"type": "InternalIP", "address": address} for address in ("10.244.0.1", "fd00:10:244::1")]
    made.place_node(from_tree(Node, {"metadata": {"name": "n1"}, "status": {"addresses": internal}}))
    for name, addresses in (("a", ("10.244.0.2", "fd00:10:244::2")), ("b", ("10.244.0.3", "FD00:10:244:0::3"))):
        status = {"phase": "Running", "podIPs": [{"ip": address} for address in addresses]}
        tree = {"metadata": {"name": name, "namespace": "default", "uid": name}, "status": status}
        made.place_pod(from_tree(Pod, tree | {"spec": {"nodeName": "n1", "containers": []}}))
    for name, number, spec in (
        ("web", 30080, {"ipFamilies": ["IPv4", "IPv6"], "clusterIPs": ["10.96.0.7", "fd00:10:96::7"]}),
        ("old", 30081, {"ipFamilies": ["IPv4"], "clusterIPs": ["10.96.0.8"]}),
    ):
        front = {"externalIPs": ["2001:DB8:0::1"]} if name == "web" else {}
        tree = {
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [{"port": 80, "nodePort": number}], **spec, **front},
            "status": {"loadBalancer": {"ingress": [{"ip": "fd00:10:97::1"}] if front else []}},
        }
        made.place_service(from_tree(Service, tree))
    return made


@pytest.mark.parametrize(
    ("address", "port", "service"),
    [
        ("10.96.0.7", 80, "default/web"),
        ("fd00:10:96::7", 80, "default/web"),
        ("2001:db8::1", 80, "default/web"),
        ("fd00:10:97::1", 80, "default/web"),
        ("10.244.0.1", 30080, "default/web"),
        ("fd00:10:244::1", 30080, "default/web"),
        ("10.244.0.1", 30081, "default/old"),
        ("fd00:10:244::1", 30081, ""),  # that port is the Service's in IPv4 alone
        ("fd00:10:244::2", 30080, ""),  # a Pod's own port of that number
        ("fd00:10:96::7", 81, ""),
    ],
)
def test_a_service_is_known_by_the_faces_of_both_families(address: str, port: int, service: str) -> None:
    """However an object writes them: the kernel tells of an address in one form alone."""
    assert dual().service(address, "TCP", port) == service


def test_addresses_of_both_families_are_one_pods() -> None:
    """Calls by either count for the same edge, and one that nobody has is still the cluster's."""
    known = dual()
    four = known.edge(flow(1, caller="10.244.0.2", callee="10.244.0.3", called="10.96.0.7"))
    six = known.edge(flow(1, caller="fd00:10:244::2", callee="fd00:10:244::3", called="fd00:10:96::7"))
    assert four == six and (six.caller.name, six.callee.name, six.service) == ("a", "b", "default/web")
    assert known.counts(flow(1, caller="fd00:10:244::2", callee="2001:db8::9"))
    assert known.party("fd00:10:244::1") == Party("Node", "", "n1")
    assert (known.party("fd00:10:244::77"), known.party("fd00:11::1")) == (NOBODY, OUTSIDE)
    assert known.awaits("fd00:10:244:5::77") and not known.awaits("2001:db8::1")
    known.place_stand_in(reach.Party("10.244.0.53", "kube-dns", "kube-system", node="n1", further=("fd00:10:244::53",)))
    assert known.party("fd00:10:244::53") == known.party("10.244.0.53") == Party("Pod", "kube-system", "kube-dns")


def test_a_flow_between_nodes_counts_at_its_callers() -> None:
    """Seen by both nodes it counts once; what comes from outside counts at the first node."""
    known = directory()
    seen = [known.counts(flow(1, node=node, caller="10.244.0.2", callee="10.244.1.3")) for node in ("n1", "n2")]
    assert seen == [True, False]
    outside = [known.counts(flow(1, node=node, caller="192.0.2.9", callee="10.244.1.3")) for node in ("n1", "n2")]
    assert outside == [True, False]
    from_node = [known.counts(flow(1, node=node, caller="10.244.1.1", callee="10.244.0.2")) for node in ("n1", "n2")]
    assert from_node == [False, True]


def test_the_clusters_dns_counts_as_a_pod() -> None:
    """Questions to it have a callee with a name, and count at the caller's."""
    known = directory()
    known.place_stand_in(reach.Party("10.244.0.53", "kube-dns", "kube-system", node="n1"))
    asked = flow(1, caller="10.244.1.3", callee="10.244.0.53", node="n2", protocol="UDP", port=53)
    assert known.counts(asked) and known.edge(asked).callee == Party("Pod", "kube-system", "kube-dns")


def test_a_flow_is_no_older_than_the_clusters_dns() -> None:
    """An address of its may have been a Pod's of a cluster that is gone; the kernel remembers its flows for minutes."""
    known = directory()
    known.place_stand_in(reach.Party("10.244.0.53", "kube-dns", "kube-system", node="n1"), since=100.0)
    seen = flow(1, caller="10.244.0.77", callee="10.244.0.53")
    assert [known.counts(seen, started) for started in (99.0, 101.0)] == [False, True]


def test_a_flow_is_no_older_than_its_pods() -> None:
    """What the kernel still holds of who had the address before counts for nobody; nor does what has no Pod at all."""
    known = directory()
    young = pod("young", "10.244.0.9")
    known.place_pod(
        msgspec.structs.replace(
            young, metadata=msgspec.structs.replace(young.metadata, creation_timestamp="2026-01-01T00:00:10Z")
        )
    )
    made = from_wire("2026-01-01T00:00:10Z")
    late = flow(1, caller="10.244.0.9", callee="10.244.0.2")
    assert [known.counts(late, started) for started in (made - 1, made, 0.0)] == [False, True, True]
    early = flow(1, caller="10.244.0.2", callee="10.244.0.9")
    assert not known.counts(early, made - 1)
    assert not known.counts(flow(1, caller="10.244.0.1", callee="10.244.0.1"))


def test_an_address_is_its_last_pods() -> None:
    """A Pod that is gone keeps its address until another has it; one that has ended takes none from who runs."""
    known = directory()
    assert known.party("10.244.0.2") == Party("Pod", "default", "a", "a")
    assert not known.place_pod(pod("a", "10.244.0.2"))
    assert known.place_pod(pod("c", "10.244.0.2"))
    assert not known.place_pod(pod("a", "10.244.0.2", phase="Succeeded"))
    assert known.party("10.244.0.2").name == "c"
    assert not known.place_pod(pod("h", "10.244.0.1", host=True))
    assert known.party("10.244.0.1") == Party("Node", "", "n1")
    assert (known.party("10.244.0.77"), known.party("192.0.2.1")) == (NOBODY, OUTSIDE)
    assert known.awaits("10.244.0.77") and not known.awaits("192.0.2.1") and not known.awaits("2001:db8::1")


def test_a_stopped_attempt_names_both_ends() -> None:
    """Policies are asked behind the Service: the edge is that of the two Pods."""
    edge = directory().blocked_edge(Block("n1", "TCP", "10.244.0.2", "10.244.1.3", 8080, "default/deny", "Ingress"))
    assert (edge.caller.name, edge.callee.name, edge.service, edge.port) == ("a", "b", "", 8080)


def test_addresses_outside_the_ranges_are_the_clusters_once_pods_have_them() -> None:
    """Plugins give what they like: until the watch tells of the Pod, its flows wait as those of our own ranges do."""
    known = dual()
    assert not known.awaits("172.29.0.5") and known.party("172.29.0.5") == OUTSIDE
    known.expect("n1", ["172.29.0.5", "10.244.0.2"], ["172.29.0.1"])
    known.expect("n2", [], ["172.29.0.1"])
    for node in ("n1", "n2"):  # a gateway of both, each to its own Pods
        assert known.party("172.29.0.1", node) == Party("Node", "", node)
        probe = flow(1, node=node, caller="172.29.0.1", callee="10.244.0.2")
        assert known.counts(probe) and known.edge(probe).caller.name == node
    assert known.party("172.29.0.1", "n3") == OUTSIDE
    assert known.awaits("172.29.0.5") and not known.awaits("10.244.0.2")
    assert known.party("172.29.0.5") == NOBODY
    assert known.place_pod(pod("c", "172.29.0.5"))
    assert not known.awaits("172.29.0.5") and known.party("172.29.0.5").name == "c"
    assert known.counts(flow(1, caller="172.29.0.5", callee="192.0.2.1"))
    known.expect("n1", (f"172.29.{number // 256}.{number % 256}" for number in range(10_000)))
    assert known.awaits("172.29.39.15") and not known.awaits("172.29.0.6")
