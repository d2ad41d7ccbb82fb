"""The folders of `podling.dev/local-path` on a node: `FOLDER/NAME`, one for each volume.

Owns their making and their removal. Invariants: a name is one component and leads nowhere else; removal follows no
link, whatever a container has left in a volume or put in its place, and crosses no mount; what lies beside the folder
is never touched.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from podling.aio.clock import Clock

_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9.]*[a-z0-9])?")
_MODE: Final = 0o777
"""Whatever user a container runs as may write to its volume."""


class DiskFolders:
    """Folders on this machine, below `folder`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder
        self._clock = clock

    def path(self, volume: str) -> str:
        return str(self._folder / _checked(volume))

    async def make(self, volume: str) -> None:
        """Make a volume's folder; one that is there stays as it is."""
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        path = self._folder / _checked(volume)
        if os.path.lexists(path):
            return
        # Whole or not at all: what is there is never looked at again.
        fresh = self._folder / f".{volume}"
        fresh.mkdir(exist_ok=True)
        fresh.chmod(_MODE)
        fresh.rename(path)

    async def remove(self, volume: str) -> None:
        """Remove a volume's folder with all that is in it; nothing happens where nothing is."""
        with self._clock.external():
            await asyncio.to_thread(_remove, self._folder, _checked(volume))

    async def discard(self, volume: str) -> None:
        """Remove a volume's folder if nothing is in it."""
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            try:
                (self._folder / _checked(volume)).rmdir()
            except OSError as refusal:
                if refusal.errno not in {errno.ENOTEMPTY, errno.EEXIST, errno.EBUSY}:
                    raise

    async def volumes(self) -> Sequence[str]:
        """Return the volumes that have folders, by name."""
        with self._clock.external():
            return await asyncio.to_thread(_names, self._folder)


class SimulatedFolders:
    """The folders of a node that has no disk: nothing is written."""

    def path(self, volume: str) -> str:
        return f"/var/local/podling/{_checked(volume)}"

    async def make(self, volume: str) -> None:
        _checked(volume)

    async def remove(self, volume: str) -> None:
        _checked(volume)

    async def discard(self, volume: str) -> None:
        _checked(volume)

    async def volumes(self) -> Sequence[str]:
        return ()


def _checked(volume: str) -> str:
    if not _NAME.fullmatch(volume) or ".." in volume:
        raise ValueError(f"{volume!r} cannot be a folder's name")
    return volume


def _names(folder: Path) -> list[str]:
    try:
        return sorted(entry.name for entry in folder.iterdir() if _NAME.fullmatch(entry.name))
    except FileNotFoundError:
        return []


def _remove(folder: Path, name: str) -> None:
    from podling.linux import mounts, trees

    mounts.unmount_below(str(folder / name))  # what a container with propagation has left
    trees.remove_tree(folder / name)
