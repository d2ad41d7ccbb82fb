"""Endpoints follow Pods: slices, the older Endpoints, and mirrors of hand-written ones, on virtual time."""

from __future__ import annotations

from msgspec.structs import replace

from podling.api.resources import ENDPOINT_SLICES, ENDPOINTS, NODES, PODS, SERVICES
from podling.api.types.meta_v1 import ObjectMeta
from podling.controllers.settings import Settings
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import SimulatedCluster

MANAGED = "endpointslice.kubernetes.io/managed-by"
NAME = "kubernetes.io/service-name"


def service(name="web", labels=None, **spec):
    spec = {"selector": {"app": "web"}, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]} | spec
    meta = {"name": name, "namespace": "default", "labels": labels or {}}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta,
        "spec": {key: value for key, value in spec.items() if value is not None},
    }


def pod(name, app="web", **spec):
    script = '{"c": {"runs": [{"startLatency": 2, "ignoresSigterm": true}]}}'
    meta = {
        "name": name,
        "namespace": "default",
        "labels": {"app": app},
        "annotations": {SCRIPT_ANNOTATION: script},
    }
    spec = {"terminationGracePeriodSeconds": 10, "containers": [{"name": "c", "image": "web"}]} | spec
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def slices(cluster, name="web"):
    return cluster.list(ENDPOINT_SLICES, "default", labels=f"{NAME}={name}")


def endpoints(cluster, name="web"):
    """Name → (ready, serving, terminating), over all slices."""
    return {
        e.target_ref.name: (e.conditions.ready, e.conditions.serving, e.conditions.terminating)
        for s in slices(cluster, name)
        for e in s.endpoints
    }


def subsets(cluster, name="web"):
    found = cluster.get(ENDPOINTS, name)
    if found is None:
        return None
    return [
        ([a.target_ref.name for a in s.addresses], [a.target_ref.name for a in s.not_ready_addresses])
        for s in found.subsets
    ]


def is_ready(cluster, name):
    found = cluster.get(PODS, name)
    return found is not None and any(c.type == "Ready" and c.status == "True" for c in found.status.conditions)


UP, UNREADY, GOING = (True, True, False), (False, False, False), (False, True, True)


def test_endpoints_follow_readiness_and_deletion(run):
    """Ready when the Pod is, not ready from the moment of its deletion while it still serves, gone when it has ended."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply([service(labels={"team": "a"}), pod("a"), pod("b")])
            await cluster.run_until(lambda: is_ready(cluster, "a") and is_ready(cluster, "b"))
            await cluster.advance(0)
            assert endpoints(cluster) == {"a": UP, "b": UP}
            assert subsets(cluster) == [(["a", "b"], [])]
            (held,) = slices(cluster)
            assert held.metadata.name.startswith("web-")
            assert held.metadata.generate_name == "web-"
            assert held.metadata.labels == {"team": "a", NAME: "web", MANAGED: "endpointslice-controller.k8s.io"}
            (owner,) = held.metadata.owner_references
            uid = cluster.get(SERVICES, "web").metadata.uid
            assert (owner.kind, owner.name, owner.uid, owner.controller) == ("Service", "web", uid, True)
            assert held.address_type == "IPv4"
            assert [(p.name, p.port, p.protocol) for p in held.ports] == [("http", 8080, "TCP")]
            (condition,) = [c for c in cluster.get(PODS, "a").status.conditions if c.type == "Ready"]
            noted = held.metadata.annotations["endpoints.kubernetes.io/last-change-trigger-time"]
            assert noted == condition.last_transition_time
            assert cluster.get(ENDPOINTS, "web").metadata.labels == {
                "team": "a",
                "endpoints.kubernetes.io/managed-by": "endpoint-controller",
            }
            revision = held.metadata.resource_version
            await cluster.advance(120)
            assert slices(cluster)[0].metadata.resource_version == revision  # nothing is written for nothing

            began = cluster.clock.monotonic()
            await cluster.client.delete(PODS, "a", "default")
            await cluster.advance(0)
            assert cluster.clock.monotonic() == began
            assert endpoints(cluster) == {"a": GOING, "b": UP}
            assert subsets(cluster) == [(["b"], [])]
            await cluster.run_until(lambda: cluster.get(PODS, "a") is None)
            await cluster.advance(0)
            assert endpoints(cluster) == {"b": UP}
            assert cluster.failures == 0

    run(main())


def test_unready_pods_are_listed_as_such_and_published_on_demand(run):
    async def main():
        probe = {"exec": {"command": ["ready"]}, "periodSeconds": 1}
        containers = [{"name": "c", "image": "web", "readinessProbe": probe}]
        meta = {SCRIPT_ANNOTATION: '{"c": {"runs": [{"ignoresSigterm": true, "execs": {"ready": {"exitCode": 1}}}]}}'}
        unready = pod("a", containers=containers)
        unready["metadata"]["annotations"] = meta
        async with SimulatedCluster() as cluster:
            await cluster.apply([service(), service("all", publishNotReadyAddresses=True, clusterIP="None"), unready])
            await cluster.run_until(lambda: bool(endpoints(cluster)))
            await cluster.advance(0)
            assert endpoints(cluster) == {"a": UNREADY}
            assert subsets(cluster) == [([], ["a"])]
            assert endpoints(cluster, "all") == {"a": (True, False, False)}
            assert subsets(cluster, "all") == [(["a"], [])]
            assert slices(cluster, "all")[0].metadata.labels["service.kubernetes.io/headless"] == ""
            await cluster.client.delete(PODS, "a", "default")
            await cluster.advance(0)
            assert subsets(cluster) == []
            assert subsets(cluster, "all") == [(["a"], [])]
            assert cluster.failures == 0

    run(main())


def test_a_selector_that_matches_nothing(run):
    """There is one slice without endpoints, so that whoever looks sees that there are none; the first Pod fills it."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(service())
            await cluster.advance(0)
            (empty,) = slices(cluster)
            assert (empty.endpoints, empty.ports, subsets(cluster)) == ((), (), [])
            await cluster.apply(pod("a"))
            await cluster.run_until(lambda: is_ready(cluster, "a"))
            await cluster.advance(0)
            (filled,) = slices(cluster)
            assert filled.metadata.name == empty.metadata.name
            assert endpoints(cluster) == {"a": UP}
            await cluster.client.patch(PODS, "a", {"metadata": {"labels": {"app": "other"}}}, namespace="default")
            await cluster.advance(0)
            assert endpoints(cluster) == {}
            await cluster.client.patch(SERVICES, "web", {"spec": {"selector": {"app": "other"}}}, namespace="default")
            await cluster.advance(0)
            assert endpoints(cluster) == {"a": UP}
            assert cluster.failures == 0

    run(main())


def test_without_a_selector_slices_are_the_users(run):
    """Nothing is made, nothing that somebody else made is touched; a change of type leaves what is there alone."""

    async def main():
        async with SimulatedCluster() as cluster:
            own = {
                "apiVersion": "discovery.k8s.io/v1",
                "kind": "EndpointSlice",
                "metadata": {"name": "mine", "namespace": "default", "labels": {NAME: "web"}},
                "addressType": "IPv4",
                "endpoints": [{"addresses": ["192.0.2.1"]}],
            }
            await cluster.apply([service(selector=None), own])
            await cluster.advance(10)
            assert [s.metadata.name for s in slices(cluster)] == ["mine"]
            assert subsets(cluster) is None
            name = {"type": "ExternalName", "externalName": "example.com", "clusterIP": None, "clusterIPs": None}
            await cluster.apply([service("out", type="ExternalName", externalName="example.com", ports=None)])
            await cluster.advance(10)
            assert slices(cluster, "out") == []
            await cluster.apply([service("turned"), pod("a")])
            await cluster.run_until(lambda: is_ready(cluster, "a"))
            await cluster.client.patch(SERVICES, "turned", {"spec": name}, namespace="default")
            await cluster.advance(1)
            back = {"type": "ClusterIP", "externalName": None, "selector": {"app": "web"}}
            await cluster.client.patch(SERVICES, "turned", {"spec": back}, namespace="default")
            await cluster.advance(1)
            assert endpoints(cluster, "turned") == {"a": UP}
            assert cluster.failures == 0

    run(main())


def test_a_deleted_service_takes_its_slices_and_endpoints_along(run):
    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply([service(), pod("a")])
            await cluster.run_until(lambda: endpoints(cluster) == {"a": UP})
            uid = slices(cluster)[0].metadata.uid
            await cluster.client.delete(SERVICES, "web", "default")
            await cluster.apply(service())
            await cluster.advance(10)
            assert endpoints(cluster) == {"a": UP}
            assert [s.metadata.uid == uid for s in slices(cluster)] == [False]
            await cluster.client.delete(SERVICES, "web", "default")
            await cluster.advance(10)
            assert (slices(cluster), subsets(cluster)) == ([], None)
            assert cluster.failures == 0

    run(main())


def test_what_others_change_is_put_right(run):
    """A slice or Endpoints that is edited or deleted by hand comes back, at once."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply([service(), pod("a")])
            await cluster.run_until(lambda: endpoints(cluster) == {"a": UP})
            (held,) = slices(cluster)
            await cluster.client.patch(
                ENDPOINT_SLICES, held.metadata.name, {"endpoints": [], "metadata": {"labels": {"x": "y"}}},
                namespace="default",
            )  # fmt: skip
            await cluster.client.patch(ENDPOINTS, "web", {"subsets": None}, namespace="default")
            await cluster.advance(0)
            assert (endpoints(cluster), subsets(cluster)) == ({"a": UP}, [(["a"], [])])
            await cluster.client.delete(ENDPOINT_SLICES, held.metadata.name, "default")
            await cluster.client.delete(ENDPOINTS, "web", "default")
            await cluster.advance(0)
            assert (endpoints(cluster), subsets(cluster)) == ({"a": UP}, [(["a"], [])])
            assert cluster.failures == 0

    run(main())


def test_a_relist_converges(run):
    """What happens while the controllers are away, or their history is compacted, is caught up with."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply([service(), pod("a"), pod("b")])
            await cluster.run_until(lambda: endpoints(cluster) == {"a": UP, "b": UP})
            await cluster.client.delete(PODS, "a", "default")
            await cluster.restart_controllers(down_for=60)
            await cluster.advance(1)
            assert (endpoints(cluster), subsets(cluster)) == ({"b": UP}, [(["b"], [])])
            await cluster.apply(pod("c"))
            await cluster.restart_api_server(down_for=1, forget_history=True)
            await cluster.advance(120)
            assert (endpoints(cluster), subsets(cluster)) == ({"b": UP, "c": UP}, [(["b", "c"], [])])

    run(main())


def test_a_lost_nodes_pods_are_not_ready(run):
    """And a Pod of a Node that was deleted is no endpoint, until the Node is back."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply([service(), pod("a", nodeName="node-0"), pod("b", nodeName="node-1")])
            await cluster.run_until(lambda: endpoints(cluster) == {"a": UP, "b": UP})
            await cluster.kill_node("node-1")
            await cluster.run_until(lambda: endpoints(cluster)["b"] == UNREADY)
            assert endpoints(cluster)["a"] == UP
            node = cluster.get(NODES, "node-1")
            await cluster.client.delete(NODES, "node-1")
            await cluster.advance(0)
            assert endpoints(cluster) == {"a": UP}
            fresh = replace(node, metadata=ObjectMeta(name="node-1", labels={"topology.kubernetes.io/zone": "east"}))
            await cluster.client.create(NODES, fresh)
            await cluster.advance(0)
            assert endpoints(cluster) == {"a": UP, "b": UNREADY}
            (zone,) = {e.zone for s in slices(cluster) for e in s.endpoints if e.node_name == "node-1"}
            assert zone == "east"
            assert cluster.failures == 0

    run(main())


def test_many_endpoints_are_divided(run):
    """No slice holds more than it may, and one Pod's end writes one slice alone."""

    async def main():
        settings = Settings(max_endpoints_per_slice=4)
        async with SimulatedCluster(nodes=1, controllers=settings) as cluster:
            names = [f"p{number}" for number in range(10)]
            await cluster.apply([service(), *(pod(name) for name in names)])
            await cluster.run_until(lambda: endpoints(cluster) == dict.fromkeys(names, UP))
            await cluster.advance(0)
            assert max(len(s.endpoints) for s in slices(cluster)) <= 4
            before = {s.metadata.name: s.metadata.resource_version for s in slices(cluster)}
            await cluster.client.delete(PODS, "p3", "default", grace=0)
            await cluster.advance(0)
            after = {s.metadata.name: s.metadata.resource_version for s in slices(cluster)}
            assert sum(before[name] != after.get(name) for name in before) == 1
            assert "p3" not in endpoints(cluster)
            assert cluster.failures == 0

    run(main())


def test_hand_written_endpoints_are_mirrored(run):
    """For a Service without a selector, by family and port set; followed, limited, and left alone where so labelled."""

    async def main():
        ports = [{"name": "http", "port": 9376, "protocol": "TCP"}]
        subset = {
            "addresses": [{"ip": "192.0.2.1"}, {"ip": "192.0.2.2", "hostname": "two"}, {"ip": "2001:db8::1"}],
            "notReadyAddresses": [{"ip": "192.0.2.3"}],
            "ports": ports,
        }
        written = {
            "apiVersion": "v1",
            "kind": "Endpoints",
            "metadata": {"name": "db", "namespace": "default", "labels": {"own": "1"}, "annotations": {"note": "n"}},
            "subsets": [subset],
        }
        settings = Settings(mirroring_max_endpoints_per_subset=4)
        async with SimulatedCluster(nodes=0, controllers=settings) as cluster:
            await cluster.apply(written)
            await cluster.advance(1)
            assert slices(cluster, "db") == []
            await cluster.apply(service("db", selector=None))
            await cluster.advance(1)
            four, six = sorted(slices(cluster, "db"), key=lambda s: s.address_type)
            assert (four.address_type, six.address_type) == ("IPv4", "IPv6")
            shown = [(e.addresses[0], e.conditions.ready, e.hostname) for e in four.endpoints]
            assert shown == [("192.0.2.1", True, None), ("192.0.2.2", True, "two"), ("192.0.2.3", False, None)]
            assert [(p.name, p.port) for p in four.ports] == [("http", 9376)]
            assert four.metadata.labels == {
                "own": "1",
                NAME: "db",
                MANAGED: "endpointslicemirroring-controller.k8s.io",
            }
            assert four.metadata.annotations == {"note": "n"}
            assert four.metadata.owner_references[0].kind == "Endpoints"

            many = {"subsets": [{"addresses": [{"ip": f"192.0.2.{n}"} for n in range(1, 8)], "ports": ports}]}
            await cluster.client.patch(ENDPOINTS, "db", many, namespace="default")
            await cluster.advance(1)
            (only,) = slices(cluster, "db")
            assert len(only.endpoints) == 4
            (event,) = cluster.events("db")
            assert (event.reason, event.message) == (
                "TooManyAddressesToMirror",
                "A max of 4 addresses can be mirrored to EndpointSlices per Endpoints subset. 3 addresses were skipped",
            )
            skip = {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": "true"}}}
            await cluster.client.patch(ENDPOINTS, "db", skip, namespace="default")
            await cluster.advance(1)
            assert slices(cluster, "db") == []
            unskip = {"metadata": {"labels": {"endpointslice.kubernetes.io/skip-mirror": None}}}
            await cluster.client.patch(ENDPOINTS, "db", unskip, namespace="default")
            await cluster.advance(1)
            assert len(slices(cluster, "db")) == 1
            await cluster.client.delete(ENDPOINTS, "db", "default")
            await cluster.advance(1)
            assert slices(cluster, "db") == []
            assert cluster.failures == 0

    run(main())


def test_too_many_endpoints_for_the_older_form():
    """More than 1,000 are cut off, the unready first, and an annotation says so."""
    from podling.api.codec import from_tree
    from podling.api.types.core_v1 import Pod, Service
    from podling.controllers.endpoints import plan

    svc = from_tree(Service, service() | {"metadata": {"name": "web", "namespace": "default", "uid": "u"}})

    def made(number, ready):
        tree = pod(f"p{number}")
        ip = f"10.0.{number // 250}.{number % 250 + 1}"
        status = {"podIP": ip, "podIPs": [{"ip": ip}], "conditions": [{"type": "Ready", "status": ready}]}
        return from_tree(Pod, tree | {"status": status})

    pods = [made(number, "True" if number < 990 else "False") for number in range(1100)]
    todo = plan(svc, pods, None)
    (subset,) = todo.subsets
    assert (len(subset.addresses), len(subset.not_ready_addresses)) == (990, 10)
    assert todo.metadata.annotations["endpoints.kubernetes.io/over-capacity"] == "truncated"
    fewer = plan(svc, pods[:5], todo)
    assert "endpoints.kubernetes.io/over-capacity" not in fewer.metadata.annotations
    assert plan(svc, pods[:5], fewer) is None
