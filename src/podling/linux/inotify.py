"""Names that appear in directories, as the kernel tells them: nothing is polled.

Owns one inotify descriptor. Invariant: an overflow is told as an empty name, upon which the reader looks at everything.
"""

from __future__ import annotations

import asyncio
import os
import struct
from typing import TYPE_CHECKING

from podling.linux import syscalls

if TYPE_CHECKING:
    from collections.abc import Callable

_EVENT = struct.Struct("iIII")
_Q_OVERFLOW = 0x4000


class DirectoryWatch:
    """Calls `callback(name)` on the running loop for each file written or moved into `path`.

    With `growth` it is also called for each file made, and each time that one grows; with `losses` for each that goes.
    """

    def __init__(
        self, path: str, callback: Callable[[str], object], *, growth: bool = False, losses: bool = False
    ) -> None:
        self._callback = callback
        self._descriptor = syscalls.inotify_init()
        mask = syscalls.IN_CLOSE_WRITE | syscalls.IN_MOVED_TO
        if growth:
            mask |= syscalls.IN_MODIFY | syscalls.IN_CREATE
        if losses:
            mask |= syscalls.IN_DELETE | syscalls.IN_MOVED_FROM
        try:
            syscalls.inotify_add_watch(self._descriptor, path, mask)
        except OSError:
            os.close(self._descriptor)
            raise
        asyncio.get_running_loop().add_reader(self._descriptor, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._descriptor, 65536)
        except BlockingIOError:
            return
        offset = 0
        while offset < len(data):
            _, mask, _, length = _EVENT.unpack_from(data, offset)
            offset += _EVENT.size
            name = data[offset : offset + length].rstrip(b"\0")
            offset += length
            self._callback("" if mask & _Q_OVERFLOW else os.fsdecode(name))

    def close(self) -> None:
        """Stop watching."""
        if self._descriptor >= 0:
            asyncio.get_running_loop().remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1
