"""Deciding writes: compare-and-swap over a group of them, in the order in which they came.

Owns `decide`, the one place where a write is accepted or refused and gets its revision. Pure; whoever calls it commits
all of a group's changes or none. Invariants: revisions are consecutive; a refused write leaves no trace, nor do those
that were asked for together with it; each write sees those of its group that were accepted before it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.store.protocol import Change, Mismatch, Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.store.heads import Heads
    from podling.store.protocol import Wish

    Outcome = Sequence[int] | Mismatch
    """The new revision of each wish, or why none was granted."""


def decide(heads: Heads, asked: Sequence[Sequence[Wish]]) -> tuple[list[Change], list[Outcome]]:
    """Return the changes to commit, and the outcome of each: wishes that were asked for together stand or fall so."""
    changes: list[Change] = []
    outcomes: list[Outcome] = []
    staged: dict[str, Row | None] = {}
    revision = heads.revision
    for wishes in asked:
        made: list[Change] = []
        mine: dict[str, Row | None] = {}
        refusal: Mismatch | None = None
        for key, value, expected in wishes:
            current = mine[key] if key in mine else staged[key] if key in staged else heads.get(key)
            standing = current.revision if current is not None else 0
            if (expected is not None and expected != standing) or (value is None and current is None):
                refusal = Mismatch(key, current)
                break
            number = revision + len(made) + 1
            created = current.created if current is not None else number
            mine[key] = Row(key, value, number, created) if value is not None else None
            made.append(Change(number, key, value, created, current))
        if refusal is not None:
            outcomes.append(refusal)
            continue
        staged.update(mine)
        changes += made
        revision += len(made)
        outcomes.append([change.revision for change in made])
    return changes, outcomes
