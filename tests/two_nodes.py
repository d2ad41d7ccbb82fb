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
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from podling.cluster.data_dir import DataDir
from podling.linux import namespaces
from podling.linux.netlink import Netlink
from tests.running import IMAGE, RunningCluster

TCP, UDP = "TCP", "UDP"
PORT, HOST_PORT = 8080, 18080
_SOURCE_PORTS = itertools.cycle(range(20000, 30000))
MAPPED_PORT = 12000 + os.getpid() % 8000
"""A port of nodes that leads to a Pod's."""
_HERE = int(IPv4Address("198.18.0.0")) + os.getpid() % (1 << 14) * 4
OUTSIDE_NETWORK = str(IPv4Network((_HERE, 30)))
MACHINE_SIDE = str(IPv4Address(_HERE + 1))
"""The machine's address on the way outside."""
OUTSIDE = str(IPv4Address(_HERE + 2))
"""The address of the machine outside; another in each process, for several run side by side."""

# What a server says to whoever asks: its name and whom it sees. It runs in a container, on the machine's Python.
_SERVER = """
import socket, threading
name, address, port = {name!r}, {address!r}, {port}
tcp = socket.socket(); tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); tcp.bind((address, port)); tcp.listen(64)
udp = socket.socket(type=socket.SOCK_DGRAM); udp.bind((address, port))
def datagrams():
    while True:
        _, peer = udp.recvfrom(100)
        udp.sendto(f"{{name}} {{peer[0]}}".encode(), peer)
threading.Thread(target=datagrams, daemon=True).start()
while True:
    connection, peer = tcp.accept()
    connection.sendall(f"{{name}} {{peer[0]}}".encode()); connection.close()
"""


def server_pod(
    name: str, node: str, *, host: str = "", labels: dict[str, str] | None = None, host_port: int = 0
) -> dict:
    """Return a Pod that answers on TCP and UDP, at `host_port` of its node too where that is given.

    In the host's network, at the address `host`, where that is given.
    """
    ports = [
        {"name": protocol.lower(), "protocol": protocol, "containerPort": PORT, "hostPort": host_port}
        for protocol in (TCP, UDP)
        if host_port
    ]
    script = _SERVER.format(name=name, address=host, port=HOST_PORT if host else PORT)
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
                        "tcpSocket": {"port": HOST_PORT if host else PORT, **({"host": host} if host else {})},
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

    def learn(self) -> None:
        found = self.cluster.get("nodes")["items"]
        found.sort(key=lambda node: node["spec"]["podCIDR"])
        self.nodes = [node["metadata"]["name"] for node in found]
        self.node_addresses = [node["status"]["addresses"][0]["address"] for node in found]

    @property
    def data(self) -> DataDir:
        return DataDir(self.cluster.data)

    def apply(self, *objects: dict) -> None:
        self.cluster.kubectl(
            "apply", "-f", "-", stdin=json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        )

    def address(self, pod: str) -> str:
        return self.cluster.get("pod", pod)["status"]["podIP"]

    def namespace(self, pod: str) -> str:
        """Return where a Pod's network namespace is pinned."""
        found = self.cluster.get("pod", pod)
        uid, node = found["metadata"]["uid"], found["spec"]["nodeName"]
        run = self.data.run if node == self.nodes[0] else self.data.run / f"node-{node}"
        return str(run / "ns" / uid / "net")

    def node_namespace(self, number: int) -> str:
        return str(self.data.pin(self.nodes[number]) / "net") if number else ""

    def pod_caller(self, pod: str) -> Caller:
        return Caller(pod, self.namespace(pod), (self.address(pod),))


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
            netlink.add_address(index, IPv4Address(OUTSIDE), prefix=30)
            netlink.add_route(IPv4Network("0.0.0.0/0"), interface=index, gateway=IPv4Address(MACHINE_SIDE))

    with Netlink() as netlink:
        with open(namespace) as file:  # noqa: PTH123
            netlink.create_veth(link, b"\2\0\0\0\0\1", "eth0", b"\2\0\0\0\0\2", mtu=1400, peer_namespace=file.fileno())
        index = socket.if_nametoindex(link)
        netlink.set_up(index)
        netlink.add_address(index, IPv4Address(MACHINE_SIDE), prefix=30)
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
    tcp = socket.create_server((OUTSIDE, PORT), backlog=64)
    udp = socket.socket(type=socket.SOCK_DGRAM)
    udp.bind((OUTSIDE, PORT))

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
    with namespaces.inside(caller.namespace, lambda: socket.socket(socket.AF_INET, kind)) as connection:
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
