"""The routed Pod network of one node: each Pod a /32 on a veth of its own, no bridge, no ARP.

Owns who has which link and address, the ranges, and the nftables table `podling-<instance>` of one instance, in the
network namespace of the node; a single link is `wiring`'s. The Pod's default route leads to 169.254.1.1, which no
interface has: both ends know each other's link-layer address for good, so nobody asks. Every packet, also between two
Pods of a node, passes the node's forward hook.

Invariants: a veth passes only the source address of its own Pod, or those of its own node's range, and nothing else
comes in with an address of the instance's; an address is on disk before it is used; everything carries the instance's
name, so that taking it down needs no memory of what was put up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from podling.lifecycle.traffic import UNBOUNDED
from podling.linux import files, namespaces
from podling.linux.netlink import PROTOCOL, Netlink
from podling.linux.nf_tables import Batch, Tables, TableWatch
from podling.network import sources, sysctls
from podling.network.addresses import OWN, Addresses
from podling.network.links import (
    link_name,
    link_prefix,
    node_link_name,
    node_link_prefix,
    table_name,
)
from podling.network.ranges import DEFAULT, NodeRange, choose, is_part, overlap, part_of
from podling.network.service_ranges import reserved
from podling.network.wiring import wire_pod

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.lifecycle.traffic import Traffic
    from podling.linux.families import Address, Network

_Result = TypeVar("_Result")

log = logging.getLogger("podling.network")

_RUN: Final = Path("/run/podling")
_RESERVED: Final = 0x7FFFFFF0
"""Metric of the route that reserves the range and answers for addresses that no Pod has."""


class RangeHeld(Exception):  # an outcome that the command words for its user
    """The first node has the instance's whole range, as an older Podling gave it, and its Pods' addresses need it."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a further node stands: its network namespace, and its part of the instance's range."""

    node: str
    namespace: str
    range: Network
    cluster: Network

    @property
    def address(self) -> Address:
        """The node's own: the first of its range."""
        return self.range.network_address + 1


class RoutedPodNetwork:
    """`PodNetwork` by routed veths, in the machine's network namespace or, at a `place`, in that of a further node."""

    def __init__(
        self,
        data: Path,
        instance: str,
        *,
        preferred: Network = DEFAULT,
        run_root: Path = _RUN,
        further: Sequence[str] = (),
        place: Place | None = None,
    ) -> None:
        """`further` are the nodes beside the machine that its links lead to, by name."""
        self._instance = instance
        self._preferred = preferred
        self._run_root = run_root
        self._further = further
        self._place = place
        self._namespace = place.namespace if place is not None else ""
        self._addresses = Addresses(data / "network" / "addresses.json")
        self._tables: Tables | None = None
        self._mtu = 1500
        self._lock = asyncio.Lock()

    async def _there(self, function: Callable[[], _Result]) -> _Result:
        """Run `function` in a thread that is in the node's network namespace."""
        return await asyncio.to_thread(namespaces.inside, self._namespace, function)

    @property
    def table(self) -> str:
        """Name of the nftables table."""
        return table_name(self._instance)

    @property
    def ranges(self) -> Sequence[NodeRange]:
        """The node's addresses, family by family, the primary one first; after `start`."""
        return (NodeRange(self.cluster_range, self.pod_range),)

    @property
    def pod_range(self) -> Network:
        """The node's Pod range, after `start`."""
        found = self._addresses.range
        if found is None:
            raise RuntimeError("the Pod network is not started")
        return found

    @property
    def cluster_range(self) -> Network:
        """The range of all Pods and nodes of the instance, after `start`."""
        found = self._addresses.cluster
        if found is None:
            raise RuntimeError("the Pod network is not started")
        return found

    @property
    def gateway(self) -> Address:
        """The node's own address in the Pod range: Pods reach the node there, and it calls them from there."""
        return self._addresses.gateway

    @property
    def mtu(self) -> int:
        """The largest packet that leaves the node whole, after `start`: no link of a Pod takes a larger one."""
        return self._mtu

    @property
    def link_prefix(self) -> str:
        """What the names of all Pod links of this instance begin with."""
        return link_prefix(self._instance)

    def place(self, number: int, namespace: str) -> Place:
        """Return where the further node `number` (from 1) stands, if its namespace is pinned at `namespace`."""
        cluster = self.cluster_range
        return Place(self._further[number - 1], namespace, part_of(cluster, number), cluster)

    async def start(self) -> None:
        """Choose and reserve the range, switch forwarding on, and lay down the rules."""
        if self._place is None:
            await asyncio.to_thread(self._choose)
        else:
            self._addresses.set_range(self._place.range, self._place.cluster)
        await self._there(self._reserve)
        self._tables = Tables(self._namespace)
        async with self._lock:
            await self._there(self._lay_down)

    async def keep_rules(self) -> None:
        """Lay the rules down again whenever somebody else changes them; for ever."""
        assert self._tables is not None
        disturbed = asyncio.Event()
        watch = TableWatch(self._namespace, (self.table,), self._tables.sender, lambda _seen: disturbed.set())
        try:
            while True:
                await disturbed.wait()
                disturbed.clear()
                log.warning("somebody changed the table of source addresses; it is laid down again")
                async with self._lock:
                    await self._there(self._lay_down)
        finally:
            watch.close()

    def _lay_down(self) -> None:
        # Whatever an earlier life left is replaced in one transaction: no packet sees the rules missing.
        batch = Batch(self.table)
        sources.lay_down(batch, self._surroundings())
        with Netlink() as netlink:
            present = {link.name for link in netlink.links()}
        held = [(self._link(uid), address) for uid, address in self._addresses.held().items()]
        batch.add_elements(sources.LINKS.name, (sources.element(*pair) for pair in held if pair[0] in present))
        self._commit(batch)

    def _surroundings(self) -> sources.Surroundings:
        cluster = self.cluster_range
        if self._place is not None:
            return sources.Surroundings(cluster, self.pod_range, self.link_prefix)
        names = [node_link_name(self._instance, node) for node in self._further]
        nodes = {name: part_of(cluster, number) for number, name in enumerate(names, 1)}
        return sources.Surroundings(cluster, self.pod_range, self.link_prefix, node_link_prefix(self._instance), nodes)

    def _commit(self, batch: Batch) -> None:
        assert self._tables is not None, "the Pod network is not started"
        self._tables.commit(batch)

    def _choose(self) -> None:
        """Take the instance's range, unless it has one that still is nobody else's, and the first node's part of it."""
        addresses = self._addresses
        with files.locked(self._run_root / "ranges.lock"), Netlink() as netlink:
            mine = addresses.cluster
            others = [
                route.destination
                for route in netlink.routes()
                if not (mine is not None and route.protocol == PROTOCOL and is_part(route.destination, mine))
            ]
            others += reserved(self._run_root)
            if mine is None or any(overlap(mine, other) for other in others if other.prefixlen):
                mine = choose(others, self._preferred)
                addresses.set_range(part_of(mine, 0), mine)
            elif addresses.range == mine and not addresses.narrow(part_of(mine, 0)) and self._further:
                raise RangeHeld(f"Pods of the first node have addresses all over {mine}")
            netlink.add_route(mine, unreachable=True, metric=_RESERVED)

    def _reserve(self) -> None:
        """Give the node its address, let it forward, and learn its MTU."""
        with Netlink() as netlink:
            routes = netlink.routes()
            links = {link.index: link for link in netlink.links()}
            if self._place is not None:
                netlink.add_route(self.pod_range, unreachable=True, metric=_RESERVED)
            netlink.add_address(socket.if_nametoindex("lo"), self._addresses.gateway)
        uplinks = [route for route in routes if route.destination.prefixlen == 0 and route.interface in links]
        if uplinks:
            best = min(uplinks, key=lambda route: route.metric)
            self._mtu = links[best.interface].mtu
        self._set_sysctl("net.ipv4.ip_forward", "1")

    async def set_sysctl(self, name: str, value: str) -> None:
        """Set what the node's network needs, and remember what it was: the last instance to go puts it back."""
        async with self._lock:
            await self._there(lambda: self._set_sysctl(name, value))

    def _set_sysctl(self, name: str, value: str) -> None:
        if self._place is None:
            sysctls.change(self._run_root, name, value)
        elif namespaces.read_sysctl(name) not in (None, value):  # a further node's go with its namespace
            namespaces.write_sysctl(name, value)

    def _link(self, uid: str) -> str:
        return link_name(self._instance, uid)

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        """Wire a Pod; called again it mends what is missing and gives the same addresses."""
        del namespace, name
        async with self._lock:
            address = self._addresses.allocate(uid)
            link = self._link(uid)
            batch = Batch(self.table)
            batch.add_elements(sources.LINKS.name, [sources.element(link, address)])

            def wire() -> None:
                # Element and link are both there before any process of the Pod is.
                wire_pod(link, netns, address, self.gateway, self._mtu, traffic)
                self._commit(batch)

            await self._there(wire)
        return [str(address)]

    async def detach(self, uid: str) -> None:
        """Take the link away and free the address."""
        async with self._lock:
            address = self._addresses.held().get(uid)
            link = self._link(uid)

            def remove() -> None:
                with Netlink() as netlink:
                    netlink.delete_link(link)

            await self._there(remove)
            if address is not None:
                batch, pair = Batch(self.table), [sources.element(link, address)]
                batch.add_elements(sources.LINKS.name, pair)  # so that taking away what is not there is no error
                batch.delete_elements(sources.LINKS.name, pair)
                await asyncio.to_thread(self._commit, batch)
                self._addresses.release(uid)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return {uid: [str(address)] for uid, address in self._addresses.held().items() if uid not in OWN}

    async def own_address(self, name: str) -> Address:
        """Return the address of one of `OWN`, the same one whenever asked, which the node then answers on."""
        async with self._lock:
            address = self._addresses.allocate(name)
            await self._there(lambda: _add_to_loopback(address))
        return address

    async def close(self) -> None:
        """Let go; links and rules stay."""
        if self._tables is not None:
            self._tables.close()
            self._tables = None


def _add_to_loopback(address: Address) -> None:
    with Netlink() as netlink:
        netlink.add_address(socket.if_nametoindex("lo"), address)


async def teardown(data: Path, instance: str, *, run_root: Path = _RUN) -> None:
    """Take away the machine's links, routes, rules and settings of an instance, with no daemon running."""
    addresses = Addresses(data / "network" / "addresses.json")
    prefixes = (link_prefix(instance), node_link_prefix(instance))

    def remove() -> None:
        with files.locked(run_root / "ranges.lock"), Netlink() as netlink:
            for link in netlink.links():
                if link.name.startswith(prefixes):
                    netlink.delete_link(link.name)
            mine = addresses.cluster
            if mine is not None:
                netlink.delete_route(mine, metric=_RESERVED)
                held = addresses.held()
                for address in (addresses.gateway, *(held[name] for name in OWN if name in held)):
                    netlink.delete_address(socket.if_nametoindex("lo"), address)
            if not any(route.protocol == PROTOCOL for route in netlink.routes()):
                # The last instance on the machine puts back what the first one found.
                for name, value in addresses.sysctls.items():
                    namespaces.write_sysctl(name, value)
                sysctls.put_back(run_root)
        with contextlib.suppress(FileNotFoundError):
            (data / "network" / "addresses.json").unlink()

        _delete_table(table_name(instance))

    await asyncio.to_thread(remove)


def _delete_table(name: str) -> None:
    batch = Batch(name)
    batch.add_table()  # so that deleting what is not there is no error
    batch.delete_table()
    with contextlib.closing(Tables()) as tables:
        tables.commit(batch)
