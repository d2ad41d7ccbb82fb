"""The zone follows the cluster's watch, at once, and a relist converges; which resolvers a node has."""

from __future__ import annotations

from podling.api.resources import ENDPOINT_SLICES, NAMESPACES, SERVICES
from podling.cluster.control_plane import account_user
from podling.cluster.naming import NodeResolvers
from podling.dns.following import Following
from podling.reach.names import Zone
from podling.testing import SimulatedCluster

WEB = "web.default.svc.cluster.local"


def names(zone, name, kind="A"):
    found = zone.find(name, kind)
    return [record.data for record in found.records] if found.exists else None


def service(name="web", **spec):
    meta = {"name": name, "namespace": "default"}
    spec = {"ports": [{"name": "http", "port": 80}], "selector": {"app": "web"}} | spec
    return {"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec}


def pod(name):
    meta = {"name": name, "namespace": "default", "labels": {"app": "web"}}
    spec = {"hostname": name, "subdomain": "web", "containers": [{"name": "c", "image": "web"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


async def followed(cluster):
    zone = Zone()
    user = account_user("coredns")
    following = Following(zone, cluster._plane.informers(user, cluster._supervisor), cluster.clock, cluster._supervisor)
    await following.start()
    return zone


def test_names_come_change_and_go(run):
    """In the same instant as the Service, the Pod's readiness and the namespace; as upstream's account may see them."""

    async def main():
        async with SimulatedCluster() as cluster:
            zone = await followed(cluster)
            await cluster.apply(service(clusterIP="None"))
            await cluster.advance(0)
            assert names(zone, WEB) is None
            await cluster.apply([pod("a"), pod("b")])
            await cluster.run_until(lambda: len(names(zone, WEB) or ()) == 2, 60)
            assert len(names(zone, f"a.{WEB}")) == 1
            assert {data[3] for data in names(zone, f"_http._tcp.{WEB}", "SRV")} == {f"a.{WEB}", f"b.{WEB}"}
            await cluster.client.delete(SERVICES, "web", "default")
            await cluster.apply(service(clusterIP="10.96.7.7"))
            await cluster.advance(0)
            assert names(zone, WEB) == ["10.96.7.7"]
            assert names(zone, "new.svc.cluster.local") is None
            await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "new"}})
            await cluster.advance(0)
            assert names(zone, "new.svc.cluster.local") == []
            await cluster.client.delete(NAMESPACES, "new")
            await cluster.advance(10)
            assert names(zone, "new.svc.cluster.local") is None
            assert cluster.failures == 0

    run(main())


def test_a_relist_converges(run):
    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            await cluster.apply([service("kept"), service("gone")])
            zone = await followed(cluster)
            assert names(zone, "gone.default.svc.cluster.local")
            await cluster.client.delete(SERVICES, "gone", "default")
            await cluster.restart_api_server(forget_history=True)
            await cluster.apply(service("new"))
            await cluster.advance(120)
            assert names(zone, "kept.default.svc.cluster.local")
            assert names(zone, "new.default.svc.cluster.local")
            assert names(zone, "gone.default.svc.cluster.local") is None

    run(main())


def test_hand_written_slices_give_names(run):
    """Of any writer, also one whose addresses are no addresses."""

    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            zone = await followed(cluster)
            await cluster.apply(service(clusterIP="None", selector=None))
            for number, (kind, address) in enumerate([("IPv4", "192.0.2.1"), ("FQDN", "example.com")]):
                await cluster.apply(
                    {
                        "apiVersion": "discovery.k8s.io/v1",
                        "kind": "EndpointSlice",
                        "metadata": {
                            "name": f"mine-{number}",
                            "namespace": "default",
                            "labels": {"kubernetes.io/service-name": "web"},
                        },
                        "addressType": kind,
                        "endpoints": [{"addresses": [address]}],
                    }
                )
            await cluster.advance(0)
            assert names(zone, WEB) == ["192.0.2.1"]
            await cluster.client.delete(ENDPOINT_SLICES, "mine-0", "default")
            await cluster.advance(0)
            assert names(zone, WEB) is None

    run(main())


def test_a_nodes_resolvers_are_read_anew_and_never_ourselves(tmp_path):
    path = tmp_path / "resolv.conf"
    resolvers = NodeResolvers(path, but=("10.96.0.10",))
    assert resolvers() == []
    path.write_text("search a b\nnameserver 192.0.2.1\nnameserver 10.96.0.10\nnameserver 192.0.2.1\n# nameserver x\n")
    assert resolvers() == ["192.0.2.1"]
    other = tmp_path / "other"
    other.write_text("nameserver 192.0.2.2\n")
    other.replace(path)
    assert resolvers() == ["192.0.2.2"]
    resolvers.but = ("10.96.0.10", "fd00:10:96::a")
    both = ("2001:DB8:0::1", "fe80::1%eth0", "FD00:10:96::A", "[2001:db8::2]", "resolver.example", "192.0.2.3")
    path.write_text("".join(f"nameserver {each}\n" for each in both))
    assert resolvers() == ["2001:db8::1", "fe80::1%eth0", "192.0.2.3"]
    path.unlink()
    assert resolvers() == []
