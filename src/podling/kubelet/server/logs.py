"""Container logs: files in the CRI's format, as the text that `kubectl logs` prints.

Owns what to leave out, and following. A follower is woken by the kernel when the file grows or is replaced, and by the
runtime when the container has ended; it polls nothing. Invariants: at most one block of the file is held; after a
rotation the old file is read to its end first; a follower ends when the container has, after its last byte.
"""

from __future__ import annotations

import asyncio
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from msgspec import Struct

from podling.api.times import from_wire
from podling.kubelet.logrecords import read_record
from podling.linux.inotify import DirectoryWatch

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from podling.runtime.protocol import ContainerId, Runtime

_BLOCK = 64 * 1024
_LONGEST_RECORD = 1024 * 1024


class LogOptions(Struct, frozen=True):
    """What of a log is wanted."""

    follow: bool = False
    since: float | None = None
    """Seconds since the epoch; older records are left out."""
    timestamps: bool = False
    tail: int | None = None
    limit: int | None = None
    """Bytes, after which the answer is cut."""
    stream: str = "All"
    """All, Stdout, Stderr"""


class LogText:
    """Turns records into text, one block after the other."""

    def __init__(self, options: LogOptions) -> None:
        self._options = options
        self._stream = b"" if options.stream == "All" else options.stream.lower().encode()
        self._line_begins = True
        self._left = options.limit

    @property
    def exhausted(self) -> bool:
        """Whether the limit is reached."""
        return self._left is not None and self._left <= 0

    def render(self, records: list[bytes]) -> bytes:
        """Return the text of whole records; what is no record is skipped."""
        text = b"".join(self._pieces(records))
        if self._left is not None:
            text = text[: self._left]
            self._left -= len(text)
        return text

    def _pieces(self, records: list[bytes]) -> Iterator[bytes]:
        options = self._options
        for record in map(read_record, records):
            if record is None or (self._stream and record.stream != self._stream):
                continue
            if options.since is not None and not _since(record.time, options.since):
                continue
            if options.timestamps and self._line_begins:
                yield _nanoseconds(record.time) + b" "
            self._line_begins = record.ends_line
            yield record.written


def _since(time: bytes, instant: float) -> bool:
    try:
        return from_wire(time.decode()) >= instant
    except ValueError:
        return True


def _nanoseconds(time: bytes) -> bytes:
    """Return an RFC 3339 time with nine digits of a second, as upstream prints them; no offset is `Z`."""
    if time.endswith(b"+00:00"):
        time = time[:-6] + b"Z"
    head, point, rest = time.partition(b".")
    if not point:
        zone = head[19:] or b"Z"
        return head[:19] + b".000000000" + zone
    digits = len(rest) - len(rest.lstrip(b"0123456789"))
    return head + b"." + rest[:digits].ljust(9, b"0")[:9] + rest[digits:]


def tail_offset(file: BinaryIO, lines: int) -> int:
    """Return where the last `lines` records begin."""
    end = file.seek(0, os.SEEK_END)
    if not lines:
        return end
    position, missing = end, lines + 1
    while position > 0:
        size = min(_BLOCK, position)
        position -= size
        file.seek(position)
        block = file.read(size)
        if position + size == end and not block.endswith(b"\n"):
            missing -= 1  # a record still being written counts as one
        count = block.count(b"\n")
        if count >= missing:
            at = len(block)
            for _ in range(missing):
                at = block.rfind(b"\n", 0, at)
            return position + at + 1
        missing -= count
    return 0


class _File:
    """A log file that may be replaced under its name."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.file: BinaryIO = io.FileIO(path)
        self._held = b""

    def records(self) -> list[bytes] | None:
        """Return the whole records of the next block; `None` at the end for now."""
        block = self.file.read(_BLOCK)
        if not block:
            return None
        *whole, self._held = (self._held + block).split(b"\n")
        if len(self._held) > _LONGEST_RECORD:
            self._held = b""
        return whole

    def replaced(self) -> bool:
        """Open what stands under the name now, if that is another file; return whether there is more to read."""
        try:
            there = Path(self._path).stat()
        except FileNotFoundError:
            return False
        here = os.fstat(self.file.fileno())
        if (here.st_dev, here.st_ino) == (there.st_dev, there.st_ino):
            if there.st_size < self.file.tell():
                self.file.seek(0)  # truncated where it stands
                self._held = b""
                return True
            return False
        if here.st_size > self.file.tell():
            return True  # written between our last look and the rotation: to be read first
        self.file.close()
        self.file = io.FileIO(self._path)
        self._held = b""
        return True

    def close(self) -> None:
        self.file.close()


async def read_log(
    path: str, options: LogOptions, runtime: Runtime, container: ContainerId
) -> AsyncGenerator[bytes, None]:
    """Yield the text of a log; `FileNotFoundError` before the first piece if there is none."""
    text = LogText(options)
    source = _File(path)
    grown = asyncio.Event()
    ended = not options.follow
    watch: DirectoryWatch | None = None
    ending: asyncio.Task[None] | None = None
    try:
        if options.follow:
            name = Path(path).name
            watch = DirectoryWatch(
                str(Path(path).parent), lambda it: grown.set() if it in {name, ""} else None, growth=True
            )
            ending = asyncio.create_task(wait_ended(runtime, container), name=f"log of {container}")
            ending.add_done_callback(lambda _: grown.set())
        if options.tail is not None:
            source.file.seek(tail_offset(source.file, options.tail))
        while not text.exhausted:
            grown.clear()
            if ending is not None and ending.done():
                ending.result()
                ended = True
            while not text.exhausted and (records := source.records()) is not None:
                rendered = text.render(records)
                if rendered:
                    yield rendered
            if options.follow and source.replaced():
                grown.set()
                continue
            if ended:
                return
            await grown.wait()
    finally:
        if ending is not None:
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
        if watch is not None:
            watch.close()
        source.close()


async def wait_ended(runtime: Runtime, container: ContainerId) -> None:
    """Return once a container runs no longer."""
    while True:
        events = runtime.events()
        try:
            if await _over(runtime, container):
                return
            async for event in events:
                if event.container in {None, container} and await _over(runtime, container):
                    return
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()


async def _over(runtime: Runtime, container: ContainerId) -> bool:
    found = await runtime.container(container)
    return found is None or found.finished is not None
