"""Two real nodes with servers and callers on both, and a machine outside: who reaches whom, asked all at once."""

from __future__ import annotations

import itertools
import json
import os
import socket
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address
from pathlib import Path

from podling.cluster.data_dir import DataDir
from podling.linux import namespaces
from podling.linux.families import FAMILIES, IPV4, IPV6, Family, family_of, has_family
from podling.linux.netlink import Netlink
from podling.network.links import EVERYTHING
from tests.running import IMAGE, RunningCluster

TCP, UDP = "TCP", "UDP"
PORT, HOST_PORT = 8080, 18080
_SOURCE_PORTS = itertools.cycle(range(20000, 30000))
MAPPED_PORT = 12000 + os.getpid() % 8000
"""A port of nodes that leads to a Pod's."""
FAMILIES_HERE = FAMILIES if has_family(IPV6) else (IPV4,)
"""What the clusters of this machine have."""
_HERE = {
    IPV4: int(IPv4Address("198.18.0.0")) + os.getpid() % (1 << 14) * 4,
    IPV6: int(IPv6Address("fd00:198:18::")) + os.getpid() % (1 << 14) * 4,
}
_PREFIX = {IPV4: 30, IPV6: 126}
MACHINE_SIDES = {family: str(ip_address(here + 1)) for family, here in _HERE.items()}
"""The machine's addresses on the way outside."""
OUTSIDES = {family: str(ip_address(here + 2)) for family, here in _HERE.items()}
"""The addresses of the machine outside; others in each process, for several run side by side."""
OUTSIDE_NETWORK = str(IPv4Network((_HERE[IPV4], 30)))
MACHINE_SIDE, OUTSIDE = MACHINE_SIDES[IPV4], OUTSIDES[IPV4]

# What a server says to whoever asks: its name and whom it sees. It runs in a container, on the machine's Python.
_SERVER = """
import socket, threading
name, addresses, port = {name!r}, {addresses!r}, {port}
def listen(address, kind):
    opened = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, kind)
    if ":" in address:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    opened.bind((address, port))
    return opened
def datagrams(udp):
    while True:
        _, peer = udp.recvfrom(100)
        udp.sendto(f"{{name}} {{peer[0]}}".encode(), peer)
def connections(tcp):
    tcp.listen(64)
    while True:
        connection, peer = tcp.accept()
        connection.sendall(f"{{name}} {{peer[0]}}".encode()); connection.close()
for address in addresses:
    threading.Thread(target=datagrams, args=[listen(address, socket.SOCK_DGRAM)]).start()
    threading.Thread(target=connections, args=[listen(address, socket.SOCK_STREAM)]).start()
"""
_ANYWHERE = ("0.0.0.0", "::")[: len(FAMILIES_HERE)]


def server_pod(
    name: str,
    node: str,
    *,
    host: Sequence[str] = (),
    labels: dict[str, str] | None = None,
    host_port: int = 0,
) -> dict:
    """Return a Pod that answers on TCP and UDP, at `host_port` of its node too where that is given.

    In the host's network, at the addresses `host`, where those are given.
    """
    ports = [
        {"name": protocol.lower(), "protocol": protocol, "containerPort": PORT, "hostPort": host_port}
        for protocol in (TCP, UDP)
        if host_port
    ]
    script = _SERVER.format(name=name, addresses=host or _ANYWHERE, port=HOST_PORT if host else PORT)
    python = str(Path(sys.executable).resolve())
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"app": name, **(labels or {})}},
        "spec": {
            "nodeName": node,
            "hostNetwork": bool(host),
            "terminationGracePeriodSeconds": 0,
            "volumes": [{"name": "machine", "hostPath": {"path": "/"}}],
            "containers": [
                {
                    "name": "main",
                    "image": IMAGE,
                    "command": ["chroot", "/machine", python, "-ISc", script],
                    "volumeMounts": [{"name": "machine", "mountPath": "/machine", "readOnly": True}],
                    "ports": ports,
                    "readinessProbe": {
                        "tcpSocket": {"port": HOST_PORT if host else PORT, **({"host": host[0]} if host else {})},
                        "periodSeconds": 1,
                    },
                }
            ],
        },
    }


@dataclass(frozen=True)
class Caller:
    """Somebody who asks, from a network namespace; empty is the machine's."""

    name: str
    namespace: str
    addresses: tuple[str, ...]
    """The caller's own, as a server sees it unless somebody rewrote it."""


@dataclass(frozen=True)
class Target:
    """Something that is asked."""

    name: str
    address: str
    port: int
    answers: str
    """The name of the server that is to answer."""


@dataclass
class TwoNodes:
    """A running cluster of two nodes and what is around it."""

    cluster: RunningCluster
    outside: str
    """The network namespace of the machine outside."""
    nodes: list[str] = field(default_factory=list)
    node_addresses: list[str] = field(default_factory=list)
    """Of the primary family."""
    every_node_address: dict[Family, list[str]] = field(default_factory=dict)

    def learn(self) -> None:
        found = self.cluster.get("nodes")["items"]
        found.sort(key=lambda node: node["spec"]["podCIDR"])
        self.nodes = [node["metadata"]["name"] for node in found]
        addresses = [
            [each["address"] for each in node["status"]["addresses"] if each["type"] == "InternalIP"] for node in found
        ]
        self.every_node_address = dict(zip(FAMILIES_HERE, map(list, zip(*addresses, strict=True)), strict=True))
        self.node_addresses = self.every_node_address[IPV4]

    @property
    def data(self) -> DataDir:
        return DataDir(self.cluster.data)

    def apply(self, *objects: dict) -> None:
        self.cluster.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def address(self, pod: str, family: Family = IPV4) -> str:
        told = self.cluster.get("pod", pod)["status"]["podIPs"]
        return told[FAMILIES_HERE.index(family)]["ip"]

    def namespace(self, pod: str) -> str:
        """Return where a Pod's network namespace is pinned."""
        found = self.cluster.get("pod", pod)
        uid, node = found["metadata"]["uid"], found["spec"]["nodeName"]
        run = self.data.run if node == self.nodes[0] else self.data.run / f"node-{node}"
        return str(run / "ns" / uid / "net")

    def node_namespace(self, number: int) -> str:
        return str(self.data.pin(self.nodes[number]) / "net") if number else ""

    def pod_caller(self, pod: str, family: Family = IPV4) -> Caller:
        return Caller(pod, self.namespace(pod), (self.address(pod, family),))


@contextmanager
def outside_machine(folder: Path) -> Iterator[str]:
    """Make a machine that is routed to this one and has a server of its own; yield its network namespace."""
    pin = folder / "outside"
    namespaces.create(pin, ("net",), sysctls={})
    namespace, link = str(pin / "net"), f"pto{os.getpid()}"

    def inside() -> None:
        with Netlink() as netlink:
            index = socket.if_nametoindex("eth0")
            netlink.set_up(index)
            for family in FAMILIES_HERE:
                netlink.add_address(index, ip_address(OUTSIDES[family]), prefix=_PREFIX[family])
                way_out = ip_address(MACHINE_SIDES[family])
                netlink.add_route(EVERYTHING[family], interface=index, gateway=way_out)

    with Netlink() as netlink:
        with open(namespace) as file:  # noqa: PTH123
            netlink.create_veth(link, b"\2\0\0\0\0\1", "eth0", b"\2\0\0\0\0\2", mtu=1400, peer_namespace=file.fileno())
        index = socket.if_nametoindex(link)
        netlink.set_up(index)
        for family in FAMILIES_HERE:
            netlink.add_address(index, ip_address(MACHINE_SIDES[family]), prefix=_PREFIX[family])
    servers = []
    try:
        namespaces.inside(namespace, inside)
        servers = namespaces.inside(namespace, _serve)
        yield namespace
    finally:
        for server in servers:
            server.close()
        with Netlink() as netlink:
            netlink.delete_link(link)
        namespaces.release(pin)


def _serve() -> Sequence[socket.socket]:
    return [server for family in FAMILIES_HERE for server in _serve_on(family, OUTSIDES[family])]


def _serve_on(family: Family, address: str) -> Sequence[socket.socket]:
    tcp = socket.create_server((address, PORT), family=family.number, backlog=64)
    udp = socket.socket(family.number, socket.SOCK_DGRAM)
    udp.bind((address, PORT))

    def connections() -> None:
        while True:
            try:
                connection, peer = tcp.accept()
            except OSError:
                return
            connection.sendall(f"outside {peer[0]}".encode())
            connection.close()

    def datagrams() -> None:
        while True:
            try:
                _, peer = udp.recvfrom(100)
            except OSError:
                return
            udp.sendto(f"outside {peer[0]}".encode(), peer)

    for work in (connections, datagrams):
        threading.Thread(target=work, daemon=True).start()
    return tcp, udp


@dataclass(frozen=True)
class Answer:
    """What came of one call."""

    server: str = ""
    seen: str = ""
    """The address that the server saw; without an answer, what happened instead."""


def ask(caller: Caller, protocol: str, address: str, port: int, patience: float = 2.0) -> Answer:
    """Call once from where the caller is."""
    kind = socket.SOCK_STREAM if protocol == TCP else socket.SOCK_DGRAM
    family = family_of(ip_address(address)).number
    with namespaces.inside(caller.namespace, lambda: socket.socket(family, kind)) as connection:
        connection.settimeout(patience)
        try:
            if protocol == UDP:
                # Never twice the same: the kernel takes datagrams of one pair of ports for one connection, for minutes.
                connection.bind(("", next(_SOURCE_PORTS)))
            connection.connect((address, port))
            if protocol == UDP:
                connection.send(b"?")
            text = connection.recv(200).decode()
        except TimeoutError:
            return Answer(seen="timeout")
        except OSError as error:
            return Answer(seen=(error.strerror or str(error)).lower())
    server, _, seen = text.partition(" ")
    return Answer(server, seen)


def ask_all(calls: Sequence[tuple[Caller, str, Target]], patience: float = 2.0, at_once: int = 24) -> list[Answer]:
    """Make all calls, many at once; the answers in their order."""
    with ThreadPoolExecutor(at_once) as pool:
        return list(pool.map(lambda call: ask(call[0], call[1], call[2].address, call[2].port, patience), calls))
