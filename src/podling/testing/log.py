"""The canonical log of a simulation: every committed change of the store, in order, complete.

Owns the form of a line, `instant revision verb key digest`: seconds since the world's beginning, the store's revision,
`create`, `update` or `delete`, the key below `/registry`, and 16 hexadecimal digits of the stored value's SHA-256 (of
the last value, for a deletion). Two runs are the same run if and only if their logs are equal.
"""

from __future__ import annotations

import hashlib
from itertools import zip_longest
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from podling.aio.clock import Clock
    from podling.store.protocol import Change, Store

_ROOT = "/registry/"


class EventLog:
    """Writes down what a store commits; `run` is a component."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._clock = clock
        self._changes: AsyncIterator[Sequence[Change]] = store.watch(_ROOT, store.revision)
        self.lines: list[str] = []

    async def run(self) -> None:
        """Follow the store for ever; a store that commits faster than this is read fails the simulation."""
        async for batch in self._changes:
            instant = f"{self._clock.monotonic():.6f}"
            self.lines += [f"{instant} {_line(change)}" for change in batch]

    def digest(self) -> str:
        """Return one SHA-256 over all lines."""
        return hashlib.sha256("\n".join(self.lines).encode()).hexdigest()


def _line(change: Change) -> str:
    value = change.value
    if value is None:
        verb = "delete"
        value = change.previous.value if change.previous is not None else b""
    else:
        verb = "create" if change.previous is None else "update"
    key = change.key.removeprefix(_ROOT)
    return f"{change.revision} {verb} {key} {hashlib.sha256(value).hexdigest()[:16]}"


def first_difference(one: Sequence[str], other: Sequence[str]) -> str:
    """Return where two logs part, for a failed test to print; empty if they are equal."""
    for number, (left, right) in enumerate(zip_longest(one, other, fillvalue="(the log ends here)")):
        if left != right:
            return f"line {number}:\n  {left}\n  {right}"
    return ""
