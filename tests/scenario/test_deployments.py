"""Deployments at work, step by step as upstream's conformance suite goes about it, to the second on virtual time."""

from __future__ import annotations

import pytest

from podling.api.resources import DEPLOYMENTS, LIMIT_RANGES, POD_DISRUPTION_BUDGETS, PODS, REPLICA_SETS
from podling.client.transport import Call
from podling.runtime.sim import SCRIPT_ANNOTATION, ImageScript
from podling.testing import SimulatedCluster
from tests.scenario.observing import observed

LABELS = {"app": "web"}
REVISION = "deployment.kubernetes.io/revision"
SLOW = '{"c": {"runs": [{"ignoresSigterm": true}]}}'
"""A container that takes all of its grace to end."""


def template(image="web:1", script="", grace=30, **container):
    meta = {"labels": LABELS}
    if script:
        meta["annotations"] = {SCRIPT_ANNOTATION: script}
    containers = [{"name": "c", "image": image, **container}]
    return {"metadata": meta, "spec": {"containers": containers, "terminationGracePeriodSeconds": grace}}


def deployment(replicas=3, **spec):
    spec = {"replicas": replicas, "selector": {"matchLabels": LABELS}, "template": template(), **spec}
    meta = {"name": "web", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec}


def replica_set(name, replicas, image="web:0", annotations=None):
    meta = {"name": name, "namespace": "default", "labels": LABELS, "annotations": annotations or {}}
    made = template(image)
    made["metadata"]["labels"] = {**LABELS, "pod": name}
    spec = {"replicas": replicas, "selector": {"matchLabels": {**LABELS, "pod": name}}, "template": made}
    return {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": meta, "spec": spec}


def rolling(surge, missing):
    return {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}}}


STUCK = {"missing:1": ImageScript(pull_failures=-1)}
"""An image that cannot be pulled: its Pods never become ready."""


def held(cluster):
    return cluster.get(DEPLOYMENTS, "web")


def sets(cluster):
    """Return the ReplicaSets' sizes, by the image that they run."""
    found = sorted(cluster.list(REPLICA_SETS, "default"), key=lambda it: it.metadata.annotations.get(REVISION, ""))
    return {it.spec.template.spec.containers[0].image: it.spec.replicas for it in found}


def condition(cluster, kind="Progressing"):
    found = next((it for it in held(cluster).status.conditions if it.type == kind), None)
    return (found.status, found.reason) if found is not None else None


def is_complete(cluster):
    found = held(cluster)
    wanted, status = found.spec.replicas, found.status
    counts = (status.replicas or 0, status.updated_replicas or 0, status.available_replicas or 0)
    return counts == (wanted,) * 3 and status.observed_generation == found.metadata.generation


async def patch(cluster, body, resource=DEPLOYMENTS, name="web", **more):
    return await cluster.client.patch(resource, name, body, namespace="default", kind="strategic", **more)


async def set_image(cluster, image):
    containers = [{"name": "c", "image": image}]
    await patch(cluster, {"spec": {"template": {"spec": {"containers": containers}}}})


def pod_counts(cluster):
    pods = cluster.list(PODS, "default")
    standing = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
    ready = [p for p in standing if any(c.type == "Ready" and c.status == "True" for c in p.status.conditions)]
    return len(standing), len(ready)


def test_a_rolling_update_keeps_between_its_bounds(run):
    """Never more than wanted and surge, never fewer available than wanted less what may be missing; one set after all."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(deployment(10, **rolling(3, 2), template=template(script=SLOW, grace=5)))
            await cluster.run_until(lambda: is_complete(cluster))
            assert condition(cluster) == ("True", "NewReplicaSetAvailable")
            assert held(cluster).metadata.annotations[REVISION] == "1"
            seen, reached = observed(lambda: pod_counts(cluster))
            await set_image(cluster, "web:2")
            await cluster.run_until(reached(lambda: is_complete(cluster)))
            assert max(standing for standing, _ in seen) <= 13
            assert min(ready for _, ready in seen) >= 8
            assert sets(cluster) == {"web:1": 0, "web:2": 10}
            assert held(cluster).metadata.annotations[REVISION] == "2"
            told = [e.message for e in cluster.events("web") if e.reason == "ScalingReplicaSet"]
            assert told[0].startswith("Scaled up replica set web-")
            assert told[0].endswith("from 0 to 10")
            assert {
                pod.spec.containers[0].image for pod in cluster.list(PODS) if not pod.metadata.deletion_timestamp
            } == {"web:2"}
            assert cluster.failures == 0

    run(main())  # fmt: skip


def test_each_step_waits_for_min_ready_seconds(run):
    """With one more and none missing, each of two Pods is followed when it has been ready for ten seconds, to the second."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(deployment(2, **rolling(1, 0), minReadySeconds=10))
            began = await cluster.run_until(lambda: is_complete(cluster))
            assert began == 10
            await set_image(cluster, "web:2")
            steps = [await cluster.run_until(lambda n=n: sets(cluster)["web:1"] == n) - began for n in (1, 0)]
            steps.append(await cluster.run_until(lambda: is_complete(cluster)) - began)
            assert [round(step, 1) for step in steps] == [10, 20, 20]

    run(main())


def test_a_set_that_was_there_is_taken_over(run):
    """A ReplicaSet of nobody that matches becomes the first revision's; the next is counted from its own."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(replica_set("old", 1, annotations={REVISION: "3546343826724305832"}))
            await cluster.run_until(lambda: (cluster.get(REPLICA_SETS, "old").status.available_replicas or 0) == 1)
            await cluster.apply(deployment(1))
            await cluster.run_until(lambda: is_complete(cluster))
            assert held(cluster).metadata.annotations[REVISION] == "3546343826724305833"
            await cluster.run_until(lambda: sets(cluster)["web:0"] == 0)
            old = cluster.get(REPLICA_SETS, "old")
            assert [it.name for it in old.metadata.owner_references if it.controller] == ["web"]
            assert cluster.failures == 0

    run(main())


def test_recreate_makes_nothing_before_the_last_old_pod_is_gone(run):
    """The new Pods are made in the very second in which the old ones' grace ends."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            spec = {"strategy": {"type": "Recreate"}, "template": template(script=SLOW, grace=7)}
            await cluster.apply(deployment(2, **spec))
            await cluster.run_until(lambda: is_complete(cluster))
            await cluster.advance(1)
            began = cluster.clock.monotonic()

            def images():
                return sorted({pod.spec.containers[0].image for pod in cluster.list(PODS)})

            seen, reached = observed(images)
            await set_image(cluster, "web:2")
            ended = await cluster.run_until(reached(lambda: is_complete(cluster)))
            assert ended - began == 7
            assert ["web:1", "web:2"] not in seen
            assert cluster.failures == 0

    run(main())


def test_a_newer_template_rolls_over_one_that_is_stuck(run):
    """The set of the template in between is taken down first; the oldest Pods stay until the newest stand."""

    async def main():
        async with SimulatedCluster(images=STUCK) as cluster:
            await cluster.apply(deployment(1, **rolling(1, 0), minReadySeconds=10))
            await cluster.run_until(lambda: is_complete(cluster))
            await set_image(cluster, "missing:1")
            await cluster.advance(30)
            assert sets(cluster) == {"web:1": 1, "missing:1": 1}
            await set_image(cluster, "web:3")
            await cluster.run_until(lambda: is_complete(cluster))
            await cluster.advance(1)
            assert sets(cluster) == {"web:1": 0, "missing:1": 0, "web:3": 1}
            assert held(cluster).metadata.annotations[REVISION] == "3"
            assert cluster.failures == 0

    run(main())


def test_a_stuck_rollout_is_scaled_in_proportion(run):
    """As upstream's suite: 8 and 5 of ten with three more, scaled to thirty, become 20 and 13."""

    async def main():
        async with SimulatedCluster(nodes=4, images=STUCK) as cluster:
            await cluster.apply(deployment(10, **rolling(3, 2)))
            await cluster.run_until(lambda: is_complete(cluster))
            await set_image(cluster, "missing:1")
            await cluster.run_until(lambda: sets(cluster) == {"web:1": 8, "missing:1": 5})
            await cluster.advance(10)
            assert sets(cluster) == {"web:1": 8, "missing:1": 5}
            body = b'{"spec":{"replicas":30}}'
            path = DEPLOYMENTS.path("default", "web", "scale")
            await cluster.client.raw(Call("PATCH", path, body=body, content_type="application/merge-patch+json"))
            await cluster.advance(10)
            assert sets(cluster) == {"web:1": 20, "missing:1": 13}
            assert (held(cluster).status.available_replicas, held(cluster).status.replicas) == (20, 33)
            assert cluster.failures == 0

    run(main())


def test_a_rollout_that_stands_still_is_given_up_to_the_second(run):
    """When its deadline has passed since its last step; it is said, and a good template still gets through."""

    async def main():
        async with SimulatedCluster(images=STUCK) as cluster:
            await cluster.apply(deployment(1, **rolling(1, 0), progressDeadlineSeconds=60))
            await cluster.run_until(lambda: is_complete(cluster))
            await cluster.advance(5)
            await set_image(cluster, "missing:1")
            await cluster.advance(1)
            assert condition(cluster) == ("True", "ReplicaSetUpdated")
            at = await cluster.run_until(lambda: condition(cluster) == ("False", "ProgressDeadlineExceeded"))
            assert round(at, 1) == 65
            (said,) = [it.message for it in held(cluster).status.conditions if it.type == "Progressing"]
            assert said.endswith("has timed out progressing.")
            await set_image(cluster, "web:3")
            await cluster.run_until(lambda: is_complete(cluster))
            await cluster.advance(1)
            assert condition(cluster) == ("True", "NewReplicaSetAvailable")

    run(main())


def test_paused_it_scales_and_does_not_roll(run):
    """A template waits for the resumption; a size does not."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(deployment(2))
            await cluster.run_until(lambda: is_complete(cluster))
            await patch(cluster, {"spec": {"paused": True}})
            await set_image(cluster, "web:2")
            await patch(cluster, {"spec": {"replicas": 4}})
            await cluster.advance(60)
            assert sets(cluster) == {"web:1": 4}
            assert condition(cluster) == ("Unknown", "DeploymentPaused")
            await patch(cluster, {"spec": {"paused": False}})
            await cluster.run_until(lambda: is_complete(cluster) and sets(cluster) == {"web:1": 0, "web:2": 4})
            assert cluster.failures == 0

    run(main())


def test_old_revisions_are_kept_to_the_limit_and_rolled_back_to(run):
    """Of five templates the last two before the present stay; the template of one of them is its ReplicaSet's again."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(deployment(1, revisionHistoryLimit=2))
            await cluster.run_until(lambda: is_complete(cluster))
            for number in (2, 3, 4, 5):
                await set_image(cluster, f"web:{number}")
                await cluster.run_until(lambda: is_complete(cluster))
                await cluster.advance(1)
            assert sets(cluster) == {"web:3": 0, "web:4": 0, "web:5": 1}
            await set_image(cluster, "web:3")
            await cluster.run_until(lambda: is_complete(cluster))
            await cluster.advance(1)
            assert sets(cluster) == {"web:4": 0, "web:5": 0, "web:3": 1}
            (back,) = [it for it in cluster.list(REPLICA_SETS) if it.spec.replicas]
            assert back.metadata.annotations[REVISION] == held(cluster).metadata.annotations[REVISION] == "6"
            assert back.metadata.annotations["deployment.kubernetes.io/revision-history"] == "3"

    run(main())


def test_none_are_kept_where_none_are_wanted(run):
    """A limit of nothing leaves one ReplicaSet."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(replica_set("old", 1))
            await cluster.run_until(lambda: (cluster.get(REPLICA_SETS, "old").status.available_replicas or 0) == 1)
            await cluster.apply(deployment(1, revisionHistoryLimit=0))
            await cluster.run_until(lambda: is_complete(cluster) and len(cluster.list(REPLICA_SETS)) == 1)
            assert sets(cluster) == {"web:1": 1}

    run(main())


@pytest.mark.parametrize(("propagation", "left"), [("Background", 0), ("Foreground", 0), ("Orphan", 1), ("", 0)])
def test_what_becomes_of_its_sets(run, propagation, left):
    """They and their Pods go with it, or stay as nobody's, to be taken over by a namesake."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(deployment(2))
            await cluster.run_until(lambda: is_complete(cluster))
            await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation=propagation)
            await cluster.advance(40)
            assert held(cluster) is None
            assert [it.metadata.owner_references for it in cluster.list(REPLICA_SETS)] == [()] * left
            assert len(cluster.list(PODS)) == 2 * left
            await cluster.apply(deployment(2))
            await cluster.run_until(lambda: is_complete(cluster))
            assert len(cluster.list(REPLICA_SETS)) == 1
            assert len(cluster.list(PODS)) == 2
            assert cluster.failures == 0

    run(main())


def test_a_name_that_is_taken_gives_way(run):
    """A stranger under the name that the hash gives is a collision: counted, and another name is tried."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(deployment(1))
            await cluster.run_until(lambda: is_complete(cluster))
            (name,) = [it.metadata.name for it in cluster.list(REPLICA_SETS)]
            await cluster.client.delete(DEPLOYMENTS, "web", "default", propagation="Foreground")
            await cluster.advance(60)
            stranger = replica_set(name, 0)
            stranger["metadata"]["labels"] = {"other": "x"}
            await cluster.apply(stranger)
            await cluster.apply(deployment(1))
            await cluster.run_until(lambda: is_complete(cluster))
            assert held(cluster).status.collision_count == 1
            assert len(cluster.list(REPLICA_SETS)) == 2
            assert cluster.failures == 0

    run(main())


def test_what_keeps_its_pods_from_being_made_is_said(run):
    """The ReplicaSet's failure is the Deployment's, for as long as it lasts."""

    async def main():
        async with SimulatedCluster() as cluster:
            limit = {"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "tight", "namespace": "default"}}
            await cluster.apply({**limit, "spec": {"limits": [{"type": "Container", "max": {"cpu": "100m"}}]}})
            large = template(resources={"limits": {"cpu": "200m"}})
            await cluster.apply(deployment(1, template=large))
            await cluster.advance(2)
            assert condition(cluster, "ReplicaFailure") == ("True", "FailedCreate")
            assert condition(cluster, "Available") == ("False", "MinimumReplicasUnavailable")
            await cluster.client.delete(LIMIT_RANGES, "tight", "default")
            await cluster.run_until(lambda: is_complete(cluster))
            await cluster.advance(1)
            assert condition(cluster, "ReplicaFailure") is None
            assert condition(cluster, "Available") == ("True", "MinimumReplicasAvailable")
            assert cluster.failures == 0

    run(main())


def test_what_somebody_else_says_in_the_status_is_put_right(run):
    """Counts are the controller's again at once; a condition that it does not know stays."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(deployment(1))
            await cluster.run_until(lambda: is_complete(cluster))
            said = {
                "status": {
                    "readyReplicas": 0,
                    "availableReplicas": 0,
                    "conditions": [{"type": "StatusUpdate", "status": "True", "reason": "E2E"}],
                }
            }
            await patch(cluster, said, subresource="status")
            await cluster.advance(1)
            assert held(cluster).status.ready_replicas == 1
            assert condition(cluster, "StatusUpdate") == ("True", "E2E")

    run(main())  # fmt: skip


def test_a_budget_by_percentage_is_of_the_deployments_size(run):
    """While it rolls, two ReplicaSets are one Deployment."""

    async def main():
        async with SimulatedCluster(images=STUCK) as cluster:
            await cluster.apply(deployment(4, **rolling(2, 1)))
            meta = {"name": "web", "namespace": "default"}
            spec = {"selector": {"matchLabels": LABELS}, "maxUnavailable": "50%"}
            await cluster.apply(
                {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": spec}
            )
            await cluster.run_until(lambda: is_complete(cluster))
            await set_image(cluster, "missing:1")
            await cluster.advance(20)
            assert sets(cluster) == {"web:1": 3, "missing:1": 3}
            status = cluster.get(POD_DISRUPTION_BUDGETS, "web").status
            assert (status.expected_pods, status.desired_healthy, status.current_healthy) == (4, 2, 3)
            assert status.disruptions_allowed == 1

    run(main())  # fmt: skip


def test_a_rollout_goes_on_where_it_was_when_the_controllers_begin_anew(run):
    """Killed in the middle, with a server that forgot its history: no Pod too many, and the end is the same."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(deployment(8, **rolling(2, 1), minReadySeconds=5))
            await cluster.run_until(lambda: is_complete(cluster))
            seen, reached = observed(lambda: pod_counts(cluster))
            await set_image(cluster, "web:2")
            await cluster.run_until(reached(lambda: sets(cluster).get("web:2", 0) >= 4))
            await cluster.restart_controllers(down_for=10)
            await cluster.restart_api_server(down_for=5, forget_history=True)
            await cluster.run_until(reached(lambda: is_complete(cluster)))
            assert max(standing for standing, _ in seen) <= 10
            assert sets(cluster) == {"web:1": 0, "web:2": 8}
            assert cluster.failures == 0

    run(main())
