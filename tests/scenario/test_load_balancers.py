"""Services of type LoadBalancer draw an address from the pool, keep it, and give it back."""

from __future__ import annotations

import os

import pytest

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.api.resources import SERVICES
from podling.controllers.load_balancers import FINALIZER
from podling.controllers.settings import Settings
from podling.testing import Faults, SimulatedCluster


def service(name="web", **spec):
    spec = {"type": "LoadBalancer", "ports": [{"port": 80}]} | spec
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def addresses(cluster, name="web"):
    found = cluster.get(SERVICES, name)
    balancer = found.status.load_balancer
    return [(each.ip, each.ip_mode) for each in (balancer.ingress if balancer else ())]


def told(cluster, name="web"):
    return [(event.reason, event.message) for event in cluster.events(name)]


def test_an_address_is_given_and_taken_back(run):
    """With upstream's finalizer and events; a change of type releases it, a deletion waits for the release."""

    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            await cluster.apply([service("a"), service("b")])
            await cluster.advance(0)
            assert (addresses(cluster, "a"), addresses(cluster, "b")) == (
                [("10.97.0.1", "VIP")],
                [("10.97.0.2", "VIP")],
            )
            assert cluster.get(SERVICES, "a").metadata.finalizers == (FINALIZER,)
            assert told(cluster, "a") == [
                ("EnsuringLoadBalancer", "Ensuring load balancer"),
                ("EnsuredLoadBalancer", "Ensured load balancer"),
            ]
            await cluster.client.patch(SERVICES, "a", {"spec": {"type": "ClusterIP"}}, namespace="default")
            await cluster.advance(0)
            assert (addresses(cluster, "a"), cluster.get(SERVICES, "a").metadata.finalizers) == ([], ())
            await cluster.client.delete(SERVICES, "b", "default")
            await cluster.advance(0)
            assert cluster.get(SERVICES, "b") is None
            await cluster.apply([service("c")])
            await cluster.advance(0)
            assert addresses(cluster, "c") == [("10.97.0.1", "VIP")]
            assert cluster.failures == 0

    run(main())


def test_an_address_that_somebody_wrote_oddly_is_set_right(run):
    """The API takes some forms that are none of today's; the Service has its address as all others write it."""

    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            await cluster.apply([service("a")])
            await cluster.advance(0)
            for odd in ("010.97.0.1", "::ffff:10.97.0.1"):
                status = {"status": {"loadBalancer": {"ingress": [{"ip": odd}]}}}
                await cluster.client.patch(SERVICES, "a", status, namespace="default", subresource="status")
                await cluster.advance(0)
                assert addresses(cluster, "a") == [("10.97.0.1", "VIP")]
            assert cluster.failures == 0

    run(main())


def test_a_wanted_address_is_given_or_refused_with_the_reason(run):
    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            await cluster.apply(
                [
                    service("a", loadBalancerIP="10.97.0.9"),
                    service("b", loadBalancerIP="10.97.0.9"),
                    service("c", loadBalancerIP="192.0.2.1"),
                ]
            )
            await cluster.advance(0)
            assert addresses(cluster, "a") == [("10.97.0.9", "VIP")]
            assert (addresses(cluster, "b"), addresses(cluster, "c")) == ([], [])
            began = "Error syncing load balancer: failed to ensure load balancer: loadBalancerIP"
            assert told(cluster, "b") == [
                ("SyncLoadBalancerFailed", f"{began} 10.97.0.9 is held by the Service default/a")
            ]
            assert told(cluster, "c") == [
                ("SyncLoadBalancerFailed", f"{began} 192.0.2.1 is not in the pool 10.97.0.0/24")
            ]
            await cluster.client.delete(SERVICES, "a", "default")
            await cluster.advance(0)
            assert addresses(cluster, "b") == [("10.97.0.9", "VIP")]
            await cluster.client.patch(SERVICES, "b", {"spec": {"loadBalancerIP": None}}, namespace="default")
            await cluster.advance(0)
            assert addresses(cluster, "b") == [("10.97.0.9", "VIP")]

    run(main())


def test_an_exhausted_pool_says_so_and_goes_on(run):
    """Who came too late is given the next address that is free, whatever it is that frees it."""

    async def main():
        settings = Settings(load_balancer_pools=("10.97.0.0/30",))
        async with SimulatedCluster(nodes=0, controllers=settings) as cluster:
            await cluster.apply([service("a"), service("b"), service("c"), service("d")])
            await cluster.advance(0)
            assert [len(addresses(cluster, name)) for name in "abcd"] == [1, 1, 0, 0]
            ((reason, message),) = told(cluster, "c")
            assert reason == "SyncLoadBalancerFailed"
            assert message.endswith("no address is free in the pool 10.97.0.0/30")
            await cluster.client.patch(SERVICES, "a", {"spec": {"type": "ClusterIP"}}, namespace="default")
            await cluster.advance(1)
            assert [len(addresses(cluster, name)) for name in "cd"] == [1, 0]
            await cluster.client.delete(SERVICES, "b", "default")
            await cluster.advance(1)
            assert [len(addresses(cluster, name)) for name in "cd"] == [1, 1]
            assert cluster.failures == 0

    run(main())


def test_another_class_is_left_to_others(run):
    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            await cluster.apply(
                [service("a", loadBalancerClass="example.com/x"), service("b", loadBalancerClass="podling.dev/local")]
            )
            await cluster.advance(10)
            assert (addresses(cluster, "a"), cluster.get(SERVICES, "a").metadata.finalizers) == ([], ())
            assert addresses(cluster, "b") == [("10.97.0.1", "VIP")]

    run(main())


def test_addresses_outlive_their_controller_and_follow_the_pool(run):
    """After a restart everybody keeps what they have; who stands outside of a new pool is given another address."""

    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            await cluster.apply([service("a"), service("b")])
            await cluster.advance(0)
            await cluster.client.delete(SERVICES, "a", "default")
            await cluster.restart_controllers(down_for=10)
            await cluster.apply(service("c"))
            await cluster.advance(1)
            assert cluster.get(SERVICES, "a") is None
            assert (addresses(cluster, "b"), addresses(cluster, "c")) == (
                [("10.97.0.2", "VIP")],
                [("10.97.0.1", "VIP")],
            )
            cluster._plane.controller_settings = Settings(load_balancer_pools=("10.99.0.0/24",))
            await cluster.restart_controllers()
            await cluster.advance(1)
            assert sorted(addresses(cluster, "b") + addresses(cluster, "c")) == [
                ("10.99.0.1", "VIP"),
                ("10.99.0.2", "VIP"),
            ]

    run(main())


def test_a_service_has_an_address_of_each_of_its_families(run):
    """It comes to a second with its policy, keeps the first, and gives the second to whoever waits for one."""

    async def main():
        settings = Settings(load_balancer_pools=("10.97.0.0/24", "fd00:10:97::1/128"))
        async with SimulatedCluster(nodes=0, controllers=settings, families=("IPv4", "IPv6")) as cluster:
            await cluster.apply([service("a"), service("b", ipFamilyPolicy="PreferDualStack", ipFamilies=["IPv6"])])
            await cluster.advance(0)
            assert addresses(cluster, "a") == [("10.97.0.1", "VIP")]
            assert addresses(cluster, "b") == [("fd00:10:97::1", "VIP"), ("10.97.0.2", "VIP")]
            await cluster.client.patch(
                SERVICES, "a", {"spec": {"ipFamilyPolicy": "RequireDualStack"}}, namespace="default"
            )
            await cluster.advance(1)
            assert addresses(cluster, "a") == [("10.97.0.1", "VIP")]
            assert told(cluster, "a")[-1][1].endswith("no address is free in the pool fd00:10:97::1/128")
            single = {"spec": {"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}}
            await cluster.client.patch(SERVICES, "b", single, namespace="default")
            await cluster.advance(1)
            assert addresses(cluster, "b") == [("fd00:10:97::1", "VIP")]
            await cluster.client.delete(SERVICES, "b", "default")
            await cluster.advance(1)
            assert addresses(cluster, "a") == [("10.97.0.1", "VIP"), ("fd00:10:97::1", "VIP")]
            await cluster.client.patch(SERVICES, "a", {"spec": {"ipFamilyPolicy": "SingleStack"}}, namespace="default")
            await cluster.advance(1)
            assert addresses(cluster, "a") == [("10.97.0.1", "VIP")]
            assert cluster.failures == 0

    run(main())


def test_a_wanted_address_is_of_its_own_family(run):
    """The other family's is drawn; an address of a family that the Service has not is refused."""

    async def main():
        async with SimulatedCluster(nodes=0, families=("IPv4", "IPv6")) as cluster:
            both = {"ipFamilyPolicy": "RequireDualStack"}
            await cluster.apply(
                [
                    service("a", loadBalancerIP="fd00:10:97::9", **both),
                    service("b", loadBalancerIP="10.97.0.9", **both),
                    service("c", loadBalancerIP="fd00:10:97::10"),
                ]
            )
            await cluster.advance(0)
            assert addresses(cluster, "a") == [("10.97.0.1", "VIP"), ("fd00:10:97::9", "VIP")]
            assert addresses(cluster, "b") == [("10.97.0.9", "VIP"), ("fd00:10:97::1", "VIP")]
            assert addresses(cluster, "c") == []
            assert told(cluster, "c")[-1][1].endswith("loadBalancerIP fd00:10:97::10 is not in the pool 10.97.0.0/24")

    run(main())


@pytest.mark.parametrize("seed", range(1, 31 if os.environ.get("PODLING_PROVE") else 3))
def test_no_address_is_given_twice_nor_lost(run, seed):
    """Through lost events, conflicts, refusals, haste and killed controllers: whoever waits has the next that is free."""

    async def main():
        faults = Faults(lost_events=0.03, broken_watches=0.02, conflicts=0.1, refusals=0.05)
        settings = Settings(load_balancer_pools=("10.97.0.0/29",))
        chance = Chance(seed)
        async with SimulatedCluster(nodes=0, seed=seed, faults=faults, controllers=settings) as cluster:
            for number in range(60):
                name = "abcdefghi"[chance.below(9)]
                kind = ("LoadBalancer", "LoadBalancer", "ClusterIP")[chance.below(3)]
                try:
                    if chance.below(3):
                        await cluster.apply(service(name, type=kind))
                    else:
                        await cluster.client.delete(SERVICES, name, "default")
                except StatusError as refusal:
                    assert refusal.code in (404, 409), refusal
                await cluster.advance(chance.below(3) * 0.5)
                if number == 30:
                    await cluster.restart_controllers(down_for=5)
            faults.heal()
            await cluster.advance(400)
            every = cluster.list(SERVICES, "default")
            assert not [s.metadata.name for s in every if s.metadata.deletion_timestamp]
            wanting = [s.metadata.name for s in every if s.spec.type == "LoadBalancer"]
            given = [address for name in wanting for address in addresses(cluster, name)]
            assert len(set(given)) == len(given) == min(len(wanting), 6)
            assert not [s.metadata.name for s in every if s.spec.type != "LoadBalancer" and s.metadata.finalizers]

    run(main())
