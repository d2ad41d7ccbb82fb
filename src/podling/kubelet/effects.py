"""Performs what a plan asks for: one thin function for each action.

Owns the hands of a kubelet, each for a part of a Pod's life (`sandboxes`, `instances`, `resizer`), and the steps that
are no one's of these: volumes, images, the last of a Pod. Decides nothing: it is told what to do, and its outcome (what
it returns, or a `StepFailure`) goes back as a fact. Invariant: each performer may be called again after it failed or
was cut off anywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.kubelet.containers import log_folder
from podling.kubelet.images import MountedImageFailure
from podling.kubelet.steps import StepFailure
from podling.kubelet.volumes import VolumeFailure
from podling.lifecycle.specs import container_named
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Pod
    from podling.kubelet.images import ImageEnsurer
    from podling.kubelet.instances import Instances
    from podling.kubelet.resizing import Resizer
    from podling.kubelet.sandboxes import Sandboxes
    from podling.kubelet.settings import Settings
    from podling.kubelet.status import StatusWriter
    from podling.kubelet.volumes import Volumes
    from podling.kubelet.wording import PodEvents
    from podling.lifecycle import actions as act
    from podling.runtime.protocol import Container, Image, Sandbox


class Effects:
    """The hands of a kubelet."""

    def __init__(
        self,
        sandboxes: Sandboxes,
        instances: Instances,
        resizer: Resizer,
        volumes: Volumes,
        images: ImageEnsurer,
        status: StatusWriter,
        events: PodEvents,
        settings: Settings,
    ) -> None:
        self.sandboxes = sandboxes
        self.instances = instances
        self.resizer = resizer
        self._volumes = volumes
        self._images = images
        self._status = status
        self._events = events
        self._settings = settings

    async def observe(self, uid: str) -> tuple[Sequence[Sandbox], Sequence[Container]]:
        """Return a Pod's sandboxes and containers, each in the order of their attempts."""
        sandboxes = await self.sandboxes.of(uid)
        return sandboxes, await self.instances.within(sandboxes)

    async def prepare_volumes(self, pod: Pod) -> Mapping[str, str]:
        try:
            return await self._volumes.prepare(pod, ())
        except VolumeFailure as failure:
            self._events.mount_failed(pod, str(failure))
            raise StepFailure("FailedMount", str(failure)) from failure

    async def ensure_image(self, pod: Pod, action: act.EnsureImage) -> Image:
        container = container_named(pod, action.container)
        assert container is not None
        try:
            return await self._images.ensure(pod, container)
        except MountedImageFailure as failure:
            raise StepFailure(failure.reason, failure.message, failure.image) from failure
        except RuntimeFailure as failure:
            raise StepFailure(failure.reason, failure.message) from failure

    async def release(self, pod: Pod) -> None:
        """Have the API forget the Pod."""
        await self._status.release(pod)

    async def tear_down(self, pod: Pod) -> None:
        """Take away what is left of a Pod whose sandboxes are gone."""
        from podling.linux.trees import remove_tree

        uid = pod.metadata.uid
        await self.sandboxes.unwire(uid)
        await self._volumes.tear_down(uid)
        if self._settings.root is not None or self._settings.logs is not None:
            folder = log_folder(pod, self._settings)
            if folder.exists():
                remove_tree(folder)
        self.sandboxes.forget(uid)
        self._status.forget(uid)
