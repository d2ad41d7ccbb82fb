"""Has the image of a container on the node, pulled as its policy says.

Owns pull policies, the gathering of pull secrets, and what Events say of pulls. Back-off is the plan's: a failure is
told to it. Knows no registry: the runtime pulls, and joins simultaneous pulls of one image.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.kubelet.image_records import ImageRecords
from podling.kubelet.keyring import SecretSource, entries_of_config, entries_of_secret, lookup, repository_of
from podling.kubelet.objects import MissingReference, secret_content
from podling.linux import files
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import Pod
    from podling.kubelet.keyring import Entry
    from podling.kubelet.objects import References
    from podling.kubelet.wording import PodEvents
    from podling.lifecycle.specs import AnyContainer
    from podling.runtime.protocol import Image, ImageId, Images


class MountedImageFailure(RuntimeFailure):
    """An image that a container mounts could not be had; `image` names it."""

    def __init__(self, failure: RuntimeFailure, image: str) -> None:
        super().__init__(failure.reason, failure.message)
        self.image = image


class ImageEnsurer:
    """Makes images present. `home` is the node's folder: its `config.json` holds credentials for all its Pods."""

    def __init__(
        self, images: Images, references: References, events: PodEvents, clock: Clock, home: Path | None = None
    ) -> None:
        self._images = images
        self._references = references
        self._events = events
        self._clock = clock
        self._config = home / "config.json" if home is not None else None
        self._records = ImageRecords(home / "image_manager" if home is not None else None)

    async def ensure(self, pod: Pod, container: AnyContainer) -> Image:
        """Return the image of `container`, pulling it if its policy asks for that; `RuntimeFailure` says why not.

        The images that it mounts are made present too: without them it cannot be made either.
        """
        image = await self._ensure(pod, container.name, container.image, container.image_pull_policy)
        mounted = {mount.name for mount in container.volume_mounts}
        for volume in pod.spec.volumes:
            if volume.image is not None and volume.image.reference and volume.name in mounted:
                try:
                    await self._ensure(pod, "", volume.image.reference, volume.image.pull_policy)
                except RuntimeFailure as failure:
                    self._events.failed(pod, container.name, failure.message)
                    raise MountedImageFailure(failure, volume.image.reference) from failure
        return image

    async def _ensure(self, pod: Pod, container: str, reference: str, policy: str) -> Image:
        """Return an image; events point at `container`, or at the Pod where that is empty."""
        policy = policy or "IfNotPresent"
        try:
            self._images.check(reference)
        except RuntimeFailure as failure:
            message = f'Failed to apply default image tag "{reference}": {failure.message}'
            self._events.inspect_failed(pod, container, message)
            self._events.failed(pod, container, failure.reason)
            raise RuntimeFailure(failure.reason, message) from failure
        fitting = lookup(reference, [*await self._secrets(pod), *self._of_node()])
        present = await self._images.status(reference) if policy != "Always" else None
        if present is not None and self._records.may_use(present.id, repository_of(reference), fitting):
            self._events.present(pod, container, reference)
            return present
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            self._events.never_pulled(pod, container, message)
            self._events.failed(pod, container, "ErrImageNeverPull")
            raise RuntimeFailure("ErrImageNeverPull", message)
        return await self._pull(pod, container, reference, fitting)

    async def _pull(self, pod: Pod, container: str, reference: str, fitting: Sequence[Entry]) -> Image:
        self._events.pulling(pod, container, reference)
        began = self._clock.monotonic()
        try:
            image_id, used = await self._try(reference, fitting)
        except RuntimeFailure as failure:
            self._events.pull_failed(pod, container, reference, failure.message)
            self._events.failed(pod, container, "ErrImagePull")
            raise RuntimeFailure("ErrImagePull", failure.message) from failure
        took = self._clock.monotonic() - began
        image = await self._images.status(image_id)
        if image is None:
            raise RuntimeFailure("ErrImagePull", f'image "{reference}" was removed while it was pulled')
        present = [item.id for item in await self._images.list()]
        self._records.pulled(image.id, repository_of(reference), used, present)
        self._events.pulled(pod, container, reference, pull=took, waited=took, size=image.size)
        return image

    async def _try(self, reference: str, fitting: Sequence[Entry]) -> tuple[ImageId, Entry | None]:
        """Pull with each credential in turn, or with none where none fits; all failures are told."""
        if not fitting:
            return await self._images.pull(reference), None
        failures: dict[str, None] = {}
        for entry in fitting:
            try:
                return await self._images.pull(reference, entry.credentials), entry
            except RuntimeFailure as failure:
                failures[failure.message] = None
        raise RuntimeFailure("ErrImagePull", next(iter(failures)) if len(failures) == 1 else f"[{', '.join(failures)}]")

    async def _secrets(self, pod: Pod) -> Sequence[Entry]:
        """Return what the Pod's pull secrets hold; missing ones are told of, and are no obstacle."""
        entries: list[Entry] = []
        missing = []
        namespace = pod.metadata.namespace
        for ref in pod.spec.image_pull_secrets:
            if not ref.name:
                continue
            try:
                secret = await self._references.secret(namespace, ref.name)
            except MissingReference:
                secret = None
            if secret is None:
                missing.append(ref.name)
            else:
                source = SecretSource(namespace, ref.name, secret.metadata.uid)
                entries += entries_of_secret(secret.type, secret_content(secret), source)
        if missing:
            self._events.pull_secrets_missing(pod, missing)
        return entries

    def _of_node(self) -> Sequence[Entry]:
        text = files.read_text(self._config) if self._config is not None else None
        return entries_of_config(text.encode()) if text else ()
