"""The work queue of client-go, on asyncio: fair, deduplicated, never two workers on one key.

Owns three sets (waiting in order, dirty, processing) and the per-key back-off. A key added while it is processed is
processed once more afterwards; a key added twice before it is taken is taken once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Hashable

    from podling.aio.clock import Clock, Timer

_Key = TypeVar("_Key", bound="Hashable")


class WorkQueue(Generic[_Key]):
    """Keys to be reconciled. `first` and `longest` (seconds) shape the per-key back-off, doubling between them."""

    def __init__(self, clock: Clock, *, first: float = 0.005, longest: float = 1000.0) -> None:
        self._clock = clock
        self._first = first
        self._longest = longest
        self._order: deque[_Key] = deque()
        self._dirty: set[_Key] = set()
        self._processing: set[_Key] = set()
        self._failures: dict[_Key, int] = {}
        self._later: dict[_Key, tuple[float, Timer]] = {}
        self._getters: deque[asyncio.Future[None]] = deque()

    def __len__(self) -> int:
        return len(self._order)

    def add(self, key: _Key) -> None:
        """Ask for `key` to be processed now."""
        if key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._append(key)

    def add_after(self, key: _Key, seconds: float) -> None:
        """Ask for `key` after `seconds`; of several such wishes the soonest stands."""
        if seconds <= 0:
            self.add(key)
            return
        when = self._clock.monotonic() + seconds
        earlier = self._later.get(key)
        if earlier is not None:
            if earlier[0] <= when:
                return
            earlier[1].cancel()
        self._later[key] = (when, self._clock.call_later(seconds, lambda: self._due(key)))

    def add_rate_limited(self, key: _Key) -> None:
        """Ask for `key` after its back-off, which doubles with each call until `forget`."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        self.add_after(key, min(self._first * 2.0 ** min(failures, 60), self._longest))

    def forget(self, key: _Key) -> None:
        """Start `key`'s back-off afresh."""
        self._failures.pop(key, None)

    async def get(self) -> _Key:
        """Wait for a key and take it; the taker calls `done` when finished, whatever came of it."""
        while not self._order:
            getter = asyncio.get_running_loop().create_future()
            self._getters.append(getter)
            try:
                await getter
            except asyncio.CancelledError:
                # A wake-up that reached a cancelled taker belongs to the next one.
                if getter.done() and not getter.cancelled():
                    self._wake()
                raise
            finally:
                if getter in self._getters:
                    self._getters.remove(getter)
        key = self._order.popleft()
        self._processing.add(key)
        self._dirty.discard(key)
        return key

    def done(self, key: _Key) -> None:
        """Give `key` back; if it was added meanwhile, it is queued again."""
        self._processing.discard(key)
        if key in self._dirty:
            self._append(key)

    def _due(self, key: _Key) -> None:
        self._later.pop(key, None)
        self.add(key)

    def _append(self, key: _Key) -> None:
        self._order.append(key)
        self._wake()

    def _wake(self) -> None:
        while self._getters:
            getter = self._getters.popleft()
            if not getter.done():
                getter.set_result(None)
                return
