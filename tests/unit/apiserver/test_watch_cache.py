"""The watch cache by itself, over a store."""

from __future__ import annotations

import asyncio

import pytest

from podling.aio.clock import VirtualClock
from podling.api.errors import StatusError
from podling.apiserver.cache import CachedKind, Scope, WatchCache
from podling.apiserver.objects import Shape
from podling.store.memory import MemoryStore

PREFIX = "/registry/things/"
SHAPE = Shape("v1", "Thing", {"spec.nodeName": ("spec", "nodeName")})


def raw(name: str, node: str = "") -> bytes:
    return SHAPE.encode({"metadata": {"name": name, "namespace": "d"}, "spec": {"nodeName": node}})


def made(clock: VirtualClock) -> tuple[MemoryStore, WatchCache]:
    store = MemoryStore(clock)
    return store, WatchCache(store, clock, [CachedKind(PREFIX, SHAPE, True, "spec.nodeName")])


def test_a_reload_tells_only_what_has_changed(run, clock):
    """Cut off by its store, the cache loads afresh: listeners hear the difference, watchers are told to list again."""

    async def main():
        store, cache = made(clock)
        heard = []
        cache.listen(
            PREFIX, lambda it: heard.append((it.key.rpartition("/")[2], it.old is not None, it.new is not None))
        )
        first = await store.put(f"{PREFIX}d/a", raw("a"), expected=0)
        await store.put(f"{PREFIX}d/b", raw("b"), expected=0)
        await store.put(f"{PREFIX}d/same", raw("same"), expected=0)
        await cache.start()
        shelf = cache.shelf(PREFIX)
        watcher = shelf.watch(Scope(), bound=10, bookmarks=False)
        heard.clear()
        await store.put(f"{PREFIX}d/a", raw("a", "n"), expected=first)
        await store.delete(f"{PREFIX}d/b", expected=None)
        await store.put(f"{PREFIX}d/c", raw("c"), expected=0)
        await cache._reload()
        assert heard == [("b", True, False), ("a", True, True), ("c", False, True)]
        assert [it.name for it in shelf.select(Scope(indexed="n"))] == ["a"]
        with pytest.raises(StatusError) as refused:
            await anext(watcher)
        assert refused.value.is_expired

    run(main())


def test_a_writer_waits_until_the_cache_shows_its_write(run, clock):
    """`reached` returns once the revision is applied, and not before."""

    async def main():
        store, cache = made(clock)
        await cache.start()
        revision = await store.put(f"{PREFIX}d/a", raw("a"), expected=0)
        waiting = asyncio.create_task(cache.reached(revision))
        await clock.settle()
        assert not waiting.done()
        follow = asyncio.create_task(cache.follow())
        await waiting
        assert cache.shelf(PREFIX).get(f"{PREFIX}d/a").revision == revision
        follow.cancel()

    run(main())


def test_a_namespace_is_a_range_of_keys(run, clock):
    """A namespace's list holds its own objects only, in order, also beside namespaces of which it is a prefix."""

    async def main():
        store, cache = made(clock)
        for namespace, name in (("d", "b"), ("d", "a"), ("dd", "x"), ("c", "z")):
            body = SHAPE.encode({"metadata": {"name": name, "namespace": namespace}})
            await store.put(f"{PREFIX}{namespace}/{name}", body, expected=0)
        await cache.start()
        shelf = cache.shelf(PREFIX)
        assert [it.name for it in shelf.select(Scope("d"))] == ["a", "b"]
        assert [it.name for it in shelf.select(Scope())] == ["z", "a", "b", "x"]
        assert [it.name for it in shelf.select(Scope("d"), after=f"{PREFIX}d/a")] == ["b"]
        assert (shelf.count("d"), shelf.count(), shelf.count("", f"{PREFIX}d/a")) == (2, 4, 2)

    run(main())


def test_what_others_stored_is_left_alone(run, clock):
    """Keys of kinds that are not served, and values that are no objects, change nothing but the revision."""

    async def main():
        store, cache = made(clock)
        await store.put("/registry/other.example.com/widgets/d/a", b"{}", expected=0)
        await store.put(f"{PREFIX}d/broken", b"[]", expected=0)
        await cache.start()
        assert (cache.revision, len(cache.shelf(PREFIX))) == (store.revision, 0)

    run(main())
