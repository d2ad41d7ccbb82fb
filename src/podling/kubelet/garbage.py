"""Throws away what a node no longer needs: dead containers, sandboxes, images; logs and volumes of Pods that ended.

Owns the rhythm and the removing; what may go is `lifecycle.garbage`'s choice. Invariants: nothing is removed before the
Pods of this node are known; an image that a living Pod is about to run stays.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from podling.api.pods import is_terminal
from podling.lifecycle.garbage import (
    DeadContainer,
    DeadSandbox,
    UnusedImage,
    doomed_containers,
    doomed_images,
    doomed_sandboxes,
    to_free,
)
from podling.runtime.protocol import ContainerId, ContainerState, RuntimeFailure, SandboxId, SandboxState

if TYPE_CHECKING:
    from collections.abc import Collection
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.kubelet.config import PodConfig
    from podling.kubelet.node import NodeAgent
    from podling.kubelet.stats import Stats
    from podling.kubelet.volumes import Volumes
    from podling.kubelet.workers import PodWorkers
    from podling.lifecycle.garbage import GarbagePolicy
    from podling.runtime.protocol import Container, Runtime

log = logging.getLogger("podling.kubelet.garbage")


class GarbageCollector:
    """Cleans one node; `keep_containers` and `keep_images` are components of the supervisor."""

    def __init__(
        self,
        runtime: Runtime,
        stats: Stats,
        workers: PodWorkers,
        config: PodConfig,
        volumes: Volumes,
        node: NodeAgent,
        clock: Clock,
        policy: GarbagePolicy,
        logs: Path | None,
    ) -> None:
        """`logs` holds a folder for each Pod; `None` where there are no files."""
        self._runtime = runtime
        self._stats = stats
        self._workers = workers
        self._config = config
        self._volumes = volumes
        self._node = node
        self._clock = clock
        self._policy = policy
        self._logs = logs
        self._seen: dict[str, float] = {}
        self._used: dict[str, float] = {}
        self._first_look = True
        self._failed_before = False

    async def keep_containers(self) -> None:
        """Remove what is dead, for ever."""
        while True:
            await self._clock.sleep(self._policy.container_period)
            try:
                await self.containers()
            except RuntimeFailure as failure:
                self._node.warn("ContainerGCFailed", failure.message)

    async def keep_images(self) -> None:
        """Keep the images' file system below its mark, for ever."""
        while True:
            try:
                await self.images()
                self._failed_before = False
            except RuntimeFailure as failure:
                # Upstream tells of it from the second time on: the first may come before the first look.
                if self._failed_before:
                    self._node.warn("ImageGCFailed", failure.message)
                self._failed_before = True
            await self._clock.sleep(self._policy.image_period)

    async def reclaim(self) -> None:
        """Remove everything that no living Pod needs: what a node does before it evicts for want of disk."""
        try:
            await self.containers(all_=True)
            await self._free(None)
        except RuntimeFailure as failure:
            log.warning("reclaiming on %s: %s", self._node.name, failure.message)

    async def containers(self, *, all_: bool = False) -> None:
        """Remove dead containers, sandboxes, logs and volumes; `all_`: whatever belongs to a Pod that has ended."""
        sandboxes = {sandbox.id: sandbox for sandbox in await self._runtime.list_sandboxes()}
        containers = [c for c in await self._runtime.list_containers() if c.sandbox in sandboxes]
        dead = [
            DeadContainer(c.id, sandboxes[c.sandbox].uid, c.name, c.attempt, c.created)
            for c in containers
            if c.state is ContainerState.EXITED
        ]
        doomed = doomed_containers(dead, self._policy, self._clock.time(), self._has_ended, all_=all_)
        for container in doomed:
            await self._runtime.remove_container(ContainerId(container))
        gone = frozenset(doomed)
        held = frozenset(c.sandbox for c in containers if c.id not in gone)
        newest: dict[str, int] = {}
        for sandbox in sandboxes.values():
            newest[sandbox.uid] = max(newest.get(sandbox.uid, 0), sandbox.attempt)
        empty = [
            DeadSandbox(s.id, s.uid, s.attempt)
            for s in sandboxes.values()
            if s.state is not SandboxState.READY and s.id not in held
        ]
        for old in doomed_sandboxes(empty, newest, self._has_ended, all_=all_):
            await self._runtime.remove_sandbox(SandboxId(old))
        await self._volumes_of_ended()
        self._logs_of_gone(frozenset(sandbox.uid for sandbox in sandboxes.values()))

    async def images(self) -> None:
        """Remove images, the longest unused first, while their file system is too full."""
        system = await self._stats.images()
        await self._note_images()
        if system.capacity <= 0:
            self._node.warn("InvalidDiskCapacity", "invalid capacity 0 on image filesystem")
            raise RuntimeFailure("InvalidDiskCapacity", "invalid capacity 0 on image filesystem")
        wanted = to_free(self._policy, system.capacity, min(system.available, system.capacity))
        if not wanted:
            return
        freed = await self._free(wanted)
        if freed < wanted:
            message = (
                "Failed to garbage collect required amount of images. "
                f"Attempted to free {wanted} bytes, but only found {freed} bytes eligible to free."
            )
            self._node.warn("FreeDiskSpaceFailed", message)
            raise RuntimeFailure("FreeDiskSpaceFailed", message)

    async def _free(self, wanted: int | None) -> int:
        used = await self._note_images()
        now = self._clock.time()
        unused = [
            UnusedImage(image.id, image.size, self._seen[image.id], self._used.get(image.id, 0.0))
            for image in await self._runtime.images.list()
            if image.id not in used and image.id in self._seen
        ]
        freed = 0
        for image in doomed_images(unused, self._policy, wanted, now):
            try:
                await self._runtime.images.remove(image.id)
            except RuntimeFailure as failure:
                log.warning("removing image %s: %s", image.id, failure.message)
            else:
                freed += image.size
                self._seen.pop(image.id, None)
        return freed

    async def _note_images(self) -> Collection[str]:
        """Write down which images are here since when, and when each was last used; return those in use."""
        now = self._clock.time()
        used = await self._images_in_use(await self._runtime.list_containers())
        ids = [image.id for image in await self._runtime.images.list()]
        # Those of an earlier life of the node have been here for long enough.
        first = 0.0 if self._first_look else now
        self._first_look = False
        self._seen = {image: self._seen.get(image, first) for image in ids}
        self._used = {image: at for image, at in self._used.items() if image in self._seen} | dict.fromkeys(used, now)
        return used

    async def _images_in_use(self, containers: Collection[Container]) -> Collection[str]:
        used = dict.fromkeys(container.image for container in containers)
        ids = dict.fromkeys(str(image) for image in used)
        for worker in self._workers:
            ids |= dict.fromkeys(ready.image_id for ready in worker.view.images.values())
            for volume in worker.pod.spec.volumes:
                if volume.image is not None and volume.image.reference:
                    image = await self._runtime.images.status(volume.image.reference)
                    if image is not None:
                        ids[image.id] = None
        return ids.keys()

    def _has_ended(self, uid: str) -> bool:
        """Whether a Pod is gone or has ended for good."""
        worker = self._workers.get(uid)
        return worker is None or (is_terminal(worker.view.pod) and worker.view.sandbox is None)

    async def _volumes_of_ended(self) -> None:
        for worker in self._workers:
            if self._has_ended(worker.pod.metadata.uid):
                await self._volumes.empty(worker.pod.metadata.uid)

    def _logs_of_gone(self, kept: Collection[str]) -> None:
        from podling.linux.trees import remove_tree

        if self._logs is None or not self._logs.is_dir():
            return
        wanted = self._config.uids()
        for folder in sorted(self._logs.iterdir()):
            uid = folder.name.rpartition("_")[2]
            if uid not in wanted and uid not in kept and self._workers.get(uid) is None:
                remove_tree(folder)
