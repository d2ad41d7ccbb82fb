"""How long Events are kept: a time to live, a cap per object and a cap in total, the oldest going first.

Owns the order of age of stored Events, which follows the cache. Deletes through the registry, as a component of its
own; a burst of Events is never slowed by the deletion of older ones.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from podling.apiserver.cache import Notice
    from podling.apiserver.record import Record
    from podling.apiserver.registry import Registry


@dataclass(frozen=True, slots=True)
class EventLimits:
    """What is kept of Events."""

    seconds: float = 3600.0
    per_object: int = 100
    total: int = 20_000


class EventRetention:
    """Deletes Events that are too old or too many."""

    def __init__(self, registry: Registry, record: Record, limits: EventLimits) -> None:
        self._registry = registry
        self._record = record
        self._limits = limits
        self._ages: dict[str, float] = {}
        """Key → when it was last written, the oldest first."""
        self._objects: dict[str, dict[str, None]] = {}
        """The object that Events are about → their keys, the oldest first."""
        self._excess: dict[str, None] = {}
        self._wake: asyncio.Future[None] | None = None
        registry.cache.listen(record.key_prefix, self._note)

    def _note(self, notice: Notice) -> None:
        key, shown = notice.key, notice.new or notice.old
        assert shown is not None
        about = f"{shown.namespace}/{shown.fields.get('involvedObject.uid') or shown.fields.get('involvedObject.name')}"
        same = self._objects.setdefault(about, {})
        self._ages.pop(key, None)
        same.pop(key, None)
        self._excess.pop(key, None)
        if notice.new is None:
            if not same:
                del self._objects[about]
            return
        # What was there before this process began counts from its beginning: an Event may live that much longer.
        self._ages[key] = self._registry.clock.time()
        same[key] = None
        if len(same) > self._limits.per_object:
            self._condemn(next(iter(same)))
        if len(self._ages) - len(self._excess) > self._limits.total:
            self._condemn(next(it for it in self._ages if it not in self._excess))

    def _condemn(self, key: str) -> None:
        self._excess[key] = None
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self) -> None:
        """Delete for ever: what is over a cap at once, what is over its time as it comes due."""
        clock = self._registry.clock
        while True:
            for key in list(self._excess):
                self._excess.pop(key, None)
                await self._remove(key)
            due = clock.time() - self._limits.seconds
            for key in [key for key, since in self._until(due)]:
                await self._remove(key)
            if self._excess:
                continue
            oldest = next(iter(self._ages.values()), None)
            pause = self._limits.seconds if oldest is None else max(1.0, oldest + self._limits.seconds - clock.time())
            self._wake = asyncio.get_running_loop().create_future()
            try:
                async with clock.timeout(pause):
                    await self._wake
            except TimeoutError:
                pass
            finally:
                self._wake = None

    def _until(self, due: float) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = []
        for key, since in self._ages.items():
            if since > due:
                break
            found.append((key, since))
        return found

    async def _remove(self, key: str) -> None:
        current = self._registry.shelf(self._record).get(key)
        if current is None:
            return
        try:
            await self._registry.remove(key, current)
        except Mismatch:
            return  # it was written again, and is young
