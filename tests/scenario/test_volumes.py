"""Claims, from the first Pod that wants one to the last byte that goes; on virtual time, on simulated nodes."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.errors import StatusError
from podling.api.resources import NAMESPACES, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, PODS, STORAGE_CLASSES
from podling.testing import SimulatedCluster

HOSTNAME = "kubernetes.io/hostname"


def claim(name: str = "data", size: str = "1Gi", **spec: Any) -> dict[str, Any]:
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


def user(name: str = "web", *claims: str, **spec: Any) -> dict[str, Any]:
    volumes = [
        {"name": f"v{i}", "persistentVolumeClaim": {"claimName": it}} for i, it in enumerate(claims or ("data",))
    ]
    containers = [{"name": "c", "image": "busybox"}]
    whole = {"containers": containers, "volumes": volumes, "terminationGracePeriodSeconds": 1, **spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": whole}


def storage_class(name: str, **fields: Any) -> dict[str, Any]:
    whole = {"provisioner": "podling.dev/local-path", "volumeBindingMode": "Immediate", **fields}
    return {"apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": {"name": name}, **whole}


def static(name: str, node: str = "", **spec: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/d"}, **spec
    }  # fmt: skip
    if node:
        here = [{"key": HOSTNAME, "operator": "In", "values": [node]}]
        whole["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}}
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": whole}


def phase(cluster: SimulatedCluster, name: str = "data") -> str:
    found = cluster.get(PERSISTENT_VOLUME_CLAIMS, name)
    return found.status.phase if found is not None else ""


def runs(cluster: SimulatedCluster, name: str = "web") -> bool:
    found = cluster.get(PODS, name)
    return found is not None and found.status.phase == "Running"


def reasons(cluster: SimulatedCluster, about: str) -> list[str]:
    return [event.reason for event in cluster.events(about)]


def test_a_claim_waits_for_its_first_consumer(run):
    """Pending until a Pod wants it; then a Node is chosen, a volume made there, both bound, and the Pod runs there."""

    async def main():
        async with SimulatedCluster(3) as cluster:
            await cluster.apply(claim())
            await cluster.advance(5)
            assert phase(cluster) == "Pending" and not cluster.list(PERSISTENT_VOLUMES)
            [event] = cluster.events("data")
            assert (event.reason, event.message) == (
                "WaitForFirstConsumer",
                "waiting for first consumer to be created before binding",
            )
            await cluster.apply(user())
            await cluster.run_until(lambda: runs(cluster), 5)
            bound, [made], pod = (
                cluster.get(PERSISTENT_VOLUME_CLAIMS, "data"),
                cluster.list(PERSISTENT_VOLUMES),
                cluster.get(PODS, "web"),
            )
            assert bound is not None and pod is not None
            assert (bound.status.phase, bound.spec.volume_name, bound.status.capacity) == (
                "Bound",
                made.metadata.name,
                {"storage": "1Gi"},
            )
            assert made.metadata.name == f"pvc-{bound.metadata.uid}" and made.status.phase == "Bound"
            assert bound.metadata.annotations["volume.kubernetes.io/selected-node"] == pod.spec.node_name
            affinity = made.spec.node_affinity
            assert affinity is not None and affinity.required is not None
            [term] = affinity.required.node_selector_terms
            assert term.match_expressions[0].values == (pod.spec.node_name,)
            told = reasons(cluster, "data")
            assert "Provisioning" in told and "ProvisioningSucceeded" in told
            # The next Pod with this claim goes where the data is.
            await cluster.apply(user("next"))
            await cluster.run_until(lambda: runs(cluster, "next"), 5)
            again = cluster.get(PODS, "next")
            assert again is not None and again.spec.node_name == pod.spec.node_name
            assert cluster.failures == 0

    run(main())


def test_a_claim_in_use_outlives_its_deletion(run):
    """Terminating while a Pod uses it; gone with the Pod, and with it, by the policy Delete, the volume."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply([claim(), user()])
            await cluster.run_until(lambda: runs(cluster), 5)
            await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            await cluster.advance(60)
            held = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data")
            assert held is not None and held.metadata.deletion_timestamp is not None
            assert held.metadata.finalizers == ("kubernetes.io/pvc-protection",) and runs(cluster)
            # A Pod that comes now is not let in.
            await cluster.apply(user("late"))
            await cluster.advance(1)
            late = cluster.get(PODS, "late")
            assert late is not None
            assert any('persistentvolumeclaim "data" is being deleted' in c.message for c in late.status.conditions)
            await cluster.client.delete(PODS, "web", "default")
            await cluster.run_until(lambda: cluster.get(PERSISTENT_VOLUME_CLAIMS, "data") is None, 10)
            await cluster.run_until(lambda: not cluster.list(PERSISTENT_VOLUMES), 5)
            assert cluster.failures == 0

    run(main())


def test_what_is_retained_stays(run):
    """Released, with its data and its claim's name, until its owner frees it for another."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply([storage_class("kept", reclaimPolicy="Retain"), claim(storageClassName="kept")])
            await cluster.run_until(lambda: phase(cluster) == "Bound", 5)
            await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            await cluster.advance(30)
            [left] = cluster.list(PERSISTENT_VOLUMES)
            assert left.status.phase == "Released" and left.spec.claim_ref is not None
            await cluster.apply(claim("other", storageClassName="kept"))
            await cluster.run_until(lambda: phase(cluster, "other") == "Bound", 5)
            assert len(cluster.list(PERSISTENT_VOLUMES)) == 2  # the released one is nobody's
            await cluster.client.patch(PERSISTENT_VOLUMES, left.metadata.name, {"spec": {"claimRef": None}})
            await cluster.run_until(
                lambda: {v.status.phase for v in cluster.list(PERSISTENT_VOLUMES)} == {"Available", "Bound"}, 5
            )
            await cluster.apply(claim("third", storageClassName="kept"))
            await cluster.run_until(lambda: phase(cluster, "third") == "Bound", 5)
            third = cluster.get(PERSISTENT_VOLUME_CLAIMS, "third")
            assert third is not None and third.spec.volume_name == left.metadata.name

    run(main())


def test_a_volume_in_use_outlives_its_deletion(run):
    """A bound volume is Terminating until its claim is gone."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply([static("v"), claim(storageClassName="")])
            await cluster.run_until(lambda: phase(cluster) == "Bound", 5)
            await cluster.client.delete(PERSISTENT_VOLUMES, "v")
            await cluster.advance(30)
            held = cluster.get(PERSISTENT_VOLUMES, "v")
            assert held is not None and held.metadata.finalizers == ("kubernetes.io/pv-protection",)
            await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "data", "default")
            await cluster.run_until(lambda: cluster.get(PERSISTENT_VOLUMES, "v") is None, 5)

    run(main())


def test_a_pod_waits_for_a_missing_claim_and_goes_on(run):
    """FailedScheduling with upstream's words; the claim's coming is what lets it go on."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            await cluster.apply(user())
            await cluster.advance(120)
            [event] = cluster.events("web")
            assert event.reason == "FailedScheduling" and event.message.startswith(
                '0/2 nodes are available: persistentvolumeclaim "data" not found.'
            )
            began = cluster.clock.time()
            await cluster.apply(claim())
            await cluster.run_until(lambda: runs(cluster), 30)
            assert cluster.clock.time() - began < 15

    run(main())


def test_a_pod_on_a_given_node_waits_for_its_claim(run):
    """A Pod that no scheduler placed waits in its kubelet: ContainerCreating, FailedMount, and on when it is bound."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply(user(nodeName="node-0"))
            await cluster.advance(20)
            pod = cluster.get(PODS, "web")
            assert pod is not None and pod.status.phase == "Pending"
            waiting = pod.status.container_statuses[0].state
            assert waiting is not None and waiting.waiting is not None
            assert waiting.waiting.reason == "ContainerCreating"
            messages = [event.message for event in cluster.events("web") if event.reason == "FailedMount"]
            assert messages and messages[0] == (
                "Unable to attach or mount volumes: unmounted volumes=[v0], unattached volumes=[], failed to process "
                "volumes=[v0]: error processing PVC default/data: failed to fetch PVC from API server: "
                'persistentvolumeclaims "data" not found'
            )
            await cluster.apply(claim())
            await cluster.advance(20)
            messages = [event.message for event in cluster.events("web") if event.reason == "FailedMount"]
            assert any(message.endswith("error processing PVC default/data: PVC is not bound") for message in messages)
            await cluster.apply([static("v", storageClassName="standard")])
            claimed = {"spec": {"claimRef": {"namespace": "default", "name": "data"}}}
            await cluster.client.patch(PERSISTENT_VOLUMES, "v", claimed)
            await cluster.run_until(lambda: runs(cluster), 300)

    run(main())


def test_ephemeral_volumes_live_with_their_pod(run):
    """A claim POD-VOLUME, owned by the Pod, is made and bound; it goes with the Pod, and so does its volume."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            template = {"metadata": {"labels": {"a": "b"}}, "spec": claim()["spec"]}
            volumes = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
            await cluster.apply(user(volumes=volumes))
            await cluster.run_until(lambda: runs(cluster), 5)
            made, pod = cluster.get(PERSISTENT_VOLUME_CLAIMS, "web-scratch"), cluster.get(PODS, "web")
            assert made is not None and pod is not None
            [owner] = made.metadata.owner_references
            assert (owner.kind, owner.uid, owner.controller) == ("Pod", pod.metadata.uid, True)
            assert made.metadata.labels == {"a": "b"} and made.status.phase == "Bound"
            await cluster.client.delete(PODS, "web", "default")
            await cluster.run_until(
                lambda: not cluster.list(PERSISTENT_VOLUME_CLAIMS) and not cluster.list(PERSISTENT_VOLUMES), 30
            )
            assert cluster.failures == 0

    run(main())


def test_an_ephemeral_volume_takes_no_other_claim(run):
    """A claim that bears the name already is somebody else's: the Pod waits until it has gone."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply(claim("web-scratch"))
            template = {"spec": claim()["spec"]}
            await cluster.apply(user(volumes=[{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]))
            await cluster.advance(10)
            messages = [event.message for event in cluster.events("web")]
            assert any(
                "PVC default/web-scratch was not created for pod default/web (pod is not owner)" in m for m in messages
            )
            await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "web-scratch", "default")
            await cluster.run_until(lambda: runs(cluster), 60)

    run(main())


def test_two_pods_race_for_one_static_volume(run):
    """Only one gets it; the other waits until there is a second, and then goes to that one's node."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            late = storage_class(
                "static", provisioner="kubernetes.io/no-provisioner", volumeBindingMode="WaitForFirstConsumer"
            )
            await cluster.apply([late, static("v0", "node-0", storageClassName="static")])
            await cluster.apply([claim(name, storageClassName="static") for name in ("a", "b")])
            await cluster.advance(1)
            await cluster.apply([user("pod-a", "a"), user("pod-b", "b")])
            await cluster.advance(30)
            running = [name for name in ("pod-a", "pod-b") if runs(cluster, name)]
            assert len(running) == 1
            [other] = [name for name in ("pod-a", "pod-b") if name not in running]
            why = "didn't find available persistent volumes to bind"
            assert any(why in event.message for event in cluster.events(other))
            await cluster.apply(static("v1", "node-1", storageClassName="static"))
            await cluster.run_until(lambda: runs(cluster, other), 60)
            placed = cluster.get(PODS, other)
            assert placed is not None and placed.spec.node_name == "node-1"

    run(main())


def test_read_write_once_pod(run):
    """One Pod at a time in the whole cluster; the next is let in when it has gone."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            await cluster.apply([claim(accessModes=["ReadWriteOncePod"]), user("first")])
            await cluster.run_until(lambda: runs(cluster, "first"), 5)
            await cluster.apply(user("second"))
            await cluster.advance(20)
            assert not runs(cluster, "second")
            why = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
            assert any(why in event.message for event in cluster.events("second"))
            await cluster.client.delete(PODS, "first", "default")
            await cluster.run_until(lambda: runs(cluster, "second"), 30)

    run(main())


def test_a_provisioner_that_never_answers_keeps_nobody_else_waiting(run):
    """Pods wait ten minutes for their volumes, say so, and try again; a hundred of them delay no other Pod."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            slow = storage_class("slow", provisioner="example.com/slow", volumeBindingMode="WaitForFirstConsumer")
            await cluster.apply([slow, *(claim(f"c{n}", storageClassName="slow") for n in range(100))])
            await cluster.apply([user(f"p{n}", f"c{n}") for n in range(100)])
            await cluster.advance(5)
            await cluster.apply(user("quick", volumes=[]))
            await cluster.run_until(lambda: runs(cluster, "quick"), 5)
            assert "ExternalProvisioning" in reasons(cluster, "c0")
            await cluster.advance(600)
            messages = [event.message for event in cluster.events("p0")]
            assert any(
                m == 'running PreBind plugin "VolumeBinding": binding volumes: context deadline exceeded'
                for m in messages
            )
            assert cluster.failures == 0

    run(main())


def test_what_a_folder_cannot_be_is_refused(run):
    """A claim for many writers says why it gets no volume from a provisioner of folders."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply([storage_class("now"), claim(storageClassName="now", accessModes=["ReadWriteMany"])])
            await cluster.advance(5)
            [event] = [event for event in cluster.events("data") if event.reason == "ProvisioningFailed"]
            assert event.message.startswith(
                'failed to provision volume with StorageClass "now": access mode ReadWriteMany'
            )
            assert phase(cluster) == "Pending"

    run(main())


def test_growing_as_declared(run):
    """Refused by the default class; by one that allows it the volume and the claim grow."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply([storage_class("wide", allowVolumeExpansion=True), claim(storageClassName="wide")])
            await cluster.run_until(lambda: phase(cluster) == "Bound", 5)
            larger = {"spec": {"resources": {"requests": {"storage": "5Gi"}}}}
            await cluster.client.patch(PERSISTENT_VOLUME_CLAIMS, "data", larger, namespace="default")

            def grown() -> bool:
                found = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data")
                return found is not None and found.status.capacity == {"storage": "5Gi"}

            await cluster.run_until(grown, 5)
            [volume] = cluster.list(PERSISTENT_VOLUMES)
            assert volume.spec.capacity == {"storage": "5Gi"}
            await cluster.apply([claim("fixed"), user("web", "fixed")])
            await cluster.run_until(lambda: runs(cluster), 5)
            with pytest.raises(StatusError, match="the storageclass that provisions the pvc must support resize"):
                await cluster.client.patch(PERSISTENT_VOLUME_CLAIMS, "fixed", larger, namespace="default")

    run(main())


def test_a_lost_volume_is_told(run):
    """A claim whose volume was torn away is Lost, with a warning, and takes no new Pod."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply([static("v"), claim(storageClassName="")])
            await cluster.run_until(lambda: phase(cluster) == "Bound", 5)
            await cluster.client.delete(PERSISTENT_VOLUMES, "v")
            await cluster.client.patch(PERSISTENT_VOLUMES, "v", {"metadata": {"finalizers": None}})
            await cluster.run_until(lambda: phase(cluster) == "Lost", 5)
            assert "ClaimLost" in reasons(cluster, "data")
            await cluster.apply(user())
            await cluster.advance(5)
            assert any('bound to non-existent persistentvolume "v"' in event.message for event in cluster.events("web"))

    run(main())


def test_a_default_class_that_comes_late(run):
    """A claim that waits without a class is given the default one when there is one."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.client.delete(STORAGE_CLASSES, "standard")
            await cluster.apply(claim())
            await cluster.advance(5)
            assert "FailedBinding" in reasons(cluster, "data")
            late = storage_class("late")
            late["metadata"]["annotations"] = {"storageclass.kubernetes.io/is-default-class": "true"}
            await cluster.apply(late)
            await cluster.run_until(lambda: phase(cluster) == "Bound", 5)
            found = cluster.get(PERSISTENT_VOLUME_CLAIMS, "data")
            assert found is not None and found.spec.storage_class_name == "late"

    run(main())


@pytest.mark.parametrize("part", ["controllers", "scheduler", "api"])
def test_a_binding_that_breaks_off_goes_on(run, part):
    """Killed in the midst of a binding and started again, each part finishes what was begun; nothing is bound twice."""

    async def main():
        async with SimulatedCluster(2) as cluster:
            await cluster.apply([claim(f"c{n}") for n in range(8)])
            await cluster.apply([user(f"p{n}", f"c{n}") for n in range(8)])
            for _ in range(4):
                if part == "controllers":
                    await cluster.restart_controllers(0.5)
                elif part == "scheduler":
                    await cluster.restart_scheduler(0.5)
                else:
                    await cluster.restart_api_server(0.5)
            await cluster.run_until(lambda: all(runs(cluster, f"p{n}") for n in range(8)), 200)
            volumes = [cluster.get(PERSISTENT_VOLUME_CLAIMS, f"c{n}") for n in range(8)]
            assert len({it.spec.volume_name for it in volumes if it is not None}) == 8
            assert len(cluster.list(PERSISTENT_VOLUMES)) == 8

    run(main())


def test_a_namespace_goes_with_its_claims(run):
    """Pods first, then the claims that they used, then the volumes; the namespace last."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "tenant"}})
            for made in (claim(), user()):
                made["metadata"]["namespace"] = "tenant"
                await cluster.apply(made)
            await cluster.run_until(lambda: bool(cluster.list(PERSISTENT_VOLUMES)), 5)
            await cluster.client.delete(NAMESPACES, "tenant")
            await cluster.run_until(lambda: cluster.get(NAMESPACES, "tenant") is None, 60)
            await cluster.run_until(lambda: not cluster.list(PERSISTENT_VOLUMES), 5)
            assert cluster.failures == 0

    run(main())


def test_a_node_that_is_away_makes_and_removes_nothing(run):
    """What is due on a node waits until its kubelet is back: the making of a volume, and the removal of one."""

    async def main():
        async with SimulatedCluster(1) as cluster:
            await cluster.apply([storage_class("now"), claim("old", storageClassName="now")])
            await cluster.run_until(lambda: phase(cluster, "old") == "Bound", 5)
            await cluster.nodes["node-0"].stop_kubelet()
            await cluster.client.delete(PERSISTENT_VOLUME_CLAIMS, "old", "default")
            await cluster.apply(claim("new", storageClassName="now"))
            await cluster.advance(20)
            [left] = cluster.list(PERSISTENT_VOLUMES)
            assert left.status.phase == "Released" and phase(cluster, "new") == "Pending"
            await cluster.nodes["node-0"].start()
            await cluster.run_until(lambda: phase(cluster, "new") == "Bound", 60)
            await cluster.run_until(lambda: len(cluster.list(PERSISTENT_VOLUMES)) == 1, 60)
            assert cluster.failures == 0

    run(main())
