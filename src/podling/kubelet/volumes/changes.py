"""Which ConfigMaps and Secrets the volumes of this node were made from, and who hears when one changes.

                 follow(…) for the first Pod               a newer revision, or gone
    not followed ───────────────────────────▶ one watch ───────────────────────────▶ every Pod that read it hears
         ▲                                        │
         └─────────── forget(…) of the last Pod ──┘

Owns one watch for each object, shared by all Pods that mount it: a node may read what its Pods name and nothing else,
so one watch over all is not to be had. Knows no volume and no file. Invariants: a Pod hears of each revision newer than
the one it read, and never of the one it read; nobody is followed for a Pod that was forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from podling.client.transport import Selection

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.client.informer import Informers

    _Key = tuple[str, str, str]


@dataclass(slots=True)
class _Followed:
    watch: asyncio.Task[None]
    readers: dict[str, int | None] = field(default_factory=dict)
    """The revision that each Pod, by uid, has read; 0: there was no object; `None`: it reads for the first time."""
    newest: int = 0
    """The newest revision heard of; 0: none, or it is gone."""


class VolumeChanges:
    """Tells `changed` the uid of each Pod whose volumes show something old."""

    def __init__(self, informers: Informers, changed: Callable[[str], None]) -> None:
        self._informers = informers
        self._changed = changed
        self._followed: dict[_Key, _Followed] = {}

    def __len__(self) -> int:
        return len(self._followed)

    def follow(self, uid: str, resource: Resource[Any], namespace: str, name: str) -> None:
        """Hear that a Pod is about to read an object for a volume of its own."""
        key = (resource.plural, namespace, name)
        followed = self._followed.get(key)
        if followed is None:
            selection = Selection(namespace, fields=f"metadata.name={name}")
            watch = self._informers.follow(resource, selection, lambda _, new: self._hear(key, new))
            followed = self._followed[key] = _Followed(watch)
        followed.readers.setdefault(uid, None)

    def read(self, uid: str, resource: Resource[Any], namespace: str, name: str, revision: int) -> None:
        """Hear that a Pod has read an object as of `revision`; 0 if it was not there."""
        followed = self._followed.get((resource.plural, namespace, name))
        if followed is not None and uid in followed.readers:
            followed.readers[uid] = revision
            if followed.newest > revision:
                self._changed(uid)

    def forget(self, uid: str) -> None:
        """Drop what is held for a Pod that is gone, and the watches that were its alone."""
        for key, followed in list(self._followed.items()):
            followed.readers.pop(uid, None)
            if not followed.readers:
                followed.watch.cancel()
                del self._followed[key]

    def _hear(self, key: _Key, new: Encoded | None) -> None:
        followed = self._followed.get(key)
        if followed is None:
            return
        followed.newest = new.revision if new is not None else 0
        for uid, held in list(followed.readers.items()):
            if held is not None and (held < followed.newest or (held > 0 and new is None)):
                self._changed(uid)
