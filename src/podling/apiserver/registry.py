"""What every verb stands on: the store behind, the cache in front, time, chance and the rules of admission.

Owns the two ways in which a stored object changes, each of which returns once the cache shows the change. Knows
nothing of requests. Invariant: nothing here reads the store for the present; that is the cache's.
"""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from podling.api.errors import no_such_path
from podling.apiserver.objects import at
from podling.store.protocol import Mismatch, Wish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.admission.webhooks import Webhooks
    from podling.apiserver.cache import Shelf, WatchCache
    from podling.apiserver.paths import Routes
    from podling.apiserver.record import Charge, Record
    from podling.store.protocol import Store


class Registry:
    """The stored objects of all kinds."""

    def __init__(self, store: Store, cache: WatchCache, clock: Clock, chance: Chance, routes: Routes) -> None:
        self.store = store
        self.cache = cache
        self.clock = clock
        self.chance = chance
        self.routes = routes
        self.admission: Sequence[Callable[[Operation], None]] = ()
        """What changes or refuses a write before it is validated."""
        self.webhooks: Webhooks | None = None
        """What others have to say about a write, asked after `admission` and before `verdicts`."""
        self.verdicts: Sequence[Callable[[Operation], None]] = ()
        """What refuses a write, as it would be stored, after it was validated."""

    def shelf(self, record: Record) -> Shelf:
        """Return the objects of a kind; `StatusError` 404 for a custom one that went while it was asked for."""
        try:
            return self.cache.shelf(record.key_prefix)
        except KeyError:
            raise no_such_path() from None

    def record(self, resource: Resource[Any]) -> Record:
        """Return the record of a resource that is served."""
        record = self.routes.record(resource.group, resource.version, resource.plural)
        assert record is not None, resource
        return record

    def find(self, resource: Resource[Any], namespace: str, name: str) -> Encoded | None:
        """Return an object as it is now."""
        record = self.record(resource)
        return self.shelf(record).get(record.key(namespace, name))

    async def put(
        self, record: Record, key: str, tree: dict[str, Any], expected: int, charges: Sequence[Charge] = ()
    ) -> Encoded:
        """Write an object that must be at `expected` (0: must not exist); `Mismatch` leaves all as it was."""
        raw = record.shape.encode(tree)
        if charges:
            revision = await self._put_charged(Wish(key, raw, expected), charges)
        else:
            revision = await self.store.put(key, raw, expected=expected)
            await self.cache.reached(revision)
        shown = self.shelf(record).get(key)
        if shown is not None and shown.revision == revision:
            return shown
        return record.shape.read(raw, revision, revision if not expected else 0)

    async def _put_charged(self, wish: Wish, charges: Sequence[Charge]) -> int:
        """Write an object together with what it is charged, as often as somebody else changes what that rests on."""
        async with AsyncExitStack() as held:
            for charge in charges:
                await held.enter_async_context(charge.lock)
            while True:
                beside = [each for charge in charges for each in charge.wishes()]
                try:
                    revision = (await self.store.write([*beside, wish]))[-1]
                except Mismatch as mismatch:
                    if mismatch.key == wish.key:
                        raise
                    await self.cache.reached(self.store.revision)
                else:
                    await self.cache.reached(revision)
                    return revision

    async def remove(self, key: str, current: Encoded) -> Encoded:
        """Delete an object that must be as `current`, and return its last state at the deletion's revision."""
        revision = await self.store.delete(key, expected=current.revision)
        await self.cache.reached(revision)
        return at(current, revision)
