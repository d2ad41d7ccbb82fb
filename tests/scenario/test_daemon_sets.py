"""DaemonSets at work: upstream's conformance cases step by step, placement, updates, and what fails."""

from __future__ import annotations

import json
import random

import pytest

from podling.api.codec import to_tree
from podling.api.resources import CONTROLLER_REVISIONS, DAEMON_SETS, NODES, PODS
from podling.api.times import from_wire
from podling.controllers.daemon_pods import node_of
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import Faults, SimulatedCluster

LABELS = {"daemonset-name": "daemon"}
HASH = "controller-revision-hash"


def daemon_set(image="one", script=None, name="daemon", pod=None, **spec):
    meta = {"labels": LABELS}
    if script is not None:
        meta["annotations"] = {SCRIPT_ANNOTATION: json.dumps({"c": script})}
    template = {
        "metadata": meta,
        "spec": {"containers": [{"name": "c", "image": image}], "terminationGracePeriodSeconds": 1, **(pod or {})},
    }
    spec = {"selector": {"matchLabels": LABELS}, "template": template, **spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "DaemonSet",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def pods(cluster):
    return [pod for pod in cluster.list(PODS, "default") if pod.metadata.deletion_timestamp is None]


def nodes(cluster):
    return sorted(pod.spec.node_name for pod in pods(cluster) if pod.status.phase == "Running")


def status(cluster):
    return cluster.get(DAEMON_SETS, "daemon").status


def images(cluster):
    return {pod.spec.containers[0].image for pod in pods(cluster)}


def revisions(cluster):
    return {one.revision: one for one in cluster.list(CONTROLLER_REVISIONS, "default")}


async def patch(cluster, body, name="daemon", resource=DAEMON_SETS, kind="strategic"):
    space = "" if resource is NODES else "default"
    return await cluster.client.patch(resource, name, body, namespace=space, kind=kind)


async def label(cluster, node, **labels):
    await patch(cluster, {"metadata": {"labels": labels}}, node, NODES)


def image(name):
    return {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": name}]}}}}


async def settled(cluster, count, name="one"):
    def reached():
        held = status(cluster)
        return held is not None and (held.number_available, held.updated_number_scheduled, images(cluster)) == (
            count,
            count,
            {name},
        )

    return await cluster.run_until(reached)


ALL = ["node-0", "node-1", "node-2"]


def test_a_pod_on_every_node(run):
    """Run and stop a simple daemon: one on each Node, another one where one is stopped, and on Nodes that come."""

    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            await cluster.apply(daemon_set())
            await settled(cluster, 3)
            assert nodes(cluster) == ALL
            held = status(cluster)
            assert (held.desired_number_scheduled, held.current_number_scheduled, held.number_ready) == (3, 3, 3)
            assert (held.number_misscheduled, held.number_unavailable, held.observed_generation) == (0, None, 1)
            victim = pods(cluster)[0]
            (owner,) = victim.metadata.owner_references
            assert (owner.kind, owner.controller) == ("DaemonSet", True)
            assert victim.metadata.labels["pod-template-generation"] == "1"
            assert node_of(victim) == victim.spec.node_name
            affinity = victim.spec.affinity.node_affinity.required_during_scheduling_ignored_during_execution
            (field,) = affinity.node_selector_terms[0].match_fields
            assert (field.key, field.operator, field.values) == ("metadata.name", "In", (victim.spec.node_name,))
            await cluster.client.delete(PODS, victim.metadata.name, "default")
            await cluster.run_until(
                lambda: nodes(cluster) == ALL and victim.metadata.uid not in {it.metadata.uid for it in pods(cluster)}
            )
            await cluster.add_node()
            await settled(cluster, 4)
            reasons = {(event.type, event.reason, event.source.component) for event in cluster.events("daemon")}
            assert reasons == {("Normal", "SuccessfulCreate", "daemonset-controller")}
            assert cluster.failures == 0

    run(main())


def test_a_daemon_for_chosen_nodes(run):
    """Run and stop a complex daemon: it follows the labels of Nodes, and its selector when that is another one."""

    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            await cluster.apply(daemon_set(pod={"nodeSelector": {"color": "blue"}}))
            await cluster.advance(2)
            assert (nodes(cluster), status(cluster).desired_number_scheduled) == ([], 0)
            await label(cluster, "node-1", color="blue")
            await settled(cluster, 1)
            assert nodes(cluster) == ["node-1"]
            await label(cluster, "node-1", color="green")
            await cluster.run_until(lambda: not cluster.list(PODS, "default"))
            body = {"spec": {"template": {"spec": {"nodeSelector": {"color": "green"}}}}}
            await patch(cluster, body)
            await settled(cluster, 1)
            assert nodes(cluster) == ["node-1"]
            assert cluster.failures == 0

    run(main())


def test_node_affinity_and_a_name(run):
    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            term = {"matchExpressions": [{"key": "kubernetes.io/hostname", "operator": "NotIn", "values": ["node-0"]}]}
            affinity = {
                "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
            }
            await cluster.apply(daemon_set(pod={"affinity": affinity}))
            await settled(cluster, 2)
            assert nodes(cluster) == ["node-1", "node-2"]

    run(main())


def test_taints_keep_it_away_and_drive_it_off_unless_tolerated(run):
    """NoSchedule lets a Pod that is there stay; NoExecute does not. What every daemon tolerates, it tolerates."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(daemon_set())
            await settled(cluster, 2)
            await patch(cluster, {"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}, "node-0", NODES)
            await cluster.advance(5)
            assert nodes(cluster) == ["node-0", "node-1"]
            assert (status(cluster).desired_number_scheduled, status(cluster).number_misscheduled) == (1, 1)
            await patch(cluster, {"spec": {"taints": [{"key": "k", "effect": "NoExecute"}]}}, "node-0", NODES)
            await cluster.run_until(lambda: nodes(cluster) == ["node-1"])
            await patch(cluster, {"spec": {"unschedulable": True}}, "node-1", NODES)
            await cluster.advance(60)
            assert (nodes(cluster), status(cluster).desired_number_scheduled) == (["node-1"], 1)
            keys = {held.key for held in pods(cluster)[0].spec.tolerations if held.operator == "Exists"}
            assert keys == {
                f"node.kubernetes.io/{name}"
                for name in (
                    "not-ready",
                    "unreachable",
                    "disk-pressure",
                    "memory-pressure",
                    "pid-pressure",
                    "unschedulable",
                )
            }

    run(main())


def test_a_failed_pod_is_replaced_ever_later(run):
    """Retry creating failed daemon Pods: at once the first time, then after 1, 2, 4 s."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(daemon_set())
            await settled(cluster, 1)
            gone = []
            for _ in range(4):
                (pod,) = pods(cluster)
                at = cluster.clock.monotonic()
                await cluster.client.patch(
                    PODS, pod.metadata.name, {"status": {"phase": "Failed"}}, namespace="default", subresource="status"
                )
                went = await cluster.run_until(
                    lambda uid=pod.metadata.uid: uid not in {it.metadata.uid for it in pods(cluster)}
                )
                gone.append(went - at)
                await cluster.run_until(lambda: len(pods(cluster)) == 1)
            assert gone[0] == 0
            assert gone == sorted(gone)
            assert gone[-1] > 1
            messages = {event.message for event in cluster.events("daemon") if event.reason == "FailedDaemonPod"}
            assert any(
                it.startswith("Found failed daemon pod default/daemon-")
                and it.endswith("on node node-0, will try to kill it")
                for it in messages
            )

    run(main())


def test_a_rolling_update_goes_node_by_node(run):
    """Never more without an available Pod than may be; revisions with their hash on the Pods."""

    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            await cluster.apply(daemon_set(minReadySeconds=5))
            await settled(cluster, 3)
            (first,) = revisions(cluster).values()
            assert {pod.metadata.labels[HASH] for pod in pods(cluster)} == {first.metadata.labels[HASH]}
            await patch(cluster, image("two"))
            least = 3

            def reached():
                nonlocal least
                least = min(least, status(cluster).number_available or 0)
                return status(cluster).updated_number_scheduled == 3 and status(cluster).number_available == 3

            await cluster.run_until(reached)
            assert (images(cluster), least) == ({"two"}, 2)
            assert sorted(revisions(cluster)) == [1, 2]
            assert (
                cluster.get(DAEMON_SETS, "daemon").metadata.annotations["deprecated.daemonset.template.generation"]
                == "2"
            )
            assert {pod.metadata.labels["pod-template-generation"] for pod in pods(cluster)} == {"2"}
            assert cluster.failures == 0

    run(main())


def test_a_surge_puts_the_new_pod_beside_the_old_one(run):
    """No Node is without an available Pod for a moment."""

    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
            await cluster.apply(daemon_set(updateStrategy=strategy, minReadySeconds=5))
            await settled(cluster, 3)
            await patch(cluster, image("two"))
            most = 0

            def reached():
                nonlocal most
                most = max(most, len(pods(cluster)))
                return images(cluster) == {"two"} and status(cluster).number_available == 3

            await cluster.run_until(reached)
            assert most == 4
            assert nodes(cluster) == ALL

    run(main())


def test_on_delete_waits_for_who_deletes(run):
    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(daemon_set(updateStrategy={"type": "OnDelete"}))
            await settled(cluster, 2)
            await patch(cluster, image("two"))
            await cluster.advance(30)
            assert (images(cluster), status(cluster).updated_number_scheduled) == ({"one"}, None)
            await cluster.client.delete(PODS, pods(cluster)[0].metadata.name, "default")
            await cluster.run_until(lambda: images(cluster) == {"one", "two"})

    run(main())


def test_a_rollback_restarts_only_what_was_changed(run):
    """The suite's case: a template that never runs is put back as kubectl does it; Pods that were well stay."""

    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            await cluster.apply(daemon_set())
            await settled(cluster, 3)
            before = {pod.metadata.uid for pod in pods(cluster)}
            bad = {
                "spec": {
                    "template": {
                        "spec": {
                            "containers": [
                                {"name": "c", "image": "one", "readinessProbe": {"exec": {"command": ["no"]}}}
                            ]
                        }
                    }
                }
            }
            bad["spec"]["template"]["metadata"] = {
                "annotations": {SCRIPT_ANNOTATION: json.dumps({"c": {"runs": [{"execs": {"*": {"exitCode": 1}}}]}})}
            }
            await patch(cluster, bad)
            await cluster.advance(30)
            assert len(before & {pod.metadata.uid for pod in pods(cluster)}) == 2
            await patch(cluster, revisions(cluster)[1].data)
            await cluster.run_until(
                lambda: status(cluster).number_available == 3 and status(cluster).updated_number_scheduled == 3
            )
            assert len(before & {pod.metadata.uid for pod in pods(cluster)}) == 2
            assert sorted(revisions(cluster)) == [2, 3]
            assert cluster.failures == 0

    run(main())


def test_old_revisions_are_forgotten(run):
    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(daemon_set(revisionHistoryLimit=2))
            await settled(cluster, 1)
            for number in range(4):
                await patch(cluster, image(f"i{number}"))
                await settled(cluster, 1, f"i{number}")
            await cluster.advance(5)
            assert sorted(revisions(cluster)) == [3, 4, 5]

    run(main())


def test_available_to_the_second(run):
    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(daemon_set(minReadySeconds=20))
            await cluster.run_until(lambda: status(cluster) is not None and status(cluster).number_ready == 2)
            await cluster.run_until(lambda: status(cluster).number_available == 2)
            ready = max(
                from_wire(held.last_transition_time)
                for pod in pods(cluster)
                for held in pod.status.conditions
                if held.type == "Ready"
            )
            assert cluster.clock.time() - ready == 20

    run(main())


def test_a_deleted_daemon_set_takes_everything_with_it_or_leaves_it(run):
    """Background takes Pods and revisions along; orphaned, another one of like selector takes them over unchanged."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(daemon_set())
            await settled(cluster, 2)
            before = {pod.metadata.uid for pod in pods(cluster)}
            await cluster.client.delete(DAEMON_SETS, "daemon", "default", propagation="Orphan")
            await cluster.run_until(lambda: cluster.get(DAEMON_SETS, "daemon") is None)
            await cluster.apply(daemon_set(name="other"))
            await cluster.advance(30)
            assert {pod.metadata.uid for pod in pods(cluster)} == before
            assert {one.metadata.owner_references[0].name for one in revisions(cluster).values()} == {"other"}
            await cluster.client.delete(DAEMON_SETS, "other", "default", propagation="Background")
            await cluster.run_until(lambda: not cluster.list(PODS, "default") and not revisions(cluster))
            assert cluster.failures == 0

    run(main())


@pytest.mark.parametrize("kind", ["status", "revisions"])
def test_conditions_and_revisions_of_others_are_left_alone(run, kind):
    """What the suite writes into the status stays; a revision made by hand is taken over and numbered."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(daemon_set())
            await settled(cluster, 1)
            if kind == "status":
                condition = {"type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "Set from e2e test"}
                await cluster.client.patch(
                    DAEMON_SETS,
                    "daemon",
                    {"status": {"conditions": [condition]}},
                    namespace="default",
                    subresource="status",
                )
                await cluster.add_node()
                await settled(cluster, 2)
                assert [held.reason for held in status(cluster).conditions] == ["E2E"]
            else:
                one = revisions(cluster)[1]
                meta = {"name": "by-hand", "namespace": "default", "labels": dict(one.metadata.labels)}
                await cluster.apply(
                    {
                        "apiVersion": "apps/v1",
                        "kind": "ControllerRevision",
                        "metadata": meta,
                        "data": one.data,
                        "revision": 3,
                    }
                )
                await cluster.advance(2)
                await cluster.client.delete(CONTROLLER_REVISIONS, one.metadata.name, "default")
                await cluster.advance(2)
                await label(cluster, "node-0", more="labels")
                await cluster.advance(2)
                held = cluster.get(CONTROLLER_REVISIONS, "by-hand")
                assert [it.name for it in held.metadata.owner_references] == ["daemon"]

    run(main())


def test_a_second_revision_of_the_same_template_restarts_nothing(run):
    """The suite's life of a ControllerRevision: made by hand, the older deleted or merged into it, and numbers go on."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(daemon_set())
            await settled(cluster, 2)
            before = {pod.metadata.uid for pod in pods(cluster)}
            one = revisions(cluster)[1]
            owner = to_tree(one.metadata.owner_references[0])
            labels = {**one.metadata.labels, HASH: "byhand"}
            meta = {"name": "daemon-byhand", "namespace": "default", "labels": labels, "ownerReferences": [owner]}
            body = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": meta}
            await cluster.apply({**body, "data": one.data, "revision": 2})
            await cluster.advance(5)
            assert sorted(revisions(cluster)) == [1, 2]
            await label(cluster, "node-0", more="labels")
            await cluster.advance(5)
            assert sorted(revisions(cluster)) == [2]
            assert {pod.metadata.uid for pod in pods(cluster)} == before
            assert {pod.metadata.labels[HASH] for pod in pods(cluster)} == {"byhand"}
            assert status(cluster).updated_number_scheduled == 2
            await patch(cluster, {"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 2}}}})
            await settled(cluster, 2)
            assert sorted(revisions(cluster)) == [2, 3]
            assert cluster.failures == 0

    run(main())


@pytest.mark.parametrize("seed", range(5))
def test_one_pod_on_each_node_whatever_happens(run, seed):
    """Nodes come and die, templates change, answers and events are lost, controllers are killed: in the end it is so."""

    async def main():
        faults = Faults(refusals=0.05, conflicts=0.1, lost_events=0.1, broken_watches=0.02)
        async with SimulatedCluster(nodes=4, seed=seed, faults=faults) as cluster:
            chance = random.Random(seed)
            surge = {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}
            await cluster.apply(daemon_set(updateStrategy=surge if seed % 2 else {}))
            for number in range(25):
                await cluster.advance(chance.randrange(40) / 10)
                match chance.randrange(6):
                    case 0:
                        await patch(cluster, image(f"i{number}"))
                    case 1:
                        await cluster.restart_controllers(chance.randrange(3))
                    case 2:
                        victim = chance.choice(cluster.list(PODS, "default") or [None])
                        if victim is not None:
                            await cluster.client.delete(
                                PODS, victim.metadata.name, "default", grace=chance.randrange(2)
                            )
                    case 3:
                        if len(cluster.nodes) < 7:
                            await cluster.add_node()
                    case 4:
                        name = chance.choice(sorted(cluster.nodes))
                        await label(cluster, name, color=chance.choice(["blue", "green"]))
                    case 5:
                        name = chance.choice(sorted(cluster.nodes))
                        taints = [
                            {"key": "k", "effect": chance.choice(["NoSchedule", "NoExecute"])}
                        ] * chance.randrange(2)
                        await patch(cluster, {"spec": {"taints": taints}}, name, NODES, kind="merge")
            faults.heal()
            await patch(cluster, image("last"))
            for name in sorted(cluster.nodes):
                await patch(cluster, {"spec": {"taints": []}}, name, NODES, kind="merge")
            count = len(cluster.nodes)
            await settled(cluster, count, "last")
            await cluster.advance(60)
            assert nodes(cluster) == sorted(cluster.nodes)
            held = status(cluster)
            assert (held.desired_number_scheduled, held.number_ready, held.updated_number_scheduled) == (count,) * 3
            assert (held.number_misscheduled, held.number_unavailable) == (0, None)
            assert len(cluster.list(CONTROLLER_REVISIONS, "default")) <= 11

    run(main())
