"""File trees that somebody else has filled: removed, measured, given to a group.

Owns the walking. What is walked may have been made by a container, so nothing here trusts a name: directories are
entered by descriptor and never by a link, trees may be deeper than a path may be long, and whatever is mounted in a
tree is no part of it. Invariant: no call reaches a file outside the tree that it was given.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Final

from podling.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

_INSIDE: Final = syscalls.RESOLVE_BENEATH | syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_XDEV
_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_STRETCH: Final = 2048
"""Bytes of a relative path after which a walk goes on from a descriptor: half of what the kernel takes."""


def remove_tree(path: Path) -> None:
    """Remove a file tree; nothing happens where nothing is. What is mounted in it stays, and is an `OSError`.

    A directory's directories are moved up to the top before it is removed, so that neither the depth of the tree nor
    the length of its paths matters.
    """
    try:
        top = os.open(path, _DIRECTORY)
    except FileNotFoundError:
        return
    except NotADirectoryError:
        path.unlink(missing_ok=True)
        return
    try:
        number = 0
        while True:
            found = False
            for name, is_directory in _entries(top):
                found = True
                if is_directory:
                    number = _flatten(top, name, number)
                else:
                    _unlink(name, top)
            if not found:
                break
    except OSError as error:
        if error.errno in {errno.EXDEV, errno.EBUSY}:
            raise OSError(errno.EBUSY, "something is still mounted in it", str(path)) from error
        raise
    finally:
        os.close(top)
    with contextlib.suppress(FileNotFoundError):
        path.rmdir()


def _entries(directory: int) -> Iterator[tuple[str, bool]]:
    """Yield names, and whether each is a directory; entries may go while they are listed."""
    with os.scandir(directory) as entries:
        for entry in entries:
            yield entry.name, entry.is_dir(follow_symlinks=False)


def _unlink(name: str, directory: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(name, dir_fd=directory)


def _flatten(top: int, name: str, number: int) -> int:
    """Remove the directory `name`, its own directories moved beside it; return the next free number for one."""
    try:
        inner = syscalls.openat2(top, name, _DIRECTORY, _INSIDE)
    except FileNotFoundError:
        return number
    try:
        for child, is_directory in _entries(inner):
            if is_directory:
                number = _move_up(inner, child, top, number)
            else:
                _unlink(child, inner)
    finally:
        os.close(inner)
    try:
        os.rmdir(name, dir_fd=top)
    except OSError as error:
        if error.errno not in {errno.ENOENT, errno.ENOTEMPTY}:  # listed in part only: the next look finds the rest
            raise
    return number


def _move_up(source: int, name: str, top: int, number: int) -> int:
    while True:
        number += 1
        try:
            os.rename(name, f".{number}", src_dir_fd=source, dst_dir_fd=top)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return number
            if error.errno not in {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR}:
                raise
        else:
            return number


class _Base:
    """A descriptor that relative paths of a walk start from, open for as long as one of them is to be visited."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


def _walk(top: Path | str) -> Iterator[tuple[int, list[os.DirEntry[str]]]]:
    """Yield each directory of a tree, open, with its entries; parents before children."""
    try:
        waiting = [(_Base(os.open(top, _DIRECTORY)), ".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    while waiting:
        base, path = waiting.pop()
        try:
            here = syscalls.openat2(base.descriptor, path, _DIRECTORY, _INSIDE)
        except OSError:
            continue  # gone, exchanged, or another file system's
        try:
            try:
                with os.scandir(here) as found:
                    entries = list(found)
            except OSError:
                continue
            yield here, entries
            if len(path) > _STRETCH:
                base, path = _Base(os.dup(here)), "."
            waiting += [(base, f"{path}/{entry.name}") for entry in entries if entry.is_dir(follow_symlinks=False)]
        finally:
            os.close(here)


def usage_of(directory: Path | str) -> tuple[int, int]:
    """Return the bytes and inodes that a tree occupies on its file system; what is linked twice counts once."""
    size = inodes = 0
    linked: set[tuple[int, int]] = set()
    for here, entries in _walk(directory):
        device = os.fstat(here).st_dev
        for entry in entries:
            try:
                status = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if status.st_dev != device or (status.st_dev, status.st_ino) in linked:
                continue
            if not stat.S_ISDIR(status.st_mode) and status.st_nlink > 1:
                linked.add((status.st_dev, status.st_ino))
            size += status.st_blocks * 512
            inodes += 1
    return size, inodes


def give_to_group(directory: Path | str, group: int, mode_of: Callable[[int], int]) -> None:
    """Give a tree to a group: each file gets the mode that `mode_of` makes of its own; the top comes last.

    Links are given, never followed. Last is the top, so that a top which looks right tells that all is.
    """
    for here, entries in _walk(directory):
        for entry in entries:
            try:
                _give(entry.name, here, group, mode_of)
            except FileNotFoundError:
                continue
    top = os.open(directory, _DIRECTORY)
    try:
        _give(".", top, group, mode_of)
    finally:
        os.close(top)


def _give(name: str, directory: int, group: int, mode_of: Callable[[int], int]) -> None:
    try:
        descriptor = syscalls.openat2(directory, name, os.O_PATH | os.O_NOFOLLOW, _INSIDE)
    except OSError as error:
        if error.errno == errno.EXDEV:
            return  # something is mounted there
        raise
    try:
        mode, held = os.fstat(descriptor).st_mode, f"/proc/self/fd/{descriptor}"
        os.chown(held, -1, group)  # of a link the link itself: what is held is not resolved once more
        if not stat.S_ISLNK(mode):
            os.chmod(held, stat.S_IMODE(mode_of(mode)))  # noqa: PTH101
    finally:
        os.close(descriptor)
