"""A Node that is lost, for every second that matters, and back again."""

from __future__ import annotations

import json

import pytest

from podling.api.resources import NODES, PODS
from podling.controllers.settings import Settings as ControllerSettings
from podling.kubelet.settings import Settings
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import SimulatedCluster

UNREACHABLE = "node.kubernetes.io/unreachable"


def pod(name="web", node="node-0", **spec):
    container = {"name": "c", "image": "web"}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"nodeName": node, "terminationGracePeriodSeconds": 1, "containers": [container], **spec},
    }


def tolerating(seconds, key=UNREACHABLE):
    return [{"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds}]


def ready(cluster, name="node-0"):
    node = cluster.get(NODES, name)
    return next((c for c in node.status.conditions if c.type == "Ready"), None) if node else None


def is_ready(cluster, name="web"):
    found = cluster.get(PODS, name)
    return found is not None and any(c.type == "Ready" and c.status == "True" for c in found.status.conditions)


def taints(cluster, name="node-0"):
    return sorted((t.key, t.effect) for t in cluster.get(NODES, name).spec.taints)


def told(cluster, about):
    return [(e.reason, e.message) for e in cluster.events(about)]


async def with_pod(cluster, **spec):
    await cluster.apply(pod(**spec))
    await cluster.run_until(lambda: is_ready(cluster))


async def lose(cluster, name="node-0"):
    """Cut the power right after a renewal, and return the instant."""
    renewals = []
    await cluster.run_until(lambda: _renewed(cluster, name, renewals))
    await cluster.kill_node(name)
    return cluster.clock.monotonic()


def _renewed(cluster, name, seen):
    from podling.api.resources import LEASES

    seen.append(cluster.get(LEASES, name, "kube-node-lease").spec.renew_time)
    return seen[0] != seen[-1]


def test_a_node_silent_for_49_seconds_is_ready_and_at_50_it_is_lost(run):
    """At the end of the grace period, and not before, conditions are Unknown, taints are there and Pods not ready."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster)
            lost = await lose(cluster)
            await cluster.advance(49)
            assert ready(cluster).status == "True"
            assert taints(cluster) == []
            assert await cluster.run_until(lambda: ready(cluster).status == "Unknown") - lost == 50
            await cluster.advance(0)
            condition = ready(cluster)
            assert (condition.reason, condition.message) == (
                "NodeStatusUnknown",
                "Kubelet stopped posting node status.",
            )
            conditions = cluster.get(NODES, "node-0").status.conditions
            assert {c.type: c.status for c in conditions} == dict.fromkeys(
                ("MemoryPressure", "DiskPressure", "PIDPressure", "Ready"), "Unknown"
            )
            assert taints(cluster) == [(UNREACHABLE, "NoExecute"), (UNREACHABLE, "NoSchedule")]
            held = {c.type: c.status for c in cluster.get(PODS, "web").status.conditions}
            assert held["Ready"] == "False" and held["ContainersReady"] == "True"
            assert ("NodeNotReady", "Node is not ready") in told(cluster, "web")
            assert ("NodeNotReady", "Node node-0 status is now: NodeNotReady") in told(cluster, "node-0")
            assert cluster.failures == 0

    run(main())


@pytest.mark.parametrize("away", [49, 51, 349])
def test_a_node_that_is_back_in_time_keeps_its_pods(run, away):
    """Back before the tolerations are used up: Ready, no taints, the same Pod ready again."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster)
            uid = cluster.get(PODS, "web").metadata.uid
            await lose(cluster)
            await cluster.advance(away)
            assert (ready(cluster).status == "Unknown") == (away > 50)
            await cluster.restart_node("node-0")
            await cluster.run_until(lambda: ready(cluster).status == "True" and is_ready(cluster), 60)
            await cluster.advance(0)
            assert taints(cluster) == []
            await cluster.advance(400)
            back = cluster.get(PODS, "web")
            assert back.metadata.uid == uid and back.metadata.deletion_timestamp is None
            cancelled = ("TaintManagerEviction", "Cancelling deletion of Pod default/web")
            assert (cancelled in told(cluster, "web")) == (away > 50)
            assert cluster.failures == 0

    run(main())


def test_a_kubelet_that_was_away_says_that_its_pods_are_ready(run):
    """Containers that outlived their kubelet's absence are Ready again without a restart."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster)
            await cluster.restart_kubelet("node-0", down_for=100)
            await cluster.run_until(lambda: ready(cluster).status == "True" and is_ready(cluster), 60)
            assert cluster.get(PODS, "web").status.container_statuses[0].restart_count == 0
            await cluster.advance(0)
            assert taints(cluster) == []

    run(main())


@pytest.mark.parametrize(
    ("tolerations", "after"),
    [(None, 300), (tolerating(7), 7), (tolerating(0), 0), ([*tolerating(90), *tolerating(20)], 20)],
)
def test_pods_of_a_lost_node_go_when_their_tolerations_are_used_up(run, tolerations, after):
    """350 s after the last renewal by default; else the fewest seconds that match, counted from the taint."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster, **({"tolerations": tolerations} if tolerations else {}))
            lost = await lose(cluster)
            if after:
                await cluster.advance(50 + after - 1)
                assert cluster.get(PODS, "web").metadata.deletion_timestamp is None
            at = await cluster.run_until(lambda: cluster.get(PODS, "web").metadata.deletion_timestamp is not None)
            assert at - lost == 50 + after
            await cluster.advance(1)
            (target,) = [c for c in cluster.get(PODS, "web").status.conditions if c.type == "DisruptionTarget"]
            assert (target.status, target.reason) == ("True", "DeletionByTaintManager")
            assert target.message == "Taint manager: deleting due to NoExecute taint"
            assert ("TaintManagerEviction", "Marking for deletion Pod default/web") in told(cluster, "web")
            await cluster.restart_node("node-0")
            await cluster.run_until(lambda: cluster.get(PODS, "web") is None, 60)
            assert cluster.failures == 0

    run(main())


def test_a_pod_that_tolerates_for_ever_stays(run):
    """Without tolerationSeconds a Pod waits for its Node however long it takes."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster, tolerations=[{"operator": "Exists"}])
            await lose(cluster)
            await cluster.advance(4000)
            assert cluster.get(PODS, "web").metadata.deletion_timestamp is None

    run(main())


def test_the_grace_period_is_settable(run):
    """A cluster may be told to be quicker or more patient."""

    async def main():
        async with SimulatedCluster(nodes=2, controllers=ControllerSettings(node_monitor_grace_period=15.0)) as cluster:
            await with_pod(cluster)
            lost = await lose(cluster)
            assert await cluster.run_until(lambda: ready(cluster).status == "Unknown") - lost == 15

    run(main())


def test_finished_pods_above_the_threshold_are_collected(run):
    """The oldest finished Pods go once there are more than are kept; the running stay."""

    async def main():
        done = json.dumps({"c": {"runs": [{"lasts": 1}]}})
        async with SimulatedCluster(nodes=1, controllers=ControllerSettings(terminated_pod_gc_threshold=2)) as cluster:
            await cluster.apply(pod("running"))
            for name in "abcd":
                tree = pod(name, restartPolicy="Never")
                tree["metadata"]["annotations"] = {SCRIPT_ANNOTATION: done}
                await cluster.apply(tree)
                await cluster.run_until(lambda: cluster.get(PODS, name).status.phase == "Succeeded", 30)  # noqa: B023
            await cluster.advance(21)
            assert [p.metadata.name for p in cluster.list(PODS, "default")] == ["c", "d", "running"]
            assert cluster.failures == 0

    run(main())


def test_where_every_node_is_lost_nobody_is_evicted(run):
    """All Nodes gone at once is taken for a broken network: no NoExecute taint, until one is back."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster)
            await cluster.kill_node("node-0")
            await cluster.kill_node("node-1")
            await cluster.advance(1000)
            assert ready(cluster).status == "Unknown"
            assert taints(cluster) == [(UNREACHABLE, "NoSchedule")]
            assert cluster.get(PODS, "web").metadata.deletion_timestamp is None
            await cluster.restart_node("node-1")
            await cluster.advance(20)
            assert (UNREACHABLE, "NoExecute") in taints(cluster)

    run(main())


def test_lost_nodes_of_a_zone_are_tainted_one_in_ten_seconds(run):
    """Of several Nodes that are lost at once, one is tainted NoExecute at once and the next ten seconds later."""

    async def main():
        async with SimulatedCluster(nodes=5) as cluster:
            await cluster.advance(20)
            for name in ("node-0", "node-1"):
                await cluster.kill_node(name)

            def driven():
                return [n for n in ("node-0", "node-1") if (UNREACHABLE, "NoExecute") in taints(cluster, n)]

            first = await cluster.run_until(lambda: len(driven()) == 1)
            assert await cluster.run_until(lambda: len(driven()) == 2) - first == 10

    run(main())


def test_a_node_deleted_leaves_no_pods(run):
    """Pods of a Node that no longer exists fail after the quarantine, say why, and are gone without a kubelet."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster)
            await cluster.kill_node("node-0")
            await cluster.client.delete(NODES, "node-0")
            await cluster.advance(39)
            assert cluster.get(PODS, "web").status.phase == "Running"
            await cluster.advance(1)
            assert cluster.get(PODS, "web") is None
            assert cluster.failures == 0

    run(main())


def test_a_node_out_of_service_lets_its_terminating_pods_go(run):
    """With the taint out-of-service on a lost Node, what terminates there is gone at once."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster)
            await lose(cluster)
            await cluster.advance(400)
            assert cluster.get(PODS, "web").metadata.deletion_timestamp is not None
            taint = {"key": "node.kubernetes.io/out-of-service", "value": "nodeshutdown", "effect": "NoExecute"}
            held = [{"key": key, "effect": effect} for key, effect in taints(cluster)]
            await cluster.client.patch(NODES, "node-0", {"spec": {"taints": [*held, taint]}})
            await cluster.advance(0)
            assert cluster.get(PODS, "web") is None

    run(main())


def test_a_new_taint_drives_out_whoever_does_not_tolerate_it(run):
    """An administrator's NoExecute taint works at once, on Pods there and on those that come by name."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            await with_pod(cluster)
            taint = {"key": "team", "value": "a", "effect": "NoExecute"}
            await cluster.client.patch(NODES, "node-0", {"spec": {"taints": [taint]}})
            await cluster.advance(0)
            assert cluster.get(PODS, "web") is None
            mine = [{"key": "team", "operator": "Equal", "value": "a", "effect": "NoExecute", "tolerationSeconds": 5}]
            await cluster.apply(pod("mine", tolerations=mine))
            came = cluster.clock.monotonic()
            assert await cluster.run_until(lambda: cluster.get(PODS, "mine") is None) - came == 5

    run(main())


def test_a_taint_that_is_taken_back_drives_nobody_out(run):
    """Before a Pod's tolerationSeconds are over; who had fewer of them has gone by then, to the second."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            rule = {"key": "team", "operator": "Equal", "value": "a", "effect": "NoExecute"}
            for name, seconds in (("brief", 5), ("patient", 60)):
                await cluster.apply(pod(name, tolerations=[{**rule, "tolerationSeconds": seconds}]))
                await cluster.run_until(lambda name=name: is_ready(cluster, name))
            taint = {"key": "team", "value": "a", "effect": "NoExecute"}
            await cluster.client.patch(NODES, "node-0", {"spec": {"taints": [taint]}})
            began = cluster.clock.monotonic()
            gone = await cluster.run_until(lambda: cluster.get(PODS, "brief") is None, limit=60)
            assert gone - began == 5
            await cluster.client.patch(NODES, "node-0", {"spec": {"taints": None}})
            await cluster.advance(300)
            assert cluster.get(PODS, "patient").status.phase == "Running"

    run(main())


def test_an_api_server_away_for_a_minute_loses_no_node(run):
    """Whatever is concluded while nobody can be heard is mended by the next words of the kubelets."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await with_pod(cluster)
            uid = cluster.get(PODS, "web").metadata.uid
            await cluster.restart_api_server(down_for=70)
            await cluster.advance(60)
            assert ready(cluster).status == "True" and is_ready(cluster)
            await cluster.advance(400)
            assert ready(cluster).status == "True" and taints(cluster) == []
            assert cluster.get(PODS, "web").metadata.uid == uid and is_ready(cluster)
            assert cluster.failures == 0

    run(main())


def test_cordon_is_a_taint(run):
    """`spec.unschedulable` has its NoSchedule taint for as long as it is set."""

    async def main():
        async with SimulatedCluster(nodes=1, settings=Settings(port=0)) as cluster:
            await cluster.client.patch(NODES, "node-0", {"spec": {"unschedulable": True}})
            await cluster.advance(0)
            assert taints(cluster) == [("node.kubernetes.io/unschedulable", "NoSchedule")]
            await cluster.client.patch(NODES, "node-0", {"spec": {"unschedulable": None}})
            await cluster.advance(0)
            assert taints(cluster) == []

    run(main())
