"""Events by their two faces, and their series."""

from __future__ import annotations

import pytest
from tests.served import Served

from podling.api.errors import StatusError

CORE = "/api/v1/namespaces/default/events"
NEW = "/apis/events.k8s.io/v1/namespaces/default/events"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def event(**more: object) -> dict:
    return {
        "metadata": {"name": "e"},
        "eventTime": "2023-11-14T22:13:20.000000Z",
        "reportingController": "example.com/controller",
        "reportingInstance": "controller-1",
        "action": "Act",
        "reason": "Because",
        "regarding": {"kind": "Pod", "namespace": "default", "name": "web"},
        "note": "something happened",
        "type": "Normal",
        **more,
    }


def test_a_series_goes_on(run):
    """An event of the new face grows a series by patches; both faces and the table show its count and last time."""

    async def main():
        async with Served() as api:
            made = await api.post(NEW, event())
            assert "series" not in made
            for count, second in ((2, 21), (3, 25)):
                series = {"count": count, "lastObservedTime": f"2023-11-14T22:13:{second}.500000Z"}
                await api.patch(f"{NEW}/e", {"series": series}, "strategic-merge-patch+json")
            wanted = {"count": 3, "lastObservedTime": "2023-11-14T22:13:25.500000Z"}
            assert (await api.get(f"{NEW}/e"))["series"] == wanted
            core = await api.get(f"{CORE}/e")
            assert (core["series"], core["involvedObject"]["name"], core["message"]) == (
                wanted,
                "web",
                "something happened",
            )
            await api.clock.advance(35.5)
            table = await api.get(f"{CORE}/e", TABLE)
            row = dict(zip((it["name"] for it in table["columnDefinitions"]), table["rows"][0]["cells"], strict=True))
            assert (row["Count"], row["Last Seen"], row["First Seen"]) == (3, "30s", "35s")

    run(main())


def test_counts_of_the_old_face_are_shown_by_the_new(run):
    """An event of the old face shows its count and times as deprecated ones."""

    async def main():
        async with Served() as api:
            old = {
                "metadata": {"name": "e"},
                "involvedObject": {"kind": "Pod", "namespace": "default", "name": "web"},
                "reason": "Because",
                "message": "m",
                "count": 4,
                "firstTimestamp": "2023-11-14T22:13:20Z",
                "lastTimestamp": "2023-11-14T22:13:30Z",
                "source": {"component": "kubelet", "host": "n"},
                "type": "Warning",
            }
            await api.post(CORE, old)
            new = await api.get(f"{NEW}/e")
            assert (new["deprecatedCount"], new["deprecatedLastTimestamp"]) == (4, "2023-11-14T22:13:30Z")
            assert (new["deprecatedSource"], new["note"], new["eventTime"]) == (
                {"component": "kubelet", "host": "n"},
                "m",
                None,
            )

    run(main())


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"eventTime": None}, "eventTime: Required value"),
        ({"type": "Bad"}, 'type: Invalid value: "": has invalid value: Bad'),
        ({"series": {"count": 1, "lastObservedTime": "2023-11-14T22:13:20.000000Z"}}, 'series.count: Invalid value: "": should be at least 2'),
        ({"deprecatedCount": 1}, 'count: Invalid value: "": needs to be unset'),
        ({"note": "x" * 1025}, 'message: Invalid value: "": can have at most 1024 characters'),
        ({"reportingController": ""}, "reportingController: Required value"),
    ],
)  # fmt: skip
def test_the_new_face_is_strict(run, more, message):
    """What the new face refuses, it refuses in upstream's words."""

    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refused:
                await api.post(NEW, event(**more))
            assert refused.value.code == 422
            assert message in refused.value.message

    run(main())


def test_only_the_series_of_an_event_changes(run):
    """By the new face nothing but the series may change; by the old one all may."""

    async def main():
        async with Served() as api:
            await api.post(NEW, event())
            with pytest.raises(StatusError, match=r'message: Invalid value: "other": field is immutable'):
                await api.patch(f"{NEW}/e", {"note": "other"})
            assert (await api.patch(f"{CORE}/e", {"message": "other"}))["message"] == "other"

    run(main())
