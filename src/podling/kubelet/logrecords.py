"""One record of a container's log, in the CRI's format: `TIME STREAM TAGS TEXT`.

Owns the format alone. The tag `P` marks a line that goes on in the next record.
"""

from __future__ import annotations

from typing import NamedTuple

_STREAMS = (b"stdout", b"stderr")


class LogRecord(NamedTuple):
    """A line, or a part of one, as its container wrote it."""

    time: bytes
    stream: bytes
    text: bytes
    ends_line: bool

    @property
    def written(self) -> bytes:
        """What the container wrote."""
        return self.text + b"\n" if self.ends_line else self.text


def read_record(line: bytes) -> LogRecord | None:
    """Return the record of a line without its end; `None` for what is none."""
    parts = line.split(b" ", 3)
    if len(parts) < 3 or parts[1] not in _STREAMS:
        return None
    return LogRecord(parts[0], parts[1], parts[3] if len(parts) > 3 else b"", parts[2].split(b":")[0] != b"P")
