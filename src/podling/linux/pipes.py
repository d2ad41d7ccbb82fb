"""Pipes and terminals' master sides on the event loop, without a thread or a transport for each.

Owns `PipeReader` and `PipeWriter`. Invariants: a descriptor given is owned and closed once; nothing blocks the loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import struct
import termios


class PipeReader:
    """Bytes from a pipe (or a terminal's master side); the descriptor is owned."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)
        self._waiter: asyncio.Future[None] | None = None

    async def read(self, limit: int = 65536) -> bytes:
        """Return some bytes, or none at the end."""
        while self._descriptor >= 0:
            try:
                return os.read(self._descriptor, limit)
            except BlockingIOError:
                pass
            except OSError as error:
                if error.errno == errno.EIO:  # the last holder of a terminal's other side is gone
                    return b""
                raise
            loop = asyncio.get_running_loop()
            self._waiter = loop.create_future()
            loop.add_reader(self._descriptor, self._wake)
            try:
                await self._waiter
            finally:
                self._waiter = None
                if self._descriptor >= 0:
                    loop.remove_reader(self._descriptor)
        return b""

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read_all(self, limit: int) -> bytes:
        """Return what comes until the end, its first `limit` bytes; the rest is read and dropped."""
        kept = bytearray()
        while data := await self.read():
            kept += data[: max(0, limit - len(kept))]
        return bytes(kept)

    def close(self) -> None:
        """Close it; a waiting `read` ends."""
        if self._descriptor >= 0:
            if self._waiter is not None:
                asyncio.get_running_loop().remove_reader(self._descriptor)
                self._wake()
            os.close(self._descriptor)
            self._descriptor = -1


class PipeWriter:
    """Bytes into a pipe (or a terminal's master side); the descriptor is owned."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        os.set_blocking(descriptor, False)

    @property
    def closed(self) -> bool:
        return self._descriptor < 0

    async def write(self, data: bytes) -> None:
        """Write all; `BrokenPipeError` once nobody reads."""
        view = memoryview(data)
        while view:
            if self._descriptor < 0:
                raise BrokenPipeError(errno.EPIPE, "the stream is closed")
            try:
                view = view[os.write(self._descriptor, view) :]
            except BlockingIOError:
                await self._writable()

    async def _writable(self) -> None:
        loop = asyncio.get_running_loop()
        waiter = loop.create_future()
        descriptor = self._descriptor
        loop.add_writer(descriptor, _resolve, waiter)
        try:
            await waiter
        finally:
            if self._descriptor >= 0:
                loop.remove_writer(descriptor)

    def resize_terminal(self, columns: int, rows: int) -> None:
        """Tell the terminal behind this its size; nothing happens where there is none any more."""
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._descriptor, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def close(self) -> None:
        """Close it."""
        if self._descriptor >= 0:
            with contextlib.suppress(RuntimeError):
                asyncio.get_running_loop().remove_writer(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = -1


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
