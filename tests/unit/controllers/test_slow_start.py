"""Many like writes, begun slowly."""

from __future__ import annotations

import asyncio

import pytest

from podling.api.errors import StatusError, forbidden
from podling.controllers.slow_start import slow_start


@pytest.mark.parametrize(
    ("count", "fails_at", "asked"),
    [
        (0, None, 0),
        (1, None, 1),
        (10, None, 10),
        (500, 0, 1),  # the very first is refused: nothing else is tried
        (500, 2, 3),  # one and two: the second batch is the last
        (500, 5, 7),
        (5, 4, 5),
    ],
)
def test_a_refusal_ends_it_with_its_batch(run, count: int, fails_at: int | None, asked: int) -> None:
    """One, then two, then four at a time; of a batch with a refusal all are done, and no other begins."""

    async def main() -> None:
        done: list[int] = []

        async def write(number: int) -> None:
            done.append(number)
            await asyncio.sleep(0)
            if number == fails_at:
                raise forbidden("", "pods", "x", f"no quota for {number}")

        refusal = await slow_start(count, write)
        assert done == list(range(asked))
        assert (refusal is None) == (fails_at is None)
        if refusal is not None:
            assert str(refusal).endswith(f"no quota for {fails_at}")

    run(main())


def test_writes_of_a_batch_go_together(run) -> None:
    """Who waits in one batch waits at the same time, so that they share what a write costs."""

    async def main() -> None:
        under_way, most = 0, 0

        async def write(_: int) -> None:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way)
            await asyncio.sleep(0)
            under_way -= 1

        assert await slow_start(15, write) is None
        assert most == 8

    run(main())


def test_a_defect_is_no_refusal(run) -> None:
    """What is not a refusal comes through as it is."""

    async def main() -> None:
        async def write(_: int) -> None:
            raise KeyError("a defect")

        with pytest.raises(KeyError):
            await slow_start(3, write)

        async def refuse(_: int) -> None:
            raise StatusError(503, "ServiceUnavailable", "away")

        refusal = await slow_start(3, refuse)
        assert refusal is not None
        assert refusal.is_passing

    run(main())
