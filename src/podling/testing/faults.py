"""What goes wrong on the way between components and the API server, on purpose and from a seed.

Owns `Faults`, the odds that a test sets, and `FaultyTransport`, which deals them. Knows nothing of which component
calls. A lost watch event is truly lost: nobody tells the reader. What makes up for it is what makes up for it in a real
cluster: the watch ends in 410 some time after, and its reader lists again. Invariant: with odds of zero every call
passes as it is, and no chance is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from podling.api import errors

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.api.resources import Resource
    from podling.client.transport import Answer, Call, ListPage, Selection, Transport, WatchEvent

_SCALE = 1_000_000


@dataclass
class Faults:
    """Odds between 0 and 1; change them at any moment of a simulation."""

    lost_events: float = 0.0
    """Of each watch event: that it is lost."""
    relist_after: float = 30.0
    """Seconds from a watch's first loss to its end in 410, after which the reader lists again."""
    broken_watches: float = 0.0
    """Of each watch event: that the connection breaks behind it."""
    conflicts: float = 0.0
    """Of each update or patch: that somebody else was faster."""
    refusals: float = 0.0
    """Of each call, lists included: that the server answers 503."""
    dealt: dict[str, int] = field(default_factory=dict)
    """How many of each have happened."""

    def heal(self) -> None:
        """Let nothing go wrong any more. Watches that lost something still end when they were to."""
        self.lost_events = self.broken_watches = self.conflicts = self.refusals = 0.0

    def deal(self, name: str, odds: float, chance: Chance) -> bool:
        """Whether the fault `name` happens now."""
        if odds <= 0 or chance.below(_SCALE) >= odds * _SCALE:
            return False
        self.dealt[name] = self.dealt.get(name, 0) + 1
        return True


class FaultyTransport:
    """A `Transport` in front of another, with faults."""

    def __init__(self, inner: Transport, faults: Faults, clock: Clock, chance: Chance) -> None:
        self._inner = inner
        self._faults = faults
        self._clock = clock
        self._chance = chance

    async def call(self, call: Call) -> Answer:
        self._refuse()
        if call.method in ("PUT", "PATCH") and self._deal("conflicts", self._faults.conflicts):
            parts = call.path.strip("/").split("/")
            raise errors.conflict("", parts[-2], parts[-1], "the object has been modified")
        return await self._inner.call(call)

    async def list(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        self._refuse()
        return await self._inner.list(
            resource, selection, limit=limit, continue_token=continue_token, revision=revision
        )

    async def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncIterator[WatchEvent]:
        self._refuse()
        faults = self._faults
        events = self._inner.watch(resource, selection, revision=revision, timeout=timeout)
        ends: float | None = None
        try:
            while True:
                left = max(ends - self._clock.monotonic(), 0.0) if ends is not None else None
                try:
                    event = await anext(events) if left is None else await self._next(events, left)
                except StopAsyncIteration:
                    # A reader that lost something must not go on from where it believes to be.
                    if ends is None:
                        return
                    raise errors.expired("the watch lost events") from None
                except TimeoutError:
                    raise errors.expired("the watch lost events") from None
                if event.type != "BOOKMARK" and self._deal("lost_events", faults.lost_events):
                    ends = ends if ends is not None else self._clock.monotonic() + faults.relist_after
                    continue
                yield event
                if ends is None and self._deal("broken_watches", faults.broken_watches):
                    return
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    async def _next(self, events: AsyncIterator[WatchEvent], seconds: float) -> WatchEvent:
        async with self._clock.timeout(seconds):
            return await anext(events)
        raise AssertionError("a timeout leaves by its error")

    async def close(self) -> None:
        await self._inner.close()

    def _refuse(self) -> None:
        if self._deal("refusals", self._faults.refusals):
            raise errors.service_unavailable("the server is currently unable to handle the request")

    def _deal(self, name: str, odds: float) -> bool:
        return self._faults.deal(name, odds, self._chance)
