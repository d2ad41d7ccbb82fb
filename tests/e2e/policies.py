"""Two nodes with Pods in two namespaces, for trying policies: a plain reading of who reaches whom, and the real thing.

Everybody is called by the address of one family at a time: `Scene.speak` says which.
"""

from __future__ import annotations

import base64
import http.client
import json
import ssl
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_network
from typing import Any, Final, NamedTuple

import yaml

from podling.api.resources import NETWORK_POLICIES
from podling.linux.families import IPV4, IPV6, Family, is_of
from tests.machine.reach.test_policy import policy_tree, same, side
from tests.running import RunningCluster, pod_manifest
from tests.two_nodes import (
    OUTSIDES,
    PORT,
    TCP,
    UDP,
    Caller,
    Target,
    TwoNodes,
    ask,
    ask_all,
    server_pod,
)

Call = tuple[Caller, str, Target]
HASTE = 0.25
PATIENCE = 0.6
"""Shorter than the second after which TCP would try again: what answers, answered to the first packet."""
OTHER = "other"
NODE_PORT = 30980
"""The port of `service-N` on every node is so many and N."""
PORTS = [{"name": "web", "containerPort": PORT}, {"name": "ask", "containerPort": PORT, "protocol": "UDP"}]


CLIENTS = {"podSelector": {"matchLabels": {"role": "client"}}}
SERVERS = {"matchLabels": {"tier": "server"}}
TEAM = {"namespaceSelector": {"matchLabels": {"team": "x"}}}


class Blocks(NamedTuple):
    """Networks of one family."""

    everything: str
    inside: str
    """Where Pods and nodes are."""
    second: str
    """Where those of the second node are."""
    beyond: str
    """Where the machine outside is, among others."""
    outside: str
    """Where it is, and hardly anybody else."""
    outsider: str
    """It alone."""


def _around(family: Family, prefix: int) -> tuple[str, str]:
    outsider = ip_network(OUTSIDES[family])
    return str(outsider.supernet(new_prefix=prefix)), str(outsider)


BLOCKS: Final = {
    IPV4: Blocks("0.0.0.0/0", "10.0.0.0/8", "10.244.1.0/24", "198.18.0.0/15", *_around(IPV4, 30)),
    IPV6: Blocks("::/0", "fd00:10::/32", "fd00:10:244:1::/64", "fd00:198::/32", *_around(IPV6, 126)),
}


def cases(family: Family) -> dict[str, list[dict[str, Any]]]:
    """Return sets of policies of the namespace `default`; together they set every field there is."""
    here = BLOCKS[family]
    (elsewhere,) = (blocks for other, blocks in BLOCKS.items() if other is not family)
    return CASES | {
    "from a block": [{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": here.beyond}}]}]}],
    "from a block, except": [{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": here.everything, "except": [here.second, here.outsider]}}]}]}],
    "from blocks of both families": [{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": blocks.beyond}} for blocks in (here, elsewhere)]}]}],
    "from blocks of the other family": [{"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": elsewhere.everything}}]}]}],
    "out to blocks of the other family": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": elsewhere.everything}}]}]}],
    "out to the world": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": here.everything, "except": [here.inside]}}]}]}],
    "out but to the world": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": here.everything, "except": [here.outside]}}]}]}],
    }  # fmt: skip


CASES: Final[dict[str, list[dict[str, Any]]]] = {
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
    "a named port": [{"podSelector": {}, "ingress": [{"ports": [{"port": "web"}]}]}],
    "a range of ports": [{"podSelector": {}, "ingress": [{"ports": [{"port": 8000, "endPort": 8100, "protocol": "UDP"}]}]}],
    "ports beside it": [{"podSelector": {}, "ingress": [{"ports": [{"port": 8081, "endPort": 8100}, {"port": 8079}]}]}],
    "peers and ports": [{"podSelector": {}, "ingress": [{"from": [CLIENTS, TEAM], "ports": [{"port": "ask", "protocol": "UDP"}]}]}],
    "out to Pods by name of port": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"podSelector": SERVERS}], "ports": [{"port": "web"}]}]}],
    "out to DNS only": [{"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}], "ports": [{"port": 53, "protocol": "UDP"}]}]}],
    "out to namespaces, a range of ports": [{"podSelector": CLIENTS["podSelector"], "egress": [{"to": [{"namespaceSelector": {"matchExpressions": [
        {"key": "team", "operator": "NotIn", "values": ["x"]}]}, "podSelector": {"matchExpressions": [{"key": "tier", "operator": "Exists"}]}}],
        "ports": [{"port": 8000, "endPort": 8100}]}]}],
    "out by expressions": [{"podSelector": {}, "egress": [{"to": [{"namespaceSelector": {"matchLabels": {"team": "x"}}},
        {"podSelector": {"matchExpressions": [{"key": "app", "operator": "In", "values": ["server-2"]}]}}], "ports": [{"protocol": "UDP"}]}]}],
    "from expressions": [{"podSelector": SERVERS, "ingress": [{"from": [
        {"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "In", "values": ["x", "y"]}]}},
        {"podSelector": {"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["none"]}, {"key": "tier", "operator": "Exists"}]}}]}]}],
    "policies add up": [{"podSelector": {}}, {"podSelector": SERVERS, "ingress": [{"from": [TEAM], "ports": [{"protocol": "TCP"}]}]},
                        {"podSelector": {"matchLabels": {"app": "server-2"}}, "ingress": [{"from": [CLIENTS], "ports": [{"protocol": "UDP"}]}]}],
}  # fmt: skip
"""Those that are the same in both families."""


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
    services: dict[str, str] = field(default_factory=dict)
    cluster_ips: dict[str, list[str]] = field(default_factory=dict)
    family: Family = IPV4
    api: Api = field(init=False)

    def speak(self, family: Family) -> None:
        """Have everybody called by their addresses of a family from now on."""
        self.family = family
        for end in self.ends.values():
            end["ip"] = self.of_family(end["ips"])
        self.node_addresses = self.every_node_address[family]
        self.services = {name: self.of_family(addresses) for name, addresses in self.cluster_ips.items()}

    def of_family(self, addresses: Sequence[str]) -> str:
        return next(address for address in addresses if is_of(self.family, address))

    @property
    def outer(self) -> str:
        """The address of the machine outside."""
        return OUTSIDES[self.family]

    def fill(self) -> None:
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
        host = [addresses[1] for addresses in self.every_node_address.values()]
        on_host = server_pod("host-2", self.nodes[1], host=host, labels={"tier": "server"})
        on_host["metadata"]["namespace"] = "default"
        self.apply(*pods, on_host)
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
            "ips": [entry["ip"] for entry in found["status"]["podIPs"]], "node": node,
            "netns": str(run / "ns" / meta["uid"] / "net"),
        }  # fmt: skip

    def policy(self, spec: dict[str, Any], name: str = "p", namespace: str = "default") -> None:
        self.api.ask("POST", NETWORK_POLICIES.path(namespace), {"metadata": {"name": name}, "spec": spec})

    def clear(self) -> None:
        for namespace in ("default", OTHER):
            self.api.ask("DELETE", NETWORK_POLICIES.path(namespace))

    def tried(self, specs: Sequence[dict[str, Any]], calls: Sequence[Call]) -> list[tuple[bool, bool]]:
        """Make all calls under policies, which are then deleted; of each: whether it got through, and was promised to."""
        for number, spec in enumerate(specs):
            self.policy(spec, f"p{number}")
        time.sleep(0.05)
        trees = [policy_tree(("default", f"p{number}"), spec) for number, spec in enumerate(specs)]
        promised = [self.promised(trees, caller.name, target, protocol) for caller, protocol, target in calls]
        answers = ask_all(calls, HASTE, at_once=64)
        for place, (caller, protocol, target) in enumerate(calls):
            if promised[place] and not answers[place].server:  # a busy machine: it may have been slow alone
                answers[place] = ask(caller, protocol, target.address, target.port, PATIENCE)
        self.clear()
        came = [answer.server == target.answers for answer, (_, _, target) in zip(answers, calls, strict=True)]
        return list(zip(came, promised, strict=True))

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
        return [*map(self.caller, self.ends), *nodes, Caller("outside", self.outside, (self.outer,))]

    def end(self, name: str) -> dict[str, Any]:
        """Return anybody as a plain reading of policies sees them: nodes, and Pods on their network, are addresses."""
        if name in self.ends:
            return self.ends[name]
        number = {"node-1": 0, "node-2": 1, "host-2": 1}.get(name)
        if number is None:
            return {"ip": self.outer}
        return {"ip": self.node_addresses[number], "node": self.nodes[number]}

    def expose(self) -> None:
        """Put a Service of type NodePort before each server; their names are `service-1` and `service-2`."""
        for number in (1, 2):
            ports = [
                {"name": p.lower(), "protocol": p, "port": 80, "targetPort": PORT, "nodePort": NODE_PORT + number}
                for p in (TCP, UDP)
            ]
            spec = {
                "type": "NodePort", "selector": {"app": f"server-{number}"}, "ports": ports, "ipFamilyPolicy": "PreferDualStack",
            }  # fmt: skip
            body = {"metadata": {"name": f"service-{number}"}, "spec": spec}
            made = self.api.ask("POST", "/api/v1/namespaces/default/services", body)
            self.cluster_ips[f"service-{number}"] = made["spec"]["clusterIPs"]
        self.speak(self.family)

    def faces(self) -> list[Target]:
        """Return all that is called: Pods, Services, their ports on each node, a host, and a machine outside."""
        pods = [self.target(f"server-{number}") for number in (1, 2)]
        services = [Target(name, ip, 80, name.replace("service", "server")) for name, ip in self.services.items()]
        ports = [
            Target(f"port-{number}@node-{node}", self.node_addresses[node - 1], NODE_PORT + number, f"server-{number}")
            for number in (1, 2)
            for node in (1, 2)
        ]
        host = Target("host-2", self.node_addresses[1], 18080, "host-2")
        return [*pods, *services, *ports, host, Target("outside", self.outer, PORT, "outside")]

    def promised(self, policies: list[dict], caller: str, target: Target, protocol: str) -> bool:
        """Whether a call gets through: judged where it leaves its caller, and where it enters whom it is led to."""
        here, server = self.end(caller), self.end(target.answers)
        port = target.port if target.answers in {"host-2", "outside"} else PORT

        def judged(direction: str, source: dict, called: dict, number: int) -> bool:
            at_home = source.get("node") == called.get("node") and not ("name" in source and "name" in called)
            return (
                at_home
                or same(source, called)
                or side(direction, policies, self.labels, source, called, protocol, number)
            )

        _, _, node = target.name.partition("@")
        if not node:
            return judged("Egress", here, server, port) and judged("Ingress", here, server, port)
        # A port of a node: there the call is led on, and seen as the node's own by whoever is on another one.
        entry = self.end(node)
        leaves = (server, port) if here.get("node") == entry["node"] else (entry, target.port)
        seen = here if server["node"] == entry["node"] else entry
        return judged("Egress", here, *leaves) and judged("Ingress", seen, server, port)
