"""StatefulSets and DaemonSets under faults and haste: whatever happens on the way, the end is what they say."""

from __future__ import annotations

import os

import pytest

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.api.resources import (
    CONTROLLER_REVISIONS,
    DAEMON_SETS,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    STATEFUL_SETS,
)
from podling.testing import Faults, SimulatedCluster

SEEDS = range(1, 41 if os.environ.get("PODLING_PROVE") else 5)
NAMES = ("a", "b")
_MEANS = (404, 409, 422)
"""What is there already, or not there, or may not be so, is no matter."""


def template(name, image, **spec):
    spec = {"terminationGracePeriodSeconds": 2, "containers": [{"name": "c", "image": image}], **spec}
    return {"metadata": {"labels": {"app": name}}, "spec": spec}


def stateful_set(name, chance):
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}},
    }
    spec = {
        "replicas": chance.below(5),
        "serviceName": name,
        "selector": {"matchLabels": {"app": name}},
        "template": template(name, "web:0"),
        "podManagementPolicy": ("OrderedReady", "Parallel")[chance.below(2)],
        "minReadySeconds": chance.below(3),
        "revisionHistoryLimit": chance.below(3),
        "volumeClaimTemplates": [claim],
        "updateStrategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": (1, 2, "50%")[chance.below(3)]},
        },
        "persistentVolumeClaimRetentionPolicy": {
            "whenScaled": ("Retain", "Delete")[chance.below(2)],
            "whenDeleted": ("Retain", "Delete")[chance.below(2)],
        },
    }
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": meta, "spec": spec}


def daemon_set(name, chance):
    rolling = ({"maxUnavailable": 1}, {"maxUnavailable": "50%"}, {"maxUnavailable": 0, "maxSurge": 1})[chance.below(3)]
    spec = {
        "selector": {"matchLabels": {"app": name}},
        "template": template(name, "web:0", nodeSelector={"runs": "daemons"}),
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
        "revisionHistoryLimit": chance.below(3),
    }
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "apps/v1", "kind": "DaemonSet", "metadata": meta, "spec": spec}


def some(cluster, kind, chance):
    found = cluster.list(kind, "default")
    return found[chance.below(len(found))].metadata.name if found else "none"


async def step(cluster, chance):
    """Do one thing to the cluster."""
    which, client = NAMES[chance.below(len(NAMES))], cluster.client
    kind, name = ((STATEFUL_SETS, f"s-{which}"), (DAEMON_SETS, f"d-{which}"))[chance.below(2)]
    node = f"node-{chance.below(3)}"

    async def patch(resource, of, body, namespace="default"):
        await client.patch(resource, of, body, namespace=namespace, kind="strategic")

    try:
        match chance.below(12):
            case 0 | 1:
                await cluster.apply((stateful_set if kind is STATEFUL_SETS else daemon_set)(name, chance))
            case 2 | 3:
                containers = [{"name": "c", "image": f"web:{chance.below(4)}"}]
                await patch(kind, name, {"spec": {"template": {"spec": {"containers": containers}}}})
            case 4 | 5:
                await patch(STATEFUL_SETS, f"s-{which}", {"spec": {"replicas": chance.below(6)}})
            case 6:
                pod = some(cluster, PODS, chance)
                await client.delete(PODS, pod, "default", grace=chance.below(2) * 2)
            case 7:
                await patch(PODS, some(cluster, PODS, chance), {"metadata": {"labels": {"app": "nobody"}}})
            case 8:
                await client.delete(CONTROLLER_REVISIONS, some(cluster, CONTROLLER_REVISIONS, chance), "default")
            case 9:
                how = ("Background", "Foreground", "Orphan")[chance.below(3)]
                await client.delete(kind, name, "default", propagation=how)
            case 10:
                runs = ("daemons", "nothing")[chance.below(2)]
                await patch(NODES, node, {"metadata": {"labels": {"runs": runs}}}, "")
            case _:
                # One that a Pod has at that instant would stay between going and gone, as it does upstream.
                claim = some(cluster, PERSISTENT_VOLUME_CLAIMS, chance)
                if claim.removeprefix("data-") not in {pod.metadata.name for pod in cluster.list(PODS)}:
                    await client.delete(PERSISTENT_VOLUME_CLAIMS, claim, "default")
    except StatusError as refusal:
        assert refusal.code in _MEANS, refusal


def pods_of(cluster, uid):
    return [
        pod
        for pod in cluster.list(PODS, "default")
        if any(it.controller and it.uid == uid for it in pod.metadata.owner_references)
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_history_ends_as_the_sets_say(run, seed):
    """With lost events, broken watches, conflicts and refusals, hands that meddle, and controllers that are killed."""

    async def main():
        faults = Faults(lost_events=0.01, broken_watches=0.02, conflicts=0.1, refusals=0.03)
        chance = Chance(seed)
        async with SimulatedCluster(nodes=3, seed=seed, faults=faults) as cluster:
            await cluster.advance(60)  # until each namespace has what Pods need, faults or not
            for number in range(100):
                await step(cluster, chance)
                await cluster.advance(chance.below(5) * 0.5)
                if number == 60:
                    await cluster.restart_controllers(down_for=3)
            faults.heal()
            for pod in cluster.list(PODS, "default"):
                if pod.metadata.labels.get("app") == "nobody":  # of nobody, and in the way of who has its name
                    await cluster.client.delete(PODS, pod.metadata.name, "default")
            await cluster.advance(1200)
            judge(cluster)
            assert sum(faults.dealt.values()) > 20

    run(main())


def judge(cluster):
    """Check that everything that is wanted is there, and nothing besides."""
    for held in cluster.list(STATEFUL_SETS, "default"):
        wanted, status = held.spec.replicas, held.status
        pods = pods_of(cluster, held.metadata.uid)
        names = {f"{held.metadata.name}-{number}" for number in range(wanted)}
        assert {pod.metadata.name for pod in pods} == names
        assert (status.replicas, status.ready_replicas or 0, status.updated_replicas or 0) == (wanted,) * 3
        assert status.current_revision == status.update_revision
        judge_pods(cluster, held, pods, status.update_revision)
        claims = {claim.metadata.name for claim in cluster.list(PERSISTENT_VOLUME_CLAIMS, "default")}
        assert {f"data-{name}" for name in names} <= claims
    nodes = {node.metadata.name for node in cluster.list(NODES) if node.metadata.labels.get("runs") == "daemons"}
    for held in cluster.list(DAEMON_SETS, "default"):
        pods = pods_of(cluster, held.metadata.uid)
        assert sorted(pod.spec.node_name for pod in pods) == sorted(nodes)
        status = held.status
        counts = (status.desired_number_scheduled, status.number_ready, status.updated_number_scheduled or 0)
        assert counts == (len(nodes),) * 3
        newest = max(revisions_of(cluster, held), key=lambda one: one.revision)
        judge_pods(cluster, held, pods, newest.metadata.labels["controller-revision-hash"])


def judge_pods(cluster, held, pods, revision):
    """Check that all Pods are of the present template and say so, and that no more history is kept than wanted."""
    image = held.spec.template.spec.containers[0].image
    assert {pod.spec.containers[0].image for pod in pods} <= {image}
    assert {pod.metadata.labels["controller-revision-hash"] for pod in pods} <= {revision}
    assert len(revisions_of(cluster, held)) <= held.spec.revision_history_limit + 1


def revisions_of(cluster, held):
    return [
        one
        for one in cluster.list(CONTROLLER_REVISIONS, "default")
        if any(it.controller and it.uid == held.metadata.uid for it in one.metadata.owner_references)
    ]
