"""What a Pod with NET_RAW tries, past its own kernel: it sends as nobody else, and nobody believes what it says of ways."""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path

import pytest

from podling.linux.families import IPV4, IPV6, Family
from podling.linux.netlink import Netlink
from tests.e2e import frames
from tests.e2e.frames import RawPod, datagram, heard, listener, message, of_family, packet, pieces
from tests.e2e.test_podnetwork import Wired, held
from tests.families import each_family, needs_ipv6

pytestmark = pytest.mark.root

PORT = 9000


@contextlib.contextmanager
def raw(wired: Wired, *names: str) -> Iterator[list[RawPod]]:
    with contextlib.ExitStack() as stack:
        opened = [RawPod(wired.pins / name, wired.network._link(name)) for name in names]
        for each in opened:
            stack.callback(each.close)
        yield opened


@each_family
def test_no_pod_sends_as_another(tmp_path: Path, family: Family) -> None:
    """By a frame of its own making its own address passes, another Pod's does not."""

    async def scenario(wired: Wired) -> None:
        one, _, three = [of_family(family, await wired.pod(name)) for name in ("one", "two", "three")]
        whole = packet(one, three, frames.UDP, datagram(one, three, PORT, b"hello"))
        with raw(wired, "one", "two") as (own, other), listener(wired.pins / "three", family, PORT) as server:
            assert heard(server, lambda: own.send(whole), b"hello")
            assert heard(server, lambda: other.send(whole), None)

    held(tmp_path, scenario)


@each_family
def test_no_pod_puts_a_piece_into_anothers_datagram(tmp_path: Path, family: Family) -> None:
    """The kernel puts pieces together whichever link they came by: a foreign one is dropped before, first or last."""

    async def scenario(wired: Wired) -> None:
        one, _, three = [of_family(family, await wired.pod(name)) for name in ("one", "two", "three")]
        body = datagram(one, three, PORT, b"f" * 8 + b"evil" * 4)
        with raw(wired, "one", "two") as (own, other), listener(wired.pins / "three", family, PORT) as server:
            for number, sender in ((70, own), (71, other)):
                first, last = pieces(one, three, frames.UDP, body, number, 16)

                def both(first: bytes = first, last: bytes = last, sender: RawPod = sender) -> None:
                    sender.send(last)
                    own.send(first)

                expected = b"f" * 8 + b"evil" * 4 if sender is own else None
                assert heard(server, both, expected)
            first, last = pieces(one, three, frames.UDP, body, 72, 16)
            assert heard(server, lambda: (other.send(first), own.send(last)), None)

    held(tmp_path, scenario)


@each_family
def test_no_pod_says_that_anothers_calls_fail(tmp_path: Path, family: Family) -> None:
    """An error about what was sent to itself comes to the sender; one about another's, true as it looks, to nobody."""

    async def scenario(wired: Wired) -> None:
        one, two, three = [of_family(family, await wired.pod(name)) for name in ("one", "two", "three")]
        with (
            raw(wired, "one", "two") as (own, other),
            listener(wired.pins / "one", family, PORT),
            frames.caller(wired.pins / "three", one, PORT) as calling,
        ):
            asked = datagram(three, one, PORT, b"?", source_port=calling.getsockname()[1])
            about = packet(three, one, frames.UDP, asked)
            assert frames.is_calling(calling)
            other.send(frames.unreachable(two, three, about))
            assert frames.is_calling(calling)
            own.send(frames.unreachable(one, three, about))
            assert not frames.is_calling(calling)

    held(tmp_path, scenario)


def test_no_pod_fills_the_nodes_table_of_neighbours(tmp_path: Path) -> None:
    """It asks by ARP as hundreds of others, and by IPv6 as itself: the node learns no neighbour."""

    async def scenario(wired: Wired) -> None:
        one = await wired.pod("one")
        link = wired.network._link("one")

        async def known() -> bytes:
            return (await wired.launcher.run(["ip", "neigh", "show", "dev", link])).stdout

        before = await known()
        assert before.count(b"PERMANENT") == len(one)
        with raw(wired, "one") as (pod,):
            node = of_family(IPV4, list(map(str, wired.network.addresses)))
            for number in range(300):
                pod.send(frames.asking(link, ip_address(0xAC1E0000 + number), node), frames.ARP)
            for own, gateway in zip(one[1:], wired.network.addresses[1:], strict=True):
                pod.send(message(ip_address(own), gateway, 135, bytes(4) + gateway.packed + b"\1\1" + bytes(6)))
        assert await known() == before

    held(tmp_path, scenario)


@needs_ipv6
def test_no_pod_is_a_router(tmp_path: Path) -> None:
    """What it advertises, by its own address, another's or one of the link, leaves the node's ways as they were."""

    async def scenario(wired: Wired) -> None:
        own = of_family(IPV6, await wired.pod("one"))
        everybody, prefix = ip_address("ff02::1"), ip_address("2001:db8:bad::")
        routes = b"\3\4\x40\xc0" + struct.pack(">III", 3600, 3600, 0) + prefix.packed
        body = struct.pack(">BBHII", 64, 0, 1800, 0, 0) + routes

        def ways() -> set[str]:
            with Netlink() as netlink:
                held = {str(address) for address in netlink.addresses(IPV6)}
                return held | {f"{way.destination} {way.interface}" for way in netlink.routes(IPV6)}

        before = ways()
        with raw(wired, "one") as (pod,):
            for source in (own, ip_address("fe80::1"), ip_address("fe80::2"), wired.network.addresses[1]):
                pod.send(message(source, everybody, 134, body))
                pod.send(message(source, everybody, 137, bytes(4) + source.packed + ip_address("2001:db8::1").packed))
        assert ways() - before == set()

    held(tmp_path, scenario)


@needs_ipv6
def test_a_pod_reaches_no_address_of_the_machines_links(tmp_path: Path) -> None:
    """The node's own address answers; what it has on another link alone does not, nor what means itself."""

    async def scenario(wired: Wired) -> None:
        own, node = of_family(IPV6, await wired.pod("one")), wired.network.addresses[1]
        with Netlink() as netlink:
            of_links = [address for address in netlink.addresses(IPV6) if address.is_link_local]
        with raw(wired, "one") as (pod,), listener(None, IPV6, PORT) as machine:
            called = lambda there: pod.send(packet(own, there, frames.UDP, datagram(own, there, PORT, b"x")))  # noqa: E731
            assert heard(machine, lambda: called(node), b"x")
            for there in (*of_links, *map(ip_address, ("fe80::1", "::1", "::ffff:127.0.0.1", "ff01::1"))):
                assert heard(machine, lambda there=there: called(there), None), there

    held(tmp_path, scenario)
