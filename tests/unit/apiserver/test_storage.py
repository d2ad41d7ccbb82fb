"""PersistentVolumes, claims and classes as the API server keeps them: admission, strategies, what a node may tell."""

from __future__ import annotations

import pytest
from tests.served import PODS, Served, pod

from podling.api.errors import StatusError
from podling.apiserver.record import User
from podling.client.transport import Call

CLAIMS = "/api/v1/namespaces/default/persistentvolumeclaims"
VOLUMES = "/api/v1/persistentvolumes"
CLASSES = "/apis/storage.k8s.io/v1/storageclasses"
NODE = User("system:node:n", ("system:nodes", "system:authenticated"))


def claim(name: str = "data", size: str = "1Gi", **spec: object) -> dict:
    asked = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": size}}, **spec}
    return {"metadata": {"name": name}, "spec": asked}


def volume(name: str = "v", **spec: object) -> dict:
    given = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/data"}, **spec}
    return {"metadata": {"name": name}, "spec": given}


def test_what_creation_adds(run):
    """Class, finalizer, mode and phase of claims; policy, mode, finalizer and dated phase of volumes."""

    async def main():
        async with Served() as api:
            made = await api.post(CLAIMS, claim() | {"status": {"phase": "Bound"}})
            assert made["spec"]["storageClassName"] == "standard"
            assert made["metadata"]["finalizers"] == ["kubernetes.io/pvc-protection"]
            assert (made["spec"]["volumeMode"], made["status"]) == ("Filesystem", {"phase": "Pending"})
            none = await api.post(CLAIMS, claim("none", storageClassName=""))
            assert none["spec"]["storageClassName"] == ""
            kept = await api.post(VOLUMES, volume())
            assert kept["metadata"]["finalizers"] == ["kubernetes.io/pv-protection"]
            assert (kept["spec"]["persistentVolumeReclaimPolicy"], kept["spec"]["volumeMode"]) == (
                "Retain",
                "Filesystem",
            )
            assert kept["spec"]["hostPath"] == {"path": "/data", "type": ""}
            assert kept["status"]["phase"] == "Pending" and kept["status"]["lastPhaseTransitionTime"]

    run(main())


def test_the_youngest_default_class_is_the_one(run):
    """Of several default classes of one second the first by name; without any a claim gets none."""

    async def main():
        async with Served() as api:
            await api.delete(f"{CLASSES}/standard")
            assert "storageClassName" not in (await api.post(CLAIMS, claim("before")))["spec"]
            default = {"storageclass.kubernetes.io/is-default-class": "true"}
            for name in ("second", "first"):
                await api.post(CLASSES, {"metadata": {"name": name, "annotations": default}, "provisioner": "a/b"})
            assert (await api.post(CLAIMS, claim()))["spec"]["storageClassName"] == "first"

    run(main())


def test_a_claim_grows_only_where_its_class_lets_it(run):
    """Unbound claims are immutable, bound ones grow by their class's leave, and none shrinks below what it has."""

    async def main():
        async with Served() as api:
            await api.post(CLASSES, {"metadata": {"name": "wide"}, "provisioner": "a/b", "allowVolumeExpansion": True})
            for name, storage in (("fixed", "standard"), ("free", "wide")):
                made = await api.post(CLAIMS, claim(name, storageClassName=storage))
                made["spec"]["resources"]["requests"]["storage"] = "2Gi"
                with pytest.raises(StatusError, match="spec is immutable after creation except resources.requests and"):
                    await api.put(f"{CLAIMS}/{name}", made)
                bound = {"status": {"phase": "Bound", "capacity": {"storage": "1Gi"}}}
                await api.patch(f"{CLAIMS}/{name}/status", bound)
            with pytest.raises(StatusError) as refused:
                await api.patch(f"{CLAIMS}/fixed", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
            assert refused.value.message == (
                'persistentvolumeclaims "fixed" is forbidden: only dynamically provisioned pvc can be resized and the '
                "storageclass that provisions the pvc must support resize"
            )
            grown = await api.patch(f"{CLAIMS}/free", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
            assert grown["spec"]["resources"]["requests"]["storage"] == "2Gi"
            with pytest.raises(StatusError, match="field can not be less than status.capacity"):
                await api.patch(f"{CLAIMS}/free", {"spec": {"resources": {"requests": {"storage": "1Gi"}}}})

    run(main())


def test_a_change_of_phase_is_dated(run):
    """A volume's lastPhaseTransitionTime is that of the write that changed its phase, and stays otherwise."""

    async def main():
        async with Served() as api:
            made = await api.post(VOLUMES, volume())
            began = made["status"]["lastPhaseTransitionTime"]
            await api.clock.advance(5)
            same = await api.patch(f"{VOLUMES}/v/status", {"status": {"message": "still"}})
            assert same["status"]["lastPhaseTransitionTime"] == began
            later = await api.patch(f"{VOLUMES}/v/status", {"status": {"phase": "Available"}})
            assert later["status"]["lastPhaseTransitionTime"] > began and later["spec"] == made["spec"]

    run(main())


def test_a_kubelet_tells_how_large_a_claim_is_and_no_more(run):
    """Of a claim that a Pod on it names, a node changes capacity and conditions; phase and specification stay."""

    async def main():
        async with Served() as api:
            await api.post(CLAIMS, claim())
            mounts = [{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]
            await api.post(PODS, pod(nodeName="n", volumes=mounts))
            node = api.server.transport(NODE)

            async def patch(sub: str, body: bytes) -> None:
                await node.call(Call("PATCH", f"{CLAIMS}/data{sub}", (), body, "application/merge-patch+json"))

            await patch("/status", b'{"status":{"capacity":{"storage":"3Gi"}}}')
            assert (await api.get(f"{CLAIMS}/data"))["status"]["capacity"] == {"storage": "3Gi"}
            with pytest.raises(StatusError, match="is not allowed to update fields other than status.capacity"):
                await patch("/status", b'{"status":{"phase":"Bound"}}')
            with pytest.raises(StatusError, match="is forbidden"):
                await patch("", b'{"metadata":{"finalizers":null}}')

    run(main())
