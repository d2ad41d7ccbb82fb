"""How long a change of one endpoint takes, from the write to the kernel's rules, and how long all of them at a start.

In a network namespace of its own, with an API server in the process and its store on disk. What is timed ends where
the kernel tells that its rules have changed. Alone: python bench/services.py, or with `dual` for a node of both address
families; its Services have IPv4 addresses, as they have unless they ask.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from ipaddress import IPv4Address
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.codec import from_tree
from podling.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from podling.cluster.control_plane import ADMIN, ControlPlane
from podling.cluster.networks import PROXY
from podling.linux import namespaces
from podling.linux.families import FAMILIES, IPV4
from podling.linux.local import LocalHost
from podling.linux.nf_tables import Tables, TableWatch
from podling.network.context import NetworkContext
from podling.network.proxy.proxy import Proxy
from podling.network.ranges import PREFERRED, NodeRange, part_of
from podling.store import open_store

if TYPE_CHECKING:
    from collections.abc import Sequence

ENDPOINTS = 5
CHANGES = 40


@dataclass
class Figures:
    services: int
    install: float
    """Seconds from the proxy's start to all of them in the rules."""
    change: float
    """Milliseconds from the write of one endpoint to the rules, at median."""
    slowest: float
    rules_alone: float
    """Of these, what the kernel's transaction takes."""


def _endpoints(number: int, turn: int = 0) -> list[dict]:
    """Five endpoints; each turn replaces one of them."""
    places = [(number * ENDPOINTS + place) % 60000 + 2 for place in range(ENDPOINTS)]
    places[turn % ENDPOINTS] += turn
    base = int(IPv4Address("10.244.0.0"))
    return [
        {"addresses": [str(IPv4Address(base + place))], "conditions": {"ready": True}, "nodeName": "one"}
        for place in places
    ]


async def _fill(plane: ControlPlane, count: int) -> None:
    client = plane.client(ADMIN)
    await client.create(NAMESPACES, from_tree(NAMESPACES.type, {"metadata": {"name": "many"}}))

    async def create(number: int) -> None:
        name = f"service-{number}"
        spec = {"ports": [{"name": "p", "port": 80, "targetPort": 8080}]}
        meta = {"name": name, "namespace": "many"}
        await client.create(SERVICES, from_tree(SERVICES.type, {"metadata": meta, "spec": spec}))
        tree = {
            "metadata": {"name": name, "namespace": "many", "labels": {"kubernetes.io/service-name": name}},
            "addressType": "IPv4",
            "endpoints": _endpoints(number),
            "ports": [{"name": "p", "port": 8080, "protocol": "TCP"}],
        }
        await client.create(ENDPOINT_SLICES, from_tree(ENDPOINT_SLICES.type, tree))

    for start in range(0, count, 100):
        await asyncio.gather(*(create(number) for number in range(start, min(start + 100, count))))


class Unheard:
    """Whom calls that the rules refuse are told to: nobody makes any here."""

    def refused(self, refusal: object) -> None:
        raise AssertionError(refusal)


async def _measure(count: int, folder: Path, space: str, ranges: Sequence[NodeRange]) -> Figures:
    clock, chance = SystemClock(), Chance()
    store = open_store("sqlite", folder / f"store-{count}", clock)
    host = LocalHost("one", space)
    async with Supervisor(clock) as supervisor:
        plane = ControlPlane(store, clock, chance, supervisor)
        await plane.start()
        await _fill(plane, count)
        pods = SimpleNamespace(ranges=ranges, link_prefix="pdbench", set_sysctl=lambda *_: asyncio.sleep(0))
        context = NetworkContext(
            "one", f"bench{count}", folder, plane.client(PROXY), plane.informers(PROXY, supervisor), clock, supervisor,
            host, cast("Any", pods),
        )  # fmt: skip
        proxy = Proxy(context, Unheard())
        began = time.perf_counter()
        await proxy.start()
        install = time.perf_counter() - began
        installed = proxy._installed[0]
        table = installed.table
        tables = Tables(space)
        held = len(tables.elements(table, "endpoints"))
        assert held >= count * ENDPOINTS, held
        tables.close()
        await asyncio.sleep(0.3)
        alone: list[float] = []
        change = installed.change

        def timed(wanted: Any) -> None:
            start = time.perf_counter()
            change(wanted)
            alone.append(time.perf_counter() - start)

        installed.change = timed  # type: ignore[method-assign]
        heard = asyncio.Event()
        watch = TableWatch(space, (table,), 0, lambda _: heard.set())
        client = plane.client(ADMIN)
        took = []
        for turn in range(CHANGES):
            number = turn * 7 % count
            heard.clear()
            began = time.perf_counter()
            writing = asyncio.create_task(
                client.patch(
                    ENDPOINT_SLICES, f"service-{number}", {"endpoints": _endpoints(number, turn + 1)}, namespace="many"
                )
            )
            await heard.wait()
            took.append(time.perf_counter() - began)
            await writing
            await asyncio.sleep(0.01)
        watch.close()
        await plane.close()
    proxy.close()
    await store.close()
    host.close()
    return Figures(count, install, statistics.median(took) * 1e3, max(took) * 1e3, statistics.median(alone) * 1e3)


def measure(*counts: int, dual: bool = False) -> list[Figures]:
    """Return the figures for so many Services each, on a node of one address family or of both."""
    preferred = [PREFERRED[family] for family in (FAMILIES if dual else (IPV4,))]
    ranges = [NodeRange(whole, part_of(whole, 0)) for whole in preferred]
    with tempfile.TemporaryDirectory(prefix="podling-bench-") as name:
        folder = Path(name)
        namespaces.create(folder / "space", ("net",), sysctls={})
        try:
            return [asyncio.run(_measure(count, folder, str(folder / "space" / "net"), ranges)) for count in counts]
        finally:
            namespaces.release(folder / "space")


if __name__ == "__main__":
    print(json.dumps([asdict(figures) for figures in measure(10, 1000, dual="dual" in sys.argv)]))
