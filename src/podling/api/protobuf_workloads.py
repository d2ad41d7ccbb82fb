"""Owns the field numbers of kinds that make Pods from a template, and of Scale; notation as in `protobuf_fields`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_CONDITION: Final = {
    1: ("type", "text"),
    2: ("status", "text"),
    3: ("lastTransitionTime", "time"),
    4: ("reason", "text"),
    5: ("message", "text"),
}
_REPLICAS: Final = {
    1: ("replicas", "number"),
    2: ("fullyLabeledReplicas", "number"),
    3: ("observedGeneration", "number"),
    4: ("readyReplicas", "number"),
    5: ("availableReplicas", "number"),
}

WORKLOADS: Final[Mapping[str, Mapping[int, tuple[str, str]]]] = {
    "PodTemplateSpec": {1: ("metadata", "ObjectMeta"), 2: ("spec", "PodSpec")},
    "WorkloadCondition": _CONDITION,
    # core/v1
    "PodTemplate": {1: ("metadata", "ObjectMeta"), 2: ("template", "PodTemplateSpec")},
    "ReplicationController": {
        1: ("metadata", "ObjectMeta"),
        2: ("spec", "ReplicationControllerSpec"),
        3: ("status", "ReplicationControllerStatus"),
    },
    "ReplicationControllerSpec": {
        1: ("replicas", "number?"),
        2: ("selector", "{text}"),
        3: ("template", "PodTemplateSpec"),
        4: ("minReadySeconds", "number"),
    },
    "ReplicationControllerStatus": {**_REPLICAS, 6: ("conditions", "[WorkloadCondition]")},
    # apps/v1
    "ReplicaSet": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ReplicaSetSpec"), 3: ("status", "ReplicaSetStatus")},
    "ReplicaSetSpec": {
        1: ("replicas", "number?"),
        2: ("selector", "LabelSelector"),
        3: ("template", "PodTemplateSpec"),
        4: ("minReadySeconds", "number"),
    },
    "ReplicaSetStatus": {
        **_REPLICAS,
        6: ("conditions", "[WorkloadCondition]"),
        7: ("terminatingReplicas", "number?"),
    },
    "Deployment": {1: ("metadata", "ObjectMeta"), 2: ("spec", "DeploymentSpec"), 3: ("status", "DeploymentStatus")},
    "DeploymentSpec": {
        1: ("replicas", "number?"),
        2: ("selector", "LabelSelector"),
        3: ("template", "PodTemplateSpec"),
        4: ("strategy", "DeploymentStrategy"),
        5: ("minReadySeconds", "number"),
        6: ("revisionHistoryLimit", "number?"),
        7: ("paused", "flag"),
        9: ("progressDeadlineSeconds", "number?"),
    },
    "DeploymentStrategy": {1: ("type", "text"), 2: ("rollingUpdate", "RollingUpdateDeployment")},
    "RollingUpdateDeployment": {1: ("maxUnavailable", "int-or-string?"), 2: ("maxSurge", "int-or-string?")},
    "DeploymentStatus": {
        1: ("observedGeneration", "number"),
        2: ("replicas", "number"),
        3: ("updatedReplicas", "number"),
        4: ("availableReplicas", "number"),
        5: ("unavailableReplicas", "number"),
        6: ("conditions", "[DeploymentCondition]"),
        7: ("readyReplicas", "number"),
        8: ("collisionCount", "number?"),
        9: ("terminatingReplicas", "number?"),
    },
    "DeploymentCondition": {
        1: ("type", "text"),
        2: ("status", "text"),
        4: ("reason", "text"),
        5: ("message", "text"),
        6: ("lastUpdateTime", "time"),
        7: ("lastTransitionTime", "time"),
    },
    # autoscaling/v1
    "Scale": {1: ("metadata", "ObjectMeta"), 2: ("spec", "ScaleSpec"), 3: ("status", "ScaleStatus")},
    "ScaleSpec": {1: ("replicas", "number")},
    "ScaleStatus": {1: ("replicas", "number"), 2: ("selector", "text")},
}
"""Message → its fields."""
