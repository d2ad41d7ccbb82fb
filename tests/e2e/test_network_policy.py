"""NetworkPolicies on two nodes with real containers: who reaches whom, from when on, and what is told of the rest."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from podling.api.resources import NETWORK_POLICIES
from podling.linux import namespaces
from podling.linux.families import FAMILIES, IPV4, Family
from podling.linux.netlink import Netlink
from podling.linux.nf_tables import Tables
from podling.network.policy.rules import table_name
from tests.e2e.policies import BLOCKS, CLIENTS, NODE_PORT, OTHER, PATIENCE, SERVERS, TEAM, Api, Scene, cases
from tests.families import each_family
from tests.running import RunningCluster, busybox_archive, eventually, free_port, pod_manifest
from tests.two_nodes import FAMILIES_HERE, HOST_PORT, PORT, TCP, UDP, Caller, Target, ask, ask_all, outside_machine

pytestmark = pytest.mark.root


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("policy")
    cluster = RunningCluster(folder / "data", free_port(), "oci")
    with outside_machine(folder) as outside:
        try:
            cluster.up("--nodes", "2")
            cluster.podling("image", "load", str(busybox_archive(folder)))
            scene = Scene(cluster, outside)
            scene.learn()
            with contextlib.closing(Api(cluster)) as scene.api:
                scene.fill()
                yield scene
        finally:
            cluster.podling("down", check=False)
    with contextlib.closing(Tables()) as tables:
        assert not any(tables.has_table(table_name(scene.data.instance, each)) for each in FAMILIES)


@pytest.fixture
def family() -> Family:
    """By which addresses everybody is called; tests of both families have it as their parameter."""
    return IPV4


@pytest.fixture(autouse=True)
def no_policies(scene: Scene, family: Family) -> Iterator[None]:
    scene.speak(family)
    yield
    scene.clear()


@each_family
def test_who_reaches_whom_under_policies(scene: Scene, family: Family, capsys: pytest.CaptureFixture[str]) -> None:
    """Under each set of policies, who is promised to get through does at once, over TCP and UDP, and nobody else."""
    targets = [scene.target("server-1"), scene.target("server-2")]
    outside = Target("outside", scene.outer, PORT, "outside")
    targets += [Target("host-2", scene.node_addresses[1], 18080, "host-2"), outside]
    pairs = [
        (caller, protocol, target)
        for caller in scene.callers()
        for target in targets
        for protocol in (TCP, UDP)
        if not (caller.name == "outside" and target.name == "outside")
    ]
    wrong, lines = [], []
    for case, specs in cases(family).items():
        tried = scene.tried(specs, pairs)
        through = sum(came for came, _ in tried)
        for (caller, protocol, target), (came, promised) in zip(pairs, tried, strict=True):
            if came is not promised:
                wrong.append((case, caller.name, protocol, target.name, came))
        lines.append(f"  {case:36} {through:3} of {len(pairs)} calls get through")
    with capsys.disabled():
        print(f"\nUnder policies, by {family.name}:\n" + "\n".join(lines))
    assert wrong == []


WHOLE = (
    "no policies",
    "nothing in",
    "nothing out",
    "from Pods of the namespace",
    "from a block",
    "out to Pods by name of port",
)


@each_family
def test_the_whole_network_with_and_without_policies(
    scene: Scene, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every caller and every face: Pods, Services, node ports, hosts and the outside, over TCP and UDP, as promised."""
    if not scene.services:
        scene.expose()
    faces, callers = scene.faces(), scene.callers()
    calls = [
        (caller, protocol, face)
        for caller in callers
        for face in faces
        for protocol in (TCP, UDP)
        # Cluster addresses mean nothing outside, and nobody calls the outside from there by way of the cluster.
        if caller.name != "outside" or not (face.name == "outside" or face.name.startswith("service"))
    ]
    ready = [call for call in calls if call[0].name in {"client-1", "client-2"}]  # seen by the proxies of both nodes
    eventually(lambda: all(answer.server for answer in ask_all(ready, PATIENCE)))
    wrong, shown = [], []
    for case in WHOLE:
        cells: dict[tuple[str, str], str] = {}
        for (caller, protocol, face), (came, promised) in zip(
            calls, scene.tried(cases(family)[case], calls), strict=True
        ):
            if came is not promised:
                wrong.append((case, caller.name, protocol, face.name, came))
            mark = "!" if came is not promised else "+" if came else "-"
            cells[caller.name, face.name] = cells.get((caller.name, face.name), "") + mark
        shown.append(_table(case, cells, [caller.name for caller in callers], [face.name for face in faces]))
    with capsys.disabled():
        print(f"\n{family.name}, TCP and UDP, + gets through, - does not, ! is not as promised\n" + "\n".join(shown))
    assert wrong == []


def _table(case: str, cells: dict[tuple[str, str], str], callers: list[str], faces: list[str]) -> str:
    width = max(map(len, faces))
    lines = [f"{case:28}" + " ".join(face.rjust(width) for face in faces)]
    for caller in callers:
        lines.append(f"  {caller:26}" + " ".join(cells.get((caller, face), "").rjust(width) for face in faces))
    return "\n".join(lines)


@each_family
def test_addresses_are_kept_under_policies(scene: Scene) -> None:
    """A server sees the caller's own address, on its node and across nodes."""
    scene.policy({"podSelector": {}, "ingress": [{"from": [CLIENTS, TEAM]}]})
    for client in ("client-1", "client-2"):
        for server in ("server-1", "server-2"):
            answer = ask(scene.caller(client), TCP, scene.ends[server]["ip"], PORT, PATIENCE)
            assert (answer.server, answer.seen) == (server, scene.ends[client]["ip"])


def test_labels_change(scene: Scene) -> None:
    """A Pod and a namespace that are labelled anew lose and gain what their labels allowed."""
    scene.policy({"podSelector": SERVERS, "ingress": [{"from": [CLIENTS, TEAM]}]})

    def label_pod(role: str) -> None:
        scene.label("default/pods/client-1", role=role)

    def label_namespace(team: str) -> None:
        scene.label(OTHER, team=team)

    for change, client, inside, beyond in (
        (label_pod, "client-1", "client", "guest"), (label_namespace, "client-2", "x", "y")
    ):  # fmt: skip
        assert scene.reaches(client, "server-1")
        change(beyond)
        time.sleep(0.05)
        assert not scene.reaches(client, "server-1")
        assert not scene.reaches(client, "server-2", UDP)
        change(inside)
        time.sleep(0.05)
        assert scene.reaches(client, "server-1")
    # The policy's own subjects change, too.
    scene.label("default/pods/server-1", tier="none")
    label_pod("guest")
    time.sleep(0.05)
    assert scene.reaches("client-1", "server-1")
    scene.label("default/pods/server-1", tier="server")
    time.sleep(0.05)
    assert not scene.reaches("client-1", "server-1")
    label_pod("client")


def _from(scene: Scene, client: str, server: str) -> tuple[socket.socket, socket.socket]:
    """Return a connection between two Pods, that stays."""
    address, family = scene.ends[server]["ip"], scene.family.number
    listener = namespaces.inside(
        scene.ends[server]["netns"], lambda: socket.create_server((address, 9000), family=family)
    )
    with listener:
        caller = namespaces.inside(scene.ends[client]["netns"], lambda: socket.socket(family))
        caller.settimeout(2)
        caller.connect((address, 9000))
        called, _ = listener.accept()
        called.settimeout(2)
    return caller, called


@each_family
def test_what_is_established_goes_on(scene: Scene) -> None:
    """A connection that was allowed survives the policy that forbids the next one, in both directions."""
    for server in ("server-1", "server-2"):
        caller, called = _from(scene, "client-1", server)
        with caller, called:
            scene.policy({"policyTypes": ["Ingress", "Egress"]})
            time.sleep(0.05)
            assert not scene.reaches("client-1", server)
            caller.sendall(b"question")
            assert called.recv(100) == b"question"
            called.sendall(b"answer")
            assert caller.recv(100) == b"answer"
        scene.clear()
        time.sleep(0.05)
        assert scene.reaches("client-1", server)


@each_family
def test_what_is_told_of_established_connections_passes(scene: Scene, family: Family) -> None:
    """That its packets are too big, a Pod hears from a router on the way, though nobody may call it."""
    address = ip_network(scene.ends["server-1"]["ip"])
    with Netlink() as netlink:
        index = next(route.interface for route in netlink.routes(family) if route.destination == address)
    link = socket.if_indextoname(index)
    before = Path(f"/sys/class/net/{link}/mtu").read_text().strip()
    scene.policy({"policyTypes": ["Ingress"]}, "closed", OTHER)
    time.sleep(0.05)
    assert not scene.reaches("server-2", "client-2")
    caller, called = _from(scene, "client-2", "server-1")
    with caller, called:
        subprocess.run(["ip", "link", "set", "dev", link, "mtu", "1280"], check=True)
        try:
            caller.sendall(bytes(1 << 16))
            caller.shutdown(socket.SHUT_WR)
            assert sum(map(len, iter(lambda: called.recv(1 << 16), b""))) == 1 << 16
        finally:
            subprocess.run(["ip", "link", "set", "dev", link, "mtu", before], check=True)


@each_family
def test_in_force_within_50_ms(scene: Scene, family: Family, capsys: pytest.CaptureFixture[str]) -> None:
    """From sending the write until the first call meets it: a policy that closes, and its deletion that opens."""
    address = scene.ends["server-1"]["ip"]
    netns = scene.ends["client-1"]["netns"]

    def attempt() -> bool:
        with namespaces.inside(netns, lambda: socket.socket(family.number)) as connection:
            connection.settimeout(0.02)
            try:
                connection.connect((address, PORT))
            except TimeoutError:
                return False
            return True

    def until(wanted: bool, sent: float) -> float:
        while True:
            began = time.perf_counter()
            if attempt() is wanted:
                return began - sent
            assert began - sent < 2, "never in force"

    closed, opened = [], []
    for _ in range(12):
        sent = time.perf_counter()
        scene.policy({"podSelector": SERVERS})
        closed.append(until(wanted=False, sent=sent))
        sent = time.perf_counter()
        scene.api.ask("DELETE", NETWORK_POLICIES.path("default", "p"))
        opened.append(until(wanted=True, sent=sent))
    with capsys.disabled():
        for word, times in (("closed", closed), ("opened", opened)):
            shown = f"median {1000 * statistics.median(times):.1f} ms, at most {1000 * max(times):.1f} ms"
            print(f"\n{family.name}, {word} by a policy after its write was sent: {shown}")
    assert statistics.median(closed) < 0.05
    assert statistics.median(opened) < 0.05


def _caller_pod(scene: Scene, name: str, labels: dict[str, str], server: str, node: int) -> dict[str, Any]:
    """A Pod whose first act is a call; it ends with 0 if that was answered to its first packet."""
    command = f'exec 3>&1; [ -n "$(busybox nc -w 1 {scene.ends[server]["ip"]} {PORT} </dev/null)" ]'
    pod = json.loads(pod_manifest(name, "sh", "-c", command, nodeName=scene.nodes[node], restartPolicy="Never"))
    pod["metadata"] |= {"labels": labels, "namespace": "default"}
    return pod


def _codes(scene: Scene, names: list[str]) -> list[int]:
    def ended() -> list[int]:
        found = {
            pod["metadata"]["name"]: pod for pod in scene.api.ask("GET", "/api/v1/namespaces/default/pods")["items"]
        }
        told = [status for name in names for status in found[name]["status"].get("containerStatuses", [])]
        ended = [status["state"]["terminated"]["exitCode"] for status in told if "terminated" in status["state"]]
        return ended if len(ended) == len(names) else []

    return eventually(ended)


@each_family
def test_before_the_first_packet(scene: Scene) -> None:
    """Pods whose first act is a call: none slips out past a policy, and who is let in is so from the first packet on."""
    scene.policy({"podSelector": {"matchLabels": {"role": "mute"}}, "policyTypes": ["Egress"]}, "mute")
    scene.policy({"podSelector": SERVERS, "ingress": [{"from": [CLIENTS]}]}, "servers")
    mute = [f"mute-{number}" for number in range(8)]
    guests = [f"guest-{number}" for number in range(4)]
    clients = [f"fresh-{number}" for number in range(8)]
    pods = [_caller_pod(scene, name, {"role": "mute"}, "server-1", i % 2) for i, name in enumerate(mute)]
    pods += [_caller_pod(scene, name, {"role": "guest"}, "server-1", i % 2) for i, name in enumerate(guests)]
    pods += [
        _caller_pod(scene, name, {"role": "client"}, f"server-{i // 2 % 2 + 1}", i % 2)
        for i, name in enumerate(clients)
    ]
    scene.apply(*pods)
    try:
        assert 0 not in _codes(scene, mute)
        assert 0 not in _codes(scene, guests)
        assert set(_codes(scene, clients)) == {0}
    finally:
        scene.cluster.kubectl("delete", "pod", *mute, *guests, *clients, "--now", "--wait=false")


@each_family
def test_a_pod_reaches_itself_and_its_node(scene: Scene, family: Family) -> None:
    """Nothing keeps a Pod from its own address, from its node, or its node from it: probes go on."""
    scene.policy({"policyTypes": ["Ingress", "Egress"]})
    time.sleep(0.05)
    assert scene.reaches("server-1", "server-1")
    here = Caller("node-1", "", ())
    assert ask(here, TCP, scene.ends["server-1"]["ip"], PORT, PATIENCE).server == "server-1"
    with socket.create_server((scene.node_addresses[0], 0), family=family.number) as listening:
        port = listening.getsockname()[1]
        with namespaces.inside(scene.ends["client-1"]["netns"], lambda: socket.socket(family.number)) as connection:
            connection.settimeout(PATIENCE)
            connection.connect((scene.node_addresses[0], port))
    assert ask(scene.caller("server-2"), TCP, scene.node_addresses[1], HOST_PORT, PATIENCE).server == "host-2"
    assert not ask(scene.caller("server-1"), TCP, scene.node_addresses[1], HOST_PORT, PATIENCE).server


def _query(caller: Caller, name: str, server: str) -> bool:
    """Ask the cluster's DNS; return whether it says where `name` is."""
    question = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    kind = socket.AF_INET6 if ":" in server else socket.AF_INET
    with namespaces.inside(caller.namespace, lambda: socket.socket(kind, socket.SOCK_DGRAM)) as asking:
        asking.settimeout(PATIENCE)
        asking.connect((server, 53))
        asking.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + question)
        try:
            answer = asking.recv(512)
        except TimeoutError:
            return False
    return int.from_bytes(answer[6:8], "big") > 0


@each_family
def test_services_under_policies(scene: Scene, family: Family) -> None:
    """Policies see the Pods behind a Service: by its address, by node ports, through itself, and the cluster's DNS."""
    if not scene.services:
        scene.expose()
    address, port = scene.services["service-1"], NODE_PORT + 1
    dns = scene.of_family(
        scene.api.ask("GET", "/api/v1/namespaces/kube-system/services/kube-dns")["spec"]["clusterIPs"]
    )
    node = scene.node_addresses[0]
    outside = Caller("outside", scene.outside, (scene.outer,))

    def by(caller: str, port: int = 80, where: str = address) -> bool:
        who = outside if caller == "outside" else scene.caller(caller)
        return ask(who, TCP, where, port, PATIENCE).server == "server-1"

    eventually(lambda: by("client-1") and by("client-2") and by("outside", port, node))
    scene.policy({"podSelector": {"matchLabels": {"app": "server-1"}}, "ingress": [{"from": [CLIENTS]}]}, "in")
    time.sleep(0.05)
    assert by("client-1")
    assert not by("client-2")
    assert by("server-1"), "through a Service to itself"
    assert not by("outside", port, node)
    scene.policy({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": BLOCKS[family].outsider}}]}]}, "world")
    time.sleep(0.05)
    assert by("outside", port, node)
    assert not by("client-2")
    # Out to DNS alone: names are told, what they stand for is not reached; on its own node a Pod reaches the API server.
    kube_dns = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    allowed = [{"to": [kube_dns], "ports": [{"port": 53, "protocol": "UDP"}]}]
    for namespace, client in (("default", "client-1"), (OTHER, "client-2")):
        scene.policy({"policyTypes": ["Egress"]}, "mute", namespace)
        time.sleep(0.05)
        assert not _query(scene.caller(client), "service-1.default.svc.cluster.local", dns)
        scene.policy({"policyTypes": ["Egress"], "egress": allowed}, "ask", namespace)
        time.sleep(0.05)
        assert _query(scene.caller(client), "service-1.default.svc.cluster.local", dns)
        assert not by(client)


@each_family
def test_the_blocked_are_told_of(scene: Scene) -> None:
    """What a policy stops is among the calls, with the policy's name and the end at which it was stopped."""
    before = _blocked(scene)
    scene.policy({"podSelector": SERVERS}, "closed")
    time.sleep(0.05)
    for protocol in (TCP, UDP):
        assert not scene.reaches("client-1", "server-2", protocol)
    scene.policy({"podSelector": {"matchLabels": {"role": "client"}}, "policyTypes": ["Egress"]}, "mute", OTHER)
    time.sleep(0.05)
    assert not scene.reaches("client-2", "server-1")

    expected = {
        ("client-1", "server-2", TCP, "default/closed Ingress"),
        ("client-1", "server-2", UDP, "default/closed Ingress"),
        ("client-2", "server-1", TCP, f"{OTHER}/mute Egress"),
    }
    eventually(lambda: all(_blocked(scene)[told] > before[told] for told in expected))


def _blocked(scene: Scene) -> Counter[tuple[str, str, str, str]]:
    """Return how often who was kept from calling which server, by what."""
    counts: Counter[tuple[str, str, str, str]] = Counter()
    for call in scene.cluster.get("calls", "-A")["items"]:
        seen, caller, callee = call["observed"], call["caller"].get("name", ""), call["callee"].get("name", "")
        if seen.get("blocked") and callee.startswith("server"):
            counts[caller, callee, call["protocol"], seen["blockedBy"]] = int(seen["blocked"])
    return counts


@each_family
def test_rules_are_restored(scene: Scene, family: Family) -> None:
    """Somebody deletes the table, flushes a chain, or takes a Pod out of a map: it is as it was at once."""
    scene.policy({"podSelector": SERVERS})
    time.sleep(0.05)
    table = f"inet {table_name(scene.data.instance, family)}"
    for words in (
        f"delete table {table}",
        f"flush chain {table} forward-ingress",
        f"delete element {table} ingress {{ {scene.ends['server-1']['ip']} }}",
    ):
        subprocess.run(["nft", words], check=True)
        eventually(lambda: not scene.reaches("client-1", "server-1"), seconds=2)


def test_policies_hold_while_podling_is_away(scene: Scene) -> None:
    """After kill -9 the policies are still in force; what changed is after `up`, and no call gets through between.

    In no family that there is.
    """

    def through(client: str, server: str, protocol: str) -> set[Family]:
        got = set()
        for each in FAMILIES_HERE:
            scene.speak(each)
            if ask(scene.caller(client), protocol, scene.ends[server]["ip"], PORT, 0.05).server == server:
                got.add(each)
        return got

    scene.policy({"podSelector": SERVERS})
    time.sleep(0.05)
    handle = os.pidfd_open(scene.cluster.pid)
    os.kill(scene.cluster.pid, signal.SIGKILL)
    select.select([handle], [], [], 10)
    os.close(handle)
    scene.api.close()
    assert not through("client-1", "server-1", TCP)
    starting = subprocess.Popen(
        [
            sys.executable, "-m", "podling.cli", "up", "--detach", "--nodes", "2", "--runtime", "oci",
            "--port", str(scene.cluster.port), "--data-dir", str(scene.cluster.data),
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    slipped: set[Family] = set()
    while starting.poll() is None:
        slipped |= through("client-1", "server-1", TCP)
    assert starting.returncode == 0
    assert not slipped
    assert not through("client-2", "server-2", UDP)
    scene.clear()
    eventually(lambda: through("client-1", "server-1", TCP) == set(FAMILIES_HERE))
    eventually(lambda: through("client-2", "server-2", UDP) == set(FAMILIES_HERE))
