"""Taking away everything that a cluster made in the kernel, with no daemon running.

Owns the order: containers, then the network, then the run folder. Data stays. Called again it finishes what it had
begun.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from podling.cluster.data_dir import DataDir


def remove_all(data: DataDir) -> None:
    """Kill the cluster's containers and remove its mounts, namespaces, links, rules and groups."""
    if os.geteuid() == 0:
        asyncio.run(_remove(data))
    shutil.rmtree(data.run, ignore_errors=True)


async def _remove(data: DataDir) -> None:
    from podling.network import podnetwork
    from podling.runtime.oci.teardown import teardown

    await teardown(data.path, data.instance)
    await podnetwork.teardown(data.path, data.instance)
