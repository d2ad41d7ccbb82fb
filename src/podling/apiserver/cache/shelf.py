"""The cached objects of one kind, with their last changes and their watchers.

Owns order (the store's keys, so that a namespace is a range), the index by one field (`spec.nodeName`), the ring of
the last changes, and dispatch: a change is offered only to the watchers of everything, of its namespace, of its name
and of its node, so that a thousand idle node watchers cost it nothing. Knows nothing of the store.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from podling.apiserver.cache.notices import Notice
from podling.apiserver.cache.watchers import Watcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from podling.api.encoded import Encoded

_TOP = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Scope:
    """What a list or watch means: the narrowest index that holds it, and the test that is exact."""

    namespace: str = ""
    name: str = ""
    indexed: str = ""
    """The value asked of the indexed field; empty where it is not asked for."""
    matches: Callable[[Encoded], bool] | None = None
    """Decides what the index cannot; `None` if namespace, name and index say all."""

    @property
    def whole_range(self) -> bool:
        """Whether namespace alone selects, so that a count of keys is a count of objects."""
        return not self.name and not self.indexed and self.matches is None

    def test(self) -> Callable[[Encoded], bool] | None:
        """Return the exact test of an object anywhere on the shelf."""
        if not (self.namespace or self.name):
            return self.matches
        namespace, name, matches = self.namespace, self.name, self.matches

        def within(encoded: Encoded) -> bool:
            return (
                (not namespace or encoded.namespace == namespace)
                and (not name or encoded.name == name)
                and (matches is None or matches(encoded))
            )

        return within


@dataclass(frozen=True, slots=True)
class WatchStream:
    """A registered watch: first the objects of `initial` as ADDED, then what `watcher` yields."""

    initial: Sequence[Encoded]
    watcher: Watcher
    revision: int
    """The revision of `initial`."""
    initial_end: bool = False
    """Whether a bookmark that says so follows the initial objects (`sendInitialEvents`)."""


class Shelf:
    """All objects of one kind, as of the cache's revision."""

    def __init__(self, prefix: str, *, namespaced: bool = True, index: str = "", ring: int = 4 * 1024 * 1024) -> None:
        """`index` names the indexed field; `ring` bounds the bytes of the changes that are kept for who resumes."""
        self.prefix = prefix
        self._namespaced = namespaced
        self._index_field = index
        self._objects: dict[str, Encoded] = {}
        self._keys: list[str] = []
        self._index: dict[str, dict[str, None]] = {}
        self._ring: deque[Notice] = deque()
        self._ring_bytes = 0
        self._ring_bound = ring
        self.ring_start = 0
        """Watches from this revision on are served from the ring."""
        self.changed = 0
        """The revision of the last change on this shelf."""
        self._watchers: dict[tuple[str, str, str], dict[Watcher, None]] = {}
        self.watching = 0

    def __len__(self) -> int:
        return len(self._keys)

    def get(self, key: str) -> Encoded | None:
        return self._objects.get(key)

    def load(self, objects: Sequence[tuple[str, Encoded]], revision: int) -> list[Notice]:
        """Begin anew with these objects, in order of their keys; who watches is cut off and lists again.

        Returns what is different from before: everything, at the first time.
        """
        before = self._objects
        self._objects = dict(objects)
        changes = [Notice(revision, key, old, None) for key, old in before.items() if key not in self._objects]
        for key, encoded in objects:
            old = before.get(key)
            if old is None or old.revision != encoded.revision:
                changes.append(Notice(encoded.revision, key, old, encoded))
        self._keys = [key for key, _ in objects]
        self._index = {}
        if self._index_field:
            for key, encoded in objects:
                self._index.setdefault(encoded.fields.get(self._index_field, ""), {})[key] = None
        self._ring.clear()
        self._ring_bytes = 0
        self.ring_start = self.changed = revision
        for watcher in [watcher for group in self._watchers.values() for watcher in group]:
            watcher.cut()
        return changes

    def reread(self, read: Callable[[Encoded], Encoded]) -> None:
        """Show every object as `read` has it: the same revisions, of which who watches is told nothing."""
        self._objects = {key: read(encoded) for key, encoded in self._objects.items()}

    def apply(self, revision: int, key: str, new: Encoded | None) -> Notice | None:
        """Take one change in and hand it to those whom it concerns; `None` if it deletes what was not there."""
        old = self._objects.get(key)
        if new is not None:
            if old is None:
                insort(self._keys, key)
            self._objects[key] = new
        elif old is None:
            return None
        else:
            del self._objects[key]
            del self._keys[bisect_left(self._keys, key)]
        was, now = self._reindex(key, old, new)
        notice = Notice(revision, key, old, new)
        self._remember(notice)
        self.changed = revision
        if self.watching:
            self._dispatch(notice, new or old, was, now)
            notice.forget_frames()
        return notice

    def count(self, namespace: str = "", after: str = "") -> int:
        """Return how many objects a namespace (or all) holds, behind the key `after`."""
        start, end = self._range(namespace, after)
        return end - start

    def select(self, scope: Scope, after: str = "") -> Iterator[Encoded]:
        """Yield the objects of a scope in order, beginning behind the key `after`."""
        objects = self._objects
        if scope.name and (scope.namespace or not self._namespaced):
            key = self.key(scope.namespace, scope.name)
            candidates = [key] if key in objects and key > after else []
        elif scope.indexed:
            keys = sorted(self._index.get(scope.indexed, ()))
            candidates = keys[bisect_right(keys, after) :]
        else:
            start, end = self._range(scope.namespace, after)
            candidates = self._keys[start:end]
        test = scope.test() if scope.indexed or scope.name else scope.matches
        for key in candidates:
            encoded = objects.get(key)
            if encoded is not None and (test is None or test(encoded)):
                yield encoded

    def key(self, namespace: str, name: str) -> str:
        return f"{self.prefix}{namespace}/{name}" if namespace else f"{self.prefix}{name}"

    def since(self, revision: int) -> list[Notice]:
        """Return the changes above `revision`, which is not below `ring_start`."""
        if revision >= self.changed:
            return []
        return [notice for notice in self._ring if notice.revision > revision]

    def watch(self, scope: Scope, *, bound: int, bookmarks: bool) -> Watcher:
        """Register a watcher of the changes from now on."""
        place = (
            ("node", scope.indexed, "")
            if scope.indexed
            else ("name", scope.namespace, scope.name)
            if scope.name and (scope.namespace or not self._namespaced)
            else ("namespace", scope.namespace, "")
            if scope.namespace
            else ("all", "", "")
        )
        watcher = Watcher(scope.test(), bound=bound, bookmarks=bookmarks, detach=lambda it: self._remove(place, it))
        self._watchers.setdefault(place, {})[watcher] = None
        self.watching += 1
        return watcher

    def watchers(self) -> list[Watcher]:
        return [watcher for group in self._watchers.values() for watcher in group]

    def _remember(self, notice: Notice) -> None:
        self._ring.append(notice)
        self._ring_bytes += notice.size
        while self._ring_bytes > self._ring_bound:
            oldest = self._ring.popleft()
            self._ring_bytes -= oldest.size
            self.ring_start = oldest.revision

    def _remove(self, place: tuple[str, str, str], watcher: Watcher) -> None:
        group = self._watchers.get(place)
        if group is not None and group.pop(watcher, 0) is None:
            self.watching -= 1
            if not group:
                del self._watchers[place]

    def _dispatch(self, notice: Notice, shown: Encoded | None, was: str | None, now: str | None) -> None:
        assert shown is not None
        places = [("all", "", ""), ("namespace", shown.namespace, ""), ("name", shown.namespace, shown.name)]
        if was:
            places.append(("node", was, ""))
        if now and now != was:
            places.append(("node", now, ""))
        for place in places:
            group = self._watchers.get(place)
            if group:
                for watcher in list(group):
                    watcher.offer(notice)

    def _reindex(self, key: str, old: Encoded | None, new: Encoded | None) -> tuple[str | None, str | None]:
        field = self._index_field
        if not field:
            return None, None
        was = None if old is None else old.fields.get(field, "")
        now = None if new is None else new.fields.get(field, "")
        if was != now:
            if was is not None:
                keys = self._index[was]
                del keys[key]
                if not keys:
                    del self._index[was]
            if now is not None:
                self._index.setdefault(now, {})[key] = None
        return was, now

    def _range(self, namespace: str, after: str) -> tuple[int, int]:
        prefix = f"{self.prefix}{namespace}/" if namespace else self.prefix
        start = bisect_right(self._keys, after) if after >= prefix else bisect_left(self._keys, prefix)
        if prefix == self.prefix:
            return start, len(self._keys)
        return start, max(start, bisect_left(self._keys, prefix + _TOP))
