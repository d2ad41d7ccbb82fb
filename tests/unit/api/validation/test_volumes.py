"""What a volume may not be, in upstream's words."""

from __future__ import annotations

import pytest

from podling.api.resources import PODS

from .objects import found, pod

V = "spec.volumes[0]"
MODE = "must be a number between 0 and 0777 (octal), both inclusive"

CASES = [
    (
        {"emptyDir": {"sizeLimit": "-1"}},
        [f"{V}.emptyDir.sizeLimit: Forbidden: SizeLimit field must be a valid resource quantity"],
    ),
    (
        {"emptyDir": {}, "hostPath": {"path": "/"}},
        [f"{V}.hostPath: Forbidden: may not specify more than 1 volume type"],
    ),
    ({"hostPath": {"path": ""}}, [f"{V}.hostPath.path: Required value"]),
    ({"hostPath": {"path": "/a/../b"}}, [f"{V}.hostPath.path: Invalid value: \"/a/../b\": must not contain '..'"]),
    (
        {"hostPath": {"path": "/", "type": "Disk"}},
        [
            (
                f'{V}.hostPath.type: Unsupported value: "Disk": supported values: "", "BlockDevice", "CharDevice", '
                '"Directory", "DirectoryOrCreate", "File", "FileOrCreate", "Socket"'
            )
        ],
    ),
    ({"secret": {}}, [f"{V}.secret.secretName: Required value"]),
    (
        {"secret": {"secretName": "s", "defaultMode": 512}},
        [f"{V}.secret.defaultMode: Invalid value: 512: {MODE}"],
    ),
    (
        {"configMap": {"name": "c", "items": [{"key": "", "path": "/abs", "mode": -1}]}},
        [
            f"{V}.configMap.items[0].key: Required value",
            f'{V}.configMap.items[0].path: Invalid value: "/abs": must be a relative path',
            f"{V}.configMap.items[0].mode: Invalid value: -1: {MODE}",
        ],
    ),
    (
        {"configMap": {"name": "c", "items": [{"key": "k", "path": "..data"}]}},
        [f"{V}.configMap.items[0].path: Invalid value: \"..data\": must not start with '..'"],
    ),
    (
        {"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "spec.nodeName"}}]}},
        [
            (
                f'{V}.downwardAPI.fieldRef.fieldPath: Unsupported value: "spec.nodeName": supported values: '
                '"metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid"'
            )
        ],
    ),
    ({"downwardAPI": {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.labels['a.b/c']"}}]}}, []),
    (
        {"downwardAPI": {"items": [{"path": "a", "resourceFieldRef": {"resource": "limits.cpu"}}]}},
        [f"{V}.downwardAPI.resourceFieldRef.containerName: Required value"],
    ),
    (
        {"downwardAPI": {"items": [{"path": "a"}]}},
        [f"{V}.downwardAPI: Required value: one of fieldRef and resourceFieldRef is required"],
    ),
    (
        {"projected": {"sources": [{"secret": {"name": "s"}, "configMap": {"name": "c"}}]}},
        [f"{V}.projected.sources[0]: Forbidden: may not specify more than 1 volume type per source"],
    ),
    (
        {
            "projected": {
                "sources": [
                    {"secret": {"name": "s", "items": [{"key": "k", "path": "a"}]}},
                    {"configMap": {"name": "c", "items": [{"key": "k", "path": "a"}]}},
                ]
            }
        },
        [f'{V}.projected: Invalid value: "c": conflicting duplicate paths'],
    ),
    (
        {"projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 599}}]}},
        [
            (
                f"{V}.projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 599: may not specify a "
                "duration less than 10 minutes"
            )
        ],
    ),
    (
        {"projected": {"sources": [{"clusterTrustBundle": {"path": "p"}}]}},
        [f"{V}.projected.sources[0].clusterTrustBundle: Required value: either name or signerName must be specified"],
    ),
    ({"persistentVolumeClaim": {"claimName": ""}}, [f"{V}.persistentVolumeClaim.claimName: Required value"]),
    ({"nfs": {"server": "s", "path": "p"}}, [f'{V}.nfs.path: Invalid value: "p": must be an absolute path']),
    (
        {"csi": {"driver": "a.b", "nodePublishSecretRef": {}}},
        [f"{V}.csi.nodePublishSecretRef.name: Required value"],
    ),
    ({"ephemeral": {}}, [f"{V}.ephemeral.volumeClaimTemplate: Required value"]),
    (
        {"ephemeral": {"volumeClaimTemplate": {"metadata": {"name": "n"}, "spec": {"accessModes": ["Any"]}}}},
        [
            f"{V}.ephemeral.volumeClaimTemplate.metadata.name: Forbidden: cannot be set",
            (
                f'{V}.ephemeral.volumeClaimTemplate.spec.accessModes: Unsupported value: "Any": supported values: '
                '"ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"'
            ),
            f"{V}.ephemeral.volumeClaimTemplate.spec.resources[storage]: Required value",
        ],
    ),
    (
        {"iscsi": {"targetPortal": "p", "iqn": "iqn.nope", "lun": 256}},
        [
            f'{V}.iscsi.iqn: Invalid value: "iqn.nope": must be valid format',
            f"{V}.iscsi.lun: Invalid value: 256: must be between 0 and 255, inclusive",
        ],
    ),
]


@pytest.mark.parametrize(("source", "lines"), CASES)
def test_sources(source: dict, lines: list[str]) -> None:
    """Each source is refused with upstream's path and words, odd ones included."""
    tree = pod(volumes=[{"name": "v", **source}], serviceAccountName="default")
    assert found(PODS, tree) == lines


def test_names_are_unique_labels_and_unsound_volumes_cannot_be_mounted() -> None:
    """A volume that is refused is also not there to be mounted."""
    tree = pod(
        volumes=[{"name": "v"}, {"name": "v"}, {"name": "", "emptyDir": {}}, {"name": "bad", "hostPath": {"path": ""}}],
        container={"volumeMounts": [{"name": "v", "mountPath": "/v"}, {"name": "bad", "mountPath": "/b"}]},
    )
    assert found(PODS, tree) == [
        'spec.volumes[1].name: Duplicate value: "v"',
        "spec.volumes[2].name: Required value",
        "spec.volumes[3].hostPath.path: Required value",
        'spec.containers[0].volumeMounts[1].name: Not found: "bad"',
    ]


def test_a_claim_made_for_the_pod_is_not_also_asked_for() -> None:
    """A Pod may not reference the claim that its own ephemeral volume makes."""
    template = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}
    tree = pod(
        volumes=[
            {"name": "own", "ephemeral": {"volumeClaimTemplate": template}},
            {"name": "it", "persistentVolumeClaim": {"claimName": "web-own"}},
        ]
    )
    assert found(PODS, tree) == [
        (
            'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "web-own": must not reference a PVC that gets '
            "created for an ephemeral volume"
        )
    ]


_TIME = "2026-01-01T00:00:00Z"
_OWNER = {
    "apiVersion": "v1",
    "kind": "Pod",
    "name": "p",
    "uid": "u",
    "controller": True,
    "blockOwnerDeletion": False,
}
_MANAGED = {
    "manager": "m",
    "operation": "Apply",
    "apiVersion": "v1",
    "time": _TIME,
    "fieldsType": "FieldsV1",
    "fieldsV1": {},
    "subresource": "status",
}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", "n"),
        ("generateName", "n-"),
        ("namespace", "default"),
        ("selfLink", "/x"),
        ("uid", "u"),
        ("resourceVersion", "1"),
        ("generation", 1),
        ("creationTimestamp", _TIME),
        ("deletionTimestamp", _TIME),
        ("deletionGracePeriodSeconds", 0),
        ("ownerReferences", [_OWNER]),
        ("finalizers", ["a.b/c"]),
        ("managedFields", [_MANAGED]),
    ],
)
def test_a_claim_for_a_pod_brings_labels_and_annotations_alone(field: str, value: object) -> None:
    """All else of its metadata is the cluster's to set."""
    spec = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    template = {"metadata": {"labels": {"a": "b"}, "annotations": {"c": "d"}, field: value}, "spec": spec}
    tree = pod(volumes=[{"name": "v", "ephemeral": {"volumeClaimTemplate": template}}])
    assert found(PODS, tree) == [f"{V}.ephemeral.volumeClaimTemplate.metadata.{field}: Forbidden: cannot be set"]
