"""Endpoints and names under faults and haste: whatever happens on the way, the end is what Services and Pods say."""

from __future__ import annotations

import os

import pytest

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.api.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from podling.cluster.control_plane import account_user
from podling.controllers.settings import Settings
from podling.dns.following import Following
from podling.reach import endpoints, slices, subsets
from podling.reach.names import Zone
from podling.testing import Faults, SimulatedCluster

SEEDS = range(1, 41 if os.environ.get("PODLING_PROVE") else 4)
APPS = ("a", "b", "c")


def pod(name, app):
    meta = {"name": name, "namespace": "default", "labels": {"app": app, "all": "yes"}}
    spec = {
        "terminationGracePeriodSeconds": 2,
        "hostname": name,
        "subdomain": f"svc-{app}",
        "containers": [{"name": "c", "image": "web"}],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def service(app, headless):
    selector = {"all": "yes"} if app == "c" else {"app": app}
    spec = {"selector": selector, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    if headless:
        spec["clusterIP"] = "None"
    meta = {"name": f"svc-{app}", "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


async def step(cluster, chance, number):
    """Do one thing to the cluster; what is there already, or not there, is no matter."""
    client, app = cluster.client, APPS[chance.below(len(APPS))]
    pods = [p.metadata.name for p in cluster.list(PODS, "default")]
    some = pods[chance.below(len(pods))] if pods else "none"
    try:
        match chance.below(9):
            case 0 | 1 | 2:
                await cluster.apply(pod(f"p-{number}", app))
            case 3:
                await client.delete(PODS, some, "default", grace=chance.below(2) * 2)
            case 4:
                await client.patch(PODS, some, {"metadata": {"labels": {"app": app}}}, namespace="default")
            case 5:
                await cluster.apply(service(app, headless=bool(chance.below(2))))
            case 6:
                await client.delete(SERVICES, f"svc-{app}", "default")
            case 7:
                held = cluster.list(ENDPOINT_SLICES, "default")
                if held:
                    await client.delete(ENDPOINT_SLICES, held[chance.below(len(held))].metadata.name, "default")
            case _:
                await client.patch(ENDPOINTS, f"svc-{app}", {"subsets": None}, namespace="default")
    except StatusError as refusal:
        assert refusal.code in (404, 409, 422), refusal


def wanted(cluster, svc):
    pods = [p for p in cluster.list(PODS, "default") if svc.spec.selector.items() <= p.metadata.labels.items()]
    nodes = {node.metadata.name: node for node in cluster.list(NODES)}
    return endpoints.find(svc, pods, nodes), subsets.find(svc, pods)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_history_ends_as_the_rules_say(run, seed):
    """With lost events, broken watches, conflicts and refusals, hands that meddle, and controllers that are killed."""

    async def main():
        faults = Faults(lost_events=0.02, broken_watches=0.02, conflicts=0.1, refusals=0.05)
        settings = Settings(max_endpoints_per_slice=3)
        chance = Chance(seed)
        async with SimulatedCluster(nodes=2, seed=seed, faults=faults, controllers=settings) as cluster:
            zone = Zone()
            informers = cluster._plane.informers(account_user("coredns"), cluster._supervisor)
            cluster._supervisor.job("dns", Following(zone, informers, cluster.clock, cluster._supervisor).start())
            await cluster.advance(60)  # until each namespace has what Pods need, faults or not
            for number in range(80):
                await step(cluster, chance, number)
                await cluster.advance(chance.below(4) * 0.25)
                if number == 50:
                    await cluster.restart_controllers(down_for=3)
            faults.heal()
            await cluster.advance(400)
            fresh = Zone()
            fresh.put_namespace("default")
            services = cluster.list(SERVICES, "default")
            for svc in services:
                name = svc.metadata.name
                held = cluster.list(ENDPOINT_SLICES, "default", labels=f"kubernetes.io/service-name={name}")
                fresh.put_service(svc, held)
                if not svc.spec.selector:
                    continue
                found, older = wanted(cluster, svc)
                due = sorted(slices.key(e) + (e.conditions,) for each in found.values() for e in each)
                assert sorted(slices.key(e) + (e.conditions,) for each in held for e in each.endpoints) == due
                assert all(len(each.endpoints) <= 3 for each in held)
                assert cluster.get(ENDPOINTS, name).subsets == older
            owners = {svc.metadata.uid for svc in services}
            for each in cluster.list(ENDPOINT_SLICES, "default"):
                assert not each.metadata.owner_references or each.metadata.owner_references[0].uid in owners
            assert {e.metadata.name for e in cluster.list(ENDPOINTS, "default")} <= {s.metadata.name for s in services}
            for name in {**fresh._names, **zone._names}:
                if f".default.svc.{zone.domain}" in name:
                    assert zone._names.get(name) == fresh._names.get(name), name
            assert sum(faults.dealt.values()) > 20

    run(main())
