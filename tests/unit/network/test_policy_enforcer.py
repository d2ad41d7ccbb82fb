"""The enforcement of policies on one node: against an API server in the process and a network namespace of the test's own."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.errors import service_unavailable
from podling.api.resources import NETWORK_POLICIES, PODS
from podling.client.flows import Block
from podling.client.seams import WiringFailed
from podling.client.transport import Call
from podling.cluster.control_plane import ADMIN, ControlPlane
from podling.cluster.networks import POLICY
from podling.linux import namespaces
from podling.linux.families import FAMILIES, Family
from podling.linux.local import LocalHost
from podling.linux.nf_tables import Batch, Tables
from podling.linux.nflog import Packet
from podling.linux.spawn import run_and_wait
from podling.network.context import NetworkContext
from podling.network.policy import enforcer as module
from podling.network.policy.enforcer import PolicyEnforcer
from podling.network.policy.podnetwork import PoliciedPodNetwork
from podling.network.policy.rules import table_name
from podling.network.ranges import NodeRange
from podling.reach.policy import dns_party
from podling.store.memory import MemoryStore

pytestmark = pytest.mark.root

DENY = {"podSelector": {"matchLabels": {"app": "a"}}, "policyTypes": ["Ingress"]}


RANGES = [
    NodeRange(ip_network("10.0.0.0/16"), ip_network("10.0.0.0/24")),
    NodeRange(ip_network("fd00::/56"), ip_network("fd00::/64")),
]


class Links:
    """A Pod network that only hands out addresses, one of each family."""

    def __init__(self) -> None:
        self.ranges = RANGES
        self.held: dict[str, list[str]] = {}

    async def attach(self, uid: str, namespace: str, name: str, netns: str, traffic: object = None) -> Sequence[str]:
        del namespace, name, netns, traffic
        number = len(self.held) + 1
        return self.held.setdefault(uid, [f"10.0.0.{number}", f"fd00::{number}"])

    async def detach(self, uid: str) -> None:
        self.held.pop(uid, None)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return self.held


class Sink:
    """Remembers what was blocked."""

    def __init__(self) -> None:
        self.blocks: list[Block] = []
        self.losses = 0

    def blocked(self, block: Block, count: int) -> None:
        self.blocks += [block] * count

    def lost(self, node: str) -> None:
        del node
        self.losses += 1


@dataclass
class Node:
    """An enforcer and what it stands between."""

    plane: ControlPlane
    space: str
    policies: PolicyEnforcer
    pods: PoliciedPodNetwork
    sink: Sink
    links: Links = field(default_factory=Links)

    async def ask(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        import msgspec

        data = b"" if body is None else msgspec.json.encode(body)
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = await self.plane.transport(ADMIN).call(Call(method, path, (), data, content_type=kind))
        return msgspec.json.decode(answer.body)

    async def policy(self, name: str, spec: dict[str, Any]) -> None:
        await self.ask("POST", NETWORK_POLICIES.path("default"), {"metadata": {"name": name}, "spec": spec})

    async def pod(self, name: str, nodeName: str = "here", **metadata: Any) -> str:  # noqa: N803 - the wire's name
        spec = {"nodeName": nodeName, "containers": [{"name": "c", "image": "i"}], "terminationGracePeriodSeconds": 0}
        body = {"metadata": {"name": name, "labels": {"app": "a"}, **metadata}, "spec": spec}
        return (await self.ask("POST", PODS.path("default"), body))["metadata"]["uid"]

    async def wire(self, uid: str, name: str) -> str:
        return (await self.pods.attach(uid, "default", name, ""))[0]

    def peers(self) -> str:
        """Return what nft shows of the tables: peers stand in sets of them."""
        return "".join(self.nft("list", "table", "inet", table_name("t", family)) for family in FAMILIES)

    def isolated(self) -> set[str]:
        """Return the IPv4 addresses that the kernel has in its map of isolated Pods; the IPv6 ones go with them."""
        four, six = (
            {word for word in self.nft("list", "map", "inet", table_name("t", family), "ingress").split() if word.startswith(begin)}
            for family, begin in zip(FAMILIES, ("10.", "fd00:"), strict=True)
        )  # fmt: skip
        assert six == {address.replace("10.0.0.", "fd00::") for address in four}
        return four

    def nft(self, *words: str) -> str:
        return run_and_wait(["nsenter", f"--net={self.space}", "nft", *words]).decode()


def held(tmp_path: Path, scenario: Callable[[Node], Awaitable[None]], before: Links | None = None) -> None:
    async def main() -> None:
        clock, chance = SystemClock(), Chance(seed=1)
        space = str(tmp_path / "ns" / "net")
        store = MemoryStore(clock)
        async with Supervisor(clock) as supervisor:
            plane = ControlPlane(store, clock, chance, supervisor)
            await plane.start()
            await _account(plane)
            host = LocalHost("here", space, clock=clock)
            links, sink = before or Links(), Sink()
            context = NetworkContext(
                "here", "t", tmp_path, plane.client(POLICY), plane.informers(POLICY, supervisor), clock, supervisor, host,
                links,  # type: ignore[arg-type]  # no more of it is asked than its ranges
            )  # fmt: skip
            policies = PolicyEnforcer(context, sink, links, dns=dns_party(("10.0.0.200", "fd00::200"), "here"))  # type: ignore[arg-type]
            node = Node(plane, space, policies, PoliciedPodNetwork(links, policies), sink, links)
            try:
                await policies.start()
                await scenario(node)
            finally:
                policies.close()
                host.close()
                await plane.close()
        await store.close()

    namespaces.create(tmp_path / "ns", ("net",), sysctls={})
    try:
        asyncio.run(main())
    finally:
        namespaces.release(tmp_path / "ns")


async def _account(plane: ControlPlane) -> None:
    body = b'{"metadata":{"name":"default"}}'
    await plane.transport(ADMIN).call(Call("POST", "/api/v1/namespaces/default/serviceaccounts", (), body))


def test_attach_returns_with_the_pod_under_its_policies(tmp_path: Path) -> None:
    """What concerns a Pod is in the kernel when attach returns, not soon after; detach takes it out."""

    async def scenario(node: Node) -> None:
        await node.policy("deny", DENY)
        uid = await node.pod("web")
        address = await node.wire(uid, "web")
        assert node.isolated() == {address}
        await node.pods.detach(uid)
        assert node.isolated() == set()

    held(tmp_path, scenario)


def test_attach_waits_until_the_pod_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A kubelet may know a Pod before the enforcer's watch does: attach waits for its labels."""

    async def scenario(node: Node) -> None:
        await node.policy("deny", DENY)
        uid = await node.pod("late", labels={})
        monkeypatch.setattr(node.policies._pods, "get", lambda *_: None)
        waiting = asyncio.create_task(node.wire(uid, "late"))
        await asyncio.sleep(0.1)
        assert not waiting.done()
        body = {"metadata": {"labels": {"app": "a"}}}
        await node.ask("PATCH", PODS.path("default", "late"), body)
        address = await asyncio.wait_for(waiting, 2)
        assert node.isolated() == {address}

    held(tmp_path, scenario)


def test_a_pod_that_nobody_knows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the API server knows no Pod of starts without policies; where it cannot be asked, the Pod does not start."""
    monkeypatch.setattr(module, "_PATIENCE", 0.05)

    async def scenario(node: Node) -> None:
        assert await node.wire("nobody", "nobody") == "10.0.0.1"

        async def refused(*words: object, **more: object) -> None:
            del words, more
            raise service_unavailable("away")

        monkeypatch.setattr(node.policies._context.client, "get", refused)
        with pytest.raises(WiringFailed, match="its policies are not known: away"):
            await node.wire("other", "other")

    held(tmp_path, scenario)


def test_isolated_as_long_as_it_is_here(tmp_path: Path) -> None:
    """A Pod that is deleted from the API, or said to be over, stays isolated until the node lets it go."""

    async def scenario(node: Node) -> None:
        await node.policy("deny", DENY)
        uid = await node.pod("web")
        address = await node.wire(uid, "web")
        await node.ask("DELETE", PODS.path("default", "web"))
        again = await node.pod("web")
        other = await node.wire(again, "web")
        assert node.isolated() == {address, other}
        await node.pods.detach(uid)
        assert node.isolated() == {other}

    held(tmp_path, scenario)


def test_what_was_wired_before_is_under_policies_at_the_start(tmp_path: Path) -> None:
    """Pods that outlived Podling are isolated in the very transaction that replaces the table."""
    links = Links()

    async def first(node: Node) -> None:
        await node.policy("deny", DENY)
        uid = await node.pod("web")
        address = await node.wire(uid, "web")
        node.policies.close()
        informers = node.plane.informers(POLICY)
        context = replace(node.policies._context, informers=informers)
        second = PolicyEnforcer(context, node.sink, node.links)  # type: ignore[arg-type]
        await second.start()
        assert node.isolated() == {address}
        second.close()

    held(tmp_path, first, links)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_a_refused_change_is_written_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: Family) -> None:
    """Where the kernel refuses a change of either table, everything is written anew, and is right."""

    async def scenario(node: Node) -> None:
        uid = await node.pod("web")
        address = await node.wire(uid, "web")
        commit, refused = Tables.commit, []

        def once(tables: Tables, batch: Batch) -> None:
            if not refused and batch.table == table_name("t", family):
                refused.append(len(batch))
                raise OSError(errno.ENOENT, "gone")
            commit(tables, batch)

        monkeypatch.setattr(Tables, "commit", once)
        await node.policy("deny", DENY)
        for _ in range(100):
            if node.isolated() == {address}:
                break
            await asyncio.sleep(0.02)
        assert refused
        assert node.isolated() == {address}

    held(tmp_path, scenario)


def test_the_blocked_are_named(tmp_path: Path) -> None:
    """A block names its policy where there is one that isolates; of several none is to blame. Pings are no calls."""

    async def scenario(node: Node) -> None:
        await node.policy("deny", DENY)
        uid = await node.pod("web")
        address = await node.wire(uid, "web")
        seen = Packet("Ingress", 6, "10.9.9.9", address, 4000, 80)
        node.policies.blocked.seen(seen)
        await node.policy("more", DENY)
        await asyncio.sleep(0.1)
        node.policies.blocked.seen(seen)
        node.policies.blocked.seen(Packet("Ingress", 1, "10.9.9.9", address))
        for word in ("", "somebody else's rule"):
            node.policies.blocked.seen(Packet(word, 6, "10.9.9.9", address, 4000, 80))
        assert [block.policy for block in node.sink.blocks] == ["default/deny", ""]
        assert node.sink.blocks[0] == Block("here", "TCP", "10.9.9.9", address, 80, "default/deny", "Ingress")
        del node.sink.blocks[:]
        _, six = node.links.held[uid]
        await node.ask("DELETE", NETWORK_POLICIES.path("default", "more"))
        await asyncio.sleep(0.1)
        node.policies.blocked.seen(Packet("Ingress", 17, "fd00:9::9", six, 4000, 53))
        node.policies.blocked.seen(Packet("Ingress", 58, "fd00:9::9", six))
        assert node.sink.blocks == [Block("here", "UDP", "fd00:9::9", six, 53, "default/deny", "Ingress")]
        assert await node.policies._tables.untold() == 0

    held(tmp_path, scenario)


def test_the_dns_is_a_pod_of_its_node(tmp_path: Path) -> None:
    """A policy for kube-dns isolates the address that the cluster's DNS has on this node."""

    async def scenario(node: Node) -> None:
        spec = {"podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
        await node.ask("POST", NETWORK_POLICIES.path("kube-system"), {"metadata": {"name": "dns"}, "spec": spec})
        for _ in range(100):
            if node.isolated():
                break
            await asyncio.sleep(0.02)
        assert node.isolated() == {"10.0.0.200"}

    held(tmp_path, scenario)


def test_what_is_not_told_is_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More is blocked than is told of: that there was more is said, once, a second later."""

    async def scenario(node: Node) -> None:
        await node.policy("deny", DENY)
        uid = await node.pod("web")
        address = await node.wire(uid, "web")
        counted = iter((130, 100, 20, 20) * 2)
        monkeypatch.setattr(Tables, "counter", lambda *_: next(counted))
        for expected in (1, 1):
            node.policies.blocked.seen(Packet("Ingress", 6, "10.9.9.9", address, 4000, 80))
            await asyncio.sleep(1.2)
            assert node.sink.losses == expected

    held(tmp_path, scenario)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_restored_where_somebody_undoes_it(tmp_path: Path, family: Family) -> None:
    """Either table is back as soon as it is deleted, also where the kernel could only say that it may have been."""

    async def scenario(node: Node) -> None:
        await node.policy("deny", DENY)
        uid = await node.pod("web")
        address = await node.wire(uid, "web")
        for silent in (False, True):
            watch = node.policies._tables._watch
            assert watch is not None
            if silent:
                watch.close()
            node.nft("delete", "table", "inet", table_name("t", family))
            if silent:
                node.policies._tables._touched(seen=False)
            for _ in range(100):
                await asyncio.sleep(0.01)
                if table_name("t", family) in node.nft("list", "tables").split():
                    break
            assert node.isolated() == {address}

    held(tmp_path, scenario)


def test_a_family_that_pods_no_longer_have(tmp_path: Path) -> None:
    """A node whose Pods had IPv6 addresses and no longer have leaves no table of them, and has one family's alone."""

    async def scenario(node: Node) -> None:
        await node.policy("deny", DENY)
        uid = await node.pod("web")
        await node.wire(uid, "web")
        node.policies.close()
        node.links.ranges = RANGES[:1]
        context = replace(node.policies._context, informers=node.plane.informers(POLICY))
        second = PolicyEnforcer(context, node.sink, node.links)  # type: ignore[arg-type]
        await second.start()
        assert node.nft("list", "tables").splitlines() == [f"table inet {table_name('t')}"]
        assert "10.0.0.1" in node.nft("list", "map", "inet", table_name("t"), "ingress")
        second.close()

    held(tmp_path, scenario)


def test_neighbours_learn_of_a_pod_before_it_says_its_address(tmp_path: Path) -> None:
    """A Pod of one node is a peer in the rules of the others when attach returns, and until it is gone."""

    async def scenario(node: Node) -> None:
        spec = {"podSelector": {}, "ingress": [{"from": [{"podSelector": {"matchLabels": {"app": "a"}}}]}]}
        await node.policy("from-a", spec)
        context, neighbours = node.policies._context, [node.policies]
        there = replace(context, node="there", informers=node.plane.informers(POLICY))
        other = PolicyEnforcer(there, node.sink, Links(), neighbours=neighbours)  # type: ignore[arg-type]
        other._tables._replace = _nothing  # type: ignore[method-assign]  # both nodes are one namespace here
        other._tables._commit = _nothing  # type: ignore[method-assign]
        await other.start()
        uid = await node.pod("far", nodeName="there")
        far = ("10.0.1.7", "fd00:0:0:1::7")
        await other.attach(uid, "default", "far", far)
        assert all(address in node.peers() for address in far)
        await node.ask("PATCH", PODS.path("default", "far"), {"metadata": {"labels": {"more": "b"}}})
        await asyncio.sleep(0.1)
        assert all(address in node.peers() for address in far)
        await node.ask("DELETE", PODS.path("default", "far"))
        await asyncio.sleep(0.1)
        assert not any(address in node.peers() for address in far)
        other.close()

    held(tmp_path, scenario)


async def _nothing(*_: object) -> None:
    """Leave the kernel alone."""
