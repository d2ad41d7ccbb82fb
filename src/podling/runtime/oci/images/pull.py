"""Images from a registry: which manifest a name stands for, and the blobs that it lists.

Owns the order of a pull. Writes blobs into a scratch directory and hands them on; the store unpacks them. Invariants:
every byte is checked against the digest that named it while it arrives; what the node has is not fetched; a connection
that breaks is taken up where it broke, one that only pretends to go on is given up.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

from msgspec import Struct, field

from podling.runtime.oci.images.archive import choose
from podling.runtime.oci.images.limits import ArchiveRefused, Bounds
from podling.runtime.oci.images.registry import Interrupted, PullRefused, Repository, Unreachable, in_words
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.runtime.oci.images.reference import Reference
    from podling.runtime.protocol import Credentials

_MANIFESTS: Final = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT: Final = ", ".join(_MANIFESTS)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_TRIES: Final = 4
_PROGRESS: Final = 64 << 10
"""Bytes within the time of a silence without which a connection counts as dead, and a try as wasted."""


class Pulled(Struct, frozen=True):
    """An image as it arrived: its layers in order from the lowest, `None` for one that was there."""

    digest: str
    config: bytes
    layers: Sequence[Path | None]


class Puller(Struct, frozen=True):
    """Fetches images. `insecure` names hosts (with port) that are spoken to over plain HTTP, beside the loopback.

    `silence` is how many seconds a registry may take for the head of an answer, or between two pieces of a body.
    """

    clock: Clock
    insecure: Sequence[str] = ()
    bounds: Bounds = field(default_factory=Bounds)
    parallel: int = 3
    silence: float = 60.0

    async def pull(
        self,
        reference: Reference,
        credentials: Credentials | None,
        scratch: Path,
        have: Callable[[str], bool],
        known: Callable[[str], bytes | None],
    ) -> Pulled:
        """Fetch an image's manifest, configuration and those layers that the node does not `have`.

        `known` gives the configuration of an image that is on the node whole, by the digest it was pulled by: then only
        the name is resolved. `RuntimeFailure` is ErrImagePull in containerd's words.
        """
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=min(30.0, self.silence), sock_read=self.silence)
        try:
            async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False) as session:
                repository = Repository(
                    session, reference, credentials, self.clock, insecure=self.insecure, silence=self.silence
                )
                return await _Pull(self, repository, reference).run(scratch, have, known)
        except PullRefused as refusal:
            raise RuntimeFailure(
                "ErrImagePull", f'failed to pull and unpack image "{reference}": {refusal}'
            ) from refusal


class _Pull:
    def __init__(self, puller: Puller, repository: Repository, reference: Reference) -> None:
        self._puller = puller
        self._bounds = puller.bounds
        self._repository = repository
        self._reference = reference

    async def run(self, scratch: Path, have: Callable[[str], bool], known: Callable[[str], bytes | None]) -> Pulled:
        try:
            digest = await self._resolve()
            config = known(digest) if digest else None
            if config is not None:
                return Pulled(digest, config, [None] * len(_diff_ids(config, digest)))
            manifest, top = await self._manifest(digest or self._reference.digest or self._reference.tag)
        except PullRefused as refusal:
            raise PullRefused(f'failed to resolve reference "{self._reference}": {refusal}') from refusal
        digest = top
        for _ in range(3):
            if "manifests" not in manifest:
                break
            try:
                chosen = choose(manifest["manifests"])
            except (KeyError, TypeError, AttributeError) as error:
                raise ArchiveRefused(f"index {digest} lacks what it must have: {error!r}") from error
            manifest, digest = await self._manifest(chosen)
        return await self._contents(manifest, digest, top, scratch, have)

    async def _contents(
        self, manifest: dict[str, Any], digest: str, top: str, scratch: Path, have: Callable[[str], bool]
    ) -> Pulled:
        try:
            descriptor = manifest["config"]
            config_digest, config_size = str(descriptor["digest"]), int(descriptor["size"])
            layers = [(str(layer["digest"]), int(layer["size"])) for layer in manifest["layers"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveRefused(f"manifest {digest} lacks what it must have: {error!r}") from error
        if config_size > self._bounds.metadata or len(layers) > self._bounds.layers:
            raise ArchiveRefused(f"manifest {digest} asks for more than an image may have")
        config_path = scratch / "config"
        await self._blob("config", config_digest, config_size, config_path)
        config = config_path.read_bytes()
        diff_ids = _diff_ids(config, config_digest)
        if len(diff_ids) != len(layers):
            raise ArchiveRefused(f"image has {len(layers)} layers and its configuration names {len(diff_ids)}")
        gate = asyncio.Semaphore(self._puller.parallel)

        async def fetch(number: int) -> Path | None:
            if have(diff_ids[number]):
                return None
            path = scratch / f"layer-{number}"
            async with gate:
                await self._blob("layer", *layers[number], path)
            return path

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(fetch(number)) for number in range(len(layers))]
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        return Pulled(top, config, [task.result() for task in tasks])

    async def _resolve(self) -> str:
        """Return the digest that the name stands for now; nothing where the registry says it only with the content."""
        name = self._reference.digest or self._reference.tag
        async with self._repository.ask(
            "HEAD", f"manifests/{name}", {"Accept": _ACCEPT}, (200, 400, 404, 405, 501)
        ) as response:
            if response.status == 404:
                raise PullRefused(f"{self._reference}: not found")
            digest = response.headers.get("Docker-Content-Digest", "") if response.status == 200 else ""
        if not _DIGEST.fullmatch(digest):
            return ""
        if self._reference.digest and digest != self._reference.digest:
            raise PullRefused(f"{self._reference}: registry has {digest} under this name")
        return digest

    async def _manifest(self, name: str) -> tuple[dict[str, Any], str]:
        limit = self._bounds.metadata
        async with self._repository.ask("GET", f"manifests/{name}", {"Accept": _ACCEPT}, (200, 404)) as response:
            if response.status == 404:
                raise PullRefused(f"{self._reference}: not found")
            data = await self._repository.small(response, limit)
        if len(data) > limit:
            raise ArchiveRefused(f"manifest {name} is larger than {limit} bytes")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if ":" in name and name != digest:
            raise ArchiveRefused(
                f'failed commit on ref "manifest-{name}": unexpected commit digest {digest}, expected {name}: '
                "failed precondition"
            )
        try:
            manifest = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise ArchiveRefused(f"manifest {name} is no JSON: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("schemaVersion") != 2:
            version = manifest.get("schemaVersion") if isinstance(manifest, dict) else None
            raise ArchiveRefused(f"manifest {name} is of schema version {version}, which is not supported")
        return manifest, digest

    async def _blob(self, kind: str, digest: str, size: int, path: Path) -> None:
        """Fetch a blob, going on where a broken connection left it."""
        import aiohttp

        if not _DIGEST.fullmatch(digest) or not 0 <= size <= self._bounds.layer:
            raise ArchiveRefused(f"blob {digest!r} of {size} bytes cannot be")
        checksum = hashlib.sha256()
        wasted = 0
        with path.open("wb") as file:
            while True:
                before = file.tell()
                try:
                    await self._blob_from(digest, size, before, file.write, checksum)
                    break
                except (Interrupted, Unreachable, aiohttp.ClientError, TimeoutError) as error:
                    wasted = 0 if file.tell() - before >= _PROGRESS else wasted + 1
                    if wasted == _TRIES:
                        why = str(error) if isinstance(error, Interrupted | Unreachable) else in_words(error)
                        raise PullRefused(f'failed to copy: blob "{digest}": {why}') from error
                    await self._puller.clock.sleep(0.2 * 2**wasted)
        if f"sha256:{checksum.hexdigest()}" != digest:
            raise ArchiveRefused(
                f'failed commit on ref "{kind}-{digest}": unexpected commit digest sha256:{checksum.hexdigest()}, '
                f"expected {digest}: failed precondition"
            )

    async def _blob_from(
        self, digest: str, size: int, offset: int, write: Callable[[bytes], int], checksum: Any
    ) -> None:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset == size:
            return
        clock = self._puller.clock
        async with self._repository.ask("GET", f"blobs/{digest}", headers, (200, 206, 404, 416)) as response:
            if response.status == 404:
                raise PullRefused(
                    f"failed to copy: httpReadSeeker: failed open: content at {response.url} not found: not found"
                )
            if response.status == 416:
                raise Interrupted(f"ended after {offset} of {size} bytes, and cannot be continued")
            skip = offset if response.status == 200 else 0
            arrived = offset - skip
            since, mark = clock.monotonic(), arrived
            async for data in response.content.iter_chunked(1 << 18):
                arrived += len(data)
                if arrived > size:
                    raise ArchiveRefused(f"blob {digest} is larger than the {size} bytes that were announced")
                if clock.monotonic() - since > self._puller.silence:
                    if arrived - mark < _PROGRESS:
                        raise Interrupted(f"{arrived - mark} bytes in {self._puller.silence:g} s: too slow to wait for")
                    since, mark = clock.monotonic(), arrived
                fresh = data[min(skip, len(data)) :]
                skip -= len(data) - len(fresh)
                if fresh:
                    checksum.update(fresh)
                    await asyncio.to_thread(write, fresh)
            if arrived < size:
                raise Interrupted(f"unexpected EOF after {arrived} of {size} bytes")


def _diff_ids(config: bytes, digest: str) -> Sequence[str]:
    try:
        return [str(item) for item in json.loads(config)["rootfs"]["diff_ids"] or []]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArchiveRefused(f"image configuration {digest} is broken: {error!r}") from error
