"""Lays projected files out atomically, as upstream's AtomicWriter does.

    volume/
      ..2026_11_23_15_00_00.123456789/key     the files of one revision
      ..data -> ..2026_11_23_15_00_00.123456789
      key -> ..data/key

Owns this layout. Invariants: `..data` is exchanged by one rename, so that a reader sees one whole revision; files that
left the projection lose their link after the exchange; no path leaves the volume.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Mapping

_DATA = "..data"


class ProjectedFile(Struct, frozen=True):
    """A file to be: its content, mode, and owner where it has one of its own."""

    content: bytes
    mode: int
    user: int | None = None


def write_projection(volume: Path, files: Mapping[str, ProjectedFile], revision: str, group: int | None = None) -> bool:
    """Make `volume` show exactly `files`; return whether anything changed. `revision` names the new folder."""
    for path in files:
        _check(path)
    if group is not None:
        # As upstream does for volumes that are read only: an fsGroup can read whatever the mode says.
        files = {path: replace(file, mode=file.mode | 0o440) for path, file in files.items()}
    volume.mkdir(parents=True, exist_ok=True)
    current = volume / _DATA
    if current.is_symlink() and _shows(current, files):
        return False
    fresh = volume / f"..{revision}"
    if current.is_symlink() and current.readlink().name == fresh.name:
        # The clock stands still or was set back: what is shown must not be written into.
        fresh = volume / f"..{revision}_"
    if fresh.exists():
        shutil.rmtree(fresh)
    fresh.mkdir(mode=0o755)
    for path, file in files.items():
        _write(fresh / path, file, group)
    old = current.readlink().name if current.is_symlink() else ""
    beside = volume / "..data_tmp"
    beside.unlink(missing_ok=True)
    beside.symlink_to(fresh.name)
    beside.rename(current)
    _link(volume, files)
    if old and old != fresh.name:
        shutil.rmtree(volume / old, ignore_errors=True)
    return True


def _check(path: str) -> None:
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or parts[0].startswith(".."):
        raise ValueError(f"invalid path: {path!r} must stay inside the volume")


def _shows(current: Path, files: Mapping[str, ProjectedFile]) -> bool:
    folder = current.resolve()
    present = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    if present != set(files):
        return False
    return all(
        (current / path).read_bytes() == file.content and (current / path).stat().st_mode & 0o7777 == file.mode
        for path, file in files.items()
    )


def _write(path: Path, file: ProjectedFile, group: int | None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.content)
    path.chmod(file.mode)
    if file.user is not None or group is not None:
        os.chown(path, -1 if file.user is None else file.user, -1 if group is None else group)


def _link(volume: Path, files: Mapping[str, ProjectedFile]) -> None:
    tops = sorted({PurePosixPath(path).parts[0] for path in files})
    for top in tops:
        link = volume / top
        if not link.is_symlink():
            link.symlink_to(f"{_DATA}/{top}")
    for entry in volume.iterdir():
        if entry.is_symlink() and not entry.name.startswith("..") and entry.name not in tops:
            entry.unlink()
