"""A Pod of high priority finds a full cluster, and makes room."""

from __future__ import annotations

from podling.api.resources import PODS, REPLICA_SETS
from podling.kubelet.settings import Settings
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import SimulatedCluster

SMALL = Settings(port=0, capacity={"cpu": "2"})


def pod(name, cpu="1", grace=5, priority="", node="", **spec):
    container = {"name": "c", "image": "web", "resources": {"requests": {"cpu": cpu}}}
    if priority:
        spec["priorityClassName"] = priority
    script = '{"c": {"runs": [{"ignoresSigterm": true}]}}'
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default", "annotations": {SCRIPT_ANNOTATION: script}},
        "spec": {"terminationGracePeriodSeconds": grace, "containers": [container], **spec},
    }


def priority_class(name, value, **more):
    meta = {"name": name}
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": meta, "value": value, **more}


def state(cluster, name):
    found = cluster.get(PODS, name)
    return None if found is None else (found.status.phase, found.spec.node_name, found.status.nominated_node_name)


async def full(cluster, *names):
    await cluster.apply([pod(name) for name in names])
    await cluster.run_until(lambda: all(state(cluster, name)[0] == "Running" for name in names))


def test_victims_leave_gracefully_and_then_the_pod_comes(run):
    """The least important go with their grace, each told why; the Node is promised meanwhile and taken after."""

    async def main():
        async with SimulatedCluster(nodes=2, settings=SMALL) as cluster:
            await cluster.apply(priority_class("high", 1000))
            await full(cluster, "a", "b", "c", "d")
            began = cluster.clock.monotonic()
            await cluster.apply(pod("urgent", "2", priority="high"))
            await cluster.advance(1)
            phase, node, promised = state(cluster, "urgent")
            assert (phase, node) == ("Pending", "") and promised in cluster.nodes
            victims = [n for n in "abcd" if cluster.get(PODS, n).metadata.deletion_timestamp]
            assert [state(cluster, n)[1] for n in victims] == [promised] * 2
            for name in victims:
                (target,) = [c for c in cluster.get(PODS, name).status.conditions if c.type == "DisruptionTarget"]
                assert (target.status, target.reason) == ("True", "PreemptionByScheduler")
                assert target.message == "default-scheduler: preempting to accommodate a higher priority pod"
                uid = cluster.get(PODS, "urgent").metadata.uid
                told = [(e.reason, e.message) for e in cluster.events(name)]
                assert ("Preempted", f"Preempted by pod {uid} on node {promised}") in told
            said = [e.message for e in cluster.events("urgent") if e.reason == "FailedScheduling"]
            assert said[0] == "0/2 nodes are available: 2 Insufficient cpu."
            await cluster.run_until(lambda: state(cluster, "urgent")[1] == promised)
            assert cluster.clock.monotonic() - began == 5
            await cluster.run_until(lambda: state(cluster, "urgent")[0] == "Running")
            assert sorted(n for n in "abcd" if state(cluster, n)) == sorted(set("abcd") - set(victims))
            assert cluster.failures == 0

    run(main())


def test_the_promised_room_is_not_taken_by_others(run):
    """What victims free is not given to a lesser Pod that waits; it says why."""

    async def main():
        async with SimulatedCluster(nodes=1, settings=SMALL) as cluster:
            await cluster.apply(priority_class("high", 1000))
            await full(cluster, "a", "b")
            await cluster.apply(pod("waiting", "1"))
            await cluster.apply(pod("urgent", "2", priority="high"))
            await cluster.run_until(lambda: state(cluster, "urgent")[0] == "Running")
            assert state(cluster, "waiting") == ("Pending", "", "")

    run(main())


def test_a_pod_that_never_preempts_waits(run):
    """preemptionPolicy Never of its class: nobody goes, and the event says why."""

    async def main():
        async with SimulatedCluster(nodes=1, settings=SMALL) as cluster:
            await cluster.apply(priority_class("meek", 1000, preemptionPolicy="Never"))
            await full(cluster, "a", "b")
            await cluster.apply(pod("urgent", "2", priority="meek"))
            await cluster.advance(400)
            assert state(cluster, "urgent") == ("Pending", "", "")
            said = [e.message for e in cluster.events("urgent")]
            assert said == [
                "0/1 nodes are available: 1 Insufficient cpu. preemption: not eligible due to preemptionPolicy=Never."
            ]
            await cluster.client.delete(PODS, "a", "default")
            await cluster.client.delete(PODS, "b", "default")
            await cluster.run_until(lambda: state(cluster, "urgent")[0] == "Running")

    run(main())


def test_who_needs_nobody_to_go_any_more_gives_its_promise_back(run):
    """A promised Pod that is deleted leaves the room to who waits for it."""

    async def main():
        async with SimulatedCluster(nodes=1, settings=SMALL) as cluster:
            await cluster.apply(priority_class("high", 1000))
            await full(cluster, "a", "b")
            await cluster.apply(pod("waiting", "1"))
            await cluster.apply(pod("urgent", "2", priority="high"))
            await cluster.advance(1)
            assert state(cluster, "urgent")[2] == "node-0"
            await cluster.client.delete(PODS, "urgent", "default")
            await cluster.run_until(lambda: state(cluster, "waiting")[0] == "Running", 30)

    run(main())


def test_gates_hold_a_pod_back(run):
    """A gated Pod is shown as such, is not tried, and goes its way once the last gate is off."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            await cluster.apply(pod("gated", schedulingGates=[{"name": "example.com/a"}, {"name": "example.com/b"}]))
            await cluster.advance(10)
            held = cluster.get(PODS, "gated")
            (condition,) = held.status.conditions
            assert (condition.type, condition.status, condition.reason) == ("PodScheduled", "False", "SchedulingGated")
            assert condition.message == "Scheduling is blocked due to non-empty scheduling gates"
            assert cluster.events("gated") == []
            keep = [{"$patch": "delete", "name": "example.com/a"}]
            await cluster.client.patch(
                PODS, "gated", {"spec": {"schedulingGates": keep}}, namespace="default", kind="strategic"
            )
            await cluster.advance(10)
            assert state(cluster, "gated")[1] == ""
            await cluster.client.patch(PODS, "gated", {"spec": {"schedulingGates": None}}, namespace="default")
            await cluster.run_until(lambda: state(cluster, "gated")[0] == "Running", 10)

    run(main())


def test_a_budget_turns_preemption_elsewhere(run):
    """Of two Nodes the one is chosen whose Pod no budget keeps, though its Pod is of higher priority."""

    async def main():
        async with SimulatedCluster(nodes=2, settings=SMALL) as cluster:
            await cluster.apply([priority_class("high", 1000), priority_class("mid", 10)])
            await cluster.apply(pod("kept", "2"))
            await cluster.run_until(lambda: state(cluster, "kept")[0] == "Running")
            await cluster.apply(pod("mid", "2", priority="mid"))
            await cluster.client.patch(PODS, "kept", {"metadata": {"labels": {"app": "db"}}}, namespace="default")
            spec = {"minAvailable": 1, "selector": {"matchLabels": {"app": "db"}}}
            meta = {"name": "db", "namespace": "default"}
            await cluster.apply(
                {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}
            )
            await cluster.run_until(lambda: state(cluster, "mid")[0] == "Running")
            await cluster.advance(1)
            await cluster.apply(pod("urgent", "2", priority="high"))
            await cluster.run_until(lambda: state(cluster, "urgent")[0] == "Running", 60)
            assert state(cluster, "kept")[0] == "Running"
            assert state(cluster, "mid") is None

    run(main())


def test_preemption_goes_on_where_the_scheduler_began_anew(run):
    """A promise outlives the scheduler: nobody else is asked to go after a restart in the midst of it."""

    async def main():
        async with SimulatedCluster(nodes=2, settings=SMALL) as cluster:
            await cluster.apply(priority_class("high", 1000))
            await full(cluster, "a", "b", "c", "d")
            await cluster.apply(pod("urgent", "2", priority="high"))
            await cluster.advance(1)
            promised = state(cluster, "urgent")[2]
            await cluster.restart_scheduler(1)
            await cluster.run_until(lambda: state(cluster, "urgent")[0] == "Running", 60)
            assert state(cluster, "urgent")[1] == promised
            assert len([n for n in "abcd" if state(cluster, n)]) == 2

    run(main())


def test_pods_of_replica_sets_make_room_and_are_made_again(run):
    """As upstream's suite: the two lesser sets' Pods go, the third's stays; what goes is made anew, and waits."""

    async def main():
        async with SimulatedCluster(settings=Settings(port=0, capacity={"cpu": "1"})) as cluster:
            await cluster.apply([priority_class(f"p{number}", number) for number in (1, 2, 3, 4)])
            for number, cpu in ((1, "200m"), (2, "300m"), (3, "450m")):
                labels = {"set": f"s{number}"}
                made = pod("", cpu, grace=0, priority=f"p{number}")
                template = {"metadata": {"labels": labels}, "spec": made["spec"]}
                spec = {"replicas": 1, "selector": {"matchLabels": labels}, "template": template}
                meta = {"name": f"s{number}", "namespace": "default"}
                await cluster.apply({"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec})
                await cluster.run_until(lambda n=number: cluster.get(REPLICA_SETS, f"s{n}").status.ready_replicas == 1)
            first = {p.metadata.labels["set"]: p.metadata.name for p in cluster.list(PODS, "default")}
            await cluster.apply(pod("urgent", "500m", priority="p4"))
            await cluster.run_until(lambda: state(cluster, "urgent")[0] == "Running")
            await cluster.advance(60)
            left = {
                p.metadata.labels.get("set"): (p.metadata.name, p.status.phase) for p in cluster.list(PODS, "default")
            }
            assert left["s3"] == (first["s3"], "Running")
            for gone in ("s1", "s2"):
                assert left[gone][0] != first[gone]
                assert left[gone][1] == "Pending"
            assert len(cluster.list(PODS, "default")) == 4
            assert cluster.failures == 0

    run(main())  # fmt: skip
