"""ResourceQuotas on a whole cluster: upstream's conformance cases step by step, and its timing to the instant."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from podling.api.errors import StatusError
from podling.api.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    PERSISTENT_VOLUME_CLAIMS,
    POD_TEMPLATES,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    RESOURCE_QUOTAS,
    SECRETS,
    SERVICES,
    CustomResource,
)
from podling.api.types.meta_v1 import ObjectMeta
from podling.client.transport import Call, Selection
from podling.testing import SimulatedCluster, phase
from tests.custom import WIDGETS, definition, widget

GOLD = "gold.storageclass.storage.k8s.io/"
HARD = {
    "pods": "5",
    "services": "10",
    "services.nodeports": "1",
    "services.loadbalancers": "1",
    "replicationcontrollers": "10",
    "resourcequotas": "1",
    "cpu": "1",
    "memory": "500Mi",
    "configmaps": "10",
    "secrets": "10",
    "persistentvolumeclaims": "10",
    "requests.storage": "10Gi",
    "ephemeral-storage": "50Gi",
    GOLD + "persistentvolumeclaims": "10",
    GOLD + "requests.storage": "10Gi",
    "requests.example.com/dongle": "3",
    "count/podtemplates": "5",
    "count/replicasets.apps": "5",
}


def quota(name="test-quota", hard=None, **spec):
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": meta, "spec": {"hard": hard or HARD, **spec}}


def pod(name, requests=None, limits=None, **spec):
    meta = {"name": name, "namespace": "default"}
    resources = {"requests": requests or {}, "limits": limits or {}}
    containers = [{"name": "pause", "image": "pause", "resources": resources}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {"containers": containers, **spec}}


def plain(kind, name, **more):
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": "default"}, **more}


def service(name, kind, **more):
    return plain("Service", name, spec={"type": kind, "ports": [{"port": 80}], **more})


async def used(cluster, name="test-quota"):
    await cluster.advance(0)
    return cluster.get(RESOURCE_QUOTAS, name).status.used


async def holds(cluster, name="test-quota", **amounts):
    """Whether what is used is as said; names that are no words come as `_`."""
    found = await used(cluster, name)
    return {key: found.get(key) for key in amounts} == amounts


async def refused(cluster, manifest):
    with pytest.raises(StatusError) as refusal:
        await cluster.apply([manifest])
    assert (refusal.value.code, refusal.value.reason) == (403, "Forbidden")
    return refusal.value.message


async def gone(cluster, resource, name):
    await cluster.client.delete(resource, name, "default", grace=0)


def with_quota(steps, hard=None, **spec):
    """Run steps in a cluster of one node with a quota that has been reckoned."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            await cluster.advance(1)
            await cluster.apply([quota(hard=hard, **spec)])
            await steps(cluster)
            assert cluster.failures == 0

    return main()


def test_a_status_is_reckoned_at_once(run):
    """A new quota knows its hard limits and what is used, itself included, without any time passing."""

    async def steps(cluster):
        found = await used(cluster)
        assert cluster.get(RESOURCE_QUOTAS, "test-quota").status.hard == HARD
        assert set(found) == set(HARD)
        expected = {"resourcequotas": "1", "configmaps": "1", "services": "1"}
        assert {name: amount for name, amount in found.items() if amount != "0"} == expected

    run(with_quota(steps))


def test_the_life_of_a_service(run):
    """Services and node ports are charged and given back; a balancer that needs a port too many is refused."""

    async def steps(cluster):
        await used(cluster)
        await cluster.apply([service("plain", "ClusterIP"), service("np", "NodePort")])
        assert "exceeded quota: test-quota, requested: services.nodeports=1, used: services.nodeports=1, limited: services.nodeports=1" in await refused(cluster, service("lb", "LoadBalancer"))  # fmt: skip  # noqa: E501
        assert await holds(cluster, services="3", **{"services.nodeports": "1", "services.loadbalancers": "0"})
        await cluster.apply([service("lb", "LoadBalancer", allocateLoadBalancerNodePorts=False)])
        assert await holds(cluster, services="4", **{"services.nodeports": "1", "services.loadbalancers": "1"})
        with pytest.raises(StatusError, match="exceeded quota: test-quota, requested: services.nodeports=1"):
            await cluster.client.patch(SERVICES, "plain", {"spec": {"type": "NodePort"}}, namespace="default")
        await cluster.client.patch(SERVICES, "np", {"spec": {"type": "ClusterIP"}}, namespace="default")
        assert await holds(cluster, **{"services.nodeports": "0"})
        for name in ("plain", "np", "lb"):
            await gone(cluster, SERVICES, name)
        assert await holds(cluster, services="1", **{"services.nodeports": "0", "services.loadbalancers": "0"})

    run(with_quota(steps))


INNER = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
SET = {"replicas": 0, "selector": {"matchLabels": {"a": "b"}}, "template": INNER}


@pytest.mark.parametrize(
    ("resource", "manifest", "counted"),
    [
        (REPLICA_SETS, plain("ReplicaSet", "r", spec=SET) | {"apiVersion": "apps/v1"}, "count/replicasets.apps"),
        (
            REPLICATION_CONTROLLERS,
            plain("ReplicationController", "r", spec={**SET, "selector": {"a": "b"}}),
            "replicationcontrollers",
        ),
        (SECRETS, plain("Secret", "s", data={"data": "dmFsdWU="}), "secrets"),
        (CONFIG_MAPS, plain("ConfigMap", "c", data={"a": "b"}), "configmaps"),
        (
            POD_TEMPLATES,
            plain("PodTemplate", "t", template=INNER),
            "count/podtemplates",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_life_of_what_is_merely_counted(run, resource, manifest, counted):
    """One more when it is made, one fewer when it is gone, by its own name and by the name that all kinds have."""

    async def steps(cluster):
        before = int((await used(cluster))[counted])
        await cluster.apply([manifest])
        assert await holds(cluster, **{counted: str(before + 1)})
        await gone(cluster, resource, manifest["metadata"]["name"])
        assert await holds(cluster, **{counted: str(before)})

    run(with_quota(steps))


def test_the_life_of_a_pod(run):
    """Requests and extended resources are charged, what exceeds them is refused, deletion gives all of it back."""

    async def steps(cluster):
        await used(cluster)
        dongle = "example.com/dongle"
        asks = {"cpu": "500m", "memory": "252Mi", "ephemeral-storage": "30Gi", dongle: "2"}
        await cluster.apply([pod("test-pod", asks, {dongle: "2"})])
        charged = {"pods": "1", **{k: v for k, v in asks.items() if k != dongle}, f"requests.{dongle}": "2"}
        assert await holds(cluster, **charged)
        message = await refused(cluster, pod("fail-pod", {"cpu": "600m", "memory": "100Mi"}))
        assert message == (
            'pods "fail-pod" is forbidden: exceeded quota: test-quota, requested: cpu=600m, used: cpu=500m, limited: cpu=1'
        )
        message = await refused(cluster, pod("fail-pod", {**asks, "memory": "100Mi"}, {dongle: "2"}))
        assert message.partition("exceeded quota: ")[2] == (
            "test-quota, requested: ephemeral-storage=30Gi,requests.example.com/dongle=2, used: ephemeral-storage=30Gi,"
            "requests.example.com/dongle=2, limited: ephemeral-storage=50Gi,requests.example.com/dongle=3"
        )
        message = await refused(cluster, pod("bare"))
        assert message.endswith("failed quota: test-quota: must specify cpu for: pause; memory for: pause")
        change = {"spec": {"containers": [{"name": "pause", "resources": {"requests": {"cpu": "100m"}}}]}}
        with pytest.raises(StatusError, match="pod updates may not change fields"):
            await cluster.client.patch(PODS, "test-pod", change, namespace="default", kind="strategic")
        assert await holds(cluster, **charged)
        await gone(cluster, PODS, "test-pod")
        assert await holds(cluster, **dict.fromkeys(charged, "0"))

    run(with_quota(steps))


def test_the_life_of_a_claim(run):
    """Claims and the storage they ask for are charged, in all and to their class."""

    async def steps(cluster):
        await used(cluster)
        ask = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        await cluster.apply([plain("PersistentVolumeClaim", "a", spec={**ask, "storageClassName": "gold"})])
        both = {"persistentvolumeclaims": "1", "requests.storage": "1Gi"}
        assert await holds(cluster, **both, **{GOLD + name: amount for name, amount in both.items()})
        await cluster.apply([plain("PersistentVolumeClaim", "b", spec={**ask, "storageClassName": ""})])
        assert await holds(cluster, **{"requests.storage": "2Gi", GOLD + "requests.storage": "1Gi"})
        big = {**ask, "resources": {"requests": {"storage": "9Gi"}}, "storageClassName": ""}
        assert "requested: requests.storage=9Gi, used: requests.storage=2Gi, limited: requests.storage=10Gi" in (
            await refused(cluster, plain("PersistentVolumeClaim", "c", spec=big))
        )
        await gone(cluster, PERSISTENT_VOLUME_CLAIMS, "a")
        await gone(cluster, PERSISTENT_VOLUME_CLAIMS, "b")
        assert await holds(cluster, **dict.fromkeys([*both, *(GOLD + name for name in both)], "0"))

    run(with_quota(steps))


@pytest.mark.parametrize(
    ("scope", "opposite", "inside", "outside"),
    [
        ("Terminating", "NotTerminating", {"activeDeadlineSeconds": 3600}, {}),
        ("BestEffort", "NotBestEffort", {}, {"requests": {"cpu": "100m"}}),
    ],
)
def test_scopes(run, scope, opposite, inside, outside):
    """A Pod is charged to the quotas whose scope it is in, and to no other; each gives back its own."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            names = {scope: "in", opposite: "out"}
            await cluster.apply([quota(name, {"pods": "5"}, scopes=[each]) for each, name in names.items()])
            assert await holds(cluster, "in", pods="0")
            assert await holds(cluster, "out", pods="0")
            await cluster.apply([pod("one", **inside)])
            assert (await used(cluster, "in"), await used(cluster, "out")) == ({"pods": "1"}, {"pods": "0"})
            await gone(cluster, PODS, "one")
            await cluster.apply([pod("two", **outside)])
            assert (await used(cluster, "in"), await used(cluster, "out")) == ({"pods": "0"}, {"pods": "1"})
            await gone(cluster, PODS, "two")
            assert (await used(cluster, "in"), await used(cluster, "out")) == ({"pods": "0"}, {"pods": "0"})

    run(main())


@pytest.mark.parametrize(
    ("operator", "values", "first", "second"),
    [
        ("In", ["high"], True, False),
        ("NotIn", ["high"], False, True),
        ("Exists", [], True, False),
        ("DoesNotExist", [], False, True),
        ("In", ["high", "low"], True, False),
    ],
)
def test_the_scope_of_a_priority_class(run, operator, values, first, second):
    """By upstream's selectors over the class's name; Pods without a class count where none is asked for."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            high = {
                "apiVersion": "scheduling.k8s.io/v1",
                "kind": "PriorityClass",
                "metadata": {"name": "high"},
                "value": 9,
            }
            term = {"scopeName": "PriorityClass", "operator": operator, "values": values}
            selector = {"matchExpressions": [term]}
            await cluster.apply([high, quota(hard={"pods": "1"}, scopeSelector=selector)])
            await used(cluster)
            await cluster.apply([pod("one", priorityClassName="high")])
            assert await used(cluster) == {"pods": str(int(first))}
            await cluster.apply([pod("two")])
            assert await used(cluster) == {"pods": str(int(first) + int(second))}
            spec = {"priorityClassName": "high"} if first else {}
            assert "exceeded quota: test-quota, requested: pods=1, used: pods=1, limited: pods=1" in (
                await refused(cluster, pod("three", **spec))
            )

    run(main())


def test_a_pod_that_moves_between_scopes_is_reckoned_again(run):
    """A deadline makes of a lasting Pod a terminating one, and the two quotas follow."""

    async def main():
        async with SimulatedCluster(nodes=1) as cluster:
            for scope in ("Terminating", "NotTerminating"):
                await cluster.apply([quota(scope.lower(), {"pods": "5"}, scopes=[scope])])
            await used(cluster, "terminating")
            await cluster.apply([pod("one")])
            assert await used(cluster, "notterminating") == {"pods": "1"}
            await cluster.client.patch(PODS, "one", {"spec": {"activeDeadlineSeconds": 90}}, namespace="default")
            assert await used(cluster, "terminating") == {"pods": "1"}
            assert await used(cluster, "notterminating") == {"pods": "0"}

    run(main())


def test_a_quota_is_updated_and_deleted(run):
    """New limits are in the status at once and hold; a deleted quota holds nothing."""

    async def steps(cluster):
        await used(cluster)
        for hard in ({"configmaps": "1"}, {"configmaps": "2", "secrets": "0"}):
            found = cluster.get(RESOURCE_QUOTAS, "test-quota")
            await cluster.client.update(RESOURCE_QUOTAS, _with_hard(found, hard))
            await cluster.advance(0)
            assert cluster.get(RESOURCE_QUOTAS, "test-quota").status.hard == hard
        assert await used(cluster) == {"configmaps": "1", "secrets": "0"}
        assert "requested: secrets=1, used: secrets=0, limited: secrets=0" in (
            await refused(cluster, plain("Secret", "s"))
        )
        await gone(cluster, RESOURCE_QUOTAS, "test-quota")
        await cluster.apply([plain("Secret", "s")])

    run(with_quota(steps))


def _with_hard(found, hard):
    import msgspec

    return msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, hard=hard))


def test_the_lifecycle_of_a_quota(run):
    """Listed everywhere by label, patched, deleted as a collection."""

    async def steps(cluster):
        await used(cluster)
        label = {"metadata": {"labels": {"e2e": "x"}}, "spec": {"hard": {"memory": "750Mi"}}}
        patched = await cluster.client.patch(
            RESOURCE_QUOTAS, "test-quota", label, namespace="default", kind="strategic"
        )
        assert (patched.metadata.labels, patched.spec.hard["memory"]) == ({"e2e": "x"}, "750Mi")
        listed = (await cluster.client.list(RESOURCE_QUOTAS, labels="e2e=x")).items
        assert [it.metadata.name for it in listed] == ["test-quota"]

    run(with_quota(steps))


def test_a_status_that_somebody_writes_stands_until_the_next_resync(run):
    """As upstream: watchers see it, the specification stays, and after five minutes to the second it is as before."""

    async def main():
        async with SimulatedCluster(nodes=0) as cluster:
            hard = {"cpu": "1", "memory": "1Gi"}
            await cluster.apply([quota(hard=hard)])
            await cluster.advance(0)
            seen = []

            async def watch():
                revision = int(cluster.get(RESOURCE_QUOTAS, "test-quota").metadata.resource_version)
                async for event in cluster.client.watch(RESOURCE_QUOTAS, Selection("default"), revision=revision):
                    if event.type == "MODIFIED":
                        seen.append(event.object.view(RESOURCE_QUOTAS.type).status.hard["cpu"])

            watching = asyncio.create_task(watch())
            await cluster.advance(10)
            change = {"status": {"hard": {"cpu": "2", "memory": "2Gi"}}}
            patched = await cluster.client.patch(
                RESOURCE_QUOTAS, "test-quota", change, namespace="default", kind="strategic", subresource="status"
            )
            assert (patched.status.hard, patched.spec.hard) == (change["status"]["hard"], hard)
            until = await cluster.run_until(
                lambda: cluster.get(RESOURCE_QUOTAS, "test-quota").status.hard == hard, limit=301
            )
            assert (until % 300, seen) == (0, ["2", "1"])
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)

    run(main())


def test_a_pod_that_is_over_gives_back_what_it_had(run):
    """It still counts as an object, and no longer as a Pod, nor for what it asked for."""

    async def steps(cluster):
        await used(cluster)
        await cluster.apply([pod("job", {"cpu": "100m"}, activeDeadlineSeconds=30)])
        assert await used(cluster) == {"pods": "1", "cpu": "100m", "count/pods": "1"}
        await cluster.wait(PODS, "job", phase("Failed"))
        assert await used(cluster) == {"pods": "0", "cpu": "0", "count/pods": "1"}

    run(with_quota(steps, hard={"pods": "1", "cpu": "1", "count/pods": "9"}))


def test_a_pod_on_a_lost_node_stops_counting(run):
    """Who is still there a whole grace after its deletion was due is not charged any more, at that very second."""

    async def steps(cluster):
        await used(cluster)
        await cluster.apply([pod("one", terminationGracePeriodSeconds=20)])
        await cluster.advance(5)
        await cluster.kill_node(cluster.get(PODS, "one").spec.node_name)
        began = cluster.clock.monotonic()
        await cluster.client.delete(PODS, "one", "default")
        until = await cluster.run_until(lambda: cluster.get(RESOURCE_QUOTAS, "test-quota").status.used["pods"] == "0")
        assert (until - began, cluster.get(PODS, "one") is not None) == (40, True)

    run(with_quota(steps, hard={"pods": "1"}))


def test_many_at_once_never_overrun(run):
    """Of twenty creations at once as many succeed as the quota has; the others are refused, and usage is exact."""

    async def steps(cluster):
        await used(cluster)
        made = [cluster.client.create(CONFIG_MAPS, _config_map(f"c{i}")) for i in range(20)]
        outcomes = await asyncio.gather(*made, return_exceptions=True)
        refusals = [str(it) for it in outcomes if isinstance(it, StatusError)]
        assert len(outcomes) - len(refusals) == 6
        assert all("requested: configmaps=1, used: configmaps=7, limited: configmaps=7" in it for it in refusals)
        assert await used(cluster) == {"configmaps": "7"}

    run(with_quota(steps, hard={"configmaps": "7"}))


def _config_map(name):
    return CONFIG_MAPS.type(metadata=ObjectMeta(name=name, namespace="default"))


def test_churn_beside_the_controller_never_overruns(run):
    """While objects come and go and the controller reckons beside, there are never more than the quota has."""

    async def steps(cluster):
        await used(cluster)
        most = 0

        async def one(worker):
            nonlocal most
            for turn in range(30):
                name = f"c{worker}-{turn}"
                try:
                    await cluster.client.create(CONFIG_MAPS, _config_map(name))
                except StatusError as refusal:
                    assert refusal.reason == "Forbidden"
                    await cluster.clock.sleep(0.01 * (worker + 1))
                    continue
                there = (await cluster.client.list(CONFIG_MAPS, "default")).items
                most = max(most, len(there))
                await cluster.clock.sleep(0.003 * worker)
                await cluster.client.delete(CONFIG_MAPS, name, "default")

        workers = asyncio.gather(*(one(worker) for worker in range(6)))
        await cluster.run_until(workers.done)
        await workers
        assert most == 4
        await cluster.advance(2)
        assert await used(cluster) == {"configmaps": "1"}

    run(with_quota(steps, hard={"configmaps": "4"}))


def test_usage_is_reckoned_when_the_controllers_come_back(run):
    """What went while they were away is given back at their return; meanwhile the quota holds by what it knew."""

    async def steps(cluster):
        await used(cluster)
        await cluster.apply([plain("Secret", "s")])
        deletion = asyncio.create_task(_after(cluster, 1, gone(cluster, SECRETS, "s")))
        again = asyncio.create_task(_after(cluster, 2, refused(cluster, plain("Secret", "t"))))
        await cluster.restart_controllers(down_for=5)
        await deletion
        assert "used: secrets=1" in await again
        assert await used(cluster) == {"secrets": "0"}

    run(with_quota(steps, hard={"secrets": "1"}))


async def _after(cluster, seconds, work):
    await cluster.clock.sleep(seconds)
    return await work


def test_the_life_of_a_custom_resource(run):
    """Upstream's case: charged when it is made, refused where the quota is full, given back when it goes."""
    name = "count/widgets.example.com"
    widgets = CustomResource("example.com", "v1", "widgets", "Widget", True)

    async def steps(cluster):
        async def post(called):
            await cluster.client.raw(Call("POST", WIDGETS, body=msgspec.json.encode(widget(called))))

        assert await used(cluster) == {}  # nobody knows the kind yet
        await cluster.apply([definition()])
        await cluster.advance(1)
        assert await used(cluster) == {name: "0"}
        await post("one")
        assert await used(cluster) == {name: "1"}
        with pytest.raises(StatusError) as refusal:
            await post("two")
        assert refusal.value.message.endswith(
            f"exceeded quota: test-quota, requested: {name}=1, used: {name}=1, limited: {name}=1"
        )
        await cluster.client.delete(widgets, "one", "default")
        await cluster.advance(1)
        assert await used(cluster) == {name: "0"}

        await post("three")
        assert await used(cluster) == {name: "1"}
        await cluster.client.delete(CUSTOM_RESOURCE_DEFINITIONS, "widgets.example.com")
        await cluster.advance(2)
        assert await used(cluster) == {name: "0"}
        await cluster.apply([definition()])
        await cluster.advance(1)
        await post("four")
        await cluster.advance(301)  # all is reckoned anew
        assert await used(cluster) == {name: "1"}

    run(with_quota(steps, {name: "1"}))
