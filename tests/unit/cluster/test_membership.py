"""Nodes that do not come back."""

from __future__ import annotations

import asyncio
from pathlib import Path

from podling.client.client import ApiClient
from podling.cluster import membership
from podling.cluster.data_dir import DataDir
from podling.cluster.membership import retire
from tests.served import Served

NODES = "/api/v1/nodes"


def test_a_node_that_is_not_wanted_goes_and_leaves_what_volumes_hold(tmp_path: Path, monkeypatch) -> None:
    """Its object goes first and the mark of its folder last, so that whatever comes between, the next start goes on."""
    removed: list[str] = []

    async def remove_node(data: DataDir, node: str) -> None:
        assert (data.nodes / node / "pods").is_dir()
        removed.append(node)

    monkeypatch.setattr(membership, "remove_node", remove_node)
    data = DataDir(tmp_path)
    for name in ("one-2", "one-3"):
        for part in ("pods/uid", "images", "network", "volumes/kept", "manifests"):
            (data.nodes / name / part).mkdir(parents=True)
        (data.nodes / name / "runtime.json").touch()
    (data.nodes / "one-4" / "volumes").mkdir(parents=True)

    async def main() -> None:
        async with Served() as api:
            for name in ("one", "one-2", "one-3"):
                await api.post(NODES, {"metadata": {"name": name}})
            assert data.further_nodes() == ["one-2", "one-3"]
            for _ in range(2):
                await retire(data, ApiClient(api.door), {"one", "one-2"})
                assert [node["metadata"]["name"] for node in (await api.get(NODES))["items"]] == ["one", "one-2"]
                assert data.further_nodes() == ["one-2"]

    asyncio.run(main())
    assert removed == ["one-3"]
    assert sorted(path.name for path in (data.nodes / "one-3").iterdir()) == ["manifests", "volumes"]
    assert (data.nodes / "one-2" / "images").is_dir()
