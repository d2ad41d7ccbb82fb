"""What PersistentVolumes, claims and storage classes may not be, and what may change in them."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from podling.api import defaults
from podling.api.resources import (
    CSI_DRIVERS,
    CSI_NODES,
    CSI_STORAGE_CAPACITIES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    STORAGE_CLASSES,
    VOLUME_ATTACHMENTS,
)

from .objects import found, found_in_update

AFFINITY = {
    "required": {"nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}]}
}


def made(resource: Any, **fields: Any) -> dict:
    meta = {"name": "one", "resourceVersion": "1", **({"namespace": "default"} if resource.namespaced else {})}
    tree = copy.deepcopy({"metadata": meta, **fields})
    defaults.apply(resource, tree)
    return tree


def volume(**spec: Any) -> dict:
    whole = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/d"}, **spec}
    return made(PERSISTENT_VOLUMES, spec={k: v for k, v in whole.items() if v is not None})


def claim(status: dict | None = None, **spec: Any) -> dict:
    whole = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}, **spec}
    return made(PERSISTENT_VOLUME_CLAIMS, spec={k: v for k, v in whole.items() if v is not None}, status=status or {})


def storage_class(**fields: Any) -> dict:
    return made(STORAGE_CLASSES, **{"provisioner": "a/b", **fields})


VOLUMES: list[tuple[dict, list[str]]] = [
    ({}, []),
    ({"hostPath": None, "local": {"path": "/d"}, "nodeAffinity": AFFINITY}, []),
    ({"hostPath": None, "nfs": {"server": "s", "path": "/d"}}, []),
    ({"accessModes": []}, ["spec.accessModes: Required value"]),
    ({"accessModes": ["Write"]}, ['spec.accessModes: Unsupported value: "Write": supported values: "ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"']),
    ({"accessModes": ["ReadWriteOncePod", "ReadOnlyMany"]}, ["spec.accessModes: Forbidden: may not use ReadWriteOncePod with other access modes"]),
    ({"capacity": {}}, ["spec.capacity: Required value", 'spec.capacity: Unsupported value: null: supported values: "storage"']),
    ({"capacity": {"storage": "0"}}, ['spec.capacity[storage]: Invalid value: "0": must be greater than zero']),
    ({"persistentVolumeReclaimPolicy": "Keep"}, ['spec.persistentVolumeReclaimPolicy: Unsupported value: "Keep": supported values: "Delete", "Recycle", "Retain"']),
    ({"hostPath": None}, ["spec: Required value: must specify a volume type"]),
    ({"nfs": {"server": "s", "path": "/d"}}, ["spec.nfs: Forbidden: may not specify more than 1 volume type"]),
    ({"hostPath": {"path": "/a/../b"}}, ["spec.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"]),
    ({"hostPath": {"path": "/"}, "persistentVolumeReclaimPolicy": "Recycle"}, ["spec.persistentVolumeReclaimPolicy: Forbidden: may not be 'recycle' for a hostPath mount of '/'"]),
    ({"hostPath": None, "local": {"path": ""}}, ["spec.local.path: Required value", "spec.nodeAffinity: Required value: Local volume requires node affinity"]),
    ({"hostPath": None, "local": {"path": "/x/../y"}, "nodeAffinity": AFFINITY}, ["spec.local.path: Invalid value: \"/x/../y\": must not contain '..'"]),
    ({"nodeAffinity": {}}, ["spec.nodeAffinity.required: Required value: must specify required node constraints"]),
    ({"volumeMode": "Disk"}, ['spec.volumeMode: Unsupported value: "Disk": supported values: "Block", "Filesystem"']),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "lines"), VOLUMES)
def test_volumes(spec: dict, lines: list[str]) -> None:
    """Each fault of a volume is named at its path, in upstream's words."""
    assert found(PERSISTENT_VOLUMES, volume(**spec)) == lines


def test_the_source_of_a_volume_stays() -> None:
    """Policy, class and claim may change; source, mode and an affinity that was set may not."""
    old = volume(nodeAffinity=AFFINITY)
    assert (
        found_in_update(PERSISTENT_VOLUMES, volume(nodeAffinity=AFFINITY, persistentVolumeReclaimPolicy="Delete"), old)
        == []
    )
    [line] = found_in_update(PERSISTENT_VOLUMES, volume(nodeAffinity=AFFINITY, hostPath={"path": "/etc"}), old)
    assert line.startswith(
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after creation\n"
    )
    assert '- hostPath.path: "/d"' in line and '+ hostPath.path: "/etc"' in line
    [line] = found_in_update(PERSISTENT_VOLUMES, volume(nodeAffinity=AFFINITY, volumeMode="Block"), old)
    assert line == 'volumeMode: Invalid value: "Block": field is immutable'
    [line] = found_in_update(PERSISTENT_VOLUMES, volume(), old)
    assert line.startswith("nodeAffinity: Invalid value: ") and line.endswith(": field is immutable")
    assert found_in_update(PERSISTENT_VOLUMES, volume(nodeAffinity=AFFINITY), volume()) == []


CLAIMS: list[tuple[dict, list[str]]] = [
    ({}, []),
    ({"accessModes": []}, ["spec.accessModes: Required value: at least 1 access mode is required"]),
    ({"resources": None}, ["spec.resources[storage]: Required value"]),
    ({"resources": {"requests": {"storage": "-1"}}}, ['spec.resources[storage]: Invalid value: "-1": must be greater than zero']),
    ({"volumeMode": "Disk"}, ['spec.volumeMode: Unsupported value: "Disk": supported values: "Block", "Filesystem"']),
    ({"dataSource": {"kind": "Pod", "name": "p"}}, ["spec.dataSource: Invalid value: \"Pod\": must be 'PersistentVolumeClaim' when referencing the default apiGroup"]),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "lines"), CLAIMS)
def test_claims(spec: dict, lines: list[str]) -> None:
    """Each fault of a claim is named at its path, in upstream's words."""
    assert found(PERSISTENT_VOLUME_CLAIMS, claim(**spec)) == lines


def test_a_claim_is_what_it_was() -> None:
    """A claim gets its volume and its class once; all else stays, but for the request of a bound one."""

    def faults(new: dict, old: dict) -> list[str]:
        return found_in_update(PERSISTENT_VOLUME_CLAIMS, new, old)

    said = "spec: Forbidden: spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims\n"
    assert faults(claim(volumeName="v"), claim()) == []
    assert faults(claim(storageClassName="s"), claim()) == []
    more = {"requests": {"storage": "2Gi"}}
    bound = {"phase": "Bound", "capacity": {"storage": "1Gi"}}
    assert faults(claim(bound, resources=more), claim(bound)) == []
    for new, old in (
        (claim(volumeName="w"), claim(volumeName="v")),
        (claim(storageClassName="t"), claim(storageClassName="s")),
        (claim(resources=more), claim()),
        (claim(accessModes=["ReadWriteMany"]), claim()),
    ):
        [line] = faults(new, old)
        assert line.startswith(said)
    less = {"requests": {"storage": "1Mi"}}
    assert faults(claim(bound, resources=less), claim(bound)) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]


CLASSES: list[tuple[dict, list[str]]] = [
    ({}, []),
    ({"provisioner": ""}, ["provisioner: Required value"]),
    ({"reclaimPolicy": "Recycle"}, ['reclaimPolicy: Unsupported value: "Recycle": supported values: "Delete", "Retain"']),
    ({"volumeBindingMode": "Later"}, ['volumeBindingMode: Unsupported value: "Later": supported values: "Immediate", "WaitForFirstConsumer"']),
    ({"parameters": {"": "x"}}, ['parameters: Invalid value: "": field can not be empty.']),
    ({"allowedTopologies": [{"matchLabelExpressions": [{"key": "zone", "values": []}]}]}, ["allowedTopologies[0].matchLabelExpressions[0].values: Required value"]),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "lines"), CLASSES)
def test_classes(fields: dict, lines: list[str]) -> None:
    """Each fault of a class is named at its path, in upstream's words."""
    assert found(STORAGE_CLASSES, storage_class(**fields)) == lines


def test_a_class_stays_what_it_is() -> None:
    """A class may only change whether volumes grow, and its metadata."""

    def faults(**fields: Any) -> list[str]:
        return found_in_update(STORAGE_CLASSES, storage_class(**fields), storage_class())

    assert faults(allowVolumeExpansion=True) == []
    assert faults(provisioner="c/d") == ["provisioner: Forbidden: updates to provisioner are forbidden."]
    assert faults(parameters={"a": "b"}) == ["parameters: Forbidden: updates to parameters are forbidden."]
    assert faults(reclaimPolicy="Retain") == ["reclaimPolicy: Forbidden: updates to reclaimPolicy are forbidden."]
    assert faults(volumeBindingMode="WaitForFirstConsumer") == [
        'volumeBindingMode: Invalid value: "WaitForFirstConsumer": field is immutable'
    ]


ONE_SOURCE = "must specify exactly one of inlineVolumeSpec and persistentVolumeName"
OF_DRIVERS: list[tuple[Any, dict, list[str]]] = [
    (CSI_DRIVERS, {"spec": {}}, []),
    (CSI_DRIVERS, {"spec": {"fsGroupPolicy": "x"}}, ['spec.fsGroupPolicy: Unsupported value: "x": supported values: "File", "None", "ReadWriteOnceWithFSType"']),
    (CSI_DRIVERS, {"spec": {"volumeLifecycleModes": ["x"]}}, ['spec.volumeLifecycleModes: Unsupported value: "x": supported values: "Ephemeral", "Persistent"']),
    (
        CSI_DRIVERS,
        {"spec": {"tokenRequests": [{"audience": "a", "expirationSeconds": 1}, {"audience": "a"}]}},
        [
            "spec.tokenRequests[0].expirationSeconds: Invalid value: 1: may not specify a duration less than 10 minutes",
            'spec.tokenRequests[1].audience: Duplicate value: "a"',
        ],
    ),
    (CSI_NODES, {"spec": {"drivers": [{"name": "a.b", "nodeID": "n"}]}}, []),
    (CSI_NODES, {"spec": {"drivers": [{"name": "a.b", "nodeID": ""}]}}, ["spec.drivers[0].nodeID: Required value"]),
    (CSI_NODES, {"spec": {"drivers": [{"name": "a", "nodeID": "n"}, {"name": "a", "nodeID": "n"}]}}, ['spec.drivers[1].name: Duplicate value: "a"']),
    (CSI_STORAGE_CAPACITIES, {"storageClassName": "slow", "capacity": "1Gi"}, []),
    (CSI_STORAGE_CAPACITIES, {"storageClassName": "slow", "capacity": "-1"}, ['capacity: Invalid value: "-1": must be greater than or equal to 0']),
    (VOLUME_ATTACHMENTS, {"spec": {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "v"}}}, []),
    (VOLUME_ATTACHMENTS, {"spec": {"attacher": "a.b", "nodeName": "n", "source": {}}}, [f"spec.source: Required value: {ONE_SOURCE}"]),
]  # fmt: skip


@pytest.mark.parametrize(("resource", "fields", "lines"), OF_DRIVERS)
def test_what_drivers_say(resource: Any, fields: dict, lines: list[str]) -> None:
    """Each fault is named at its path."""
    assert found(resource, made(resource, **fields)) == lines


def test_what_drivers_do_not_take_back() -> None:
    """An attachment is one volume on one node; how a driver attaches, and what a capacity is about, stay."""
    spec = {"attacher": "a.b", "nodeName": "n", "source": {"persistentVolumeName": "v"}}
    [line] = found_in_update(
        VOLUME_ATTACHMENTS,
        made(VOLUME_ATTACHMENTS, spec={**spec, "nodeName": "m"}),
        made(VOLUME_ATTACHMENTS, spec=spec),
    )
    assert line.startswith("spec: Invalid value: ") and line.endswith(": field is immutable")
    [line] = found_in_update(CSI_DRIVERS, made(CSI_DRIVERS, spec={"attachRequired": False}), made(CSI_DRIVERS, spec={}))
    assert line == "spec.attachedRequired: Invalid value: false: field is immutable"
    [line] = found_in_update(
        CSI_STORAGE_CAPACITIES,
        made(CSI_STORAGE_CAPACITIES, storageClassName="t"),
        made(CSI_STORAGE_CAPACITIES, storageClassName="s"),
    )
    assert line == 'storageClassName: Invalid value: "t": field is immutable'
