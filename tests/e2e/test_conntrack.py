"""The kernel's table of connections, in a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.aio.chance import Chance
from podling.linux import namespaces
from podling.linux.conntrack import TCP, Conntrack, Entry, Follower
from podling.linux.local import LocalHost

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


def _refused(path: str) -> None:
    def call() -> None:
        with socket.socket() as caller, pytest.raises(ConnectionRefusedError):
            caller.connect(("127.0.0.1", 4))

    namespaces.inside(path, call)


def _talk(path: str) -> int:
    """Send 1,000 bytes over a new connection; return the port they came from."""

    def call() -> int:
        with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as caller:
            caller.connect(server.getsockname())
            accepted, address = server.accept()
            with accepted:
                caller.sendall(b"x" * 1000)
                while accepted.recv(4096) and caller.fileno() >= 0:
                    caller.close()
            return int(address[1])

    return namespaces.inside(path, call)


async def _until(seen: list[tuple[str, Entry]], count: int) -> None:
    async with asyncio.timeout(5):
        while len(seen) < count:
            await asyncio.sleep(0.01)


def test_connections_are_followed_from_their_first_packet_to_their_end(namespace: str) -> None:
    """A refusal is told as one that is over and unanswered; what was talked is counted; a deleted entry is an end."""

    async def scenario() -> None:
        seen: list[tuple[str, Entry]] = []
        follower = Follower(namespace, lambda what, entry: seen.append((what, entry)), lambda: None)
        table = Conntrack(namespace)
        try:
            await asyncio.to_thread(_refused, namespace)
            await _until(seen, 2)
            (first, made), (second, ended) = seen
            assert (first, second, made.id) == ("new", "destroy", ended.id)
            assert (made.original.destination_port, made.original.protocol) == (4, TCP)
            assert (ended.answered, ended.answers) == (False, 1)
            seen.clear()
            port = await asyncio.to_thread(_talk, namespace)
            (mine,) = [entry for entry in table.entries() if entry.original.source_port == port]
            assert mine.answered and mine.reply.destination_port == port
            assert table.delete(mine)
            assert not table.delete(mine)
            await _until(seen, 2)
            assert [what for what, _ in seen] == ["new", "destroy"]
            assert seen[1][1].sent > 1000 > seen[1][1].received > 0
        finally:
            follower.close()
            table.close()

    asyncio.run(scenario())


def test_a_follower_that_is_too_slow_is_told(namespace: str) -> None:
    """Events that the kernel had no room for are reported as an overrun, and following goes on."""

    async def scenario() -> None:
        overruns: list[int] = []
        seen: list[str] = []
        follower = Follower(namespace, lambda what, _: seen.append(what), lambda: overruns.append(1))
        follower._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        try:
            for _ in range(30):
                _refused(namespace)  # the loop is held: nothing is read meanwhile
            async with asyncio.timeout(5):
                while not overruns:
                    await asyncio.sleep(0.01)
            seen.clear()
            await asyncio.to_thread(_refused, namespace)
            async with asyncio.timeout(5):
                while "destroy" not in seen:
                    await asyncio.sleep(0.01)
        finally:
            follower.close()

    asyncio.run(scenario())
