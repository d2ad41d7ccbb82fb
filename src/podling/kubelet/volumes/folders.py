"""Volumes that are folders of the machine: emptyDir, on disk or in memory, and hostPath with its types.

Owns their making, their modes and upstream's words for a path that is not of its type. Runs in threads; knows no loop.
Invariant: an emptyDir that stands at its place is whole, and from then on its modes are the Pod's own affair.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from podling.linux import mounts, trees

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from podling.api.types.core_v1 import EmptyDirVolumeSource, HostPathVolumeSource

_PAGES: Final = re.compile(r"HugePages(?:-(\d+[KMG])i)?\Z")


def empty_dir(path: Path, source: EmptyDirVolumeSource, group: int | None, memory: int | None) -> str:
    """Make an emptyDir at `path` unless it is there, and return that; `memory` bounds one that lives in memory."""
    pages = _PAGES.match(source.medium)
    if source.medium not in {"", "Memory"} and pages is None:
        raise ValueError(f'unknown storage medium "{source.medium}"')
    if path.exists() and (not source.medium or os.path.ismount(path)):
        return str(path)
    fresh = path.with_name(f".{path.name}")
    trees.remove_tree(fresh)
    fresh.mkdir(parents=True, mode=0o700)
    if source.medium:
        # In memory it did not outlive the machine: the folder is a place to mount at and nothing more.
        path.mkdir(exist_ok=True)
        fresh.rmdir()
        fresh = path
        if source.medium == "Memory":
            mounts.tmpfs(str(path), size=memory, mode=0o777)
        else:
            assert pages is not None
            mounts.huge_pages(str(path), pages[1] or "")
    if group is not None:
        os.chown(fresh, -1, group)
    fresh.chmod(0o2777 if group is not None else 0o777)
    if fresh != path:
        fresh.rename(path)
    return str(path)


def host_path(source: HostPathVolumeSource) -> str:
    """Check a hostPath against its type, making what `…OrCreate` asks for; return it."""
    path = Path(source.path)
    kind = source.type or ""
    if kind == "DirectoryOrCreate" and not path.exists():
        path.mkdir(parents=True, mode=0o755)
    elif kind == "FileOrCreate" and not path.exists():
        path.touch(mode=0o644)
    checks: Mapping[str, tuple[Callable[[], bool], str]] = {
        "Directory": (path.is_dir, "directory"),
        "DirectoryOrCreate": (path.is_dir, "directory"),
        "File": (path.is_file, "file"),
        "FileOrCreate": (path.is_file, "file"),
        "Socket": (path.is_socket, "socket file"),
        "CharDevice": (path.is_char_device, "character device"),
        "BlockDevice": (path.is_block_device, "block device"),
    }
    if kind in checks:
        holds, what = checks[kind]
        if not holds():
            raise ValueError(f"hostPath type check failed: {source.path} is not a {what}")
    elif kind:
        raise ValueError(f"{kind} is an invalid volume type")
    elif not path.exists():
        path.mkdir(parents=True, mode=0o755)  # as containerd does for a bind without a source
    return str(path)
