"""Debian's CNI plugins wire the Pods of two nodes: everybody reaches everybody as who they are, also across nodes."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from podling.linux import namespaces
from podling.linux.families import IPV4
from podling.linux.netlink import Netlink
from podling.network.links import table_name
from tests.e2e.test_cni import PLUGINS
from tests.running import RunningCluster, busybox_archive, eventually, free_port
from tests.two_nodes import MAPPED_PORT, PORT, TCP, UDP, Caller, Target, TwoNodes, ask, ask_all, server_pod

pytestmark = [
    pytest.mark.root,
    pytest.mark.skipif(not (PLUGINS / "ptp").exists(), reason="containernetworking-plugins is not installed"),
]
SUBNETS = [f"172.{number}.{os.getpid() % 256}.0/24" for number in (30, 31)]
BRIDGE = f"pt{os.getpid()}"


@contextmanager
def started(folder: Path, configurations: Sequence[dict]) -> Iterator[TwoNodes]:
    """Start two nodes with one configuration for both, or one for each."""
    where = folder / "net.d"
    for place, configuration in zip((where, where / f"{socket.gethostname().lower()}-2"), configurations, strict=False):
        place.mkdir()
        (place / "10-test.conflist").write_text(json.dumps(configuration))
    cluster = RunningCluster(folder / "data", free_port(), "oci")
    try:
        cluster.up("--cni", str(where), "--nodes", "2")
        cluster.podling("image", "load", str(busybox_archive(folder)))
        two = TwoNodes(cluster, "")
        two.learn()
        first, second = two.nodes
        two.apply(
            server_pod("a1", first),
            server_pod("b1", first),
            server_pod("a2", second, host_port=MAPPED_PORT),
            server_pod("b2", second),
        )
        cluster.wait_ready("a1", "b1", "a2", "b2")
        yield two
    finally:
        cluster.podling("down", check=False)


def configuration(plugin: dict) -> dict:
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "1.0.0", "name": f"podling{os.getpid()}", "plugins": [plugin, ports]}


def host_local(folder: Path, subnet: str) -> dict:
    return {"type": "host-local", "subnet": subnet, "dataDir": str(folder / "leases"), "routes": [{"dst": "0.0.0.0/0"}]}


def leases(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "leases").glob("*/172.*"))


def lives(two: TwoNodes) -> dict[str, tuple[str, str, int]]:
    found = {}
    for pod in two.cluster.get("pods")["items"]:
        (status,) = pod["status"]["containerStatuses"]
        found[pod["metadata"]["name"]] = (pod["status"]["podIP"], status["containerID"], status["restartCount"])
    return found


def wrong(two: TwoNodes, names: Sequence[str] = ("a1", "b1", "a2", "b2"), nodes: int = 2) -> list[str]:
    """Say what is not as it should be, where every Pod and every node asks every Pod: the answer, and whom it saw."""
    pods = [two.pod_caller(name) for name in names]
    machines = [Caller(f"node {number}", two.node_namespace(number), ()) for number in range(nodes)]
    calls = [
        (caller, protocol, Target(pod.name, pod.addresses[0], PORT, pod.name))
        for caller in (*pods, *machines)
        for protocol in (TCP, UDP)
        for pod in pods
    ]
    found = []
    for (caller, protocol, target), answer in zip(calls, ask_all(calls), strict=True):
        if answer.server != target.answers or (caller.addresses and answer.seen not in caller.addresses):
            found.append(f"{caller.name} to {target.name} by {protocol}: {answer}")
    return found


def counted(two: TwoNodes) -> dict[tuple[str, str], int]:
    """Return how often the call graph saw who call whom over TCP."""
    calls = json.loads(two.cluster.podling("graph", "-o", "json").stdout)["calls"]
    return {
        (call["caller"].get("name", call["caller"]["kind"]), call["callee"].get("name", "")): call["observed"]["calls"]
        for call in calls
        if (call["port"], call["protocol"], call.get("service", "")) == (PORT, TCP, "")
    }


def shown(*words: str) -> str:
    return subprocess.run(words, capture_output=True, text=True, check=True).stdout


def ways(subnets: Sequence[str]) -> set[str]:
    """Return the routes of ours into the plugins' networks that the machine has."""
    with Netlink() as netlink:
        found = [route.destination for route in netlink.routes(IPV4) if route.protocol == 0x50]
    return {str(each[0]) for each in found if any(each.subnet_of(ip_network(text)) for text in subnets)}


def killed(cluster: RunningCluster) -> None:
    handle = os.pidfd_open(cluster.pid)
    os.kill(cluster.pid, signal.SIGKILL)
    select.select([handle], [], [], 10)
    os.close(handle)


def from_behind(two: TwoNodes, source: str, address: str) -> str:
    """Return what comes of a call from the second node with a source of the caller's choosing."""

    def call() -> socket.socket:
        with Netlink() as netlink:
            netlink.add_address(socket.if_nametoindex("lo"), ip_address(source))
        opened = socket.socket()
        opened.bind((source, 0))
        return opened

    with namespaces.inside(two.node_namespace(1), call) as connection:
        connection.settimeout(0.5)
        try:
            connection.connect((address, PORT))
        except TimeoutError:
            return "timeout"
        return "answered"


def test_one_network_over_two_nodes(tmp_path: Path) -> None:
    """Links of ptp with addresses of one pool: Pods see each other's own addresses, Services and policies hold across
    nodes, a port of the second node leads to its Pod, and all that while Podling is away and after it was killed. What a
    Pod had is taken back with it, and what a node's Pods had with the node, and at `down`."""
    links = {"type": "ptp", "ipMasq": True, "ipam": host_local(tmp_path, SUBNETS[0])}
    with started(tmp_path, [configuration(links)]) as two:
        cluster, before = two.cluster, lives(two)
        addresses = {name: address for name, (address, _, _) in before.items()}
        assert all(ip_address(address) in ip_network(SUBNETS[0]) for address in addresses.values())
        assert leases(tmp_path) == sorted(addresses.values())
        assert ways(SUBNETS) == {addresses["a2"], addresses["b2"]}
        assert wrong(two) == []
        # Each call counts once, for its Pods, whichever nodes see it; the nodes' own, by whatever address, are the nodes'.
        pairs = {(caller, called): 1 for caller in before for called in before if caller != called}
        eventually(lambda: {pair: count for pair, count in counted(two).items() if pair[0] in before} == pairs)
        seen = counted(two)
        assert {caller for caller, called in seen if called in before} == {*before, *two.nodes}
        assert all((node, name) in seen for node in two.nodes for name in before)

        for name in ("a1", "a2"):
            cluster.kubectl("expose", "pod", name, f"--port={PORT}")
            service = cluster.get("service", name)["spec"]["clusterIP"]
            for caller in ("b1", "b2"):
                eventually(lambda c=caller, s=service, n=name: ask(two.pod_caller(c), TCP, s, PORT).server == n)
        here = Caller("node", "", ())
        assert ask(here, TCP, two.node_addresses[1], MAPPED_PORT).server == "a2"
        assert ask(two.pod_caller("a1"), TCP, two.node_addresses[1], MAPPED_PORT).server == "a2"
        cluster.kubectl("exec", "b2", "--", "sh", "-c", f"echo | nc -w 3 {two.node_addresses[0]} {cluster.port}")

        policy = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "only-b1"},
            "spec": {
                "podSelector": {"matchLabels": {"app": "a2"}},
                "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "b1"}}}]}],
            },
        }
        two.apply(policy)
        eventually(lambda: ask(two.pod_caller("a1"), TCP, addresses["a2"], PORT, 0.5).seen == "timeout")
        assert ask(two.pod_caller("b1"), TCP, addresses["a2"], PORT).server == "a2"
        assert ask(two.pod_caller("b2"), TCP, addresses["a2"], PORT, 0.5).seen == "timeout"
        cluster.kubectl("delete", "networkpolicy", "only-b1")
        eventually(lambda: ask(two.pod_caller("a1"), TCP, addresses["a2"], PORT, 0.5).server == "a2")

        callers = {name: two.pod_caller(name) for name in before}
        killed(cluster)
        assert ask(callers["a1"], TCP, addresses["a2"], PORT).server == "a2"
        refused = cluster.podling("up", "--detach", "--port", str(cluster.port), "--runtime", "oci", check=False)
        assert "wired by CNI plugins" in refused.stderr
        cluster.up("--cni", str(tmp_path / "net.d"))
        cluster.wait_ready(*before)
        assert lives(two) == before
        assert wrong(two) == []

        table = table_name(two.data.instance)
        shown("nft", "delete", "table", "inet", table)
        eventually(lambda: table in shown("nft", "list", "tables"))
        assert wrong(two) == []

        cluster.kubectl("delete", "pod", "b2")
        eventually(lambda: addresses["b2"] not in leases(tmp_path))
        assert ways(SUBNETS) == {addresses["a2"]}
        # Nobody behind the node sends from what is no more given to a Pod there.
        assert from_behind(two, addresses["b2"], addresses["a1"]) == "timeout"

        cluster.podling("down", "--keep-pods")
        cluster.up("--cni", str(tmp_path / "net.d"), "--nodes", "1")
        assert leases(tmp_path) == sorted([addresses["a1"], addresses["b1"]])
        assert ways(SUBNETS) == set()
        assert wrong(two, ("a1", "b1"), nodes=1) == []
        cluster.podling("down")
        assert leases(tmp_path) == []
        rules = shown("iptables-save", "-t", "nat")
        assert not [address for address in addresses.values() if address in rules]


def test_a_network_for_each_node(tmp_path: Path) -> None:
    """Bridges, of which each node has its own network, in a folder of the node's name: they are joined."""

    def bridge(number: int) -> dict:
        ipam = host_local(tmp_path, SUBNETS[number])
        return configuration({"type": "bridge", "bridge": BRIDGE, "isGateway": True, "ipam": ipam})

    try:
        with started(tmp_path, [bridge(0), bridge(1)]) as two:
            before = lives(two)
            for name, (address, _, _) in before.items():
                assert ip_address(address) in ip_network(SUBNETS[name.endswith("2")])
            assert wrong(two) == []
            killed(two.cluster)
            two.cluster.up("--cni", str(tmp_path / "net.d"))
            two.cluster.wait_ready(*before)
            assert lives(two) == before
            assert wrong(two) == []
    finally:
        with Netlink() as netlink:
            netlink.delete_link(BRIDGE)
    assert leases(tmp_path) == []
