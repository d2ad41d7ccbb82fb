"""The C library's calls that Python does not wrap: mount, unshare, setns and their like.

Owns the one `ctypes` handle and the constants beside it. Every function raises `OSError` with the path concerned.
Knows nothing of what the calls are for.
"""

from __future__ import annotations

import ctypes
import os
from typing import Final

CLONE_NEWNS: Final = 0x00020000
CLONE_NEWUTS: Final = 0x04000000
CLONE_NEWIPC: Final = 0x08000000
CLONE_NEWPID: Final = 0x20000000
CLONE_NEWNET: Final = 0x40000000

MS_RDONLY: Final = 0x1
MS_NOSUID: Final = 0x2
MS_NODEV: Final = 0x4
MS_NOEXEC: Final = 0x8
MS_REMOUNT: Final = 0x20
MS_BIND: Final = 0x1000
MS_REC: Final = 0x4000
MS_PRIVATE: Final = 1 << 18
MS_SLAVE: Final = 1 << 19
MS_SHARED: Final = 1 << 20

MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8

IN_MODIFY: Final = 0x00000002
IN_CLOSE_WRITE: Final = 0x00000008
IN_MOVED_FROM: Final = 0x00000040
IN_MOVED_TO: Final = 0x00000080
IN_CREATE: Final = 0x00000100
IN_DELETE: Final = 0x00000200
IN_CLOEXEC: Final = 0o2000000
IN_NONBLOCK: Final = 0o4000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.mount.argtypes = (ctypes.c_char_p, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_ulong, ctypes.c_char_p)
_libc.umount2.argtypes = (ctypes.c_char_p, ctypes.c_int)
_libc.unshare.argtypes = (ctypes.c_int,)
_libc.setns.argtypes = (ctypes.c_int, ctypes.c_int)
_libc.setdomainname.argtypes = (ctypes.c_char_p, ctypes.c_size_t)
_libc.inotify_init1.argtypes = (ctypes.c_int,)
_libc.inotify_add_watch.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_uint32)


def _check(result: int, path: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path or None)
    return result


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Mount `source` at `target`; empty strings are passed as NULL."""
    _check(
        _libc.mount(
            os.fsencode(source) if source else None,
            os.fsencode(target),
            kind.encode() or None,
            flags,
            os.fsencode(data) if data else None,
        ),
        target,
    )


def umount2(target: str, flags: int = 0) -> None:
    """Take away what is mounted at `target`."""
    _check(_libc.umount2(os.fsencode(target), flags), target)


def unshare(flags: int) -> None:
    """Give the calling thread namespaces of its own."""
    _check(_libc.unshare(flags))


def setns(descriptor: int, kind: int = 0) -> None:
    """Move the calling thread into the namespace that `descriptor` stands for."""
    _check(_libc.setns(descriptor, kind))


def set_thread_user(user: int) -> None:
    """Let the calling thread alone act as `user`, for good: the C library's own call would change all threads."""
    number = {"x86_64": 117, "s390x": 208, "ppc64le": 164}.get(os.uname().machine, 147)
    nobody = ctypes.c_long(-1)
    _check(_libc.syscall(ctypes.c_long(number), nobody, ctypes.c_long(user), nobody))


_SYS_OPEN_TREE = 428
_SYS_MOVE_MOUNT = 429
_SYS_MOUNT_SETATTR = 442
_OPEN_TREE_CLONE = 1
_MOVE_FROM_EMPTY_PATH = 0x4
_MOUNT_ATTR_IDMAP = 0x00100000
_AT_FDCWD = -100
_AT_EMPTY_PATH = 0x1000
_AT_RECURSIVE = 0x8000


class _MountAttributes(ctypes.Structure):
    _fields_ = (
        ("set", ctypes.c_uint64),
        ("clear", ctypes.c_uint64),
        ("propagation", ctypes.c_uint64),
        ("users", ctypes.c_uint64),
    )


def open_tree(path: str, *, recursive: bool) -> int:
    """Return a copy of what is mounted at `path`, and below it if `recursive`, attached nowhere."""
    flags = _OPEN_TREE_CLONE | os.O_CLOEXEC | (_AT_RECURSIVE if recursive else 0)
    return _check(
        _libc.syscall(
            ctypes.c_long(_SYS_OPEN_TREE),
            ctypes.c_int(_AT_FDCWD),
            ctypes.c_char_p(os.fsencode(path)),
            ctypes.c_uint(flags),
        ),
        path,
    )


def map_ids(tree: int, users: int) -> None:
    """Show the topmost mount of an unattached `tree` with the ids of the user namespace `users`."""
    attributes = _MountAttributes(set=_MOUNT_ATTR_IDMAP, users=users)
    _check(
        _libc.syscall(
            ctypes.c_long(_SYS_MOUNT_SETATTR),
            ctypes.c_int(tree),
            ctypes.c_char_p(b""),
            ctypes.c_uint(_AT_EMPTY_PATH),
            ctypes.byref(attributes),
            ctypes.c_size_t(ctypes.sizeof(attributes)),
        )
    )


def move_mount(tree: int, target: str) -> None:
    """Attach an unattached `tree` at `target`."""
    _check(
        _libc.syscall(
            ctypes.c_long(_SYS_MOVE_MOUNT),
            ctypes.c_int(tree),
            ctypes.c_char_p(b""),
            ctypes.c_int(_AT_FDCWD),
            ctypes.c_char_p(os.fsencode(target)),
            ctypes.c_uint(_MOVE_FROM_EMPTY_PATH),
        ),
        target,
    )


def setdomainname(name: str) -> None:
    """Set the NIS domain name of the calling thread's UTS namespace."""
    encoded = name.encode()
    _check(_libc.setdomainname(encoded, len(encoded)))


def inotify_init() -> int:
    """Return a non-blocking inotify descriptor."""
    return _check(_libc.inotify_init1(IN_CLOEXEC | IN_NONBLOCK))


def inotify_add_watch(descriptor: int, path: str, mask: int) -> int:
    """Watch `path`; return the watch's number."""
    return _check(_libc.inotify_add_watch(descriptor, os.fsencode(path), mask), path)


_SYS_OPENAT2 = 437
RESOLVE_NO_XDEV: Final = 0x01
RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08
RESOLVE_IN_ROOT: Final = 0x10


class _OpenHow(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def openat2(directory: int, path: str, flags: int, resolve: int) -> int:
    """Open `path` from the open `directory`, resolved only as `resolve` allows."""
    how = _OpenHow(flags | os.O_CLOEXEC, 0, resolve)
    result = _libc.syscall(
        ctypes.c_long(_SYS_OPENAT2),
        ctypes.c_int(directory),
        ctypes.c_char_p(os.fsencode(path)),
        ctypes.byref(how),
        ctypes.c_size_t(ctypes.sizeof(how)),
    )
    return _check(result, path)


def open_in_root(root: int, path: str, flags: int) -> int:
    """Open `path` as if the directory `root` were the file system's root: no link leads out of it."""
    return openat2(root, path, flags, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS)


def sync_file_system(path: os.PathLike[str]) -> None:
    """Write out the file system that holds `path`."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        _check(_libc.syncfs(descriptor), os.fspath(path))
    finally:
        os.close(descriptor)
