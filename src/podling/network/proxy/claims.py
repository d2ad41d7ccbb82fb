"""Who has which frontend: the difference that one Service's change makes to the sets of a table.

Owns the wishes of all owners. Two may claim the same (a node port, an external address, an endpoint that hairpins): one
of them has all that is said of it, and the other gets it when that one lets go. Who claims an address because a load
balancer's status says so goes before who names it without further ado; among equals it is the first by name. Pure.
Invariants: the effort for a change goes with what the Service has, not with how many there are; `effective` is what the
kernel holds; of a frontend it holds one owner's elements and nobody else's.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from podling.network.proxy.sets import OF_FRONTENDS, frontend_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from podling.linux.families import Family
    from podling.network.proxy.rules import Elements, Value

Place: TypeAlias = "tuple[str, bytes]"
_About: TypeAlias = "bytes | Place"
_Wish: TypeAlias = "tuple[bool, Elements]"
"""Whether it gives way, and what is wanted."""


@dataclass(slots=True)
class Changes:
    """What is to be taken out of the sets, and what put in; a value that changes is in both."""

    gone: dict[Place, Value] = field(default_factory=dict)
    new: dict[Place, Value] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.gone or self.new)

    def add(self, before: Elements, after: Elements) -> None:
        """Add the step from `before` to `after`; what one transaction does to a place adds up to one step."""
        for place, value in before.items():
            if place in after and after[place] == value:
                continue
            if place not in self.new:
                self.gone[place] = value
            self.new.pop(place, None)
        for place, value in after.items():
            if place not in before or before[place] != value:
                self.new[place] = value


class Claims:
    """The wishes of all owners, by what they are about: a frontend, or else a single place."""

    def __init__(self, family: Family) -> None:
        self._frontend = frontend_bytes(family)
        self._wishes: dict[_About, dict[str, _Wish]] = {}
        self._owned: dict[str, Mapping[_About, _Wish]] = {}

    def effective(self) -> Iterator[tuple[Place, Value]]:
        """Yield every place that somebody has, with its value."""
        for wishes in self._wishes.values():
            yield from _had(wishes).items()

    def replace(self, owner: str, wanted: Elements, changes: Changes, yielding: Collection[bytes] = ()) -> None:
        """Let an owner want these and no others, and give way at the frontends `yielding`.

        What that comes to is added to `changes`.
        """
        before, after = self._owned.pop(owner, {}), self._grouped(wanted, yielding)
        if after:
            self._owned[owner] = after
        for about in {**before, **after}:
            wish = after.get(about)
            if before.get(about) == wish:
                continue
            wishes = self._wishes.setdefault(about, {})
            had = _had(wishes)
            wishes.pop(owner, None)
            if wish is not None:
                wishes[owner] = wish
            changes.add(had, _had(wishes))
            if not wishes:
                del self._wishes[about]

    def _grouped(self, elements: Elements, yielding: Collection[bytes]) -> Mapping[_About, _Wish]:
        found: dict[_About, _Wish] = {}
        for place, value in elements.items():
            name, key = place
            about = key[: self._frontend] if name in OF_FRONTENDS else place
            wish = found.get(about)
            if wish is None:
                found[about] = wish = (about in yielding, {})
            wish[1][place] = value
        return found


def _had(wishes: Mapping[str, _Wish]) -> Elements:
    """Return the elements of whoever of them has what they wish."""
    if not wishes:
        return {}
    owner = min(wishes, key=lambda name: (wishes[name][0], name)) if len(wishes) > 1 else next(iter(wishes))
    return wishes[owner][1]
