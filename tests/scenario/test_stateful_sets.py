"""StatefulSets at work, step by step as upstream's conformance suite goes about it, to the second on virtual time."""

from __future__ import annotations

from collections import Counter

import pytest

from podling.api.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    RESOURCE_QUOTAS,
    STATEFUL_SETS,
)
from podling.client.transport import Call
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import SimulatedCluster
from tests.scenario.observing import observed

LABELS = {"app": "web"}
HASH = "controller-revision-hash"
GATE = "example.com/well"


def template(image="web:1", script="", **spec):
    meta = {"labels": LABELS}
    if script:
        meta["annotations"] = {SCRIPT_ANNOTATION: script}
    return {"metadata": meta, "spec": {"containers": [{"name": "c", "image": image}], **spec}}


def gated(image="web:1"):
    """Pods that are ready once somebody says so."""
    return template(image, readinessGates=[{"conditionType": GATE}])


def stateful_set(replicas=3, **spec):
    spec = {
        "replicas": replicas,
        "serviceName": "web",
        "selector": {"matchLabels": LABELS},
        "template": template(),
        **spec,
    }
    meta = {"name": "web", "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}


def with_claims(replicas=3, **spec):
    claim = {
        "metadata": {"name": "data", "labels": {"kind": "data"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    return stateful_set(replicas, volumeClaimTemplates=[claim], podManagementPolicy="Parallel", **spec)


def policy(deleted="Retain", scaled="Retain"):
    return {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}}


def held(cluster):
    return cluster.get(STATEFUL_SETS, "web")


def pods(cluster):
    """Return the Pods that are there, by their numbers."""
    found = cluster.list(PODS, "default")
    return {int(p.metadata.name.rpartition("-")[2]): p for p in found if p.metadata.name.startswith("web-")}


def staying(cluster):
    return {number: pod for number, pod in pods(cluster).items() if pod.metadata.deletion_timestamp is None}


def ready(cluster):
    return sorted(
        n
        for n, p in staying(cluster).items()
        if any(c.type == "Ready" and c.status == "True" for c in p.status.conditions)
    )


def images(cluster):
    return {number: pod.spec.containers[0].image for number, pod in sorted(staying(cluster).items())}


def is_at(cluster, replicas):
    status, found = held(cluster).status, held(cluster)
    return (
        (status.replicas, status.ready_replicas or 0, status.available_replicas) == (replicas,) * 3
        and status.observed_generation == found.metadata.generation
        and len(pods(cluster)) == replicas
    )


def is_complete(cluster):
    status = held(cluster).status
    return is_at(cluster, held(cluster).spec.replicas) and status.current_revision == status.update_revision


async def patch(cluster, body, **more):
    return await cluster.client.patch(STATEFUL_SETS, "web", body, namespace="default", kind="strategic", **more)


async def scale(cluster, replicas):
    await patch(cluster, {"spec": {"replicas": replicas}})


async def set_image(cluster, image):
    await patch(cluster, {"spec": {"template": {"spec": {"containers": [{"name": "c", "image": image}]}}}})


async def say_well(cluster, number, well=True):
    condition = {"type": GATE, "status": str(well)}
    body = {"status": {"conditions": [condition]}}
    await cluster.client.patch(PODS, f"web-{number}", body, namespace="default", kind="strategic", subresource="status")


def test_pods_have_names_and_places_of_their_own(run):
    """One after the other, each with its name, number, hostname and revision, and told of in upstream's words."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set())
            seen, reached = observed(lambda: (sorted(pods(cluster)), ready(cluster)))
            await cluster.run_until(reached(lambda: is_complete(cluster)))
            made = [numbers for numbers, _ in seen]
            for numbers, well in seen:
                assert len(numbers) <= len(well) + 1, "the next is made when all before are ready"
            assert made[-1] == [0, 1, 2]
            (revision,) = cluster.list(CONTROLLER_REVISIONS, "default")
            assert (revision.revision, revision.metadata.labels["app"]) == (1, "web")
            pod = pods(cluster)[1]
            assert pod.metadata.labels == {
                **LABELS,
                HASH: revision.metadata.name,
                "statefulset.kubernetes.io/pod-name": "web-1",
                "apps.kubernetes.io/pod-index": "1",
            }
            assert (pod.spec.hostname, pod.spec.subdomain) == ("web-1", "web")
            (owner,) = pod.metadata.owner_references
            assert (owner.kind, owner.name, owner.controller) == ("StatefulSet", "web", True)
            status = held(cluster).status
            assert (status.current_replicas, status.updated_replicas) == (3, 3)
            assert status.current_revision == status.update_revision == revision.metadata.name
            said = {(event.reason, event.message) for event in cluster.events("web")}
            assert ("SuccessfulCreate", "create Pod web-0 in StatefulSet web successful") in said

    run(main())


def test_scaling_is_ordered_and_halts_at_a_pod_that_is_unwell(run):
    """Up in order, down in reverse, each step after the one before, and none while a Pod is not ready."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set(1, template=gated()))
            await cluster.run_until(lambda: list(pods(cluster)) == [0])
            await scale(cluster, 3)
            await cluster.advance(60)
            assert list(pods(cluster)) == [0], "the first is not ready"
            for number in range(3):
                await cluster.run_until(lambda number=number: number in pods(cluster))
                await cluster.advance(10)
                assert sorted(pods(cluster)) == list(range(number + 1))
                await say_well(cluster, number)
            await cluster.run_until(lambda: is_at(cluster, 3))
            for number in range(3):
                await say_well(cluster, number, well=False)
            await cluster.run_until(lambda: ready(cluster) == [])
            await scale(cluster, 0)
            await cluster.advance(120)
            assert sorted(staying(cluster)) == [0, 1, 2], "nothing goes while they are unwell"
            for number in (2, 1):
                await say_well(cluster, number)
                left = list(range(number))
                await cluster.run_until(lambda left=left: sorted(pods(cluster)) == left)
                if number > 1:
                    await cluster.advance(60)
                    assert sorted(staying(cluster)) == left, "the next one down is unwell"
            await cluster.run_until(lambda: is_at(cluster, 0))

    run(main())


def test_a_burst_heeds_nobody(run):
    """Parallel: all are made and taken away at once, be they ready or not."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set(1, template=gated(), podManagementPolicy="Parallel"))
            await cluster.run_until(lambda: list(pods(cluster)) == [0])
            await scale(cluster, 3)
            await cluster.run_until(lambda: sorted(pods(cluster)) == [0, 1, 2])
            await scale(cluster, 0)
            await cluster.run_until(lambda: is_at(cluster, 0))

    run(main())


def test_rolling_to_a_template_and_back(run):
    """From the last to the first, one at a time; the old revision is found again and gets the highest number."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set())
            await cluster.run_until(lambda: is_complete(cluster))
            first = held(cluster).status.current_revision
            await set_image(cluster, "web:2")
            seen, reached = observed(lambda: (images(cluster), len(ready(cluster))))
            await cluster.run_until(reached(lambda: held(cluster).status.update_revision != first))
            status = held(cluster).status
            assert status.current_revision == first
            await cluster.run_until(reached(lambda: is_complete(cluster)))
            assert min(number for _, number in seen) == 2, "one is missing at a time"
            rolled = [list(found.values()).count("web:2") for found, _ in seen]
            assert rolled == sorted(rolled)
            begun = next(found for found, _ in seen if "web:2" in found.values())
            assert (begun[0], begun[2]) == ("web:1", "web:2")
            second = held(cluster).status.current_revision
            assert second != first
            await set_image(cluster, "web:1")
            await cluster.run_until(lambda: set(images(cluster).values()) == {"web:1"} and is_complete(cluster))
            assert held(cluster).status.current_revision == first
            numbers = {one.metadata.name: one.revision for one in cluster.list(CONTROLLER_REVISIONS, "default")}
            assert numbers == {first: 3, second: 2}
            assert pods(cluster)[0].metadata.labels[HASH] == first

    run(main())


def test_a_canary_and_a_phased_update(run):
    """Below the partition Pods stay, and come back, as they were; moving it down lets the update on."""

    async def main():
        def rolling(partition):
            return {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": partition}}}

        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set(**rolling(3)))
            await cluster.run_until(lambda: is_complete(cluster))
            first = held(cluster).status.current_revision
            await set_image(cluster, "web:2")
            await cluster.advance(120)
            assert set(images(cluster).values()) == {"web:1"}
            assert held(cluster).status.update_revision != first
            await patch(cluster, {"spec": rolling(2)})
            await cluster.run_until(
                lambda: images(cluster) == {0: "web:1", 1: "web:1", 2: "web:2"} and is_at(cluster, 3)
            )
            before = {pod.metadata.uid for pod in pods(cluster).values()}
            for name in ("web-0", "web-2"):
                await cluster.client.delete(PODS, name, "default")
            kept = {pods(cluster)[1].metadata.uid}
            uids = lambda: {pod.metadata.uid for pod in pods(cluster).values()}  # noqa: E731
            await cluster.run_until(lambda: uids() & before == kept and is_at(cluster, 3))
            assert images(cluster) == {0: "web:1", 1: "web:1", 2: "web:2"}
            assert (held(cluster).status.current_replicas, held(cluster).status.updated_replicas) == (2, 1)
            for partition in (1, 0):
                await patch(cluster, {"spec": rolling(partition)})
                wanted = {n: "web:2" if n >= partition else "web:1" for n in range(3)}
                await cluster.run_until(lambda wanted=wanted: images(cluster) == wanted and is_at(cluster, 3))
            assert is_complete(cluster)
            assert held(cluster).status.current_revision != first

    run(main())


def test_as_many_roll_at_once_as_may_be_missing(run):
    """maxUnavailable counts whoever is missing already."""

    async def main():
        rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
        async with SimulatedCluster() as cluster:
            await cluster.apply(
                stateful_set(5, updateStrategy=rolling, podManagementPolicy="Parallel", minReadySeconds=5)
            )
            await cluster.run_until(lambda: is_complete(cluster))
            await set_image(cluster, "web:2")
            seen, reached = observed(lambda: held(cluster).status.available_replicas)
            await cluster.run_until(
                reached(lambda: set(images(cluster).values()) == {"web:2"} and is_complete(cluster))
            )
            assert min(seen) == 3

    run(main())


def test_on_delete_waits_for_who_deletes(run):
    """A new template comes to a Pod when somebody takes it away."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set(2, updateStrategy={"type": "OnDelete"}))
            await cluster.run_until(lambda: is_complete(cluster))
            await set_image(cluster, "web:2")
            await cluster.advance(120)
            assert set(images(cluster).values()) == {"web:1"}
            await cluster.client.delete(PODS, "web-0", "default")
            await cluster.run_until(lambda: images(cluster) == {0: "web:2", 1: "web:1"} and is_at(cluster, 2))

    run(main())


def test_each_waits_until_the_one_before_is_available(run):
    """minReadySeconds to the second, on the way up."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set(2, minReadySeconds=20))
            await cluster.run_until(lambda: ready(cluster) == [0])
            since = cluster.clock.time()
            await cluster.run_until(lambda: 1 in pods(cluster))
            assert cluster.clock.time() - since == 20
            await cluster.run_until(lambda: is_at(cluster, 2))
            assert held(cluster).status.available_replicas == 2

    run(main())


def test_what_ended_is_made_anew(run):
    """An evicted Pod, and one that its node refuses again and again: once a second, until it is let in."""

    async def main():
        async with SimulatedCluster() as cluster:
            ports = [{"containerPort": 80, "hostPort": 8080}]
            containers = [{"name": "c", "image": "web:1", "ports": ports}]
            meta = {"name": "first", "namespace": "default"}
            node = next(iter(cluster.nodes))
            spec = {"nodeName": node, "containers": containers}
            await cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
            await cluster.run_until(lambda: cluster.get(PODS, "first").status.phase == "Running")
            bound = template(nodeName=node)
            bound["spec"]["containers"] = containers
            await cluster.apply(stateful_set(1, template=bound))
            uids = set()

            def count():
                uids.update(pod.metadata.uid for pod in pods(cluster).values() if pod.status.phase == "Failed")
                return len(uids) >= 5

            since = cluster.clock.time()
            await cluster.run_until(count)
            assert 3 <= cluster.clock.time() - since <= 10
            await cluster.client.delete(PODS, "first", "default")
            await cluster.run_until(lambda: is_at(cluster, 1))
            await cluster.advance(60)
            assert is_at(cluster, 1)

    run(main())


def test_numbers_begin_where_they_are_said_to(run):
    """With another start Pods move up: new ones are made, and those before go."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set(2))
            await cluster.run_until(lambda: is_complete(cluster))
            await patch(cluster, {"spec": {"ordinals": {"start": 3}}})
            await cluster.run_until(lambda: is_at(cluster, 2) and sorted(pods(cluster)) == [3, 4])

    run(main())


@pytest.mark.parametrize(
    ("rule", "scaled", "deleted"),
    [
        (policy(), [0, 1, 2], [0, 1, 2]),
        (policy(scaled="Delete"), [0], [0]),
        (policy(deleted="Delete"), [0, 1, 2], []),
        (policy("Delete", "Delete"), [0], []),
    ],
)
def test_claims_go_by_the_retention_policy(run, rule, scaled, deleted):
    """Those of Pods beyond the size, and all with the set, where it says so; kept ones are met again."""

    async def main():
        def claims():
            found = cluster.list(PERSISTENT_VOLUME_CLAIMS, "default")
            return sorted(int(claim.metadata.name.removeprefix("data-web-")) for claim in found)

        async with SimulatedCluster() as cluster:
            await cluster.apply(with_claims(3, **rule))
            await cluster.run_until(lambda: len(pods(cluster)) == 3 and claims() == [0, 1, 2])
            claim = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data-web-1")
            assert claim.metadata.labels == {"kind": "data", **LABELS}
            volume = pods(cluster)[1].spec.volumes[0]
            assert (volume.name, volume.persistent_volume_claim.claim_name) == ("data", "data-web-1")
            await scale(cluster, 1)
            await cluster.run_until(lambda: sorted(pods(cluster)) == [0])
            await cluster.advance(60)
            assert claims() == scaled
            await scale(cluster, 2)
            await cluster.run_until(lambda: sorted(pods(cluster)) == [0, 1] and {0, 1} <= set(claims()))
            await scale(cluster, 1)
            await cluster.run_until(lambda: sorted(pods(cluster)) == [0])
            await cluster.advance(60)
            assert claims() == scaled
            await cluster.client.delete(STATEFUL_SETS, "web", "default")
            await cluster.run_until(lambda: not pods(cluster))
            await cluster.advance(60)
            assert claims() == deleted
            said = {(event.reason, event.message) for event in cluster.events("web")}
            assert ("SuccessfulCreate", "create Claim data-web-1 Pod web-1 in StatefulSet web success") in said

    run(main())


def test_old_revisions_are_kept_to_the_limit(run):
    """Those of Pods that are there are not counted; orphaned, they and the Pods are taken up by the next set."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set(1, revisionHistoryLimit=2))
            for number in range(1, 6):
                await set_image(cluster, f"web:{number}")
                wanted = f"web:{number}"
                await cluster.run_until(lambda wanted=wanted: images(cluster) == {0: wanted} and is_complete(cluster))
            await cluster.advance(1)
            numbers = sorted(one.revision for one in cluster.list(CONTROLLER_REVISIONS, "default"))
            assert numbers == [3, 4, 5]
            uid = pods(cluster)[0].metadata.uid
            await cluster.client.delete(STATEFUL_SETS, "web", "default", propagation="Orphan")
            await cluster.run_until(lambda: not pods(cluster)[0].metadata.owner_references)
            await cluster.apply(stateful_set(1, template=template("web:5")))
            await cluster.run_until(lambda: is_complete(cluster))
            assert pods(cluster)[0].metadata.uid == uid
            assert sorted(one.revision for one in cluster.list(CONTROLLER_REVISIONS, "default")) == numbers
            assert all(one.metadata.owner_references for one in cluster.list(CONTROLLER_REVISIONS, "default"))

    run(main())


@pytest.mark.parametrize("kind", [DAEMON_SETS, STATEFUL_SETS])
def test_a_lost_revision_is_made_again(run, kind):
    """Under its old name, so that no Pod is thought to be of another template."""

    async def main():
        async with SimulatedCluster() as cluster:
            body = stateful_set(1)
            if kind is DAEMON_SETS:
                body["kind"] = "DaemonSet"
                body["spec"] = {name: body["spec"][name] for name in ("selector", "template")}
            await cluster.apply(body)
            await cluster.advance(60)
            before = [(p.metadata.name, p.metadata.uid) for p in cluster.list(PODS, "default")]
            (first,) = cluster.list(CONTROLLER_REVISIONS, "default")
            await cluster.client.delete(CONTROLLER_REVISIONS, first.metadata.name, "default")
            await cluster.advance(60)
            (again,) = cluster.list(CONTROLLER_REVISIONS, "default")
            assert again.metadata.uid != first.metadata.uid
            assert (again.metadata.name, again.data) == (first.metadata.name, first.data)
            assert [(p.metadata.name, p.metadata.uid) for p in cluster.list(PODS, "default")] == before

    run(main())


def test_a_pod_of_another_name_is_not_taken(run):
    """Labels alone make no member of a set; a member that lost its labels gets them back."""

    async def main():
        async with SimulatedCluster() as cluster:
            meta = {"name": "stranger", "namespace": "default", "labels": LABELS}
            spec = {"containers": [{"name": "c", "image": "web:1"}]}
            await cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
            await cluster.apply(stateful_set(1))
            await cluster.run_until(lambda: (held(cluster).status.ready_replicas or 0) == 1)
            assert not cluster.get(PODS, "stranger").metadata.owner_references
            label = "statefulset.kubernetes.io/pod-name"
            await cluster.client.patch(PODS, "web-0", {"metadata": {"labels": {label: None}}}, namespace="default")
            await cluster.run_until(lambda: pods(cluster)[0].metadata.labels.get(label) == "web-0")

    run(main())


def test_it_survives_its_controller(run):
    """Killed in the middle of a rollout, the controllers take it up and leave no Pod twice."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set())
            await cluster.run_until(lambda: is_complete(cluster))
            await set_image(cluster, "web:2")
            await cluster.run_until(lambda: "web:2" in images(cluster).values())
            await cluster.restart_controllers(down_for=30)
            await cluster.run_until(lambda: set(images(cluster).values()) == {"web:2"} and is_complete(cluster))
            assert len(cluster.list(CONTROLLER_REVISIONS, "default")) == 2

    run(main())


def test_what_a_quota_refuses_is_told_and_tried_again(run):
    """In upstream's words; with room, the Pod is made."""

    async def main():
        async with SimulatedCluster() as cluster:
            meta = {"name": "one", "namespace": "default"}
            quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": {"pods": "1"}}}
            await cluster.apply(quota)
            await cluster.run_until(lambda: cluster.get(RESOURCE_QUOTAS, "one").status.hard == {"pods": "1"})
            await cluster.apply(stateful_set(2))
            await cluster.run_until(lambda: any(event.reason == "FailedCreate" for event in cluster.events("web")))
            (said,) = {event.message for event in cluster.events("web") if event.reason == "FailedCreate"}
            assert said == (
                'create Pod web-1 in StatefulSet web failed error: pods "web-1" is forbidden: exceeded quota: one, '
                "requested: pods=1, used: pods=1, limited: pods=1"
            )
            await cluster.client.delete(RESOURCE_QUOTAS, "one", "default")
            await cluster.run_until(lambda: is_complete(cluster))
            assert cluster.failures == 0

    run(main())


def test_pods_are_spread_over_the_nodes(run):
    """As many on each of three Nodes, though one of them held other Pods before."""

    async def main():
        async with SimulatedCluster(nodes=3) as cluster:
            spec = {"nodeName": "node-0", "containers": [{"name": "c", "image": "web:1"}]}
            for number in range(4):
                meta = {"name": f"other-{number}", "namespace": "default"}
                await cluster.apply({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec})
            await cluster.apply(stateful_set(9, podManagementPolicy="Parallel"))
            await cluster.run_until(lambda: is_complete(cluster))
            counts = Counter(pod.spec.node_name for pod in pods(cluster).values())
            assert counts == {"node-0": 3, "node-1": 3, "node-2": 3}

    run(main())


def test_in_the_foreground_it_goes_last(run):
    """While its Pods go it is counted, and no revision is made for a set that goes."""

    async def main():
        async with SimulatedCluster() as cluster:
            stubborn = '{"c": {"runs": [{"ignoresSigterm": true}]}}'
            await cluster.apply(stateful_set(2, template=template(script=stubborn)))
            await cluster.run_until(lambda: is_complete(cluster))
            names = {one.metadata.name for one in cluster.list(CONTROLLER_REVISIONS, "default")}
            await cluster.client.delete(STATEFUL_SETS, "web", "default", propagation="Foreground")
            seen, reached = observed(
                lambda: {one.metadata.name for one in cluster.list(CONTROLLER_REVISIONS, "default")}
            )
            await cluster.run_until(reached(lambda: held(cluster) is None))
            assert not pods(cluster)
            assert set().union(*seen) <= names

    run(main())


def test_a_budget_knows_how_many_there_should_be(run):
    """A share of a StatefulSet's Pods is reckoned from what the set wants."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(stateful_set(4))
            budget = {"minAvailable": "50%", "selector": {"matchLabels": LABELS}}
            meta = {"name": "web", "namespace": "default"}
            await cluster.apply(
                {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": meta, "spec": budget}
            )
            await cluster.run_until(lambda: is_complete(cluster))
            await cluster.advance(1)
            path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets/web"
            answer = await cluster.client.raw(Call("GET", path))
            assert b'"expectedPods":4' in answer.body
            assert b'"disruptionsAllowed":2' in answer.body

    run(main())
