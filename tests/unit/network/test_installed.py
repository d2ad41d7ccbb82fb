"""The kernel's table against what is wanted of it: whatever Services want one after another, it holds that and no more."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from podling.linux import namespaces
from podling.linux.families import FAMILIES, IPV4, Family
from podling.linux.nf_tables import Tables
from podling.network.proxy import sets
from podling.network.proxy.installed import Installed
from podling.network.proxy.rules import NOTHING, ServiceRules
from tests.unit.network.test_proxy_rules import World

pytestmark = pytest.mark.root

STEPS = 300
WITH_VALUES = (sets.ENDPOINTS, sets.CLUSTER, sets.HAIRPINS, sets.FIREWALLED)
WITH_CHAINS = (sets.SERVICES, sets.UNSERVED, sets.STICKY, sets.SOURCES)


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Tables]:
    namespaces.create(tmp_path / "ns", ("net",), sysctls={})
    try:
        with contextlib.closing(Tables(str(tmp_path / "ns" / "net"))) as opened:
            yield opened
    finally:
        namespaces.release(tmp_path / "ns")


def some_ranges(world: World, chance: random.Random) -> list[str]:
    """Return source ranges, of which some lie in others, and some of another Service's overlap."""
    if world.family is IPV4:
        return [f"192.0.{chance.randrange(4)}.0/{chance.choice((0, 8, 22, 23, 24, 26, 30))}" for _ in range(3)]
    return [f"2001:db8:{chance.randrange(4)}::/{chance.choice((0, 16, 32, 46, 47, 48, 64, 100))}" for _ in range(3)]


def some_service(world: World, chance: random.Random, number: int, before: ServiceRules) -> ServiceRules:
    """Return a Service of many kinds, most of which claim what others claim too."""
    kind = chance.randrange(5)
    if kind == 0:
        return NOTHING
    balanced = world.balanced(chance.randrange(1, 3))
    spec: dict = {"externalIPs": [balanced, world.external(1)]}
    if kind < 3:
        status = {"loadBalancer": {"ingress": [{"ip": balanced}]}}
        ranges = some_ranges(world, chance)[chance.randrange(4) :]
        port = 30080 + chance.randrange(2)
        spec = {"type": "LoadBalancer", "status": status, "loadBalancerSourceRanges": ranges, "nodePort": port}
    if chance.randrange(3) == 0:
        spec["sessionAffinity"] = "ClientIP"
    vip = world.vip(number + 7)
    endpoints = world.cut(*chance.sample(range(2, 9), chance.randrange(5)))
    return world.made(world.web(clusterIP=vip, clusterIPs=[vip], **spec), endpoints, before=before)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_the_kernel_takes_whatever_services_want(tables: Tables, family: Family) -> None:
    """Four that claim each other's addresses, ports and fences: no transaction is refused, and nothing is left over."""
    world, chance = World(family), random.Random(7)
    installed = Installed(tables, "t", world.facts)
    installed.install({})
    for step in range(STEPS):
        owners = chance.sample(range(4), chance.randrange(1, 4))
        installed.change({str(each): some_service(world, chance, each, installed.of(str(each))) for each in owners})
        if step % 10 == 0:
            assert installed.is_there()
            wanted = dict(installed._claims.effective())
            for name in WITH_VALUES:
                held = {(name, element.key): element.value for element in tables.elements("t", name)}
                assert held == {place: value for place, value in wanted.items() if place[0] == name}
            for name in WITH_CHAINS:
                assert {element.key for element in tables.elements("t", name)} == {
                    key for where, key in wanted if where == name
                }
    installed.change(dict.fromkeys(installed.owners(), NOTHING))
    assert not any(tables.elements("t", name) for name in (*WITH_VALUES, *WITH_CHAINS))
