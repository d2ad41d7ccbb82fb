"""The kernel's table of connections, in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.linux import namespaces
from podling.linux.conntrack import TCP, UDP, Conntrack, Entry, Follower, sources
from podling.linux.families import IPV4, IPV6
from podling.linux.local import LocalHost
from tests.families import needs_ipv6

pytestmark = pytest.mark.root


@pytest.fixture
def namespace() -> Iterator[str]:
    """A namespace whose kernel keeps track: it does so only where a rule asks about connections."""
    pins = Path("/run/podling") / f"ct{Chance().hex(6)}"
    namespaces.create(pins / "one", ("net",), sysctls={"net.netfilter.nf_conntrack_acct": "1"})
    path = str(pins / "one" / "net")
    host = LocalHost("one", path)
    rules = "table inet t { chain c { type filter hook output priority 0; ct state new accept; }; }"
    done = asyncio.run(host.run(["nft", rules]))
    assert done.code == 0, done.stderr
    yield path
    host.close()
    namespaces.release(pins / "one")
    pins.rmdir()


LOOPBACK = [pytest.param("127.0.0.1", id="IPv4"), pytest.param("::1", id="IPv6", marks=needs_ipv6)]


def _refused(path: str, address: str) -> None:
    def call() -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((address, 4))

    namespaces.inside(path, call)


def _talk(path: str, address: str) -> int:
    """Send 1,000 bytes over a new connection; return the port they came from."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET

    def call() -> int:
        with socket.create_server((address, 0), family=family) as server, socket.socket(family) as caller:
            caller.connect(server.getsockname())
            accepted, client = server.accept()
            with accepted:
                caller.sendall(b"x" * 1000)
                while accepted.recv(4096) and caller.fileno() >= 0:
                    caller.close()
            return int(client[1])

    return namespaces.inside(path, call)


async def _until(seen: list[tuple[str, Entry]], count: int) -> None:
    async with asyncio.timeout(5):
        while len(seen) < count:
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("address", LOOPBACK)
def test_connections_are_followed_from_their_first_packet_to_their_end(namespace: str, address: str) -> None:
    """A refusal is told as one that is over and unanswered; what was talked is counted; a deleted entry is an end."""

    async def scenario() -> None:
        seen: list[tuple[str, Entry]] = []
        follower = Follower(namespace, lambda what, entry: seen.append((what, entry)), lambda: None)
        table = Conntrack(namespace)
        try:
            await asyncio.to_thread(_refused, namespace, address)
            await _until(seen, 2)
            (first, made), (second, ended) = seen
            assert (first, second, made.id) == ("new", "destroy", ended.id)
            assert (made.original.destination_port, made.original.protocol) == (4, TCP)
            assert (ended.answered, ended.answers) == (False, 1)
            seen.clear()
            port = await asyncio.to_thread(_talk, namespace, address)
            (mine,) = [entry for entry in table.entries() if entry.original.source_port == port]
            assert mine.answered and mine.reply.destination_port == port
            assert (mine.original.source, mine.reply.source) == (address, address)
            assert table.delete(mine)
            assert not table.delete(mine)
            await _until(seen, 2)
            assert [what for what, _ in seen] == ["new", "destroy"]
            assert seen[1][1].sent > 1000 > seen[1][1].received > 0
        finally:
            follower.close()
            table.close()

    asyncio.run(scenario())


@pytest.mark.parametrize("address", LOOPBACK)
def test_a_sieve_is_shown_who_calls_and_who_answers(namespace: str, address: str) -> None:
    """Of the table and of events, both are found in the message as they are in the entry; what it lets pass is read."""
    family = IPV6 if ":" in address else IPV4
    packed = socket.inet_pton(family.number, address)
    shown: list[tuple[bytes, bytes] | None] = []
    passes = False

    def sieve(message: bytes) -> bool:
        shown.append(sources(message))
        return passes

    def send() -> None:
        with socket.socket(family.number, socket.SOCK_DGRAM) as own:
            own.sendto(b"x", (address, 4444))

    async def scenario() -> None:
        nonlocal passes
        seen: list[tuple[str, Entry]] = []
        follower = Follower(namespace, lambda what, entry: seen.append((what, entry)), lambda: None, sieve=sieve)
        try:
            for passes in (False, True):
                shown.clear()
                await asyncio.to_thread(_refused, namespace, address)
                async with asyncio.timeout(5):
                    while len(shown) < 2:
                        await asyncio.sleep(0.01)
                assert shown == [(packed, packed)] * 2
                assert [what for what, _ in seen] == (["new", "destroy"] if passes else [])
        finally:
            follower.close()

    asyncio.run(scenario())
    namespaces.inside(namespace, send)
    passes = False
    table = Conntrack(namespace)
    try:
        assert [entry for entry in table.entries() if entry.original.source == address]
        shown.clear()
        assert list(table.entries(sieve)) == []
        assert (packed, packed) in shown
    finally:
        table.close()


def test_what_is_no_connection_has_no_ends() -> None:
    """Cut short or otherwise made, a message is left to who parses it."""
    for message in (b"", b"\2\0\0\0", bytes(40), b"\2\0\0\0" + b"\x34\0\1\x80\x14\0\1\x80\x08\0\1\0\x7f\0\0\1"):
        assert sources(message) is None


@pytest.mark.parametrize("address", LOOPBACK)
def test_the_kernel_chooses_the_connections_towards_an_address(namespace: str, address: str) -> None:
    """By protocol, port and address, within one family: the others' and other ports' are not read at all."""
    family = IPV6 if ":" in address else IPV4

    def send() -> list[int]:
        ports = []
        for target in (address, "127.0.0.2", "::1"):
            own = socket.socket(socket.AF_INET6 if ":" in target else socket.AF_INET, socket.SOCK_DGRAM)
            with own, contextlib.suppress(OSError):  # nobody listens, and a machine may have but one family
                own.sendto(b"x", (target, 4444))
                own.sendto(b"x", (target, 5555))
                ports.append(own.getsockname()[1])
        return ports

    sent = namespaces.inside(namespace, send)
    table = Conntrack(namespace)
    try:
        assert {entry.original.source_port for entry in table.entries()} >= set(sent)
        (one, *others) = table.towards(UDP, 4444, address, family=family)
        assert (one.original.destination, one.original.destination_port) == (address, 4444)
        assert all(other.original.destination == address for other in others)
        every = [entry.original.destination for entry in table.towards(UDP, 5555, family=family)]
        assert address in every and {":" in each for each in every} == {":" in address}
        assert not list(table.towards(TCP, 4444, address, family=family))
    finally:
        table.close()


def test_a_follower_that_is_too_slow_is_told(namespace: str) -> None:
    """Events that the kernel had no room for are reported as an overrun, and following goes on."""

    async def scenario() -> None:
        overruns: list[int] = []
        seen: list[str] = []
        follower = Follower(namespace, lambda what, _: seen.append(what), lambda: overruns.append(1))
        follower._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            for _ in range(30):
                _refused(namespace, "127.0.0.1")  # the loop is held: nothing is read meanwhile
            async with asyncio.timeout(5):
                while not overruns:
                    await asyncio.sleep(0.01)
            seen.clear()
            await asyncio.to_thread(_refused, namespace, "127.0.0.1")
            async with asyncio.timeout(5):
                while "destroy" not in seen:
                    await asyncio.sleep(0.01)
        finally:
            follower.close()

    asyncio.run(scenario())
