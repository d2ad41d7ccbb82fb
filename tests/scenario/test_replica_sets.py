"""ReplicaSets and ReplicationControllers at work, step by step as upstream's conformance suite goes about it."""

from __future__ import annotations

from collections import Counter

import pytest

from podling.api import codec
from podling.api.errors import StatusError
from podling.api.resources import LIMIT_RANGES, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from podling.api.types.core_v1 import Pod
from podling.client.transport import Call
from podling.controllers.garbage_collector import GarbageCollector
from podling.controllers.replicas import ReplicaSets
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import SimulatedCluster

BOTH = pytest.mark.parametrize("resource", [REPLICA_SETS, REPLICATION_CONTROLLERS], ids=lambda it: it.kind)
LABELS = {"app": "web"}


def template(labels=None, script="", **spec):
    meta = {"labels": labels or LABELS}
    if script:
        meta["annotations"] = {SCRIPT_ANNOTATION: script}
    return {"metadata": meta, "spec": {"containers": [{"name": "c", "image": "web"}], **spec}}


def workload(resource, replicas=3, name="web", **spec):
    selector = {"matchLabels": LABELS} if resource is REPLICA_SETS else LABELS
    spec = {"replicas": replicas, "selector": selector, "template": template(), **spec}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": resource.api_version, "kind": resource.kind, "metadata": meta, "spec": spec}


def lone(name, labels=None):
    meta = {"name": name, "namespace": "default", "labels": labels or LABELS}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": template()["spec"]}


def pods(cluster):
    return [pod for pod in cluster.list(PODS, "default") if pod.metadata.deletion_timestamp is None]


def controllers(cluster):
    """Return who controls each Pod."""
    return {
        pod.metadata.name: [it.name for it in pod.metadata.owner_references if it.controller]
        for pod in cluster.list(PODS, "default")
    }


def available(cluster, resource, name="web"):
    held = cluster.get(resource, name)
    return (held.status.available_replicas or 0) if held is not None and held.status is not None else 0


async def patch(cluster, resource, body, name="web", **more):
    return await cluster.client.patch(resource, name, body, namespace="default", **more)


@BOTH
def test_as_many_pods_as_are_wanted(run, resource):
    """Pods are made, told of, counted, and taken away again, the youngest at once where all else is alike."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(workload(resource))
            await cluster.run_until(lambda: available(cluster, resource) == 3)
            status = cluster.get(resource, "web").status
            assert (status.replicas, status.ready_replicas, status.fully_labeled_replicas) == (3, 3, 3)
            assert status.observed_generation == 1
            names = {pod.metadata.name for pod in pods(cluster)}
            told = {(e.type, e.reason, e.message) for e in cluster.events("web")}
            assert told == {("Normal", "SuccessfulCreate", f"Created pod: {name}") for name in names}
            assert {e.source.component for e in cluster.events("web")} == {
                "replicaset-controller" if resource is REPLICA_SETS else "replication-controller"
            }
            await patch(cluster, resource, {"spec": {"replicas": 1}})
            await cluster.run_until(lambda: len(pods(cluster)) == 1)
            gone = names - {pod.metadata.name for pod in pods(cluster)}
            await cluster.advance(1)
            told = {e.message for e in cluster.events("web") if e.reason == "SuccessfulDelete"}
            assert told == {f"Deleted pod: {name}" for name in gone}
            assert cluster.get(resource, "web").status.observed_generation == 2
            await cluster.client.delete(PODS, pods(cluster)[0].metadata.name, "default", grace=0)
            await cluster.run_until(lambda: available(cluster, resource) == 1 and len(pods(cluster)) == 1)
            assert cluster.failures == 0

    run(main())


@BOTH
def test_a_pod_is_adopted_and_released(run, resource):
    """A lone Pod whose labels match is taken; one whose labels change is let go, and another is made in its place."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(lone("first"))
            await cluster.apply(workload(resource, 1))
            await cluster.advance(1)
            assert controllers(cluster) == {"first": ["web"]}
            await patch(cluster, PODS, {"metadata": {"labels": {"app": "other"}}}, "first")
            await cluster.advance(1)
            found = controllers(cluster)
            assert found.pop("first") == []
            assert list(found.values()) == [["web"]]
            await patch(cluster, PODS, {"metadata": {"labels": LABELS}}, "first")
            await cluster.advance(40)
            assert list(controllers(cluster).values()) == [["web"]]
            assert cluster.failures == 0

    run(main())


@BOTH
def test_a_pod_that_is_over_is_nobodys_to_take(run, resource):
    """Neither adopted nor counted; one that fails is replaced, and stays as it is."""

    async def main():
        async with SimulatedCluster() as cluster:
            over = lone("over")
            over["metadata"]["annotations"] = {SCRIPT_ANNOTATION: '{"c": {"runs": [{"lasts": 1, "exitCode": 1}]}}'}
            over["spec"]["restartPolicy"] = "Never"
            await cluster.apply(over)
            await cluster.run_until(lambda: cluster.get(PODS, "over").status.phase == "Failed")
            await cluster.apply(workload(resource, 2))
            await cluster.run_until(lambda: available(cluster, resource) == 2)
            found = controllers(cluster)
            assert found.pop("over") == []
            failed = next(iter(found))
            await patch(cluster, PODS, {"status": {"phase": "Failed"}}, failed, subresource="status")
            await cluster.run_until(lambda: len(cluster.list(PODS)) == 4 and available(cluster, resource) == 2)
            assert controllers(cluster)[failed] == ["web"]
            assert cluster.get(resource, "web").status.replicas == 2

    run(main())


def test_available_after_min_ready_seconds_to_the_second(run):
    """A Pod counts as available when it has been ready for so long, and not before."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(workload(REPLICA_SETS, 2, minReadySeconds=30))
            ready = await cluster.run_until(lambda: (cluster.get(REPLICA_SETS, "web").status.ready_replicas or 0) == 2)
            assert available(cluster, REPLICA_SETS) == 0
            at = await cluster.run_until(lambda: available(cluster, REPLICA_SETS) == 2)
            assert at - ready == 30

    run(main())


@BOTH
def test_what_is_refused_is_a_condition_and_asked_again(run, resource):
    """A limit that lets no Pod pass is told in an event and a condition; when it is lifted, the Pods come by themselves."""

    async def main():
        async with SimulatedCluster() as cluster:
            limit = {
                "apiVersion": "v1",
                "kind": "LimitRange",
                "metadata": {"name": "tight", "namespace": "default"},
                "spec": {"limits": [{"type": "Container", "max": {"cpu": "100m"}}]},
            }
            await cluster.apply(limit)
            large = {"name": "c", "image": "web", "resources": {"limits": {"cpu": "200m"}}}
            made = template()
            made["spec"]["containers"] = [large]
            await cluster.apply(workload(resource, 3, template=made))
            await cluster.advance(2)
            held = cluster.get(resource, "web")
            (condition,) = held.status.conditions
            assert (condition.type, condition.status, condition.reason) == ("ReplicaFailure", "True", "FailedCreate")
            assert "maximum cpu usage per Container is 100m, but limit is 200m" in condition.message
            events = [e for e in cluster.events("web") if e.reason == "FailedCreate"]
            assert events[0].message.startswith("Error creating: ")
            assert events[0].type == "Warning"
            assert not pods(cluster)
            await cluster.client.delete(LIMIT_RANGES, "tight", "default")
            await cluster.run_until(lambda: available(cluster, resource) == 3)
            await cluster.advance(1)
            assert cluster.get(resource, "web").status.conditions == ()
            assert cluster.failures == 0

    run(main())


@BOTH
def test_its_scale_is_what_it_is_scaled_by(run, resource):
    """Read, replaced and patched, the Scale says and sets how many there are."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(workload(resource, 1))
            await cluster.run_until(lambda: available(cluster, resource) == 1)
            path = resource.path("default", "web", "scale")
            import msgspec

            scale = msgspec.json.decode((await cluster.client.raw(Call("GET", path))).body)
            assert (scale["spec"]["replicas"], scale["status"]) == (1, {"replicas": 1, "selector": "app=web"})
            scale["metadata"]["resourceVersion"] = ""
            scale["spec"]["replicas"] = 2
            await cluster.client.raw(Call("PUT", path, body=msgspec.json.encode(scale)))
            await cluster.run_until(lambda: available(cluster, resource) == 2)
            kind = "application/strategic-merge-patch+json"
            await cluster.client.raw(Call("PATCH", path, body=b'{"spec":{"replicas":4}}', content_type=kind))
            await cluster.run_until(lambda: available(cluster, resource) == 4)

    run(main())


@BOTH
def test_what_somebody_else_says_in_the_status_stays(run, resource):
    """A condition that the controller does not know is kept through everything that it counts."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(workload(resource, 1))
            await cluster.run_until(lambda: available(cluster, resource) == 1)
            said = {"status": {"conditions": [{"type": "StatusUpdate", "status": "True", "reason": "E2E"}]}}
            await patch(cluster, resource, said, subresource="status")
            await patch(cluster, resource, {"spec": {"replicas": 2}})
            await cluster.run_until(lambda: available(cluster, resource) == 2)
            (condition,) = cluster.get(resource, "web").status.conditions
            assert (condition.type, condition.reason) == ("StatusUpdate", "E2E")

    run(main())


@BOTH
@pytest.mark.parametrize(
    ("propagation", "left"), [("Background", 0), ("Foreground", 0), ("Orphan", 2), ("", None)], ids=str
)
def test_what_becomes_of_the_pods(run, resource, propagation, left):
    """They go with their set, before it or after it, or stay as nobody's; unsaid, a ReplicationController leaves them."""

    async def main():
        async with SimulatedCluster() as cluster:
            script = '{"c": {"runs": [{"ignoresSigterm": true}]}}'
            slow = template(script=script, terminationGracePeriodSeconds=10)
            await cluster.apply(workload(resource, 2, template=slow))
            await cluster.run_until(lambda: available(cluster, resource) == 2)
            await cluster.client.delete(resource, "web", "default", propagation=propagation)
            await cluster.advance(5)
            assert (cluster.get(resource, "web") is not None) == (propagation == "Foreground")
            await cluster.advance(30)
            assert cluster.get(resource, "web") is None
            kept = left if left is not None else 2 if resource is REPLICATION_CONTROLLERS else 0
            assert list(controllers(cluster).values()) == [[]] * kept
            assert cluster.failures == 0

    run(main())


def test_two_that_want_the_same_pods_take_each_once(run):
    """Sets of one selector share out what is nobody's, and each makes what it still lacks."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply([lone(f"lone-{number}") for number in range(3)])
            await cluster.advance(1)
            await cluster.apply([workload(REPLICA_SETS, 2, "one"), workload(REPLICATION_CONTROLLERS, 2, "two")])
            await cluster.run_until(
                lambda: (
                    available(cluster, REPLICA_SETS, "one") == available(cluster, REPLICATION_CONTROLLERS, "two") == 2
                )
            )
            await cluster.advance(40)
            assert sorted(name for names in controllers(cluster).values() for name in names) == [
                "one",
                "one",
                "two",
                "two",
            ]
            assert cluster.failures == 0

    run(main())


def test_a_second_owner_keeps_what_the_first_would_take_along(run):
    """A Pod that another owner wants too stays when one goes in the foreground, without the reference to it."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(workload(REPLICATION_CONTROLLERS, 2))
            other = workload(
                REPLICATION_CONTROLLERS, 0, "other", selector={"app": "x"}, template=template({"app": "x"})
            )
            await cluster.apply(other)
            await cluster.run_until(lambda: available(cluster, REPLICATION_CONTROLLERS) == 2)
            stays = cluster.get(REPLICATION_CONTROLLERS, "other")
            shared = pods(cluster)[0].metadata.name
            reference = {
                "apiVersion": "v1",
                "kind": "ReplicationController",
                "name": "other",
                "uid": stays.metadata.uid,
            }
            await patch(cluster, PODS, {"metadata": {"ownerReferences": [reference]}}, shared, kind="strategic")
            await cluster.client.delete(REPLICATION_CONTROLLERS, "web", "default", propagation="Foreground")
            await cluster.advance(40)
            assert cluster.get(REPLICATION_CONTROLLERS, "web") is None
            (left,) = pods(cluster)
            assert left.metadata.name == shared
            assert [it.name for it in left.metadata.owner_references] == ["other"]

    run(main())


@pytest.mark.parametrize(
    ("spec", "allowed"), [({"maxUnavailable": "34%"}, 2), ({"minAvailable": "50%"}, 2), ({"maxUnavailable": 1}, 1)]
)
def test_a_budget_by_percentage_is_of_what_is_wanted(run, spec, allowed):
    """A share is one of the number that the Pods' controller wants, not of those that happen to be there."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(workload(REPLICA_SETS, 4))
            meta = {"name": "web", "namespace": "default"}
            budget = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta}
            await cluster.apply({**budget, "spec": {"selector": {"matchLabels": LABELS}, **spec}})
            await cluster.run_until(lambda: available(cluster, REPLICA_SETS) == 4)
            await cluster.advance(1)
            status = cluster.get(POD_DISRUPTION_BUDGETS, "web").status
            assert (status.expected_pods, status.current_healthy, status.disruptions_allowed) == (4, 4, allowed)
            ready = [pod.metadata.name for pod in pods(cluster)]
            for victim in ready[:allowed]:
                body = {
                    "apiVersion": "policy/v1",
                    "kind": "Eviction",
                    "metadata": {"name": victim, "namespace": "default"},
                }
                await cluster.client.create_subresource(PODS, victim, "eviction", body, namespace="default")
            with pytest.raises(StatusError, match="Cannot evict pod as it would violate the pod's disruption budget"):
                victim = ready[allowed]  # those that come in the place of the others are not ready, and may go
                body["metadata"]["name"] = victim
                await cluster.client.create_subresource(PODS, victim, "eviction", body, namespace="default")
            await cluster.run_until(lambda: available(cluster, REPLICA_SETS) == 4 and len(cluster.list(PODS)) == 4)
            assert cluster.failures == 0

    run(main())  # fmt: skip


def test_controllers_that_begin_anew_make_nothing_twice(run):
    """Killed in the middle of making Pods, the controller counts what is there and goes on."""

    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            await cluster.apply(workload(REPLICA_SETS, 40))
            await cluster.restart_controllers(down_for=3)
            await cluster.run_until(lambda: available(cluster, REPLICA_SETS) == 40)
            await cluster.restart_api_server(down_for=2, forget_history=True)
            await cluster.advance(60)
            assert len(cluster.list(PODS, "default")) == 40
            assert cluster.failures == 0

    run(main())


def test_owners_in_a_circle_do_not_hold_each_other_up(run):
    """Three Pods, each owned by the next and blocking it: one that goes in the foreground takes the others along."""

    async def main():
        async with SimulatedCluster() as cluster:
            names = ("one", "two", "three")
            await cluster.apply([lone(name) for name in names])
            await cluster.advance(2)
            for owner, name in zip(names, (*names[1:], names[0]), strict=True):
                uid = cluster.get(PODS, owner).metadata.uid
                reference = {"apiVersion": "v1", "kind": "Pod", "name": owner, "uid": uid, "blockOwnerDeletion": True}
                body = {"metadata": {"ownerReferences": [{**reference, "controller": True}]}}
                await patch(cluster, PODS, body, name, kind="strategic")
            await cluster.advance(1)
            assert len(pods(cluster)) == 3
            await cluster.client.delete(PODS, "one", "default", propagation="Foreground")
            await cluster.run_until(lambda: not cluster.list(PODS), limit=120)
            assert cluster.failures == 0

    run(main())


@BOTH
def test_replicas_are_spread_over_the_nodes(run, resource):
    """As many on each of three Nodes, though one of them held other Pods before."""

    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            others = [lone(f"other-{number}", {"app": "other"}) for number in range(4)]
            for other in others:
                other["spec"] = {**other["spec"], "nodeName": "node-0"}
            await cluster.apply(others)
            await cluster.apply(workload(resource, 9))
            await cluster.run_until(lambda: available(cluster, resource) == 9)
            counts = Counter(p.spec.node_name for p in pods(cluster) if p.metadata.labels == LABELS)
            assert counts == {"node-0": 3, "node-1": 3, "node-2": 3}

    run(main())


def test_a_lone_pod_is_no_matter_of_other_sets(run, monkeypatch):
    """However many sets there are, a Pod of nobody is held only against those that ask for one of its labels."""
    asked = []
    selector = ReplicaSets.selector
    monkeypatch.setattr(ReplicaSets, "selector", lambda self, found: asked.append(found) or selector(self, found))

    async def main():
        async with SimulatedCluster() as cluster:
            for number in range(100):
                labels = {"app": f"app-{number}"}
                spec = {"selector": {"matchLabels": labels}, "template": template(labels)}
                await cluster.apply(workload(REPLICA_SETS, 0, f"set-{number}", **spec))
            expressed = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
            await cluster.apply(workload(REPLICA_SETS, 1, "any", selector=expressed))
            await cluster.run_until(lambda: available(cluster, REPLICA_SETS, "any") == 1)
            await cluster.advance(1)
            asked.clear()
            await cluster.apply(lone("stranger", {"no": "app"}))
            await cluster.advance(10)
            assert {found.metadata.name for found in asked} <= {"any"}
            await cluster.apply(lone("taken", {"app": "app-7"}))
            await cluster.advance(60)
            assert {found.metadata.name for found in asked} <= {"any", "set-7"}
            assert cluster.get(PODS, "taken") is None or controllers(cluster)["taken"]

    run(main())


@BOTH
def test_nothing_in_another_namespace_is_its_own(run, resource, monkeypatch):
    """Whoever writes a set's uid into Pods of another namespace takes none of its Pods away by that.

    Such Pods are garbage; here its collector is too late.
    """

    async def rest(collector, key):
        """Leave garbage where it is."""

    monkeypatch.setattr(GarbageCollector, "_sync", rest)

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "other"}})
            await cluster.apply(workload(resource, 2))
            await cluster.run_until(lambda: available(cluster, resource) == 2)
            before = {pod.metadata.uid for pod in pods(cluster)}
            owner = {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "name": "web",
                "uid": cluster.get(resource, "web").metadata.uid,
                "controller": True,
            }
            for i, labels in enumerate((LABELS, LABELS, {"app": "not"})):
                pod = lone(f"a{i}", labels)
                pod["metadata"] |= {"namespace": "other", "ownerReferences": [owner]}
                await cluster.client.create(PODS, codec.from_tree(Pod, pod))
            await patch(cluster, resource, {"spec": {"minReadySeconds": 1}})
            await cluster.advance(60)
            assert {pod.metadata.uid for pod in pods(cluster)} == before
            assert cluster.get(resource, "web").status.replicas == 2
            assert [len(pod.metadata.owner_references) for pod in cluster.list(PODS, "other")] == [1, 1, 1]
            assert cluster.failures == 0

    run(main())
