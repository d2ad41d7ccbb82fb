"""The routed Pod network of one node: each Pod an address of each family on a veth of its own, no bridge, no ARP.

Owns who has which link and addresses, the ranges, and the nftables table `podling-<instance>` of one instance, in the
network namespace of the node; a single link is `wiring`'s. The Pod's default routes lead to 169.254.1.1 and fe80::1,
which no interface has: both ends know each other's link-layer address for good, so nobody asks. Every packet, also
between two Pods of a node, passes the node's forward hook.

Invariants: a veth passes only the source addresses of its own Pod, or those of its own node's range, and nothing else
comes in with an address of the instance's; an address is on disk before it is used; everything carries the instance's
name, so that taking it down needs no memory of what was put up.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from podling.lifecycle.traffic import UNBOUNDED
from podling.linux import files, namespaces
from podling.linux.address_watch import AddressWatch
from podling.linux.families import family_of, has_family
from podling.linux.netlink import PROTOCOL, Netlink
from podling.linux.nf_tables import Batch, Tables, TableWatch
from podling.network import nodelink, pod_ranges, sources, sysctls, uplinks, wiring
from podling.network.addresses import OWN, Addresses
from podling.network.links import (
    link_name,
    link_prefix,
    node_link_name,
    node_link_prefix,
    table_name,
)
from podling.network.ranges import DEFAULT, NodeRange, part_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from podling.lifecycle.traffic import Traffic
    from podling.linux.families import Address, Network

_Result = TypeVar("_Result")

log = logging.getLogger("podling.network")

_RUN: Final = Path("/run/podling")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a further node stands: its network namespace, and its parts of the instance's ranges."""

    node: str
    namespace: str
    ranges: tuple[NodeRange, ...]


class RoutedPodNetwork:
    """`PodNetwork` by routed veths, in the machine's network namespace or, at a `place`, in that of a further node."""

    def __init__(
        self,
        data: Path,
        instance: str,
        *,
        preferred: Sequence[Network] = (DEFAULT,),
        run_root: Path = _RUN,
        further: Sequence[str] = (),
        behind: Mapping[str, Sequence[str]] | None = None,
        place: Place | None = None,
    ) -> None:
        """`further` are the nodes beside the machine that its links lead to, by name.

        `behind` is what `lead_to` told of each in an earlier life. `preferred` has the range to try first of each
        family that Pods are to have an address of.
        """
        self._instance = instance
        self._preferred = preferred
        self._run_root = run_root
        self._further = further
        self._behind = {node: set(addresses) for node, addresses in (behind or {}).items()}
        self._place = place
        self._namespace = place.namespace if place is not None else ""
        self._addresses = Addresses(data / "network" / "addresses.json")
        self._tables: Tables | None = None
        self._mtu = 1500
        self._lock = asyncio.Lock()
        self._disturbed = asyncio.Event()

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
        found = self._addresses.ranges
        if not found:
            raise RuntimeError("the Pod network is not started")
        return found

    @property
    def addresses(self) -> Sequence[Address]:
        """The node's own addresses, one of each family: Pods reach the node there, and it calls them from there."""
        return [each.gateway for each in self.ranges]

    @property
    def mtu(self) -> int:
        """The largest packet that leaves the node whole, after `start`: no link of a Pod takes a larger one."""
        return self._mtu

    @property
    def link_prefix(self) -> str:
        """What the names of all Pod links of this instance begin with."""
        return link_prefix(self._instance)

    @property
    def node_link_prefix(self) -> str:
        """The same of the links to its further nodes."""
        return node_link_prefix(self._instance)

    def place(self, number: int, namespace: str) -> Place:
        """Return where the further node `number` (from 1) stands, if its namespace is pinned at `namespace`."""
        parts = (NodeRange(each.cluster, part_of(each.cluster, number)) for each in self.ranges)
        return Place(self._further[number - 1], namespace, tuple(parts))

    async def start(self) -> None:
        """Choose and reserve the range, switch forwarding on, and lay down the rules."""
        if self._place is None:
            several = bool(self._further)
            await asyncio.to_thread(pod_ranges.choose_ranges, self._addresses, self._preferred, self._run_root, several)
        else:
            given = self._place.ranges
            await self._there(lambda: pod_ranges.take_ranges(self._addresses, given))
        await self._there(self._settle)
        self._tables = Tables(self._namespace)
        async with self._lock:
            await self._there(self._lay_down)

    async def keep_rules(self) -> None:
        """Lay the rules down again whenever somebody else changes them; for ever."""
        assert self._tables is not None
        disturbed = self._disturbed  # as it was left, if this failed before
        watch = TableWatch(self._namespace, (self.table,), self._tables.sender, lambda _seen: disturbed.set())
        try:
            while True:
                await disturbed.wait()
                disturbed.clear()
                log.warning("somebody changed the table of source addresses; it is laid down again")
                try:
                    async with self._lock:
                        await self._there(self._lay_down)
                except OSError:
                    disturbed.set()
                    raise
        finally:
            watch.close()

    async def keep_ways(self) -> None:
        """Put addresses and routes back when somebody has taken the node's own addresses away; for ever.

        As whoever switches IPv6 off and on again does, with all that any link had of it.
        """
        disturbed = asyncio.Event()
        disturbed.set()  # it may have happened before, or have failed to be put right
        watch = AddressWatch(self._namespace, disturbed.set)
        try:
            while True:
                await disturbed.wait()
                disturbed.clear()
                async with self._lock:
                    await self._there(self._put_back)
        finally:
            watch.close()

    def _put_back(self) -> None:
        gone = pod_ranges.missing(self._addresses)
        if not gone:
            return
        words = " and ".join(map(str, gone))
        if not all(has_family(family_of(address)) for address in gone):
            log.warning("IPv6 was switched off: the node has %s no more until it is on again", words)
            return
        log.warning("somebody took %s from the node; it is put back, with the ways to its Pods", words)
        self._settle()
        pod_ranges.add_to_loopback(gone)
        held = self._addresses.held()
        for uid, addresses in held.items():
            if uid not in OWN:
                wiring.lead_again(self._link(uid), addresses, self.addresses)
        if self._place is None:
            with Netlink() as netlink:
                pod_ranges.reserve(netlink, self.ranges)
            for number, node in enumerate(self._further, 1):
                link, parts = node_link_name(self._instance, node), self.place(number, "").ranges
                nodelink.lead_again(link, parts, self.addresses)
                nodelink.lead(link, parts, self.addresses, self._known(self._behind.get(node, ())))

    def _lay_down(self) -> None:
        # Whatever an earlier life left is replaced in one transaction: no packet sees the rules missing.
        batch = Batch(self.table)
        sources.lay_down(batch, self._surroundings())
        with Netlink() as netlink:
            present = {link.name for link in netlink.links()}
        for uid, addresses in self._addresses.held().items():
            if self._link(uid) in present:
                sources.let_through(batch, self._link(uid), addresses)
        for node, told in self._behind.items():
            sources.let_through(batch, node_link_name(self._instance, node), self._known(told))
        self._commit(batch)

    def _surroundings(self) -> sources.Surroundings:
        if self._place is not None:
            return sources.Surroundings(self.ranges, self.link_prefix)
        names = [node_link_name(self._instance, node) for node in self._further]
        nodes = {name: [part_of(each.cluster, number) for each in self.ranges] for number, name in enumerate(names, 1)}
        return sources.Surroundings(self.ranges, self.link_prefix, node_link_prefix(self._instance), nodes)

    def _known(self, addresses: Iterable[str]) -> Sequence[Address]:
        """Return those addresses that are of a family which the instance has."""
        families = {each.family for each in self.ranges}
        return [address for address in map(ip_address, sorted(addresses)) if family_of(address) in families]

    async def lead_to(self, node: str, addresses: Sequence[str]) -> None:
        """Lead to a further node what plugins gave its Pods, and let its link send from there."""
        link, known = node_link_name(self._instance, node), self._known(addresses)
        parts = self.place(self._further.index(node) + 1, "").ranges
        async with self._lock:
            self._behind.setdefault(node, set()).update(addresses)
            batch = Batch(self.table)
            sources.let_through(batch, link, known)
            await self._there(lambda: nodelink.lead(link, parts, self.addresses, known))
            await asyncio.to_thread(self._commit, batch)

    async def lead_no_more(self, node: str, addresses: Sequence[str]) -> None:
        """Undo `lead_to`; nothing happens where it was not called."""
        link, known = node_link_name(self._instance, node), self._known(addresses)
        async with self._lock:
            self._behind.setdefault(node, set()).difference_update(addresses)
            batch = Batch(self.table)
            sources.let_through(batch, link, known)  # so that taking away what is not there is no error
            sources.let_through_no_more(batch, link, known)
            await self._there(lambda: nodelink.lead_no_more(known))
            await asyncio.to_thread(self._commit, batch)

    def _commit(self, batch: Batch) -> None:
        assert self._tables is not None, "the Pod network is not started"
        self._tables.commit(batch)

    def _settle(self) -> None:
        """Give the node its addresses, let it forward, and learn its MTU."""
        pod_ranges.settle(self.ranges, parted=self._place is not None)
        families = [each.family for each in self.ranges]
        self._mtu = uplinks.mtu(families, self._mtu)
        for name, value in uplinks.forwarding(families):
            self._set_sysctl(name, value)

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
            addresses = self._addresses.allocate(uid)
            link = self._link(uid)
            batch = Batch(self.table)
            sources.let_through(batch, link, addresses)

            def wire() -> None:
                # Elements and link are all there before any process of the Pod is.
                wiring.wire_pod(link, netns, addresses, self.addresses, self._mtu, traffic)
                self._commit(batch)

            await self._there(wire)
        return [str(address) for address in addresses]

    async def detach(self, uid: str) -> None:
        """Take the link away and free the addresses."""
        async with self._lock:
            addresses = self._addresses.held().get(uid)
            link = self._link(uid)

            def remove() -> None:
                with Netlink() as netlink:
                    netlink.delete_link(link)

            await self._there(remove)
            if addresses is not None:
                batch = Batch(self.table)
                sources.let_through(batch, link, addresses)  # so that taking away what is not there is no error
                sources.let_through_no_more(batch, link, addresses)
                await asyncio.to_thread(self._commit, batch)
                self._addresses.release(uid)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        held = self._addresses.held().items()
        return {uid: [str(address) for address in addresses] for uid, addresses in held if uid not in OWN}

    async def own_addresses(self, name: str) -> Sequence[Address]:
        """Return the addresses of one of `OWN`, the same ones whenever asked, which the node then answers on."""
        async with self._lock:
            addresses = self._addresses.allocate(name)
            await self._there(lambda: pod_ranges.add_to_loopback(addresses))
        return addresses

    async def close(self) -> None:
        """Let go; links and rules stay."""
        if self._tables is not None:
            self._tables.close()
            self._tables = None


async def teardown(data: Path, instance: str, *, run_root: Path = _RUN) -> None:
    """Take away the machine's links, routes, rules and settings of an instance, with no daemon running."""
    addresses = Addresses(data / "network" / "addresses.json")
    prefixes = (link_prefix(instance), node_link_prefix(instance))

    def remove() -> None:
        with files.locked(run_root / "ranges.lock"), Netlink() as netlink:
            for link in netlink.links():
                if link.name.startswith(prefixes):
                    netlink.delete_link(link.name)
            _delete_table(table_name(instance))  # before what it keeps from others' Pods is theirs
            for each in addresses.ranges:
                pod_ranges.withdraw(netlink, each, addresses)
            if not any(route.protocol == PROTOCOL for route in netlink.routes()):
                # The last instance on the machine puts back what the first one found.
                for name, value in addresses.sysctls.items():
                    namespaces.write_sysctl(name, value)
                sysctls.put_back(run_root)
        with contextlib.suppress(FileNotFoundError):
            (data / "network" / "addresses.json").unlink()

    await asyncio.to_thread(remove)


def _delete_table(name: str) -> None:
    batch = Batch(name)
    batch.add_table()  # so that deleting what is not there is no error
    batch.delete_table()
    with contextlib.closing(Tables()) as tables:
        tables.commit(batch)
