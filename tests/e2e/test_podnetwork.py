"""The routed Pod network on this machine: who reaches whom, what is dropped, what is left behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.lifecycle.traffic import Traffic
from podling.linux import mounts, namespaces
from podling.linux.netlink import Netlink
from podling.linux.spawn import Launcher
from podling.network.podnetwork import RoutedPodNetwork, link_prefix, table_name, teardown
from tests.throughput import throughput

pytestmark = pytest.mark.root


class Wired:
    """A network of an instance of the test's own, with Pods that are network namespaces."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.instance = f"n{Chance().hex(7)}"
        self.pins = Path("/run/podling") / self.instance
        self.launcher = Launcher()
        self.network = RoutedPodNetwork(data, self.instance)

    async def pod(self, uid: str) -> str:
        namespaces.create(self.pins / uid, ("net",), sysctls={})
        return (await self.attach(uid))[0]

    async def attach(self, uid: str) -> list[str]:
        return list(await self.network.attach(uid, "default", uid, str(self.pins / uid / "net")))

    async def inside(self, uid: str, command: str) -> int:
        answer = await self.launcher.run(
            ["nsenter", f"--net={self.pins / uid / 'net'}", "sh", "-c", command], timeout=20
        )
        return answer.code

    async def again(self) -> None:
        await self.network.close()
        self.network = RoutedPodNetwork(self.data, self.instance)
        await self.network.start()

    async def down(self) -> None:
        await self.network.close()
        await teardown(self.data, self.instance)
        for pin in self.pins.iterdir():
            namespaces.release(pin)
        mounts.unmount(str(self.pins))
        self.pins.rmdir()
        self.launcher.close()


def held(tmp_path: Path, scenario: Callable[[Wired], Awaitable[None]]) -> None:
    async def main() -> None:
        wired = Wired(tmp_path)
        wired.pins.mkdir(parents=True)
        try:
            await wired.network.start()
            await scenario(wired)
        finally:
            await wired.down()
        answer = await asyncio.to_thread(_leftovers, wired.instance)
        assert answer == []

    asyncio.run(main())


def _leftovers(instance: str) -> list[str]:
    from podling.linux.spawn import run_and_wait

    with Netlink() as netlink:
        found = [link.name for link in netlink.links() if link.name.startswith(link_prefix(instance))]
    if table_name(instance) in run_and_wait(["nft", "list", "tables"]).decode():
        found.append(table_name(instance))
    return found


PING = "busybox ping -c 1 -W 2"


def test_pods_reach_each_other_and_the_node(tmp_path: Path) -> None:
    """A Pod reaches another Pod, itself, and the node at the gateway; the node reaches the Pod."""

    async def scenario(wired: Wired) -> None:
        one, two = await wired.pod("one"), await wired.pod("two")
        assert one != two
        for target in (two, one, str(wired.network.gateway)):
            assert await wired.inside("one", f"{PING} {target}") == 0, target
        assert (await wired.launcher.run(["busybox", "ping", "-c", "1", "-W", "2", one])).code == 0

    held(tmp_path, scenario)


def test_a_foreign_source_address_is_dropped(tmp_path: Path) -> None:
    """A Pod that takes an address which it was not given reaches nobody with it."""

    async def scenario(wired: Wired) -> None:
        await wired.pod("one")
        two = await wired.pod("two")
        foreign = str(wired.network.pod_range.network_address + 60000)
        assert await wired.inside("one", f"ip addr add {foreign}/32 dev eth0") == 0
        assert await wired.inside("one", f"{PING} -I {foreign} {two}") != 0
        assert await wired.inside("one", f"{PING} {two}") == 0

    held(tmp_path, scenario)


def test_rules_that_somebody_changes_come_back(tmp_path: Path) -> None:
    """Flushed, thinned out or taken away whole: a moment later no foreign address passes, and the Pod's own does."""

    async def scenario(wired: Wired) -> None:
        await wired.pod("one")
        two = await wired.pod("two")
        foreign = str(wired.network.pod_range.network_address + 200)
        assert await wired.inside("one", f"ip addr add {foreign}/32 dev eth0") == 0
        keeping = asyncio.create_task(wired.network.keep_rules())
        await asyncio.sleep(0)
        table = f"inet {wired.network.table}"
        try:
            for damage in (f"flush chain {table} source", f"flush set {table} links", f"delete table {table}"):
                assert (await wired.launcher.run(["nft", damage])).code == 0
                for _ in range(50):
                    await asyncio.sleep(0.02)
                    listed = (await wired.launcher.run(["nft", "list", "table", *table.split()])).stdout.decode()
                    if two in listed and "drop" in listed:
                        break
                assert await wired.inside("one", f"{PING} -I {foreign} {two}") != 0, damage
                assert await wired.inside("one", f"{PING} {two}") == 0, damage
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    held(tmp_path, scenario)


def test_attach_mends_and_survives(tmp_path: Path) -> None:
    """The same Pod keeps its address over repeats, a lost link and a restart; an address is free after detach."""

    async def scenario(wired: Wired) -> None:
        one, two = await wired.pod("one"), await wired.pod("two")
        assert await wired.attach("one") == [one]
        await wired.again()
        assert await wired.inside("two", f"{PING} {one}") == 0
        with Netlink() as netlink:
            netlink.delete_link(wired.network._link("one"))
        assert await wired.attach("one") == [one]
        assert await wired.inside("two", f"{PING} {one}") == 0
        await wired.network.detach("one")
        await wired.network.detach("one")
        assert dict(await wired.network.attached()) == {"two": [two]}
        assert await wired.inside("two", f"{PING} {one}") != 0

    held(tmp_path, scenario)


def test_two_instances_take_two_ranges(tmp_path: Path) -> None:
    """A second instance on the machine takes the next free range and leaves the first alone."""

    async def scenario(wired: Wired) -> None:
        one = await wired.pod("one")
        other = RoutedPodNetwork(tmp_path / "other", f"{wired.instance}x")
        try:
            await other.start()
            assert not other.pod_range.overlaps(wired.network.pod_range)
        finally:
            await other.close()
            await teardown(tmp_path / "other", f"{wired.instance}x")
        assert (await wired.launcher.run(["busybox", "ping", "-c", "1", "-W", "2", one])).code == 0

    held(tmp_path, scenario)


def test_bandwidth_is_bounded_each_way(tmp_path: Path) -> None:
    """What comes to a Pod and what leaves it keeps near its bound, and the other way stays free of it."""
    bound = 16_000_000

    async def scenario(wired: Wired) -> None:
        free = await wired.pod("free")
        namespaces.create(wired.pins / "bound", ("net",), sysctls={})
        pins = {name: str(wired.pins / name / "net") for name in ("free", "bound")}
        for traffic, ingress, egress in (
            (Traffic(ingress=bound), True, False),
            (Traffic(egress=bound), False, True),
        ):
            address = (await wired.network.attach("bound", "default", "bound", pins["bound"], traffic))[0]
            to = await asyncio.to_thread(throughput, pins["free"], pins["bound"], address, 1.0)
            away = await asyncio.to_thread(throughput, pins["bound"], pins["free"], free, 1.0)
            for rate, bounded in ((to, ingress), (away, egress)):
                if bounded:
                    assert 0.7 < rate / bound < 1.15, f"{rate / 1e6:.1f} Mbit/s"
                else:
                    assert rate > 10 * bound, f"{rate / 1e6:.1f} Mbit/s"
            await wired.network.detach("bound")

    held(tmp_path, scenario)


def test_no_link_takes_more_than_leaves_the_node(tmp_path: Path) -> None:
    """A Pod's packets are as large as the node's way out takes: one of that size arrives whole, a larger one is refused."""

    async def scenario(wired: Wired) -> None:
        one = await wired.pod("one")
        await wired.pod("two")
        with Netlink() as netlink:
            links = {link.index: link.mtu for link in netlink.links()}
            ways = [route for route in netlink.routes() if route.destination.prefixlen == 0]
        if ways:
            assert wired.network.mtu == links[min(ways, key=lambda way: way.metric).interface]
        size = wired.network.mtu - 28

        def bound() -> socket.socket:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.setsockopt(socket.IPPROTO_IP, 10, 2)  # IP_MTU_DISCOVER: never in pieces
            made.settimeout(2)
            return made

        with namespaces.inside(str(wired.pins / "one" / "net"), bound) as receiver:
            receiver.bind((one, 7000))
            with namespaces.inside(str(wired.pins / "two" / "net"), bound) as sender:
                sender.sendto(bytes(size), (one, 7000))
                assert len(receiver.recv(1 << 16)) == size
                with pytest.raises(OSError, match="too long"):
                    sender.sendto(bytes(size + 1), (one, 7000))

    held(tmp_path, scenario)
