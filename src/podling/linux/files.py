"""Files that must be whole or absent: atomic replacement, durability in batches, advisory locks.

Owns the order of write, fsync and rename. Invariant: a reader of `replace`d files sees the old content or the new,
never a part.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path


def replace(path: Path, content: bytes, *, durable: bool = False, mode: int = 0o600) -> None:
    """Put `content` at `path` atomically; `durable` returns only once it survives a power cut."""
    temporary = path.with_name(f".{path.name}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
    try:
        os.write(descriptor, content) if len(content) < 65536 else _write_all(descriptor, content)
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)
    temporary.rename(path)
    if durable:
        sync_directories([path.parent])


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_directories(directories: Iterable[Path]) -> None:
    """Make names created in these directories survive a power cut."""
    for directory in directories:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_text(path: Path | str) -> str | None:
    """Return a small file's text without surrounding blanks, or nothing if it is not there (or gone meanwhile)."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:  # noqa: PTH123  # a plain open is half the cost
            return file.read().strip()
    except (FileNotFoundError, NotADirectoryError, ProcessLookupError):
        return None
    except OSError as error:
        if error.errno in {19, 95}:  # ENODEV, EOPNOTSUPP: a cgroup that dies while being read
            return None
        raise


@contextlib.contextmanager
def locked(path: Path, *, wait: bool = True) -> Iterator[None]:
    """Hold an exclusive advisory lock on `path` for the block; `BlockingIOError` where it is taken and not `wait`ed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)
