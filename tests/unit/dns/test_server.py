"""The server on real sockets of the loopback: UDP, TCP, forwarding, bounds, and resolvers that misbehave."""

from __future__ import annotations

import asyncio
import errno
import socket
import struct
from contextlib import asynccontextmanager

import dns.asyncquery
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.codec import from_tree
from podling.api.types.core_v1 import Service
from podling.dns import forwarder as forwarding
from podling.dns import server as serving
from podling.dns.answers import Answers
from podling.dns.forwarder import Forwarder
from podling.dns.server import DnsServer
from podling.linux.local import LocalHost
from podling.reach.names import Zone
from tests.families import needs_ipv6

WEB = "web.default.svc.cluster.local"


async def on_one_port(start):
    """Start what wants one number for UDP and TCP: somebody else may have either of a number that was free."""
    for _ in range(20):
        try:
            return await start()
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError("no number is free for both")


class Resolver(asyncio.DatagramProtocol):
    """Another resolver, which says what a test wants."""

    def __init__(self, say, address="127.0.0.1"):
        self.say = say
        self.address = address
        self.asked = []

    async def start(self):
        await on_one_port(self._start)

    async def _start(self):
        loop = asyncio.get_running_loop()
        self.streams = await asyncio.start_server(self.stream, self.address, 0)
        self.port = self.streams.sockets[0].getsockname()[1]
        try:
            local = (self.address, self.port)
            self.transport, _ = await loop.create_datagram_endpoint(lambda: self, local_addr=local)
        except OSError:
            self.streams.close()
            raise

    def datagram_received(self, data, sender):
        query = dns.message.from_wire(data)
        self.asked.append(str(query.question[0]))
        for packet in self.say(query, False):
            self.transport.sendto(packet, sender)

    async def stream(self, reader, writer):
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        query = dns.message.from_wire(await reader.readexactly(length))
        self.asked.append(f"tcp {query.question[0]}")
        for packet in self.say(query, True):
            writer.write(struct.pack("!H", len(packet)) + packet)
        writer.close()

    def close(self):
        self.transport.close()
        self.streams.close()


def saying(*addresses, ttl=60):
    def say(query, stream):
        reply = dns.message.make_response(query)
        if len(addresses) > 20 and not stream:
            reply.flags |= dns.flags.TC
        else:
            reply.answer = [dns.rrset.from_text(query.question[0].name, ttl, "IN", "A", *addresses)]
        return [reply.to_wire(max_size=65535)]

    return say


@asynccontextmanager
async def running(say=lambda query, stream: [], resolvers=None):
    zone = Zone(servers=["127.0.0.1"])
    zone.put_namespace("default")
    tree = {"metadata": {"name": "web", "namespace": "default"}, "spec": {"clusterIP": "10.96.0.50", "ports": []}}
    zone.put_service(from_tree(Service, tree), [])
    clock = SystemClock()
    host = LocalHost(clock=clock)
    other = Resolver(say)
    await other.start()
    async with Supervisor(clock) as supervisor:
        asked = Forwarder(
            host, clock, Chance(1), lambda: ["127.0.0.1"] if resolvers is None else resolvers, port=other.port
        )
        server = DnsServer(host, Answers(zone), asked, clock, supervisor)
        server.port = await on_one_port(lambda: server.start(["127.0.0.1"], 0))
        server.zone, server.supervisor = zone, supervisor
        try:
            yield server, other
        finally:
            await server.close()
            other.close()
            assert supervisor.failures == 0
    host.close()


async def udp(server, name, kind="A", **options):
    query = dns.message.make_query(name, kind, **options)
    return await dns.asyncquery.udp(query, "127.0.0.1", port=server.port, timeout=10)


async def tcp(server, name, kind="A"):
    query = dns.message.make_query(name, kind)
    return await dns.asyncquery.tcp(query, "127.0.0.1", port=server.port, timeout=10)


def addresses(reply):
    return sorted(str(item) for rrset in reply.answer for item in rrset)


def test_names_over_udp_and_tcp(run):
    async def main():
        async with running() as (server, _):
            for _ in range(3):
                assert addresses(await udp(server, WEB)) == ["10.96.0.50"]
            assert addresses(await tcp(server, WEB)) == ["10.96.0.50"]
            assert (await udp(server, f"no.{WEB}")).rcode() == dns.rcode.NXDOMAIN

    run(main())


@needs_ipv6
def test_both_families_are_answered_on_one_port(run):
    """Each on sockets of its own, over UDP and TCP; where one address cannot be had, nothing is held."""

    async def main():
        async with running() as (server, _):
            other = DnsServer(server._host, server._answers, server._forwarder, SystemClock(), server.supervisor)
            port = await on_one_port(lambda: other.start(["127.0.0.1", "::1"], 0))
            for ask in (dns.asyncquery.udp, dns.asyncquery.tcp):
                for where in ("127.0.0.1", "::1"):
                    reply = await ask(dns.message.make_query(WEB, "A"), where, port=port, timeout=10)
                    assert addresses(reply) == ["10.96.0.50"]
            await other.close()
            taken = server._host.datagrams("::1", port)
            with pytest.raises(OSError, match="Address already in use"):
                await other.start(["127.0.0.1", "::1"], port)
            server._host.datagrams("127.0.0.1", port).close()
            taken.close()

    run(main())


@needs_ipv6
@pytest.mark.parametrize("stream", [False, True])
def test_a_resolver_of_ipv6_is_asked(run, stream):
    """Over UDP and TCP, with the scope behind its address as resolv.conf has it."""

    async def main():
        async with running(resolvers=["::1%1"]) as (server, _):
            other = Resolver(saying("192.0.2.7"), "::1")
            await other.start()
            server._forwarder._port = other.port
            assert addresses(await (tcp if stream else udp)(server, "example.com")) == ["192.0.2.7"]
            other.close()

    run(main())


def test_what_is_not_ours_is_asked_for_once_and_remembered(run):
    """Those who ask at the same time wait for one answer; later ones are given it, older."""

    async def main():
        async with running(saying("192.0.2.7")) as (server, other):
            replies = await asyncio.gather(*(udp(server, "example.com") for _ in range(10)))
            assert [addresses(reply) for reply in replies] == [["192.0.2.7"]] * 10
            assert addresses(await udp(server, "EXAMPLE.com")) == ["192.0.2.7"]
            assert other.asked == ["example.com. IN A"]
            assert addresses(await tcp(server, "example.com")) == ["192.0.2.7"]
            assert other.asked[1:] == ["tcp example.com. IN A"]

    run(main())


def test_what_others_say_is_remembered_in_so_many_bytes(run, monkeypatch):
    """Whoever has a server of their own can have it say as much as a packet holds, for as many names as they like."""
    monkeypatch.setattr(forwarding, "_REMEMBERED", 200_000)

    async def body():
        async with running(saying(*(f"192.0.2.{n}" for n in range(100)))) as (server, other):
            held = server._forwarder
            for number in range(30):
                await tcp(server, f"n{number}.example.com")
                assert held._size <= 200_000
                assert sum(len(reply.packet) for _, _, reply in held._known.values()) < held._size
            assert 0 < len(held._known) < 10
            await tcp(server, "n29.example.com")
            assert len(other.asked) == 30

    run(body())


def test_a_large_answer_of_others_comes_over_tcp(run):
    async def main():
        many = [f"192.0.2.{n}" for n in range(1, 200)]
        async with running(saying(*many)) as (server, _):
            assert (await udp(server, "example.com")).flags & dns.flags.TC
            assert len(addresses(await tcp(server, "example.com"))) == 199

    run(main())


@pytest.mark.parametrize("resolvers", [[], ["127.0.0.1"]])
def test_nobody_answers(run, monkeypatch, resolvers):
    """After a bounded time, or at once where there is nobody to ask; and our own names are answered meanwhile."""
    monkeypatch.setattr(forwarding, "_PATIENCE", 0.2)

    async def main():
        async with running(resolvers=resolvers) as (server, other):
            slow = asyncio.create_task(udp(server, "example.com"))
            await asyncio.sleep(0.05)
            assert addresses(await udp(server, WEB)) == ["10.96.0.50"]
            assert (await slow).rcode() == dns.rcode.SERVFAIL
            asked = len(other.asked)
            assert asked == 3 * len(resolvers)
            assert (await udp(server, "example.com")).rcode() == dns.rcode.SERVFAIL
            assert len(other.asked) == asked  # remembered for a moment

    run(main())


def test_who_lies_is_not_heard(run, monkeypatch):
    """Answers with another id, to another question, or in no form are passed over; the right one counts."""

    def say(query, stream):
        good = saying("192.0.2.7")(query, stream)[0]
        forged = dns.message.make_response(dns.message.make_query("evil.example.com", "A", id=query.id))
        forged.answer = [dns.rrset.from_text("evil.example.com.", 60, "IN", "A", "192.0.2.66")]
        other_id = bytes([good[0] ^ 1, *saying("192.0.2.66")(query, stream)[0][1:]])
        return [b"", b"x", good[:2], forged.to_wire(), other_id, good]

    async def main():
        async with running(say) as (server, _):
            assert addresses(await udp(server, "example.com")) == ["192.0.2.7"]

    run(main())


def test_a_resolver_that_asks_us_back_makes_no_storm(run, monkeypatch):
    """The question goes round once; then the time is up."""
    monkeypatch.setattr(forwarding, "_PATIENCE", 0.3)

    async def main():
        back = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        ports = []

        def say(query, stream):
            for _ in range(5):
                back.sendto(query.to_wire(), ("127.0.0.1", ports[0]))
            return []

        async with running(say) as (server, other):
            ports.append(server.port)
            assert (await udp(server, "example.com")).rcode() == dns.rcode.SERVFAIL
            assert len(other.asked) == 3
        back.close()

    run(main())


@pytest.mark.parametrize("bound", ["_WAITING", "_WAITING_EACH"])
def test_what_waits_is_bounded(run, monkeypatch, bound):
    """Beyond the bound, of one client or of all, the answer comes at once: that nobody knows."""
    monkeypatch.setattr(serving, bound, 5)
    monkeypatch.setattr(forwarding, "_PATIENCE", 0.3)

    async def main():
        async with running() as (server, other):
            replies = await asyncio.gather(*(udp(server, f"n{number}.example.com") for number in range(50)))
            assert {reply.rcode() for reply in replies} == {dns.rcode.SERVFAIL}
            assert len(set(other.asked)) == 5
            assert not server._waiting

    run(main())


def test_nothing_that_is_sent_ends_the_server(run):
    """Garbage over UDP, half a message over TCP, a silent connection, a rush of them: others are still served."""

    async def main():
        async with running() as (server, _):
            noise = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            for packet in (b"", b"\0", b"\xff" * 40, b"\0\1\1\0\0\1\0\0\0\0\0\0", b"\xc0\x0c" * 20, b"\0" * 1000):
                noise.sendto(packet, ("127.0.0.1", server.port))
            noise.close()
            silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(10)]
            silent[0][1].write(b"\0\x20half")
            silent[1][1].write(b"\0\0")
            silent[2][1].write(b"\xff\xff" + b"\xff" * 65535)
            for _, writer in silent[:3]:
                await writer.drain()
                writer.write_eof()
            assert addresses(await udp(server, WEB)) == ["10.96.0.50"]
            assert addresses(await tcp(server, WEB)) == ["10.96.0.50"]
            for _, writer in silent:
                writer.close()

    run(main())


@pytest.mark.parametrize("bound", ["_STREAMS", "_STREAMS_EACH"])
def test_connections_are_bounded_and_cut_off_when_idle(run, monkeypatch, bound):
    monkeypatch.setattr(serving, bound, 3)
    monkeypatch.setattr(serving, "_IDLE", 0.2)

    async def main():
        async with running() as (server, _):
            open_ = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(4)]
            await asyncio.sleep(0.05)
            assert await asyncio.wait_for(open_[3][0].read(), 1) == b""
            assert len(server._streams) == 3
            for reader, _ in open_[:3]:
                assert await asyncio.wait_for(reader.read(), 2) == b""
            for _, writer in open_:
                writer.close()
            assert addresses(await tcp(server, WEB)) == ["10.96.0.50"]

    run(main())


def test_a_port_that_is_taken_is_an_error_and_holds_nothing(run):
    """Somebody answers UDP there already: the start fails, and the TCP port is free again."""

    async def main():
        async with running() as (server, _):
            taken = server._host.datagrams("127.0.0.1", 0)
            port = taken.getsockname()[1]
            other = DnsServer(server._host, server._answers, server._forwarder, SystemClock(), server.supervisor)
            with pytest.raises(OSError, match="Address already in use"):
                await other.start(["127.0.0.1"], port)
            server._host.listen("127.0.0.1", port).close()
            taken.close()
            assert await other.start(["127.0.0.1"], port) == port
            await other.close()

    run(main())
