"""Arbitrary policies in the kernel's own hands: what gets through between Pods is what a plain reading lets through."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import socket
import struct
from collections.abc import AsyncIterator, Callable, Iterator
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest

from podling.linux import namespaces
from podling.linux.families import FAMILIES, IPV6, Family, is_of
from podling.linux.nf_tables import Tables
from podling.network.policy.rules import PolicyRules, remove_tables
from podling.reach.policy import Party
from podling.reach.policy_index import PolicyIndex
from tests.e2e import frames
from tests.e2e.ends import KINDS, PATIENCE, Ends
from tests.e2e.test_podnetwork import Wired, held
from tests.families import each_family, needs_ipv6
from tests.machine.reach.test_policy import compiled, passes, policy_tree

pytestmark = pytest.mark.root

PODS: dict[tuple[str, str], dict[str, Any]] = {
    ("one", "p"): {"labels": {"app": "a", "tier": "x"}, "ports": [("TCP", "web", 80), ("SCTP", "web", 80)]},
    ("one", "q"): {"labels": {"app": "b"}, "ports": [("TCP", "web", 81), ("UDP", "ask", 80)]},
    ("two", "p"): {"labels": {"app": "a"}, "ports": [("UDP", "ask", 81), ("UDP", "web", 80)]},
    ("two", "q"): {"labels": {}, "ports": []},
}


def selector(chance: random.Random) -> dict[str, Any]:
    return chance.choice([
        {}, {"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "b"}}, {"matchLabels": {"app": "a", "tier": "x"}},
        {"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["a"]}]},
        {"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]},
        {"matchExpressions": [{"key": "app", "operator": "Exists"}, {"key": "app", "operator": "In", "values": ["b", "c"]}]},
    ])  # fmt: skip


def peer(chance: random.Random, addresses: list[str]) -> dict[str, Any]:
    kind = chance.randint(0, 3)
    if kind == 3:
        # Blocks are of either family, as those who write policies have it, whatever is called.
        mine = chance.choice(addresses)
        alike = [str(ip_network(one)) for one in addresses if (":" in one) is (":" in mine)]
        wide = ("fd00::/8", "::/0") if ":" in mine else (f"{mine.rpartition('.')[0]}.0/24", "0.0.0.0/0")
        block: dict[str, Any] = {"cidr": chance.choice([str(ip_network(mine)), *wide])}
        if block["cidr"] in wide:
            block["except"] = chance.sample(alike, chance.randint(0, 2))
        return {"ipBlock": block}
    namespace = {"namespaceSelector": chance.choice([{}, {"matchLabels": {"team": "x"}}])} if kind else {}
    return {**namespace, **({"podSelector": selector(chance)} if kind != 1 else {})}


def port(chance: random.Random) -> dict[str, Any]:
    protocol = {"protocol": chance.choice(list(KINDS))} if chance.random() < 0.7 else {}
    number = chance.choice(
        [{"port": 80}, {"port": 81}, {"port": 70, "endPort": 80}, {"port": "web"}, {"port": "ask"}, {}]
    )
    return {**protocol, **number}


def spec(chance: random.Random, addresses: list[str]) -> dict[str, Any]:
    def rules(word: str) -> list[dict[str, Any]]:
        return [
            {
                word: [peer(chance, addresses) for _ in range(chance.choice([0, 1, 1, 2]))],
                "ports": [port(chance) for _ in range(chance.choice([0, 1, 1, 3]))],
            }
            for _ in range(chance.choice([0, 1, 1, 2]))
        ]

    types = chance.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    made = {"podSelector": selector(chance), "policyTypes": types}
    return {**made, **{t.lower(): rules("from" if t == "Ingress" else "to") for t in types}}


@each_family
def test_arbitrary_policies_as_a_plain_reading_has_them(
    tmp_path: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    """Round after round policies come, change and go, by changes alone; every Pod calls every other one each time."""
    rounds = 150 if os.environ.get("PODLING_PROVE") else 12
    chance = random.Random(int(os.environ.get("PODLING_SEED", "1")))
    namespaces_of = {"one": {}, "two": {"team": "x"}}
    counts = {True: 0, False: 0}

    async def scenario(wired: Wired) -> None:
        given = {key: await wired.pod("-".join(key)) for key in PODS}
        addresses = {key: one for key, own in given.items() for one in own if is_of(family, one)}
        every = [one for own in given.values() for one in own]

        def end(key: tuple[str, str]) -> dict[str, Any]:
            return {"namespace": key[0], "name": key[1], "ip": addresses[key], **PODS[key]}

        index = PolicyIndex()
        for name, labels in namespaces_of.items():
            index.set_namespace(name, labels)
        for key, pod in PODS.items():
            labels = tuple(sorted(pod["labels"].items()))
            first, *further = given[key]
            ports = tuple(pod["ports"])
            index.set_pod(key, Party(first, key[1], key[0], labels, ports, "here", tuple(further)))
        both = [PolicyRules(wired.instance, "here", index, None, family) for family in FAMILIES]
        tables = Tables()
        ends = Ends({key: str(wired.pins / "-".join(key) / "net") for key in PODS}, family, addresses)
        try:
            for rules in both:
                tables.commit(rules.whole())
            index.take()
            specs: dict[tuple[str, str], dict[str, Any]] = {}
            for _ in range(rounds):
                for _ in range(chance.randint(1, 3)):
                    key = (chance.choice(["one", "two"]), chance.choice("uvw"))
                    specs.pop(key, None)
                    if chance.random() < 0.8:
                        specs[key] = spec(chance, every)
                    index.set_policy(key, compiled(key, specs[key]) if key in specs else None)
                changes = index.take()
                for rules in both:
                    tables.commit(rules.change(changes))
                trees = [policy_tree(key, made) for key, made in specs.items()]
                promised = {call: passes(trees, namespaces_of, *map(end, call[:2]), *call[2:]) for call in ends.calls}
                got = await asyncio.to_thread(ends.judged, promised)
                for call in ends.calls:
                    assert got[call] is promised[call], (call, specs)
                    counts[got[call]] += 1
        finally:
            ends.close()
            tables.close()
            remove_tables(wired.instance)
            with capsys.disabled():
                told = ", ".join(ends.kinds)
                print(f"\n{told} in {rounds} rounds: {counts[True]} calls got through, {counts[False]} did not")

    held(tmp_path, scenario)
    assert min(counts.values()) > 50


@each_family
def test_pings_pass_where_a_rule_names_no_ports(tmp_path: Path, family: Family) -> None:
    """ICMP of either family has no ports: a rule about ports says nothing of it; answers pass as all answers do."""
    anybody: list[dict[str, Any]] = [{"podSelector": {}}]
    cases = [
        ({"ingress": []}, False),
        ({"ingress": [{"from": anybody}]}, True),
        ({"ingress": [{}]}, True),
        ({"ingress": [{"from": anybody, "ports": [{"protocol": kind} for kind in KINDS]}]}, False),
        ({"policyTypes": ["Egress"]}, True),
    ]

    async def scenario(wired: Wired) -> None:
        async with _two(wired, family) as (addresses, put):
            for made, expected in cases:
                put({"podSelector": {"matchLabels": {"app": "b"}}, "policyTypes": ["Ingress"], **made})
                assert await _reached(wired, "p", addresses["q"]) is expected, made
                assert await _reached(wired, "q", addresses["p"]) is ("policyTypes" not in made), made
                assert await _reached(wired, "q", addresses["q"]), made

    held(tmp_path, scenario)


@each_family
def test_what_comes_in_pieces_is_judged_as_a_whole(tmp_path: Path, family: Family) -> None:
    """Of a datagram larger than the link's packets only the first piece has ports: all pass, or none does."""

    async def scenario(wired: Wired) -> None:
        async with _two(wired, family) as (addresses, put):
            put(
                {
                    "podSelector": {"matchLabels": {"app": "b"}},
                    "ingress": [{"ports": [{"port": 80, "protocol": "UDP"}]}],
                }
            )
            spaces = {name: str(wired.pins / name / "net") for name in addresses}

            def heard(port: int) -> int:
                with (
                    namespaces.inside(spaces["q"], lambda: socket.socket(family.number, socket.SOCK_DGRAM)) as listener,
                    namespaces.inside(spaces["p"], lambda: socket.socket(family.number, socket.SOCK_DGRAM)) as caller,
                ):
                    listener.bind(("", port))
                    listener.settimeout(4 * PATIENCE)
                    caller.sendto(bytes(9000), (addresses["q"], port))
                    try:
                        return len(listener.recv(10000))
                    except TimeoutError:
                        return 0

            assert await asyncio.to_thread(lambda: any(heard(80) == 9000 for _ in range(3)))  # on a busy machine
            assert await asyncio.to_thread(heard, 81) == 0

    held(tmp_path, scenario)


@needs_ipv6
def test_headers_between_hide_no_ports(tmp_path: Path) -> None:
    """Options, routing headers, pieces within pieces, tunnels: the port that a rule allows passes, another never does."""
    allowed = {"podSelector": {"matchLabels": {"app": "b"}}, "ingress": [{"ports": [{"port": 80, "protocol": "UDP"}]}]}

    async def scenario(wired: Wired) -> None:
        async with _two(wired, IPV6) as (addresses, put):
            one, two = (ip_address(addresses[name]) for name in ("p", "q"))
            there = wired.pins / "q"
            with (
                contextlib.closing(frames.RawPod(wired.pins / "p", wired.network._link("p"))) as pod,
                frames.listener(there, IPV6, 80) as open_,
                frames.listener(there, IPV6, 81) as shut,
            ):
                put(allowed)
                for at, port, expected in ((open_, 80, b"x"), (shut, 81, None)):
                    for kind, body in _chained(frames.datagram(one, two, port, b"x")):
                        sent = frames.packet(one, two, kind, body)
                        assert frames.heard(at, lambda sent=sent: pod.send(sent), expected), (kind, body)
                within = frames.packet(one, two, frames.UDP, frames.datagram(one, two, 81, b"tunnelled"))
                for made, expected in ((allowed, set()), ({**allowed, "ingress": [{}]}, set(_TUNNELS))):
                    put(made)
                    with namespaces.inside(str(there / "net"), _everything) as came:
                        for kind in _TUNNELS:
                            pod.send(frames.packet(one, two, kind, within))
                        assert _tunnelled(came) == expected

    held(tmp_path, scenario)


_TUNNELS = (4, 41, 47, 50, 59, 135, 136, 253)
"""Protocols by which packets are carried in others, and some of no meaning."""


def _chained(inner: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield a datagram behind other headers: what kind the first is, and all of them."""
    fill, last = b"\x01\x04\0\0\0\0", bytes([frames.UDP, 0])
    for options in (0, 60):
        yield options, last + fill + inner
    for routing in (0, 2):
        yield 43, last + bytes([routing, 0, 0, 0, 0, 0]) + inner
    yield 60, (bytes([60, 0]) + fill) * 8 + last + fill + inner
    yield frames.FRAGMENT, struct.pack(">BBHI", frames.UDP, 0, 0, 7) + inner


def _everything() -> socket.socket:
    made = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    made.settimeout(PATIENCE)
    return made


def _tunnelled(came: socket.socket) -> set[int]:
    """Return by which protocols the inner packet came."""
    found = set()
    with contextlib.suppress(TimeoutError):
        while True:
            frame = came.recv(1 << 16)
            if b"tunnelled" in frame and frame[20] in _TUNNELS:  # not the errors that answer
                found.add(frame[20])
    return found


@contextlib.asynccontextmanager
async def _two(wired: Wired, family: Family) -> AsyncIterator[tuple[dict[str, str], Callable[[dict[str, Any]], None]]]:
    """Wire Pods p with app=a and q with app=b; yield their addresses of a family, and what puts a policy into force."""
    index = PolicyIndex()
    addresses = {}
    for name, app in {"p": "a", "q": "b"}.items():
        first, *further = await wired.pod(name)
        addresses[name] = next(one for one in (first, *further) if is_of(family, one))
        index.set_pod(("one", name), Party(first, name, "one", (("app", app),), (), "here", tuple(further)))
    rules = PolicyRules(wired.instance, "here", index, None, family)
    tables = Tables()

    def put(made: dict[str, Any]) -> None:
        index.set_policy(("one", "policy"), compiled(("one", "policy"), made))
        tables.commit(rules.change(index.take()))

    try:
        tables.commit(rules.whole())
        yield addresses, put
    finally:
        tables.close()
        remove_tables(wired.instance)


async def _reached(wired: Wired, name: str, address: str) -> bool:
    return await wired.inside(name, f"busybox ping -c 1 -W 1 {address}") == 0
