"""What an informer knows: objects by key, with indexes; the pure half of it.

Owns the objects of one listing and the difference that each event or relist makes. No I/O, no clock. Invariants: an
index always agrees with the objects; what a relist no longer holds comes out as a deletion; an event that is not newer
than what is held changes nothing; order is that of arrival, never a set's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from podling.api.encoded import Encoded
    from podling.client.transport import WatchEvent

    IndexFunction = Callable[[Encoded], Iterable[str]]

    Difference = tuple[Encoded | None, Encoded | None]
    """What was there, and what is now."""


def key_of(obj: Encoded) -> str:
    """Return `namespace/name`, or `name` where there is no namespace; what work queues hold."""
    return f"{obj.namespace}/{obj.name}" if obj.namespace else obj.name


def split_key(key: str) -> tuple[str, str]:
    """Return (namespace, name)."""
    namespace, _, name = key.rpartition("/")
    return namespace, name


class Cache:
    """Objects by key."""

    def __init__(self) -> None:
        self._objects: dict[str, Encoded] = {}
        self._functions: dict[str, IndexFunction] = {}
        self._indexes: dict[str, dict[str, dict[str, None]]] = {}
        self.add_index("namespace", lambda obj: (obj.namespace,))

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[Encoded]:
        return iter(self._objects.values())

    def get(self, key: str) -> Encoded | None:
        return self._objects.get(key)

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Group the objects by the values that `function` gives for each; the same name again replaces it."""
        self._functions[name] = function
        self._indexes[name] = {}
        for key, obj in self._objects.items():
            self._enter(name, key, function(obj))

    def indexed(self, name: str, value: str) -> list[Encoded]:
        """Return the objects that have `value` in the index `name`."""
        keys: Collection[str] = self._indexes[name].get(value, ())
        return [self._objects[key] for key in keys]

    def apply(self, event: WatchEvent) -> Difference | None:
        """Take one event in; `None` where it changes nothing."""
        key = key_of(event.object)
        old = self._objects.get(key)
        if event.type == "DELETED":
            if old is None:
                return None
            self._set(key, None)
            # The event's object is the last that was: newer than `old`, with what the deletion itself changed.
            return event.object, None
        if old is not None and old.uid == event.object.uid and event.object.revision <= old.revision:
            return None
        self._set(key, event.object)
        return old, event.object

    def replace(self, objects: Iterable[Encoded]) -> list[Difference]:
        """Swap everything for a fresh listing and return what differs, deletions first."""
        fresh = {key_of(obj): obj for obj in objects}
        differences: list[Difference] = []
        for key, old in list(self._objects.items()):
            new = fresh.get(key)
            if new is None or new.uid != old.uid:
                # Deleted while nobody watched; where a namesake stands there now, that one comes as an addition.
                differences.append((old, None))
                self._set(key, None)
        for key, new in fresh.items():
            held = self._objects.get(key)
            if held is not None and held.revision == new.revision:
                continue
            differences.append((held, new))
            self._set(key, new)
        return differences

    def _set(self, key: str, new: Encoded | None) -> None:
        old = self._objects.get(key)
        for name, function in self._functions.items():
            before = tuple(function(old)) if old is not None else ()
            after = tuple(function(new)) if new is not None else ()
            # Untouched where nothing moves, so that an object keeps its place.
            if before != after:
                self._leave(name, key, before)
                self._enter(name, key, after)
        if new is None:
            self._objects.pop(key, None)
        else:
            self._objects[key] = new

    def _enter(self, name: str, key: str, values: Iterable[str]) -> None:
        index = self._indexes[name]
        for value in values:
            index.setdefault(value, {})[key] = None

    def _leave(self, name: str, key: str, values: Iterable[str]) -> None:
        index = self._indexes[name]
        for value in values:
            keys = index.get(value)
            if keys is not None:
                keys.pop(key, None)
                if not keys:
                    del index[value]
