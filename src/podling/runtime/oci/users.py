"""Who a container runs as: an image's or a Pod's user, looked up in the image's own files.

Pure, over the texts of /etc/passwd and /etc/group. Owns upstream's rules of precedence and the wording of what is not
found.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from msgspec import Struct

from podling.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from podling.runtime.protocol import Security

_LIMIT = 1 << 20


class UserNotFound(Exception):
    """The image knows no such user or group."""


class User(Struct, frozen=True):
    """Ids to run as, and the home directory that goes with them."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = ""


def read_inside(root: Path, path: str) -> str:
    """Return a small text file of an image as the image sees it: no link leads out of `root`."""
    try:
        descriptor = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    except FileNotFoundError:
        return ""
    try:
        inner = syscalls.open_in_root(descriptor, path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError:
        return ""
    finally:
        os.close(descriptor)
    with open(inner, "rb") as file:  # noqa: PTH123
        return file.read(_LIMIT).decode(errors="replace")


def _rows(text: str, width: int) -> Iterator[list[str]]:
    for line in text.splitlines():
        fields = line.split(":")
        if len(fields) >= width and not line.startswith("#"):
            yield fields


def resolve(security: Security, image_user: str, passwd: str, group: str) -> User:
    """Say who the container runs as; `UserNotFound` in the words of upstream's runtimes."""
    wanted, _, wanted_group = image_user.partition(":")
    if security.user is not None:
        wanted, wanted_group = str(security.user), ""
    elif security.user_name:
        wanted, _, wanted_group = security.user_name.partition(":")
    name, uid, gid, home = _user(wanted or "0", passwd)
    if security.group is not None:
        gid = security.group
    elif wanted_group:
        gid = _group(wanted_group, group)
    groups = [gid]
    if not security.supplemental_groups_strict and name:
        groups += [int(row[2]) for row in _rows(group, 4) if name in row[3].split(",") and row[2].isdigit()]
    groups += security.supplemental_groups
    return User(uid, gid, tuple(dict.fromkeys(groups)), home)


def _user(wanted: str, passwd: str) -> tuple[str, int, int, str]:
    for row in _rows(passwd, 6):
        if row[2].isdigit() and row[3].isdigit() and wanted in {row[0], row[2]}:
            return row[0], int(row[2]), int(row[3]), row[5]
    if wanted.isdigit():
        return "", int(wanted), 0, ""
    raise UserNotFound(f"unable to find user {wanted}: no matching entries in passwd file")


def _group(wanted: str, group: str) -> int:
    for row in _rows(group, 3):
        if row[2].isdigit() and wanted in {row[0], row[2]}:
            return int(row[2])
    if wanted.isdigit():
        return int(wanted)
    raise UserNotFound(f"unable to find group {wanted}: no matching entries in group file")
