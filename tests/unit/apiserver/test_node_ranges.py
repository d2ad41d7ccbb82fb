"""A Node's ranges of Pod addresses: callers set them once; the server's owner gives a node others."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from tests.served import Served

from podling.api.errors import StatusError
from podling.api.resources import NODES
from podling.client.transport import Selection

PATH = "/api/v1/nodes"
OLD = ["10.244.0.0/24"]
NEW = ["10.244.0.0/24", "fd00:10:244::/64"]
TAINT = {"key": "kept", "effect": "NoSchedule"}


async def node(api: Served) -> dict[str, Any]:
    meta = {"name": "one", "labels": {"disk": "fast"}, "annotations": {"note": "mine"}}
    spec = {"podCIDR": OLD[0], "podCIDRs": OLD, "taints": [TAINT], "unschedulable": True}
    await api.post(PATH, {"metadata": meta, "spec": spec})
    return await api.patch(f"{PATH}/one/status", {"status": {"capacity": {"pods": "7"}, "phase": "Running"}})


async def events(api: Served, since: dict[str, Any]) -> list[tuple[str, list[str]]]:
    """What a watcher hears of Nodes after a state of one."""
    heard = []
    revision = int(since["metadata"]["resourceVersion"])
    await api.post("/api/v1/namespaces", {"metadata": {"name": "later"}})
    async with aclosing(api.door.watch(NODES, Selection(), revision=revision)) as stream:
        try:
            async with asyncio.timeout(0.1):
                async for event in stream:
                    if event.type != "BOOKMARK":
                        heard.append((event.type, list(event.object.view(NODES.type).spec.pod_cidrs)))
        except TimeoutError:
            pass
    return heard


@pytest.mark.parametrize("ranges", [NEW, ["10.245.0.0/24"]])
def test_a_node_is_given_other_ranges_and_is_still_that_node(ranges: list[str]) -> None:
    """Nothing else of it changes, it is never absent to who watches, and without need nothing is written."""

    async def main() -> None:
        async with Served() as api:
            before = await node(api)
            await api.server.set_node_ranges("one", OLD)
            assert await api.get(f"{PATH}/one") == before
            await api.server.set_node_ranges("one", ranges)
            after = await api.get(f"{PATH}/one")
            assert await events(api, before) == [("MODIFIED", ranges)]
            assert after["spec"].pop("podCIDR") == ranges[0]
            assert after["spec"].pop("podCIDRs") == ranges
            for tree in (before, after):
                tree["metadata"].pop("resourceVersion")
                tree["spec"].pop("podCIDR", None)
                tree["spec"].pop("podCIDRs", None)
            assert after == before
            await api.server.set_node_ranges("absent", ranges)
            assert [it["metadata"]["name"] for it in (await api.get(PATH))["items"]] == ["one"]

    asyncio.run(main())


def test_what_others_write_meanwhile_is_kept() -> None:
    """Whoever comes between reading and writing is not written over."""

    async def main() -> None:
        async with Served() as api:
            await node(api)
            labels = [api.patch(f"{PATH}/one", {"metadata": {"labels": {f"n{i}": "x"}}}) for i in range(3)]
            await asyncio.gather(*labels, api.server.set_node_ranges("one", NEW))
            after = await api.get(f"{PATH}/one")
            assert after["spec"]["podCIDRs"] == NEW
            assert {"disk", "n0", "n1", "n2"} <= set(after["metadata"]["labels"])

    asyncio.run(main())


def test_callers_are_refused() -> None:
    """Not even an administrator adds a range to those that are set, as upstream has it."""

    async def main() -> None:
        async with Served() as api:
            await node(api)
            with pytest.raises(StatusError, match='may not change podCIDR except from "" to valid'):
                await api.patch(f"{PATH}/one", {"spec": {"podCIDRs": NEW}})

    asyncio.run(main())
