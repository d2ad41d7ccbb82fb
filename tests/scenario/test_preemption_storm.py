"""Pods of all priorities storm a small cluster whose parts come and go: what must hold at every moment, and at the end."""

from __future__ import annotations

import pytest

from podling.aio.chance import Chance
from podling.api.resources import NODES, PODS
from podling.kubelet.settings import Settings
from podling.placement.amounts import requests_of
from podling.testing import SimulatedCluster

CPU = 2000
CLASSES = {"low": 1, "mid": 10, "high": 100}


def priority_class(name, value):
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": name},
        "value": value,
    }


def pod(number, chance):
    cpu = ("500m", "1", "1500m")[chance.below(3)]
    container = {"name": "c", "image": "web", "resources": {"requests": {"cpu": cpu}}}
    priority = list(CLASSES)[chance.below(3)]
    spec = {"priorityClassName": priority, "terminationGracePeriodSeconds": chance.below(5), "containers": [container]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"p{number}"}, "spec": spec}


def by_node(cluster):
    """The Pods of each Node, and those without one under no name."""
    found = {"": [], **{node.metadata.name: [] for node in cluster.list(NODES)}}
    for one in cluster.list(PODS):
        found[one.spec.node_name].append(one)
    return found


def cpu_of(pods):
    return sum(requests_of(one).milli_cpu for one in pods)


def check(cluster):
    """No Node is given more than it has, and no kubelet had to refuse what it was given."""
    for name, pods in by_node(cluster).items():
        assert not name or cpu_of(pods) <= CPU, (name, [one.metadata.name for one in pods])
    assert [one.metadata.name for one in cluster.list(PODS) if one.status.phase == "Failed"] == []


def check_at_rest(cluster):
    """Whoever waits could not have been helped: not by what is free, and not by the lesser Pods of any Node."""
    placed = by_node(cluster)
    for waiting in placed.pop(""):
        for name, pods in placed.items():
            staying = [one for one in pods if one.spec.priority >= waiting.spec.priority]
            assert cpu_of([*staying, waiting]) > CPU, (waiting.metadata.name, name)
    for pods in placed.values():
        for one in pods:
            assert one.metadata.deletion_timestamp is None
            conditions = {c.type: c.status for c in one.status.conditions}
            assert (conditions["Ready"], conditions.get("DisruptionTarget", "False")) == ("True", "False")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_priorities_are_kept_in_a_storm(run, seed):
    """Schedulers, controllers, kubelets and the API server restart meanwhile; the important run in the end."""

    async def main():
        chance = Chance(seed)
        settings = Settings(port=0, capacity={"cpu": f"{CPU}m"})
        async with SimulatedCluster(nodes=5, seed=seed, settings=settings) as cluster:
            await cluster.apply([priority_class(*item) for item in CLASSES.items()])
            for number in range(40):
                await cluster.apply(pod(number, chance))
                await cluster.advance(chance.below(3))
                match chance.below(20):
                    case 0:
                        await cluster.restart_scheduler(1)
                    case 1:
                        await cluster.restart_controllers(1)
                    case 2:
                        await cluster.restart_api_server(2)
                    case 3:
                        await cluster.restart_kubelet(f"node-{chance.below(5)}", 1)
                check(cluster)
            await cluster.advance(400)
            check(cluster)
            check_at_rest(cluster)
            assert cluster.failures == 0

    run(main())
