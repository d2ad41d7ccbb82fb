"""Validation answers every well-typed object: it finds what is wrong, it never breaks."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

from podling.api import defaults, validation
from podling.api.resources import CRON_JOBS, JOBS, PODS, SERVICES

POD: dict[str, Any] = {
    "metadata": {
        "name": "web",
        "namespace": "default",
        "generateName": "web-",
        "labels": {"app": "web"},
        "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "localhost/x"},
        "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "w", "uid": "u", "controller": True}
        ],
        "finalizers": ["example.com/f"],
    },
    "spec": {
        "os": {"name": "linux"},
        "serviceAccountName": "default",
        "nodeSelector": {"zone": "a"},
        "hostname": "h",
        "activeDeadlineSeconds": 9,
        "overhead": {"cpu": "1m"},
        "resources": {"limits": {"cpu": "4"}, "requests": {"cpu": "3"}},
        "resourceClaims": [{"name": "gpu", "resourceClaimName": "gpu"}],
        "readinessGates": [{"conditionType": "a.b/c"}],
        "hostAliases": [{"ip": "10.0.0.1", "hostnames": ["a"]}],
        "dnsConfig": {"nameservers": ["10.0.0.1"], "searches": ["a.b"], "options": [{"name": "ndots", "value": "5"}]},
        "securityContext": {
            "runAsUser": 1,
            "supplementalGroups": [1],
            "sysctls": [{"name": "kernel.sem", "value": "1"}],
            "seccompProfile": {"type": "Localhost", "localhostProfile": "a"},
            "appArmorProfile": {"type": "Localhost", "localhostProfile": "x"},
        },
        "tolerations": [{"key": "a", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 3}],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "z",
                "whenUnsatisfiable": "DoNotSchedule",
                "minDomains": 2,
                "labelSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
                "matchLabelKeys": ["b"],
            }
        ],
        "affinity": {
            "nodeAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": {
                    "nodeSelectorTerms": [
                        {
                            "matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}],
                            "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n"]}],
                        }
                    ]
                },
                "preferredDuringSchedulingIgnoredDuringExecution": [
                    {"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}
                ],
            },
            "podAntiAffinity": {
                "requiredDuringSchedulingIgnoredDuringExecution": [
                    {
                        "topologyKey": "z",
                        "labelSelector": {"matchLabels": {"a": "b"}},
                        "namespaces": ["default"],
                        "matchLabelKeys": ["c"],
                    }
                ]
            },
        },
        "volumes": [
            {"name": "config", "configMap": {"name": "c", "items": [{"key": "k", "path": "p", "mode": 1}]}},
            {"name": "size", "emptyDir": {"sizeLimit": "1Mi", "medium": "Memory"}},
            {"name": "host", "hostPath": {"path": "/", "type": "Directory"}},
            {
                "name": "all",
                "projected": {
                    "sources": [
                        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
                        {"downwardAPI": {"items": [{"path": "n", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                        {"clusterTrustBundle": {"name": "a", "path": "t"}},
                        {"podCertificate": {"signerName": "a.b/c", "keyType": "ED25519", "keyPath": "key"}},
                    ]
                },
            },
            {
                "name": "own",
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "1Gi"}},
                        }
                    }
                },
            },
        ],
        "initContainers": [
            {"name": "side", "image": "i:1", "restartPolicy": "Always", "resources": {"requests": {"cpu": "1"}}}
        ],
        "containers": [
            {
                "name": "c",
                "image": "i:1",
                "ports": [{"name": "http", "containerPort": 80, "hostPort": 80}],
                "env": [
                    {"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}},
                    {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                ],
                "envFrom": [{"prefix": "P", "configMapRef": {"name": "c"}}],
                "volumeMounts": [
                    {"name": "config", "mountPath": "/c", "subPath": "a", "recursiveReadOnly": "Disabled"}
                ],
                "volumeDevices": [{"name": "own", "devicePath": "/dev/x"}],
                "resources": {"limits": {"hugepages-2Mi": "2Mi", "cpu": "1"}, "claims": [{"name": "gpu"}]},
                "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
                "restartPolicy": "OnFailure",
                "restartPolicyRules": [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}],
                "livenessProbe": {"httpGet": {"port": "http", "httpHeaders": [{"name": "A", "value": "b"}]}},
                "readinessProbe": {"exec": {"command": ["a"]}},
                "startupProbe": {"grpc": {"port": 80}},
                "lifecycle": {"preStop": {"sleep": {"seconds": 1}}, "postStart": {"tcpSocket": {"port": 1}}},
                "securityContext": {"capabilities": {"add": ["CAP_SYS_ADMIN"]}, "allowPrivilegeEscalation": True},
            }
        ],
    },
}

SERVICE: dict[str, Any] = {
    "metadata": {"name": "web", "namespace": "default"},
    "spec": {
        "type": "LoadBalancer",
        "clusterIP": "10.96.0.1",
        "clusterIPs": ["10.96.0.1", "fd00::1"],
        "ipFamilies": ["IPv4", "IPv6"],
        "ipFamilyPolicy": "PreferDualStack",
        "ports": [{"name": "a", "port": 80, "nodePort": 30000, "appProtocol": "http"}],
        "sessionAffinity": "ClientIP",
        "loadBalancerSourceRanges": ["10.0.0.0/8"],
        "externalIPs": ["192.0.2.1"],
    },
}

_WORK: dict[str, Any] = {
    "parallelism": 2,
    "completions": 9,
    "completionMode": "Indexed",
    "activeDeadlineSeconds": 60,
    "backoffLimitPerIndex": 1,
    "maxFailedIndexes": 2,
    "ttlSecondsAfterFinished": 5,
    "managedBy": "example.com/queue",
    "podFailurePolicy": {
        "rules": [
            {"action": "FailIndex", "onExitCodes": {"containerName": "c", "operator": "In", "values": [1, 2]}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ]
    },
    "successPolicy": {"rules": [{"succeededIndexes": "0,2-4", "succeededCount": 2}]},
    "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}},
}
JOB: dict[str, Any] = {
    "metadata": {"name": "work", "namespace": "default", "uid": "u"},
    "spec": {
        **copy.deepcopy(_WORK),
        "manualSelector": True,
        "selector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
        "template": {"metadata": {"labels": {"a": "b"}}, "spec": _WORK["template"]["spec"]},
    },
    "status": {
        "completedIndexes": "0-3",
        "failedIndexes": "4",
        "succeeded": 4,
        "uncountedTerminatedPods": {"succeeded": ["x"], "failed": ["y"]},
        "conditions": [{"type": "SuccessCriteriaMet", "status": "True"}, {"type": "Complete", "status": "True"}],
    },
}

CRON_JOB: dict[str, Any] = {
    "metadata": {"name": "tick", "namespace": "default"},
    "spec": {
        "schedule": "*/5 8-18 * * mon-fri",
        "timeZone": "Asia/Tokyo",
        "startingDeadlineSeconds": 60,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": _WORK},
    },
}

SOUND = ((PODS, POD), (SERVICES, SERVICE), (JOBS, JOB), (CRON_JOBS, CRON_JOB))


def _spoiled(tree: Any, whole: Any) -> Iterator[Any]:
    """Yield copies of `whole` in which one field is missing or odd."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in list(items):
        odd: list[Any] = []
        if isinstance(value, str):
            odd = ["", "..", "Ä/ b/c", "-1"]
        elif isinstance(value, bool):
            odd = [not value]
        elif isinstance(value, int):
            odd = [0, -1, 2**40]
        elif isinstance(value, list):
            odd = [[], value * 2]
        for other in odd:
            tree[key] = other
            yield copy.deepcopy(whole)
        tree[key] = value
        if isinstance(tree, dict):
            del tree[key]
            yield copy.deepcopy(whole)
            tree[key] = value
        if isinstance(value, (dict, list)):
            yield from _spoiled(value, whole)


def test_sound_objects_are_sound() -> None:
    """The objects that the next test spoils have nothing against them, so that spoiling is what is found."""
    for resource, tree in SOUND:
        tree = copy.deepcopy(tree)
        defaults.apply(resource, tree)
        assert validation.create(resource, tree) == []


def test_every_spoiled_object_gets_an_answer_in_plain_text() -> None:
    """Whatever one field is, missing or odd, validation returns causes with a reason, words and a path."""
    refused = total = 0
    for resource, sound in SOUND:
        sound = copy.deepcopy(sound)
        before = copy.deepcopy(sound)
        defaults.apply(resource, before)
        for tree in _spoiled(sound, sound):
            defaults.apply(resource, tree)
            written = json.dumps(tree)
            causes = validation.create(resource, tree)
            validation.update(resource, tree, before)
            validation.status_update(resource, tree, before)
            assert json.dumps(tree) == written, "validation changed the object"
            assert all(cause.reason.startswith("FieldValue") and cause.message for cause in causes)
            total += 1
            refused += bool(causes)
            if not causes:
                validation.warnings(resource, tree)
    assert total > 500
    assert refused > total // 3
