"""Who may reach whom where there are two address families: in those that both ends have, and told apart where it matters."""

from __future__ import annotations

from typing import Any

import pytest

from podling.reach.reachable import Answer
from podling.reach.snapshot import End, parse_end
from tests.machine.reach.test_reachable import ask, node, pod, policy, service, slice_

DUAL = ["IPv4", "IPv6"]


def both(name: str, number: int, **more: Any) -> Any:
    return pod(name, f"10.244.0.{number}", further=[f"FD00:10:244::{number}"], **more)


def faced(name: str, number: int, **spec: Any) -> Any:
    addresses = [f"10.96.0.{number}", f"fd00:10:96::{number}"]
    return service(name, addresses[0], **({"clusterIPs": addresses, "ipFamilies": DUAL} | spec))


MAPPED = {"ports": [{"containerPort": 8080, "hostPort": 8088, "hostIP": "0.0.0.0", "protocol": "TCP"}]}
NODE_PORT = [{"name": "http", "port": 80, "targetPort": 8080, "nodePort": 30080}]
SHOP: dict[str, Any] = {
    "pods": [
        both("web-1", 2, mapped=MAPPED),
        both("client", 3),
        pod("old", "10.244.0.4"),
        pod("new", "fd00:10:244::5"),
        pod("host", "10.0.0.1", host=True),
    ],
    "nodes": [node("n1", "10.0.0.1", "fd00::1"), node("n2", "10.0.0.2", "fd00::2")],
    "services": [
        faced("web", 7),
        service("four", "10.96.0.8", selector={"app": "web"}, ipFamilies=["IPv4"], type="NodePort", ports=NODE_PORT),
        service("six", "fd00:10:96::9", selector={"app": "web"}, ipFamilies=["IPv6"]),
        service("heads", "None", selector={"app": "web"}, ipFamilies=DUAL),
        faced("half", 10, selector={}),
        faced("aged", 11, selector={"app": "old"}),
        faced("shown", 12, selector={"app": "web"}, type="LoadBalancer",
              status={"loadBalancer": {"ingress": [{"ip": "10.97.0.1"}, {"ip": "FD00:10:97:0::1"}]}}),
    ],
    "slices": [
        *(slice_(name, ("10.244.0.2", "n1", True)) for name in ("web", "four", "heads", "half", "shown")),
        *(slice_(name, ("FD00:10:244::2", "n1", True)) for name in ("web", "six", "heads", "shown")),
        slice_("aged", ("10.244.0.4", "n1", True)),
    ],
}  # fmt: skip
FROM_SIX = policy("six-only", podSelector={"matchLabels": {"app": "web"}}, policyTypes=["Ingress"],
                  ingress=[{"from": [{"ipBlock": {"cidr": "fd00:10:244::/56"}}]}])  # fmt: skip
TO_FOUR = policy("four-only", podSelector={"matchLabels": {"app": "client"}}, policyTypes=["Egress"],
                 egress=[{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}])  # fmt: skip


def question(caller: str, callee: str, *policies: Any) -> Answer:
    return ask(caller, callee, **SHOP, policies=policies)


@pytest.mark.parametrize(
    ("caller", "callee", "policies", "expected"),
    [
        (
            "client", "web-1:8080", [],
            [
                "yes",
                "Pod default/web-1 port 8080: no NetworkPolicy stands between",
            ],
        ),
        (
            "client", "svc/web", [],
            [
                "yes",
                "cluster IP 10.96.0.7 of Service default/web",
                "cluster IP fd00:10:96::7 of Service default/web",
                "Pod default/web-1 port 8080: no NetworkPolicy stands between",
            ],
        ),
        (
            "client", "svc/heads:80", [],
            [
                "yes",
                "Service default/heads has no address: its name leads to its endpoints",
                "Pod default/web-1 port 8080: no NetworkPolicy stands between",
            ],
        ),
        (
            "client", "svc/web", [FROM_SIX],
            [
                "sometimes",
                "IPv4: no",
                "IPv4: cluster IP 10.96.0.7 of Service default/web",
                "IPv4: NetworkPolicy default/six-only isolates Pod default/web-1 for ingress, and lets no call Pod default/client → Pod default/web-1 pass",
                "IPv6: yes",
                "IPv6: cluster IP fd00:10:96::7 of Service default/web",
                "IPv6: Pod default/web-1 port 8080: allowed by NetworkPolicy default/six-only (Ingress)",
            ],
        ),
        (
            "client", "svc/half", [],
            [
                "sometimes",
                "IPv4: yes",
                "IPv4: cluster IP 10.96.0.10 of Service default/half",
                "IPv4: Pod default/web-1 port 8080: no NetworkPolicy stands between",
                "IPv6: no",
                "IPv6: cluster IP fd00:10:96::10 of Service default/half",
                "IPv6: it has no selector, and nobody has given it endpoints",
            ],
        ),
        (
            "old", "svc/six", [],
            [
                "no",
                "Pod default/old has no IPv6 address, and Service default/six has no other",
            ],
        ),
        (
            "new", "svc/four", [],
            [
                "no",
                "Pod default/new has no IPv4 address, and Service default/four has no other",
            ],
        ),
        (
            "new", "old:80", [],
            [
                "no",
                "Pod default/new has no IPv4 address, and Pod default/old has no other",
            ],
        ),
        (
            "192.0.2.9", "[fd00::1]:22", [],
            [
                "no",
                "192.0.2.9, outside has no IPv6 address, and fd00::1 has no other",
            ],
        ),
    ],
)  # fmt: skip
def test_the_whole_answer(caller: str, callee: str, policies: list[Any], expected: list[str]) -> None:
    """What both families have in common is said once; where they differ, each says what holds for it."""
    answer = question(caller, callee, *policies)
    assert [answer.verdict, *answer.reasons] == expected


@pytest.mark.parametrize(
    ("caller", "callee", "policies", "verdict", "says"),
    [
        # a Service of one family: the other does not count
        ("client", "svc/four", [FROM_SIX], "no", "isolates Pod default/web-1 for ingress"),
        ("client", "svc/six", [FROM_SIX], "yes", "cluster IP fd00:10:96::9 of Service default/six"),
        ("client", "svc/four", [TO_FOUR], "yes", "allowed by NetworkPolicy default/four-only (Egress)"),
        ("client", "svc/six", [TO_FOUR], "no", "isolates Pod default/client for egress"),
        ("client", "web-1:8080", [TO_FOUR], "sometimes", "IPv6: no"),
        ("old", "svc/web", [FROM_SIX], "no", "isolates Pod default/web-1"),
        ("new", "svc/web", [FROM_SIX], "yes", "cluster IP fd00:10:96::7"),
        # an address says which family is meant, however it is written
        ("client", "[fd00:10:96::7]:80", [FROM_SIX], "yes", "allowed by NetworkPolicy default/six-only"),
        ("client", "10.96.0.7:80", [FROM_SIX], "no", "isolates Pod default/web-1"),
        ("client", "[FD00:10:96:0::7]:80", [], "yes", "cluster IP fd00:10:96::7"),
        ("client", "[fd00:10:244::2]:8080", [FROM_SIX], "yes", "Pod default/web-1 port 8080"),
        ("[fd00:10:244::3]", "[fd00:10:97::1]:80", [FROM_SIX], "yes", "load balancer fd00:10:97::1"),
        ("fd00:10:244::3", "10.97.0.1:80", [FROM_SIX], "no", "isolates Pod default/web-1"),
        ("client", "[2001:db8::1]:443", [TO_FOUR], "no", "isolates Pod default/client for egress"),
        ("client", "192.0.2.1:443", [TO_FOUR], "yes", "outside the cluster"),
        # ports of nodes are somebody's in some families
        ("outside", "node/n1:30080", [], "yes", "node port 30080 of Service default/four"),
        ("outside", "10.0.0.1:30080", [FROM_SIX], "no", "isolates Pod default/web-1"),
        ("outside", "[fd00::1]:30080", [FROM_SIX], "yes", "nothing keeps a caller from outside from Node n1"),
        ("client", "node/n1:8088", [FROM_SIX], "no", "host port 8088 of Node n1"),
        ("client", "[fd00::1]:8088", [FROM_SIX], "yes", "nothing keeps"),
        ("client", "node/n2:22", [], "yes", "nothing keeps Pod default/client from Node n2"),
        ("client", "node/n2:22", [TO_FOUR], "sometimes", "IPv6: NetworkPolicy default/four-only isolates"),
        # from outside
        ("outside", "svc/shown", [], "yes", "load balancer fd00:10:97::1 of Service default/shown"),
        ("2001:db8::9", "svc/shown", [FROM_SIX], "no", "isolates Pod default/web-1"),
        ("outside", "svc/web", [], "no", "cluster IP fd00:10:96::7 of Service default/web means nothing outside"),
        # why there is nobody
        ("client", "svc/aged", [], "sometimes", "IPv6: Pod old has no IPv6 address"),
    ],
)  # fmt: skip
def test_each_family_is_judged_by_its_own_addresses(
    caller: str, callee: str, policies: list[Any], verdict: str, says: str
) -> None:
    """Faces, endpoints, blocks and ports of nodes: those of one family say nothing of the other."""
    answer = question(caller, callee, *policies)
    assert answer.verdict == verdict, answer
    assert says in str(answer), answer


@pytest.mark.parametrize("text", ["[fd00::5]", "fd00::5", "FD00:0::5"])
def test_a_caller_may_be_written_as_a_callee_is(text: str) -> None:
    assert parse_end(text, is_callee=False) == End("address", "fd00::5", "", "")
