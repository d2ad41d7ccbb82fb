"""What every key is now, in memory: the part of a store that all reads of the newest revision are answered from.

Owns the newest row of each key and the keys' order. Knows nothing of history, disks or waiting. Invariants: holds
committed rows only; `revision` is that of the last change applied; keys are in order at all times. The values are the
writers' own bytes objects, so a cache above the store that keeps them too costs nothing twice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from typing import TYPE_CHECKING

from podling.store.protocol import Change, Page, Row

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

# Above every key that begins with a given prefix; keys never hold it.
TOP = "\U0010ffff"

FIRST_REVISION = 1
"""The revision of a store that nobody has written to, as etcd has it, so that 0 is never an answer."""


class Heads:
    """The newest committed row of every key."""

    def __init__(self, rows: Iterable[Row] = (), revision: int = FIRST_REVISION) -> None:
        self.revision = revision
        self._rows = {row.key: row for row in rows}
        self._keys = sorted(self._rows)

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: str) -> Row | None:
        return self._rows.get(key)

    def apply(self, change: Change) -> None:
        """Take one committed change in; changes come in the order of their revisions."""
        key = change.key
        if change.value is None:
            del self._rows[key]
            del self._keys[bisect_left(self._keys, key)]
        else:
            if key not in self._rows:
                insort(self._keys, key)
            self._rows[key] = Row(key, change.value, change.revision, change.created)
        self.revision = change.revision

    def page(self, prefix: str, after: str, limit: int) -> Page:
        """Return a part of the listing of `prefix` as it is now."""
        start, end = self._range(prefix, after)
        stop = min(start + limit, end) if limit else end
        rows = [self._rows[key] for key in self._keys[start:stop]]
        return Page(rows, self.revision, stop < end, end - stop)

    def page_before(self, prefix: str, after: str, limit: int, revision: int, undo: Mapping[str, Row | None]) -> Page:
        """Return a part of the listing as it was at `revision`; `undo` says what each key changed since then was."""
        start, end = self._range(prefix, after)
        keys = [key for key in self._keys[start:end] if key not in undo]
        keys += [key for key, row in undo.items() if row is not None and key > after]
        keys.sort()
        rows = [undo.get(key) or self._rows[key] for key in (keys[:limit] if limit else keys)]
        return Page(rows, revision, len(rows) < len(keys), len(keys) - len(rows))

    def _range(self, prefix: str, after: str) -> tuple[int, int]:
        start = bisect_right(self._keys, after) if after >= prefix else bisect_left(self._keys, prefix)
        return start, max(start, bisect_left(self._keys, prefix + TOP))
