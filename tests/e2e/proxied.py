"""A node's Services without a cluster: Pods that are network namespaces, a caller from outside, and the kernel's rules."""

from __future__ import annotations

import errno
import socket
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import TypeVar

import pytest

from podling.aio.chance import Chance
from podling.api.codec import from_tree
from podling.api.types.core_v1 import Service
from podling.api.types.discovery_v1 import EndpointSlice
from podling.linux import mounts, namespaces
from podling.linux.families import IPV4, IPV6, Address, Family, has_family
from podling.linux.netlink import Netlink
from podling.linux.nf_tables import Tables
from podling.network.links import EVERYTHING
from podling.network.podnetwork import RoutedPodNetwork, teardown
from podling.network.proxy.chains import Facts
from podling.network.proxy.installed import Installed, remove
from podling.network.proxy.rules import plan
from podling.network.proxy.stale import forget, to_look_at
from podling.network.proxy.table import table_name
from podling.network.ranges import PREFERRED

_Result = TypeVar("_Result")

ANSWERER = """
import socket, sys, threading
name, port, address = sys.argv[1], int(sys.argv[2]), sys.argv[3]
family = socket.AF_INET6 if ":" in address else socket.AF_INET
tcp = socket.create_server((address, port), backlog=512, family=family)
udp = socket.socket(family, socket.SOCK_DGRAM)
udp.bind((address, port))
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
    sctp = socket.socket(family, socket.SOCK_STREAM, 132)
    sctp.bind((address, port))
    sctp.listen(16)
    threading.Thread(target=serve, args=(sctp,), daemon=True).start()
except OSError:
    pass
print("ready", flush=True)
serve(tcp)
"""


class Node:
    """The machine as a node of an instance of the test's own, called in one address family.

    The Pod network has both where that is IPv6. Addresses that a test makes up have a number in each family.
    """

    def __init__(self, data: Path, family: Family = IPV4) -> None:
        if not has_family(family):
            pytest.skip(f"this machine has no {family.name}")
        self.family = family
        self.instance = f"x{Chance().hex(7)}"
        self.data = data
        self.pins = Path("/run/podling") / self.instance
        preferred = [PREFERRED[each] for each in ((IPV4,) if family is IPV4 else (IPV4, IPV6))]
        self.network = RoutedPodNetwork(data, self.instance, preferred=preferred)
        self.tables = Tables()
        self.servers: list[subprocess.Popen] = []
        self.pods: dict[str, str] = {}
        number = int(Chance().hex(4), 16)
        first = (198 << 24) + (18 << 16) + (number & ~3) if family is IPV4 else (0x20010DB8FFFF << 80) + (number << 64)
        self.prefix = family.bits - 2
        self.subnet = ip_network((first, self.prefix))

    def vip(self, number: int = 9) -> str:
        """Return a cluster address."""
        return f"10.96.77.{number}" if self.family is IPV4 else f"fd00:10:96::77:{number}"

    def external(self, number: int) -> str:
        """Return an address of the documentation's, such as balancers and externalIPs have."""
        return f"198.51.100.{number}" if self.family is IPV4 else f"2001:db8:fffe::{number}"

    @property
    def anywhere(self) -> str:
        return "0.0.0.0" if self.family is IPV4 else "::"

    async def start(self, **facts) -> None:
        self.pins.mkdir(parents=True)
        await self.network.start()
        await self.network.set_sysctl("net.ipv4.conf.all.route_localnet", "1")
        [self.range] = [each for each in self.network.ranges if each.family is self.family]
        self.gateway = self.range.gateway
        self.facts = Facts(self.range.cluster, self.gateway, self.network.link_prefix, **facts)
        self.installed = Installed(self.tables, table_name(self.instance, self.family), self.facts)
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
            netlink.set_up(index)
            netlink.add_address(index, self.address, prefix=self.prefix)

        def inside() -> None:
            with Netlink() as netlink:
                index = socket.if_nametoindex("eth0")
                netlink.set_up(index)
                netlink.add_address(index, self.caller, prefix=self.prefix)
                netlink.add_route(EVERYTHING[self.family], interface=index, gateway=self.address)

        namespaces.inside(self.space("outside"), inside)

    @property
    def address(self) -> Address:
        """The machine's, as the outside knows it."""
        return self.subnet.network_address + 1

    @property
    def caller(self) -> Address:
        return self.subnet.network_address + 2

    def space(self, name: str) -> str:
        return str(self.pins / name / "net") if name else ""

    async def pod(self, name: str, *, serves: int = 8080) -> str:
        namespaces.create(self.pins / name, ("net",), sysctls={})
        addresses = await self.network.attach(name, "default", name, self.space(name))
        [address] = [each for each in addresses if (":" in each) == (self.family is IPV6)]
        self.pods[name] = address
        if serves:
            self.serve(name, serves)
        return address

    def serve(self, name: str, port: int, space: str | None = None) -> None:
        """Answer callers with the name and the address that they seem to come from."""
        enter = [f"nsenter --net={self.space(name if space is None else space)}"] if (space is None or space) else []
        command = [*" ".join(enter).split(), sys.executable, "-c", ANSWERER, name, str(port), self.anywhere]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert server.stdout is not None
        assert server.stdout.readline() == b"ready\n"
        self.servers.append(server)

    def service(self, *pods: str, name: str = "web", elsewhere=(), **spec) -> None:
        """Put a Service with these Pods behind it into the rules, or change it."""
        ports = spec.pop("ports", None) or [{"name": "p", "port": 80, "protocol": spec.pop("protocol", "TCP")}]
        status = spec.pop("status", {})
        address = spec.pop("address", self.vip())
        spec = {"type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "ports": ports} | spec
        service = from_tree(Service, {"metadata": {"name": name, "namespace": "d"}, "spec": spec, "status": status})
        endpoints = [{"addresses": [self.pods[pod]], "nodeName": "here"} for pod in pods]
        endpoints += [{"addresses": [other], "nodeName": "there"} for other in elsewhere]
        slices = [
            from_tree(EndpointSlice, {
                "addressType": self.family.name, "endpoints": endpoints,
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
        return self.inside(caller, lambda: ask(str(address), port, udp=udp, bind=bind, sctp=sctp))

    def inside(self, name: str, function: Callable[[], _Result]) -> _Result:
        """Do something in the network of a Pod, of the `outside` or ("") the node."""
        return namespaces.inside(self.space(name), function)

    def caller_socket(self) -> socket.socket:
        """Return a socket to send from, of the family."""
        return socket.socket(self.family.number, socket.SOCK_DGRAM)

    async def down(self) -> None:
        for server in self.servers:
            server.kill()
            server.wait()
            if server.stdout is not None:
                server.stdout.close()
        remove(self.tables, table_name(self.instance, self.family))
        self.tables.close()
        with Netlink() as netlink:
            netlink.delete_link(self.link)
        await self.network.close()
        await teardown(self.data, self.instance)
        for pin in self.pins.iterdir():
            namespaces.release(pin)
        mounts.unmount(str(self.pins))
        self.pins.rmdir()


def ask(address: str, port: int, *, udp: bool = False, bind: int = 0, timeout: float = 1.0, sctp: bool = False) -> str:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM if udp else socket.SOCK_STREAM, 132 if sctp else 0) as caller:
        caller.settimeout(timeout)
        if bind:
            caller.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            caller.bind(("", bind))
        try:
            caller.connect((address, port))
            if udp:
                caller.send(b"?")
            return caller.recv(100).decode() or "closed"
        except TimeoutError:
            return "timeout"
        except OSError as error:
            return errno.errorcode[error.errno or 0]
