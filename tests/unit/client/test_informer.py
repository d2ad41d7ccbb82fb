from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock
from podling.aio.supervisor import Supervisor
from podling.api import errors
from podling.api.resources import PODS
from podling.client import ApiClient, Informers, Selection
from podling.client.cache import key_of
from tests.unit.client.scripted_server import ScriptedServer, pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.server = ScriptedServer()
        self.supervisor = Supervisor(self.clock)
        self.informers = Informers(ApiClient(self.server), self.clock, Chance(1), self.supervisor)
        self.told: list[str] = []

    def tell(self, old: Encoded | None, new: Encoded | None) -> None:
        sign = "+" if old is None else "-" if new is None else "~"
        obj = new or old
        assert obj is not None
        self.told.append(f"{sign}{key_of(obj)}@{obj.revision}")

    def take(self) -> list[str]:
        told, self.told = self.told, []
        return told


@pytest.fixture
def follow(run: Callable[[Any], Any]) -> Callable[..., None]:
    """Run a scenario with a server that holds pods a and b, and an informer that is synced."""

    def scenario(body: Any) -> None:
        async def main() -> None:
            world = World()
            world.server.put(pod("a", "n1"))
            world.server.put(pod("b", "n2"))
            async with world.supervisor:
                informer = world.informers.of(PODS)
                informer.on_change(world.tell)
                await world.clock.settle()
                await informer.wait_synced()
                assert world.take() == ["+default/a@11", "+default/b@12"]
                await body(world, informer)

        run(main())

    return scenario


def test_informer_follows(follow: Callable[..., None]) -> None:
    """Additions, changes and deletions reach handlers in order, and the lister shows them typed."""

    async def body(world: World, informer: Any) -> None:
        world.server.put(pod("c"))
        world.server.put(pod("a", "n1", app="x"))
        world.server.remove("default/b")
        await world.clock.settle()
        assert world.take() == ["+default/c@13", "~default/a@14", "-default/b@15"]
        assert informer.get("a", "default").metadata.labels == {"app": "x"}
        assert informer.get("a", "default").metadata.resource_version == "14"
        assert informer.get("b", "default") is None
        assert [obj.metadata.name for obj in informer.list("default")] == ["a", "c"]
        assert informer.list("other") == []

    follow(body)


def test_informer_is_indexed(follow: Callable[..., None]) -> None:
    """Indexes follow changes of the indexed field and deletions."""

    async def body(world: World, informer: Any) -> None:
        informer.add_index("node", lambda obj: (obj.fields["spec.nodeName"],))
        world.server.put(pod("c", "n1"))
        world.server.put(pod("b", "n1"))
        await world.clock.settle()
        assert [obj.name for obj in informer.indexed("node", "n1")] == ["a", "c", "b"]
        assert informer.indexed("node", "n2") == []
        world.server.remove("default/a")
        await world.clock.settle()
        assert [obj.name for obj in informer.indexed("node", "n1")] == ["c", "b"]

    follow(body)


def test_closed_watch_goes_on_where_it_was(follow: Callable[..., None]) -> None:
    """A watch that the server closes is begun again from the last revision, without a relist."""

    async def body(world: World, informer: Any) -> None:
        world.server.put(pod("c"))
        await world.clock.settle()
        world.server.close_watches()
        await world.clock.settle()
        world.server.put(pod("d"))
        await world.clock.advance(5)
        assert world.take() == ["+default/c@13", "+default/d@14"]
        assert world.server.watches == [12, 13]
        assert informer.relists == 1

    follow(body)


def test_bookmark_moves_the_revision(follow: Callable[..., None]) -> None:
    """After a bookmark the next watch begins there, though no object changed."""

    async def body(world: World, informer: Any) -> None:
        world.server.bookmark()
        await world.clock.settle()
        world.server.close_watches()
        await world.clock.advance(5)
        assert world.server.watches == [12, 13]
        assert world.take() == []

    follow(body)


def test_compacted_history_leads_to_a_relist(follow: Callable[..., None]) -> None:
    """410: the cache is swapped at once, and what went missing comes as deletions, namesakes as delete and add."""

    async def body(world: World, informer: Any) -> None:
        world.server.watch_refusals.append(errors.service_unavailable("restarting"))
        world.server.close_watches()
        await world.clock.settle()
        world.server.remove("default/a")
        world.server.put(pod("b", "n9", uid="another"))
        world.server.put(pod("c"))
        world.server.forget_history()
        seen: list[list[str]] = []
        informer.on_change(lambda old, new: seen.append([obj.name for obj in informer]))
        seen.clear()
        await world.clock.advance(10)
        assert world.take() == ["-default/a@11", "-default/b@12", "+default/b@14", "+default/c@15"]
        assert seen == [["b", "c"]] * 4
        assert informer.relists == 2
        assert world.server.lists == ["0", ""]

    follow(body)


def test_server_that_lost_its_memory(follow: Callable[..., None]) -> None:
    """A server that began anew, at lower revisions, is listed afresh; everything old is told to be gone."""

    async def body(world: World, informer: Any) -> None:
        world.server.begin_anew()
        world.server.put(pod("z"))
        await world.clock.advance(10)
        assert world.take() == ["-default/a@11", "-default/b@12", "+default/z@2"]
        assert informer.revision == 2

    follow(body)


def test_server_away_is_tried_with_growing_pauses(run: Callable[[Any], Any]) -> None:
    """Refused lists are repeated after 0.8 s, doubling to 30 s, each lengthened by chance up to twofold."""

    async def main() -> None:
        world = World()
        world.server.list_refusals.extend(errors.service_unavailable("no") for _ in range(8))
        async with world.supervisor:
            informer = world.informers.of(PODS)
            times = [
                await world.clock.run_until(lambda count=count: len(world.server.lists) >= count, 200)
                for count in range(1, 10)
            ]
            await world.clock.settle()
            assert informer.synced
            pauses = [after - before for before, after in zip(times, times[1:], strict=False)]
            for pause, least in zip(pauses, [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30], strict=True):
                assert least <= pause <= 2 * least

    run(main())


def test_one_handler_fails_alone(follow: Callable[..., None]) -> None:
    """A handler that raises keeps nothing from the others; after the restart all are shown everything again."""

    async def body(world: World, informer: Any) -> None:
        others: list[str] = []

        def broken(old: Encoded | None, new: Encoded | None) -> None:
            if new is not None and new.name == "c":
                raise ValueError("planted")

        informer.on_change(broken)
        informer.on_change(lambda old, new: others.append((new or old).name))
        others.clear()
        world.server.put(pod("c"))
        await world.clock.settle()
        assert others == ["c"]
        assert world.take() == ["+default/c@13"]
        assert world.supervisor.failures == 1
        broken_before = others.copy()
        await world.clock.advance(1)
        assert others == [*broken_before, "a", "b", "c"]

    follow(body)


def test_late_handler_is_shown_what_is_there(follow: Callable[..., None]) -> None:
    """A handler that comes late is shown every object as an addition; one that was removed hears nothing more."""

    async def body(world: World, informer: Any) -> None:
        names: list[str] = []
        remove = informer.on_change(lambda old, new: names.append(new.name))
        assert names == ["a", "b"]
        remove()
        world.server.put(pod("c"))
        await world.clock.settle()
        assert names == ["a", "b"]

    follow(body)


def test_informers_are_shared(run: Callable[[Any], Any]) -> None:
    """One (resource, selection) is listed and watched once for all who ask; pages are followed."""

    async def main() -> None:
        world = World()
        for number in range(1203):
            world.server.put(pod(f"p{number}", namespace=f"ns{number % 2}"))
        async with world.supervisor:
            everything = world.informers.of(PODS)
            assert world.informers.of(PODS, Selection()) is everything
            one = world.informers.of(PODS, Selection("ns1"))
            assert one is not everything
            await world.informers.wait_synced()
            assert (len(everything), len(one)) == (1203, 601)
            assert everything.relists == 1
            assert sorted(world.server.lists) == ["0", "0", "1000", "500", "500"]

    run(main())
