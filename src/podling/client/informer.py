"""List, watch, and tell: an informer keeps a cache equal to the server's and says what changed.

Owns the loop that survives everything a server does: watches that close, revisions that are compacted (410), restarts,
refusals. Knows no resource by name. Invariants: handlers see every object's additions, changes and deletions in order,
and what a relist shows to be gone as a deletion; the cache is swapped before the first handler of a relist is called,
so that a handler that looks sees the whole new state; handlers never block, and the failure of one keeps nothing from
the others.

              ┌──────────────── 410, or the server's history began anew ────────────────┐
              ▼                                                                         │
    LIST ─ all pages ─▶ swap, tell differences ─▶ WATCH from its revision ─ closed ─▶ WATCH from the last revision
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from podling.api.errors import StatusError
from podling.client.cache import Cache
from podling.client.client import list_whole
from podling.client.transport import Selection

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.client.cache import Difference, IndexFunction
    from podling.client.client import Client

    Handler = Callable[[Encoded | None, Encoded | None], object]

log = logging.getLogger("podling.informer")

_Kind = TypeVar("_Kind")

# client-go's reflector: the pauses after failures, and how long a watch is asked to last at least.
_FIRST_PAUSE = 0.8
_LONGEST_PAUSE = 30.0
_SHORTEST_WATCH = 300.0


class Informer(Generic[_Kind]):
    """A cache of one resource and selection that follows the server."""

    def __init__(
        self,
        client: Client,
        resource: Resource[_Kind],
        clock: Clock,
        chance: Chance,
        selection: Selection | None = None,
    ) -> None:
        self.resource = resource
        self.selection = selection or Selection()
        self.revision = 0
        """The revision up to which the cache is complete."""
        self.relists = 0
        self._client = client
        self._clock = clock
        self._chance = chance
        self._cache = Cache()
        self._handlers: dict[int, Handler] = {}
        self._registrations = 0
        self._synced = False
        self._waiters: list[asyncio.Future[None]] = []
        self._pause = _FIRST_PAUSE
        self._restarted = False

    # Reading: the lister.

    def __len__(self) -> int:
        return len(self._cache)

    def __iter__(self) -> Iterator[Encoded]:
        return iter(self._cache)

    def get(self, name: str, namespace: str = "") -> _Kind | None:
        """Return the typed view of one object as last seen."""
        obj = self.encoded(name, namespace)
        return obj.view(self.resource.type) if obj is not None else None

    def encoded(self, name: str, namespace: str = "") -> Encoded | None:
        """Return one object undecoded."""
        return self._cache.get(f"{namespace}/{name}" if namespace else name)

    def list(self, namespace: str = "") -> Sequence[_Kind]:
        """Return typed views of all objects, or of one namespace's."""
        objects = self._cache.indexed("namespace", namespace) if namespace else self._cache
        return [obj.view(self.resource.type) for obj in objects]

    def add_index(self, name: str, function: IndexFunction) -> None:
        """Group objects by the values that `function` gives for each, for `indexed`."""
        self._cache.add_index(name, function)

    def indexed(self, name: str, value: str) -> Sequence[Encoded]:
        """Return the objects that have `value` in the index `name`; `namespace` is always there."""
        return self._cache.indexed(name, value)

    def view(self, obj: Encoded) -> _Kind:
        return obj.view(self.resource.type)

    # Being told.

    def on_change(self, handler: Handler) -> Callable[[], None]:
        """Call `handler(old, new)` for each change from now on, and at once for what is there; returns its removal.

        `old` `None` is an addition, `new` `None` a deletion. Handlers put keys into queues; they do not work.
        """
        self._registrations += 1
        number = self._registrations
        self._handlers[number] = handler
        for obj in list(self._cache):
            handler(None, obj)

        def remove() -> None:
            self._handlers.pop(number, None)

        return remove

    @property
    def synced(self) -> bool:
        """Whether the first listing has arrived and its handlers have been called."""
        return self._synced

    async def wait_synced(self) -> None:
        """Return when the first listing has arrived."""
        while not self._synced:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def release(self) -> None:
        """Let nobody wait any longer for the first listing: it is there, or will never be."""
        self._synced = True
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    # Following: a component under the supervisor.

    async def run(self) -> None:
        """Follow the server for ever."""
        revision = "0"
        if self._restarted:
            # A handler failed in the middle of something: all are shown everything again.
            self._tell([(obj, obj) for obj in self._cache])
            revision = ""
        self._restarted = True
        while True:
            try:
                await self._list(revision)
                await self._follow()
            except StatusError as refusal:
                if _history_began_anew(refusal):
                    log.debug("%s: relisting: %s", self.resource.plural, refusal)
                    revision = ""
                    # At once the first time; a server that only ever says so is not asked without end.
                    if self._pause > _FIRST_PAUSE:
                        await self._wait()
                    else:
                        self._pause *= 2
                    continue
                log.info("%s: %s", self.resource.plural, refusal)
                await self._wait()
                revision = str(self.revision) if self.revision else "0"

    async def _list(self, revision: str) -> None:
        items, newest = await list_whole(self._client, self.resource, self.selection, revision=revision)
        self.revision = newest
        self.relists += 1
        self._tell(self._cache.replace(items))
        self.release()

    async def _follow(self) -> None:
        """Watch, and watch again when the watch ends, until the server has forgotten where we are."""
        while True:
            began = self._clock.monotonic()
            try:
                heard = await self._watch()
            except StatusError as refusal:
                if _history_began_anew(refusal):
                    raise
                log.info("%s: watch: %s", self.resource.plural, refusal)
                heard = False
            if heard or self._clock.monotonic() - began >= _LONGEST_PAUSE:
                self._pause = _FIRST_PAUSE
            else:
                await self._wait()

    async def _watch(self) -> bool:
        """Take events in until the watch ends; whether any came."""
        heard = False
        timeout = self._chance.jitter(_SHORTEST_WATCH, 1.0)
        events = self._client.watch(self.resource, self.selection, revision=self.revision, timeout=timeout)
        try:
            async for event in events:
                heard = True
                self._pause = _FIRST_PAUSE
                difference = self._cache.apply(event) if event.type != "BOOKMARK" else None
                self.revision = event.object.revision or self.revision
                if difference is not None:
                    self._tell([difference])
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()
        return heard

    def _tell(self, differences: Sequence[Difference]) -> None:
        for old, new in differences:
            with ExitStack() as each:
                # Runs every handler, in order of registration, also past one that raises.
                for handler in reversed(self._handlers.values()):
                    each.callback(handler, old, new)

    async def _wait(self) -> None:
        pause, self._pause = self._pause, min(2 * self._pause, _LONGEST_PAUSE)
        await self._clock.sleep(self._chance.jitter(pause, 1.0))


def _history_began_anew(refusal: StatusError) -> bool:
    # 504 with this sentence: the server is behind our revision, as after a restart without its memory.
    return refusal.is_expired or "Too large resource version" in refusal.message


class Informers:
    """One informer for each (resource, selection), shared by all components of a process."""

    def __init__(self, client: Client, clock: Clock, chance: Chance, supervisor: Supervisor) -> None:
        self._client = client
        self._clock = clock
        self._chance = chance
        self._supervisor = supervisor
        self._informers: dict[tuple[str, str, Selection], Informer[Any]] = {}

    def of(self, resource: Resource[_Kind], selection: Selection | None = None) -> Informer[_Kind]:
        """Return the informer, started at the first call as a component of the supervisor."""
        selection = selection or Selection()
        key = (resource.api_version, resource.plural, selection)
        informer = self._informers.get(key)
        if informer is None:
            informer = Informer(self._client, resource, self._clock, self._chance, selection)
            self._informers[key] = informer
            self._supervisor.component(f"informer {resource.plural}", informer.run)
        return informer

    def follow(self, resource: Resource[Any], selection: Selection, handler: Handler) -> asyncio.Task[None]:
        """Tell `handler` of what is selected until the task that is returned is cancelled.

        For selections that come and go, such as the one object that a volume shows: nobody shares this informer.
        """
        informer, task = self.begin(resource, selection)
        informer.on_change(handler)
        return task

    def begin(
        self, resource: Resource[Any], selection: Selection | None = None
    ) -> tuple[Informer[Any], asyncio.Task[None]]:
        """Return an informer that nobody shares, and the task that it follows by until it is cancelled."""
        informer = Informer(self._client, resource, self._clock, self._chance, selection)
        name = f"informer {resource.plural} {informer.selection.fields}".rstrip()
        task = self._supervisor.job(name, informer.run())
        task.add_done_callback(lambda _: informer.release())
        return informer, task

    async def wait_synced(self) -> None:
        """Return when every informer asked for so far has its first listing."""
        for informer in list(self._informers.values()):
            await informer.wait_synced()
