"""Many like writes, begun slowly: one, then two, then four at a time for as long as they succeed.

A workload whose Pods are refused (by a quota, say) must not ask a thousand times to be told so.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from podling.api.errors import StatusError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def slow_start(count: int, write: Callable[[int], Awaitable[object]]) -> StatusError | None:
    """Call `write` with 0, 1, … until `count` are done or a batch had a refusal, of which the first is returned."""
    done, batch = 0, 1
    while done < count:
        size = min(batch, count - done)
        refusal = await all_at_once([write(done + number) for number in range(size)])
        if refusal is not None:
            return refusal
        done, batch = done + size, batch * 2
    return None


async def all_at_once(writes: list[Awaitable[object]]) -> StatusError | None:
    """Await all of `writes`; return the first refusal."""
    first: StatusError | None = None
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if isinstance(outcome, StatusError):
            first = first or outcome
        elif isinstance(outcome, BaseException):
            raise outcome
    return first
