"""Has the image of a container on the node, pulled as its policy says.

Owns pull policies, pull secrets, and what Events say of pulls. Back-off is the plan's: a failure is told to it. Knows
no registry: the runtime pulls, and joins simultaneous pulls of one image.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any

import msgspec

from podling.kubelet.objects import MissingReference, secret_content
from podling.runtime.protocol import Credentials, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import Pod
    from podling.kubelet.objects import References
    from podling.kubelet.wording import PodEvents
    from podling.lifecycle.specs import AnyContainer
    from podling.runtime.protocol import Image, Images

_DOCKER_HUB = ("docker.io", "index.docker.io", "https://index.docker.io/v1/")


class ImageEnsurer:
    """Makes images present."""

    def __init__(self, images: Images, references: References, events: PodEvents, clock: Clock) -> None:
        self._images = images
        self._references = references
        self._events = events
        self._clock = clock

    async def ensure(self, pod: Pod, container: AnyContainer) -> Image:
        """Return the image of `container`, pulling it if its policy asks for that; `RuntimeFailure` says why not."""
        reference = container.image
        policy = container.image_pull_policy or "IfNotPresent"
        try:
            self._images.check(reference)
        except RuntimeFailure as failure:
            message = f'Failed to apply default image tag "{reference}": {failure.message}'
            self._events.inspect_failed(pod, container.name, message)
            self._events.failed(pod, container.name, failure.reason)
            raise RuntimeFailure(failure.reason, message) from failure
        present = await self._images.status(reference) if policy != "Always" else None
        if present is not None:
            self._events.present(pod, container.name, reference)
            return present
        if policy == "Never":
            message = f'Container image "{reference}" is not present with pull policy of Never'
            self._events.never_pulled(pod, container.name, message)
            self._events.failed(pod, container.name, "ErrImageNeverPull")
            raise RuntimeFailure("ErrImageNeverPull", message)
        return await self._pull(pod, container)

    async def _pull(self, pod: Pod, container: AnyContainer) -> Image:
        reference = container.image
        self._events.pulling(pod, container.name, reference)
        began = self._clock.monotonic()
        try:
            image_id = await self._images.pull(reference, await self._credentials(pod, reference))
        except RuntimeFailure as failure:
            self._events.pull_failed(pod, container.name, reference, failure.message)
            self._events.failed(pod, container.name, "ErrImagePull")
            raise RuntimeFailure("ErrImagePull", failure.message) from failure
        took = self._clock.monotonic() - began
        image = await self._images.status(image_id)
        if image is None:
            raise RuntimeFailure("ErrImagePull", f'image "{reference}" was removed while it was pulled')
        self._events.pulled(pod, container.name, reference, pull=took, waited=took, size=image.size)
        return image

    async def _credentials(self, pod: Pod, reference: str) -> Credentials | None:
        """Return what the Pod's pull secrets hold for the image's registry; a missing secret is no obstacle."""
        for ref in pod.spec.image_pull_secrets:
            try:
                secret = await self._references.secret(pod.metadata.namespace, ref.name, optional=True)
            except MissingReference:
                continue
            if secret is None:
                continue
            content = secret_content(secret)
            found = credentials_for(reference, content)
            if found is not None:
                return found
        return None


def registry_of(reference: str) -> str:
    """Return the registry that an image reference names, `docker.io` where it names none."""
    first, slash, _ = reference.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def credentials_for(reference: str, content: Mapping[str, bytes]) -> Credentials | None:
    """Return the entry of a docker configuration that fits the image: the longest matching path wins."""
    raw = content.get(".dockerconfigjson") or content.get(".dockercfg")
    if not raw:
        return None
    try:
        tree: Any = msgspec.json.decode(raw)
    except msgspec.DecodeError:
        return None
    entries = tree.get("auths", tree) if isinstance(tree, dict) else {}
    registry = registry_of(reference)
    name = reference if reference.startswith(registry) else f"docker.io/{reference}"
    fitting = []
    for key, entry in entries.items():
        place = key.removeprefix("https://").removeprefix("http://").rstrip("/").removesuffix("/v1").removesuffix("/v2")
        hub = key in _DOCKER_HUB or place in _DOCKER_HUB
        if isinstance(entry, dict) and ((hub and registry == "docker.io") or f"{name}/".startswith(f"{place}/")):
            fitting.append((len(place), entry))
    return _credentials(max(fitting, key=lambda pair: pair[0])[1]) if fitting else None


def _credentials(entry: Mapping[str, Any]) -> Credentials:
    username, password = str(entry.get("username", "")), str(entry.get("password", ""))
    if not username and entry.get("auth"):
        try:
            username, _, password = base64.b64decode(entry["auth"]).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            username = password = ""
    return Credentials(username, password, str(entry.get("identitytoken", "")), str(entry.get("registrytoken", "")))
