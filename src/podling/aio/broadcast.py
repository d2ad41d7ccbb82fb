"""One publisher, many readers, none of whom can slow another.

Owns bounded per-reader buffers. A reader that falls further behind than its bound is cut off: it gets what it had
buffered and then `Overrun`, and must begin again from a fresh list. Nothing is buffered without bound.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, Self, TypeVar

if TYPE_CHECKING:
    from types import TracebackType

_Item = TypeVar("_Item")


class Overrun(Exception):  # an outcome that readers plan for
    """The reader was too slow and has missed items."""


class Broadcast(Generic[_Item]):
    """Publishes items to whoever subscribed before."""

    def __init__(self, bound: int = 1024) -> None:
        self._bound = bound
        self._readers: dict[Subscription[_Item], None] = {}

    def __len__(self) -> int:
        return len(self._readers)

    def subscribe(self) -> Subscription[_Item]:
        """Return a reader of all items published from now on; close it, or use it as a context manager."""
        reader: Subscription[_Item] = Subscription(self, self._bound)
        self._readers[reader] = None
        return reader

    def publish(self, item: _Item) -> None:
        """Hand `item` to every reader; never waits."""
        for reader in list(self._readers):
            reader._offer(item)

    def _remove(self, reader: Subscription[_Item]) -> None:
        self._readers.pop(reader, None)


class Subscription(Generic[_Item]):
    """An asynchronous iterator over what was published since `Broadcast.subscribe`."""

    def __init__(self, source: Broadcast[_Item], bound: int) -> None:
        self._source = source
        self._bound = bound
        self._items: deque[_Item] = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._overrun = False
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> _Item:
        while not self._items:
            if self._overrun:
                raise Overrun
            if self._closed:
                raise StopAsyncIteration
            self._arrived = asyncio.get_running_loop().create_future()
            await self._arrived
        return self._items.popleft()

    def close(self) -> None:
        """Stop reading; a waiting `__anext__` ends."""
        self._closed = True
        self._source._remove(self)
        self._wake()

    def _offer(self, item: _Item) -> None:
        if len(self._items) >= self._bound:
            self._overrun = True
            self._source._remove(self)
        else:
            self._items.append(item)
        self._wake()

    def _wake(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)
