from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from podling.aio.broadcast import Broadcast, Overrun
from podling.aio.chance import Chance

if TYPE_CHECKING:
    from collections.abc import Callable


def test_readers_get_what_was_published_after_them(run: Callable[[Any], Any]) -> None:
    """Each reader gets every item since it subscribed, in order; closing ends it and frees it."""

    async def main() -> None:
        source: Broadcast[int] = Broadcast()
        source.publish(0)
        with source.subscribe() as early:
            source.publish(1)
            with source.subscribe() as late:
                source.publish(2)
                assert [await anext(early), await anext(early), await anext(late)] == [1, 2, 2]
                waiting = asyncio.create_task(anext(late, None))
                await asyncio.sleep(0)
            assert await waiting is None
            assert len(source) == 1
        assert len(source) == 0

    run(main())


def test_slow_reader_is_cut_off(run: Callable[[Any], Any]) -> None:
    """Past its bound a reader gets what was buffered and then `Overrun`, for ever; the others lose nothing."""

    async def main() -> None:
        source: Broadcast[int] = Broadcast(bound=3)
        slow, quick = source.subscribe(), source.subscribe()
        read: list[int] = []
        for number in range(5):
            source.publish(number)
            read.append(await anext(quick))
        assert read == [0, 1, 2, 3, 4]
        assert [await anext(slow) for _ in range(3)] == [0, 1, 2]
        for _ in range(2):
            with pytest.raises(Overrun):
                await anext(slow)
        assert len(source) == 1
        quick.close()

    run(main())


def test_chance_repeats_from_its_seed() -> None:
    """With one seed the same calls give the same answers; uids are version 4, suffixes are upstream's letters."""

    def draw(chance: Chance) -> list[object]:
        return [chance.uid(), chance.suffix(), chance.hex(4), chance.jitter(10), chance.below(5)]

    assert draw(Chance(7)) == draw(Chance(7)) != draw(Chance(8))
    assert draw(Chance())[0] != draw(Chance())[0]
    chance = Chance(7)
    for _ in range(50):
        uid = chance.uid()
        assert [len(part) for part in uid.split("-")] == [8, 4, 4, 4, 12]
        assert uid[14] == "4"
        assert uid[19] in "89ab"
        assert set(chance.suffix()) <= set("bcdfghjklmnpqrstvwxz2456789")
        assert 10 <= chance.jitter(10) < 11
