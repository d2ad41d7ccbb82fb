"""Numbers of which each belongs to one folder of this machine at a time, whichever process made the folder.

Owns a folder of symbolic links: a number's name leads to who has it, so that a claim is there as a whole or not at all.
A claim whose folder is gone is nobody's; so whoever is killed, or has all its data deleted, holds nothing for ever. The
links go with a restart of the machine, where the folder is below `/run`: who wrote its number down claims it anew.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from podling.linux import files

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Claims:
    """The claims below one folder, which all that share the numbers must name alike. Blocks for a moment at most."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def take(self, number: int, owner: Path) -> bool:
        """Claim a number for `owner`, a folder that is there; say whether it is its own now, or was before."""
        link = self._folder / str(number)
        with self._locked():
            held = _owner(link)
            if held is not None and held != str(owner):
                if os.path.exists(held):  # noqa: PTH110  # asked in the loop, for each number that is taken
                    return False
                link.unlink()
                held = None
            if held is None:
                link.symlink_to(owner)
        return True

    def release(self, number: int, owner: Path) -> None:
        """Give a number back, if it is `owner`'s."""
        link = self._folder / str(number)
        with self._locked():
            if _owner(link) == str(owner):
                link.unlink()

    def drop(self, below: Path) -> None:
        """Give back all that folders below `below` have, and all that is nobody's."""
        with self._locked():
            for link in self._folder.iterdir():
                held = _owner(link)
                if held is not None and (held.startswith(f"{below}/") or not link.exists()):
                    link.unlink()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with files.locked(self._folder.with_name(f"{self._folder.name}.lock")):
            yield


def _owner(link: Path) -> str | None:
    try:
        return os.readlink(link)  # noqa: PTH115  # as text
    except FileNotFoundError:
        return None
