"""Image archives: what `docker save` writes, and OCI image layouts in a tar.

Owns finding manifests, configurations and layers inside a file that nobody has vouched for. Nothing is extracted: parts
are read in place, by offset. Invariants: only regular members are read (links are followed inside the archive alone, a
bounded number of times); everything named by a digest has that digest, or the archive is refused.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import lzma
import platform
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, Any, cast

import msgspec
from msgspec import Struct

from podling.runtime.oci.images.limits import ArchiveRefused, Bounds
from podling.runtime.oci.images.unpack import decompressed

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "arm", "ppc64le": "ppc64le", "s390x": "s390x"}


def architecture() -> str:
    """Return this machine's architecture in Go's words, which images use."""
    machine = platform.machine()
    return _ARCHITECTURES.get(machine, machine)


class Slice(io.RawIOBase):
    """A part of a file, as a file."""

    def __init__(self, file: IO[bytes], offset: int, size: int) -> None:
        super().__init__()
        self._file = file
        self._offset = offset
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        wanted = self._size - self._at if size is None or size < 0 else min(size, self._size - self._at)
        if wanted <= 0:
            return b""
        self._file.seek(self._offset + self._at)
        data = self._file.read(wanted)
        self._at += len(data)
        if len(data) < wanted:
            raise ArchiveRefused("archive is cut short")
        return data

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = max(0, offset if whence == 0 else self._at + offset if whence == 1 else self._size + offset)
        return self._at

    def tell(self) -> int:
        return self._at


class ArchivedImage(Struct, frozen=True):
    """One image of an archive: its configuration's bytes, its layers in order from the lowest, its names."""

    config: bytes
    layers: Sequence[Slice]
    references: Sequence[str]
    manifest_digest: str = ""


class Archive:
    """A tar of images, open for reading."""

    def __init__(self, file: IO[bytes], bounds: Bounds | None = None) -> None:
        self._file = file
        self._bounds = bounds or Bounds()
        self._members: dict[str, tarfile.TarInfo] = {}
        try:
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for entry in archive:
                    if len(self._members) > 10 * self._bounds.layers:
                        raise ArchiveRefused("archive has too many members")
                    parts = [part for part in entry.name.split("/") if part not in {"", "."}]
                    if ".." in parts or entry.name.startswith("/"):
                        raise ArchiveRefused(f"archive member {entry.name!r} climbs out of the archive")
                    self._members["/".join(parts)] = entry
        except tarfile.TarError as error:
            raise ArchiveRefused(f"archive is broken: {error}") from error

    def _open(self, name: str) -> Slice:
        name = "/".join(part for part in name.split("/") if part not in {"", "."})
        for _ in range(8):
            entry = self._members.get(name)
            if entry is None:
                raise ArchiveRefused(f"archive lacks {name!r}")
            if entry.isreg():
                return Slice(self._file, entry.offset_data, entry.size)
            if not (entry.issym() or entry.islnk()):
                break
            # Older docker saves write a layer used twice as a link beside it: `../ID/layer.tar`.
            parts = name.split("/")[:-1] if entry.issym() else []
            for part in entry.linkname.split("/"):
                if part == "..":
                    if not parts:
                        raise ArchiveRefused(f"archive member {name!r} links out of the archive")
                    parts.pop()
                elif part not in {"", "."}:
                    parts.append(part)
            if entry.linkname.startswith("/"):
                raise ArchiveRefused(f"archive member {name!r} links out of the archive")
            name = "/".join(parts)
        raise ArchiveRefused(f"archive member {name!r} is no file")

    def _small(self, name: str) -> bytes:
        part = self._open(name)
        size = part.seek(0, 2)
        if size > self._bounds.metadata:
            raise ArchiveRefused(f"archive member {name!r} is larger than {self._bounds.metadata} bytes")
        part.seek(0)
        return part.read()

    def _json(self, data: bytes, name: str) -> Any:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ArchiveRefused(f"archive member {name!r} is no JSON: {error}") from error

    def images(self) -> Sequence[ArchivedImage]:
        """Return the images inside; `ArchiveRefused` where the file is not what it says."""
        try:
            if "manifest.json" in self._members:
                found = [self._docker(item) for item in self._json(self._small("manifest.json"), "manifest.json")]
            elif "index.json" in self._members:
                found = list(self._layout())
            else:
                raise ArchiveRefused("archive holds neither manifest.json (docker) nor index.json (OCI)")
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ArchiveRefused(f"archive's manifest lacks what it must have: {error!r}") from error
        if not found:
            raise ArchiveRefused("archive holds no image")
        return found

    def _docker(self, item: dict[str, Any]) -> ArchivedImage:
        name = str(item["Config"])
        config = self._small(name)
        stem = name.rpartition("/")[2].removesuffix(".json")
        digest = hashlib.sha256(config).hexdigest()
        if len(stem) == 64 and stem != digest:
            raise ArchiveRefused(f"configuration {name!r} has digest {digest}")
        layers = [self._open(str(layer)) for layer in item["Layers"] or []]
        return ArchivedImage(config, layers, [str(tag) for tag in item.get("RepoTags") or []])

    def _blob(self, digest: str) -> Slice:
        algorithm, _, value = digest.partition(":")
        if algorithm != "sha256" or len(value) != 64 or not value.isalnum():
            raise ArchiveRefused(f"digest {digest!r} is not of the form sha256:…")
        return self._open(f"blobs/sha256/{value}")

    def _checked(self, digest: str) -> bytes:
        part = self._blob(digest)
        if part.seek(0, 2) > self._bounds.metadata:
            raise ArchiveRefused(f"blob {digest} is too large for what it is")
        part.seek(0)
        data = part.read()
        if f"sha256:{hashlib.sha256(data).hexdigest()}" != digest:
            raise ArchiveRefused(f"blob {digest} has another digest")
        return data

    def _layout(self) -> Iterator[ArchivedImage]:
        index = self._json(self._small("index.json"), "index.json")
        for descriptor in index["manifests"]:
            notes = descriptor.get("annotations") or {}
            name = notes.get("io.containerd.image.name") or notes.get("org.opencontainers.image.ref.name") or ""
            digest = str(descriptor["digest"])
            manifest = self._json(self._checked(digest), digest)
            for _ in range(4):
                if "manifests" not in manifest:
                    break
                digest = choose(manifest["manifests"])
                manifest = self._json(self._checked(digest), digest)
            config = self._checked(str(manifest["config"]["digest"]))
            layers = []
            for layer in manifest["layers"]:
                part = self._blob(str(layer["digest"]))
                _verify(part, str(layer["digest"]))
                layers.append(part)
            yield ArchivedImage(config, layers, [str(name)] if name else [], digest)


def choose(manifests: Sequence[dict[str, Any]]) -> str:
    """Return the digest that an index gives for this machine; `ArchiveRefused` where it has none."""
    wanted = architecture()
    for descriptor in manifests:
        where = descriptor.get("platform") or {}
        if where.get("os", "linux") == "linux" and where.get("architecture", wanted) == wanted:
            return str(descriptor["digest"])
    raise ArchiveRefused(f"no match for platform in manifest: not found (linux/{wanted})")


def _verify(part: Slice, digest: str) -> None:
    checksum = hashlib.sha256()
    while data := part.read(1 << 20):
        checksum.update(data)
    part.seek(0)
    if f"sha256:{checksum.hexdigest()}" != digest:
        raise ArchiveRefused(f"layer {digest} has another digest")


@contextlib.contextmanager
def opened(path: Path, scratch: Path, bounds: Bounds | None = None) -> Iterator[Archive]:
    """Open an archive, compressed or not; a compressed one is first written out to `scratch`."""
    bounds = bounds or Bounds()
    with path.open("rb") as file:
        magic = file.read(6)
        file.seek(0)
        stream = decompressed(file, magic)
        if stream is file:
            yield Archive(file, bounds)
            return
        size = path.stat().st_size
        with scratch.open("w+b") as plain:
            scratch.unlink()
            written = 0
            try:
                while data := stream.read(1 << 20):
                    written += len(data)
                    if written > bounds.layer or (written > bounds.ratio_from and written > bounds.ratio * size):
                        raise ArchiveRefused(f"archive unpacks to more than {bounds.ratio} times its size")
                    plain.write(data)
            except (OSError, EOFError, zlib.error, lzma.LZMAError) as error:
                if getattr(error, "errno", None) is not None:
                    raise
                raise ArchiveRefused(f"archive is broken: {error}") from error
            plain.seek(0)
            yield Archive(cast("IO[bytes]", plain), bounds)
