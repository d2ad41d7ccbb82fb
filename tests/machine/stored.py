"""Claims, volumes and classes for the tables of binder, scheduler and provisioner."""

from __future__ import annotations

from typing import Any

from msgspec import convert

from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from podling.api.types.storage_v1 import StorageClass
from podling.placement.volumes import audience, audiences

COMPLETED = {"pv.kubernetes.io/bind-completed": "yes"}
BY_US = {"pv.kubernetes.io/bound-by-controller": "yes"}


def claim(
    name: str = "data",
    size: str = "1Gi",
    *,
    annotations: dict[str, str] | None = None,
    phase: str = "Pending",
    **more: Any,
) -> PersistentVolumeClaim:
    spec = {
        "accessModes": more.pop("modes", ["ReadWriteOnce"]),
        "resources": {"requests": {"storage": size}},
        **({"storageClassName": more.pop("cls")} if "cls" in more else {}),
        **more.pop("spec", {}),
    }
    meta = {
        "name": name,
        "namespace": "ns",
        "uid": f"uid-{name}",
        "annotations": annotations or {},
        **more.pop("meta", {}),
    }
    return convert({"metadata": meta, "spec": spec, "status": {"phase": phase, **more}}, PersistentVolumeClaim)


def volume(
    name: str = "v",
    size: str = "1Gi",
    *,
    annotations: dict[str, str] | None = None,
    phase: str = "Available",
    of: str | None = None,
    uid: str | None = None,
    cls: str = "",
    host: str = "",
    policy: str = "Retain",
    **more: Any,
) -> PersistentVolume:
    """`of` names the claim that holds it, by the uid that claims of that name have unless `uid` says otherwise."""
    spec: dict[str, Any] = {
        "accessModes": more.pop("modes", ["ReadWriteOnce"]),
        "capacity": {"storage": size},
        "storageClassName": cls,
        "persistentVolumeReclaimPolicy": policy,
        "hostPath": {"path": "/d"},
        **more.pop("spec", {}),
    }
    if of is not None:
        spec["claimRef"] = {"namespace": "ns", "name": of, "uid": f"uid-{of}" if uid is None else uid}
    if host:
        here = [{"key": "kubernetes.io/hostname", "operator": "In", "values": [host]}]
        spec["nodeAffinity"] = {"required": {"nodeSelectorTerms": [{"matchExpressions": here}]}}
    meta = {"name": name, "uid": f"uid-{name}", "annotations": annotations or {}, **more.pop("meta", {})}
    return convert({"metadata": meta, "spec": spec, "status": {"phase": phase}}, PersistentVolume)


def storage_class(name: str = "slow", *, provisioner: str = "a/b", waits: bool = False, **more: Any) -> StorageClass:
    mode = "WaitForFirstConsumer" if waits else "Immediate"
    return convert(
        {
            "metadata": {"name": name},
            "provisioner": provisioner,
            "volumeBindingMode": mode,
            "reclaimPolicy": "Delete",
            **more,
        },
        StorageClass,
    )


class Stored:
    """A `Storage` of what it was given."""

    def __init__(self, *objects: PersistentVolume | PersistentVolumeClaim | StorageClass) -> None:
        self.claims = {it.metadata.name: it for it in objects if isinstance(it, PersistentVolumeClaim)}
        self.volumes = {it.metadata.name: it for it in objects if isinstance(it, PersistentVolume)}
        self.classes = {it.metadata.name: it for it in objects if isinstance(it, StorageClass)}

    def claim(self, namespace: str, name: str) -> PersistentVolumeClaim | None:
        return self.claims.get(name) if namespace == "ns" else None

    def volume(self, name: str) -> PersistentVolume | None:
        return self.volumes.get(name)

    def storage_class(self, name: str) -> StorageClass | None:
        return self.classes.get(name)

    def volumes_for(self, claim: PersistentVolumeClaim) -> list[PersistentVolume]:
        return [it for it in self.volumes.values() if audience(it) in audiences(claim)]
