"""Services in the kernel's rules: every way to call one, from everywhere on and off the node."""

from __future__ import annotations

import asyncio
import math
import os
import socket
import struct
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from podling.api.codec import from_tree
from podling.api.pods import HostPort
from podling.api.types.core_v1 import Service
from podling.api.types.discovery_v1 import EndpointSlice
from podling.linux import namespaces
from podling.linux import nf_expressions as nf
from podling.linux.conntrack import UDP, Conntrack
from podling.linux.families import FAMILIES, IPV4, IPV6, Family
from podling.linux.netlink import Netlink
from podling.linux.spawn import run_and_wait
from podling.network.proxy import hostports
from podling.network.proxy.rules import plan
from tests.e2e.proxied import Node

pytestmark = pytest.mark.root
_IPV6_MTU = 24
"""The option by which a connected socket tells what it knows of the way."""
_UNREACHABLE, _NO_PORT, _ECHO, _ECHO_REPLY = 1, 4, 128, 129
BOTH = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)


def on_a_node(tmp_path: Path, scenario: Callable[[Node], Awaitable[None]], family: Family = IPV4, **facts) -> None:
    async def main() -> None:
        node = Node(tmp_path, family)
        try:
            await node.start(**facts)
            await scenario(node)
        finally:
            await node.down()

    asyncio.run(main())


@BOTH
@pytest.mark.parametrize("protocol", ["TCP", "UDP", "SCTP"])
def test_every_way(tmp_path: Path, family: Family, protocol: str) -> None:
    """One table: who calls, by which address, who answers, and whom the Pod sees."""
    udp, sctp = protocol == "UDP", protocol == "SCTP"
    if sctp:
        try:
            socket.socket(socket.AF_INET, socket.SOCK_STREAM, 132).close()
        except OSError as error:
            pytest.skip(f"this kernel has no SCTP sockets to call with: {error.strerror}")
    refused = "ECONNREFUSED"
    loopback = "127.0.0.1" if family is IPV4 else "::1"

    async def scenario(node: Node) -> None:
        a, b = await node.pod("a"), await node.pod("b", serves=0)
        gateway, machine = str(node.gateway), str(node.address)
        lb, external = node.external(77), node.external(78)
        port = {"name": "p", "port": 80, "protocol": protocol, "nodePort": 31080}
        status = {"loadBalancer": {"ingress": [{"ip": lb}]}}
        spec = {"type": "LoadBalancer", "externalIPs": [external], "status": status, "ports": [port]}
        node.service("a", **spec)
        seen: dict[tuple[str, str], str] = {}

        def table(*callers: str) -> dict[tuple[str, str], str]:
            ways = {
                "cluster": (node.vip(), 80), "external": (external, 80), "balanced": (lb, 80), "gateway": (gateway, 31080),
                "machine": (machine, 31080), "loopback": (loopback, 31080),
            }  # fmt: skip
            if family is IPV6:  # nothing is forwarded from ::1: upstream's do not answer there either
                del ways["loopback"]
            return {
                (caller, way): node.ask(caller, *target, udp=udp, sctp=sctp)
                for caller in callers
                for way, target in ways.items()
                if way != "loopback" or caller == ""
            }

        # Policy Cluster: everybody reaches the Pod; who is no Pod, or comes by an address for the outside, is masqueraded.
        seen = table("b", "", "outside")
        for (caller, way), answer in seen.items():
            expected = f"a {b}" if caller == "b" and way == "cluster" else f"a {gateway}"
            assert answer == expected, (caller, way, answer)
        # The Pod itself through its Service: it sees the node, or it would answer itself past the rewriting.
        assert node.ask("a", node.vip(), 80, udp=udp, sctp=sctp) == f"a {gateway}"
        # Policy Local with the endpoint here: callers from outside keep their address.
        local = spec | {"externalTrafficPolicy": "Local"}
        node.service("a", **local)
        seen = table("b", "", "outside")
        for (caller, way), answer in seen.items():
            expected = {"b": b, "": gateway, "outside": str(node.caller)}[caller]
            if way == "cluster" and caller == "outside":
                expected = gateway
            assert answer == f"a {expected}", (caller, way, answer)
        # Policy Local with none here: the outside is left without an answer, the cluster's own get there.
        node.service(elsewhere=[a], **local)
        assert node.ask("outside", machine, 31080, udp=udp, sctp=sctp) == "timeout"
        assert node.ask("b", machine, 31080, udp=udp, sctp=sctp) == f"a {b}"
        assert node.ask("", machine, 31080, udp=udp, sctp=sctp) == f"a {gateway}"
        node.service(elsewhere=[a], internalTrafficPolicy="Local", ports=[port])
        assert node.ask("b", node.vip(), 80, udp=udp, sctp=sctp) == "timeout"
        # No endpoints at all: refused at once, by every way; so is a port that the Service has not.
        node.service(**spec)
        for caller, way in table("b", "", "outside").items():
            # What the node itself sends by UDP, the kernel refuses already when it is sent.
            assert way == ("EPERM" if udp and caller[0] == "" else refused), caller
        node.service("a", **spec)
        assert node.ask("b", node.vip(), 81, udp=udp, sctp=sctp) == refused
        assert node.ask("", node.vip(), 81) == refused
        assert node.ask("b", node.vip(), 80, udp=udp, sctp=sctp) == f"a {b}"
        if family is IPV6:
            assert node.ask("", loopback, 31080, udp=udp, sctp=sctp) == refused
        # What nft shows of it shows that it can: some versions end themselves over what they do not know.
        run_and_wait(["nft", "-j", "list", "table", "inet", node.installed.table])
        assert node.vip() in run_and_wait(["nft", "list", "table", "inet", node.installed.table]).decode()
        # Nothing is left of it once it is gone.
        node.service(type="ExternalName", ports=[port])
        assert node.ask("outside", machine, 31080, udp=udp, sctp=sctp) == refused

    on_a_node(tmp_path, scenario, family)


@BOTH
@pytest.mark.parametrize("count", [1, 3, 65, 200])
def test_spread(tmp_path: Path, family: Family, count: int) -> None:
    """Each of 1, 3, 65 or 200 endpoints gets as much as the others: by chi-square, wrong once in ten thousand runs."""

    async def scenario(node: Node) -> None:
        await node.pod("a", serves=0)
        await node.pod("b", serves=0)
        # Endpoints are ports of one Pod: as good as Pods to the rules, and quick to have two hundred of.
        vip = node.vip(count)
        spec = {"clusterIP": vip, "clusterIPs": [vip], "ports": [{"name": "p", "port": 80, "protocol": "UDP"}]}
        service = from_tree(Service, {"metadata": {"name": "w", "namespace": "d"}, "spec": spec})
        slices = [
            from_tree(EndpointSlice, {
                "addressType": family.name, "endpoints": [{"addresses": [node.pods["a"]], "nodeName": "here"}],
                "ports": [{"name": "p", "port": 1000 + number, "protocol": "UDP"}],
            })
            for number in range(count)
        ]  # fmt: skip
        node.installed.change({"w": plan(service, slices, "here", node.facts)})

        def send() -> None:
            for number in range(4000):
                with node.caller_socket() as caller:
                    caller.bind(("", 20000 + number))
                    caller.sendto(b"?", (vip, 80))

        node.inside("b", send)
        with closing(Conntrack()) as table:
            ports = Counter(
                entry.reply.source_port
                for entry in table.towards(UDP, 80, vip, family=family)
                if entry.original.source == node.pods["b"]
            )
        total = sum(ports.values())
        assert total >= 3900
        assert set(ports) == {1000 + number for number in range(count)}
        expected = total / count
        square = sum((ports[1000 + number] - expected) ** 2 / expected for number in range(count))
        freedom = count - 1
        # Wilson and Hilferty: the 0.9999 quantile of chi-square.
        limit = freedom * (1 - 2 / (9 * freedom) + 3.72 * math.sqrt(2 / (9 * freedom))) ** 3 if freedom else 0.001
        assert square <= limit

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_affinity(tmp_path: Path, family: Family) -> None:
    """A client stays with its endpoint until that goes or its time is over; another client chooses for itself."""

    async def scenario(node: Node) -> None:
        names = ["a", "b", "c", "d"]
        for name in names:
            await node.pod(name)
        await node.pod("client", serves=0)
        config = {"clientIP": {"timeoutSeconds": 2}}
        port = {"name": "p", "port": 80, "protocol": "TCP", "nodePort": 31081}
        spec = {"type": "NodePort", "sessionAffinity": "ClientIP", "sessionAffinityConfig": config, "ports": [port]}
        node.service(*names, **spec)
        for caller, address, number in (
            ("client", node.vip(), 80),
            ("outside", node.address, 31081),
            ("", node.vip(), 80),
        ):
            first = {node.ask(caller, address, number).split()[0] for _ in range(12)}
            assert len(first) == 1, (caller, first)
        kept = node.ask("client", node.vip(), 80).split()[0]
        node.installed.install(dict(node.installed.owners()))
        assert node.ask("client", node.vip(), 80).split()[0] == kept
        left = [name for name in names if name != kept]
        node.service(*left, **spec)
        moved = {node.ask("client", node.vip(), 80).split()[0] for _ in range(6)}
        assert len(moved) == 1
        assert moved <= set(left)
        node.service(*names, **spec)
        assert {node.ask("client", node.vip(), 80).split()[0] for _ in range(6)} == moved
        seen = set()
        for _ in range(8):
            await asyncio.sleep(2.1)
            seen.add(node.ask("client", node.vip(), 80).split()[0])
            if len(seen) > 1:
                break
        assert len(seen) > 1

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_a_client_that_goes_on_sending_is_led_anew(tmp_path: Path, family: Family) -> None:
    """By UDP from one port: from before there was an endpoint, over one that goes, to none, and to the next."""

    async def scenario(node: Node) -> None:
        for name in ("a", "b"):
            await node.pod(name)
        await node.pod("client", serves=0)
        port = {"name": "p", "port": 80, "protocol": "UDP", "nodePort": 31083}
        spec = {"type": "NodePort", "ports": [port]}

        def answers() -> list[str]:
            by_cluster = node.ask("client", node.vip(), 80, udp=True, bind=23456)
            by_port = node.ask("outside", node.address, 31083, udp=True, bind=23457)
            return [by_cluster.split()[0], by_port.split()[0]]

        # Nobody knows the Service yet: what is sent leaves the node, and is tracked like that.
        assert node.ask("client", node.vip(), 80, udp=True, bind=23456) in ("timeout", "ECONNREFUSED")
        for pods, expected in ((["a"], "a"), (["b"], "b"), ([], "ECONNREFUSED"), (["a"], "a"), (["a", "b"], "a")):
            node.service(*pods, **spec)
            assert answers() == [expected, expected], pods

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_a_host_port_takes_no_address_but_the_nodes(tmp_path: Path, family: Family) -> None:
    """Whoever may make Pods may name any `hostIP`: what is not the node's goes where it went."""

    async def scenario(node: Node) -> None:
        address = await node.pod("a")
        await node.pod("client", serves=0)
        node.serve("far", 31085, "outside")
        for named, heard in ((node.caller, "far"), (node.address, "a")):
            rules = hostports.plan(family, address, [HostPort(31085, 8080, "TCP", str(named))])
            node.installed.change({"~uid": rules})
            for caller in ("client", ""):
                assert node.ask(caller, named, 31085).split()[0] == heard, (caller, named)

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_a_host_port_is_at_every_address_of_the_node(tmp_path: Path, family: Family) -> None:
    """From outside, from Pods and from the Pod itself; an address of the other family asks for nothing in this one."""

    async def scenario(node: Node) -> None:
        address = await node.pod("a")
        await node.pod("client", serves=0)
        others = {IPV4: "::", IPV6: "0.0.0.0"}[family]
        asked = [HostPort(31086, 8080, "TCP", ""), HostPort(31087, 8080, "TCP", others)]
        node.installed.change({"~uid": hostports.plan(family, address, asked)})
        for caller in ("outside", "client", "a", ""):
            for at in (node.address, node.gateway):
                assert node.ask(caller, at, 31086).split()[0] == "a", (caller, at)
                assert node.ask(caller, at, 31087) == "ECONNREFUSED", (caller, at)
        assert node.ask("outside", node.address, 31086) == f"a {node.caller}"

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_what_others_say_on_a_port_of_that_number_goes_on(tmp_path: Path, family: Family) -> None:
    """A port of the node is the node's: a connection from it, or through it, to elsewhere is nobody's to forget."""

    async def scenario(node: Node) -> None:
        for name in ("a", "b"):
            await node.pod(name)
        await node.pod("client", serves=0)
        node.serve("far", 31084, "outside")
        spec = {"type": "NodePort", "ports": [{"name": "p", "port": 80, "protocol": "UDP", "nodePort": 31084}]}
        node.service("a", **spec)
        for caller in ("client", ""):
            assert node.ask(caller, node.caller, 31084, udp=True, bind=23460).startswith("far ")
        assert node.ask("outside", node.address, 31084, udp=True, bind=23461).split()[0] == "a"
        with closing(Conntrack()) as table:
            towards = lambda address: list(table.towards(UDP, 31084, str(address), family=family))  # noqa: E731
            before = {entry.id for entry in towards(node.caller)}
            node.service("b", **spec)
            assert len(before) == 2
            assert {entry.id for entry in towards(node.caller)} == before
            assert towards(node.address) == []

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_many_frontends_are_gone_through_at_once(tmp_path: Path, family: Family) -> None:
    """More than a few that change together: what leads to their endpoints stays, the rest is forgotten."""

    async def scenario(node: Node) -> None:
        for name in ("a", "b"):
            await node.pod(name)
        await node.pod("client", serves=0)
        ports = [{"name": f"p{n}", "port": 100 + n, "protocol": "UDP", "targetPort": 8080} for n in range(12)]
        for pods, answering in ((["a"], "a"), (["a", "b"], "a"), (["b"], "b")):
            node.service(*pods, ports=ports)
            for port in (100, 111):
                answer = node.ask("client", node.vip(), port, udp=True, bind=24000 + port)
                assert answer.split()[0] == answering, (pods, port)

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_source_ranges(tmp_path: Path, family: Family) -> None:
    """A balanced address lets in whom the ranges name; other ways to the Service stay open."""

    async def scenario(node: Node) -> None:
        await node.pod("a")
        await node.pod("b", serves=0)
        lb = node.external(77)
        status = {"loadBalancer": {"ingress": [{"ip": lb}]}}
        port = {"name": "p", "port": 80, "protocol": "TCP", "nodePort": 31082}
        spec = {"type": "LoadBalancer", "status": status, "ports": [port]}
        node.service("a", loadBalancerSourceRanges=[f"{node.pods['b']}/{family.bits}"], **spec)
        assert node.ask("outside", lb, 80) == "timeout"
        assert node.ask("b", lb, 80).startswith("a ")
        assert node.ask("outside", node.address, 31082).startswith("a ")
        node.service("a", loadBalancerSourceRanges=[str(node.subnet)], **spec)
        assert node.ask("outside", lb, 80).startswith("a ")
        assert node.ask("b", lb, 80) == "timeout"

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_two_fences_around_one_address(tmp_path: Path, family: Family) -> None:
    """Two Services that claim one balanced address with ranges that overlap keep nobody else from being served."""

    async def scenario(node: Node) -> None:
        await node.pod("a")
        lb = node.external(78)
        spec = {"type": "LoadBalancer", "status": {"loadBalancer": {"ingress": [{"ip": lb}]}}}
        few, all_of_them = f"{node.external(0)}/{family.bits - 8}", f"{node.anywhere}/0"
        node.service("a", name="first", address=node.vip(1), loadBalancerSourceRanges=[few], **spec)
        node.service("a", name="second", address=node.vip(2), loadBalancerSourceRanges=[all_of_them], **spec)
        assert node.ask("outside", lb, 80) == "timeout"
        assert node.ask("outside", node.vip(2), 80).startswith("a ")
        node.installed.install(dict(node.installed.owners()))
        assert node.ask("outside", node.vip(2), 80).startswith("a ")
        # The other has it once the first lets go, with its own fence.
        node.service("a", name="first", address=node.vip(1))
        assert node.ask("outside", lb, 80).startswith("a ")

    on_a_node(tmp_path, scenario, family)


@BOTH
def test_an_address_of_a_load_balancer_is_nobody_elses(tmp_path: Path, family: Family) -> None:
    """Whoever names it among its externalIPs gets none of its callers, and turns none of them away."""

    async def scenario(node: Node) -> None:
        for name in ("a", "b"):
            await node.pod(name)
        lb = node.external(79)
        status = {"loadBalancer": {"ingress": [{"ip": lb}]}}
        node.service("a", name="owner", address=node.vip(1), type="LoadBalancer", status=status)
        for thief, pods in (("another", ["b"]), ("another", []), ("zealous", ["b"])):
            node.service(*pods, name=thief, address=node.vip(2), externalIPs=[lb])
            assert node.ask("outside", lb, 80).startswith("a "), (thief, pods)
            node.service(name=thief, type="ExternalName")
        node.service("b", name="another", address=node.vip(2), externalIPs=[lb])
        node.service(name="owner", type="ExternalName")
        assert node.ask("outside", lb, 80).startswith("b ")

    on_a_node(tmp_path, scenario, family)


@pytest.mark.parametrize("way", ["cluster address", "node port"])
def test_a_packet_that_is_too_big_is_told_of(tmp_path: Path, way: str) -> None:
    """IPv6 lives by it: the caller of a Service hears of a narrow link behind the rewriting, and sends less."""

    async def scenario(node: Node) -> None:
        await node.pod("a")
        [link] = [link for link in os.listdir("/sys/class/net") if link.startswith(node.network.link_prefix)]
        Path(f"/sys/class/net/{link}/mtu").write_text("1280")
        port = {"name": "p", "port": 80, "protocol": "UDP", "nodePort": 31088}
        node.service("a", type="NodePort", ports=[port])
        target = (node.vip(), 80) if way == "cluster address" else (str(node.address), 31088)

        def call() -> tuple[int, int]:
            with node.caller_socket() as caller:
                caller.connect(target)
                before = caller.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
                caller.send(bytes(1400))
                for _ in range(100):
                    known = caller.getsockopt(socket.IPPROTO_IPV6, _IPV6_MTU)
                    if known < before:
                        break
                    time.sleep(0.01)
                return before, known

        assert node.inside("outside", call) == (1500, 1280)

    on_a_node(tmp_path, scenario, IPV6)


def test_what_ipv6_is_run_by_is_no_business_of_the_rules(tmp_path: Path) -> None:
    """Neighbours are found and echoes answered, of nodes and Pods; a cluster address has no port for an echo."""

    async def scenario(node: Node) -> None:
        pod = await node.pod("a")
        node.service("a")

        def echo(address: object) -> tuple[int, int]:
            with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as caller:
                caller.settimeout(2)
                # Asked of nobody yet: the first packet has to wait for the neighbour's answer.
                caller.sendto(struct.pack(">BBHHH", _ECHO, 0, 0, 1, 1), (str(address), 0))
                while True:
                    kind, code = caller.recv(100)[:2]
                    if kind in (_ECHO_REPLY, _UNREACHABLE):
                        return kind, code

        for address in (node.address, pod, node.gateway):
            assert node.inside("outside", lambda address=address: echo(address)) == (_ECHO_REPLY, 0), address
        assert node.inside("outside", lambda: echo(node.vip())) == (_UNREACHABLE, _NO_PORT)

    on_a_node(tmp_path, scenario, IPV6)


@BOTH
def test_a_pod_opens_so_many_connections_and_no_more(tmp_path: Path, family: Family) -> None:
    """Its bound holds for what it has open: another Pod is not concerned, and what it closes counts no more."""

    async def scenario(node: Node) -> None:
        address = await node.pod("a")
        for name in ("greedy", "modest"):
            await node.pod(name, serves=0)

        def grab() -> tuple[int, list[socket.socket]]:
            held = []
            for number in range(40):
                caller = node.caller_socket()
                held.append(caller)
                caller.settimeout(0.15)
                caller.connect((address, 8080))
                caller.send(b"?")
                try:
                    caller.recv(100)
                except TimeoutError:
                    return number, held
            return 40, held

        count, held = node.inside("greedy", grab)
        assert 18 <= count <= 22
        assert node.ask("modest", address, 8080).startswith("a ")
        assert node.ask("", address, 8080).startswith("a ")
        for each in held:
            each.close()

    on_a_node(tmp_path, scenario, family, most_connections=20)


def test_a_kernel_that_cannot_count_connections(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Services are served all the same; the bound is not, and the log says so."""
    learn = nf.learn
    unknown = lambda *words, **more: learn(*words, **more).replace(b"connlimit", b"connlimix")  # noqa: E731
    monkeypatch.setattr(nf, "learn", unknown)

    async def scenario(node: Node) -> None:
        await node.pod("a")
        node.service("a")
        assert node.ask("", node.vip(), 80).startswith("a ")

    on_a_node(tmp_path, scenario, most_connections=20)


@BOTH
def test_loopback_addresses_of_the_node_are_not_reached_from_outside(tmp_path: Path, family: Family) -> None:
    """Though the node forwards its own 127.0.0.1, nobody else gets there, nor to ::1, with whatever route."""
    loopback, length = (ip_address("127.0.0.1"), 8) if family is IPV4 else (ip_address("::1"), 128)

    async def scenario(node: Node) -> None:
        node.serve("private", 31999, space="")
        assert node.ask("", loopback, 31999).startswith("private")

        def route() -> None:
            namespaces.write_sysctl("net.ipv4.conf.all.route_localnet", "1")
            with Netlink() as netlink:
                netlink.delete_address(1, loopback, prefix=length)
                uplink = socket.if_nametoindex("eth0")
                netlink.add_route(ip_network(loopback), interface=uplink, gateway=node.address)

        node.inside("outside", route)
        assert node.ask("outside", loopback, 31999) == "timeout"

    on_a_node(tmp_path, scenario, family)


def test_two_clusters_on_one_machine_keep_apart(tmp_path: Path) -> None:
    """Who calls a port of either is masqueraded by its own rules, whichever cluster's came first."""

    async def scenario(first: Node) -> None:
        second = Node(tmp_path / "second")
        try:
            await second.start()
            for node, address, number in ((first, first.vip(), 31080), (second, second.vip(10), 31081)):
                await node.pod("a")
                port = {"name": "p", "port": 80, "protocol": "TCP", "nodePort": number}
                node.service("a", address=address, type="NodePort", ports=[port])
                gateway = str(node.network.addresses[0])
                assert node.ask("outside", gateway, number) == f"a {gateway}"
                assert node.ask("outside", str(node.address), number) == f"a {gateway}"
        finally:
            await second.down()

    on_a_node(tmp_path, scenario)
