"""Mounts: binds, tmpfs, overlays, propagation, and the table of what is mounted.

Owns the spelling of mount options. Invariant: an overlay is mounted with index and metacopy off, so that its layers
may be read by others, and a layer list too long for one page of options still mounts.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from podling.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Sequence

_PAGE = 4000


@dataclass(frozen=True, slots=True)
class MountPoint:
    """One line of the mount table."""

    target: str
    kind: str
    source: str
    options: str
    shared: bool
    slave: bool = False
    root: str = ""
    """What of its file system is shown: the device's number and a path in it."""


def table(source: str = "/proc/self/mountinfo") -> Sequence[MountPoint]:
    """Return what is mounted in this mount namespace, or in that of `source`, in the order of mounting."""
    points = []
    for line in Path(source).read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        words = line.split(" ")
        separator = words.index("-", 6)
        points.append(
            MountPoint(
                target=_unescape(words[4]),
                kind=words[separator + 1],
                source=_unescape(words[separator + 2]),
                options=words[separator + 3],
                shared=any(word.startswith("shared:") for word in words[6:separator]),
                slave=any(word.startswith("master:") for word in words[6:separator]),
                root=f"{words[2]} {words[3]}",
            )
        )
    return points


def _unescape(word: str) -> str:
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        word = word.replace(code, character)
    return word


def holding(path: str, points: Sequence[MountPoint] | None = None) -> MountPoint:
    """Return the mount that `path`, free of links, lies on; `points` is the table where it is at hand."""
    best = MountPoint("/", "", "", "", shared=False)
    for point in points if points is not None else table():
        if len(point.target) >= len(best.target) and (path + "/").startswith(point.target.rstrip("/") + "/"):
            best = point
    return best


def bind(source: str, target: str) -> None:
    """Make `source` visible at `target`."""
    syscalls.mount(source, target, "", syscalls.MS_BIND)


def bind_mapped(source: str, target: str, users: str, *, recursive: bool = True) -> None:
    """Make `source` visible at `target` with its owners shifted as the user namespace pinned at `users` maps ids.

    What 0 owns there the namespace's root owns here, and what that one makes here 0 owns there. `OSError` where the
    file system cannot do it; what is mounted below `source` comes along if `recursive`, and keeps its owners.
    """
    tree = _mapped(source, users, recursive=recursive)
    try:
        syscalls.move_mount(tree, target)
        only_follow(target)
    finally:
        os.close(tree)


def check_mappable(source: str, users: str) -> None:
    """Refuse with `OSError` what `bind_mapped` could not bind, and bind nothing."""
    os.close(_mapped(source, users, recursive=False))


def _mapped(source: str, users: str, *, recursive: bool) -> int:
    tree = syscalls.open_tree(source, recursive=recursive)
    try:
        descriptor = os.open(users, os.O_RDONLY | os.O_CLOEXEC)
        try:
            syscalls.map_ids(tree, descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        os.close(tree)
        raise OSError(error.errno, f"cannot map the owners of {source}: {error.strerror}") from error
    return tree


def share(path: str) -> None:
    """Make `path` a mount of its own whose later mounts reach every copy of the mount namespace.

    Where `/` is private, a private mount namespace would otherwise never see what is mounted here afterwards.
    """
    if not any(point.target == path for point in table()):
        bind(path, path)
    syscalls.mount("", path, "", syscalls.MS_SHARED)


def only_follow(target: str) -> None:
    """Let what is mounted below a bind's source arrive at `target`, and nothing that is unmounted here go back.

    A bind of a shared mount is its peer: to unmount what lies below the one unmounts it below the other.
    """
    syscalls.mount("", target, "", syscalls.MS_SLAVE)


def tmpfs(target: str, *, size: int | None = None, mode: int = 0o1777, flags: int = 0) -> None:
    """Mount an empty tmpfs of at most `size` bytes."""
    options = f"mode={mode:o}" + (f",size={size}" if size is not None else "")
    syscalls.mount("tmpfs", target, "tmpfs", flags, options)


def huge_pages(target: str, size: str) -> None:
    """Mount an empty file system of huge pages, of `size` (2M, 1G) or of the kernel's default."""
    syscalls.mount("nodev", target, "hugetlbfs", 0, f"pagesize={size}" if size else "")


def overlay(target: str, lower: Sequence[str], *, upper: str = "", work: str = "") -> None:
    """Mount `lower` (topmost first) at `target`; without `upper` it is read-only."""
    if not lower:
        raise ValueError("an overlay needs a lower layer")
    writable = f",upperdir={_escape(upper)},workdir={_escape(work)}" if upper else ""
    layers = [*lower]
    if not upper and len(layers) == 1:
        bind(layers[0], target)
        syscalls.mount("", target, "", syscalls.MS_BIND | syscalls.MS_REMOUNT | syscalls.MS_RDONLY)
        return
    options = "lowerdir=" + ":".join(map(_escape, layers)) + writable
    if len(os.fsencode(options)) < _PAGE:
        _mount_overlay(target, options)
        return
    descriptors = [os.open(layer, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC) for layer in layers]
    try:
        names = ":".join(f"/proc/self/fd/{descriptor}" for descriptor in descriptors)
        _mount_overlay(target, f"lowerdir={names}{writable}")
    finally:
        for descriptor in descriptors:
            os.close(descriptor)


def _escape(path: str) -> str:
    return path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")


def _mount_overlay(target: str, options: str) -> None:
    try:
        syscalls.mount("overlay", target, "overlay", 0, f"{options},index=off,metacopy=off")
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        syscalls.mount("overlay", target, "overlay", 0, options)  # kernels built without index or metacopy


def unmount(target: str) -> bool:
    """Unmount `target`, everything stacked on it included; say whether anything was mounted."""
    found = False
    while True:
        try:
            syscalls.umount2(target, syscalls.MNT_DETACH | syscalls.UMOUNT_NOFOLLOW)
            found = True
        except OSError as error:
            if error.errno in {errno.EINVAL, errno.ENOENT}:
                return found
            raise


def unmount_below(directory: str) -> int:
    """Unmount everything at or below `directory`, innermost first; return how many mounts went."""
    prefix = directory.rstrip("/") + "/"
    targets = [point.target for point in table() if point.target == directory or point.target.startswith(prefix)]
    for target in reversed(targets):
        unmount(target.removesuffix("//deleted"))
    return len(targets)
