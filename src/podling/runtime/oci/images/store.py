"""The image store of a node: configurations, layers once each by digest, and names that point at them.

Owns `<images>/{index.json,configs,layers,tmp}`. Layers are directories ready to be an overlay's lower ones. Invariants:
a layer is renamed into place whole, after it is on disk; the index is replaced atomically and names only what is there;
a layer goes when the last image that has it goes; simultaneous pulls of one reference with one's credentials are one
(with another's they are not: who may not pull must not get the image by asking at the same time).
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeAlias, cast

import msgspec

from podling.linux import files, syscalls, trees
from podling.runtime.oci.images import reference as names
from podling.runtime.oci.images.archive import opened
from podling.runtime.oci.images.limits import ArchiveRefused, Bounds
from podling.runtime.oci.images.unpack import unpack
from podling.runtime.protocol import Image, ImageId, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podling.aio.chance import Chance
    from podling.runtime.oci.images.pull import Puller
    from podling.runtime.protocol import Credentials

_VERSION = 1
# The Protocol's `list` hides the builtin inside the class.
List = list
_Taken: TypeAlias = "tuple[bytes, list[tuple[str, int]], Sequence[str], str]"


class _Entry(msgspec.Struct):
    layers: list[str]
    size: int
    tags: list[str] = []
    digests: list[str] = []


class _Index(msgspec.Struct):
    version: int = _VERSION
    images: dict[str, _Entry] = {}
    sizes: dict[str, int] = {}
    """Of layers, unpacked."""


class OciImages:
    """Images on disk below `directory`."""

    def __init__(self, directory: Path, chance: Chance, *, puller: Puller, bounds: Bounds | None = None) -> None:
        self._directory = directory
        self._chance = chance
        self._puller = puller
        self._bounds = bounds or Bounds()
        self._index = _Index()
        self._configs: dict[str, dict[str, Any]] = {}
        self._lock = asyncio.Lock()
        self._pulls: dict[tuple[str, Credentials | None], asyncio.Task[ImageId]] = {}
        self.in_use: Callable[[], set[str]] = set
        """Ids of images that containers stand on: told by the runtime, never removed by digest of a layer."""

    def open(self) -> None:
        """Read the index; half-unpacked layers of an earlier life go."""
        for name in ("configs", "layers"):
            (self._directory / name).mkdir(parents=True, exist_ok=True)
        trees.remove_tree(self._directory / "tmp")
        (self._directory / "tmp").mkdir()
        path = self._directory / "index.json"
        if path.exists():
            self._index = msgspec.json.decode(path.read_bytes(), type=_Index)

    def _scratch(self) -> Path:
        return self._directory / "tmp" / self._chance.hex(16)

    def _save(self) -> None:
        files.replace(self._directory / "index.json", msgspec.json.encode(self._index), durable=True)

    # -- what a container needs ------------------------------------------------------------------------------------

    def config(self, image: str) -> dict[str, Any]:
        """Return an image's configuration as published; `RuntimeFailure` where there is no such image."""
        if image not in self._index.images:
            raise RuntimeFailure("ImageNotFound", f'image "{image}" not found')
        if image not in self._configs:
            path = self._directory / "configs" / f"{image.removeprefix('sha256:')}.json"
            self._configs[image] = cast("dict[str, Any]", msgspec.json.decode(path.read_bytes()))
        return self._configs[image]

    def layers(self, image: str) -> Sequence[str]:
        """Return the layer directories of an image, by id or name: topmost first, as an overlay wants them."""
        entry = self._index.images.get(self._find(image) or image)
        if entry is None:
            raise RuntimeFailure("ImageNotFound", f'image "{image}" not found')
        found = [str(self._directory / "layers" / layer) for layer in reversed(dict.fromkeys(entry.layers))]
        if not found:
            empty = self._directory / "layers" / "empty"
            empty.mkdir(exist_ok=True)
            found = [str(empty)]
        return found

    # -- the Protocol ----------------------------------------------------------------------------------------------

    def _find(self, text: str) -> str | None:
        wanted = names.image_id(text)
        if wanted is not None and wanted in self._index.images:
            return wanted
        try:
            full = names.parse(text)
        except names.InvalidReference:
            return None
        wanted = f"{full.repository}@{full.digest}" if full.digest else str(full)
        for image, entry in self._index.images.items():
            if wanted in entry.tags or wanted in entry.digests:
                return image
        return None

    def _image(self, image: str) -> Image:
        entry = self._index.images[image]
        settings = self.config(image).get("config") or {}
        return Image(
            id=ImageId(image),
            tags=tuple(entry.tags),
            digests=tuple(entry.digests),
            size=entry.size,
            user=settings.get("User") or "",
            command=tuple(settings.get("Cmd") or ()),
            entrypoint=tuple(settings.get("Entrypoint") or ()),
            environment=tuple(settings.get("Env") or ()),
            working_directory=settings.get("WorkingDir") or "",
            stop_signal=settings.get("StopSignal") or "",
            volumes=tuple(settings.get("Volumes") or ()),
        )

    async def status(self, reference: str) -> Image | None:
        found = self._find(reference)
        return self._image(found) if found else None

    async def list(self) -> Sequence[Image]:
        return [self._image(image) for image in self._index.images]

    async def usage(self) -> tuple[int, int]:
        def measure() -> tuple[int, int]:
            size = inodes = 0
            for current, _, files_here in os.walk(self._directory / "layers"):
                inodes += 1 + len(files_here)
                for name in files_here:
                    with contextlib.suppress(FileNotFoundError):
                        size += os.lstat(Path(current) / name).st_blocks * 512
            return size, inodes

        return await asyncio.to_thread(measure)

    async def load(self, archive: Path) -> Sequence[str]:
        scratch = self._scratch()

        def read() -> List[_Taken]:
            taken: List[_Taken] = []
            with opened(archive, scratch, self._bounds) as content:
                for image in content.images():
                    diff_ids = self._diff_ids(image.config)
                    if len(diff_ids) != len(image.layers):
                        raise ArchiveRefused(
                            f"image has {len(image.layers)} layers and its configuration names {len(diff_ids)}"
                        )
                    references = [str(names.parse(reference)) for reference in image.references]
                    sizes = [
                        (diff_id, self._unpack(diff_id, cast("IO[bytes]", layer)))
                        for diff_id, layer in zip(diff_ids, image.layers, strict=True)
                    ]
                    taken.append((image.config, sizes, references, image.manifest_digest))
            return taken

        try:
            async with self._lock:
                taken = await asyncio.to_thread(read)
                loaded: List[str] = []
                for config, layers, references, _ in taken:
                    image = self._add(config, layers, references, [])
                    loaded += references or [image]
                await asyncio.to_thread(self._save)
        except FileNotFoundError as error:
            raise RuntimeFailure("ImageNotFound", f"archive {archive}: no such file") from error
        except (ArchiveRefused, names.InvalidReference) as error:
            raise RuntimeFailure("ErrImagePull", f"archive {archive}: {error}") from error
        return loaded

    def _diff_ids(self, config: bytes) -> List[str]:
        try:
            described = msgspec.json.decode(config)
            diff_ids = [str(item) for item in described["rootfs"]["diff_ids"] or []]
        except (msgspec.DecodeError, KeyError, TypeError) as error:
            raise ArchiveRefused(f"image configuration is broken: {error!r}") from error
        if len(diff_ids) > self._bounds.layers:
            raise ArchiveRefused(f"image has more than {self._bounds.layers} layers")
        for diff_id in diff_ids:
            if names.image_id(diff_id) != diff_id:
                raise ArchiveRefused(f"layer digest {diff_id!r} is not of the form sha256:…")
        return diff_ids

    def _unpack(self, diff_id: str, source: IO[bytes]) -> int:
        """Unpack a layer unless it is there; in a thread. Return its size."""
        final = self._directory / "layers" / diff_id.removeprefix("sha256:")
        if final.is_dir():
            return self._index.sizes.get(final.name, 0)
        scratch = self._scratch()
        scratch.mkdir(mode=0o755)
        scratch.chmod(0o755)
        try:
            size = unpack(source, scratch, diff_id, self._bounds)
            syscalls.sync_file_system(scratch)
            with contextlib.suppress(FileExistsError):
                scratch.rename(final)
        except BaseException:
            trees.remove_tree(scratch)
            raise
        trees.remove_tree(scratch)
        return size

    def _add(
        self, config: bytes, layers: Sequence[tuple[str, int]], tags: Sequence[str], digests: Sequence[str]
    ) -> ImageId:
        image = f"sha256:{hashlib.sha256(config).hexdigest()}"
        files.replace(self._directory / "configs" / f"{image.removeprefix('sha256:')}.json", config, durable=True)
        self._configs.pop(image, None)
        self._index.sizes.update({diff_id.removeprefix("sha256:"): size for diff_id, size in layers})
        for other in self._index.images.values():
            other.tags = [tag for tag in other.tags if tag not in tags]
        entry = self._index.images.get(image)
        if entry is None:
            entry = self._index.images[image] = _Entry(
                [diff_id.removeprefix("sha256:") for diff_id, _ in layers], sum(size for _, size in layers)
            )
        entry.tags += [tag for tag in tags if tag not in entry.tags]
        entry.digests += [digest for digest in digests if digest not in entry.digests]
        return ImageId(image)

    async def remove(self, reference: str) -> None:
        async with self._lock:
            image = self._find(reference)
            if image is None:
                return
            entry = self._index.images[image]
            by_id = names.image_id(reference) is not None
            if not by_id:
                full = names.parse(reference)
                gone = {str(full), f"{full.repository}@{full.digest}"}
                entry.tags = [tag for tag in entry.tags if tag not in gone]
                entry.digests = [digest for digest in entry.digests if digest not in gone]
            if by_id or not (entry.tags or entry.digests):
                del self._index.images[image]
                self._configs.pop(image, None)
            await asyncio.to_thread(self._save)
            await asyncio.to_thread(self._sweep)

    def _sweep(self) -> None:
        """Remove the configurations and layers that no image has any more."""
        kept = {layer for entry in self._index.images.values() for layer in entry.layers} | {"empty"}
        kept |= self.in_use()
        self._index.sizes = {layer: size for layer, size in self._index.sizes.items() if layer in kept}
        for directory in (self._directory / "layers").iterdir():
            if directory.name not in kept:
                doomed = self._scratch()
                directory.rename(doomed)
                trees.remove_tree(doomed)
        for path in (self._directory / "configs").iterdir():
            if f"sha256:{path.stem}" not in self._index.images:
                path.unlink()

    def check(self, reference: str) -> None:
        try:
            names.parse(reference)
        except names.InvalidReference as error:
            if names.image_id(reference) is None:
                raise RuntimeFailure("InvalidImageName", str(error)) from error

    async def pull(self, reference: str, credentials: Credentials | None = None) -> ImageId:
        try:
            full = names.parse(reference)
        except names.InvalidReference as error:
            raise RuntimeFailure("InvalidImageName", str(error)) from error
        key = (str(full), credentials)
        task = self._pulls.get(key)
        if task is None:
            task = asyncio.create_task(self._pull(full, credentials), name=f"pull {full}")
            self._pulls[key] = task
            task.add_done_callback(lambda done: self._pulled(key, done))
        # A waiter that gives up must not stop the pull for the others.
        return await asyncio.shield(task)

    def _pulled(self, key: tuple[str, Credentials | None], task: asyncio.Task[ImageId]) -> None:
        self._pulls.pop(key, None)
        if not task.cancelled():
            task.exception()  # every waiter has it; without waiters it is nobody's news

    async def _pull(self, full: names.Reference, credentials: Credentials | None) -> ImageId:
        scratch = self._scratch()
        scratch.mkdir()
        try:
            pulled = await self._puller.pull(full, credentials, scratch, have=self._has_layer, known=self._known)

            def take() -> List[tuple[str, int]]:
                layers: List[tuple[str, int]] = []
                for diff_id, blob in zip(self._diff_ids(pulled.config), pulled.layers, strict=True):
                    if blob is not None:
                        with blob.open("rb") as source:
                            layers.append((diff_id, self._unpack(diff_id, source)))
                    elif self._has_layer(diff_id):
                        layers.append((diff_id, self._index.sizes.get(diff_id.removeprefix("sha256:"), 0)))
                    else:
                        raise ArchiveRefused(f"layer {diff_id} was removed while the image was pulled")
                return layers

            async with self._lock:
                layers = await asyncio.to_thread(take)
                tags = [] if full.digest else [str(full)]
                image = self._add(pulled.config, layers, tags, [f"{full.repository}@{pulled.digest}"])
                await asyncio.to_thread(self._save)
            return image
        except ArchiveRefused as error:
            raise RuntimeFailure("ErrImagePull", f'failed to pull and unpack image "{full}": {error}') from error
        except OSError as error:  # no space, above all
            why = f"write {error.filename or scratch}: {(error.strerror or str(error)).lower()}"
            raise RuntimeFailure("ErrImagePull", f'failed to pull and unpack image "{full}": {why}') from error
        finally:
            await asyncio.to_thread(trees.remove_tree, scratch)

    def _has_layer(self, diff_id: str) -> bool:
        return (self._directory / "layers" / diff_id.removeprefix("sha256:")).is_dir()

    def _known(self, digest: str) -> bytes | None:
        """Return the configuration of an image that was pulled by this digest and is here whole."""
        for image, entry in self._index.images.items():
            if any(name.endswith(f"@{digest}") for name in entry.digests) and all(map(self._has_layer, entry.layers)):
                return (self._directory / "configs" / f"{image.removeprefix('sha256:')}.json").read_bytes()
        return None

    async def close(self) -> None:
        """Stop pulls under way."""
        tasks = list(self._pulls.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
