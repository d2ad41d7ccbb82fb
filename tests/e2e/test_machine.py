"""The Pod network on machines that are set up otherwise than most: what they had they keep, or get back at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from podling.linux import namespaces
from podling.linux.families import FAMILIES, IPV4, IPV6, Family, has_family
from podling.network import firewalls, nodelink
from podling.network.addresses import DNS
from podling.network.links import link_prefix
from tests.e2e.machine import Machine
from tests.families import needs_ipv6

pytestmark = [pytest.mark.root, needs_ipv6]
FORWARDING = "net.ipv6.conf.all.forwarding"


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    made = Machine(tmp_path)
    try:
        yield made
    finally:
        made.close()


def test_a_machine_goes_on_believing_its_router(machine: Machine) -> None:
    """Though it forwards by now, it keeps the way out that it was told of, and hears of others."""
    assert machine.believes("2001:db8:1::/64")
    machine.start()
    assert machine.sysctl(FORWARDING) == "1"
    assert "via fe80::99" in machine.run("ip -6 route show default")
    assert machine.believes("2001:db8:2::/64")
    machine.down()
    assert (machine.sysctl(FORWARDING), machine.sysctl("net/ipv6/conf/up0/accept_ra")) == ("0", "1")
    assert machine.believes("2001:db8:3::/64")


def test_a_router_that_comes_later_is_believed_too(machine: Machine) -> None:
    """A link that had heard of no router when Podling started, and one whose name has a dot."""
    machine.run("ip link add up0.7 type veth peer name far")
    machine.start()
    assert machine.believes("2001:db8:1::/64")
    assert machine.sysctl("net/ipv6/conf/up0.7/accept_ra") == "2"
    machine.down()
    assert machine.sysctl("net/ipv6/conf/up0.7/accept_ra") == "1"


def test_a_machine_that_believed_no_router_believes_none(machine: Machine) -> None:
    """Neither one that forwarded already, nor one that was told not to."""
    machine.run("ip link add other type veth peer name far")
    machine.sysctl("net/ipv6/conf/other/forwarding", "1")
    machine.sysctl("net/ipv6/conf/up0/accept_ra", "0")
    machine.start()
    assert [machine.sysctl(f"net/ipv6/conf/{link}/accept_ra") for link in ("up0", "other")] == ["0", "1"]
    machine.down()
    assert [machine.sysctl(f"net/ipv6/conf/{link}/forwarding") for link in ("up0", "other")] == ["0", "1"]


def test_the_last_of_two_instances_puts_back_what_the_first_found(machine: Machine) -> None:
    """Whichever goes first, and though both were killed."""
    for order in (("one", "two"), ("two", "one")):
        machine.start("one")
        machine.start("two")
        machine.start("one")
        machine.down(order[0])
        assert (machine.sysctl(FORWARDING), machine.sysctl("net/ipv6/conf/up0/accept_ra")) == ("1", "2")
        machine.down(order[1])
        assert (machine.sysctl(FORWARDING), machine.sysctl("net/ipv6/conf/up0/accept_ra")) == ("0", "1")


def test_a_cluster_of_ipv4_leaves_ipv6_as_it_is(machine: Machine) -> None:
    """No setting, address or route of it is touched."""
    before = machine.addresses()
    machine.start(families=(IPV4,))
    assert (machine.sysctl(FORWARDING), machine.sysctl("net/ipv6/conf/up0/accept_ra")) == ("0", "1")
    assert machine.addresses() == before
    machine.down()


@pytest.mark.parametrize("taken", ["10.244.3.3/24", "fd00:10:244::77/64"])
def test_pods_follow_a_range_that_somebody_took(machine: Machine, taken: str) -> None:
    """Started again, those that run have addresses of another range and no others, and reach each other by them."""
    before = [machine.pod(name) for name in ("one", "two")]
    machine.run(f"ip addr add {taken} dev up0")
    one, two = (machine.pod(name) for name in ("one", "two"))
    place = int(":" in taken)
    assert one[place] != before[0][place]
    assert one[1 - place] == before[0][1 - place]
    for address in one:
        assert machine.reaches("two", address)
        assert machine.reaches("machine", address)
    shown = machine.run("ip addr show dev eth0", where="two")
    assert [address in shown for address in {*two, *before[1]}] == [address in two for address in {*two, *before[1]}]
    machine.down()


def test_ipv6_that_was_switched_off_and_on_is_there_after_a_start(machine: Machine) -> None:
    """Off, a machine has none, and IPv4 works; on again, the same Pods have the same addresses."""
    before = [machine.pod(name) for name in ("one", "two")]
    machine.sysctl("net.ipv6.conf.all.disable_ipv6", "1")
    assert not machine.within("machine", lambda: has_family(IPV6))
    assert machine.reaches("two", before[0][0])
    assert [machine.pod(name, families=(IPV4,)) for name in ("one", "two")] == [each[:1] for each in before]
    assert machine.reaches("two", before[0][0])
    machine.sysctl("net.ipv6.conf.all.disable_ipv6", "0")
    assert machine.within("machine", lambda: has_family(IPV6))
    assert [machine.pod(name) for name in ("one", "two")] == before
    assert all(machine.reaches("two", address) for address in before[0])
    machine.down()


def test_ipv6_that_is_switched_off_and_on_meanwhile_comes_back(machine: Machine) -> None:
    """As VPN programs do: IPv4 works all the time, also for Pods that come; with IPv6 its ways come back by themselves."""
    for name in ("one", "two"):
        namespaces.create(machine.pins / name, ("net",), sysctls={})

    async def scenario() -> None:
        network = machine.network()
        await network.start()
        keeping = asyncio.create_task(network.keep_ways())
        try:
            own = await network.own_addresses(DNS)
            one = await network.attach("one", "default", "one", machine.space("one"))
            namespaces.write_sysctl("net.ipv6.conf.all.disable_ipv6", "1")
            two = await network.attach("two", "default", "two", machine.space("two"))
            assert len(two) == 2
            assert await asyncio.to_thread(machine.reaches, "two", one[0])
            namespaces.write_sysctl("net.ipv6.conf.all.disable_ipv6", "0")
            for _ in range(100):
                await asyncio.sleep(0.05)
                if all(str(address) in machine.addresses() for address in own):
                    break
            await asyncio.to_thread(lambda: [machine.run(f"ip addr del {own[0]}/32 dev lo")])
            for _ in range(100):
                await asyncio.sleep(0.05)
                if str(own[0]) in machine.run("ip addr show dev lo"):
                    break
            for target in (*one, *map(str, (*own, *network.addresses))):
                assert await asyncio.to_thread(machine.reaches, "two", target), target
            assert await asyncio.to_thread(machine.reaches, "machine", two[1])
            assert "unreachable fd00:10:244::/56" in machine.run("ip -6 route show")
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await network.close()

    machine.live(scenario)
    machine.down()


def test_ways_to_further_nodes_come_back_too(machine: Machine) -> None:
    """The machine's to each node's ranges, and to what plugins gave its Pods."""
    instance, pin, given = f"{machine.instance}data", machine.pins / "second", "fd77::5"

    async def scenario() -> None:
        network = machine.network(further=("second",))
        await network.start()
        place = network.place(1, str(pin / "net"))
        nodelink.ensure_namespaces(pin, "second")
        nodelink.connect(instance, place, network.addresses, network.mtu)
        await network.lead_to("second", [given])
        keeping = asyncio.create_task(network.keep_ways())
        targets = [str(each.gateway) for each in place.ranges]
        try:
            for _ in range(2):
                assert all([await asyncio.to_thread(machine.reaches, "machine", target) for target in targets])
                assert given in machine.run("ip -6 route show")
                namespaces.write_sysctl("net.ipv6.conf.all.disable_ipv6", "1")
                await asyncio.sleep(0.2)
                namespaces.write_sysctl("net.ipv6.conf.all.disable_ipv6", "0")
                for _ in range(100):
                    await asyncio.sleep(0.05)
                    if given in machine.run("ip -6 route show"):
                        break
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await network.close()
            nodelink.remove(instance, "second", pin)

    machine.live(scenario)
    machine.down()


def test_what_was_taken_while_nobody_looked_comes_back(machine: Machine) -> None:
    """Whoever begins to keep the ways, or again after a failure, looks first."""

    async def scenario() -> None:
        network = machine.network()
        await network.start()
        gateway = str(network.addresses[0])
        machine.run(f"ip addr del {gateway}/32 dev lo")
        keeping = asyncio.create_task(network.keep_ways())
        try:
            for _ in range(100):
                await asyncio.sleep(0.05)
                if gateway in machine.run("ip addr show dev lo"):
                    return
            raise AssertionError("it is gone still")
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)
            await network.close()

    machine.live(scenario)
    machine.down()


def test_a_loopback_without_ipv6_is_a_machine_without_it(machine: Machine) -> None:
    """There the node could have no address."""
    machine.sysctl("net.ipv6.conf.lo.disable_ipv6", "1")
    assert not machine.within("machine", lambda: has_family(IPV6))


def test_links_take_ipv6_though_new_ones_do_not(machine: Machine) -> None:
    """Nor does a namespace that was made as the machine is: its loopback has an address as others have."""
    machine.sysctl("net.ipv6.conf.default.disable_ipv6", "1")
    namespaces.create(machine.pins / "one", ("net",), sysctls={"net.ipv6.conf.lo.disable_ipv6": "1"})
    address = machine.pod("one")[1]
    assert machine.reaches("machine", address)
    assert machine.reaches("one", "::1")
    machine.down()


def test_a_firewall_that_drops_what_is_forwarded_is_told_of(machine: Machine) -> None:
    """With the commands that let Pods pass it, which then reach each other; in each family that there is."""
    for program in ("iptables", "ip6tables"):
        machine.run(f"{program} -P FORWARD DROP")
    machine.run("nft add table inet own; nft 'add chain inet own f { type filter hook forward priority 5; }'")
    addresses = [machine.pod(name) for name in ("one", "two")][0]
    assert not any(machine.reaches("two", address) for address in addresses)
    links = link_prefix(f"{machine.instance}data")

    def told(families: Sequence[Family]) -> Sequence[str]:
        return machine.within("machine", lambda: firewalls.warnings(families, [links]))

    assert len(told((IPV4,))) == 1
    four, six = told(FAMILIES)
    for words in (four, six):
        machine.run(words.partition(": ")[2])
    assert all(machine.reaches("two", address) for address in addresses)
    machine.run("nft 'chain inet own f { policy drop; }'")
    *_, own = told((IPV4,))
    assert "chain f of table own" in own
    machine.down()


def test_no_firewall_is_nothing_to_tell_of(machine: Machine) -> None:
    """Our own chains let pass what they do not drop."""
    machine.pod("one")
    assert not machine.within("machine", lambda: firewalls.warnings(FAMILIES, ["pd"]))
    machine.down()


def test_a_narrow_way_out_takes_ipv6_from_nobody(machine: Machine) -> None:
    """Links that take no packets of 1,280 bytes have no IPv6 at all: Pods' take such, and hear what is narrower."""
    machine.run("ip addr add 192.0.2.1/24 dev up0; ip link set up0 mtu 1000; ip route add default via 192.0.2.2")
    address = machine.pod("one")[1]
    assert " mtu 1280 " in machine.run("ip link show dev eth0", where="one")
    assert machine.reaches("machine", address)
    machine.down()
    machine.pod("two", families=(IPV4,))
    assert " mtu 1000 " in machine.run("ip link show dev eth0", where="two")
    machine.down()
