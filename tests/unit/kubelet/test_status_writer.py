"""The status writer: differences only, one write at a time, the newest wins, refusals are outlived."""

from __future__ import annotations

import asyncio

import msgspec

from podling.aio.supervisor import Supervisor
from podling.api.codec import from_tree, to_tree
from podling.api.errors import conflict, not_found, service_unavailable
from podling.api.types.core_v1 import Container, Pod, PodCondition, PodIP, PodSpec, PodStatus
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.differences import status_patch
from podling.kubelet.status import StatusWriter


def pod(**status: object) -> Pod:
    return Pod(
        metadata=ObjectMeta(name="web", namespace="default", uid="u1", resource_version="1"),
        spec=PodSpec(containers=(Container(name="web"),)),
        status=PodStatus(**status),
    )


class FakeApi:
    """Takes patches, slowly if asked, and refuses as told."""

    def __init__(self, clock) -> None:
        self.clock = clock
        self.patches: list[dict] = []
        self.deleted: list[tuple[str, int | None, str]] = []
        self.refusals: list[Exception] = []
        self.latency = 0.0
        self.in_flight = 0

    async def patch(self, resource, name, patch, *, namespace="", kind="merge", subresource=""):
        assert (kind, subresource) == ("strategic", "status")
        self.in_flight += 1
        assert self.in_flight == 1, "two writes in flight for one Pod"
        await self.clock.sleep(self.latency)
        self.in_flight -= 1
        if self.refusals:
            raise self.refusals.pop(0)
        self.patches.append(patch["status"])
        told = {**to_tree(pod().status), **patch["status"]}
        version = str(len(self.patches) + 1)
        changed = from_tree(PodStatus, told)
        meta = msgspec.structs.replace(pod().metadata, resource_version=version)
        return msgspec.structs.replace(pod(), metadata=meta, status=changed)

    async def delete(self, resource, name, namespace="", *, grace=None, uid=""):
        self.deleted.append((name, grace, uid))


def scenario(clock, run, body):
    async def main():
        async with Supervisor(clock) as supervisor:
            api = FakeApi(clock)
            await body(api, StatusWriter(api, clock, supervisor))
            assert supervisor.failures == 0

    run(main())


def test_only_differences_are_written(run, clock):
    """What the API holds already is not written; of conditions only those that changed."""

    async def body(api, writer):
        old = PodCondition(type="Ready", status="False", reason="X")
        held = pod(phase="Pending", conditions=(old, PodCondition(type="PodScheduled", status="True")))
        writer.tell(held, msgspec.structs.replace(held.status))
        await clock.settle()
        assert api.patches == []
        conditions = (PodCondition(type="Ready", status="True"), PodCondition(type="PodScheduled", status="True"))
        writer.tell(held, msgspec.structs.replace(held.status, phase="Running", conditions=conditions))
        await clock.settle()
        assert api.patches == [
            {"phase": "Running", "conditions": [{"type": "Ready", "status": "True", "reason": None}]}
        ]

    scenario(clock, run, body)


def test_addresses_are_replaced_not_added(run, clock):
    """A changed podIP replaces the merged list."""

    async def body(api, writer):
        held = pod(pod_ip="10.0.0.1", pod_ips=(PodIP(ip="10.0.0.1"),))
        writer.tell(held, msgspec.structs.replace(held.status, pod_ip="10.0.0.2", pod_ips=(PodIP(ip="10.0.0.2"),)))
        await clock.settle()
        assert api.patches[0]["podIPs"] == [{"$patch": "replace"}, {"ip": "10.0.0.2"}]

    scenario(clock, run, body)


def test_while_one_write_is_in_flight_only_the_newest_waits(run, clock):
    """Statuses told meanwhile coalesce into one write."""

    async def body(api, writer):
        api.latency = 1.0
        for phase in ("Pending", "Running", "Failed"):
            writer.tell(pod(), PodStatus(phase=phase))
            await clock.settle()
        await clock.advance(5)
        assert [patch["phase"] for patch in api.patches] == ["Pending", "Failed"]

    scenario(clock, run, body)


def test_an_absent_server_is_outlived(run, clock):
    """Refusals are tried again after growing pauses until the status has arrived."""

    async def body(api, writer):
        api.refusals = [service_unavailable("away"), service_unavailable("away"), conflict("", "pods", "web")]
        writer.tell(pod(), PodStatus(phase="Running"))
        await clock.advance(0.69)
        assert api.patches == []
        await clock.advance(0.02)
        assert [patch["phase"] for patch in api.patches] == ["Running"]

    scenario(clock, run, body)


def test_a_pod_that_is_gone_is_left_alone(run, clock):
    """NotFound ends the writing."""

    async def body(api, writer):
        api.refusals = [not_found("", "pods", "web")]
        writer.tell(pod(), PodStatus(phase="Running"))
        await clock.advance(60)
        assert api.patches == []

    scenario(clock, run, body)


def test_release_waits_for_the_last_status(run, clock):
    """The object is deleted with grace 0 and its uid, after its last status has arrived."""

    async def body(api, writer):
        api.latency = 1.0
        writer.tell(pod(), PodStatus(phase="Failed"))
        release = asyncio.create_task(writer.release(pod()))
        await clock.advance(0.5)
        assert api.deleted == []
        await clock.advance(1)
        assert api.patches == [{"phase": "Failed"}]
        assert api.deleted == [("web", 0, "u1")]
        await release

    scenario(clock, run, body)


def test_what_leaves_a_map_is_nulled():
    """A merge keeps what it is not told of, so that a resource that is gone is named."""
    known = {"allocatable": {"cpu": "2", "example.com/fake": "5"}, "capacity": {"cpu": "2"}}
    wanted = {"allocatable": {"cpu": "2"}, "capacity": {"cpu": "2"}}
    assert status_patch(known, wanted, ()) == {"allocatable": {"cpu": "2", "example.com/fake": None}}
