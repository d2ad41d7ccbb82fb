"""Pods that are let go before they are told to stop: real slices and Leases, on virtual time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest

from podling.api.resources import ENDPOINT_SLICES, LEASES, PODS
from podling.cluster.networks import PROXY
from podling.kubelet.letting_go import LettingGo
from podling.network.proxy.programmed import Programmed
from podling.reach.selection import PROGRAMMED
from podling.testing import SimulatedCluster
from tests.scenario.test_endpoints import pod as stubborn
from tests.scenario.test_endpoints import service

EVER = str(10**12)
"""The word of a proxy that is always ahead."""


def pod(name, app="web"):
    meta = {"name": name, "namespace": "default", "labels": {"app": app}}
    spec = {"nodeName": "node-0", "containers": [{"name": "c", "image": "web"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def standing(cluster, *pods, **words):
    """Start the Pods on the first node, with proxies that have told these words; return how long a deletion takes."""
    informers = cluster._plane.informers(PROXY, cluster._supervisor)
    kubelet = cluster.nodes["node-0"].kubelet
    letting_go = LettingGo("node-0", informers, cluster.clock)
    kubelet._shop = replace(kubelet._shop, letting_go=letting_go)
    await cluster.apply([*(pod(*words) for words in pods)])
    await cluster.advance(30)
    for node, word in words.items():
        patch = {"metadata": {"annotations": {PROGRAMMED: word}}}
        await cluster.client.patch(LEASES, node.replace("_", "-"), patch, namespace="kube-node-lease")

    async def deletion(name):
        began = cluster.clock.time()
        await cluster.client.delete(PODS, name, "default")
        await cluster.run_until(lambda: cluster.get(PODS, name) is None)
        return pytest.approx(cluster.clock.time() - began, abs=0.01)

    return deletion


def test_it_goes_when_every_proxy_follows(run):
    """With all ahead it has 0.2 s to answer; with one behind it waits its second; alone, or in no Service, not at all."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(service())
            pods = (("a",), ("b",), ("c",), ("other", "other"))
            deletion = await standing(cluster, *pods, node_0=EVER, node_1=EVER)
            assert await deletion("a") == 0.2
            await cluster.client.patch(
                LEASES, "node-1", {"metadata": {"annotations": {PROGRAMMED: "1"}}}, namespace="kube-node-lease"
            )
            assert await deletion("b") == 1.0
            assert await deletion("other") == 0
            assert await deletion("c") == 0
            letting_go = cluster.nodes["node-0"].kubelet._shop.letting_go
            assert letting_go._following is None
            assert letting_go._waiting == {}
            assert cluster.failures == 0

    run(main())


def test_a_node_that_is_lost_is_waited_for_by_nobody(run):
    """Its proxy tells nothing any more; once its Lease has run out that holds nobody up."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(service())
            deletion = await standing(cluster, ("a",), ("b",), ("c",), node_0=EVER, node_1="1")
            await cluster.kill_node("node-1")
            assert await deletion("a") == 1.0
            await cluster.advance(45)
            assert await deletion("b") == 0.2

    run(main())


def test_without_proxies_nobody_waits(run):
    """Nodes whose proxies have told nothing, as simulated ones, hold nothing up."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(service())
            deletion = await standing(cluster, ("a",), ("b",))
            assert await deletion("a") == 0

    run(main())


def test_a_proxy_tells_of_itself_once_and_then_while_somebody_goes(run):
    """At rest nothing is written; the Lease need not be there yet at the start."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply([service(), stubborn("a"), stubborn("b")])
            plane, supervisor = cluster._plane, cluster._supervisor
            slices = plane.informers(PROXY, supervisor).of(ENDPOINT_SLICES)
            context = SimpleNamespace(client=plane.client(PROXY), node="node-0", clock=cluster.clock)
            programmed = Programmed(context, slices)
            supervisor.component("word", programmed.tell)

            def told():
                lease = cluster.get(LEASES, "node-0", "kube-node-lease")
                return lease.metadata.annotations.get(PROGRAMMED) if lease is not None else None

            programmed.reached(10)
            await cluster.run_until(lambda: told() == "10")
            await cluster.advance(30)
            programmed.reached(11)
            await cluster.advance(30)
            assert told() == "10"
            await cluster.client.delete(PODS, "a", "default")
            await cluster.advance(1)
            programmed.reached(12)
            await cluster.advance(0)
            assert told() == "12"
            await cluster.advance(30)
            programmed.reached(13)
            await cluster.advance(1)
            assert told() == "12"
            assert cluster.failures == 0

    run(main())
