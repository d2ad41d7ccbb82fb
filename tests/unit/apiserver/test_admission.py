"""What admission adds and refuses, and the records of the kinds."""

from __future__ import annotations

import pytest
from tests.served import PODS, Served, pod

from podling.aio.chance import Chance
from podling.api.errors import StatusError
from podling.api.resources import EVENTS_V1, STORED
from podling.apiserver.identity.authentication import Authentication
from podling.apiserver.kinds import records
from podling.apiserver.record import User
from podling.apiserver.service_addresses import ServiceAddresses
from podling.client.transport import Call

NODE = User("system:node:n", ("system:nodes", "system:authenticated"))


def test_keys_are_upstreams():
    """Objects stand under upstream's keys, the exceptions included, and every resource has a record."""
    found = {it.resource: it for it in records(ServiceAddresses(["10.96.0.0/16"], Chance(1)))}
    assert set(found) == {*STORED, EVENTS_V1}
    keys = {f"{it.resource.plural}.{it.resource.group}": it.key_prefix for it in found.values()}
    assert keys["nodes."] == "/registry/minions/"
    assert keys["services."] == "/registry/services/specs/"
    assert keys["endpoints."] == "/registry/services/endpoints/"
    assert keys["events.events.k8s.io"] == keys["events."] == "/registry/events/"
    assert keys["persistentvolumes."] == "/registry/persistentvolumes/"
    assert keys["persistentvolumeclaims."] == "/registry/persistentvolumeclaims/"
    assert keys["storageclasses.storage.k8s.io"] == "/registry/storageclasses/"
    assert keys["leases.coordination.k8s.io"] == "/registry/leases/"
    assert keys["clusterrolebindings.rbac.authorization.k8s.io"] == "/registry/clusterrolebindings/"


def test_stored_values_are_what_upstream_reads():
    """A stored value is JSON with kind and apiVersion and without a resourceVersion."""
    record = next(it for it in records(ServiceAddresses(["10.96.0.0/16"], Chance(1))) if it.resource.plural == "pods")
    tree = {
        "spec": {"nodeName": "n"},
        "metadata": {"name": "a", "namespace": "b", "resourceVersion": "7", "managedFields": []},
    }
    raw = record.shape.encode(tree)
    assert raw == b'{"kind":"Pod","apiVersion":"v1","metadata":{"name":"a","namespace":"b"},"spec":{"nodeName":"n"}}'
    read = record.shape.read(raw, 9, 8)
    assert (read.name, read.namespace, read.revision, read.created) == ("a", "b", 9, 8)
    assert (read.fields["spec.nodeName"], read.fields["spec.hostNetwork"], read.fields["status.phase"]) == (
        "n",
        "false",
        "",
    )
    assert read.wire().startswith(b'{"kind":"Pod","apiVersion":"v1","metadata":{"resourceVersion":"9","name":"a"')


def test_priority_follows_from_the_class(run):
    """A Pod takes over value and policy of its class, of the default class where it names none, and may not differ."""

    async def main():
        async with Served() as api:
            path = "/apis/scheduling.k8s.io/v1/priorityclasses"
            await api.post(path, {"metadata": {"name": "high"}, "value": 1000, "preemptionPolicy": "Never"})
            spec = (await api.post(PODS, pod(priorityClassName="high")))["spec"]
            assert (spec["priority"], spec["preemptionPolicy"]) == (1000, "Never")
            await api.post(path, {"metadata": {"name": "usual"}, "value": 5, "globalDefault": True})
            spec = (await api.post(PODS, pod("other")))["spec"]
            assert (spec["priority"], spec["priorityClassName"]) == (5, "usual")
            with pytest.raises(
                StatusError, match=r"the integer value of priority \(3\) must not be provided in pod spec"
            ):
                await api.post(PODS, pod("third", priority=3))
            with pytest.raises(StatusError, match="PriorityClass usual is already marked as default"):
                await api.post(path, {"metadata": {"name": "second"}, "value": 6, "globalDefault": True})
            critical = await api.post(
                "/api/v1/namespaces/kube-system/serviceaccounts", {"metadata": {"name": "default"}}
            )
            assert critical["metadata"]["name"] == "default"
            spec = (
                await api.post("/api/v1/namespaces/kube-system/pods", pod(priorityClassName="system-node-critical"))
            )["spec"]
            assert spec["priority"] == 2_000_001_000

    run(main())


def test_runtime_classes_add_overhead_and_constraints(run):
    """A Pod takes over overhead, selector and tolerations of its RuntimeClass; a conflict or a class that went refuses it."""

    async def main():
        async with Served() as api:
            body = {
                "metadata": {"name": "small"},
                "handler": "crun",
                "overhead": {"podFixed": {"cpu": "10m"}},
                "scheduling": {"nodeSelector": {"a": "b"}, "tolerations": [{"key": "k", "operator": "Exists"}]},
            }
            await api.post("/apis/node.k8s.io/v1/runtimeclasses", body)
            spec = (await api.post(PODS, pod(runtimeClassName="small")))["spec"]
            assert (spec["overhead"], spec["nodeSelector"]) == ({"cpu": "10m"}, {"a": "b"})
            assert {"key": "k", "operator": "Exists"} in spec["tolerations"]
            with pytest.raises(StatusError, match="pod rejected: conflict: "):
                await api.post(PODS, pod("x", runtimeClassName="small", nodeSelector={"a": "c"}))
            with pytest.raises(
                StatusError, match="pod rejected: Pod Overhead set without corresponding RuntimeClass defined Overhead"
            ):
                await api.post(PODS, pod("x", overhead={"cpu": "1"}))
            await api.delete("/apis/node.k8s.io/v1/runtimeclasses/small")
            with pytest.raises(StatusError, match='pod rejected: RuntimeClass "small" not found'):
                await api.post(PODS, pod("x", runtimeClassName="small"))

    run(main())


@pytest.mark.parametrize(
    ("of_pod", "of_account", "mounts"), [(False, None, 0), (None, False, 0), (True, False, 1), (None, None, 1)]
)
def test_tokens_are_mounted_unless_told_otherwise(run, of_pod, of_account, mounts):
    """The Pod's word about its token counts more than the account's."""

    async def main():
        async with Served() as api:
            account = {"metadata": {"name": "mine"}, "imagePullSecrets": [{"name": "pull"}]}
            if of_account is not None:
                account["automountServiceAccountToken"] = of_account
            await api.post("/api/v1/namespaces/default/serviceaccounts", account)
            more = {} if of_pod is None else {"automountServiceAccountToken": of_pod}
            spec = (await api.post(PODS, pod(serviceAccountName="mine", **more)))["spec"]
            assert len(spec["containers"][0].get("volumeMounts", ())) == mounts
            assert spec["imagePullSecrets"] == [{"name": "pull"}]

    run(main())


def test_nodes_change_only_what_is_theirs(run):
    """A kubelet writes its own Node, Lease and bound Pods' status, and nobody else's."""

    async def main():
        async with Served() as api:
            node = api.server.transport(NODE)
            await node.call(
                Call("POST", "/api/v1/nodes", body=b'{"metadata":{"name":"n","labels":{"kubernetes.io/hostname":"n"}}}')
            )
            for name, labels, why in (
                ("m", "{}", 'node "n" is not allowed to modify node "m"'),
                (
                    "n",
                    '{"node-restriction.kubernetes.io/x":"y"}',
                    "is not allowed to modify labels: node-restriction.kubernetes.io/x",
                ),
            ):
                body = f'{{"metadata":{{"name":"{name}","labels":{labels}}}}}'.encode()
                call = Call("PATCH", "/api/v1/nodes/n", body=body, content_type="application/merge-patch+json")
                if name == "m":
                    call = Call("POST", "/api/v1/nodes", body=body)
                with pytest.raises(StatusError) as refused:
                    await node.call(call)
                assert why in refused.value.message
            gone = '[{"apiVersion":"v1","kind":"Pod","name":"x","uid":"0"}]'
            body = f'{{"metadata":{{"ownerReferences":{gone}}}}}'.encode()
            with pytest.raises(StatusError) as refused:
                await node.call(
                    Call("PATCH", "/api/v1/nodes/n", body=body, content_type="application/merge-patch+json")
                )
            assert 'node "n" is not allowed to modify ownerReferences' in refused.value.message
            call = Call("PATCH", "/api/v1/nodes/n/status", body=body, content_type="application/merge-patch+json")
            await node.call(call)
            assert "ownerReferences" not in (await api.get("/api/v1/nodes/n"))["metadata"]
            lease = b'{"metadata":{"name":"m"},"spec":{}}'
            with pytest.raises(StatusError) as refused:
                await node.call(
                    Call("POST", "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases", body=lease)
                )
            assert refused.value.is_forbidden
            await api.post(PODS, pod())
            status = Call(
                "PATCH",
                f"{PODS}/web/status",
                body=b'{"status":{"phase":"Running"}}',
                content_type="application/merge-patch+json",
            )
            with pytest.raises(StatusError) as refused:
                await node.call(status)
            assert refused.value.is_forbidden
            await api.post(f"{PODS}/web/binding", {"target": {"name": "n"}})
            assert (await node.call(status)).code == 200

    run(main())


def test_reviews_are_answered_and_not_stored(run):
    """A review is answered in full JSON; as a table it is 406."""

    async def main():
        async with Served() as api:
            api.server.use_identity(Authentication(api.clock))
            path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
            before = api.store.revision
            body = {"spec": {"resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "default"}}}
            assert (await api.post(path, body))["status"]["allowed"] is True
            with pytest.raises(StatusError) as refused:
                await api.ask("POST", path, body, headers={"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"})
            assert refused.value.code == 406
            assert api.store.revision == before

    run(main())


def test_services_change_their_type(run):
    """ExternalName holds no address; what a change of type leaves is free again, what it needs is drawn."""

    async def main():
        async with Served() as api:
            path = "/api/v1/namespaces/default/services"
            body = {
                "metadata": {"name": "s"},
                "spec": {"type": "LoadBalancer", "externalTrafficPolicy": "Local", "ports": [{"port": 80}]},
            }
            made = (await api.post(path, body))["spec"]
            assert made["healthCheckNodePort"]
            assert made["ports"][0]["nodePort"]
            plain = (await api.put(f"{path}/s", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}))["spec"]
            assert plain["clusterIP"] == made["clusterIP"]
            assert "nodePort" not in plain["ports"][0]
            outside = await api.put(
                f"{path}/s",
                {"metadata": {"name": "s"}, "spec": {"type": "ExternalName", "externalName": "example.com"}},
            )
            assert "clusterIP" not in outside["spec"]
            other = {"metadata": {"name": "t"}, "spec": {"clusterIP": made["clusterIP"], "ports": [{"port": 80}]}}
            assert (await api.post(path, other))["spec"]["clusterIP"] == made["clusterIP"]
            back = (await api.put(f"{path}/s", {"metadata": {"name": "s"}, "spec": {"ports": [{"port": 80}]}}))["spec"]
            assert back["clusterIP"] not in ("", made["clusterIP"])

    run(main())


def test_new_nodes_keep_pods_away(run):
    """A Node begins with the taint that the node lifecycle controller takes from it once it is ready; by an update it goes."""

    async def main():
        async with Served() as api:
            own = {"key": "own", "effect": "NoSchedule"}
            made = await api.post("/api/v1/nodes", {"metadata": {"name": "n"}, "spec": {"taints": [own]}})
            taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
            assert made["spec"]["taints"] == [own, taint]
            made = await api.post("/api/v1/nodes", {"metadata": {"name": "m"}, "spec": {"taints": [taint]}})
            assert made["spec"]["taints"] == [taint]
            made = await api.patch("/api/v1/nodes/m", {"spec": {"taints": None}})
            assert "taints" not in made["spec"]

    run(main())
