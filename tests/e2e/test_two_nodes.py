"""Two nodes on one machine, with real containers: who reaches whom, and as whom they are seen."""

from __future__ import annotations

import json
import os
import select
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.lifecycle.traffic import EGRESS, INGRESS
from podling.linux import namespaces
from podling.linux.netlink import Netlink
from podling.network.links import link_prefix, node_link_prefix
from tests.running import RunningCluster, busybox_archive, eventually, free_port, pod_manifest
from tests.throughput import throughput
from tests.two_nodes import (
    HOST_PORT,
    MACHINE_SIDE,
    OUTSIDE,
    PORT,
    TCP,
    UDP,
    Answer,
    Caller,
    Target,
    TwoNodes,
    ask,
    ask_all,
    outside_machine,
    server_pod,
)

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoNodes]:
    folder = tmp_path_factory.mktemp("two")
    cluster = RunningCluster(folder / "data", free_port(), "oci")
    with outside_machine(folder) as outside:
        try:
            cluster.up("--nodes", "2")
            cluster.podling("image", "load", str(busybox_archive(folder)))
            two = TwoNodes(cluster, outside)
            two.learn()
            pods = []
            for number, node in enumerate(two.nodes, 1):
                pods += [
                    server_pod(f"server-{number}", node),
                    server_pod(f"host-{number}", node, host=two.node_addresses[number - 1]),
                    json.loads(pod_manifest(f"client-{number}", nodeName=node)),
                ]
            two.apply(*pods)
            cluster.wait_ready(*(pod["metadata"]["name"] for pod in pods))
            yield two
        finally:
            cluster.podling("down", check=False)


def callers(two: TwoNodes) -> list[Caller]:
    """Return who asks: Pods of both nodes, the nodes themselves, a machine outside."""
    pods = [two.pod_caller(name) for name in ("client-1", "client-2", "server-1", "server-2")]
    one, other = two.node_addresses
    nodes = [Caller("node-1", "", (one, MACHINE_SIDE)), Caller("node-2", two.node_namespace(1), (other,))]
    return [*pods, *nodes, Caller("outside", two.outside, (OUTSIDE,))]


def targets(two: TwoNodes) -> list[Target]:
    """Return what is asked."""
    found = [Target(name, two.address(name), PORT, name) for name in ("server-1", "server-2")]
    found += [Target(f"host-{n + 1}", two.node_addresses[n], HOST_PORT, f"host-{n + 1}") for n in range(2)]
    return [*found, Target("outside", OUTSIDE, PORT, "outside")]


def promised(caller: Caller, target: Target, two: TwoNodes) -> tuple[str, ...] | None:
    """Return as whom the server is promised to see the caller; `None` where nothing is promised.

    Pods reach all Pods and nodes without their addresses being rewritten, and nodes all Pods; the world sees the
    machine. Pods' addresses mean nothing outside, so from there they are not called.
    """
    if target.name == "outside":
        return None if caller.name == "outside" else (MACHINE_SIDE,)
    if caller.name == "outside":
        return caller.addresses if target.name.startswith("host-") else None
    return caller.addresses


def table(rows: dict[tuple[str, str], str], callers_: list[Caller], targets_: list[Target]) -> str:
    width = max(len(text) for text in [*rows.values(), *(it.name for it in targets_)])
    lines = ["caller".ljust(10) + "  ".join(it.name.ljust(width) for it in targets_)]
    for caller in callers_:
        lines.append(caller.name.ljust(10) + "  ".join(rows[caller.name, it.name].ljust(width) for it in targets_))
    return "\n".join(line.rstrip() for line in lines)


def test_who_reaches_whom(two: TwoNodes, capsys: pytest.CaptureFixture[str]) -> None:
    """Every promised pair answers over TCP and UDP, from the promised server, and is seen as promised."""
    asking, asked = callers(two), targets(two)
    pairs = [(caller, target) for caller in asking for target in asked if promised(caller, target, two)]
    calls = [(caller, protocol, target) for caller, target in pairs for protocol in (TCP, UDP)]
    answers = dict(zip(((c.name, t.name, p) for c, p, t in calls), ask_all(calls), strict=True))
    rows = {(caller.name, target.name): "-" for caller in asking for target in asked}
    wrong = []
    for caller, target in pairs:
        seen_as = promised(caller, target, two) or ()
        words = []
        for protocol in (TCP, UDP):
            answer = answers[caller.name, target.name, protocol]
            good = answer.server == target.answers and answer.seen in seen_as
            words.append(protocol if good else f"{protocol}!")
            if not good:
                wrong.append((caller.name, target.name, protocol, answer, seen_as))
        kept = set(seen_as) <= set(caller.addresses)
        rows[caller.name, target.name] = " ".join(words) + (" kept" if kept else " rewritten")
    with capsys.disabled():
        print("\nWho reaches whom (kept, rewritten: the source address that the server sees; -: nothing is promised)")
        print(table(rows, asking, asked))
    assert wrong == []


def test_containers_of_a_pod_share_their_loopback(two: TwoNodes) -> None:
    """What listens in a Pod is reached by its other containers at 127.0.0.1, and by no other Pod there."""
    inside = Caller("server-2", two.namespace("server-2"), ("127.0.0.1",))
    for protocol in (TCP, UDP):
        assert ask(inside, protocol, "127.0.0.1", PORT) == Answer("server-2", "127.0.0.1")
        assert ask(two.pod_caller("client-2"), protocol, "127.0.0.1", PORT).server == ""


def test_nobody_takes_anothers_address(two: TwoNodes) -> None:
    """Neither a Pod nor a whole node is heard under an address that is not its own, and outside none of the cluster's is."""
    server = two.address("server-1")
    stolen = [
        ("client-2", two.namespace("client-2"), two.address("client-1")),
        ("client-2", two.namespace("client-2"), two.node_addresses[1]),
        ("node-2", two.node_namespace(1), two.address("client-1")),
        ("node-2", two.node_namespace(1), OUTSIDE),
        ("outside", two.outside, two.address("client-2")),
    ]
    for name, namespace, address in stolen:
        heard = _heard_from(two, namespace, address, server)
        assert not heard, f"{name} was heard as {address}"


def _heard_from(two: TwoNodes, namespace: str, source: str, target: str) -> bool:
    """Send datagrams to `target` from a source that is not the caller's; return whether they came in.

    Answers go to the source's owner, so what came in is counted where it arrives: in the target's own namespace.
    """
    transparent = 19  # IP_TRANSPARENT

    def received() -> int:
        text = Path("/proc/thread-self/net/snmp").read_text()
        fields = [line.split() for line in text.splitlines() if line.startswith("Udp:")]
        return int(fields[1][fields[0].index("InDatagrams")])

    def open_socket() -> socket.socket:
        return socket.socket(socket.AF_INET, socket.SOCK_DGRAM)

    own = two.namespace("server-1")
    before = namespaces.inside(own, received)
    with namespaces.inside(namespace, open_socket) as sender:
        sender.setsockopt(socket.IPPROTO_IP, transparent, 1)
        sender.bind((source, 0))
        for _ in range(3):
            sender.sendto(b"?", (target, PORT))
    assert ask(two.pod_caller("client-1"), UDP, target, PORT).server == "server-1"
    return namespaces.inside(own, received) > before + 1


def test_the_apis_ports_ask_for_credentials(two: TwoNodes) -> None:
    """A Pod that knows no secret gets nothing from the API server's port and the kubelets' ports of both nodes."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    pod = two.pod_caller("client-2")
    for address, port, path, expected in (
        (two.node_addresses[0], two.cluster.port, "/api/v1/pods", "403"),
        (two.node_addresses[0], 10250, "/pods", "401"),
        (two.node_addresses[1], 10250, "/pods", "401"),
    ):
        answer = ""
        with namespaces.inside(pod.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM)) as plain:
            plain.settimeout(5)
            plain.connect((address, port))
            try:
                with context.wrap_socket(plain) as secured:
                    secured.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                    answer = secured.recv(1000).decode()
            except (ssl.SSLError, ConnectionError):
                answer = "refused"
        assert answer == "refused" or answer.split()[1] == expected, (address, port, answer)


def test_bandwidth_annotations(two: TwoNodes) -> None:
    """A Pod is held to what its annotations say, each way; nonsense is told in an event, as upstream's runtimes do."""
    bound = 16_000_000
    slow, silly = (json.loads(pod_manifest(name, nodeName=two.nodes[1])) for name in ("slow", "silly"))
    slow["metadata"]["annotations"] = dict.fromkeys((INGRESS, EGRESS), "16M")
    silly["metadata"]["annotations"] = {INGRESS: "1"}
    two.apply(slow, silly)
    two.cluster.wait_ready("slow")
    pins = {name: two.namespace(name) for name in ("slow", "client-1")}
    addresses = {name: two.address(name) for name in pins}
    for sender, receiver in (("client-1", "slow"), ("slow", "client-1")):
        rate = throughput(pins[sender], pins[receiver], addresses[receiver], 0.7)
        assert 0.6 < rate / bound < 1.2, f"from {sender}: {rate / 1e6:.1f} Mbit/s"

    def told() -> list[str]:
        events = two.cluster.get("events", "--field-selector=involvedObject.name=silly")["items"]
        return [event["message"] for event in events if event["reason"] == "FailedCreatePodSandBox"]

    assert "resource is unreasonably small (< 1kbit)" in eventually(told)[0]
    two.cluster.kubectl("delete", "pod", "slow", "silly")


def test_each_node_is_itself(two: TwoNodes) -> None:
    """Nodes have an address and a range each, a share of the machine, and streams reach a Pod wherever it is."""
    nodes = two.cluster.get("nodes")["items"]
    assert {node["spec"]["podCIDR"] for node in nodes} == {node["spec"]["podCIDRs"][0] for node in nodes}
    assert len({node["status"]["nodeInfo"]["machineID"] for node in nodes}) == 2
    memory = [int(node["status"]["capacity"]["memory"].removesuffix("Ki")) for node in nodes]
    assert sum(memory) * 1024 <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for number in (1, 2):
        assert two.cluster.kubectl("exec", f"client-{number}", "--", "hostname").stdout.strip() == f"client-{number}"
    assert two.cluster.kubectl("exec", "host-2", "--", "hostname").stdout.strip() == two.nodes[1]


def test_the_nodes_survive_a_kill(two: TwoNodes) -> None:
    """After kill -9 and `up` the Pods of both nodes are the same, and so are links and namespaces."""

    def state() -> dict[str, tuple[str, str, int]]:
        return {
            pod["metadata"]["name"]: (
                pod["status"]["podIP"],
                pod["status"]["containerStatuses"][0]["containerID"],
                pod["status"]["containerStatuses"][0]["restartCount"],
            )
            for pod in two.cluster.get("pods")["items"]
        }

    def links() -> list[tuple[str, int]]:
        prefixes = (link_prefix(two.data.instance), node_link_prefix(two.data.instance))

        def here() -> list[tuple[str, int]]:
            with Netlink() as netlink:
                return [(link.name, link.index) for link in netlink.links() if link.name.startswith(prefixes)]

        return here() + namespaces.inside(two.node_namespace(1), here)

    eventually(lambda: len(links()) == 1 + 4)  # what earlier tests deleted is gone
    before, wired = state(), links()
    handle = os.pidfd_open(two.cluster.pid)
    os.kill(two.cluster.pid, signal.SIGKILL)
    select.select([handle], [], [], 10)
    os.close(handle)
    two.cluster.up()  # as many nodes as before
    two.cluster.wait_ready(*before)
    assert state() == before
    assert links() == wired
    client = two.pod_caller("client-2")
    assert ask(client, TCP, before["server-1"][0], PORT) == Answer("server-1", client.addresses[0])


def test_a_node_that_is_no_more_wanted_goes(two: TwoNodes) -> None:
    """Started with fewer nodes, the surplus one's object, containers, namespaces and links are taken away.

    What volumes on it hold is not: whoever starts as many nodes again finds it.
    """
    two.cluster.podling("down", "--keep-pods")
    (two.data.nodes / two.nodes[1] / "volumes" / "kept").mkdir(parents=True)
    two.cluster.up("--nodes", "1")
    assert [node["metadata"]["name"] for node in two.cluster.get("nodes")["items"]] == two.nodes[:1]
    assert not two.data.pin(two.nodes[1]).exists()
    assert {path.name for path in (two.data.nodes / two.nodes[1]).iterdir()} == {"manifests", "volumes"}
    with Netlink() as netlink:
        prefix = node_link_prefix(two.data.instance)
        assert [link.name for link in netlink.links() if link.name.startswith(prefix)] == []
    assert ask(two.pod_caller("client-1"), TCP, two.address("server-1"), PORT).server == "server-1"
