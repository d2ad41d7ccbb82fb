"""The table of policies in a real kernel: what changes leave is what writing it whole gives."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from podling.linux import namespaces
from podling.linux.families import FAMILIES, Family
from podling.linux.nf_tables import Tables
from podling.linux.spawn import run_and_wait
from podling.network.policy.rules import PolicyRules
from podling.reach.policy import Party
from podling.reach.policy_index import PolicyIndex
from tests.machine.reach.test_policy import compiled

pytestmark = pytest.mark.root


@pytest.fixture
def space(tmp_path: Path) -> Iterator[str]:
    """A network namespace of the test's own."""
    namespaces.create(tmp_path / "ns", ("net",), sysctls={})
    yield str(tmp_path / "ns" / "net")
    namespaces.release(tmp_path / "ns")


def listed(space: str, rules: PolicyRules) -> list[str]:
    """What nft shows of the table, numbers of policies and profiles replaced by what they stand for."""
    text = run_and_wait(["nsenter", f"--net={space}", "nft", "list", "table", "inet", rules.table]).decode()
    for key, number in rules._numbers.items():
        text = re.sub(rf"\bpolicy-{number}-", f"policy-{'.'.join(key)}-", text)
    for (direction, keys), held in rules._profiles.items():
        text = re.sub(rf"\bprofile-{held.number}\b", f"profile {direction} {keys}", text)
    return sorted(_in_order(line) for line in _joined(text))


def _joined(text: str) -> list[str]:
    # A block is a line, so that what stands in it stays together; nft breaks long lists of elements.
    return re.sub(r"\s*\n\t\t", " ", text).splitlines()


def _in_order(line: str) -> str:
    return re.sub(r"elements = \{ (.*?) \}", lambda m: " ".join(sorted(re.split(r",\s+", m[1]))), line)


PEERS: list[dict[str, Any]] = [
    {"podSelector": {"matchLabels": {"app": "a"}}},
    {"namespaceSelector": {}},
    {"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8", "255.0.0.0/8"]}},
    {"ipBlock": {"cidr": "10.0.0.0/24", "except": ["10.0.0.0/30"]}},
    {"ipBlock": {"cidr": "fd00::/8"}},
    {"ipBlock": {"cidr": "::/0", "except": ["::/128", "fd00::/96", "ff00::/8"]}},
]
PORTS: list[dict[str, Any]] = [
    {"port": "web"},
    {"port": 80, "endPort": 90},
    {"port": 53, "protocol": "UDP"},
    {"protocol": "SCTP"},
]


def _spec(chance: random.Random) -> dict[str, Any]:
    def rules(word: str) -> list[dict[str, Any]]:
        return [
            {word: chance.sample(PEERS, chance.randint(0, 3)), "ports": chance.sample(PORTS, chance.randint(0, 2))}
            for _ in range(chance.randint(0, 2))
        ]

    selector = chance.choice([{}, {"matchLabels": {"app": "a"}}, {"matchLabels": {"app": "b"}}])
    types = chance.choice([["Ingress"], ["Egress"], ["Ingress", "Egress"]])
    return {"podSelector": selector, "policyTypes": types, "ingress": rules("from"), "egress": rules("to")}


def _step(chance: random.Random, index: PolicyIndex, *, shared: bool) -> None:
    where = (chance.choice(["one", "two"]), f"x{chance.randint(0, 3)}")
    match chance.randint(0, 5):
        case 0:
            index.set_namespace(where[0], {"team": chance.choice("ab")})
        case 1 | 2:
            labels = (("app", chance.choice("abc")),)
            own = 10 * int(where[1][1:]) + 50 * ["one", "two"].index(where[0])
            place = chance.randint(1, 12) if shared else chance.randint(own, own + 3)
            four, six = f"10.0.0.{place}", f"fd00::{place}"
            more = (f"10.0.1.{place}", f"fd00::1:{place}")
            first, *further = chance.choice([(four, six), (four, six), (four,), (six,), (four, six, *more)])
            node, ports = chance.choice(["here", "here", "there"]), (("TCP", "web", 8080),)
            pod = Party(first, where[1], where[0], labels, ports, node, tuple(further))
            index.set_pod(where, chance.choice([pod, pod, pod, pod, None]))
        case _:
            spec = _spec(chance)
            index.set_policy(where, compiled(where, spec) if chance.random() < 0.8 else None)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
@pytest.mark.parametrize(("seed", "shared"), [(1, False), (2, False), (3, False), (4, True), (5, True)])
def test_changes_leave_what_writing_whole_gives(space: str, seed: int, shared: bool, family: Family) -> None:
    """Whatever changes, one at a time or together, the kernel takes it, and the table is that of a fresh start.

    Where a Pod is not yet known to be gone whose address another one has (`shared`), the kernel takes it, too.
    """
    chance = random.Random(seed)
    index = PolicyIndex()
    rules = PolicyRules("t", "here", index, 5, family, here=("10.0.0.200", "fd00::200"))
    tables = Tables(space)
    tables.commit(rules.whole())
    for _ in range(60):
        for _ in range(chance.choice([1, 1, 4])):
            _step(chance, index, shared=shared)
        tables.commit(rules.change(index.take()))
    owners = dict(rules._owners)
    followed = listed(space, rules)
    fresh = PolicyRules("t", "here", index, 5, family, here=("10.0.0.200", "fd00::200"))
    tables.commit(fresh.whole())
    if not shared:
        assert fresh._owners
        assert owners == fresh._owners
        assert followed == listed(space, fresh)
    tables.close()


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_nothing_is_left_of_what_is_gone(space: str, family: Family) -> None:
    """When every policy has gone, the table is that of a cluster without policies."""
    index = PolicyIndex()
    rules = PolicyRules("t", "here", index, None, family)
    tables = Tables(space)
    tables.commit(rules.whole())
    empty = listed(space, rules)
    for number in range(5):
        key = ("one", f"x{number}")
        further = (f"fd00::{number}",)
        index.set_pod(key, Party(f"10.0.0.{number}", f"x{number}", "one", (("app", "a"),), (), "here", further))
        index.set_policy(key, compiled(key, {"ingress": [{"from": PEERS, "ports": PORTS}]}))
    tables.commit(rules.change(index.take()))
    assert listed(space, rules) != empty
    for number in range(5):
        index.set_policy(("one", f"x{number}"), None)
    tables.commit(rules.change(index.take()))
    assert listed(space, rules) == empty
    tables.close()
