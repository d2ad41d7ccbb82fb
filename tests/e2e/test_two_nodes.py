"""Two nodes on one machine, with real containers: who reaches whom, and as whom they are seen."""

from __future__ import annotations

import itertools
import json
import os
import select
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from podling.cli.admin import ask as ask_admin
from podling.cluster.data_dir import DataDir
from podling.kubelet.stats_machine import machine_cpu_nanoseconds
from podling.lifecycle.traffic import EGRESS, INGRESS
from podling.linux import mounts, namespaces
from podling.linux.families import FAMILIES, IPV4, Family, family_of
from podling.linux.netlink import Netlink
from podling.network.links import link_prefix, node_link_prefix, table_name
from tests.running import RunningCluster, busybox_archive, eventually, free_port, pod_manifest
from tests.throughput import throughput
from tests.two_nodes import (
    FAMILIES_HERE,
    HOST_PORT,
    MACHINE_SIDES,
    MAPPED_PORT,
    OUTSIDES,
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
                    server_pod(f"server-{number}", node, host_port=MAPPED_PORT),
                    server_pod(
                        f"host-{number}", node, host=[each[number - 1] for each in two.every_node_address.values()]
                    ),
                    json.loads(pod_manifest(f"client-{number}", nodeName=node)),
                ]
            two.apply(*pods)
            cluster.wait_ready(*(pod["metadata"]["name"] for pod in pods))
            yield two
        finally:
            cluster.podling("down", check=False)
        assert left_over(two.data) == []


def left_over(data: DataDir) -> list[str]:
    """Return what a cluster that is down has left in the kernel."""
    prefixes = (link_prefix(data.instance), node_link_prefix(data.instance))
    with Netlink() as netlink:
        found = [link.name for link in netlink.links() if link.name.startswith(prefixes)]
    tables = subprocess.run(["nft", "list", "tables"], capture_output=True, text=True, check=True).stdout
    found += [line for line in tables.splitlines() if table_name(data.instance) in line]
    found += [point.target for point in mounts.table() if data.instance in point.target]
    found += [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/podling-{data.instance}")]
    return [*found, *([str(data.run)] if data.run.exists() else [])]


EXTERNAL = {family: str(ip_address(OUTSIDES[family]) + (1 << 16)) for family in FAMILIES_HERE}
"""Addresses that the outside routes to the cluster."""
UNDER_POLICIES = (
    ("server-1", {"ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "client-2"}}},
                                        *({"ipBlock": {"cidr": str(ip_network(OUTSIDES[family]))}}
                                          for family in FAMILIES_HERE)]}]}),
    ("client-1", {"policyTypes": ["Egress"],
                  "egress": [{"to": [{"podSelector": {"matchLabels": {"app": "server-2"}}}]}]}),
)  # fmt: skip
"""server-1 is called by client-2 and from outside alone; client-1 calls server-2 alone."""


@dataclass(frozen=True)
class Way:
    """Something to call, and what upstream's documents promise of the way there."""

    name: str
    target: Target
    home: int | None
    """The node of whoever answers."""
    kind: str = "direct"
    """direct, cluster (a cluster address), external (from outside too), local (external, for the node's own alone), or
    port (of a node, led to its Pod)."""
    through: int | None = None
    """The node whose port it is; else the caller's own, and for the outside the machine."""


def callers(two: TwoNodes, family: Family) -> list[Caller]:
    """Return who asks: Pods of both nodes, the nodes themselves, a machine outside."""
    pods = [two.pod_caller(name, family) for name in ("client-1", "client-2", "server-1", "server-2")]
    with Netlink() as netlink:
        machine = tuple(map(str, netlink.addresses(family)))
    other = two.every_node_address[family][1]
    nodes = [Caller("node-1", "", machine), Caller("node-2", two.node_namespace(1), (other,))]
    return [*pods, *nodes, Caller("outside", two.outside, (OUTSIDES[family],))]


def home(caller: str) -> int | None:
    """Return the node that a caller is on."""
    return None if caller == "outside" else int(caller[-1]) - 1


def services() -> list[dict]:
    """Return a Service of each type with one server behind it, over TCP and UDP."""
    ports = [{"name": p.lower(), "protocol": p, "port": 80, "targetPort": PORT} for p in (TCP, UDP)]
    specs = {
        "one": {"type": "NodePort", "selector": {"app": "server-1"}},
        "two": {"type": "NodePort", "selector": {"app": "server-2"}},
        "local": {"type": "NodePort", "selector": {"app": "server-2"}, "externalTrafficPolicy": "Local"},
        "balanced": {"type": "LoadBalancer", "selector": {"app": "server-2"}},
        "external": {"selector": {"app": "server-1"}, "externalIPs": list(EXTERNAL.values())},
    }
    common = {"ports": ports, "ipFamilyPolicy": "PreferDualStack"}
    return [
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": {**spec, **common}}
        for name, spec in specs.items()
    ]


def ways(two: TwoNodes, family: Family) -> list[Way]:
    """Return what is called."""
    found: list[Way] = []
    place = FAMILIES_HERE.index(family)

    def add(
        name: str, address: str, port: int, answers: str, node: int | None,
        kind: str = "direct", through: int | None = None,
    ) -> None:  # fmt: skip
        found.append(Way(name, Target("", address, port, answers), node, kind, through))

    nodes = list(enumerate(two.every_node_address[family]))
    servers = [(0, "server-1", "one"), (1, "server-2", "two")]
    for n, server, _ in servers:
        add(f"pod {n + 1}", two.address(server, family), PORT, server, n)
    for n, server, name in servers:
        spec = two.cluster.get("service", name)["spec"]
        add(f"Service {n + 1}", spec["clusterIPs"][place], 80, server, n, "cluster")
        for at, address in nodes:
            add(f"NodePort {n + 1}, node {at + 1}", address, node_port(spec), server, n, "external", at)
    port = node_port(two.cluster.get("service", "local")["spec"])
    for at, address in nodes:
        add(f"local port 2, node {at + 1}", address, port, "server-2", 1, "local", at)
    balanced = eventually(lambda: two.cluster.get("service", "balanced")["status"]["loadBalancer"].get("ingress"))
    add("load balancer 2", balanced[place]["ip"], 80, "server-2", 1, kind="external")
    add("external IP 1", EXTERNAL[family], 80, "server-1", 0, kind="external")
    for at, address in nodes:
        add(f"host port {at + 1}", address, MAPPED_PORT, f"server-{at + 1}", at, "port", at)
    for at, address in nodes:
        add(f"host {at + 1}", address, HOST_PORT, f"host-{at + 1}", at)
    add("outside", OUTSIDES[family], PORT, "outside", None)
    return found


def node_port(spec: dict) -> int:
    """Return the port of the nodes, which is one for both protocols."""
    (port,) = {port["nodePort"] for port in spec["ports"]}
    return port


def promised(caller: Caller, way: Way, two: TwoNodes, family: Family) -> tuple[str, ...] | None:
    """Return as whom the server is promised to see the caller; `None` where nothing is promised.

    Pods reach all Pods and nodes, and nodes all Pods, without their addresses being rewritten; the world sees the
    machine. Whoever calls a Service from inside keeps its address, unless it calls itself. A port of a node, a balancer's
    address and an external one rewrite all callers to the node that they come in at, so that answers find back; with the
    policy Local none, and then a node answers itself, its Pods, and of the rest those who ask at the endpoint's own node.
    Addresses of Pods and Services mean nothing outside.
    """
    here = home(caller.name)
    itself = caller.name == way.target.answers
    if way.name == "outside":
        return None if here is None else (MACHINE_SIDES[family],)
    if here is None and (way.name.startswith("pod") or way.kind == "cluster"):
        return None
    if way.kind == "local" and way.through not in {way.home, here}:
        return None
    if way.kind == "external" or (itself and way.kind != "direct"):
        at = enters(caller, way)
        return (two.every_node_address[family][at], *(caller.addresses if caller.name == f"node-{at + 1}" else ()))
    if way.kind in {"local", "port"} and caller.name.startswith("node"):
        return (*caller.addresses, two.every_node_address[family][way.through or 0])
    return caller.addresses


def enters(caller: Caller, way: Way) -> int:
    """Return the node at which a Service's address becomes a server's."""
    if way.through is not None:
        return way.through
    here = home(caller.name)
    return 0 if here is None else here


def allowed(caller: Caller, way: Way) -> bool:
    """Return whether the policies let the caller through, by what they say and what each node sees."""
    here = home(caller.name)
    if caller.name == "client-1":
        # Judged on its own node: there a port of another node is that node's, and its own node it always reaches.
        if way.through == 1 or (way.kind == "direct" and way.name in {"pod 1", "host 2", "outside"}):
            return False
        return way.target.answers == "server-2" or way.name == "host 1"
    if way.target.answers != "server-1":
        return True
    if caller.name == "server-1":
        # Itself it always reaches, by whatever name; but at another node's port it comes back as that node.
        return way.through != 1
    if here == way.home:
        return way.through != 1 and not caller.name.startswith("client")
    rewritten = way.kind == "external" and enters(caller, way) != way.home
    return caller.name in {"client-2", "outside"} and not rewritten


def table(cells: dict[tuple[str, str], str], callers_: list[Caller], ways_: list[Way]) -> str:
    """Return the cells, a line for each thing that is called."""
    width = max(map(len, cells.values()))
    lines = [" " * 22 + "  ".join(caller.name.ljust(width) for caller in callers_)]
    for way in ways_:
        lines.append(way.name.ljust(22) + "  ".join(cells[caller.name, way.name].ljust(width) for caller in callers_))
    return "\n".join(line.rstrip() for line in lines)


def foretell(two: TwoNodes, caller: Caller, way: Way) -> bool:
    """Return what `podling graph --reachable` says of a pair as it is now."""
    family = family_of(ip_address(way.target.address))
    names = {"outside": OUTSIDES[family], "node-1": f"node/{two.nodes[0]}", "node-2": f"node/{two.nodes[1]}"}
    callee = (
        f"{way.target.address}:{way.target.port}" if family is IPV4 else f"[{way.target.address}]:{way.target.port}"
    )
    query = {"from": names.get(caller.name, caller.name), "to": callee, "protocol": TCP}
    return bool(ask_admin(two.data, "GET", "/graph/reachable", **query)["verdict"] == "yes")


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_who_reaches_whom(two: TwoNodes, family: Family, capsys: pytest.CaptureFixture[str]) -> None:
    """Every promised pair answers over TCP and UDP, from the promised server, and is seen as promised; under policies
    those get through whom they name, and `podling graph --reachable` has said which."""
    if family not in FAMILIES_HERE:
        pytest.skip(f"this machine has no {family.name}")
    two.apply(*services())
    asking, asked = callers(two, family), ways(two, family)
    pairs = [(caller, way) for caller in asking for way in asked if promised(caller, way, two, family)]
    calls = [(caller, protocol, way.target) for caller, way in pairs for protocol in (TCP, UDP)]
    eventually(lambda: all(answer.server for answer in ask_all([(asking[0], TCP, way.target) for way in asked], 0.5)))
    open_answers = ask_all(calls)
    assert [(c.name, w.name) for c, w in pairs if not foretell(two, c, w)] == []
    two.apply(
        *(
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": f"of-{app}"},
                "spec": {"podSelector": {"matchLabels": {"app": app}}, **spec},
            }
            for app, spec in UNDER_POLICIES
        )
    )
    held_answers = ask_all(calls, 0.7, 64)
    foretold = [foretell(two, caller, way) for caller, way in pairs]
    two.cluster.kubectl("delete", "networkpolicies", "--all")
    cells = {(caller.name, way.name): "." for caller in asking for way in asked}
    wrong: list[tuple[object, ...]] = []
    for number, (caller, way) in enumerate(pairs):
        seen_as, through = promised(caller, way, two, family) or (), allowed(caller, way)
        first = slice(2 * number, 2 * number + 2)
        good = all(it.server == way.target.answers and it.seen in seen_as for it in open_answers[first])
        held = [it.server == way.target.answers for it in held_answers[first]]
        if not good:
            wrong.append((caller.name, way.name, open_answers[first], seen_as))
        if set(held) != {through}:
            wrong.append((caller.name, way.name, "under policies", held_answers[first], through))
        if foretold[number] is not through:
            wrong.append((caller.name, way.name, "foretold", foretold[number], through))
        seen = {it.seen for it in open_answers[first]}
        rewritten = "machine" if way.name == "outside" else "node"
        words = "kept" if seen <= set(caller.addresses) else rewritten
        cells[caller.name, way.name] = (words if good else "WRONG") + ("" if set(held) == {True} else " *")
    with capsys.disabled():
        print(
            f"\nWho reaches whom over TCP and UDP of {family.name}, {len(pairs)} pairs: as whom the server sees the caller"
            "\n(kept: as itself; node, machine: as that; * not under policies; . nothing is promised)"
        )
        print(table(cells, asking, asked))
    assert wrong == [], "\n".join(map(str, wrong))


def test_containers_of_a_pod_share_their_loopback(two: TwoNodes) -> None:
    """What listens in a Pod is reached by its other containers at 127.0.0.1, and by no other Pod there."""
    inside = Caller("server-2", two.namespace("server-2"), ("127.0.0.1",))
    for protocol in (TCP, UDP):
        assert ask(inside, protocol, "127.0.0.1", PORT) == Answer("server-2", "127.0.0.1")
        assert ask(two.pod_caller("client-2"), protocol, "127.0.0.1", PORT).server == ""


def test_names_are_the_same_on_both_nodes(two: TwoNodes) -> None:
    """The DNS runs on the first; Pods of either find Pods of both by it, at the address that their resolv.conf has, and
    at the other family's."""
    spec = {"clusterIP": "None", "selector": {"app": "client-2"}, "ports": [{"port": 80}]}
    two.apply({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "heads"}, "spec": spec})
    address = two.address("client-2")
    servers = two.cluster.get("service", "-n", "kube-system", "kube-dns")["spec"]["clusterIPs"]
    assert len(servers) == len(FAMILIES_HERE)
    for client, server in itertools.product(("client-1", "client-2"), ("", *servers)):
        words = ("exec", client, "--", "nslookup", "heads.default.svc.cluster.local", *filter(None, [server]))
        eventually(lambda words=words: f"Address: {address}" in two.cluster.kubectl(*words, check=False).stdout)
    two.cluster.kubectl("delete", "service", "heads")


def test_a_call_between_nodes_is_counted_once(two: TwoNodes) -> None:
    """Both nodes see it, in either family: it counts at its caller's, be that a Pod or the node itself."""
    callers_ = {("Pod", "client-1"): two.namespace("client-1"), ("Node", two.nodes[0]): two.node_namespace(0)}

    def counted() -> dict[tuple[str, str], int]:
        calls = json.loads(two.cluster.podling("graph", "-o", "json").stdout)["calls"]
        found = dict.fromkeys(callers_, 0)
        for call in calls:
            key = (call["caller"]["kind"], call["caller"].get("name", ""))
            if (
                key in found
                and call["callee"].get("name") == "server-2"
                and (call["port"], call["protocol"]) == (PORT, TCP)
            ):
                found[key] += call["observed"]["calls"]
        return found

    before = counted()
    for family in FAMILIES_HERE:
        address = two.address("server-2", family)
        for (_, name), namespace in callers_.items():
            for _ in range(3):
                assert ask(Caller(name, namespace, ()), TCP, address, PORT).server == "server-2"
    expected = {key: count + 3 * len(FAMILIES_HERE) for key, count in before.items()}
    eventually(lambda: counted() == expected)


def test_nobody_takes_anothers_address(two: TwoNodes) -> None:
    """Neither a Pod nor a whole node is heard under an address that is not its own, and outside none of the cluster's is."""
    for family in FAMILIES_HERE:
        server = two.address("server-1", family)
        stolen = [
            ("client-2", two.namespace("client-2"), two.address("client-1", family)),
            ("client-2", two.namespace("client-2"), two.every_node_address[family][1]),
            ("node-2", two.node_namespace(1), two.address("client-1", family)),
            ("node-2", two.node_namespace(1), OUTSIDES[family]),
            ("outside", two.outside, two.address("client-2", family)),
        ]
        for name, namespace, address in stolen:
            heard = _heard_from(two, namespace, address, server, family)
            assert not heard, f"{name} was heard as {address}"


def _heard_from(two: TwoNodes, namespace: str, source: str, target: str, family: Family) -> bool:
    """Send datagrams to `target` from a source that is not the caller's; return whether they came in.

    Answers go to the source's owner, so what came in is counted where it arrives: in the target's own namespace.
    """
    transparent = (socket.IPPROTO_IP, 19) if family is IPV4 else (socket.IPPROTO_IPV6, 75)  # IP_TRANSPARENT

    def received() -> int:
        if family is not IPV4:
            text = Path("/proc/thread-self/net/snmp6").read_text()
            return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("Udp6InDatagrams"))
        text = Path("/proc/thread-self/net/snmp").read_text()
        fields = [line.split() for line in text.splitlines() if line.startswith("Udp:")]
        return int(fields[1][fields[0].index("InDatagrams")])

    def open_socket() -> socket.socket:
        return socket.socket(family.number, socket.SOCK_DGRAM)

    own = two.namespace("server-1")
    before = namespaces.inside(own, received)
    with namespaces.inside(namespace, open_socket) as sender:
        sender.setsockopt(*transparent, 1)
        sender.bind((source, 0))
        for _ in range(3):
            sender.sendto(b"?", (target, PORT))
    assert ask(two.pod_caller("client-1", family), UDP, target, PORT).server == "server-1"
    return namespaces.inside(own, received) > before + 1


def test_the_apis_ports_ask_for_credentials(two: TwoNodes) -> None:
    """A Pod that knows no secret gets nothing from the API server, by its Service or its port, nor from either kubelet."""
    import ssl

    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    pod = two.pod_caller("client-2")
    nodes = two.every_node_address.values()
    for address, port, path, expected in (
        (two.cluster.get("service", "kubernetes")["spec"]["clusterIP"], 443, "/api/v1/pods", "403"),
        *((own[0], two.cluster.port, "/api/v1/pods", "403") for own in nodes),
        *((address, 10250, "/pods", "401") for own in nodes for address in own),
    ):
        answer, family = "", family_of(ip_address(address)).number
        with namespaces.inside(pod.namespace, lambda family=family: socket.socket(family, socket.SOCK_STREAM)) as plain:
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
    told = [json.loads(two.cluster.kubectl("get", "--raw", f"/api/v1/nodes/{node}/proxy/stats/summary").stdout)["node"]
            for node in two.nodes]  # fmt: skip
    assert all(0 < stats["memory"]["workingSetBytes"] < 1024 * min(memory) for stats in told)
    assert 0 < sum(stats["cpu"]["usageCoreNanoSeconds"] for stats in told) < machine_cpu_nanoseconds()
    for number in (1, 2):
        assert two.cluster.kubectl("exec", f"client-{number}", "--", "hostname").stdout.strip() == f"client-{number}"
    assert two.cluster.kubectl("exec", "host-2", "--", "hostname").stdout.strip() == two.nodes[1]


def test_the_nodes_survive_a_kill(two: TwoNodes) -> None:
    """After kill -9 and `up` the Pods of both nodes are the same, and so are links and namespaces; meanwhile every call
    from node to node, to a Pod, a Service and the outside, is answered."""

    def state() -> dict[str, tuple[list[dict], str, int]]:
        return {
            pod["metadata"]["name"]: (
                pod["status"]["podIPs"],
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
    two.apply(*services())
    client = two.pod_caller("client-2")
    cluster_addresses = two.cluster.get("service", "one")["spec"]["clusterIPs"]
    asked = {}
    for family, service in zip(FAMILIES_HERE, cluster_addresses, strict=True):
        asked |= {
            ("server-1", family): (two.address("server-1", family), PORT),
            ("one", family): (service, 80),
            ("outside", family): (OUTSIDES[family], PORT),
        }
    answers: list[tuple[str, str, str]] = []
    ending = threading.Event()

    def go_on_asking() -> None:
        while not ending.wait(0.01):
            for (name, _), (address, port) in asked.items():
                for protocol in (TCP, UDP):
                    # TCP would try again; a datagram that is dropped stays so.
                    answers.append((name, protocol, ask(client, protocol, address, port).server))

    asking = threading.Thread(target=go_on_asking)
    asking.start()
    try:
        handle = os.pidfd_open(two.cluster.pid)
        os.kill(two.cluster.pid, signal.SIGKILL)
        select.select([handle], [], [], 10)
        os.close(handle)
        two.cluster.up()  # as many nodes as before
        two.cluster.wait_ready(*before)
    finally:
        ending.set()
        asking.join()
    assert state() == before
    assert links() == wired
    assert len(answers) > 60
    assert [it for it in answers if it[2] != {"one": "server-1"}.get(it[0], it[0])] == []


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
    two.cluster.podling("down", "--keep-pods")
    two.cluster.up("--nodes", "2")
    two.cluster.kubectl("wait", "--for=condition=Ready", f"node/{two.nodes[1]}", "--timeout=20s")
