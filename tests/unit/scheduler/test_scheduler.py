from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from tests.small_cluster import SmallCluster

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock
from podling.aio.supervisor import Supervisor
from podling.api import errors
from podling.api.resources import EVENTS, NODES, PODS
from podling.client.client import ApiClient
from podling.client.events import EventRecorder
from podling.client.informer import Informers
from podling.client.transport import Answer
from podling.scheduler.scheduler import Scheduler


def _node(name: str, cpu: str = "4", **spec: Any) -> dict[str, Any]:
    given = {"cpu": cpu, "memory": "8Gi", "pods": "110"}
    return {"metadata": {"name": name}, "spec": spec, "status": {"allocatable": given}}


def _pod(name: str, cpu: str = "1", **spec: Any) -> dict[str, Any]:
    container = {"name": "c", "image": "web", "resources": {"requests": {"cpu": cpu}}}
    spec = {"containers": [container], "schedulerName": "default-scheduler"} | spec
    return {"metadata": {"name": name, "namespace": "default"}, "spec": spec, "status": {"phase": "Pending"}}


@asynccontextmanager
async def _scheduling(cluster: SmallCluster, clock: VirtualClock, seed: int = 1) -> AsyncIterator[Supervisor]:
    client = ApiClient(cluster)
    chance = Chance(seed)
    async with Supervisor(clock) as supervisor:
        informers = Informers(client, clock, chance, supervisor)
        recorder = EventRecorder(client, clock, "default-scheduler")
        supervisor.component("events", recorder.run)
        Scheduler(client, informers, recorder, clock, chance, supervisor).start()
        await clock.settle()
        yield supervisor
        assert supervisor.failures == 0


def _nodes_of(cluster: SmallCluster) -> dict[str, str]:
    return {tree["metadata"]["name"]: tree["spec"].get("nodeName", "") for tree in cluster.all(PODS)}


def _said(cluster: SmallCluster) -> list[tuple[str, str, str, int]]:
    return [(e["type"], e["reason"], e["message"], e["count"]) for e in cluster.all(EVENTS)]


Run = Callable[[Any], Any]


def test_pods_spread_over_nodes_at_once(run: Run, clock: VirtualClock) -> None:
    """Pods are bound without time passing, spread by what is free, and an event says where."""

    async def main() -> None:
        cluster = SmallCluster()
        for name in ("n1", "n2"):
            cluster.put(NODES, _node(name))
        async with _scheduling(cluster, clock):
            for number in range(8):
                cluster.put(PODS, _pod(f"p{number}"))
            await clock.settle()
            placed = _nodes_of(cluster)
            assert sorted(placed.values()) == ["n1"] * 4 + ["n2"] * 4
            assert ("Normal", "Scheduled", f"Successfully assigned default/p0 to {placed['p0']}", 1) in _said(cluster)
        assert clock.monotonic() == 0

    run(main())


def test_unschedulable_pod_says_why_and_goes_when_it_can(run: Run, clock: VirtualClock) -> None:
    """Condition and event say why, once; room that another Pod leaves is taken."""

    async def main() -> None:
        cluster = SmallCluster()
        cluster.put(NODES, _node("n1"))
        async with _scheduling(cluster, clock):
            cluster.put(PODS, _pod("big", "3"))
            await clock.settle()
            cluster.put(PODS, _pod("late", "2"))
            await clock.settle()
            why = (
                "0/1 nodes are available: 1 Insufficient cpu. "
                "preemption: 0/1 nodes are available: 1 No preemption victims found for incoming pod."
            )
            late = cluster.get(PODS, "late", "default")
            assert late is not None
            (condition,) = late["status"]["conditions"]
            assert condition == {
                "type": "PodScheduled",
                "status": "False",
                "reason": "Unschedulable",
                "message": why,
                "lastTransitionTime": "2023-11-14T22:13:20Z",
            }
            await clock.advance(60)
            assert ("Warning", "FailedScheduling", why, 1) in _said(cluster)
            cluster.remove(PODS, "big", "default")
            await clock.settle()
            assert _nodes_of(cluster) == {"late": "n1"}

    run(main())


def test_finished_pods_free_their_node(run: Run, clock: VirtualClock) -> None:
    """A Pod that succeeded or failed takes no room."""

    async def main() -> None:
        cluster = SmallCluster()
        cluster.put(NODES, _node("n1"))
        done = cluster.put(PODS, _pod("done", "4", nodeName="n1"))
        async with _scheduling(cluster, clock):
            cluster.put(PODS, _pod("next", "4"))
            await clock.settle()
            assert _nodes_of(cluster)["next"] == ""
            cluster.put(PODS, done | {"status": {"phase": "Succeeded"}})
            await clock.settle()
            assert _nodes_of(cluster)["next"] == "n1"

    run(main())


def test_cordon_and_uncordon(run: Run, clock: VirtualClock) -> None:
    """A Pod waits for a cordoned Node and goes when it is uncordoned; without Nodes it waits for one."""

    async def main() -> None:
        cluster = SmallCluster()
        async with _scheduling(cluster, clock):
            cluster.put(PODS, _pod("web"))
            await clock.settle()
            web = cluster.get(PODS, "web", "default")
            assert web is not None
            assert web["status"]["conditions"][0]["message"] == "no nodes available to schedule pods"
            cluster.put(NODES, _node("n1", unschedulable=True))
            await clock.advance(2)
            web = cluster.get(PODS, "web", "default")
            assert web is not None
            assert web["status"]["conditions"][0]["message"].startswith(
                "0/1 nodes are available: 1 node(s) were unschedulable."
            )
            cluster.put(NODES, _node("n1"))
            await clock.advance(2)
            assert _nodes_of(cluster) == {"web": "n1"}

    run(main())


def test_refused_binding_is_tried_again_after_a_pause(run: Run, clock: VirtualClock) -> None:
    """A binding that the server refuses frees the Node and is tried again after a second."""

    async def main() -> None:
        cluster = SmallCluster()
        cluster.put(NODES, _node("n1"))
        refusals = [errors.service_unavailable("away")]
        cluster.refuse = lambda call: refusals.pop() if call.path.endswith("/binding") and refusals else None
        async with _scheduling(cluster, clock):
            cluster.put(PODS, _pod("web"))
            await clock.settle()
            web = cluster.get(PODS, "web", "default")
            assert web is not None
            assert web["status"]["conditions"][0]["reason"] == "SchedulerError"
            assert await clock.run_until(lambda: bool(_nodes_of(cluster)["web"])) == 1.0

    run(main())


def test_pod_bound_by_another_is_left_alone(run: Run, clock: VirtualClock) -> None:
    """A binding that somebody else made first is accepted, counted in, and not tried again."""

    async def main() -> None:
        cluster = SmallCluster()
        for name in ("n1", "n2"):
            cluster.put(NODES, _node(name))
        bound = False

        def steal(call: Any) -> None:
            nonlocal bound
            if call.path.endswith("web/binding") and not bound:
                bound = True
                cluster.put(PODS, _pod("web", "4", nodeName="n2"))

        cluster.refuse = steal  # type: ignore[assignment]
        async with _scheduling(cluster, clock):
            cluster.put(PODS, _pod("web", "4"))
            await clock.advance(30)
            assert sum(call.path.endswith("web/binding") for call in cluster.calls) == 1
            assert not any(call.method == "PATCH" for call in cluster.calls)
            cluster.put(PODS, _pod("other", "4"))
            await clock.settle()
            assert _nodes_of(cluster) == {"web": "n2", "other": "n1"}

    run(main())


def test_gates_other_schedulers_and_deleted_pods(run: Run, clock: VirtualClock) -> None:
    """Gated Pods are held and told so; another scheduler's Pods and those being deleted are left alone."""

    async def main() -> None:
        cluster = SmallCluster()
        cluster.put(NODES, _node("n1"))
        async with _scheduling(cluster, clock):
            cluster.put(PODS, _pod("gated", schedulingGates=[{"name": "example.com/quota"}]))
            cluster.put(PODS, _pod("foreign", schedulerName="mine"))
            going = _pod("going")
            going["metadata"]["deletionTimestamp"] = "2023-11-14T22:13:20Z"
            cluster.put(PODS, going)
            await clock.advance(10)
            assert set(_nodes_of(cluster).values()) == {""}
            gated = cluster.get(PODS, "gated", "default")
            assert gated is not None
            assert gated["status"]["conditions"][0]["reason"] == "SchedulingGated"
            cluster.put(PODS, _pod("gated"))
            await clock.settle()
            assert _nodes_of(cluster)["gated"] == "n1"

    run(main())


def test_ties_are_broken_by_the_seed(run: Run) -> None:
    """The same seed gives the same Nodes, another seed others."""

    async def placed(seed: int) -> dict[str, str]:
        cluster, clock = SmallCluster(), VirtualClock()
        for number in range(20):
            cluster.put(NODES, _node(f"n{number}"))
        async with _scheduling(cluster, clock, seed):
            for number in range(30):
                cluster.put(PODS, _pod(f"p{number}"))
            await clock.settle()
        return _nodes_of(cluster)

    assert run(placed(7)) == run(placed(7)) != run(placed(8))


def test_many_pods_are_all_placed_within_capacity(run: Run, clock: VirtualClock) -> None:
    """Assumed Pods count: no Node is ever given more than it has, and at rest no timer ticks but the flush."""

    async def main() -> None:
        cluster = SmallCluster()
        for number in range(20):
            cluster.put(NODES, _node(f"n{number}"))
        async with _scheduling(cluster, clock):
            for number in range(100):
                cluster.put(PODS, _pod(f"p{number}"))
            await clock.settle()
            nodes = list(_nodes_of(cluster).values())
            assert nodes.count("") == 20
            assert all(nodes.count(f"n{number}") == 4 for number in range(20))

    run(main())


def test_unconfirmed_binding_is_looked_at_again(run: Run, clock: VirtualClock) -> None:
    """A binding that was accepted and then lost is made again once the watch has failed to show it."""

    async def main() -> None:
        cluster = SmallCluster()
        cluster.put(NODES, _node("n1"))
        lost = [True]

        async def lose(call: Any) -> Any:
            if call.path.endswith("/binding") and lost:
                lost.clear()
                return Answer(201, b"{}")
            return await real(call)

        real = cluster.call
        cluster.call = lose  # type: ignore[method-assign]
        async with _scheduling(cluster, clock):
            cluster.put(PODS, _pod("web"))
            assert await clock.run_until(lambda: bool(_nodes_of(cluster)["web"])) == 30.0

    run(main())


def test_defect_in_a_binding_harms_only_its_own_pod(run: Run, clock: VirtualClock) -> None:
    """An error that is no refusal is counted by the supervisor; its Pod is tried again, others never wait."""

    async def main() -> None:
        cluster = SmallCluster()
        cluster.put(NODES, _node("n1"))
        broken = [True]

        def breaks(call: Any) -> None:
            if call.path.endswith("bad/binding") and broken:
                broken.clear()
                raise RuntimeError("a defect")

        cluster.refuse = breaks  # type: ignore[assignment]
        async with _scheduling(cluster, clock) as supervisor:
            cluster.put(PODS, _pod("bad"))
            cluster.put(PODS, _pod("good"))
            await clock.settle()
            assert _nodes_of(cluster) == {"bad": "", "good": "n1"}
            await clock.advance(1)
            assert _nodes_of(cluster) == {"bad": "n1", "good": "n1"}
            assert supervisor.failures == 1
            supervisor.failures = 0

    run(main())


def test_change_during_binding_is_not_lost(run: Run, clock: VirtualClock) -> None:
    """What the watch says of a Pod while it is being bound counts once the binding has failed."""

    async def main() -> None:
        cluster = SmallCluster()
        cluster.put(NODES, _node("n1"))

        attempts = []

        async def refuse(call: Any) -> Any:
            if call.path.endswith("/status"):
                raise errors.service_unavailable("away")
            if not call.path.endswith("/binding"):
                return await real(call)
            attempts.append(call)
            going = _pod("web")
            going["metadata"]["deletionTimestamp"] = "2023-11-14T22:13:20Z"
            cluster.put(PODS, going)
            await clock.sleep(5)
            raise errors.service_unavailable("away")

        real = cluster.call
        cluster.call = refuse  # type: ignore[method-assign]
        async with _scheduling(cluster, clock):
            cluster.put(PODS, _pod("web"))
            await clock.advance(60)
        assert len(attempts) == 1

    run(main())


def test_stops_in_the_midst_of_work(run: Run, clock: VirtualClock) -> None:
    """Stopped while more Pods wait than can be bound at once, it ends without a failure and binds no more."""

    async def main() -> None:
        cluster = SmallCluster()
        cluster.put(NODES, _node("n1", cpu="1000"))

        async def hang(call: Any) -> Any:
            if call.path.endswith("/binding"):
                await clock.sleep(1000)
            return await real(call)

        real = cluster.call
        cluster.call = hang  # type: ignore[method-assign]
        async with _scheduling(cluster, clock) as supervisor:
            for number in range(100):
                cluster.put(PODS, _pod(f"p{number}"))
            await clock.settle()
        assert supervisor.failures == 0
        assert set(_nodes_of(cluster).values()) == {""}

    run(main())
