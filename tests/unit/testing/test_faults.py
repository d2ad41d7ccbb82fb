"""Faults: lost is lost, until a relist; and without odds nothing is touched."""

from __future__ import annotations

import asyncio

from podling.aio.chance import Chance
from podling.api.resources import CONFIG_MAPS
from podling.client.client import ApiClient
from podling.client.informer import Informer
from podling.client.transport import Selection
from podling.testing.faults import Faults, FaultyTransport
from tests.served import Served

PATH = "/api/v1/namespaces/default/configmaps"


class Watched:
    """An informer on ConfigMaps of a real server, behind faults."""

    def __init__(self, faults: Faults) -> None:
        self.served = Served()
        self.chance = Chance(2)
        transport = FaultyTransport(self.served.door, faults, self.served.clock, self.chance)
        self.informer = Informer(
            ApiClient(transport), CONFIG_MAPS, self.served.clock, Chance(3), Selection(namespace="default")
        )

    async def __aenter__(self) -> Watched:
        await self.served.__aenter__()
        self.task = asyncio.create_task(self.informer.run())
        await self.served.clock.settle()
        return self

    async def __aexit__(self, *error: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        await self.served.__aexit__(None, None, None)

    async def create(self, name: str) -> None:
        await self.served.post(PATH, {"metadata": {"name": name}})

    def names(self) -> list[str]:
        return sorted(it.metadata.name for it in self.informer.list())


def test_lost_events_are_made_up_for_by_the_relist(run):
    """An informer that was not told of two additions and a deletion has all three after `relist_after`, not before."""

    async def main():
        faults = Faults(relist_after=30)
        async with Watched(faults) as watched:
            await watched.create("first")
            faults.lost_events = 1.0
            await watched.create("second")
            await watched.served.delete(f"{PATH}/first")
            await watched.served.clock.advance(29)
            assert watched.names() == ["first"]
            assert faults.dealt == {"lost_events": 2}
            faults.heal()
            await watched.create("third")
            await watched.served.clock.settle()
            assert watched.names() == ["first", "third"]
            await watched.served.clock.advance(1.5)
            assert watched.names() == ["second", "third"]
            assert watched.informer.relists == 2

    run(main())


def test_broken_watches_go_on_where_they_were(run):
    """A connection that breaks behind each event costs a new watch, and no relist."""

    async def main():
        async with Watched(Faults(broken_watches=1.0)) as watched:
            for number in range(5):
                await watched.create(f"it-{number}")
                await watched.served.clock.advance(3)
            assert len(watched.names()) == 5
            assert watched.informer.relists == 1

    run(main())


def test_refusals_and_conflicts_are_upstreams(run):
    """Refused calls are 503 without effect; only updates and patches meet conflicts."""

    async def main():
        faults = Faults(conflicts=1.0)
        async with Watched(faults) as watched:
            client = ApiClient(FaultyTransport(watched.served.door, faults, watched.served.clock, Chance(1)))
            await watched.create("it")
            codes = []
            for call in (
                client.get(CONFIG_MAPS, "it", "default"),
                client.patch(CONFIG_MAPS, "it", {"data": {"a": "b"}}, namespace="default"),
            ):
                (answer,) = await asyncio.gather(call, return_exceptions=True)
                codes.append(getattr(answer, "code", 200))
            faults.refusals = 1.0
            (answer,) = await asyncio.gather(client.delete(CONFIG_MAPS, "it", "default"), return_exceptions=True)
            assert [*codes, answer.code] == [200, 409, 503]
            faults.heal()
            assert (await client.get(CONFIG_MAPS, "it", "default")).data == {}

    run(main())


def test_without_odds_no_chance_is_drawn(run):
    """A cluster without faults runs the same whether or not faults could be dealt."""

    async def main():
        async with Watched(Faults()) as watched:
            before = watched.chance.hex(8)
            watched.chance._random.seed(2)
            await watched.create("it")
            await watched.served.clock.advance(700)
            assert watched.chance.hex(8) == before

    run(main())
