"""May A reach B: a small shop, asked from everywhere, and each thing that can stand in the way."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Namespace, Node, Pod, Service
from podling.api.types.discovery_v1 import EndpointSlice
from podling.api.types.networking_v1 import NetworkPolicy
from podling.reach.policy import dns_party
from podling.reach.reachable import Answer, reachable
from podling.reach.snapshot import End, Snapshot, parse_end


def pod(name: str, address: str, node: str = "n1", *, ready: bool = True, host: bool = False, **more: Any) -> Pod:
    phase = more.get("phase", "Running")
    status: dict[str, Any] = {
        "phase": phase,
        "conditions": [
            {"type": "ContainersReady", "status": "True" if ready or "gate" in more else "False"},
            {"type": "Ready", "status": "True" if ready else "False", "reason": "ContainersNotReady", "message": "because"},
        ],
        "containerStatuses": [{"name": "main", "ready": ready, "restartCount": 0, "image": "", "imageID": "", "state": more.get("state", {"running": {}})}],
    }  # fmt: skip
    if address:
        status |= {"podIP": address, "podIPs": [{"ip": ip} for ip in (address, *more.get("further", ()))]}
    container: dict[str, Any] = {"name": "main", **more.get("mapped", {})}
    if more.get("probe"):
        container["readinessProbe"] = {"tcpSocket": {"port": 80}}
    spec: dict[str, Any] = {"nodeName": node, "containers": [container], "hostNetwork": host}
    if "gate" in more:
        spec["readinessGates"] = [{"conditionType": more["gate"]}]
    metadata = {"name": name, "namespace": more.get("namespace", "default"), "labels": {"app": name.split("-")[0]}}
    if more.get("gone"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    return from_tree(Pod, {"metadata": metadata, "spec": spec, "status": status})


def service(name: str, address: str, **spec: Any) -> Service:
    ports = spec.pop("ports", [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}])
    status = spec.pop("status", {})
    tree = {
        "clusterIP": address,
        "clusterIPs": [address],
        "type": "ClusterIP",
        "ports": ports,
        "selector": {"app": name},
    }
    return from_tree(
        Service, {"metadata": {"name": name, "namespace": "default"}, "spec": tree | spec, "status": status}
    )


def slice_(name: str, *endpoints: tuple[str, str, bool]) -> EndpointSlice:
    return from_tree(
        EndpointSlice,
        {
            "metadata": {"name": f"{name}-1", "namespace": "default", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv6" if any(":" in address for address, _, _ in endpoints) else "IPv4",
            "ports": [{"name": "http", "port": 8080, "protocol": "TCP"}],
            "endpoints": [
                {"addresses": [address], "nodeName": node, "conditions": {"ready": ready}}
                for address, node, ready in endpoints
            ],
        },
    )


def policy(name: str, **spec: Any) -> NetworkPolicy:
    return from_tree(NetworkPolicy, {"metadata": {"name": name, "namespace": "default"}, "spec": spec})


def node(name: str, *addresses: str) -> Node:
    entries = [{"type": "InternalIP", "address": address} for address in addresses]
    return from_tree(Node, {"metadata": {"name": name}, "status": {"addresses": entries}})


SHOP = {
    "pods": [pod("web-1", "10.244.0.2"), pod("web-2", "10.244.1.2", "n2"), pod("client", "10.244.0.3"), pod("host", "10.0.0.1", host=True)],
    "nodes": [node("n1", "10.0.0.1"), node("n2", "10.0.0.2")],
    "services": [
        service("web", "10.96.0.7"),
        service("open", "10.96.0.8", type="NodePort", selector={"app": "web"},
                ports=[{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}]),
        service("local", "10.96.0.9", type="LoadBalancer", externalTrafficPolicy="Local", selector={"app": "web"},
                ports=[{"name": "http", "port": 80, "nodePort": 30081}],
                status={"loadBalancer": {"ingress": [{"ip": "10.97.0.1"}]}}),
        service("bare", "None"),
        service("alias", "", type="ExternalName", externalName="db.example", clusterIPs=[]),
        service("lonely", "10.96.0.10"),
        service("manual", "10.96.0.11", selector={}),
    ],
    "slices": [
        slice_("web", ("10.244.0.2", "n1", True), ("10.244.1.2", "n2", True)),
        slice_("open", ("10.244.0.2", "n1", True), ("10.244.1.2", "n2", True)),
        slice_("local", ("10.244.1.2", "n2", True)),
        slice_("bare", ("10.244.0.2", "n1", True)),
    ],
    "namespaces": [from_tree(Namespace, {"metadata": {"name": "default", "labels": {}}})],
}  # fmt: skip


def ask(caller: str, callee: str, protocol: str = "TCP", **changed: Any) -> Answer:
    snapshot = Snapshot(**{**SHOP, **changed}, first_node="n1")  # type: ignore[arg-type]
    return reachable(snapshot, parse_end(caller, is_callee=False), parse_end(callee, is_callee=True), protocol)


DENY = policy("deny", podSelector={}, policyTypes=["Ingress", "Egress"])
FROM_CLIENT = policy("from-client", podSelector={"matchLabels": {"app": "web"}}, policyTypes=["Ingress"],
                     ingress=[{"from": [{"podSelector": {"matchLabels": {"app": "client"}}}], "ports": [{"port": 8080}]}])  # fmt: skip
TO_WEB = policy(
    "to-web",
    podSelector={"matchLabels": {"app": "client"}},
    policyTypes=["Egress"],
    egress=[{"to": [{"podSelector": {"matchLabels": {"app": "web"}}}]}],
)
ONE_BLOCK = policy("block", podSelector={"matchLabels": {"app": "web"}}, policyTypes=["Ingress"],
                   ingress=[{"from": [{"ipBlock": {"cidr": "10.0.0.0/24"}}]}])  # fmt: skip

QUESTIONS: list[tuple[str, str, dict[str, Any], str, str]] = [
    # caller, callee, what is otherwise, verdict, what a reason says
    ("client", "web-1:8080", {}, "yes", "no NetworkPolicy stands between"),
    ("client", "svc/web", {}, "yes", "cluster IP 10.96.0.7 of Service default/web"),
    ("client", "10.96.0.7:80", {}, "yes", "Pod default/web-2 port 8080"),
    ("client", "svc/web:81", {}, "no", "has no port 81/TCP; it has 80/TCP"),
    ("client", "svc/nothing:80", {}, "no", "there is no Service default/nothing"),
    ("other/client", "web-1:80", {}, "no", "there is no Pod other/client"),
    ("node/n3", "web-1:80", {}, "no", "there is no Node n3"),
    ("client", "svc/bare:80", {}, "yes", "its name leads to its endpoints"),
    ("client", "svc/alias:80", {}, "no", "is a name for db.example alone"),
    ("client", "svc/lonely", {}, "no", "its selector app=lonely matches no Pod of namespace default"),
    ("client", "svc/manual", {}, "no", "it has no selector, and nobody has given it endpoints"),
    ("client", "10.0.0.2:30080", {}, "yes", "node port 30080 of Service default/open"),
    ("client", "192.0.2.1:443", {}, "yes", "is outside the cluster"),
    ("client", "node/n2:22", {}, "yes", "nothing keeps"),
    ("host", "web-2:8080", {}, "yes", "no NetworkPolicy"),
    ("outside", "svc/web", {}, "no", "cluster IP 10.96.0.7 of Service default/web means nothing outside"),
    ("outside", "web-1:8080", {}, "no", "means nothing outside the cluster"),
    ("outside", "svc/bare", {}, "no", "mean nothing outside"),
    ("outside", "10.0.0.1:30080", {}, "yes", "node port 30080"),
    ("192.0.2.9", "10.0.0.2:30081", {}, "yes", "Pod default/web-2"),
    ("192.0.2.9", "10.0.0.1:30081", {}, "no", "traffic policy is Local, and no endpoint of it is on Node n1"),
    ("client", "10.97.0.1:80", {}, "yes", "load balancer 10.97.0.1"),  # within the cluster its policy does not count
    # policies, each end's
    ("client", "svc/web", {"policies": [DENY]}, "no", "NetworkPolicy default/deny isolates Pod default/client for egress"),
    ("client", "192.0.2.1:443", {"policies": [DENY]}, "no", "for egress"),
    ("client", "svc/web", {"policies": [FROM_CLIENT]}, "yes", "allowed by NetworkPolicy default/from-client (Ingress)"),
    ("client", "web-1:9090", {"policies": [FROM_CLIENT]}, "no", "isolates Pod default/web-1 for ingress"),
    ("web-1", "svc/web", {"policies": [FROM_CLIENT]}, "sometimes", "isolates Pod default/web-2 for ingress"),  # itself, always
    ("node/n1", "svc/web", {"policies": [FROM_CLIENT]}, "sometimes", "isolates Pod default/web-2"),  # its own Pods, always
    ("outside", "10.0.0.1:30080", {"policies": [ONE_BLOCK]}, "sometimes", "isolates Pod default/web-1"),  # itself, then n1
    ("10.0.0.9", "10.0.0.1:30080", {"policies": [ONE_BLOCK]}, "yes", "allowed by NetworkPolicy default/block"),
    ("client", "10.0.0.2:30080", {"policies": [FROM_CLIENT]}, "sometimes", "isolates Pod default/web-1"),  # behind n2 it is n2
    ("client", "10.0.0.1:30080", {"policies": [FROM_CLIENT]}, "sometimes", "isolates Pod default/web-2"),  # behind n1 it is n1
    ("client", "10.0.0.2:30080", {"policies": [TO_WEB]}, "no", "isolates Pod default/client for egress"),  # n2 is no Pod
    ("client", "10.0.0.1:30080", {"policies": [TO_WEB]}, "yes", "allowed by NetworkPolicy default/to-web (Egress)"),
    ("192.0.2.9", "10.0.0.2:30081", {"policies": [ONE_BLOCK]}, "no", "isolates Pod default/web-2"),  # kept
    # endpoints that are none
    ("client", "svc/web", {"slices": [], "pods": [pod("web-1", "10.244.0.2", ready=False, probe=True), SHOP["pods"][2]]},
     "no", "Pod web-1 is not Ready: the readiness probe of container main does not succeed"),
    ("client", "svc/web", {"slices": [], "pods": [pod("web-1", "10.244.0.2", ready=False, gate="up"), SHOP["pods"][2]]},
     "no", "its readiness gate up is not True"),
    ("client", "svc/web", {"slices": [], "pods": [pod("web-1", "10.244.0.2", ready=False, state={"waiting": {"reason": "CrashLoopBackOff"}}), SHOP["pods"][2]]},
     "no", "container main waits: CrashLoopBackOff"),
    ("client", "svc/web", {"slices": [], "pods": [pod("web-1", "", phase="Pending", ready=False), SHOP["pods"][2]]},
     "no", "Pod web-1 has no address yet: its phase is Pending"),
    ("client", "svc/web", {"slices": [], "pods": [pod("web-1", "10.244.0.2", ready=False, gone=True), SHOP["pods"][2]]},
     "no", "Pod web-1 is terminating"),
    ("client", "web-1:80", {"pods": [pod("web-1", "10.244.0.2", phase="Failed"), SHOP["pods"][2]]}, "no", "is over: its phase is Failed"),
    ("client", "web-1", {}, "no", "which port of Pod default/web-1?"),
]  # fmt: skip


@pytest.mark.parametrize(("caller", "callee", "changed", "verdict", "says"), QUESTIONS)
def test_who_may_reach_whom(caller: str, callee: str, changed: dict[str, Any], verdict: str, says: str) -> None:
    """Each answer has its verdict and names what decides."""
    answer = ask(caller, callee, **changed)
    assert answer.verdict == verdict, answer
    assert says in str(answer), answer


def test_a_host_port_is_its_pods() -> None:
    """Where a Pod has a port of its node, policies of the Pod decide; another protocol's and another node's is nobody's."""
    ports = {"ports": [{"containerPort": 8080, "hostPort": 8088, "protocol": "TCP"}]}
    pods = [pod("web-1", "10.244.0.2", mapped=ports), *SHOP["pods"][1:]]
    assert ask("client", "node/n1:8088", pods=pods).verdict == "yes"
    answer = ask("10.0.0.2", "node/n1:8088", pods=pods, policies=[DENY])
    assert answer.verdict == "no"
    assert "host port 8088 of Node n1" in str(answer)
    assert ask("10.0.0.2", "node/n1:8088", "UDP", pods=pods, policies=[DENY]).verdict == "yes"
    assert ask("10.0.0.1", "node/n2:8088", pods=pods, policies=[DENY]).verdict == "yes"
    assert ask("client", "node/n1:8088", pods=pods, policies=[DENY, FROM_CLIENT, TO_WEB]).verdict == "yes"


def test_the_clusters_dns_is_judged_as_a_pod() -> None:
    """A policy that opens egress to k8s-app=kube-dns of kube-system alone lets questions pass."""
    to = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    only_dns = policy("only-dns", podSelector={}, policyTypes=["Egress"], egress=[{"to": [to]}])
    named = service("dns", "10.96.0.12", ports=[{"name": "http", "port": 53, "targetPort": 8080, "protocol": "TCP"}])
    changed = {
        "services": [*SHOP["services"], named],
        "slices": [*SHOP["slices"], slice_("dns", ("10.244.0.53", "n1", True))],
        "policies": [only_dns],
        "stand_ins": [dns_party(("10.244.0.53",), "n1")],
        "namespaces": [
            from_tree(Namespace, {"metadata": {"name": name, "labels": {}}}) for name in ("default", "kube-system")
        ],
    }
    assert ask("client", "svc/dns", **changed).verdict == "yes"
    assert ask("client", "svc/web", **changed).verdict == "no"


def test_each_address_is_judged_by_its_own_family() -> None:
    """A block of IPv6 lets callers pass to a Pod's IPv6 address alone; they are seen by their own of that family."""
    pods = [pod("web-1", "10.244.0.2", further=["fd00::2"]), pod("client", "10.244.0.9", further=["fd00::9"])]
    block = {"from": [{"ipBlock": {"cidr": "fd00::9/128"}}]}
    six = policy("six", podSelector={"matchLabels": {"app": "web"}}, ingress=[block])
    assert ask("client", "[fd00::2]:80", pods=pods, policies=[six]).verdict == "yes"
    assert ask("client", "10.244.0.2:80", pods=pods, policies=[six]).verdict == "no"
    assert ask("10.244.0.9", "[fd00::2]:80", pods=pods, policies=[six]).verdict == "yes"


def test_protocols_are_told_apart() -> None:
    """A TCP port is no UDP port."""
    assert ask("client", "svc/web:80", "UDP").verdict == "no"


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("web", End("pod", "web", "default", "")),
        ("shop/web:80", End("pod", "web", "shop", "80")),
        ("pod/web:80", End("pod", "web", "default", "80")),
        ("svc/shop/web:http", End("svc", "web", "shop", "http")),
        ("node/n1:22", End("node", "n1", "default", "22")._replace(namespace="")),
        ("10.0.0.1:80", End("address", "10.0.0.1", "", "80")),
        ("[2001:db8::1]:80", End("address", "2001:db8::1", "", "80")),
        ("2001:db8::1", End("address", "2001:db8::1", "", "")),
    ],
)
def test_ends_are_named_as_people_write_them(text: str, end: End) -> None:
    """Namespaces default, ports go behind a colon, IPv6 addresses in brackets."""
    assert parse_end(text, is_callee=True) == end


@pytest.mark.parametrize(("text", "callee"), [("", True), ("", False), ("a/b/c", True), ("deploy/a/b", False)])
def test_what_names_nothing_is_refused(text: str, callee: bool) -> None:
    """With the forms that there are."""
    with pytest.raises(ValueError, match="write \\[pod/\\]"):
        parse_end(text, is_callee=callee)
