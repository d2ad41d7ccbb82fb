"""The routed Pod network on this machine: who reaches whom, what is dropped, what is left behind."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.lifecycle.traffic import Traffic
from podling.linux import mounts, namespaces
from podling.linux.families import FAMILIES, IPV4, IPV6, Address, Family, Network, family_of, has_family
from podling.linux.netlink import Netlink
from podling.linux.spawn import Launcher
from podling.network.podnetwork import RoutedPodNetwork, link_prefix, table_name, teardown
from podling.network.ranges import overlap
from tests.throughput import throughput

pytestmark = pytest.mark.root


class Wired:
    """A network of an instance of the test's own, with Pods that are network namespaces."""

    def __init__(self, data: Path, families: Sequence[Family]) -> None:
        self.data = data
        own = Chance().below(200)
        self.ranges = {IPV4: ip_network(f"10.{own}.0.0/16"), IPV6: ip_network(f"fd00:10:{own + 0x1000:x}::/56")}
        """Nobody else's: other instances, of tests that run at the same time, begin with the usual ones."""
        self.preferred = [self.ranges[family] for family in families]
        self.instance = f"n{Chance().hex(7)}"
        self.pins = Path("/run/podling") / self.instance
        self.launcher = Launcher()
        self.network = self._network()

    def _network(self) -> RoutedPodNetwork:
        return RoutedPodNetwork(self.data, self.instance, preferred=self.preferred)

    async def pod(self, uid: str) -> list[str]:
        namespaces.create(self.pins / uid, ("net",), sysctls={})
        return await self.attach(uid)

    async def attach(self, uid: str) -> list[str]:
        return list(await self.network.attach(uid, "default", uid, str(self.pins / uid / "net")))

    async def inside(self, uid: str, command: str) -> int:
        answer = await self.launcher.run(
            ["nsenter", f"--net={self.pins / uid / 'net'}", "sh", "-c", command], timeout=20
        )
        return answer.code

    async def again(self) -> None:
        await self.network.close()
        self.network = self._network()
        await self.network.start()

    async def down(self) -> None:
        await self.network.close()
        await teardown(self.data, self.instance)
        for pin in self.pins.iterdir():
            namespaces.release(pin)
        mounts.unmount(str(self.pins))
        self.pins.rmdir()
        self.launcher.close()


BOTH = FAMILIES if has_family(IPV6) else (IPV4,)
"""What this machine speaks."""
needs_ipv6 = pytest.mark.skipif(len(BOTH) == 1, reason="this machine has no IPv6")


def held(tmp_path: Path, scenario: Callable[[Wired], Awaitable[None]], families: Sequence[Family] = BOTH) -> None:
    async def main() -> None:
        wired = Wired(tmp_path, families)
        wired.pins.mkdir(parents=True)
        try:
            await wired.network.start()
            await scenario(wired)
        finally:
            ranges = [each.cluster for each in wired.network.ranges]
            await wired.down()
        answer = await asyncio.to_thread(_leftovers, wired.instance, ranges)
        assert answer == []

    asyncio.run(main())


def _leftovers(instance: str, ranges: Sequence[Network]) -> list[str]:
    from podling.linux.spawn import run_and_wait

    with Netlink() as netlink:
        found = [link.name for link in netlink.links() if link.name.startswith(link_prefix(instance))]
        addresses = [address for family in FAMILIES for address in netlink.addresses(family)]
        found += [str(address) for address in addresses if any(address in each for each in ranges)]
        found += [
            str(route.destination)
            for route in netlink.routes()
            if any(overlap(route.destination, r) for r in ranges if route.destination.prefixlen)
        ]
    if table_name(instance) in run_and_wait(["nft", "list", "tables"]).decode():
        found.append(table_name(instance))
    return found


PING = "busybox ping -c 1 -W 2"


def test_pods_reach_each_other_and_the_node(tmp_path: Path) -> None:
    """A Pod reaches another Pod, itself, and the node at the gateway; the node reaches the Pod."""

    async def scenario(wired: Wired) -> None:
        one, two = await wired.pod("one"), await wired.pod("two")
        assert [family_of(ip_address(address)) for address in one] == list(BOTH)
        assert not set(one) & set(two)
        for target in (*two, *one, *map(str, wired.network.addresses)):
            assert await wired.inside("one", f"{PING} {target}") == 0, target
        for target in one:
            assert (await wired.launcher.run([*PING.split(), target])).code == 0, target

    held(tmp_path, scenario)


def test_links_take_packets_when_they_are_attached(tmp_path: Path) -> None:
    """Not some milliseconds later: what is answered to a Pod's first packet comes to it."""

    async def scenario(wired: Wired) -> None:
        for number in range(30):
            await wired.pod(f"p{number}")
            link = wired.network._link(f"p{number}")
            assert Path(f"/sys/class/net/{link}/operstate").read_text().strip() == "up"

    held(tmp_path, scenario)


@needs_ipv6
def test_a_pod_has_one_place_in_both_ranges(tmp_path: Path) -> None:
    """Its addresses end alike; both are the only ones on its link, which has no address of its own choosing."""

    async def scenario(wired: Wired) -> None:
        four, six = map(ip_address, await wired.pod("one"))
        bases = [each.own.network_address for each in wired.network.ranges]
        assert int(four) - int(bases[0]) == int(six) - int(bases[1])

        def addresses() -> list[frozenset[Address]]:
            with Netlink() as netlink:
                return [netlink.addresses(family) for family in FAMILIES]

        found = namespaces.inside(str(wired.pins / "one" / "net"), addresses)
        assert [{each for each in held if not each.is_loopback} for held in found] == [{four}, {six}]

    held(tmp_path, scenario)


@needs_ipv6
def test_without_the_other_family_pods_send_none_of_it(tmp_path: Path) -> None:
    """A Pod of an instance of one family that gives itself an address of the other reaches nobody by it."""

    async def scenario(wired: Wired) -> None:
        assert len(await wired.pod("one")) == 1
        link = wired.network._link("one")
        namespaces.write_sysctl(f"net/ipv6/conf/{link}/disable_ipv6", "0")  # were it not for the rules…
        await asyncio.to_thread(
            subprocess.run, ["ip", "-6", "addr", "add", "fd77::1/64", "dev", link, "nodad"], check=True
        )
        assert await wired.inside("one", "ip -6 addr add fd77::2/64 dev eth0 nodad") == 0
        assert await wired.inside("one", f"{PING} fd77::1") != 0

    held(tmp_path, scenario, (IPV4,))


@needs_ipv6
def test_an_instance_gets_the_other_family_later(tmp_path: Path) -> None:
    """Pods of a cluster that had IPv4 alone keep their address and get one beside it; and lose it where it goes."""

    async def scenario(wired: Wired) -> None:
        (four,) = await wired.pod("one")
        wired.preferred = list(wired.ranges.values())
        await wired.again()
        both = await wired.attach("one")
        assert both[0] == four
        two = await wired.pod("two")
        for address in both:
            assert await wired.inside("two", f"{PING} {address}") == 0, address
        ranges = wired.network.ranges
        await wired.again()
        assert wired.network.ranges == ranges
        wired.preferred = wired.preferred[:1]
        await wired.again()
        assert await wired.attach("one") == [four]
        assert await wired.inside("two", f"{PING} {two[1]}") == 0  # itself
        assert await wired.inside("two", f"{PING} {both[1]}") != 0
        wired.preferred = list(wired.ranges.values())
        await wired.again()

    held(tmp_path, scenario, (IPV4,))


def test_a_foreign_source_address_is_dropped(tmp_path: Path) -> None:
    """A Pod that takes an address which it was not given reaches nobody with it."""

    async def scenario(wired: Wired) -> None:
        await wired.pod("one")
        for two, own in zip(await wired.pod("two"), wired.network.ranges, strict=True):
            for foreign in (own.own.network_address + 200, own.cluster.network_address + 60000):
                assert await wired.inside("one", f"ip addr add {ip_network(foreign)} dev eth0 nodad") == 0
                assert await wired.inside("one", f"{PING} -I {foreign} {two}") != 0, foreign
            assert await wired.inside("one", f"{PING} {two}") == 0

    held(tmp_path, scenario)


def test_rules_that_somebody_changes_come_back(tmp_path: Path) -> None:
    """Flushed, thinned out or taken away whole: a moment later no foreign address passes, and the Pod's own does."""

    async def scenario(wired: Wired) -> None:
        await wired.pod("one")
        foreign, two = wired.network.ranges[0].own.network_address + 200, (await wired.pod("two"))[0]
        assert await wired.inside("one", f"ip addr add {foreign}/32 dev eth0") == 0
        keeping = asyncio.create_task(wired.network.keep_rules())
        await asyncio.sleep(0)
        table = f"inet {wired.network.table}"
        try:
            for damage in (f"flush chain {table} source-of-links", f"flush set {table} links", f"delete table {table}"):
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


def test_rules_that_could_not_be_laid_down_again_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel refuses once, and who keeps the rules begins anew: nobody has to disturb them a second time."""

    async def scenario(wired: Wired) -> None:
        await wired.pod("one")
        lay_down, refusals = wired.network._lay_down, [OSError("no room")]

        def refused_once() -> None:
            if refusals:
                raise refusals.pop()
            lay_down()

        monkeypatch.setattr(wired.network, "_lay_down", refused_once)
        keeping = asyncio.create_task(wired.network.keep_rules())
        await asyncio.sleep(0)
        assert (await wired.launcher.run(["nft", f"delete table inet {wired.network.table}"])).code == 0
        with pytest.raises(OSError, match="no room"):
            await keeping
        keeping = asyncio.create_task(wired.network.keep_rules())
        try:
            for _ in range(50):
                await asyncio.sleep(0.02)
                listed = await wired.launcher.run(["nft", "list", "table", "inet", wired.network.table])
                if listed.code == 0:
                    return
            raise AssertionError("the table is gone still")
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    held(tmp_path, scenario)


def test_attach_mends_and_survives(tmp_path: Path) -> None:
    """The same Pod keeps its address over repeats, a lost link and a restart; an address is free after detach."""

    async def scenario(wired: Wired) -> None:
        one, two = await wired.pod("one"), await wired.pod("two")

        async def reached() -> list[bool]:
            return [await wired.inside("two", f"{PING} {address}") == 0 for address in one]

        assert await wired.attach("one") == one
        await wired.again()
        assert all(await reached())
        with Netlink() as netlink:
            netlink.delete_link(wired.network._link("one"))
        assert await wired.attach("one") == one
        assert all(await reached())
        await wired.network.detach("one")
        await wired.network.detach("one")
        assert dict(await wired.network.attached()) == {"two": two}
        assert not any(await reached())

    held(tmp_path, scenario)


def test_two_instances_take_two_ranges(tmp_path: Path) -> None:
    """A second instance on the machine takes the next free range and leaves the first alone."""

    async def scenario(wired: Wired) -> None:
        one = await wired.pod("one")
        other = RoutedPodNetwork(tmp_path / "other", f"{wired.instance}x", preferred=wired.preferred)
        try:
            await other.start()
            for theirs, ours in zip(other.ranges, wired.network.ranges, strict=True):
                assert not overlap(theirs.cluster, ours.cluster)
        finally:
            await other.close()
            await teardown(tmp_path / "other", f"{wired.instance}x")
        for address in one:
            assert (await wired.launcher.run([*PING.split(), address])).code == 0, address

    held(tmp_path, scenario)


def test_bandwidth_is_bounded_each_way(tmp_path: Path) -> None:
    """What comes to a Pod and what leaves it keeps near its bound, and the other way stays free of it."""
    bound = 16_000_000

    async def scenario(wired: Wired) -> None:
        free = (await wired.pod("free"))[0]
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
        one = (await wired.pod("one"))[0]
        await wired.pod("two")
        with Netlink() as netlink:
            links = {link.index: link.mtu for link in netlink.links()}
            ways = [route for route in netlink.routes(IPV4) if route.destination.prefixlen == 0]
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
