"""Deciding writes: compare-and-swap over a group of them, in the order in which they came.

Owns `decide`, the one place where a write is accepted or refused and gets its revision. Pure; whoever calls it commits
all of a group's changes or none. Invariants: revisions are consecutive; a refused write leaves no trace; each write
sees those of its group that were accepted before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from podling.store.protocol import Change, Mismatch, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.store.heads import Heads


class Write(Protocol):
    """A wish: `value` `None` deletes; `expected` as in `Store.put`."""

    @property
    def key(self) -> str: ...
    @property
    def value(self) -> bytes | None: ...
    @property
    def expected(self) -> int | None: ...


def decide(heads: Heads, writes: Sequence[Write]) -> tuple[list[Change], list[int | Mismatch]]:
    """Return the changes to commit, and for each write its new revision or its refusal."""
    changes: list[Change] = []
    outcomes: list[int | Mismatch] = []
    staged: dict[str, Row | None] = {}
    revision = heads.revision
    for write in writes:
        key, value, expected = write.key, write.value, write.expected
        current = staged[key] if key in staged else heads.get(key)
        standing = current.revision if current is not None else 0
        if (expected is not None and expected != standing) or (value is None and current is None):
            outcomes.append(Mismatch(current))
            continue
        revision += 1
        created = current.created if current is not None else revision
        staged[key] = Row(key, value, revision, created) if value is not None else None
        changes.append(Change(revision, key, value, created, current))
        outcomes.append(revision)
    return changes, outcomes
