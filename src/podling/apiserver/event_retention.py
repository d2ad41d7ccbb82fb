"""How long Events are kept: while their object lives and a time beyond, within caps per object and in total.

Owns the order of age of stored Events, which follows the cache. Deletes through the registry, as a component of its
own; a burst of Events is never slowed by the deletion of older ones. Over a cap, the oldest go first. An Event about
what is not stored here counts its time from when it was last written. What was there before this process began counts
from its beginning: an Event may live that much longer.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podling.api.encoded import Encoded
    from podling.apiserver.cache import Notice
    from podling.apiserver.record import Record
    from podling.apiserver.registry import Registry

_HOME = "default"
"""The namespace of Events about what has none."""


@dataclass(frozen=True, slots=True)
class EventLimits:
    """What is kept of Events."""

    seconds: float = 86400.0
    """How long an Event outlives its object."""
    per_object: int = 100
    total: int = 20_000


class EventRetention:
    """Deletes Events that are too old or too many."""

    def __init__(self, registry: Registry, record: Record, others: tuple[Record, ...], limits: EventLimits) -> None:
        """Keep Events, the objects of `record`, about objects of `others`."""
        self._registry = registry
        self._record = record
        self._limits = limits
        self._kinds = {it.resource.kind: it for it in others}
        self._ages: dict[str, None] = {}
        """Keys, the longest unwritten first."""
        self._ends: dict[str, float] = {}
        """Key → since when its object is gone, or when it was written last, if later; the earliest first."""
        self._objects: dict[str, dict[str, None]] = {}
        """The object that Events are about → their keys, the oldest first."""
        self._excess: dict[str, None] = {}
        self._wake: asyncio.Future[None] | None = None
        registry.cache.listen(record.key_prefix, self._note)
        for other in others:
            registry.cache.listen(other.key_prefix, self._note_object)

    def _note(self, notice: Notice) -> None:
        key, shown = notice.key, notice.new or notice.old
        assert shown is not None
        fields = shown.fields
        about = f"{shown.namespace}/{fields.get('involvedObject.uid') or fields.get('involvedObject.name')}"
        same = self._objects.setdefault(about, {})
        for known in (self._ages, self._ends, same, self._excess):
            known.pop(key, None)
        if notice.new is None:
            if not same:
                del self._objects[about]
            return
        self._ages[key] = same[key] = None
        if not self._lives(shown):
            self._begin(key)
        if len(same) > self._limits.per_object:
            self._condemn(next(iter(same)))
        if len(self._ages) - len(self._excess) > self._limits.total:
            self._condemn(next(it for it in self._ages if it not in self._excess))

    def _lives(self, event: Encoded) -> bool:
        fields = event.fields
        record = self._kinds.get(fields.get("involvedObject.kind", ""))
        if record is None:
            return False
        namespace = (fields.get("involvedObject.namespace") or event.namespace) if record.resource.namespaced else ""
        name, uid = fields.get("involvedObject.name", ""), fields.get("involvedObject.uid", "")
        found = self._registry.shelf(record).get(record.key(namespace, name))
        # A kubelet gives the name of its Node for a uid.
        return found is not None and uid in {"", found.uid, found.name}

    def _note_object(self, notice: Notice) -> None:
        if (notice.old is None) == (notice.new is None):
            return
        shown = notice.new or notice.old
        assert shown is not None
        for told in (shown.uid, shown.name):
            for key in self._objects.get(f"{shown.namespace or _HOME}/{told}", ()):
                self._ends.pop(key, None)
                if notice.new is None:
                    self._begin(key)

    def _begin(self, key: str) -> None:
        """Let the time of an Event run from now."""
        if not self._ends:
            self._rouse()
        self._ends[key] = self._registry.clock.time()

    def _condemn(self, key: str) -> None:
        self._excess[key] = None
        self._rouse()

    def _rouse(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def run(self) -> None:
        """Delete for ever: what is over a cap at once, what is over its time as it comes due."""
        clock = self._registry.clock
        while True:
            for key in list(self._excess):
                self._excess.pop(key, None)
                await self._remove(key)
            for key in list(self._due(clock.time() - self._limits.seconds)):
                await self._remove(key)
            if self._excess:
                continue
            self._wake = asyncio.get_running_loop().create_future()
            oldest = next(iter(self._ends.values()), None)
            try:
                if oldest is None:
                    await self._wake
                else:
                    async with clock.timeout(max(1.0, oldest + self._limits.seconds - clock.time())):
                        await self._wake
            except TimeoutError:
                pass
            finally:
                self._wake = None

    def _due(self, due: float) -> Iterator[str]:
        for key, since in self._ends.items():
            if since > due:
                return
            yield key

    async def _remove(self, key: str) -> None:
        current = self._registry.shelf(self._record).get(key)
        if current is None:
            self._ends.pop(key, None)
            return
        try:
            await self._registry.remove(key, current)
        except Mismatch:
            return  # it was written again, and is young
