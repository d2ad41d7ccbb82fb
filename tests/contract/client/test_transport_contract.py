"""What every transport to an API server promises, and informers over it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from podling.aio.chance import Chance
from podling.api.codec import from_tree
from podling.api.errors import StatusError
from podling.api.resources import CONFIG_MAPS, EVENTS, NODES, PODS, SECRETS, SERVICE_ACCOUNTS
from podling.api.types.core_v1 import ConfigMap, Pod, ServiceAccount
from podling.client import ApiClient, Call, Informers, Selection, WatchEvent
from podling.client.events import EventRecorder
from podling.client.wait import gone, satisfies, wait_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.client import Transport
    from tests.contract.client.conftest import Served

DEFAULT = Selection("default", labels="app")


def config(name: str, namespace: str = "default", value: str = "", **labels: str) -> ConfigMap:
    metadata = {"name": name, "namespace": namespace, "labels": {"app": "x"} | labels}
    return from_tree(ConfigMap, {"metadata": metadata, "data": {"value": value}})


async def watched(transport: Transport, revision: int, count: int, selection: Selection = DEFAULT) -> list[WatchEvent]:
    events: list[WatchEvent] = []
    watch: Any = transport.watch(CONFIG_MAPS, selection, revision=revision)
    async for event in watch:
        if event.type != "BOOKMARK":
            events.append(event)
        if len(events) == count:
            break
    await watch.aclose()
    return events


def test_call_answers_or_refuses(hold: Callable[..., None]) -> None:
    """A call returns code and body; every refusal is the server's `StatusError`."""

    async def body(served: Served) -> None:
        client = ApiClient(served.transport)
        before = served.store.revision
        made = await client.create(CONFIG_MAPS, config("a", value="ü"))
        assert made.metadata.uid
        # The server may still be gathering rules into its own ClusterRoles.
        assert before < int(made.metadata.resource_version) <= served.store.revision
        assert await client.get(CONFIG_MAPS, "a", "default") == made
        with pytest.raises(StatusError) as refused:
            await client.create(CONFIG_MAPS, config("a"))
        assert refused.value.is_already_exists
        assert str(refused.value) == 'configmaps "a" already exists'
        with pytest.raises(StatusError) as refused:
            await client.get(CONFIG_MAPS, "b", "default")
        assert refused.value.is_not_found
        assert refused.value.details == {"name": "b", "kind": "configmaps"}
        with pytest.raises(StatusError) as refused:
            await client.update(CONFIG_MAPS, msgspec.structs.replace(
                made, metadata=msgspec.structs.replace(made.metadata, resource_version="1")
            ))  # fmt: skip
        assert refused.value.is_conflict
        patched = await client.patch(CONFIG_MAPS, "a", {"data": {"more": "1"}}, namespace="default")
        assert patched.data == {"value": "ü", "more": "1"}
        with pytest.raises(StatusError) as refused:
            await client.raw(Call("POST", "/api/v1/namespaces/default/configmaps", body=b"{no json"))
        assert refused.value.code == 400
        answer = await client.raw(Call("GET", "/api/v1/namespaces/default/configmaps/a"))
        assert (answer.code, answer.content_type) == (200, "application/json")
        await client.delete(CONFIG_MAPS, "a", "default", uid=made.metadata.uid)
        await client.delete_collection(CONFIG_MAPS, "default", labels="app=x")

    hold(body)


def test_listing_is_encoded(hold: Callable[..., None]) -> None:
    """Listed objects keep `Encoded`'s invariants: stored form, offset, metadata and indexed fields beside the bytes."""

    async def body(served: Served) -> None:
        client = ApiClient(served.transport)
        await client.create(
            SERVICE_ACCOUNTS, from_tree(ServiceAccount, {"metadata": {"name": "default"}}), namespace="default"
        )
        pod = {"metadata": {"name": "p", "labels": {"app": "x"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        made = await client.create(PODS, from_tree(Pod, pod), namespace="default")
        page = await served.transport.list(PODS, Selection(labels="app=x"))
        (item,) = page.items
        assert page.revision == served.store.revision
        assert (item.name, item.namespace, item.uid) == ("p", "default", made.metadata.uid)
        assert dict(item.labels) == {"app": "x"}
        assert str(item.revision) == made.metadata.resource_version
        assert item.raw[: item.offset] == b'{"kind":"Pod","apiVersion":"v1","metadata":{'
        assert b"resourceVersion" not in item.raw
        assert item.view(Pod) == made
        assert (item.fields["spec.nodeName"], item.fields["status.phase"]) == ("", "Pending")

    hold(body)


def test_listing_in_pages_and_selections(hold: Callable[..., None]) -> None:
    """Pages continue at one revision; namespace, labels and fields select."""

    async def body(served: Served) -> None:
        client, transport = ApiClient(served.transport), served.transport
        for number in range(7):
            await client.create(CONFIG_MAPS, config(f"c{number}", parity=str(number % 2)))
        await client.create(CONFIG_MAPS, config("elsewhere", "kube-system"))
        first = await transport.list(CONFIG_MAPS, DEFAULT, limit=3)
        await client.delete(CONFIG_MAPS, "c5", "default")
        await client.create(CONFIG_MAPS, config("c9"))
        names, page = [item.name for item in first.items], first
        while page.continue_token:
            page = await transport.list(CONFIG_MAPS, DEFAULT, limit=3, continue_token=page.continue_token)
            assert page.revision == first.revision
            names += [item.name for item in page.items]
        assert names == [f"c{number}" for number in range(7)]
        odd = await transport.list(CONFIG_MAPS, Selection(labels="parity=1"))
        assert [item.name for item in odd.items] == ["c1", "c3"]
        one = await transport.list(CONFIG_MAPS, Selection(fields="metadata.name=c3"))
        assert [item.name for item in one.items] == ["c3"]
        everywhere = await client.list(CONFIG_MAPS, labels="app", limit=2)
        assert [item.metadata.name for item in everywhere] == ["c0", "c1", "c2", "c3", "c4", "c6", "c9", "elsewhere"]
        assert not (await transport.list(SECRETS, DEFAULT)).items

    hold(body)


def test_watch_tells_everything_once(hold: Callable[..., None]) -> None:
    """From a list's revision on: every change in order, once; deletions carry their own revision."""

    async def body(served: Served) -> None:
        client, transport = ApiClient(served.transport), served.transport
        await client.create(CONFIG_MAPS, config("before"))
        start = (await transport.list(CONFIG_MAPS, DEFAULT)).revision
        live = asyncio.create_task(watched(transport, start, 4))
        await asyncio.sleep(0.02)
        await client.create(CONFIG_MAPS, config("a", value="1"))
        await client.create(CONFIG_MAPS, config("other", "kube-system"))
        await client.patch(CONFIG_MAPS, "a", {"data": {"value": "2"}}, namespace="default")
        await client.delete(CONFIG_MAPS, "before", "default")
        await client.delete(CONFIG_MAPS, "a", "default")
        events = await live
        assert [(event.type, event.object.name) for event in events] == [
            ("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "before"), ("DELETED", "a"),
        ]  # fmt: skip
        revisions = [event.object.revision for event in events]
        assert revisions == sorted(set(revisions))
        assert events[1].object.view(ConfigMap).data == {"value": "2"}
        again = await watched(transport, start, 4)
        assert [(e.type, e.object.wire()) for e in again] == [(e.type, e.object.wire()) for e in events]
        rest = await watched(transport, revisions[1], 2)
        assert [event.object.revision for event in rest] == revisions[2:]

    hold(body)


def test_watch_follows_its_selection(hold: Callable[..., None]) -> None:
    """An object that comes to match is ADDED, one that ceases to is DELETED."""

    async def body(served: Served) -> None:
        client = ApiClient(served.transport)
        start = (await served.transport.list(CONFIG_MAPS, DEFAULT)).revision
        await client.create(CONFIG_MAPS, config("a", tier="no"))
        await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"tier": "yes"}}}, namespace="default")
        await client.patch(CONFIG_MAPS, "a", {"data": {"x": "y"}}, namespace="default")
        await client.patch(CONFIG_MAPS, "a", {"metadata": {"labels": {"tier": None}}}, namespace="default")
        events = await watched(served.transport, start, 3, Selection("default", labels="tier=yes"))
        assert [event.type for event in events] == ["ADDED", "MODIFIED", "DELETED"]

    hold(body)


def test_watch_ends_and_expires(hold: Callable[..., None]) -> None:
    """A watch ends after its time and when the server closes it; history that is gone is 410."""

    async def body(served: Served) -> None:
        start = (await served.transport.list(CONFIG_MAPS, DEFAULT)).revision
        ended = [e async for e in served.transport.watch(CONFIG_MAPS, DEFAULT, revision=start, timeout=1)]
        assert [event.type for event in ended if event.type != "BOOKMARK"] == []
        open_watch = asyncio.create_task(watched(served.transport, start, 1))
        await asyncio.sleep(0.05)
        served.close_watches()
        assert await open_watch == []
        await ApiClient(served.transport).create(CONFIG_MAPS, config("a"))
        await ApiClient(served.transport).create(CONFIG_MAPS, config("b"))
        await served.forget_history()
        with pytest.raises(StatusError) as expired:
            await watched(served.transport, start, 1)
        assert expired.value.is_expired

    hold(body)


def test_informer_converges(hold: Callable[..., None]) -> None:
    """Under concurrent writers, closed watches and lost history an informer ends up equal to a fresh list."""

    async def body(served: Served) -> None:
        client = ApiClient(served.transport)
        informers = Informers(client, served.clock, Chance(3), served.supervisor)
        informer = informers.of(CONFIG_MAPS, DEFAULT)
        seen: dict[str, str] = {}

        def follow(old: Any, new: Any) -> None:
            if new is None:
                del seen[old.name]
            else:
                assert (old is None) == (new.name not in seen)
                seen[new.name] = new.view(ConfigMap).data["value"]

        informer.on_change(follow)
        await informer.wait_synced()

        async def write(writer: int) -> None:
            for number in range(40):
                name = f"c{writer}-{number % 3}"
                try:
                    await client.create(CONFIG_MAPS, config(name, value=str(number)))
                except StatusError:
                    if number % 5 == 0:
                        await client.delete(CONFIG_MAPS, name, "default")
                    else:
                        await client.patch(CONFIG_MAPS, name, {"data": {"value": str(number)}}, namespace="default")
                if writer == 0 and number in (10, 30):
                    served.close_watches()
                if writer == 0 and number == 20:
                    await served.forget_history()
                    served.close_watches()

        await asyncio.gather(*(write(writer) for writer in range(4)))
        fresh = {
            item.metadata.name: item.data["value"] for item in await client.list(CONFIG_MAPS, "default", labels="app")
        }
        for _ in range(800):
            if seen == fresh:
                break
            await asyncio.sleep(0.01)
        assert seen == fresh
        assert {obj.name for obj in informer} == set(fresh)

    hold(body)


def test_waiting_and_recording(hold: Callable[..., None]) -> None:
    """`wait_for` and the event recorder work over every transport."""

    async def body(served: Served) -> None:
        client = ApiClient(served.transport)
        recorder = EventRecorder(client, served.clock, "tester")
        served.supervisor.component("recorder", recorder.run)

        async def later() -> None:
            await asyncio.sleep(0.02)
            made = await client.create(CONFIG_MAPS, config("late"))
            for _ in range(3):
                recorder.event(made, "Normal", "Seen", "again")
            await asyncio.sleep(0.02)
            await client.delete(CONFIG_MAPS, "late", "default")

        task = asyncio.create_task(later())
        wanted = satisfies("there", lambda obj: obj.metadata.name == "late")
        found = await wait_for(client, CONFIG_MAPS, "late", "default", wanted, served.clock, 10)
        assert found is not None
        assert await wait_for(client, CONFIG_MAPS, "late", "default", gone(), served.clock, 10) is None
        await task
        for _ in range(500):
            items = (await client.list(EVENTS, "default")).items
            if items and items[0].count == 3:
                break
            await asyncio.sleep(0.01)
        assert [(item.reason, item.count, item.involved_object.name) for item in items] == [("Seen", 3, "late")]
        assert (await client.list(NODES)).items == []

    hold(body)
