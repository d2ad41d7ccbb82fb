"""A cluster of two address families on virtual time: its Pods and nodes have both, its Services what they ask for."""

from __future__ import annotations

import pytest

from podling.api.resources import ENDPOINTS, NODES, PODS, SERVICES
from podling.testing import SimulatedCluster, gone, ready
from tests.scenario.test_endpoints import pod, service, slices

DUAL = ("IPv4", "IPv6")
POLICY = "ipFamilyPolicy"


def reached(cluster, name="web"):
    """Address type → the addresses of its endpoints, over all slices of a Service."""
    found: dict[str, list[str]] = {}
    for held in slices(cluster, name):
        found.setdefault(held.address_type, []).extend(a for e in held.endpoints for a in e.addresses)
    return {family: sorted(addresses) for family, addresses in found.items()}


def older(cluster, name="web"):
    """The addresses in a Service's Endpoints."""
    found = cluster.get(ENDPOINTS, name)
    return [address.ip for subset in found.subsets for address in subset.addresses]


def test_pods_and_nodes_have_an_address_of_each_family(run):
    """In one place of the node's range in either family, the primary one first; a Pod on the node's network has its."""

    async def main():
        async with SimulatedCluster(nodes=2, families=DUAL) as cluster:
            await cluster.apply([pod("a"), pod("host", hostNetwork=True)])
            own = await cluster.wait(PODS, "a", ready())
            host = await cluster.wait(PODS, "host", ready())
            node = cluster.get(NODES, own.spec.node_name)
            assert node.spec.pod_cidr == node.spec.pod_cidrs[0]
            assert len(node.spec.pod_cidrs) == 2
            internal = [each.address for each in node.status.addresses if each.type == "InternalIP"]
            assert [each.ip for each in own.status.host_ips] == internal
            four, six = (each.ip for each in own.status.pod_ips)
            assert (own.status.pod_ip, four.rsplit(".", 1)[1]) == (four, six.rsplit(":", 1)[1])
            assert [":" in each for each in (*internal, four, six)] == [False, True, False, True]
            on = cluster.get(NODES, host.spec.node_name)
            assert [each.ip for each in host.status.pod_ips] == [
                each.address for each in on.status.addresses if each.type == "InternalIP"
            ]
            assert cluster.failures == 0

    run(main())


@pytest.mark.parametrize("families", [("IPv6",), ("IPv6", "IPv4")])
def test_the_primary_family_is_the_first(run, families):
    """Where nothing is said, Services and their endpoints are of it."""

    async def main():
        async with SimulatedCluster(families=families) as cluster:
            await cluster.apply([service(), pod("a")])
            found = await cluster.wait(PODS, "a", ready())
            await cluster.advance(0)
            assert cluster.get(SERVICES, "web").spec.ip_families == ("IPv6",)
            assert ":" in cluster.get(SERVICES, "kubernetes").spec.cluster_ip
            assert len(found.status.pod_ips) == len(families)
            assert reached(cluster) == {"IPv6": [found.status.pod_ip]}
            assert older(cluster) == [found.status.pod_ip]

    run(main())


@pytest.mark.parametrize("families", [(), ("IPv4", "IPv4"), ("ipv6",)])
def test_other_families_are_refused(families):
    with pytest.raises(ValueError, match="one or both of IPv4 and IPv6"):
        SimulatedCluster(families=families)


@pytest.mark.parametrize("cluster_ip", [None, "None"])
def test_a_service_of_two_families_has_slices_of_each(run, cluster_ip):
    """With an address and headless; its Endpoints have the primary family alone."""

    async def main():
        async with SimulatedCluster(families=DUAL) as cluster:
            both = service(clusterIP=cluster_ip, **{POLICY: "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]})
            await cluster.apply([both, pod("a"), pod("b")])
            pods = [await cluster.wait(PODS, name, ready()) for name in "ab"]
            await cluster.advance(0)
            fours, sixes = (sorted(each.status.pod_ips[n].ip for each in pods) for n in (0, 1))
            assert reached(cluster) == {"IPv4": fours, "IPv6": sixes}
            assert older(cluster) == sixes
            assert all(e.conditions.ready for held in slices(cluster) for e in held.endpoints)
            assert len(slices(cluster)) == 2
            await cluster.client.delete(PODS, "a", "default")
            await cluster.advance(0)
            conditions = {
                (held.address_type, e.target_ref.name): (e.conditions.ready, e.conditions.terminating)
                for held in slices(cluster)
                for e in held.endpoints
            }
            assert conditions == {(family, name): (name == "b", name == "a") for family in DUAL for name in "ab"}
            await cluster.wait(PODS, "a", gone())
            await cluster.advance(0)
            assert reached(cluster) == {"IPv4": [pods[1].status.pod_ip], "IPv6": [pods[1].status.pod_ips[1].ip]}
            assert cluster.failures == 0

    run(main())


def test_slices_come_and_go_with_the_policy(run):
    """The second family's endpoints are there as soon as the policy is, and away with it; the first one's stay."""

    async def main():
        async with SimulatedCluster(families=DUAL) as cluster:
            await cluster.apply([service(), pod("a")])
            found = await cluster.wait(PODS, "a", ready())
            four, six = (each.ip for each in found.status.pod_ips)
            await cluster.advance(0)
            (first,) = slices(cluster)
            assert reached(cluster) == {"IPv4": [four]}
            began = cluster.clock.monotonic()
            for _ in range(2):
                for policy, expected in (
                    ("PreferDualStack", {"IPv4": [four], "IPv6": [six]}),
                    ("SingleStack", {"IPv4": [four]}),
                ):
                    await cluster.client.patch(SERVICES, "web", {"spec": {POLICY: policy}}, namespace="default")
                    await cluster.advance(0)
                    assert reached(cluster) == expected
                    assert older(cluster) == [four]
            assert cluster.clock.monotonic() == began
            assert [each.metadata.uid for each in slices(cluster)] == [first.metadata.uid]
            assert cluster.failures == 0

    run(main())


def test_hand_written_endpoints_are_mirrored_by_family(run):
    """A Service without a selector has slices of the families that its writer names, whatever its own are."""

    async def main():
        async with SimulatedCluster(nodes=0, families=DUAL) as cluster:
            written = {
                "apiVersion": "v1",
                "kind": "Endpoints",
                "metadata": {"name": "web", "namespace": "default"},
                "subsets": [
                    {
                        "addresses": [{"ip": "192.0.2.1"}, {"ip": "2001:db8::1"}, {"ip": "192.0.2.2"}],
                        "ports": [{"port": 8080}],
                    }
                ],
            }
            await cluster.apply([service(selector=None, **{POLICY: "PreferDualStack"}), written])
            await cluster.advance(0)
            assert reached(cluster) == {"IPv4": ["192.0.2.1", "192.0.2.2"], "IPv6": ["2001:db8::1"]}
            assert [len(each.ports) for each in slices(cluster)] == [1, 1]
            assert cluster.failures == 0

    run(main())


def test_a_cluster_of_two_families_outlives_its_parts(run):
    """Whatever restarts, ranges and addresses stay as they were."""

    async def main():
        async with SimulatedCluster(families=DUAL) as cluster:
            await cluster.apply([service(**{POLICY: "RequireDualStack"}), pod("a")])
            before = await cluster.wait(PODS, "a", ready())
            held = cluster.get(SERVICES, "web").spec.cluster_ips
            await cluster.restart_api_server(down_for=10, forget_history=True)
            await cluster.restart_controllers()
            await cluster.restart_kubelet("node-0", down_for=5)
            await cluster.advance(60)
            await cluster.apply([service("more", **{POLICY: "RequireDualStack"}), pod("b")])
            after = await cluster.wait(PODS, "b", ready())
            await cluster.advance(0)
            assert cluster.get(PODS, "a").status.pod_ips == before.status.pod_ips
            assert cluster.get(SERVICES, "web").spec.cluster_ips == held
            every = [*held, *cluster.get(SERVICES, "more").spec.cluster_ips]
            assert len(set(every)) == 4
            assert reached(cluster, "more") == {
                family: sorted(each.status.pod_ips[n].ip for each in (before, after)) for n, family in enumerate(DUAL)
            }
            assert cluster.failures == 0

    run(main())
