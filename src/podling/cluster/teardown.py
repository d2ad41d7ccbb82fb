"""Taking away everything that a cluster, or a node of it, made in the kernel, with no daemon of it running.

Owns the order: containers, then the network, then the run folder. Data stays. Called again it finishes what it had
begun.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from podling.cluster.data_dir import DataDir


def remove_all(data: DataDir) -> None:
    """Kill the cluster's containers and remove its mounts, namespaces, links, rules and groups."""
    if os.geteuid() == 0:
        asyncio.run(_remove(data))
    shutil.rmtree(data.run, ignore_errors=True)


async def _remove(data: DataDir) -> None:
    from podling.kubelet import user_ranges
    from podling.network import podnetwork
    from podling.network.policy.rules import remove_tables
    from podling.network.proxy import proxy
    from podling.runtime.oci.teardown import teardown

    await _remove_cni(data.path)
    for node in data.further_nodes():
        await remove_node(data, node)
    await teardown(data.path, data.instance)
    user_ranges.let_go(data.path)
    await asyncio.to_thread(remove_tables, data.instance)  # nobody is isolated who has the addresses next
    await podnetwork.teardown(data.path, data.instance)
    await proxy.teardown(data.instance)  # it guards what a setting opens, which is put back by now


async def _remove_cni(folder: Path, namespace: str = "") -> None:
    """Have plugins take back what they gave to a node's Pods, while the namespaces of those are still there."""
    from podling.linux import namespaces
    from podling.linux.local import LocalHost
    from podling.network import cni

    # Where the node's own is gone, with all that plugins did in it, what they have written down is still to be undone.
    host = LocalHost(network_namespace=namespace if namespaces.pinned(namespace) else "")
    try:
        await cni.teardown(folder, host)
    finally:
        host.close()


async def remove_node(data: DataDir, node: str) -> None:
    """Kill the containers of a node beside the first, and remove its namespaces with all links and rules in them."""
    from podling.kubelet import user_ranges
    from podling.network import nodelink
    from podling.runtime.oci.teardown import teardown

    folder = data.nodes / node
    await _remove_cni(folder, str(data.pin(node) / "net"))
    await teardown(folder, data.instance, node=node)
    user_ranges.let_go(folder)
    await asyncio.to_thread(nodelink.remove, data.instance, node, data.pin(node))
    (folder / "network" / "addresses.json").unlink(missing_ok=True)
