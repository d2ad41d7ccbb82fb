"""Nodes that do not come back: what becomes of their objects and of what they leave on the machine.

That is made true before kubelets start, from what is found each time: whatever came between, the next start goes on.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from podling.api.errors import StatusError
from podling.api.resources import NODES
from podling.cluster.teardown import remove_node
from podling.linux.trees import remove_tree

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from podling.client.client import Client
    from podling.cluster.data_dir import DataDir

_KEPT: Final = frozenset({"config.json", "manifests", "volumes"})
"""What of a node's folder stays, for when the node comes back: what users have put there, and what volumes hold."""


async def retire(data: DataDir, client: Client, wanted: Collection[str]) -> None:
    """Take away further nodes that are not `wanted`, their Node objects first, as when machines leave a cluster.

    The Pods that were on them are then the Pod garbage collector's.
    """
    for name in data.further_nodes():
        if name in wanted:
            continue
        await _delete(client, name)
        await remove_node(data, name)
        await asyncio.to_thread(_clear, data.nodes / name)


def _clear(folder: Path) -> None:
    # The folder of Pods goes last: by it the node is known.
    for entry in sorted(folder.iterdir(), key=lambda entry: (entry.name == "pods", entry.name)):
        if entry.name in _KEPT and not entry.is_symlink():
            continue
        if entry.is_dir() and not entry.is_symlink():
            remove_tree(entry)
        else:
            entry.unlink()


async def _delete(client: Client, name: str) -> None:
    try:
        await client.delete(NODES, name)
    except StatusError as refusal:
        if not refusal.is_not_found:
            raise
