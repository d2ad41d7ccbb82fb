"""What a kubelet finds when it starts: Pods of an earlier life, its own or an older boot's.

Owns the search for what nobody wants any more: sandboxes, addresses and folders of Pods that the API no longer has.
Pods that it still has need nothing from here: their workers take over what the runtime has. Invariant: nothing is
removed before the Pods of this node were listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.types.core_v1 import Pod, PodSpec
from podling.api.types.meta_v1 import ObjectMeta

if TYPE_CHECKING:
    from pathlib import Path

    from podling.client.seams import PodNetwork
    from podling.kubelet.config import PodConfig
    from podling.kubelet.volumes import Volumes
    from podling.kubelet.workers import PodWorkers
    from podling.runtime.protocol import Runtime, Sandbox


class Recovery:
    """Sweeps a node after its start."""

    def __init__(
        self,
        runtime: Runtime,
        network: PodNetwork,
        volumes: Volumes,
        config: PodConfig,
        workers: PodWorkers,
        root: Path | None,
    ) -> None:
        self._runtime = runtime
        self._network = network
        self._volumes = volumes
        self._config = config
        self._workers = workers
        self._root = root

    async def sweep(self) -> None:
        """End the Pods that the API no longer has, and give back what they held."""
        wanted = self._config.uids()
        orphans: dict[str, None] = {}
        for sandbox in await self._runtime.list_sandboxes():
            if sandbox.uid not in wanted:
                orphans[sandbox.uid] = None
                if self._workers.get(sandbox.uid) is None:
                    self._workers.update(_orphan(sandbox))
                self._workers.vanish(sandbox.uid)
        for uid in await self._network.attached():
            if uid not in orphans and uid not in wanted:
                await self._network.detach(uid)
        if self._root is not None and self._root.exists():
            for folder in sorted(self._root.iterdir()):
                if folder.name not in orphans and folder.name not in wanted:
                    await self._volumes.tear_down(folder.name)


def _orphan(sandbox: Sandbox) -> Pod:
    """Return what is still known of a Pod whose object is gone."""
    return Pod(
        metadata=ObjectMeta(name=sandbox.name, namespace=sandbox.namespace, uid=sandbox.uid),
        spec=PodSpec(containers=()),
    )
