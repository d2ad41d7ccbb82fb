"""A machine of a test's own: a network namespace in which Podling's networks run as on a host, and a router beside it.

The namespace has sysctls, links and rules of its own, so that a test may have them as it likes.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
import time
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Final, TypeVar

from podling.aio.chance import Chance
from podling.linux import namespaces
from podling.linux.families import FAMILIES, IPV6, Family
from podling.linux.netlink import Netlink
from podling.network.podnetwork import RoutedPodNetwork, teardown
from podling.network.ranges import PREFERRED
from tests.e2e.frames import ICMPV6

_Result = TypeVar("_Result")
ROUTER: Final = ip_address("fe80::99")


class Machine:
    """A namespace that is the machine, linked by `up0` to one that is its router."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = f"m{Chance().hex(7)}"
        self.pins = Path("/run/podling") / self.instance
        self.run_root = folder / "run"
        self.run_root.mkdir()
        for name in ("machine", "router"):
            namespaces.create(self.pins / name, ("net",), sysctls={})
            self.within(name, lambda: namespaces.write_sysctl("net.ipv6.conf.default.accept_dad", "0"))
        self.within("router", lambda: namespaces.write_sysctl("net.ipv6.conf.default.accept_ra", "0"))
        self.run("ip link add up0 type veth peer name eth0 netns /proc/self/fd/0", stdin=self.space("router"))
        self.run("ip link set up0 up")
        self.run(f"ip link set eth0 up; ip addr add {ROUTER}/64 dev eth0 nodad", where="router")

    def space(self, name: str) -> str:
        return str(self.pins / name / "net")

    def within(self, name: str, function: Callable[[], _Result]) -> _Result:
        return namespaces.inside(self.space(name), function)

    def run(self, command: str, *, where: str = "machine", stdin: str = "/dev/null") -> str:
        entered = ["nsenter", f"--net={self.space(where)}", "sh", "-ec", command]
        with open(stdin) as file:  # noqa: PTH123
            return subprocess.run(entered, stdin=file, capture_output=True, text=True, check=True).stdout

    def sysctl(self, name: str, value: str = "") -> str:
        if value:
            self.within("machine", lambda: namespaces.write_sysctl(name, value))
        return self.within("machine", lambda: namespaces.read_sysctl(name)) or ""

    def advertise(self, prefix: str) -> None:
        """Have the router say that it is one, and how the network is called."""
        options = b"\3\4\x40\xc0" + struct.pack(">III", 3600, 3600, 0) + ip_network(prefix).network_address.packed
        told = struct.pack(">BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0) + options

        def send() -> None:
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, ICMPV6) as raw:
                raw.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
                raw.sendto(told, ("ff02::1", 0, 0, socket.if_nametoindex("eth0")))

        self.within("router", send)

    def believes(self, prefix: str) -> bool:
        """Whether the machine, told of a network by its router, takes an address of it and goes out by that."""
        for _ in range(100):
            self.advertise(prefix)
            time.sleep(0.1)
            with_addresses = self.run("ip -6 addr show dev up0; ip -6 route show default")
            if prefix.partition("/")[0][:-1] in with_addresses and f"via {ROUTER}" in with_addresses:
                return True
        return False

    def network(
        self, name: str = "data", families: Sequence[Family] = FAMILIES, further: Sequence[str] = ()
    ) -> RoutedPodNetwork:
        preferred = [PREFERRED[family] for family in families]
        return RoutedPodNetwork(
            self.folder / name, f"{self.instance}{name}", preferred=preferred, run_root=self.run_root, further=further
        )

    def live(self, scenario: Callable[[], Coroutine[None, None, _Result]]) -> _Result:
        """Do something on the machine."""
        return self.within("machine", lambda: asyncio.run(scenario()))

    def start(self, name: str = "data", families: Sequence[Family] = FAMILIES) -> RoutedPodNetwork:
        """Start an instance and let it go, as if it were killed: what it has put up stays."""

        async def started() -> RoutedPodNetwork:
            network = self.network(name, families)
            await network.start()
            await network.close()
            return network

        return self.live(started)

    def pod(self, uid: str, name: str = "data", families: Sequence[Family] = FAMILIES) -> list[str]:
        """Start an instance and wire a Pod of it, or mend what an earlier life has wired."""
        if not (self.pins / uid).exists():
            namespaces.create(self.pins / uid, ("net",), sysctls={})

        async def wired() -> list[str]:
            network = self.network(name, families)
            await network.start()
            try:
                return list(await network.attach(uid, "default", uid, self.space(uid)))
            finally:
                await network.close()

        return self.live(wired)

    def reaches(self, where: str, address: str) -> bool:
        """Whether somebody's pings are answered."""
        try:
            return bool(self.run(f"busybox ping -c 3 -i 0.2 -W 1 {address}", where=where))
        except subprocess.CalledProcessError:
            return False

    def down(self, name: str = "data") -> None:
        self.live(lambda: teardown(self.folder / name, f"{self.instance}{name}", run_root=self.run_root))

    def addresses(self) -> set[str]:
        def held() -> set[str]:
            with Netlink() as netlink:
                return {str(address) for address in netlink.addresses(IPV6)}

        return self.within("machine", held)

    def close(self) -> None:
        for pin in self.pins.iterdir():
            namespaces.release(pin)
        self.pins.rmdir()
