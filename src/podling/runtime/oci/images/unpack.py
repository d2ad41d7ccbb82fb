"""One layer's tar onto disk, as an overlay's lower directory.

Owns the meaning of OCI whiteouts and the safety of unpacking. Runs in a thread; knows no store. Invariants: nothing is
ever written outside the target, whatever the names and links in the tar say (the kernel resolves every parent inside
it); the digest of the uncompressed stream is what was promised, or nothing stays.

Refused are names that climb, hard links to outside, truncated streams and whatever passes the bounds. Device nodes are
left out: containers get a `/dev` of their own. Overlay's own attributes are left out, or a layer could forge whiteouts.
"""

from __future__ import annotations

import bz2
import contextlib
import gzip
import hashlib
import lzma
import os
import stat
import sys
import tarfile
import zlib
from typing import IO, TYPE_CHECKING, cast

from podling.linux import syscalls
from podling.runtime.oci.images.limits import ArchiveRefused, Bounds

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_XATTR = "SCHILY.xattr."


class _Counted:
    """The compressed stream, counted."""

    def __init__(self, source: IO[bytes]) -> None:
        self._source = source
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.count += len(data)
        return data


class _Checked:
    """The uncompressed stream: hashed, and refused past the bounds."""

    def __init__(self, source: IO[bytes], compressed: _Counted, bounds: Bounds) -> None:
        self._source = source
        self._compressed = compressed
        self._bounds = bounds
        self.hash = hashlib.sha256()
        self.count = 0

    def read(self, size: int = -1) -> bytes:
        data = self._source.read(size)
        self.hash.update(data)
        self.count += len(data)
        if self.count > self._bounds.layer:
            raise ArchiveRefused(f"layer is larger than {self._bounds.layer} bytes")
        if self.count > self._bounds.ratio_from and self.count > self._bounds.ratio * max(self._compressed.count, 1):
            raise ArchiveRefused(f"layer unpacks to more than {self._bounds.ratio} times its size")
        return data


class _Zstandard:
    """A zstd stream, read with what Python has of its own from 3.14 on. Few images need it: it is imported then."""

    def __init__(self, source: IO[bytes]) -> None:
        if sys.version_info >= (3, 14):
            from compression import zstd
        else:
            from backports import zstd
        self._broken = zstd.ZstdError
        self._file = zstd.ZstdFile(source, "rb")

    def read(self, size: int = -1) -> bytes:
        try:
            return self._file.read(size)
        except self._broken as error:
            raise ArchiveRefused(f"layer is broken: {error}") from error


def decompressed(source: IO[bytes], magic: bytes) -> IO[bytes]:
    """Return the stream uncompressed; `magic` are its first bytes."""
    if magic.startswith(b"\x1f\x8b"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=source, mode="rb"))
    if magic.startswith(b"BZh"):
        return cast("IO[bytes]", bz2.BZ2File(source, "rb"))
    if magic.startswith(b"\xfd7zXZ\0"):
        return cast("IO[bytes]", lzma.LZMAFile(source, "rb"))
    if magic.startswith(b"\x28\xb5\x2f\xfd"):
        return cast("IO[bytes]", _Zstandard(source))
    return source


def unpack(source: IO[bytes], target: Path, diff_id: str, bounds: Bounds | None = None) -> int:
    """Unpack a layer (compressed or not) into the empty directory `target`; return its size in bytes.

    `ArchiveRefused` says what is wrong with it; the caller removes `target`.
    """
    bounds = bounds or Bounds()
    magic = source.read(6)
    source.seek(0)
    counted = _Counted(source)
    checked = _Checked(decompressed(cast("IO[bytes]", counted), magic), counted, bounds)
    root = os.open(target, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            # `r|` reads forward only; with an ordinary archive tarfile would seek, and the digest would be of a part.
            with tarfile.open(fileobj=cast("IO[bytes]", checked), mode="r|", bufsize=1 << 18) as archive:
                _Extraction(root, bounds).take(archive)
            while checked.read(1 << 18):
                pass
        except (tarfile.TarError, EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile) as error:
            raise ArchiveRefused(f"layer is broken: {error}") from error
        if f"sha256:{checked.hash.hexdigest()}" != diff_id:
            raise ArchiveRefused(f"layer's content is sha256:{checked.hash.hexdigest()}, wanted {diff_id}")
    finally:
        os.close(root)
    return checked.count


class _Extraction:
    def __init__(self, root: int, bounds: Bounds) -> None:
        self._root = root
        self._bounds = bounds
        self._times: list[tuple[str, float]] = []

    def take(self, archive: tarfile.TarFile) -> None:
        entries = 0
        while (entry := archive.next()) is not None:
            # tarfile remembers every header; a layer of a million files must not.
            archive.members = []  # type: ignore[attr-defined]
            entries += 1
            if entries > self._bounds.entries:
                raise ArchiveRefused(f"layer has more than {self._bounds.entries} entries")
            self._entry(archive, entry)
        for path, modified in reversed(self._times):
            with contextlib.suppress(OSError), self._directory(path) as directory:
                os.utime(directory, (modified, modified))

    def _parts(self, name: str, what: str) -> list[str]:
        if len(name) > self._bounds.name or "\0" in name:
            raise ArchiveRefused(f"{what} has an impossible name")
        parts = [part for part in name.split("/") if part not in {"", "."}]
        if ".." in parts:
            raise ArchiveRefused(f"{what} {name!r} climbs out of the image")
        return parts

    @contextlib.contextmanager
    def _directory(self, path: str) -> Iterator[int]:
        descriptor = syscalls.open_in_root(self._root, path or ".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def _parent(self, parts: list[str]) -> int:
        """Open the directory above an entry, made where the layer does not name it."""
        path = "/".join(parts[:-1]) or "."
        with contextlib.suppress(FileNotFoundError):
            return syscalls.open_in_root(self._root, path, os.O_RDONLY | os.O_DIRECTORY)
        above = os.dup(self._root)
        for number, part in enumerate(parts[:-1]):
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=above)
            os.close(above)
            above = syscalls.open_in_root(self._root, "/".join(parts[: number + 1]), os.O_RDONLY | os.O_DIRECTORY)
        return above

    def _entry(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        parts = self._parts(entry.name, "entry")
        if not parts:
            os.fchmod(self._root, stat.S_IMODE(entry.mode))
            os.chown(self._root, entry.uid, entry.gid)
            return
        try:
            parent = self._parent(parts)
        except OSError as error:
            raise ArchiveRefused(f"entry {entry.name!r}: {error.strerror}") from error
        try:
            name = parts[-1]
            if name.startswith(_WHITEOUT):
                self._whiteout(parent, name)
            else:
                self._make(archive, entry, parent, name)
        except OSError as error:
            if error.errno == 28:  # ENOSPC is the machine's trouble
                raise
            raise ArchiveRefused(f"entry {entry.name!r}: {error.strerror}") from error
        finally:
            os.close(parent)

    @staticmethod
    def _whiteout(parent: int, name: str) -> None:
        if name == _OPAQUE:
            os.setxattr(parent, "trusted.overlay.opaque", b"y")
            return
        if name.startswith(".wh..wh."):
            return  # aufs's own bookkeeping
        gone = name.removeprefix(_WHITEOUT)
        if gone in {"", ".", ".."}:
            raise ArchiveRefused(f"whiteout {name!r} names nothing")
        with contextlib.suppress(FileExistsError):  # the layer itself puts something there, which hides what is below
            os.mknod(gone, stat.S_IFCHR, os.makedev(0, 0), dir_fd=parent)

    def _make(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        mode = stat.S_IMODE(entry.mode)
        if entry.isdir():
            try:
                os.mkdir(name, 0o700, dir_fd=parent)
            except FileExistsError:
                if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
                    self._clear(parent, name)
                    os.mkdir(name, 0o700, dir_fd=parent)
            self._times.append(("/".join(self._parts(entry.name, "entry")), entry.mtime))
        elif entry.isreg():
            self._file(archive, entry, parent, name)
        elif entry.issym():
            self._clear(parent, name)
            os.symlink(entry.linkname, name, dir_fd=parent)
        elif entry.islnk():
            self._hard_link(entry, parent, name)
            return
        elif entry.isfifo():
            self._clear(parent, name)
            os.mkfifo(name, 0o600, dir_fd=parent)
        else:
            return
        os.chown(name, entry.uid, entry.gid, dir_fd=parent, follow_symlinks=False)
        if not entry.issym():
            os.chmod(name, mode, dir_fd=parent)  # after chown, which drops set-user-id
            self._attributes(entry, parent, name)
        if not entry.isdir():
            with contextlib.suppress(OverflowError):
                os.utime(name, (entry.mtime, entry.mtime), dir_fd=parent, follow_symlinks=False)

    @staticmethod
    def _clear(parent: int, name: str) -> None:
        """Take away what an earlier entry of this layer put there; a directory with content stays and is an error."""
        try:
            os.unlink(name, dir_fd=parent)
        except FileNotFoundError:
            pass
        except IsADirectoryError:
            os.rmdir(name, dir_fd=parent)

    def _file(self, archive: tarfile.TarFile, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        self._clear(parent, name)
        source = archive.extractfile(entry)
        descriptor = os.open(
            name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent
        )
        try:
            left = entry.size
            while source is not None and left:
                data = source.read(min(left, 1 << 20))
                if not data:
                    raise ArchiveRefused(f"entry {entry.name!r} is cut short")
                left -= len(data)
                view = memoryview(data)
                while view:
                    view = view[os.write(descriptor, view) :]
        finally:
            os.close(descriptor)

    def _hard_link(self, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        parts = self._parts(entry.linkname, "hard link to")
        if not parts:
            raise ArchiveRefused(f"hard link {entry.name!r} leads nowhere")
        source = self._parent(parts)
        try:
            if stat.S_ISDIR(os.stat(parts[-1], dir_fd=source, follow_symlinks=False).st_mode):
                raise ArchiveRefused(f"hard link {entry.name!r} leads to a directory")
            self._clear(parent, name)
            os.link(parts[-1], name, src_dir_fd=source, dst_dir_fd=parent, follow_symlinks=False)
        finally:
            os.close(source)

    def _attributes(self, entry: tarfile.TarInfo, parent: int, name: str) -> None:
        wanted = [(key.removeprefix(_XATTR), value) for key, value in entry.pax_headers.items() if _XATTR in key]
        if not wanted:
            return
        descriptor = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=parent)
        try:
            for key, value in wanted:
                if key.startswith("user.") or key == "security.capability":
                    os.setxattr(descriptor, key, value.encode("utf-8", "surrogateescape"))
        finally:
            os.close(descriptor)
