"""Workloads under faults and haste: whatever happens on the way, the end is what the Deployments say."""

from __future__ import annotations

import os

import pytest

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from podling.runtime.sim import ImageScript
from podling.testing import Faults, SimulatedCluster

SEEDS = range(1, 41 if os.environ.get("PODLING_PROVE") else 5)
APPS = ("a", "b", "c")
IMAGES = {"bad:1": ImageScript(pull_failures=-1)}
_MEANS = (404, 409, 422)
"""What is there already, or not there, or may not be so, is no matter."""


def template(app, image):
    spec = {"terminationGracePeriodSeconds": 2, "containers": [{"name": "c", "image": image}]}
    return {"metadata": {"labels": {"app": app}}, "spec": spec}


def deployment(app, chance):
    strategies = (
        {"type": "Recreate"},
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "50%", "maxUnavailable": "50%"}},
    )
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": f"d-{app}", "namespace": "default"},
        "spec": {
            "replicas": chance.below(5),
            "selector": {"matchLabels": {"app": app}},
            "template": template(app, "web:0"),
            "strategy": strategies[chance.below(3)],
            "minReadySeconds": chance.below(3),
            "revisionHistoryLimit": chance.below(3),
        },
    }


def controller(app, chance):
    app = f"rc-{app}"
    spec = {"replicas": chance.below(4), "template": template(app, "web:0")}
    meta = {"name": app, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ReplicationController", "metadata": meta, "spec": spec}


async def step(cluster, chance):
    """Do one thing to the cluster."""
    app = APPS[chance.below(len(APPS))]
    some = [cluster.list(kind, "default") for kind in (PODS, REPLICA_SETS)]
    pod, one = (found[chance.below(len(found))].metadata.name if found else "none" for found in some)
    client, name = cluster.client, f"d-{app}"

    async def patch(resource, of, body):
        await client.patch(resource, of, body, namespace="default", kind="strategic")

    try:
        match chance.below(14):
            case 0 | 1:
                await cluster.apply(deployment(app, chance))
            case 2:
                await cluster.apply(controller(app, chance))
            case 3 | 4 | 5:
                image = ("web:1", "web:2", "web:3", "bad:1")[chance.below(4)]
                await patch(DEPLOYMENTS, name, {"spec": {"template": template(app, image)}})
            case 6:
                await patch(DEPLOYMENTS, name, {"spec": {"replicas": chance.below(6)}})
            case 7:
                await patch(DEPLOYMENTS, name, {"spec": {"paused": bool(chance.below(2))}})
            case 8:
                await client.delete(PODS, pod, "default", grace=chance.below(2) * 2)
            case 9:
                labels = {"app": (app, f"rc-{app}", "nobody")[chance.below(3)]}
                await patch(PODS, pod, {"metadata": {"labels": labels}})
            case 10:
                await client.delete(REPLICA_SETS, one, "default", propagation=("Background", "Orphan")[chance.below(2)])
            case 11:
                await patch(REPLICA_SETS, one, {"spec": {"replicas": chance.below(5)}})
            case 12:
                how = ("Background", "Foreground", "Orphan")[chance.below(3)]
                await client.delete(DEPLOYMENTS, name, "default", propagation=how)
            case _:
                await patch(REPLICATION_CONTROLLERS, f"rc-{app}", {"spec": {"replicas": chance.below(5)}})
    except StatusError as refusal:
        assert refusal.code in _MEANS, refusal


def controlled(cluster, resource, uid):
    return [
        found
        for found in cluster.list(resource, "default")
        if any(it.controller and it.uid == uid for it in found.metadata.owner_references)
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_history_ends_as_the_workloads_say(run, seed):
    """With lost events, broken watches, conflicts and refusals, hands that meddle, and controllers that are killed."""

    async def main():
        faults = Faults(lost_events=0.01, broken_watches=0.02, conflicts=0.1, refusals=0.03)
        chance = Chance(seed)
        async with SimulatedCluster(nodes=3, seed=seed, faults=faults, images=IMAGES) as cluster:
            await cluster.advance(60)  # until each namespace has what Pods need, faults or not
            for number in range(100):
                await step(cluster, chance)
                await cluster.advance(chance.below(5) * 0.5)
                if number == 60:
                    await cluster.restart_controllers(down_for=3)
            faults.heal()
            await cluster.advance(60)
            for app in APPS:
                for body in ({"spec": {"paused": False, "template": template(app, "web:9")}},):
                    try:
                        await cluster.client.patch(DEPLOYMENTS, f"d-{app}", body, namespace="default", kind="strategic")
                    except StatusError as refusal:
                        assert refusal.is_not_found
            await cluster.advance(600)
            judge(cluster)
            assert sum(faults.dealt.values()) > 20

    run(main())


def judge(cluster):
    """Check that everything that is wanted is there, and nothing besides."""
    found = cluster.list(DEPLOYMENTS, "default")
    for held in found:
        wanted, status = held.spec.replicas, held.status
        sets = controlled(cluster, REPLICA_SETS, held.metadata.uid)
        active = [one for one in sets if one.spec.replicas]
        assert [one.spec.replicas for one in active] == [wanted] * bool(wanted)
        assert len(sets) <= held.spec.revision_history_limit + 1
        pods = [pod for one in sets for pod in controlled(cluster, PODS, one.metadata.uid)]
        assert [pod.spec.containers[0].image for pod in pods] == ["web:9"] * wanted
        counts = (status.replicas or 0, status.updated_replicas or 0, status.available_replicas or 0)
        assert counts == (wanted,) * 3
        assert status.observed_generation == held.metadata.generation
        assert next(it.reason for it in status.conditions if it.type == "Progressing") == "NewReplicaSetAvailable"
        numbers = [one.metadata.annotations["deployment.kubernetes.io/revision"] for one in sets]
        assert len(set(numbers)) == len(numbers)
    for one in (*cluster.list(REPLICA_SETS, "default"), *cluster.list(REPLICATION_CONTROLLERS, "default")):
        assert len(controlled(cluster, PODS, one.metadata.uid)) == one.spec.replicas == one.status.replicas
    owners = {
        it.metadata.uid
        for kind in (DEPLOYMENTS, REPLICA_SETS, REPLICATION_CONTROLLERS)
        for it in cluster.list(kind, "default")
    }
    for dependent in (*cluster.list(PODS, "default"), *cluster.list(REPLICA_SETS, "default")):
        assert all(it.uid in owners for it in dependent.metadata.owner_references)
