"""A node's Services without a cluster: Pods that are network namespaces, a caller from outside, and the kernel's rules."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from podling.aio.chance import Chance
from podling.api.codec import from_tree
from podling.api.types.core_v1 import Service
from podling.api.types.discovery_v1 import EndpointSlice
from podling.linux import mounts, namespaces
from podling.linux.netlink import Netlink
from podling.network.podnetwork import RoutedPodNetwork, teardown
from podling.network.proxy.chains import Facts
from podling.network.proxy.installed import Installed, remove
from podling.network.proxy.rules import plan
from podling.network.proxy.stale import forget, to_look_at
from podling.network.proxy.table import table_name

ANSWERER = """
import socket, sys, threading
name, port = sys.argv[1], int(sys.argv[2])
tcp = socket.create_server(("0.0.0.0", port), backlog=512)
udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
udp.bind(("0.0.0.0", port))
def datagrams():
    while True:
        data, peer = udp.recvfrom(100)
        udp.sendto(f"{name} {peer[0]}".encode(), peer)
threading.Thread(target=datagrams, daemon=True).start()
def serve(listener):
    while True:
        connection, peer = listener.accept()
        connection.sendall(f"{name} {peer[0]}".encode())
        connection.close()
try:
    sctp = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132)
    sctp.bind(("0.0.0.0", port))
    sctp.listen(16)
    threading.Thread(target=serve, args=(sctp,), daemon=True).start()
except OSError:
    pass
print("ready", flush=True)
serve(tcp)
"""


class Node:
    """The machine as a node of an instance of the test's own."""

    def __init__(self, data: Path) -> None:
        self.instance = f"x{Chance().hex(7)}"
        self.data = data
        self.pins = Path("/run/podling") / self.instance
        self.network = RoutedPodNetwork(data, self.instance)
        self.servers: list[subprocess.Popen] = []
        self.pods: dict[str, str] = {}
        base = int.from_bytes(bytes.fromhex(Chance().hex(4))) & ~3
        self.subnet = IPv4Network(((198 << 24) + (18 << 16) + base, 30))

    async def start(self, **facts) -> None:
        self.pins.mkdir(parents=True)
        await self.network.start()
        await self.network.set_sysctl("net.ipv4.conf.all.route_localnet", "1")
        self.facts = Facts(self.network.pod_range, self.network.gateway, self.network.link_prefix, **facts)
        self.installed = Installed("", table_name(self.instance), self.facts)
        self.installed.install({})
        self._outside()

    def _outside(self) -> None:
        """A namespace at the end of a link of its own, that reaches the machine and through it what it routes."""
        namespaces.create(self.pins / "outside", ("net",), sysctls={})
        self.link = f"tx{self.instance}"
        with Netlink() as netlink, open(self.space("outside")) as file:
            netlink.create_veth(
                self.link, b"\2\0\0\0\0\1", "eth0", b"\2\0\0\0\0\2", mtu=1500, peer_namespace=file.fileno()
            )
            index = socket.if_nametoindex(self.link)
            netlink.add_address(index, self.address, prefix=30)
            netlink.set_up(index)

        def inside() -> None:
            with Netlink() as netlink:
                index = socket.if_nametoindex("eth0")
                netlink.add_address(index, self.caller, prefix=30)
                netlink.set_up(index)
                netlink.add_route(IPv4Network("0.0.0.0/0"), interface=index, gateway=self.address)

        namespaces.inside(self.space("outside"), inside)

    @property
    def address(self) -> IPv4Address:
        """The machine's, as the outside knows it."""
        return self.subnet.network_address + 1

    @property
    def caller(self) -> IPv4Address:
        return self.subnet.network_address + 2

    def space(self, name: str) -> str:
        return str(self.pins / name / "net") if name else ""

    async def pod(self, name: str, *, serves: int = 8080) -> str:
        namespaces.create(self.pins / name, ("net",), sysctls={})
        [address] = await self.network.attach(name, "default", name, self.space(name))
        self.pods[name] = address
        if serves:
            self.serve(name, serves)
        return address

    def serve(self, name: str, port: int, space: str | None = None) -> None:
        """Answer callers with the name and the address that they seem to come from."""
        enter = [f"nsenter --net={self.space(name if space is None else space)}"] if (space is None or space) else []
        command = [*" ".join(enter).split(), sys.executable, "-c", ANSWERER, name, str(port)]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        self.servers.append(server)

    def service(self, *pods: str, name: str = "web", elsewhere=(), **spec) -> None:
        """Put a Service with these Pods behind it into the rules, or change it."""
        ports = spec.pop("ports", None) or [{"name": "p", "port": 80, "protocol": spec.pop("protocol", "TCP")}]
        status = spec.pop("status", {})
        address = spec.pop("address", "10.96.77.9")
        spec = {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports} | spec
        service = from_tree(Service, {"metadata": {"name": name, "namespace": "d"}, "spec": spec, "status": status})
        endpoints = [{"addresses": [self.pods[pod]], "nodeName": "here"} for pod in pods]
        endpoints += [{"addresses": [other], "nodeName": "there"} for other in elsewhere]
        slices = [
            from_tree(EndpointSlice, {
                "addressType": "IPv4", "endpoints": endpoints,
                "ports": [{"name": port["name"], "port": port.get("targetPort", 8080), "protocol": port["protocol"]}],
            })
            for port in ports
        ]  # fmt: skip
        before = self.installed.of(name)
        rules = plan(service, slices, "here", self.facts, before)
        self.installed.change({name: rules})
        forget("", to_look_at({name: (before, rules)}))

    def ask(
        self, caller: str, address: object, port: int, *, udp: bool = False, bind: int = 0, sctp: bool = False
    ) -> str:
        """Call from a Pod, from `outside` or ("") the node; return who answers and whom it sees, or what happens."""
        return namespaces.inside(self.space(caller), lambda: ask(str(address), port, udp=udp, bind=bind, sctp=sctp))

    async def down(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
        self.installed.close()
        remove("", table_name(self.instance))
        with Netlink() as netlink:
            netlink.delete_link(self.link)
        await self.network.close()
        await teardown(self.data, self.instance)
        for pin in self.pins.iterdir():
            namespaces.release(pin)
        mounts.unmount(str(self.pins))
        self.pins.rmdir()


def ask(address: str, port: int, *, udp: bool = False, bind: int = 0, timeout: float = 1.0, sctp: bool = False) -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM, 132 if sctp else 0) as caller:
        caller.settimeout(timeout)
        if bind:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            caller.bind(("0.0.0.0", bind))
        try:
            caller.connect((address, port))
            if udp:
                caller.send(b"?")
            return caller.recv(100).decode() or "closed"
        except TimeoutError:
            return "timeout"
        except OSError as error:
            return errno.errorcode[error.errno or 0]
