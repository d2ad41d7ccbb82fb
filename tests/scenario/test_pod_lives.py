"""One Pod's whole life in a whole cluster, from the API's side, to the exact instant."""

from __future__ import annotations

import pytest

from podling.api.resources import NODES, PODS
from podling.client.wait import ready
from podling.runtime.sim import ImageScript
from podling.runtime.sim.runtime import Fault
from podling.testing.cluster import SimulatedCluster
from tests.scenario.lives import display, history, pod

SLOW = {"busybox": ImageScript(pull_latency=4)}


def condition_times(cluster: SimulatedCluster) -> dict[str, str]:
    conditions = cluster.get(PODS, "web").status.conditions
    return {c.type: c.last_transition_time[-4:-1] for c in conditions if c.status == "True"}


def test_from_creation_to_gone(run):
    """Scheduled at once, pulled for 4 s, started in 2 s, deaf to SIGTERM for its grace of 30 s, gone."""

    async def main():
        async with SimulatedCluster(2, images=SLOW) as cluster:
            await cluster.advance(10)
            await cluster.apply(pod("web", {"startLatency": 2, "ignoresSigterm": True}))
            assert await history(cluster, 20) == [(10, "ContainerCreating"), (16, "Running")]
            # The world begins at 22:13:20.
            assert condition_times(cluster) == {
                "PodScheduled": ":30",
                "Initialized": ":30",
                "PodReadyToStartContainers": ":30",
                "ContainersReady": ":36",
                "Ready": ":36",
            }
            await cluster.client.delete(PODS, "web", "default")
            found = cluster.get(PODS, "web")
            assert found.metadata.deletion_grace_period_seconds == 30
            assert found.metadata.deletion_timestamp == "2023-11-14T22:14:20Z"
            assert await history(cluster, 60) == [(30, "Terminating"), (60, "gone")]
            reasons = [(e.source.component, e.reason) for e in cluster.events("web")]
            assert reasons == [
                ("default-scheduler", "Scheduled"),
                ("kubelet", "Pulling"),
                ("kubelet", "Pulled"),
                ("kubelet", "Created"),
                ("kubelet", "Started"),
                ("kubelet", "Killing"),
            ]
            assert cluster.failures == 0

    run(main())


@pytest.mark.parametrize(
    ("policy", "runs", "states"),
    [
        ("Never", [{"lasts": 7}], [(0, "Running"), (7, "Completed")]),
        ("Never", [{"lasts": 7, "exitCode": 3}], [(0, "Running"), (7, "Error")]),
        ("Never", [{"lasts": 7, "oomKilled": True}], [(0, "Running"), (7, "OOMKilled")]),
        (
            "OnFailure",
            [{"lasts": 5, "exitCode": 3}, {"lasts": 5, "exitCode": 3}, {"lasts": 5}],
            [(0, "Running"), (10, "CrashLoopBackOff"), (20, "Running"), (25, "Completed")],
        ),
    ],
)
def test_ends(run, policy, runs, states):
    """A Pod that ends shows why at the instant of its last container's death, and is then never started again."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(pod("web", *runs, restartPolicy=policy))
            assert await history(cluster, 1000) == states
            expected = "Succeeded" if states[-1][1] == "Completed" else "Failed"
            assert cluster.get(PODS, "web").status.phase == expected

    run(main())


def test_the_row_of_restarts(run):
    """At once, then after 10, 20, 40, 80, 160 and 300 s; a life of more than ten minutes begins the row anew."""

    async def main():
        async with SimulatedCluster() as cluster:
            short, long = {"lasts": 1, "exitCode": 1}, {"lasts": 601, "exitCode": 1}
            await cluster.apply(pod("web", *[short] * 9, long, short, short, {}))
            starts: list[float] = []

            def look() -> bool:
                statuses = cluster.get(PODS, "web").status.container_statuses
                if statuses and statuses[0].state.running and statuses[0].restart_count == len(starts):
                    starts.append(cluster.clock.monotonic())
                return len(starts) == 13

            await cluster.run_until(look, 10_000)
            lives = [1] * 9 + [601, 1, 1]
            pauses = [later - before - life for before, later, life in zip(starts, starts[1:], lives, strict=False)]
            assert pauses == [0, 10, 20, 40, 80, 160, 300, 300, 300, 0, 10, 20]
            assert cluster.failures == 0

    run(main())


def test_the_row_of_pulls(run):
    """Asked again after 10, 20, 40, 80, 160 and 300 s; ErrImagePull first, ImagePullBackOff while it waits."""

    async def main():
        images = {"busybox": ImageScript(pull_failures=8, message="no route to host")}
        async with SimulatedCluster(images=images) as cluster:
            await cluster.apply(pod())
            runtime = cluster.nodes["node-0"].runtime
            pulls: list[float] = []

            def look() -> bool:
                if sum(runtime.snapshot().pulls.values()) > len(pulls):
                    pulls.append(cluster.clock.monotonic())
                return display(cluster) == "Running"

            await cluster.run_until(look, 10_000)
            pauses = [later - before for before, later in zip(pulls, pulls[1:], strict=False)]
            assert pauses == [10, 20, 40, 80, 160, 300, 300, 300]

    run(main())


def test_pull_errors_are_shown_and_backed_off(run):
    """ErrImagePull, then ImagePullBackOff until the next try, which is shown again."""

    async def main():
        async with SimulatedCluster(images={"busybox": ImageScript(pull_latency=2, pull_failures=-1)}) as cluster:
            await cluster.apply(pod())
            seen = await history(cluster, 16)
            assert seen[:3] == [(0, "ContainerCreating"), (2, "ErrImagePull"), (3, "ImagePullBackOff")]
            assert (14, "ErrImagePull") in seen

    run(main())


def test_deleted_before_it_has_a_node(run):
    """A Pod that nothing can run is Pending with the reason, and gone at once when it is deleted."""

    async def main():
        async with SimulatedCluster(3) as cluster:
            await cluster.apply(pod(nodeSelector={"disk": "ssd"}))
            await cluster.advance(30)
            assert display(cluster) == "Pending"
            (condition,) = cluster.get(PODS, "web").status.conditions
            assert (condition.reason, condition.status) == ("Unschedulable", "False")
            assert condition.message.startswith(
                "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector."
            )
            await cluster.client.delete(PODS, "web", "default")
            assert cluster.get(PODS, "web") is None

    run(main())


def test_waits_for_a_node_that_fits(run):
    """A Pending Pod runs as soon as a node with its label is there."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply(pod(nodeSelector={"disk": "ssd"}))
            await cluster.advance(100)
            patch = {"metadata": {"labels": {"disk": "ssd"}}}
            await cluster.client.patch(NODES, "node-0", patch)
            before = cluster.clock.monotonic()
            await cluster.wait(PODS, "web", ready(), limit=60)
            assert cluster.clock.monotonic() - before <= 10

    run(main())


@pytest.mark.parametrize(
    ("at", "script", "gone_at"),
    [(2, {}, 2), (5, {"createLatency": 3}, 7), (5, {"startLatency": 3}, 7), (10, {"stopLatency": 6}, 16)],
    ids=["pulling", "creating", "starting", "running"],
)
def test_deleted_on_its_way(run, at, script, gone_at):
    """Deleted while it pulls, is created, starts or runs: gone when what is under way is over, and nothing is left."""

    async def main():
        async with SimulatedCluster(images=SLOW) as cluster:
            await cluster.apply(pod("web", script))
            await cluster.advance(at)
            await cluster.client.delete(PODS, "web", "default")
            assert (await history(cluster, 60))[-1] == (gone_at, "gone")
            await cluster.advance(1)
            node = cluster.nodes["node-0"]
            assert await node.runtime.list_sandboxes() == []
            assert len(node.kubelet.workers) == 0

    run(main())


def test_deleted_while_the_runtime_fails(run):
    """A sandbox that cannot be made is tried again with back-off, and is no obstacle to the Pod's end."""

    async def main():
        async with SimulatedCluster() as cluster:
            runtime = cluster.nodes["node-0"].runtime
            runtime.faults["run_sandbox"] = Fault(100, 0.0, "Unavailable", "no more veth pairs")
            await cluster.apply(pod())
            await cluster.advance(30)
            assert display(cluster) == "ContainerCreating"
            events = [e for e in cluster.events("web") if e.reason == "FailedCreatePodSandBox"]
            assert "no more veth pairs" in events[0].message
            await cluster.client.delete(PODS, "web", "default")
            await cluster.run_until(lambda: display(cluster) == "gone", 1)

    run(main())


def test_a_node_that_loses_power(run):
    """Its Pods stay as they were last told, come back in new sandboxes with one more restart, and keep their uid."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            await cluster.apply([pod(f"web-{n}") for n in range(6)])
            await cluster.run_until(lambda: all(p.status.phase == "Running" for p in cluster.list(PODS)))
            before = {p.metadata.name: p for p in cluster.list(PODS, fields="spec.nodeName=node-1")}
            assert len(before) == 3
            await cluster.kill_node("node-1")
            await cluster.advance(120)
            assert all(display(cluster, name) == "Running" for name in before)
            await cluster.restart_node("node-1")
            await cluster.advance(30)
            for name, old in before.items():
                new = cluster.get(PODS, name)
                assert new.metadata.uid == old.metadata.uid
                status = new.status.container_statuses[0]
                assert (status.restart_count, status.ready) == (1, True)
                assert status.last_state.terminated.exit_code == 255
                assert status.container_id != old.status.container_statuses[0].container_id
            untouched = cluster.list(PODS, fields="spec.nodeName=node-0")
            assert [p.status.container_statuses[0].restart_count for p in untouched] == [0, 0, 0]
            assert cluster.failures == 0

    run(main())


def test_what_others_write_over_a_status_is_put_right(run):
    """The kubelet's word on its Pods' conditions stands: a foreign Ready=False lasts no longer than it takes to hear of it."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(pod())
            await cluster.wait(PODS, "web", ready())
            await cluster.advance(10)
            conditions = [{"type": "Ready", "status": "False"}, {"type": "example.com/mine", "status": "True"}]
            patch = {"status": {"conditions": conditions}}
            await cluster.client.patch(PODS, "web", patch, namespace="default", kind="strategic", subresource="status")
            await cluster.advance(1)
            told = {c.type: c.status for c in cluster.get(PODS, "web").status.conditions}
            assert (told["Ready"], told["example.com/mine"]) == ("True", "True")
            version = cluster.get(PODS, "web").metadata.resource_version
            await cluster.advance(60)
            assert cluster.get(PODS, "web").metadata.resource_version == version

    run(main())


def test_a_pod_is_not_refused_for_labels_that_were_not_heard_of(run):
    """Where the news of a label was lost, a Pod bound because of it runs all the same; a wrong one is still refused."""

    async def main():
        async with SimulatedCluster() as cluster:
            cluster.faults.lost_events = 1.0
            await cluster.client.patch(NODES, "node-0", {"metadata": {"labels": {"disk": "ssd"}}})
            await cluster.advance(1)
            cluster.faults.lost_events = 0.0
            await cluster.apply(pod("right", nodeName="node-0", nodeSelector={"disk": "ssd"}))
            await cluster.apply(pod("wrong", nodeName="node-0", nodeSelector={"disk": "tape"}))
            await cluster.wait(PODS, "right", ready(), limit=1)
            assert cluster.get(PODS, "wrong").status.reason == "NodeAffinity"

    run(main())
