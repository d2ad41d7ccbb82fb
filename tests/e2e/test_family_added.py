"""A running single-stack cluster is given a second address family, and goes back to one: Pods are not touched by it."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable, Collection, Iterator
from ipaddress import ip_network
from typing import TypeVar

import pytest

from podling.linux import namespaces
from podling.linux.families import IPV6
from podling.linux.netlink import Netlink
from tests.families import needs_ipv6
from tests.running import RunningCluster, busybox_archive, eventually, free_port, pod_manifest
from tests.two_nodes import TwoNodes

pytestmark = [pytest.mark.root, needs_ipv6]
Answer = TypeVar("Answer")
_SERVE = "echo served > /index.html; httpd -f -p [::]:8080 -h /"


@pytest.fixture
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCluster]:
    folder = tmp_path_factory.mktemp("families")
    running = RunningCluster(folder / "data", free_port(), "oci")
    try:
        running.up("--ip-family", "ipv4", "--nodes", "2")
        running.podling("image", "load", str(busybox_archive(folder)))
        yield running
    finally:
        running.podling("down", check=False)


def again(cluster: RunningCluster, family: str) -> None:
    cluster.podling("down", "--keep-pods")
    cluster.up("--ip-family", family)
    cluster.wait_ready("web", "other", "afar")


def lives(cluster: RunningCluster) -> dict[str, tuple[str, str, int]]:
    """Return what must not change of each Pod."""
    found = {}
    for pod in cluster.get("pods")["items"]:
        (status,) = pod["status"]["containerStatuses"]
        name = pod["metadata"]["name"]
        found[name] = (pod["metadata"]["uid"], status["containerID"], status["restartCount"])
    return found


def addresses(cluster: RunningCluster) -> dict[str, list[str]]:
    found = cluster.get("pods")["items"]
    return {pod["metadata"]["name"]: [each["ip"] for each in pod["status"]["podIPs"]] for pod in found}


def nodes(cluster: RunningCluster) -> list[tuple[dict, list[str], list[str]]]:
    """Return of each Node what must not change, its ranges and its addresses."""
    found = []
    for node in cluster.get("nodes")["items"]:
        kept = {key: node["metadata"].get(key) for key in ("uid", "labels", "annotations")}
        kept["taints"] = [taint for taint in node["spec"].get("taints", ()) if taint["key"] == "kept"]
        internal = [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"]
        found.append((kept, node["spec"]["podCIDRs"], internal))
    return found


def fetched(two: TwoNodes, pod: str, address: str) -> bool:
    """Return whether a Pod is served at an address, asked from its network namespace."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with namespaces.inside(two.namespace(pod), lambda: socket.socket(family)) as connection:
        connection.settimeout(3)
        try:
            connection.connect((address, 8080))
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return connection.makefile().read().endswith("served\n")
        except OSError:
            return False


def inside(namespace: str, question: Callable[[Netlink], Answer]) -> Answer:
    def ask() -> Answer:
        with Netlink() as netlink:
            return question(netlink)

    return namespaces.inside(namespace, ask)


def global_addresses(namespace: str) -> set[str]:
    """Return the IPv6 addresses there, but for those of links."""
    held = inside(namespace, lambda netlink: netlink.addresses(IPV6))
    return {str(address) for address in held if not address.is_link_local and not address.is_loopback}


def routes_to(namespace: str, ranges: Collection[str]) -> list[str]:
    found = inside(namespace, lambda netlink: netlink.routes(IPV6))
    wholes = [ip_network(text) for text in ranges]
    return [str(it.destination) for it in found if any(it.destination.subnet_of(whole) for whole in wholes)]


def tables(namespace: str, instance: str) -> list[str]:
    within = ["nsenter", f"--net={namespace}"] if namespace else []
    listed = subprocess.run([*within, "nft", "list", "tables"], capture_output=True, text=True, check=True)
    return [line for line in listed.stdout.split() if instance in line]


def test_pods_live_on_through_a_change_of_families(cluster: RunningCluster) -> None:
    """Each Pod gets its address of the family that came and loses that of one that went, in its status and on its link;
    the same containers run on, and Nodes keep who they are and what users wrote into them."""
    first, second = sorted(node["metadata"]["name"] for node in cluster.get("nodes")["items"])
    pods = [
        json.loads(pod_manifest(name, "sh", "-c", _SERVE, nodeName=node))
        for name, node in (("web", first), ("other", first), ("afar", second))
    ]
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    cluster.wait_ready("web", "other", "afar")
    two = TwoNodes(cluster, "", nodes=[first, second])
    for node in (first, second):
        cluster.kubectl("label", "node", node, "disk=fast")
        cluster.kubectl("annotate", "node", node, "note=mine")
        cluster.kubectl("taint", "node", node, "kept=yes:NoSchedule")
    lived, single, node_before = lives(cluster), addresses(cluster), nodes(cluster)
    assert all(len(held) == 1 for held in single.values())
    assert [len(ranges) for _, ranges, _ in node_before] == [1, 1]

    again(cluster, "dual")
    both = eventually(lambda: all(len(held) == 2 for held in addresses(cluster).values()) and addresses(cluster))
    assert {name: held[:1] for name, held in both.items()} == single
    assert lives(cluster) == lived
    node_between = nodes(cluster)
    for (kept, ranges, internal), (kept_before, ranges_before, internal_before) in zip(
        node_between, node_before, strict=True
    ):
        assert kept == kept_before
        assert (len(ranges), ranges[:1]) == (2, ranges_before)
        assert (len(internal), internal[:1]) == (2, internal_before)
    for pod, target in (("other", "web"), ("afar", "web"), ("web", "afar")):
        for address in both[target]:
            eventually(lambda pod=pod, address=address: fetched(two, pod, address))

    again(cluster, "ipv4")
    eventually(lambda: addresses(cluster) == single)
    assert lives(cluster) == lived
    assert nodes(cluster) == node_before
    assert fetched(two, "afar", single["web"][0])
    for pod in ("web", "afar"):
        assert not global_addresses(two.namespace(pod)), f"{pod} has its address still"
    own = {internal[1] for _, _, internal in node_between}
    ranges = {held[1] for _, held, _ in node_between}
    for number in (0, 1):
        namespace = two.node_namespace(number)
        assert not own & global_addresses(namespace)
        assert routes_to(namespace, ranges) == []
        assert [name for name in tables(namespace, two.data.instance) if name.endswith("6")] == []
