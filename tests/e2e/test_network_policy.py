"""NetworkPolicies on two nodes with real containers: who reaches whom, from when on, and what is told of the rest."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import select
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import yaml

from podling.api.resources import NETWORK_POLICIES
from podling.linux import namespaces
from podling.linux.nf_tables import Tables
from podling.network.policy.rules import table_name
from tests.machine.reach.test_policy import passes, policy_tree
from tests.running import RunningCluster, busybox_archive, eventually, free_port, pod_manifest
from tests.two_nodes import (
    OUTSIDE,
    OUTSIDE_NETWORK,
    PORT,
    TCP,
    UDP,
    Caller,
    Target,
    TwoNodes,
    ask,
    ask_all,
    outside_machine,
    server_pod,
)

pytestmark = pytest.mark.root

PATIENCE = 0.5
"""Shorter than the second after which TCP would try again: what answers, answered to the first packet."""
OTHER = "other"
PORTS = [{"name": "web", "containerPort": PORT}, {"name": "ask", "containerPort": PORT, "protocol": "UDP"}]


class Api:
    """The API server over one connection, so that a write takes no longer than the server does."""

    def __init__(self, cluster: RunningCluster) -> None:
        config = yaml.safe_load((cluster.data / "kubeconfig").read_text())
        user = config["users"][0]["user"]
        context = ssl.create_default_context(
            cadata=base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]).decode()
        )
        with tempfile.NamedTemporaryFile() as both:
            both.write(base64.b64decode(user["client-certificate-data"]) + base64.b64decode(user["client-key-data"]))
            both.flush()
            context.load_cert_chain(both.name)
        self._connection = http.client.HTTPSConnection("127.0.0.1", cluster.port, context=context, timeout=10)

    def ask(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        self._connection.request(method, path, json.dumps(body) if body is not None else None, {"Content-Type": kind})
        answer = self._connection.getresponse()
        text = answer.read()
        assert answer.status < 300, text
        return json.loads(text)

    def close(self) -> None:
        self._connection.close()


@dataclass
class Scene(TwoNodes):
    """Two nodes, two namespaces: a client on each node, a server on each, and one on the host's network."""

    ends: dict[str, dict[str, Any]] = field(default_factory=dict)
    """What each Pod is, as a plain reading of policies sees it, and where."""
    labels: dict[str, dict[str, str]] = field(default_factory=dict)

    def fill(self) -> None:
        self.api = Api(self.cluster)
        self.labels = {"default": {}, OTHER: {"team": "x"}}
        self.api.ask("POST", "/api/v1/namespaces", {"metadata": {"name": OTHER, "labels": {"team": "x"}}})
        self.cluster.kubectl("wait", "--for=create", "serviceaccount/default", "-n", OTHER)
        pods = []
        for number, (node, namespace) in enumerate(zip(self.nodes, ("default", OTHER), strict=True), 1):
            client_pod = json.loads(pod_manifest(f"client-{number}", nodeName=node))
            client_pod["metadata"] |= {"labels": {"role": "client"}, "namespace": namespace}
            server = server_pod(f"server-{number}", node, labels={"tier": "server"})
            server["metadata"]["namespace"] = "default"
            server["spec"]["containers"][0]["ports"] = PORTS
            pods += [client_pod, server]
        host = server_pod("host-2", self.nodes[1], host=self.node_addresses[1], labels={"tier": "server"})
        host["metadata"]["namespace"] = "default"
        self.apply(*pods, host)
        self.cluster.wait_ready("client-1", "server-1", "server-2", "host-2")
        self.cluster.kubectl("wait", "--for=condition=Ready", "pod/client-2", "-n", OTHER, "--timeout=30s")
        for pod in pods:
            self.see(pod["metadata"]["namespace"], pod["metadata"]["name"])

    def see(self, namespace: str, name: str) -> None:
        found = self.api.ask("GET", f"/api/v1/namespaces/{namespace}/pods/{name}")
        containers, meta, node = found["spec"]["containers"], found["metadata"], found["spec"]["nodeName"]
        ports = [
            (port["protocol"], port["name"], port["containerPort"])
            for one in containers
            for port in one.get("ports", [])
        ]
        run = self.data.run if node == self.nodes[0] else self.data.run / f"node-{node}"
        self.ends[name] = {
            "name": name, "namespace": namespace, "labels": meta["labels"], "ip": found["status"]["podIP"], "ports": ports,
            "node": node, "netns": str(run / "ns" / meta["uid"] / "net"),
        }  # fmt: skip

    def policy(self, spec: dict[str, Any], name: str = "p", namespace: str = "default") -> None:
        self.api.ask("POST", NETWORK_POLICIES.path(namespace), {"metadata": {"name": name}, "spec": spec})

    def clear(self) -> None:
        for namespace in ("default", OTHER):
            self.api.ask("DELETE", NETWORK_POLICIES.path(namespace))

    def label(self, path: str, **labels: str) -> None:
        self.api.ask("PATCH", f"/api/v1/namespaces/{path}", {"metadata": {"labels": labels}})

    def caller(self, name: str) -> Caller:
        return Caller(name, self.ends[name]["netns"], (self.ends[name]["ip"],))

    def target(self, name: str) -> Target:
        return Target(name, self.ends[name]["ip"], PORT, name)

    def reaches(self, caller: str, target: str, protocol: str = TCP) -> bool:
        return ask(self.caller(caller), protocol, self.ends[target]["ip"], PORT, PATIENCE).server == target

    def callers(self) -> list[Caller]:
        one, other = self.node_addresses
        nodes = [Caller("node-1", "", (one,)), Caller("node-2", self.node_namespace(1), (other,))]
        return [*map(self.caller, self.ends), *nodes, Caller("outside", self.outside, (OUTSIDE,))]

    def end(self, name: str) -> dict[str, Any]:
        """Return anybody as a plain reading of policies sees them: nodes, and Pods on their network, are addresses."""
        if name in self.ends:
            return self.ends[name]
        number = {"node-1": 0, "node-2": 1, "host-2": 1}.get(name)
        if number is None:
            return {"ip": OUTSIDE}
        return {"ip": self.node_addresses[number], "node": self.nodes[number]}

    def promised(self, policies: list[dict], caller: str, target: Target, protocol: str) -> bool:
        here, there = self.end(caller), self.end(target.name)
        at_home = here.get("node") == there.get("node") and not ("name" in here and "name" in there)
        return at_home or passes(policies, self.labels, here, there, protocol, target.port)


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
            scene.fill()
            yield scene
            scene.api.close()
        finally:
            cluster.podling("down", check=False)
    with contextlib.closing(Tables()) as tables:
        assert not tables.has_table(table_name(scene.data.instance))


@pytest.fixture(autouse=True)
def no_policies(scene: Scene) -> Iterator[None]:
    yield
    scene.clear()


CLIENTS = {"podSelector": {"matchLabels": {"role": "client"}}}
SERVERS = {"matchLabels": {"tier": "server"}}
TEAM = {"namespaceSelector": {"matchLabels": {"team": "x"}}}
EVERYBODY = {"ipBlock": {"cidr": "0.0.0.0/0"}}
CASES: dict[str, list[dict[str, Any]]] = {
    "no policies": [],
    "nothing in": [{"podSelector": {}}],
    "nothing out": [{"podSelector": {}, "policyTypes": ["Egress"]}],
    "nothing in, nothing out": [{"policyTypes": ["Ingress", "Egress"]}],
    "everything in": [{"podSelector": {}}, {"podSelector": {}, "ingress": [{}]}],
    "from Pods of the namespace": [{"podSelector": SERVERS, "ingress": [{"from": [CLIENTS]}]}],
    "from namespaces": [{"podSelector": SERVERS, "ingress": [{"from": [TEAM]}]}],
    "from Pods in namespaces": [{"podSelector": SERVERS, "ingress": [{"from": [{**TEAM, "podSelector": SERVERS}]}]}],
    "from either": [{"podSelector": SERVERS, "ingress": [{"from": [CLIENTS, TEAM]}]}],
    "by expressions": [{"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["server-1"]}]},
                        "ingress": [{"from": [{"podSelector": {"matchExpressions": [{"key": "role", "operator": "DoesNotExist"}]}}]}]}],
    "from a block": [{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "198.18.0.0/15"}}]}]}],
    "from a block, except": [{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.244.1.0/24", f"{OUTSIDE}/32"]}}]}]}],
    "a named port": [{"podSelector": {}, "ingress": [{"ports": [{"port": "web"}]}]}],
    "a range of ports": [{"podSelector": {}, "ingress": [{"ports": [{"port": 8000, "endPort": 8100, "protocol": "UDP"}]}]}],
    "ports beside it": [{"podSelector": {}, "ingress": [{"ports": [{"port": 8081, "endPort": 8100}, {"port": 8079}]}]}],
    "peers and ports": [{"podSelector": {}, "ingress": [{"from": [CLIENTS, TEAM], "ports": [{"port": "ask", "protocol": "UDP"}]}]}],
    "out to Pods by name of port": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": SERVERS}], "ports": [{"port": "web"}]}]}],
    "out to the world": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}]}],
    "out but to the world": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": [OUTSIDE_NETWORK]}}]}]}],
    "out to DNS only": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": [{"port": 53, "protocol": "UDP"}]}]}],
    "policies add up": [{"podSelector": {}}, {"podSelector": SERVERS, "ingress": [{"from": [TEAM], "ports": [{"protocol": "TCP"}]}]},
                        {"podSelector": {"matchLabels": {"app": "server-2"}}, "ingress": [{"from": [CLIENTS], "ports": [{"protocol": "UDP"}]}]}],
}  # fmt: skip


def test_who_reaches_whom_under_policies(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """Under each set of policies, who is promised to get through does at once, over TCP and UDP, and nobody else."""
    targets = [scene.target("server-1"), scene.target("server-2")]
    targets += [Target("host-2", scene.node_addresses[1], 18080, "host-2"), Target("outside", OUTSIDE, PORT, "outside")]
    pairs = [
        (caller, protocol, target)
        for caller in scene.callers()
        for target in targets
        for protocol in (TCP, UDP)
        if not (caller.name == "outside" and target.name == "outside")
    ]
    wrong, lines = [], []
    for case, specs in CASES.items():
        for number, spec in enumerate(specs):
            scene.policy(spec, f"p{number}")
        time.sleep(0.05)
        trees = [policy_tree(("default", f"p{number}"), spec) for number, spec in enumerate(specs)]
        answers = ask_all(pairs, PATIENCE)
        through = 0
        for (caller, protocol, target), answer in zip(pairs, answers, strict=True):
            came = answer.server == target.answers
            through += came
            if came is not scene.promised(trees, caller.name, target, protocol):
                wrong.append((case, caller.name, protocol, target.name, answer))
        lines.append(f"  {case:28} {through:3} of {len(pairs)} calls get through")
        scene.clear()
    with capsys.disabled():
        print("\nUnder policies:\n" + "\n".join(lines))
    assert wrong == []


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
    listener = namespaces.inside(scene.ends[server]["netns"], lambda: socket.create_server(("", 9000)))
    with listener:
        caller = namespaces.inside(scene.ends[client]["netns"], lambda: socket.socket(socket.AF_INET))
        caller.settimeout(2)
        caller.connect((scene.ends[server]["ip"], 9000))
        called, _ = listener.accept()
        called.settimeout(2)
    return caller, called


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


def test_in_force_within_50_ms(scene: Scene, capsys: pytest.CaptureFixture[str]) -> None:
    """From sending the write until the first call meets it: a policy that closes, and its deletion that opens."""
    address = scene.ends["server-1"]["ip"]
    netns = scene.ends["client-1"]["netns"]

    def attempt() -> bool:
        with namespaces.inside(netns, lambda: socket.socket(socket.AF_INET)) as connection:
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
            print(f"\n{word} by a policy after its write was sent: {shown}")
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


def test_before_the_first_packet(scene: Scene) -> None:
    """Pods whose first act is a call: none slips out past a policy, and who is let in is so from the first packet on."""
    scene.policy({"podSelector": {"matchLabels": {"role": "mute"}}, "policyTypes": ["Egress"]}, "mute")
    scene.policy({"podSelector": SERVERS, "ingress": [{"from": [CLIENTS]}]}, "servers")
    mute = [f"mute-{number}" for number in range(8)]
    guests = [f"guest-{number}" for number in range(4)]
    clients = [f"fresh-{number}" for number in range(4)]
    pods = [_caller_pod(scene, name, {"role": "mute"}, "server-1", i % 2) for i, name in enumerate(mute)]
    pods += [_caller_pod(scene, name, {"role": "guest"}, "server-1", i % 2) for i, name in enumerate(guests)]
    pods += [
        _caller_pod(scene, name, {"role": "client"}, f"server-{i % 2 + 1}", i % 2) for i, name in enumerate(clients)
    ]
    scene.apply(*pods)
    try:
        assert 0 not in _codes(scene, mute)
        assert 0 not in _codes(scene, guests)
        assert set(_codes(scene, clients)) == {0}
    finally:
        scene.cluster.kubectl("delete", "pod", *mute, *guests, *clients, "--now", "--wait=false")


def test_a_pod_reaches_itself_and_its_node(scene: Scene) -> None:
    """Nothing keeps a Pod from its own address, from its node, or its node from it: probes go on."""
    scene.policy({"policyTypes": ["Ingress", "Egress"]})
    time.sleep(0.05)
    assert scene.reaches("server-1", "server-1")
    assert ask(scene.caller("client-1"), TCP, scene.node_addresses[0], scene.cluster.port, PATIENCE).seen == "timeout"
    here = Caller("node-1", "", ())
    assert ask(here, TCP, scene.ends["server-1"]["ip"], PORT, PATIENCE).server == "server-1"
    with namespaces.inside(scene.ends["client-1"]["netns"], lambda: socket.socket(socket.AF_INET)) as connection:
        connection.settimeout(PATIENCE)
        connection.connect((scene.node_addresses[0], scene.cluster.port))


def _query(caller: Caller, name: str, server: str) -> bool:
    """Ask the cluster's DNS; return whether it says where `name` is."""
    question = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".")) + b"\0\0\1\0\1"
    with namespaces.inside(caller.namespace, lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) as asking:
        asking.settimeout(PATIENCE)
        asking.connect((server, 53))
        asking.send(b"\x12\x34\1\0\0\1\0\0\0\0\0\0" + question)
        try:
            answer = asking.recv(512)
        except TimeoutError:
            return False
    return int.from_bytes(answer[6:8], "big") > 0


def test_services_under_policies(scene: Scene) -> None:
    """Policies see the Pods behind a Service: by its address, by node ports, through itself, and the cluster's DNS."""
    ports = [{"name": "t", "port": 80, "targetPort": PORT, "nodePort": 30980}]
    service = {
        "metadata": {"name": "one"},
        "spec": {"type": "NodePort", "selector": {"app": "server-1"}, "ports": ports},
    }
    path = "/api/v1/namespaces/default/services"
    address = scene.api.ask("POST", path, service)["spec"]["clusterIP"]
    dns = scene.api.ask("GET", "/api/v1/namespaces/kube-system/services/kube-dns")["spec"]["clusterIP"]
    node = scene.node_addresses[0]
    outside = Caller("outside", scene.outside, (OUTSIDE,))

    def by(caller: str, port: int = 80, where: str = address) -> bool:
        who = outside if caller == "outside" else scene.caller(caller)
        return ask(who, TCP, where, port, PATIENCE).server == "server-1"

    eventually(lambda: by("client-1") and by("client-2") and by("outside", 30980, node))
    scene.policy({"podSelector": {"matchLabels": {"app": "server-1"}}, "ingress": [{"from": [CLIENTS]}]}, "in")
    time.sleep(0.05)
    assert by("client-1")
    assert not by("client-2")
    assert by("server-1"), "through a Service to itself"
    assert not by("outside", 30980, node)
    scene.policy({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": f"{OUTSIDE}/32"}}]}]}, "world")
    time.sleep(0.05)
    assert by("outside", 30980, node)
    assert not by("client-2")
    # Out to DNS alone: names are told, what they stand for is not reached; on its own node a Pod reaches the API server.
    kube_dns = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    allowed = [{"to": [kube_dns], "ports": [{"port": 53, "protocol": "UDP"}]}]
    for namespace, client in (("default", "client-1"), (OTHER, "client-2")):
        scene.policy({"policyTypes": ["Egress"]}, "mute", namespace)
        time.sleep(0.05)
        assert not _query(scene.caller(client), "one.default.svc.cluster.local", dns)
        scene.policy({"policyTypes": ["Egress"], "egress": allowed}, "ask", namespace)
        time.sleep(0.05)
        assert _query(scene.caller(client), "one.default.svc.cluster.local", dns)
        assert not by(client)
    scene.api.ask("DELETE", f"{path}/one")


def test_the_blocked_are_told_of(scene: Scene) -> None:
    """What a policy stops is among the calls, with the policy's name and the end at which it was stopped."""
    scene.policy({"podSelector": SERVERS}, "closed")
    time.sleep(0.05)
    for protocol in (TCP, UDP):
        assert not scene.reaches("client-1", "server-2", protocol)
    scene.policy({"podSelector": {"matchLabels": {"role": "client"}}, "policyTypes": ["Egress"]}, "mute", OTHER)
    time.sleep(0.05)
    assert not scene.reaches("client-2", "server-1")

    def told() -> list[tuple[str, str, str, str]]:
        return sorted(
            (call["caller"].get("name", ""), call["callee"]["name"], call["protocol"], call["observed"]["blockedBy"])
            for call in scene.cluster.get("calls", "-A")["items"]
            if call["observed"].get("blocked") and call["callee"].get("name", "").startswith("server")
        )

    expected = {
        ("client-1", "server-2", TCP, "default/closed Ingress"),
        ("client-1", "server-2", UDP, "default/closed Ingress"),
        ("client-2", "server-1", TCP, f"{OTHER}/mute Egress"),
    }
    eventually(lambda: expected <= set(told()))


def test_rules_are_restored(scene: Scene) -> None:
    """Somebody deletes the table, flushes a chain, or takes a Pod out of a map: it is as it was at once."""
    scene.policy({"podSelector": SERVERS})
    time.sleep(0.05)
    table = f"inet {table_name(scene.data.instance)}"
    for words in (
        f"delete table {table}",
        f"flush chain {table} forward-ingress",
        f"delete element {table} ingress {{ {scene.ends['server-1']['ip']} }}",
    ):
        subprocess.run(["nft", words], check=True)
        eventually(lambda: not scene.reaches("client-1", "server-1"), seconds=2)


def test_policies_hold_while_podling_is_away(scene: Scene) -> None:
    """After kill -9 the policies are still in force; what changed is after `up`, and no call gets through between."""
    scene.policy({"podSelector": SERVERS})
    time.sleep(0.05)
    handle = os.pidfd_open(scene.cluster.pid)
    os.kill(scene.cluster.pid, signal.SIGKILL)
    select.select([handle], [], [], 10)
    os.close(handle)
    scene.api.close()
    assert not scene.reaches("client-1", "server-1")
    starting = subprocess.Popen(
        [
            sys.executable, "-m", "podling.cli", "up", "--detach", "--nodes", "2", "--runtime", "oci",
            "--port", str(scene.cluster.port), "--data-dir", str(scene.cluster.data),
        ],
        stdout=subprocess.DEVNULL,
    )  # fmt: skip
    through = 0
    while starting.poll() is None:
        through += ask(scene.caller("client-1"), TCP, scene.ends["server-1"]["ip"], PORT, 0.05).server != ""
    assert starting.returncode == 0
    assert through == 0
    assert not scene.reaches("client-2", "server-2", UDP)
    scene.clear()
    time.sleep(0.05)
    assert scene.reaches("client-1", "server-1")
    assert scene.reaches("client-2", "server-2", UDP)
