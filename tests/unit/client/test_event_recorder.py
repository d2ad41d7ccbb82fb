from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.aio.clock import VirtualClock
from podling.aio.supervisor import Supervisor
from podling.api import errors
from podling.api.codec import from_tree
from podling.api.types.core_v1 import ObjectReference, Pod
from podling.client import ApiClient
from podling.client.events import EventRecorder
from tests.unit.client.scripted_server import ScriptedServer, pod

if TYPE_CHECKING:
    from collections.abc import Callable


class World:
    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.server = ScriptedServer()
        self.recorder = EventRecorder(ApiClient(self.server), self.clock, "kubelet", "n1")
        self.supervisor = Supervisor(self.clock)
        self.pod = from_tree(Pod, pod("web"))

    def events(self) -> list[dict[str, Any]]:
        return list(self.server.objects.values())


def recorded(run: Callable[[Any], Any], body: Callable[[World], Any]) -> None:
    async def main() -> None:
        world = World()
        async with world.supervisor:
            world.supervisor.component("events", world.recorder.run)
            await world.clock.settle()
            await body(world)

    run(main())


def test_event_as_upstream_writes_it(run: Callable[[Any], Any]) -> None:
    """A recorded event has upstream's name, reference, source and times, and is posted to the object's namespace."""

    async def body(world: World) -> None:
        about = ObjectReference(
            kind="Pod", api_version="v1", namespace="default", name="web", uid="u", field_path="spec.containers{c}"
        )
        world.recorder.event(about, "Normal", "Pulled", "image is there")
        await world.clock.settle()
        (event,) = world.events()
        assert event["metadata"]["name"] == f"web.{1_700_000_000 * 10**9:x}"
        assert world.server.calls[0].path == "/api/v1/namespaces/default/events"
        assert event["involvedObject"] == {
            "apiVersion": "v1", "fieldPath": "spec.containers{c}", "kind": "Pod", "name": "web",
            "namespace": "default", "uid": "u",
        }  # fmt: skip
        assert (event["type"], event["reason"], event["message"], event["count"]) == (
            "Normal", "Pulled", "image is there", 1,
        )  # fmt: skip
        assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"
        assert event["source"] == {"component": "kubelet", "host": "n1"}
        assert (event["reportingComponent"], event["reportingInstance"]) == ("kubelet", "n1")

    recorded(run, body)


def test_repeats_are_counted(run: Callable[[Any], Any]) -> None:
    """The same event again patches count and lastTimestamp of the first; aged out, it is created with its count."""

    async def body(world: World) -> None:
        for _ in range(3):
            world.recorder.event(world.pod, "Warning", "BackOff", "restarting")
            await world.clock.advance(10)
        (event,) = world.events()
        assert event["count"] == 3
        assert event["firstTimestamp"] == "2023-11-14T22:13:20Z"
        assert event["lastTimestamp"] == "2023-11-14T22:13:40Z"
        assert [call.method for call in world.server.calls] == ["POST", "PATCH", "PATCH"]
        assert msgspec.json.decode(world.server.calls[1].body) == {"count": 2, "lastTimestamp": "2023-11-14T22:13:30Z"}
        world.server.objects.clear()
        world.recorder.event(world.pod, "Warning", "BackOff", "restarting")
        await world.clock.settle()
        (event,) = world.events()
        assert (event["count"], event["firstTimestamp"]) == (4, "2023-11-14T22:13:20Z")

    recorded(run, body)


def test_similar_events_are_combined(run: Callable[[Any], Any]) -> None:
    """From the tenth message of one reason on, all are one event whose message is the newest."""

    async def body(world: World) -> None:
        for number in range(12):
            world.recorder.event(world.pod, "Warning", "FailedMount", f"try {number}")
            await world.clock.advance(1)
        messages = [event["message"] for event in world.events()]
        assert messages == [
            *(f"try {number}" for number in range(9)),
            "(combined from similar events): try 11",
        ]
        assert world.events()[-1]["count"] == 3

    recorded(run, body)


def test_flood_is_cut(run: Callable[[Any], Any]) -> None:
    """25 events about one object at once, then one each five minutes; another object is not concerned."""

    async def body(world: World) -> None:
        for _ in range(40):
            world.recorder.event(world.pod, "Normal", "Same", "again")
        await world.clock.settle()
        assert len(world.server.calls) == 25
        assert world.recorder.filtered == 15
        await world.clock.advance(300)
        for _ in range(2):
            world.recorder.event(world.pod, "Normal", "Same", "again")
        await world.clock.settle()
        assert len(world.server.calls) == 26
        # The count tells of those that were not told.
        assert world.events()[0]["count"] == 41
        world.recorder.event(from_tree(Pod, pod("other")), "Normal", "Same", "again")
        await world.clock.settle()
        assert len(world.server.calls) == 27

    recorded(run, body)


def test_recorder_never_waits(run: Callable[[Any], Any]) -> None:
    """What the queue cannot hold is dropped and counted; the speaker is never held up."""

    async def body(world: World) -> None:
        for number in range(1100):
            world.recorder.event(from_tree(Pod, pod(f"p{number}")), "Normal", "R", "m")
        assert world.recorder.dropped == 100
        await world.clock.settle()
        assert len(world.events()) == 1000

    recorded(run, body)


def test_server_away_is_waited_for(run: Callable[[Any], Any]) -> None:
    """An API server that is away is tried every ten seconds; one that refuses is not asked again."""

    async def body(world: World) -> None:
        world.server.call_refusals.extend(errors.service_unavailable("away") for _ in range(3))
        world.recorder.event(world.pod, "Normal", "Started", "m")
        await world.clock.advance(29)
        assert world.events() == []
        await world.clock.advance(1)
        assert world.events()[0]["lastTimestamp"] == "2023-11-14T22:13:20Z"
        world.server.call_refusals.append(errors.forbidden("", "events", "x", "namespace is being terminated"))
        world.recorder.event(world.pod, "Normal", "Killing", "m")
        await world.clock.advance(60)
        assert len(world.server.calls) == 5
        assert world.recorder.dropped == 1

    recorded(run, body)


def test_namesakes_of_one_instant(run: Callable[[Any], Any]) -> None:
    """Two recorders that speak of one object in the same instant both get their events written."""

    async def body(world: World) -> None:
        scheduler = EventRecorder(ApiClient(world.server), world.clock, "default-scheduler")
        world.supervisor.component("scheduler events", scheduler.run)
        scheduler.event(world.pod, "Normal", "Scheduled", "m")
        world.recorder.event(world.pod, "Normal", "Pulled", "m")
        world.recorder.event(world.pod, "Normal", "Created", "m")
        await world.clock.settle()
        assert sorted(event["reason"] for event in world.events()) == ["Created", "Pulled", "Scheduled"]

    recorded(run, body)
