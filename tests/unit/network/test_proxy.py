"""The proxy of one node with a table for each address family: an API server in the process, a network namespace of its own."""

from __future__ import annotations

import asyncio
import contextlib
import errno
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.codec import from_tree
from podling.api.resources import ENDPOINT_SLICES, SERVICES
from podling.cluster.control_plane import ADMIN, ControlPlane
from podling.cluster.networks import PROXY
from podling.linux import namespaces
from podling.linux.families import FAMILIES, IPV4, IPV6, Family
from podling.linux.local import LocalHost
from podling.linux.nf_tables import Batch, Tables
from podling.network.context import NetworkContext
from podling.network.proxy import sets
from podling.network.proxy.proxy import Proxy, teardown
from podling.network.proxy.sets import frontend_key
from podling.network.proxy.stale import to_look_at
from podling.network.proxy.table import table_name, table_names
from podling.network.ranges import PREFERRED, NodeRange, part_of
from podling.store.memory import MemoryStore

pytestmark = pytest.mark.root

BOTH = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
INSTANCE = "t"
SERVICE_RANGES = ("10.96.0.0/16", "fd00:10:96::/112")
VIPS = {IPV4: "10.96.0.77", IPV6: "fd00:10:96::77"}
PODS = {IPV4: "10.244.0.{}", IPV6: "fd00:10:244::{}"}
KEYS = {family: frontend_key(ip_address(address).packed, 17, 80) for family, address in VIPS.items()}


class Unheard:
    """Whom refused calls are told to: nobody makes any here."""

    def refused(self, refusal: object) -> None:
        raise AssertionError(refusal)


@dataclass
class Node:
    """A started proxy, the cluster around it, and what it told to be programmed."""

    context: NetworkContext
    proxy: Proxy
    plane: ControlPlane
    told: list[int] = field(default_factory=list)

    @property
    def space(self) -> str:
        return self.context.host.network_namespace

    async def put(self, *numbers: int) -> int:
        """Have Pods with these numbers behind the Service, by a slice of each family; return the last one's revision."""
        client = self.plane.client(ADMIN)
        for family in FAMILIES:
            addresses = [PODS[family].format(number) for number in numbers]
            endpoints = [{"addresses": [each], "nodeName": "one"} for each in addresses]
            name = f"web-{family.version}"
            made = await client.patch(ENDPOINT_SLICES, name, {"endpoints": endpoints}, namespace="default")
        return int(made.metadata.resource_version or 0)

    def targets(self, family: Family) -> list[str]:
        """Return where the kernel sends those who call the Service in a family."""
        with contextlib.closing(Tables(self.space)) as tables:
            elements = tables.elements(table_name(INSTANCE, family), sets.ENDPOINTS)
        own = [each for each in elements if each.key.startswith(KEYS[family])]
        return sorted(str(ip_address((each.value or b"")[: family.size])) for each in own)

    async def until(self, *numbers: int) -> None:
        """Wait for the Pods of these numbers to be where both families lead, and no others."""
        for family in FAMILIES:
            wanted = sorted(PODS[family].format(number) for number in numbers)
            await eventually(lambda family=family, wanted=wanted: self.targets(family) == wanted)


async def eventually(check: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not check():
            await asyncio.sleep(0.005)


def ranges(*families: Family) -> Sequence[NodeRange]:
    return [NodeRange(PREFERRED[family], part_of(PREFERRED[family], 0)) for family in families]


def there(space: str) -> list[str]:
    """Return which of the instance's tables there are."""
    with contextlib.closing(Tables(space)) as tables:
        return [name for name in table_names(INSTANCE) if tables.has_table(name)]


def lay_down_both(space: str) -> None:
    with contextlib.closing(Tables(space)) as tables:
        for name in table_names(INSTANCE):
            batch = Batch(name)
            batch.add_table()
            tables.commit(batch)


def with_a_node(
    tmp_path: Path,
    scenario: Callable[[Node], Awaitable[None]],
    *families: Family,
    before: Callable[[str], object] = str,
) -> None:
    async def main() -> None:
        space = str(tmp_path / "ns" / "net")
        namespaces.create(tmp_path / "ns", ("net",), sysctls={})
        host = LocalHost("one", space)
        clock = SystemClock()
        try:
            before(space)
            async with Supervisor(clock) as supervisor:
                plane = ControlPlane(
                    MemoryStore(clock=clock), clock, Chance(seed=1), supervisor, service_ranges=SERVICE_RANGES
                )
                await plane.start()
                await fill(plane)
                pods = SimpleNamespace(
                    ranges=ranges(*(families or FAMILIES)), link_prefix="pdt", set_sysctl=lambda *_: asyncio.sleep(0)
                )
                context = NetworkContext(
                    "one", INSTANCE, tmp_path, plane.client(PROXY), plane.informers(PROXY, supervisor), clock,
                    supervisor, host, cast("Any", pods),
                )  # fmt: skip
                proxy = Proxy(context, cast("Any", Unheard()))
                node = Node(context, proxy, plane)
                proxy._stale._rid = node.told.append
                try:
                    await proxy.start()
                    await scenario(node)
                finally:
                    proxy.close()
                    await plane.close()
        finally:
            host.close()
            namespaces.release(tmp_path / "ns")

    asyncio.run(main())


async def fill(plane: ControlPlane) -> None:
    """Make a Service of both families, without endpoints."""
    client = plane.client(ADMIN)
    spec = {
        "ports": [{"name": "p", "port": 80, "protocol": "UDP"}], "clusterIPs": list(VIPS.values()),
        "clusterIP": VIPS[IPV4], "ipFamilies": ["IPv4", "IPv6"], "ipFamilyPolicy": "RequireDualStack",
    }  # fmt: skip
    await client.create(
        SERVICES, from_tree(SERVICES.type, {"metadata": {"name": "web", "namespace": "default"}, "spec": spec})
    )
    for family in FAMILIES:
        labels = {"kubernetes.io/service-name": "web"}
        tree = {
            "metadata": {"name": f"web-{family.version}", "namespace": "default", "labels": labels},
            "addressType": family.name, "endpoints": [], "ports": [{"name": "p", "port": 53, "protocol": "UDP"}],
        }  # fmt: skip
        await client.create(ENDPOINT_SLICES, from_tree(ENDPOINT_SLICES.type, tree))


def test_a_change_is_in_both_tables_before_it_counts(tmp_path: Path) -> None:
    """The revision that is told of is one whose slices lead somewhere in either family."""

    async def scenario(node: Node) -> None:
        assert there(node.space) == table_names(INSTANCE)
        for numbers in ([5], [5, 6], [6], []):
            revision = await node.put(*numbers)
            await node.until(*numbers)
            await eventually(lambda revision=revision: max(node.told) >= revision)

    with_a_node(tmp_path, scenario)


@BOTH
def test_what_one_table_refuses_is_done_again(tmp_path: Path, family: Family) -> None:
    """Nothing is told meanwhile; flows that the change leaves behind are looked for in either family all the same."""

    async def scenario(node: Node) -> None:
        revision = await node.put(5, 6)
        await node.until(5, 6)
        await eventually(lambda: max(node.told) >= revision)
        told = len(node.told)
        tables, refused, noted = node.proxy._tables, [], {}
        commit, note = tables.commit, node.proxy._stale.note

        def refuse(batch: Batch) -> None:
            if batch.table == table_name(INSTANCE, family):
                tables.commit = commit  # type: ignore[method-assign]
                refused.append(len(node.told))
                raise OSError(errno.ENOMEM, "no memory")
            commit(batch)

        def noting(changes: Any) -> None:
            noted.update(to_look_at(changes))
            note(changes)

        tables.commit = refuse  # type: ignore[method-assign]
        node.proxy._stale.note = noting  # type: ignore[method-assign]
        # A name that no slice offers: the Service has no endpoints any more, in both families at once.
        ports = [{"name": "q", "port": 80, "protocol": "UDP"}]
        await node.plane.client(ADMIN).patch(SERVICES, "web", {"spec": {"ports": ports}}, namespace="default")
        await node.until()
        await eventually(lambda: len(node.told) > told)
        assert refused == [told]
        assert set(noted) == set(KEYS.values())

    with_a_node(tmp_path, scenario)


@BOTH
def test_whatever_is_done_to_a_table_is_undone(tmp_path: Path, family: Family) -> None:
    """Deleted as a whole or an element at a time, of either family; the other goes on leading where it led."""

    async def scenario(node: Node) -> None:
        await node.put(5, 6)
        await node.until(5, 6)
        table = table_name(INSTANCE, family)
        with contextlib.closing(Tables(node.space)) as tables:
            for number in range(2):
                batch = Batch(table)
                if number:
                    batch.delete_elements(sets.ENDPOINTS, tables.elements(table, sets.ENDPOINTS)[:1])
                else:
                    batch.delete_table()
                tables.commit(batch)
                await node.until(5, 6)

    with_a_node(tmp_path, scenario)


def test_a_family_that_the_node_has_no_more_leaves_no_table(tmp_path: Path) -> None:
    """What an earlier life left of it is taken away at the start."""

    async def scenario(node: Node) -> None:
        assert there(node.space) == [table_name(INSTANCE, IPV4)]
        await node.put(5)
        await eventually(lambda: node.targets(IPV4) == [PODS[IPV4].format(5)])

    with_a_node(tmp_path, scenario, IPV4, before=lay_down_both)


def test_teardown_takes_every_table(tmp_path: Path) -> None:
    """With no proxy running, whichever there are; done again it does nothing."""
    namespaces.create(tmp_path / "ns", ("net",), sysctls={})
    space = str(tmp_path / "ns" / "net")
    try:
        lay_down_both(space)
        for _ in range(2):
            asyncio.run(teardown(INSTANCE, space))
            assert there(space) == []
    finally:
        namespaces.release(tmp_path / "ns")
