"""Who wants which element: the difference that one Service's change makes to the sets of a table.

Owns the wishes of all Services. Two may claim the same (a node port, an external address, one that hairpins): the
first by name has it, and the other gets it when that one lets go. Pure. Invariants: the effort for a change goes
with what the Service has, not with how many there are; `effective` is what the kernel holds.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from podling.network.proxy.rules import Elements, Value

    Place = tuple[str, bytes]


@dataclass(slots=True)
class Changes:
    """What is to be taken out of the sets, and what put in; a value that changes is in both."""

    gone: dict[Place, Value] = field(default_factory=dict)
    new: dict[Place, Value] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.gone or self.new)


class Claims:
    """The wishes of all owners, by place."""

    def __init__(self) -> None:
        self._held: dict[Place, tuple[str, Value]] = {}
        self._rivals: dict[Place, dict[str, Value]] = {}
        """All who want a place, where more than one does."""

    def __len__(self) -> int:
        return len(self._held)

    def effective(self) -> Iterator[tuple[Place, Value]]:
        """Yield every place that somebody has, with its value."""
        for place, (_, value) in self._held.items():
            yield place, value

    def holder(self, place: Place) -> str:
        """Return who has a place; "" for nobody."""
        held = self._held.get(place)
        return held[0] if held is not None else ""

    def replace(self, owner: str, before: Elements, after: Elements, changes: Changes) -> None:
        """Let an owner want `after` instead of `before`; add to `changes` what that comes to."""
        for place in before:
            if place not in after:
                self._settle(place, changes, _without(self._wishes(place), owner))
        for place, value in after.items():
            held = self._held.get(place)
            if held is None or held != (owner, value):
                self._settle(place, changes, {**self._wishes(place), owner: value})

    def _wishes(self, place: Place) -> Mapping[str, Value]:
        rivals = self._rivals.get(place)
        if rivals is not None:
            return rivals
        held = self._held.get(place)
        return {held[0]: held[1]} if held is not None else {}

    def _settle(self, place: Place, changes: Changes, wishes: Mapping[str, Value]) -> None:
        old = self._held.pop(place, None)
        self._rivals.pop(place, None)
        if len(wishes) > 1:
            self._rivals[place] = dict(wishes)
        if wishes:
            first = min(wishes)
            self._held[place] = (first, wishes[first])
        new = self._held.get(place)
        if (old is None) == (new is None) and (old is None or new is None or old[1] == new[1]):
            return
        # What two Services of one transaction do to a place adds up to one step.
        if old is not None and place not in changes.new:
            changes.gone[place] = old[1]
        changes.new.pop(place, None)
        if new is not None:
            changes.new[place] = new[1]


def _without(wishes: Mapping[str, Value], owner: str) -> dict[str, Value]:
    return {name: value for name, value in wishes.items() if name != owner}
