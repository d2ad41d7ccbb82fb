"""The store's Protocol: a revisioned log of keys with watch, as small as etcd's core.

Owns the words between the API server and whatever keeps the data. Knows nothing of Kubernetes: keys are text, values
are bytes. Invariants that the contract suite holds every implementation to: one revision counter per store, which
each write raises by one; a write is answered after it is on disk; watchers see committed changes only, in order of
revision, each once; reading at a compacted revision raises `Compacted`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence


class Row(Struct, frozen=True):
    """One key as of one revision."""

    key: str
    value: bytes
    revision: int
    """The revision of the write that made this value."""
    created: int
    """The revision at which the key was created last."""


class Change(Struct, frozen=True):
    """One committed write, with what it replaced."""

    revision: int
    key: str
    value: bytes | None
    """`None`: the key was deleted."""
    created: int
    previous: Row | None
    """`None`: the key was created."""


class Page(Struct, frozen=True):
    """A part of an ordered listing, all as of one revision."""

    rows: Sequence[Row]
    revision: int
    more: bool
    remaining: int
    """How many rows come after this page; 0 when `more` is false."""


class Wish(NamedTuple):
    """A write that is asked for."""

    key: str
    value: bytes | None
    """`None` deletes."""
    expected: int | None
    """The revision that the key must have: 0 means that it must not exist, `None` is content with whatever stands."""


class Compacted(Exception):  # an outcome that callers plan for
    """The revision asked for is older than the history kept; `oldest` is the oldest that can be read."""

    def __init__(self, oldest: int) -> None:
        super().__init__(f"revisions before {oldest} are compacted")
        self.oldest = oldest


class FutureRevision(Exception):
    """The revision asked for has not happened yet; `newest` is the newest that has."""

    def __init__(self, newest: int) -> None:
        super().__init__(f"the newest revision is {newest}")
        self.newest = newest


class Mismatch(Exception):
    """A compare-and-swap found another revision than expected; `current` is what stands there, `None` if nothing."""

    def __init__(self, key: str, current: Row | None) -> None:
        super().__init__(f"{key} has another revision than expected")
        self.key = key
        self.current = current


class Unwritable(Exception):
    """The disk refused the write, full or broken; nothing was changed, and a later write may succeed."""


class Store(Protocol):
    """A revisioned key-value log. All revisions are positive; 0 means "the newest" where reading."""

    @property
    def revision(self) -> int:
        """The newest committed revision."""
        ...

    @property
    def compacted(self) -> int:
        """Reads and watches at revisions below this raise `Compacted`."""
        ...

    async def get(self, key: str, revision: int = 0) -> Row | None:
        """Return the key as of `revision`."""
        ...

    async def list(self, prefix: str, *, after: str = "", limit: int = 0, revision: int = 0) -> Page:
        """Return the keys under `prefix` in order, beginning behind the key `after`; `limit` 0 is without limit."""
        ...

    async def put(self, key: str, value: bytes, *, expected: int | None) -> int:
        """Write, and return the new revision once it is on disk.

        `expected` is the revision that the key must have now: 0 means that it must not exist, `None` writes whatever
        stands there. `Mismatch` leaves everything as it was.
        """
        ...

    async def delete(self, key: str, *, expected: int | None) -> int:
        """Delete, and return the revision of the deletion; `Mismatch` if the key is not at `expected` or is absent."""
        ...

    async def write(self, wishes: Sequence[Wish]) -> Sequence[int]:
        """Write several keys, all of them or none, and return their revisions, in order.

        Nobody sees some of them without the others, neither who reads meanwhile nor who finds the store after a crash.
        `Mismatch` is about the first wish that could not be granted.
        """
        ...

    def watch(self, prefix: str, after: int) -> AsyncIterator[Sequence[Change]]:
        """Yield every change under `prefix` with a revision above `after`, in order, in batches as committed.

        Raises `Compacted` when `after` is too old, also when a reader has fallen so far behind that it was cut off.
        Changes are handed to watchers before the writer's `put` returns to its caller.
        """
        ...

    async def compact(self, revision: int) -> None:
        """Forget the history before `revision`; the newest value of each key always stays."""
        ...

    async def close(self) -> None:
        """Finish what was acknowledged and let the files go."""
        ...
