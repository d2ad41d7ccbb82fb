"""Network, IPC, UTS and user namespaces: made by a thread, kept by a bind mount, entered by a thread.

Owns the pins. No Python is forked: a thread of its own unshares, binds `/proc/thread-self/ns/*` to files, and ends. A
user namespace, which a thread cannot make for itself, is made around a process that waits, and owns those made with it.
Invariant: a thread that has changed namespaces is never used for anything else.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import socket
import struct
import threading
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from podling.linux import mounts, spawn, syscalls

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_Result = TypeVar("_Result")

_SIOCGIFFLAGS = 0x8913
_SIOCSIFFLAGS = 0x8914
_IFF_UP = 0x1
_FLAGS = {"net": syscalls.CLONE_NEWNET, "ipc": syscalls.CLONE_NEWIPC, "uts": syscalls.CLONE_NEWUTS}


def in_thread(function: Callable[[], _Result], name: str = "podling-ns") -> _Result:
    """Run `function` in a thread that ends with it, and wait for the answer."""
    outcome: list[_Result] = []
    failure: list[BaseException] = []

    def body() -> None:
        try:
            outcome.append(function())
        except BaseException as error:  # boundary: handed to the caller, whole
            failure.append(error)

    thread = threading.Thread(target=body, name=name, daemon=True)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]
    return outcome[0]


def inside(path: str, function: Callable[[], _Result]) -> _Result:
    """Run `function` in a thread that has entered the namespace pinned at `path`; the own one if `path` is empty."""
    if not path:
        return function()

    def body() -> _Result:
        enter(path)
        return function()

    return in_thread(body)


def enter(path: str) -> None:
    """Take the calling thread into the namespace pinned at `path`, for the rest of its life."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        syscalls.setns(descriptor)
    finally:
        os.close(descriptor)


async def inside_async(path: str, function: Callable[[], _Result]) -> _Result:
    """Do `inside` without holding the loop."""
    return await asyncio.to_thread(inside, path, function)


def create(
    directory: Path,
    kinds: tuple[str, ...],
    *,
    hostname: str = "",
    domain: str = "",
    sysctls: Mapping[str, str],
    ids: Sequence[tuple[int, int, int]] = (),
) -> None:
    """Make new namespaces of `kinds` (net, ipc, uts) and pin them at `directory/<kind>`.

    The network namespace's loopback is up, names and sysctls are set. With `ids` (first inside, first outside, how
    many) they belong to a new user namespace of these users and groups, pinned at `directory/user`. On failure nothing
    stays pinned; a sysctl that does not exist or may not be set is a `ValueError` that names it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    flags = 0
    for kind in kinds:
        flags |= _FLAGS[kind]
        (directory / kind).touch()

    def body() -> None:
        if ids:
            (directory / "user").touch()
            _pin_around_child(directory, kinds, ids)
            for kind in kinds:
                enter(str(directory / kind))
        else:
            syscalls.unshare(flags)
        if "uts" in kinds:
            socket.sethostname(hostname)
            syscalls.setdomainname(domain)
        if "net" in kinds:
            link_up("lo")
        _set_sysctls(sysctls, owner=next((outside for inside, outside, _ in ids if inside == 0), None))
        for kind in kinds if not ids else ():
            mounts.bind(f"/proc/thread-self/ns/{kind}", str(directory / kind))

    try:
        in_thread(body)
    except BaseException:
        release(directory)
        raise


def _pin_around_child(directory: Path, kinds: tuple[str, ...], ids: Sequence[tuple[int, int, int]]) -> None:
    with spawn.in_new_namespaces(["user", *kinds]) as child:
        text = "".join(f"{inside} {outside} {count}\n" for inside, outside, count in ids)
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{child}/{name}", "w", encoding="ascii") as file:  # noqa: PTH123
                file.write(text)
        for kind in ("user", *kinds):
            mounts.bind(f"/proc/{child}/ns/{kind}", str(directory / kind))


def _set_sysctls(sysctls: Mapping[str, str], owner: int | None) -> None:
    """Set sysctls of the calling thread's namespaces; `owner` is who is root in them, where that is not root here."""
    refused = {}
    for name, value in sysctls.items():
        try:
            write_sysctl(name, value)
        except ValueError as error:
            if owner is None or not isinstance(error.__cause__, PermissionError):
                raise
            refused[name] = value
    if refused and owner is not None:
        syscalls.set_thread_user(owner)  # the kernel asks who owns the namespace, not who is mighty
        for name, value in refused.items():
            write_sysctl(name, value)


def pinned(path: Path | str) -> bool:
    """Say whether a namespace is mounted at `path`: its device is the kernel's nsfs and no file system's own."""
    try:
        return os.stat(path).st_dev == os.stat("/proc/self/ns/net").st_dev  # noqa: PTH116
    except FileNotFoundError:
        return False


def release(directory: Path) -> None:
    """Unpin whatever is pinned in `directory` and remove it; nothing happens where nothing is."""
    try:
        entries = list(os.scandir(directory))
    except FileNotFoundError:
        return
    for entry in entries:
        mounts.unmount(entry.path)
        if entry.is_dir(follow_symlinks=False):
            Path(entry.path).rmdir()
        else:
            Path(entry.path).unlink(missing_ok=True)
    directory.rmdir()


def link_up(name: str) -> None:
    """Set a link of the calling thread's network namespace up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as control:
        request = struct.pack("16sh14x", name.encode(), 0)
        flags = struct.unpack_from("h", fcntl.ioctl(control, _SIOCGIFFLAGS, request), 16)[0]
        fcntl.ioctl(control, _SIOCSIFFLAGS, struct.pack("16sh14x", name.encode(), flags | _IFF_UP))


def write_sysctl(name: str, value: str) -> None:
    """Set a sysctl of the calling thread's namespaces; dots or slashes separate its parts."""
    if ".." in name:
        raise ValueError(f"sysctl {name!r} is not a name")
    try:
        with open(_sysctl(name), "w", encoding="ascii") as file:  # noqa: PTH123
            file.write(value)
    except OSError as error:
        raise ValueError(f"sysctl {name}: {error.strerror}") from error


def read_sysctl(name: str) -> str | None:
    """Return a sysctl's value, or nothing where the kernel has none of that name."""
    try:
        return _sysctl(name).read_text(encoding="ascii").strip()
    except FileNotFoundError:
        return None


def sysctl_folder(name: str) -> list[str]:
    """Return what there is in a folder of sysctls, in order; nothing where the kernel has none of that name."""
    try:
        return sorted(entry.name for entry in _sysctl(name).iterdir())
    except FileNotFoundError:
        return []


def _sysctl(name: str) -> Path:
    # With slashes, a dot is part of a name: that of a link, say.
    return Path(f"/proc/sys/{name if '/' in name else name.replace('.', '/')}")
