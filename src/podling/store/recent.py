"""The last changes, in memory, and the rule of how long history is kept.

Owns `Recent`, a window of the newest changes from which watches catch up and older listings are rebuilt, and
`Retention`, which says up to which revision history may be forgotten. Pure: time comes in as numbers. Invariant:
`Recent` holds every change with a revision above `start`, in order, without a gap.
"""

from __future__ import annotations

from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.store.protocol import Change, Row


class Recent:
    """Every change above `start`; `bound` limits how many and `weight` how many bytes, 0 leaves that to `forget`."""

    def __init__(self, start: int, bound: int = 0, weight: int = 0) -> None:
        self.start = start
        self._bound = bound
        self._weight = weight
        self._held = 0
        self._changes: deque[Change] = deque()

    def __len__(self) -> int:
        return len(self._changes)

    def add(self, change: Change) -> None:
        self._changes.append(change)
        self._held += len(change.value or b"")
        while (self._bound and len(self._changes) > self._bound) or (self._weight and self._held > self._weight):
            self.forget(self._changes[0].revision)

    def forget(self, revision: int) -> None:
        """Drop the changes up to and including `revision`."""
        while self._changes and self._changes[0].revision <= revision:
            self._held -= len(self._changes.popleft().value or b"")
        self.start = max(self.start, revision)

    def since(self, after: int, prefix: str) -> list[Change]:
        """Return the changes under `prefix` above `after`, which is not below `start`."""
        # Revisions are consecutive, so that the place of a change follows from its revision.
        skip = max(0, after + 1 - self._changes[0].revision) if self._changes else 0
        return [change for change in islice(self._changes, skip, None) if change.key.startswith(prefix)]

    def undo(self, revision: int, prefix: str) -> dict[str, Row | None]:
        """Return what each key under `prefix` that has changed since `revision` was then."""
        before: dict[str, Row | None] = {}
        for change in self.since(revision, prefix):
            before.setdefault(change.key, change.previous)
        return before


class History(Struct, frozen=True):
    """How much of the past a store keeps: whichever of the two bounds is met first ends it."""

    seconds: float = 600.0
    revisions: int = 100_000


class Retention:
    """Remembers when revisions were made, coarsely, to tell which are old enough to forget."""

    _GRAIN = 5.0

    def __init__(self, history: History, moments: Iterable[tuple[int, float]] = ()) -> None:
        self._history = history
        self._moments = deque(moments)
        self._target = 0

    def note(self, revision: int, now: float) -> bool:
        """Record that `revision` is the newest at `now` (epoch seconds); whether this opened a new moment."""
        grain = min(self._GRAIN, self._history.seconds)
        # A wall clock that was set back starts anew rather than keeping history for ever.
        if self._moments and 0 <= now - self._moments[-1][1] < grain:
            return False
        self._moments.append((revision, now))
        return True

    def target(self, newest: int, now: float) -> int:
        """Return the revision before which history is to be forgotten."""
        while self._moments and self._moments[0][1] <= now - self._history.seconds:
            self._target = max(self._target, self._moments.popleft()[0])
        self._target = max(self._target, newest - self._history.revisions)
        return self._target
