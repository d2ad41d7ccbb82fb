"""get, list and watch: revisions, pages, selectors, bookmarks."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest
from tests.served import PODS, Served, pod

from podling.api import resources as r
from podling.api.errors import StatusError
from podling.apiserver.options import ListOptions
from podling.apiserver.verbs.selecting import scope_of
from podling.apiserver.verbs.watching import open_watch
from podling.client.transport import Selection
from podling.store.recent import History


async def _bind(api: Served, name: str, node: str) -> None:
    await api.post(f"{PODS}/{name}/binding", {"target": {"kind": "Node", "name": node}})


def test_lists_come_in_pages_of_one_revision(run):
    """limit and continue walk a list as it was when it began, whatever is written meanwhile."""

    async def main():
        async with Served() as api:
            for name in "abcde":
                await api.post(PODS, pod(name))
            first = await api.get(f"{PODS}?limit=2")
            assert [it["metadata"]["name"] for it in first["items"]] == ["a", "b"]
            assert first["metadata"]["remainingItemCount"] == 3
            token = first["metadata"]["continue"]
            told = json.loads(base64.urlsafe_b64decode(token + "=="))
            assert told == {
                "v": "meta.k8s.io/v1",
                "rv": int(first["metadata"]["resourceVersion"]),
                "start": "default/b\0",
            }
            await api.delete(f"{PODS}/c")
            await api.post(PODS, pod("bb"))
            second = await api.get(f"{PODS}?limit=2&continue={token}")
            assert [it["metadata"]["name"] for it in second["items"]] == ["c", "d"]
            assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
            third = await api.get(f"{PODS}?limit=2&continue={second['metadata']['continue']}")
            assert [it["metadata"]["name"] for it in third["items"]] == ["e"]
            assert "continue" not in third["metadata"]
            await api.store.compact(api.store.revision)
            with pytest.raises(StatusError, match="The provided continue parameter is too old") as refused:
                await api.get(f"{PODS}?limit=2&continue={token}")
            assert refused.value.code == 410
            going_on = refused.value.to_tree()["metadata"]["continue"]
            rest = await api.get(f"{PODS}?continue={going_on}")
            assert [it["metadata"]["name"] for it in rest["items"]] == ["bb", "d", "e"]

    run(main())


def test_revisions_of_lists(run):
    """Exact reads the past, NotOlderThan the present; a revision yet to come is waited for 3 s and then refused."""

    async def main():
        async with Served() as api:
            made = await api.post(PODS, pod("a"))
            then = made["metadata"]["resourceVersion"]
            await api.post(PODS, pod("b"))
            exact = await api.get(f"{PODS}?resourceVersion={then}&resourceVersionMatch=Exact")
            assert [it["metadata"]["name"] for it in exact["items"]] == ["a"]
            assert exact["metadata"]["resourceVersion"] == then
            newer = await api.get(f"{PODS}?resourceVersion={then}&resourceVersionMatch=NotOlderThan")
            assert len(newer["items"]) == 2
            with pytest.raises(StatusError, match='resourceVersion: Invalid value: "x": strconv.ParseUint'):
                await api.get(f"{PODS}?resourceVersion=x")
            with pytest.raises(
                StatusError, match="resourceVersionMatch is forbidden unless resourceVersion is provided"
            ):
                await api.get(f"{PODS}?resourceVersionMatch=Exact")
            asked = asyncio.create_task(api.get(f"{PODS}?resourceVersion=1000"))
            await api.clock.advance(3.0)
            with pytest.raises(StatusError, match="Too large resource version: 1000, current: ") as refused:
                await asked
            assert refused.value.code == 504

    run(main())


def test_selectors_choose(run):
    """Labels, fields and the node index choose alike in lists; unknown fields are refused in upstream's words."""

    async def main():
        async with Served() as api:
            for name in "ab":
                await api.post(PODS, {**pod(name), "metadata": {"name": name, "labels": {"app": name}}})
            await _bind(api, "a", "n1")

            async def names(query: str) -> list[str]:
                return [it["metadata"]["name"] for it in (await api.get(f"{PODS}?{query}"))["items"]]

            assert await names("labelSelector=app in (b,c)") == ["b"]
            assert await names("fieldSelector=spec.nodeName=n1") == ["a"]
            assert await names("fieldSelector=spec.nodeName!=n1,status.phase=Pending") == ["b"]
            assert await names("fieldSelector=metadata.name=b") == ["b"]
            assert await names("fieldSelector=metadata.namespace=other") == []
            with pytest.raises(StatusError, match="field label not supported: spec.x"):
                await names("fieldSelector=spec.x=y")
            with pytest.raises(StatusError, match="found .=., expected"):
                await names("labelSelector=a=b=c")

    run(main())


def test_a_watch_sees_objects_enter_and_leave_its_selection(run):
    """A watch of a node sees a Pod ADDED when it is bound there, MODIFIED after, and DELETED at the revision it went."""

    async def main():
        async with Served() as api:
            began = api.store.revision
            seen = []

            async def read() -> None:
                async for event in api.door.watch(r.PODS, Selection(fields="spec.nodeName=n1"), revision=began):
                    seen.append((event.type, event.object.name, event.object.revision))

            task = asyncio.create_task(read())
            await api.post(PODS, pod("a"))
            await _bind(api, "a", "n1")
            await api.patch(f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}})
            await api.delete(f"{PODS}/a?gracePeriodSeconds=0")
            await api.clock.settle()
            task.cancel()
            assert seen == [("ADDED", "a", began + 2), ("MODIFIED", "a", began + 3), ("DELETED", "a", began + 4)]

    run(main())


def test_events_are_shared_between_watchers(run):
    """Two watchers of the same are handed the same event object, so that it is decoded and framed once."""

    async def main():
        async with Served() as api:
            record = api.server.registry.record(r.PODS)
            streams = [
                await open_watch(api.server.registry, record, scope_of(record, ""), ListOptions()) for _ in range(2)
            ]
            await api.post(PODS, pod("a"))
            (one, kind), (other, _) = [await anext(aiter(stream.watcher)) for stream in streams]
            assert one is other
            assert one.frame(kind) is other.frame(kind)
            assert one.event(kind) is other.event(kind)

    run(main())


def test_a_watch_goes_on_from_any_kept_revision(run):
    """A watch from a revision that the cache has forgotten reads the store; one from before history is 410."""

    async def main():
        async with Served(history=History(revisions=2150)) as api:
            shelf = api.server.registry.shelf(api.server.registry.record(r.PODS))
            shelf._ring_bound = 100_000
            began = api.store.revision
            await api.post(PODS, pod("a"))
            for number in range(2100):
                await api.patch(f"{PODS}/a", {"metadata": {"labels": {"n": str(number)}}})
            assert shelf.ring_start > began
            seen = []
            async for event in api.door.watch(r.PODS, Selection("default"), revision=began):
                seen.append((event.type, event.object.revision))
                if len(seen) == 2101:
                    break
            assert seen == [("ADDED", began + 1), *(("MODIFIED", began + 2 + n) for n in range(2100))]
            with pytest.raises(StatusError, match=r"too old resource version: 3 \(\d+\)") as refused:
                async for _ in api.door.watch(r.PODS, Selection("default"), revision=3):
                    pass
            assert refused.value.is_expired

    run(main())


def test_initial_events_end_with_an_annotated_bookmark(run):
    """sendInitialEvents begins with everything there is, and says where that ends."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod("a"))
            registry = api.server.registry
            record = registry.record(r.PODS)
            options = ListOptions(watch=True, bookmarks=True, initial_events=True, match="NotOlderThan")
            stream = await open_watch(registry, record, scope_of(record, ""), options)
            assert [it.name for it in stream.initial] == ["a"]
            assert stream.initial_end
            stream.watcher.close()
            with pytest.raises(
                StatusError, match="sendInitialEvents requires setting resourceVersionMatch to NotOlderThan"
            ):
                await api.get(f"{PODS}?watch=1&sendInitialEvents=true")

    run(main())


def test_bookmarks_tell_idle_watchers_how_far_time_has_gone(run):
    """An idle watcher gets a bookmark each minute, with the revision of the whole store."""

    async def main():
        async with Served() as api:
            seen = []

            async def read() -> None:
                async for event in api.door.watch(r.NODES, Selection(), revision=api.store.revision):
                    seen.append((event.type, event.object.revision))

            task = asyncio.create_task(read())
            await api.post(PODS, pod("a"))
            await api.clock.advance(61)
            task.cancel()
            assert seen == [("BOOKMARK", api.store.revision)]

    run(main())


def test_idle_node_watchers_cost_a_change_nothing(run):
    """A Pod of one node is offered to the watchers of that node alone."""

    async def main():
        async with Served() as api:
            registry = api.server.registry
            record = registry.record(r.PODS)
            watchers = []
            for number in range(50):
                scope = scope_of(record, "", fields=f"spec.nodeName=n{number}")
                watchers.append((await open_watch(registry, record, scope, ListOptions())).watcher)
            offered = []
            for number, watcher in enumerate(watchers):
                watcher.offer = lambda notice, number=number: offered.append(number)
            await api.post(PODS, pod("a"))
            await _bind(api, "a", "n7")
            await api.patch(f"{PODS}/a", {"metadata": {"labels": {"x": "y"}}})
            assert offered == [7, 7]

    run(main())


def test_a_slow_watcher_is_cut_off(run):
    """Who does not read is cut off with 410 once the bound is reached, and is no longer kept."""

    async def main():
        async with Served() as api:
            shelf = api.server.registry.shelf(api.server.registry.record(r.PODS))
            watcher = shelf.watch(scope_of(api.server.registry.record(r.PODS), ""), bound=2, bookmarks=False)
            for name in "abc":
                await api.post(PODS, pod(name))
            assert shelf.watching == 0
            assert [(await anext(watcher))[0].new.name for _ in range(2)] == ["a", "b"]
            with pytest.raises(StatusError) as refused:
                await anext(watcher)
            assert refused.value.is_expired

    run(main())


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/json;as=Table;v=v1;g=meta.k8s.io,application/json", "Table"),
        ("application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io", "PartialObjectMetadataList"),
        ("application/vnd.kubernetes.protobuf,application/json", "PodList"),
        ("*/*", "PodList"),
    ],
)
def test_representations(run, accept, kind):
    """The first form of an Accept header that can be given is given; the same list, in other words."""

    async def main():
        async with Served() as api:
            await api.post(PODS, pod("a"))
            body = await api.get(PODS, accept)
            assert body["kind"] == kind
            assert body["metadata"]["resourceVersion"] == str(api.store.revision)
            assert len(body.get("items") or body.get("rows")) == 1

    run(main())


def test_forms_that_cannot_be_given(run):
    """An Accept header of which nothing can be given is 406."""

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refused:
                await api.get(PODS, "application/vnd.kubernetes.protobuf")
            assert refused.value.code == 406

    run(main())
