"""The routed Pod network: each Pod a /32 on a veth of its own, no bridge, no ARP.

Owns the links, routes, neighbours and the nftables table `podling-<instance>` of one instance. The Pod's default route
leads to 169.254.1.1, which no interface has: both ends know each other's link-layer address for good, so nobody asks.
Every packet, also between two Pods of a node, passes the node's forward hook.

Invariants: a veth passes only its own Pod's source address; an address is on disk before it is used; everything carries
the instance's name, so that taking it down needs no memory of what was put up.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import socket
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING, Final

from podling.linux import files, namespaces
from podling.linux.netlink import PROTOCOL, Netlink
from podling.linux.nftables import Nftables, delete_table
from podling.linux.spawn import Launcher
from podling.network.addresses import Addresses
from podling.network.ranges import DEFAULT, choose

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

GATEWAY: Final = IPv4Address("169.254.1.1")
_EVERYTHING: Final = IPv4Network("0.0.0.0/0")
_RUN: Final = Path("/run/podling")
_RESERVED: Final = 0x7FFFFFF0
"""Metric of the route that reserves the range and answers for addresses that no Pod has."""


class RoutedPodNetwork:
    """`PodNetwork` by routed veths, in the network namespace of the machine."""

    def __init__(self, data: Path, instance: str, *, preferred: IPv4Network = DEFAULT, run_root: Path = _RUN) -> None:
        self._instance = instance
        self._preferred = preferred
        self._run_root = run_root
        self._addresses = Addresses(data / "network" / "addresses.json")
        self._launcher = Launcher(name="podling-net")
        self._rules = Nftables(self._launcher)
        self._mtu = 1500
        self._lock = asyncio.Lock()

    @property
    def table(self) -> str:
        """Name of the nftables table."""
        return table_name(self._instance)

    @property
    def rules(self) -> Nftables:
        """The persistent nft conversation, for whoever adds rules of the same instance."""
        return self._rules

    @property
    def pod_range(self) -> IPv4Network:
        """The instance's Pod range, after `start`."""
        found = self._addresses.range
        if found is None:
            raise RuntimeError("the Pod network is not started")
        return found

    @property
    def gateway(self) -> IPv4Address:
        """The node's own address in the Pod range: Pods reach the node there, and it calls them from there."""
        return self._addresses.gateway

    @property
    def link_prefix(self) -> str:
        """What the names of all Pod links of this instance begin with."""
        return link_prefix(self._instance)

    async def start(self) -> None:
        """Choose and reserve the range, switch forwarding on, and lay down the rules."""
        await asyncio.to_thread(self._reserve)
        # Whatever an earlier life left is replaced in the same transaction: no packet sees the rules missing.
        network = self.pod_range
        links = f'"{self.link_prefix}*"'
        table = f"inet {self.table}"
        await self._rules.apply(
            f"add table {table}; delete table {table}; add table {table}; "
            f"add set {table} links {{ type ifname . ipv4_addr ; }}; "
            f"add chain {table} source {{ type filter hook prerouting priority -310 ; policy accept ; }}; "
            f"add rule {table} source iifname != {links} accept; "
            f"add rule {table} source meta nfproto ipv6 drop; "
            f"add rule {table} source iifname . ip saddr @links accept; "
            f"add rule {table} source meta nfproto ipv4 drop; "
            f"add chain {table} outside {{ type nat hook postrouting priority 100 ; policy accept ; }}; "
            f"add rule {table} outside ip saddr {network} ip daddr != {network} "
            f"oifname != {links} fib saddr type != local masquerade"
        )
        held = self._addresses.held()
        present = await asyncio.to_thread(self._links)
        elements = [f'"{self._link(uid)}" . {address}' for uid, address in held.items() if self._link(uid) in present]
        if elements:
            await self._rules.apply(f"add element {table} links {{ {', '.join(elements)} }}")

    def _links(self) -> set[str]:
        with Netlink() as netlink:
            return {link.name for link in netlink.links()}

    def _reserve(self) -> None:
        with files.locked(self._run_root / "ranges.lock"), Netlink() as netlink:
            routes = netlink.routes()
            links = {link.index: link for link in netlink.links()}
            mine = self._addresses.range
            others = [
                route.destination
                for route in routes
                if not (mine is not None and route.protocol == PROTOCOL and route.destination.subnet_of(mine))
            ]
            if mine is None or any(mine.overlaps(other) for other in others if other.prefixlen):
                mine = choose(others, self._preferred)
                self._addresses.set_range(mine)
            netlink.add_route(mine, unreachable=True, metric=_RESERVED)
            loopback = socket.if_nametoindex("lo")
            netlink.add_address(loopback, self._addresses.gateway)
            uplinks = [route for route in routes if route.destination.prefixlen == 0 and route.interface in links]
            if uplinks:
                best = min(uplinks, key=lambda route: route.metric)
                self._mtu = links[best.interface].mtu
        self._set_sysctl("net.ipv4.ip_forward", "1")

    async def set_sysctl(self, name: str, value: str) -> None:
        """Set what the node's network needs, and remember what it was: the last instance to go puts it back."""
        async with self._lock:
            await asyncio.to_thread(self._set_sysctl, name, value)

    def _set_sysctl(self, name: str, value: str) -> None:
        found = namespaces.read_sysctl(name)
        if found is not None and found != value:
            self._addresses.remember_sysctl(name, found)
            namespaces.write_sysctl(name, value)

    def _link(self, uid: str) -> str:
        return link_name(self._instance, uid)

    async def attach(self, uid: str, namespace: str, name: str, netns: str) -> Sequence[str]:
        """Wire a Pod; called again it mends what is missing and gives the same addresses."""
        del namespace, name
        async with self._lock:
            address = self._addresses.allocate(uid)
            link = self._link(uid)
            await asyncio.to_thread(self._wire, link, address, netns)
            # Element and link are both there before any process of the Pod is.
            await self._rules.apply(f'add element inet {self.table} links {{ "{link}" . {address} }}')
        return [str(address)]

    def _wire(self, link: str, address: IPv4Address, netns: str) -> None:
        outer, inner = _mac(link, 0), _mac(link, 1)

        def inside() -> bool:
            with Netlink() as pod:
                found = next((item for item in pod.links() if item.name == "eth0"), None)
                if found is None:
                    return False
                pod.set_up(found.index)
                pod.add_address(found.index, address)
                pod.add_neighbour(found.index, GATEWAY, outer)
                pod.add_route(_EVERYTHING, interface=found.index, gateway=GATEWAY)
                return True

        with Netlink() as netlink:
            try:
                index = socket.if_nametoindex(link)
            except OSError:
                index = 0
            if index and not namespaces.inside(netns, inside):
                # A link whose other end is elsewhere belongs to a sandbox that is no more.
                netlink.delete_link(link)
                index = 0
            if not index:
                descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    netlink.create_veth(link, outer, "eth0", inner, mtu=self._mtu, peer_namespace=descriptor)
                finally:
                    os.close(descriptor)
                try:
                    index = socket.if_nametoindex(link)
                    with contextlib.suppress(ValueError):  # a kernel without IPv6
                        namespaces.write_sysctl(f"net/ipv6/conf/{link}/disable_ipv6", "1")
                    netlink.set_up(index)
                    namespaces.inside(netns, inside)
                except BaseException:
                    netlink.delete_link(link)
                    raise
            netlink.add_neighbour(index, address, inner)
            netlink.add_route(IPv4Network((address, 32)), interface=index, source=self._addresses.gateway)

    async def detach(self, uid: str) -> None:
        """Take the link away and free the address."""
        async with self._lock:
            address = self._addresses.held().get(uid)
            link = self._link(uid)

            def remove() -> None:
                with Netlink() as netlink:
                    netlink.delete_link(link)

            await asyncio.to_thread(remove)
            if address is not None:
                element = f'inet {self.table} links {{ "{link}" . {address} }}'
                # Added first, so that taking away what is not there is no error.
                await self._rules.apply(f"add element {element}; delete element {element}")
                self._addresses.release(uid)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return {uid: [str(address)] for uid, address in self._addresses.held().items()}

    async def close(self) -> None:
        """Let go; links and rules stay."""
        await self._rules.close()
        self._launcher.close()


def table_name(instance: str) -> str:
    """Return the name of an instance's nftables table."""
    return f"podling-{instance}"


def link_prefix(instance: str) -> str:
    """Return what the names of an instance's links begin with; the kernel allows 15 characters in all."""
    return f"pd{hashlib.sha256(instance.encode()).hexdigest()[:5]}"


def link_name(instance: str, uid: str) -> str:
    """Return the name of a Pod's link."""
    return link_prefix(instance) + hashlib.sha256(uid.encode()).hexdigest()[:8]


def _mac(link: str, end: int) -> bytes:
    # Locally administered, unicast; the same for a link's whole life, whoever asks.
    return b"\x02" + hashlib.sha256(f"{link}/{end}".encode()).digest()[:5]


async def teardown(data: Path, instance: str, *, run_root: Path = _RUN) -> None:
    """Take away all links, routes, rules and settings of an instance, with no daemon running."""
    addresses = Addresses(data / "network" / "addresses.json")
    prefix = link_prefix(instance)

    def remove() -> None:
        with files.locked(run_root / "ranges.lock"), Netlink() as netlink:
            for link in netlink.links():
                if link.name.startswith(prefix):
                    netlink.delete_link(link.name)
            mine = addresses.range
            if mine is not None:
                netlink.delete_route(mine, metric=_RESERVED)
                netlink.delete_address(socket.if_nametoindex("lo"), addresses.gateway)
            reserved = any(route.protocol == PROTOCOL for route in netlink.routes())
        if not reserved:
            # The last instance on the machine puts back what the first one found.
            for name, value in addresses.sysctls.items():
                namespaces.write_sysctl(name, value)
        with contextlib.suppress(FileNotFoundError):
            (data / "network" / "addresses.json").unlink()

    await asyncio.to_thread(remove)
    launcher = Launcher(name="podling-net")
    try:
        await delete_table(launcher, "inet", table_name(instance))
    finally:
        launcher.close()
