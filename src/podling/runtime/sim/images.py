"""The image store of a simulated node: every reference exists, unless a script says otherwise.

Owns pulls, with their latency and failures, and the ids that images would have (a hash of the reference, so that runs
repeat). Simultaneous pulls of one reference are one.
"""

from __future__ import annotations

import asyncio
import hashlib
from typing import TYPE_CHECKING

from podling.runtime.protocol import Credentials, Image, ImageId, RuntimeFailure
from podling.runtime.sim.script import ImageScript

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.runtime.sim.state import SimState


def normalised(reference: str) -> str:
    """Return a reference with its registry and tag spelt out, as a container runtime would."""
    if reference.startswith("sha256:"):
        return reference
    name, at, digest = reference.partition("@")
    first, slash, _ = name.partition("/")
    if not slash:
        name = f"docker.io/library/{name}"
    elif "." not in first and ":" not in first and first != "localhost":
        name = f"docker.io/{name}"
    if at:
        return f"{name}@{digest}"
    return name if ":" in name.rpartition("/")[2] else f"{name}:latest"


class SimImages:
    """Images that take as long as their script says and no space."""

    def __init__(self, state: SimState, clock: Clock, scripts: Mapping[str, ImageScript]) -> None:
        self._state = state
        self._clock = clock
        self._scripts = {normalised(reference): script for reference, script in scripts.items()}
        self._pulling: dict[str, asyncio.Future[None]] = {}
        for reference, script in self._scripts.items():
            if script.present and reference not in state.images:
                state.images[reference] = _image(reference, script)

    def script(self, reference: str) -> ImageScript:
        """Return how the image behaves."""
        return self._scripts.get(normalised(reference), ImageScript())

    def check(self, reference: str) -> None:
        name = normalised(reference)
        if not reference or any(character.isspace() or character.isupper() for character in name.partition(":")[0]):
            raise RuntimeFailure(
                "InvalidImageName", f'couldn\'t parse image name "{reference}": invalid reference format'
            )

    async def pull(self, reference: str, credentials: Credentials | None = None) -> ImageId:  # noqa: ARG002  # the Protocol asks for it
        self.check(reference)
        name = normalised(reference)
        while name in self._pulling:
            await asyncio.wait([self._pulling[name]])
            if name in self._state.images:
                return self._state.images[name].id
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._pulling[name] = done
        try:
            return await self._pull(name, self.script(name))
        finally:
            del self._pulling[name]
            done.set_result(None)

    async def _pull(self, name: str, script: ImageScript) -> ImageId:
        await self._clock.sleep(script.pull_latency)
        asked = self._state.pulls.get(name, 0)
        self._state.pulls[name] = asked + 1
        if script.pull_failures < 0 or asked < script.pull_failures:
            raise RuntimeFailure(script.failure, script.message)
        image = _image(name, script)
        self._state.images[name] = image
        return image.id

    async def load(self, archive: Path) -> Sequence[str]:
        raise RuntimeFailure("Unavailable", f"a simulated node cannot load {archive}: its images have no content")

    async def status(self, reference: str) -> Image | None:
        name = normalised(reference)
        if name in self._state.images:
            return self._state.images[name]
        return next((i for i in self._state.images.values() if reference == i.id or reference in i.digests), None)

    async def list(self) -> Sequence[Image]:
        return [self._state.images[name] for name in sorted(self._state.images)]

    async def remove(self, reference: str) -> None:
        image = await self.status(reference)
        if image is not None:
            for name in [name for name, held in self._state.images.items() if held.id == image.id]:
                del self._state.images[name]

    async def usage(self) -> tuple[int, int]:
        images = self._state.images.values()
        return sum(image.size for image in images), len(images)


def _image(reference: str, script: ImageScript) -> Image:
    digest = hashlib.sha256(reference.encode()).hexdigest()
    name = reference.partition("@")[0]
    repository = name.rpartition(":")[0] if ":" in name.rpartition("/")[2] else name
    return Image(
        ImageId(f"sha256:{digest}"),
        tags=() if "@" in reference else (reference,),
        digests=(f"{repository}@sha256:{digest}",),
        size=script.size,
    )
