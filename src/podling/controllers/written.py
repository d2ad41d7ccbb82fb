"""What a controller has written and its informer does not show yet.

Owns the gap between a write and its echo, in which a plan made from the informer alone would write twice. Invariants:
an informer that has come past the revision of a write is right, whatever it shows; so nothing that is remembered here
outlives a relist.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from podling.client.cache import key_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from podling.api.encoded import Encoded
    from podling.client.informer import Informer

_Kind = TypeVar("_Kind")


class Written(Generic[_Kind]):
    """Over one informer; objects are grouped by what the controller's keys are."""

    def __init__(self, informer: Informer[_Kind]) -> None:
        self._informer = informer
        self._mine: dict[str, tuple[str, int, _Kind]] = {}
        self._gone: dict[str, None] = {}
        self._awaited: dict[str, int] = {}

    def put(self, group: str, obj: _Kind) -> None:
        """Remember what the server answered to a write."""
        key, revision = _place(obj), int(_metadata(obj).resource_version)
        self._mine[key] = (group, revision, obj)
        self._awaited[key] = revision

    def removed(self, obj: _Kind) -> None:
        """Remember that an object was deleted."""
        self._mine.pop(_place(obj), None)
        self._gone[_metadata(obj).uid] = None

    def over(self, group: str, seen: Iterable[_Kind]) -> list[_Kind]:
        """Return the objects of a group as they are by now, from those that the informer shows."""
        return self._over(seen, {group})

    def all(self, seen: Iterable[_Kind]) -> list[_Kind]:
        """Return all objects as they are by now, from those that the informer shows."""
        return self._over(seen, {group for group, _, _ in self._mine.values()})

    def _over(self, seen: Iterable[_Kind], groups: Collection[str]) -> list[_Kind]:
        found = {_place(obj): obj for obj in seen if _metadata(obj).uid not in self._gone}
        for key, (of, revision, obj) in list(self._mine.items()):
            if revision <= self._informer.revision:
                del self._mine[key]
                # Passed over and not told: the event was lost, and what a relist tells late is news.
                self._awaited.pop(key, None)
            elif of in groups:
                found[key] = obj
        return list(found.values())

    def echoed(self, old: Encoded | None, new: Encoded | None) -> bool:
        """Whether a change that the informer shows is one that was written here."""
        if new is None:
            if old is None:
                return False
            self._awaited.pop(key_of(old), None)
            mine = old.uid in self._gone
            self._gone.pop(old.uid, None)
            return mine
        if self._awaited.get(key_of(new), -1) > new.revision:
            return False
        return self._awaited.pop(key_of(new), -1) == new.revision


def _place(obj: object) -> str:
    meta = _metadata(obj)
    return f"{meta.namespace}/{meta.name}"


def _metadata(obj: object) -> Any:
    return obj.metadata  # type: ignore[attr-defined]  # every kind has it, and no base class says so
