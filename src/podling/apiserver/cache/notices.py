"""One committed change, as all watchers share it.

Owns the making of events and frames from a change: each form of it is made once, at first need, whoever asks. A frame
is the line that goes over the wire, ready for any number of connections.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from podling.apiserver.objects import at
from podling.client.transport import WatchEvent

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded

EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]

Form: TypeAlias = "Callable[[Encoded], bytes]"
"""Turns an object into the JSON of the representation asked for; the same function for all who ask for the same."""


class Notice:
    """A change of one key: what was there, what is there."""

    __slots__ = ("_events", "_frames", "_last", "key", "new", "old", "revision")

    def __init__(self, revision: int, key: str, old: Encoded | None, new: Encoded | None) -> None:
        self.revision = revision
        self.key = key
        self.old = old
        self.new = new
        self._last: Encoded | None = None
        self._events: dict[str, WatchEvent] | None = None
        self._frames: dict[tuple[str, Form | None], bytes] | None = None

    @property
    def size(self) -> int:
        """Roughly the bytes that this change keeps alive."""
        return 400 + sum(len(it.raw) for it in (self.old, self.new) if it is not None)

    def object(self, kind: EventType) -> Encoded:
        """Return the object that an event of this kind shows: for DELETED the last state at the deletion's revision."""
        if kind != "DELETED":
            assert self.new is not None
            return self.new
        if self._last is None:
            assert self.old is not None
            self._last = at(self.old, self.revision)
        return self._last

    def event(self, kind: EventType) -> WatchEvent:
        if self._events is None:
            self._events = {}
        event = self._events.get(kind)
        if event is None:
            event = self._events[kind] = WatchEvent(kind, self.object(kind))
        return event

    def forget_frames(self) -> None:
        """Let the frames go once all who listen have theirs; who comes later has them made again."""
        self._frames = None

    def frame(self, kind: EventType, form: Form | None = None) -> bytes:
        """Return the line for the wire, in the given representation (`None`: as stored)."""
        if self._frames is None:
            self._frames = {}
        frame = self._frames.get((kind, form))
        if frame is None:
            frame = self._frames[kind, form] = frame_of(kind, self.object(kind), form)
        return frame


def frame_of(kind: str, encoded: Encoded, form: Form | None = None) -> bytes:
    """Return the line of one event; for objects that are no change, such as those that a watch begins with."""
    return b'{"type":"%b","object":%b}\n' % (kind.encode(), encoded.wire() if form is None else form(encoded))
