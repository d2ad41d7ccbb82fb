"""Who watches, and what reaches them.

Owns `Watcher`: a bounded buffer of deliveries read by iteration, or, once `attach` was called, a function that each
delivery goes to at once. Invariants: deliveries come in order of revision, each once; a watcher that falls further
behind than its bound is cut off and never blocks the cache.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Self

from podling.api.errors import expired

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded
    from podling.apiserver.cache.notices import EventType, Notice

    Matches = Callable[[Encoded], bool]
    Sink = Callable[[Notice, EventType], bool]
    """Takes a delivery; `False` says that the reader is too slow and is to be cut off."""


class Watcher:
    """One watch on one shelf, from its registration on."""

    def __init__(
        self, matches: Matches | None, *, bound: int, bookmarks: bool, detach: Callable[[Watcher], None]
    ) -> None:
        self._matches = matches
        self._bound = bound
        self.bookmarks = bookmarks
        self._detach = detach
        self._buffer: deque[tuple[Notice, EventType]] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._sink: Sink | None = None
        self.overrun = False
        self.ended = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> tuple[Notice, EventType]:
        """Return the next delivery; `StatusError` 410 for one who was cut off."""
        while not self._buffer:
            if self.overrun:
                raise expired("The watch was too slow and has missed events; list again")
            if self.ended:
                raise StopAsyncIteration
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        return self._buffer.popleft()

    def attach(self, sink: Sink) -> None:
        """Hand over what is buffered, and from now on each delivery within the change itself."""
        self._sink = sink
        while self._buffer and not self.overrun:
            if not sink(*self._buffer.popleft()):
                self._cut()

    async def closed(self) -> None:
        """Return once the watcher was ended or cut off."""
        while not (self.ended or self.overrun):
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived

    def offer(self, notice: Notice) -> None:
        """Take one change in, as what it is to this watcher: objects come into and leave its selection."""
        matches, old, new = self._matches, notice.old, notice.new
        was = old is not None and (matches is None or matches(old))
        if new is not None and (matches is None or matches(new)):
            self.deliver(notice, "MODIFIED" if was else "ADDED")
        elif was:
            self.deliver(notice, "DELETED")

    def precede(self, notices: list[Notice]) -> None:
        """Put changes from before the registration in front of what has arrived since."""
        arrived, self._buffer = self._buffer, deque()
        for notice in notices:
            self.offer(notice)
        self._buffer.extend(arrived)

    def deliver(self, notice: Notice, kind: EventType) -> None:
        if self.ended or self.overrun:
            return
        if self._sink is not None:
            if not self._sink(notice, kind):
                self._cut()
        elif len(self._buffer) >= self._bound:
            self._cut()
        else:
            self._buffer.append((notice, kind))
            self._wake()

    def cut(self) -> None:
        """End the watch with 410: its reader must list afresh."""
        self._cut()

    def close(self) -> None:
        """End the watch; what is buffered can still be read."""
        self.ended = True
        self._detach(self)
        self._wake()

    def _cut(self) -> None:
        self.overrun = True
        self._detach(self)
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
