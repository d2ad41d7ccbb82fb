"""Paths below a directory that somebody else may be changing: opened, made and bound without following a link.

Owns resolution by descriptor. Whoever may write to the directory can exchange any name in it between two looks, so a
path is looked at once, and what was found is held open and used through its descriptor. Invariant: a descriptor that
comes from here is of something below the directory that was given, or of that directory.
"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from podling.linux import mounts, syscalls

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

_STRAIGHT: Final = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
_FOLDER: Final = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def open_or_make(root: Path, parts: Sequence[str], *, mode: int) -> int:
    """Return an `O_PATH` descriptor of what lies at `parts` below `root`, made as folders of `mode` where missing.

    `parts` have no links left in them: `OSError` (ELOOP, ENOTDIR) says that one came to be there.
    """
    here = os.open(root, _FOLDER)
    try:
        for number, part in enumerate(parts):
            if part in {"", ".", ".."} or "/" in part:
                raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), part)
            is_last = number == len(parts) - 1
            flags = os.O_PATH | os.O_NOFOLLOW if is_last else _FOLDER
            try:
                found = syscalls.openat2(here, part, flags, _STRAIGHT)
            except FileNotFoundError:
                found = _make(here, part, mode)
            os.close(here)
            here = found
        if stat.S_ISLNK(os.fstat(here).st_mode):
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), "/".join(parts))
    except BaseException:
        os.close(here)
        raise
    return here


def _make(parent: int, name: str, mode: int) -> int:
    """Make a folder and return it; what somebody else puts in its place meanwhile is refused."""
    os.mkdir(name, mode & 0o777, dir_fd=parent)
    made = syscalls.openat2(parent, name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, _STRAIGHT)
    try:
        if os.fstat(made).st_uid == os.geteuid():
            os.fchown(made, -1, os.fstat(parent).st_gid)
            os.fchmod(made, mode)
    except BaseException:
        os.close(made)
        raise
    return made


def bind_to(descriptor: int, target: Path) -> None:
    """Show what is open as `descriptor` at `target`, a place of our own; nothing happens if it shows it already."""
    source = os.fstat(descriptor)
    try:
        there = target.lstat()
    except FileNotFoundError:
        there = None
    if there is not None:
        if (there.st_dev, there.st_ino) == (source.st_dev, source.st_ino):
            mounts.only_follow(str(target))
            return
        release(target)
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o750)
    if stat.S_ISDIR(source.st_mode):
        target.mkdir(mode=0o750)
    else:
        target.touch(mode=0o640)
    mounts.bind(f"/proc/self/fd/{descriptor}", str(target))
    mounts.only_follow(str(target))


def release(target: Path) -> None:
    """Take away what `bind_to` made; nothing happens where nothing is."""
    try:
        is_folder = stat.S_ISDIR(target.lstat().st_mode)
    except FileNotFoundError:
        return
    mounts.unmount(str(target))
    target.rmdir() if is_folder else target.unlink()


def read_beneath(root: Path, path: str, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes; `root` is `path`'s `/`, whatever links it has.

    `OSError`: EINVAL for what is no regular file, EFBIG for what is larger. Nothing is waited for.
    """
    top = os.open(root, _FOLDER)
    try:
        descriptor = syscalls.open_in_root(top, path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY)
    finally:
        os.close(top)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        content = file.read(limit + 1)
        if len(content) > limit:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), path)
        return content
