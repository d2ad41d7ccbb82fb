"""Logs of simulated containers, in the CRI's format, where somebody wants to read them from files.

Owns the format of a line: time with nanoseconds, stream, `F` for a full line, text.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from podling.api.times import to_wire_micro

if TYPE_CHECKING:
    from collections.abc import Sequence


def create_log(path: str) -> None:
    """Make the log file and its folder, so that an empty log is an empty log."""
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch()


def append_log(path: str, lines: Sequence[tuple[float, str]]) -> None:
    """Append lines with the instants at which they were written."""
    if lines:
        text = "".join(f"{to_wire_micro(at)[:-1]}000Z stdout F {line}\n" for at, line in lines)
        with Path(path).open("a") as file:
            file.write(text)
