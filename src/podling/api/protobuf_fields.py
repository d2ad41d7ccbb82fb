"""Owns the field numbers of the kinds that clients may send as protobuf, as upstream's generated.proto files give them.

A message is a table from field number to the JSON name and a form:

    text · number · flag · bytes · time · micro · quantity · int-or-string     scalars; `?`: zero, too, is a value
    [form]      repeated          {form}      map from text
    Name        another message of this module

A kind that is not in `KINDS` cannot be sent as protobuf: better refused than read by half.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from podling.api.protobuf_cluster import CLUSTER
from podling.api.protobuf_pods import PODS
from podling.api.protobuf_policies import POLICIES
from podling.api.protobuf_storage import STORAGE
from podling.api.protobuf_workloads import WORKLOADS

Message: TypeAlias = Mapping[int, tuple[str, str]]


def _kind(spec: str = "", status: str = "") -> Message:
    found: dict[int, tuple[str, str]] = {1: ("metadata", "ObjectMeta")}
    if spec:
        found[2] = ("spec", spec)
    if status:
        found[3] = ("status", status)
    return found


KINDS: Final[Mapping[tuple[str, str], str]] = {
    ("", "Binding"): "Binding",
    ("", "ConfigMap"): "ConfigMap",
    ("", "Event"): "Event",
    ("", "Endpoints"): "Endpoints",
    ("", "LimitRange"): "LimitRange",
    ("", "Namespace"): "Namespace",
    ("", "Node"): "Node",
    ("", "PersistentVolume"): "PersistentVolume",
    ("", "PersistentVolumeClaim"): "PersistentVolumeClaim",
    ("", "Pod"): "Pod",
    ("", "PodTemplate"): "PodTemplate",
    ("", "ReplicationController"): "ReplicationController",
    ("", "ResourceQuota"): "ResourceQuota",
    ("", "Secret"): "Secret",
    ("", "Service"): "Service",
    ("", "ServiceAccount"): "ServiceAccount",
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): "MutatingWebhookConfiguration",
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): "ValidatingWebhookConfiguration",
    **{("apps", kind): kind for kind in ("ControllerRevision", "DaemonSet", "Deployment", "ReplicaSet", "StatefulSet")},
    ("authentication.k8s.io", "SelfSubjectReview"): "SelfSubjectReview",
    ("authentication.k8s.io", "TokenRequest"): "TokenRequest",
    ("authentication.k8s.io", "TokenReview"): "TokenReview",
    ("authorization.k8s.io", "LocalSubjectAccessReview"): "SubjectAccessReview",
    ("authorization.k8s.io", "SelfSubjectAccessReview"): "SelfSubjectAccessReview",
    ("authorization.k8s.io", "SelfSubjectRulesReview"): "SelfSubjectRulesReview",
    ("authorization.k8s.io", "SubjectAccessReview"): "SubjectAccessReview",
    ("autoscaling", "Scale"): "Scale",
    ("batch", "CronJob"): "CronJob",
    ("batch", "Job"): "Job",
    ("certificates.k8s.io", "CertificateSigningRequest"): "CertificateSigningRequest",
    ("coordination.k8s.io", "Lease"): "Lease",
    ("discovery.k8s.io", "EndpointSlice"): "EndpointSlice",
    ("events.k8s.io", "Event"): "EventOfEvents",
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): "FlowSchema",
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): "PriorityLevelConfiguration",
    ("networking.k8s.io", "IPAddress"): "IPAddress",
    ("networking.k8s.io", "Ingress"): "Ingress",
    ("networking.k8s.io", "IngressClass"): "IngressClass",
    ("networking.k8s.io", "NetworkPolicy"): "NetworkPolicy",
    ("networking.k8s.io", "ServiceCIDR"): "ServiceCIDR",
    ("node.k8s.io", "RuntimeClass"): "RuntimeClass",
    ("policy", "Eviction"): "Eviction",
    ("policy", "PodDisruptionBudget"): "PodDisruptionBudget",
    ("rbac.authorization.k8s.io", "ClusterRole"): "ClusterRole",
    ("rbac.authorization.k8s.io", "ClusterRoleBinding"): "RoleBinding",
    ("rbac.authorization.k8s.io", "Role"): "Role",
    ("rbac.authorization.k8s.io", "RoleBinding"): "RoleBinding",
    ("scheduling.k8s.io", "PriorityClass"): "PriorityClass",
    ("storage.k8s.io", "CSIDriver"): "CSIDriver",
    ("storage.k8s.io", "CSINode"): "CSINode",
    ("storage.k8s.io", "CSIStorageCapacity"): "CSIStorageCapacity",
    ("storage.k8s.io", "StorageClass"): "StorageClass",
    ("storage.k8s.io", "VolumeAttachment"): "VolumeAttachment",
}
"""Group and kind → message. `DeleteOptions` is of every group."""

MESSAGES: Final[Mapping[str, Message]] = {
    # meta/v1
    "ObjectMeta": {
        1: ("name", "text"),
        2: ("generateName", "text"),
        3: ("namespace", "text"),
        4: ("selfLink", "text"),
        5: ("uid", "text"),
        6: ("resourceVersion", "text"),
        7: ("generation", "number"),
        8: ("creationTimestamp", "time"),
        9: ("deletionTimestamp", "time"),
        10: ("deletionGracePeriodSeconds", "number?"),
        11: ("labels", "{text}"),
        12: ("annotations", "{text}"),
        13: ("ownerReferences", "[OwnerReference]"),
        14: ("finalizers", "[text]"),
        17: ("managedFields", "[ManagedFieldsEntry]"),
    },
    "OwnerReference": {
        1: ("kind", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
        5: ("apiVersion", "text"),
        6: ("controller", "flag?"),
        7: ("blockOwnerDeletion", "flag?"),
    },
    "ManagedFieldsEntry": {
        1: ("manager", "text"),
        2: ("operation", "text"),
        3: ("apiVersion", "text"),
        4: ("time", "time"),
        6: ("fieldsType", "text"),
        7: ("fieldsV1", "json"),
        8: ("subresource", "text"),
    },
    "LabelSelector": {1: ("matchLabels", "{text}"), 2: ("matchExpressions", "[Requirement]")},
    "Requirement": {1: ("key", "text"), 2: ("operator", "text"), 3: ("values", "[text]")},
    "DeleteOptions": {
        1: ("gracePeriodSeconds", "number?"),
        2: ("preconditions", "Preconditions"),
        3: ("orphanDependents", "flag?"),
        4: ("propagationPolicy", "text?"),
        5: ("dryRun", "[text]"),
        6: ("ignoreStoreReadErrorWithClusterBreakingPotential", "flag?"),
    },
    "Preconditions": {1: ("uid", "text?"), 2: ("resourceVersion", "text?")},
    # core/v1
    "ObjectReference": {
        1: ("kind", "text"),
        2: ("namespace", "text"),
        3: ("name", "text"),
        4: ("uid", "text"),
        5: ("apiVersion", "text"),
        6: ("resourceVersion", "text"),
        7: ("fieldPath", "text"),
    },
    "LocalObjectReference": {1: ("name", "text")},
    "Binding": {1: ("metadata", "ObjectMeta"), 2: ("target", "ObjectReference")},
    "ConfigMap": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "{text}"),
        3: ("binaryData", "{bytes}"),
        4: ("immutable", "flag?"),
    },
    "Secret": {
        1: ("metadata", "ObjectMeta"),
        2: ("data", "{bytes}"),
        3: ("type", "text"),
        4: ("stringData", "{text}"),
        5: ("immutable", "flag?"),
    },
    "ServiceAccount": {
        1: ("metadata", "ObjectMeta"),
        2: ("secrets", "[ObjectReference]"),
        3: ("imagePullSecrets", "[LocalObjectReference]"),
        4: ("automountServiceAccountToken", "flag?"),
    },
    "Namespace": _kind("NamespaceSpec", "NamespaceStatus"),
    "NamespaceSpec": {1: ("finalizers", "[text]")},
    "NamespaceStatus": {1: ("phase", "text"), 2: ("conditions", "[NamespaceCondition]")},
    "NamespaceCondition": {
        1: ("type", "text"),
        2: ("status", "text"),
        4: ("lastTransitionTime", "time"),
        5: ("reason", "text"),
        6: ("message", "text"),
    },
    "Event": {
        1: ("metadata", "ObjectMeta"),
        2: ("involvedObject", "ObjectReference"),
        3: ("reason", "text"),
        4: ("message", "text"),
        5: ("source", "EventSource"),
        6: ("firstTimestamp", "time"),
        7: ("lastTimestamp", "time"),
        8: ("count", "number"),
        9: ("type", "text"),
        10: ("eventTime", "micro"),
        11: ("series", "EventSeries"),
        12: ("action", "text"),
        13: ("related", "ObjectReference"),
        14: ("reportingComponent", "text"),
        15: ("reportingInstance", "text"),
    },
    "EventSource": {1: ("component", "text"), 2: ("host", "text")},
    "EventSeries": {1: ("count", "number"), 2: ("lastObservedTime", "micro")},
    "Service": _kind("ServiceSpec", "ServiceStatus"),
    "ServiceSpec": {
        1: ("ports", "[ServicePort]"),
        2: ("selector", "{text}"),
        3: ("clusterIP", "text"),
        4: ("type", "text"),
        5: ("externalIPs", "[text]"),
        7: ("sessionAffinity", "text"),
        8: ("loadBalancerIP", "text"),
        9: ("loadBalancerSourceRanges", "[text]"),
        10: ("externalName", "text"),
        11: ("externalTrafficPolicy", "text"),
        12: ("healthCheckNodePort", "number"),
        13: ("publishNotReadyAddresses", "flag"),
        14: ("sessionAffinityConfig", "SessionAffinityConfig"),
        17: ("ipFamilyPolicy", "text?"),
        18: ("clusterIPs", "[text]"),
        19: ("ipFamilies", "[text]"),
        20: ("allocateLoadBalancerNodePorts", "flag?"),
        21: ("loadBalancerClass", "text?"),
        22: ("internalTrafficPolicy", "text?"),
        23: ("trafficDistribution", "text?"),
    },
    "ServicePort": {
        1: ("name", "text"),
        2: ("protocol", "text"),
        3: ("port", "number"),
        4: ("targetPort", "int-or-string"),
        5: ("nodePort", "number"),
        6: ("appProtocol", "text?"),
    },
    "SessionAffinityConfig": {1: ("clientIP", "ClientIPConfig")},
    "ClientIPConfig": {1: ("timeoutSeconds", "number?")},
    "ServiceStatus": {1: ("loadBalancer", "LoadBalancerStatus"), 2: ("conditions", "[Condition]")},
    "LoadBalancerStatus": {1: ("ingress", "[LoadBalancerIngress]")},
    "LoadBalancerIngress": {
        1: ("ip", "text"),
        2: ("hostname", "text"),
        3: ("ipMode", "text?"),
        4: ("ports", "[PortStatus]"),
    },
    # coordination/v1, scheduling/v1, policy/v1, events/v1
    "Lease": _kind("LeaseSpec"),
    "LeaseSpec": {
        1: ("holderIdentity", "text?"),
        2: ("leaseDurationSeconds", "number?"),
        3: ("acquireTime", "micro"),
        4: ("renewTime", "micro"),
        5: ("leaseTransitions", "number?"),
        6: ("strategy", "text?"),
        7: ("preferredHolder", "text?"),
    },
    "PriorityClass": {
        1: ("metadata", "ObjectMeta"),
        2: ("value", "number"),
        3: ("globalDefault", "flag"),
        4: ("description", "text"),
        5: ("preemptionPolicy", "text?"),
    },
    "Eviction": {1: ("metadata", "ObjectMeta"), 2: ("deleteOptions", "DeleteOptions")},
    "EventOfEvents": {
        1: ("metadata", "ObjectMeta"),
        2: ("eventTime", "micro"),
        3: ("series", "EventSeries"),
        4: ("reportingController", "text"),
        5: ("reportingInstance", "text"),
        6: ("action", "text"),
        7: ("reason", "text"),
        8: ("regarding", "ObjectReference"),
        9: ("related", "ObjectReference"),
        10: ("note", "text"),
        11: ("type", "text"),
        12: ("deprecatedSource", "EventSource"),
        13: ("deprecatedFirstTimestamp", "time"),
        14: ("deprecatedLastTimestamp", "time"),
        15: ("deprecatedCount", "number"),
    },
    # rbac/v1
    "Role": {1: ("metadata", "ObjectMeta"), 2: ("rules", "[PolicyRule]")},
    "ClusterRole": {
        1: ("metadata", "ObjectMeta"),
        2: ("rules", "[PolicyRule]"),
        3: ("aggregationRule", "AggregationRule"),
    },
    "AggregationRule": {1: ("clusterRoleSelectors", "[LabelSelector]")},
    "PolicyRule": {
        1: ("verbs", "[text]"),
        2: ("apiGroups", "[text]"),
        3: ("resources", "[text]"),
        4: ("resourceNames", "[text]"),
        5: ("nonResourceURLs", "[text]"),
    },
    "RoleBinding": {1: ("metadata", "ObjectMeta"), 2: ("subjects", "[Subject]"), 3: ("roleRef", "RoleRef")},
    "Subject": {1: ("kind", "text"), 2: ("apiGroup", "text"), 3: ("name", "text"), 4: ("namespace", "text")},
    "RoleRef": {1: ("apiGroup", "text"), 2: ("kind", "text"), 3: ("name", "text")},
    # authorization/v1
    "SelfSubjectAccessReview": _kind("SelfSubjectAccessReviewSpec", "AccessStatus"),
    "SubjectAccessReview": _kind("SubjectAccessReviewSpec", "AccessStatus"),
    "SelfSubjectRulesReview": _kind("SelfSubjectRulesReviewSpec", "RulesStatus"),
    "SelfSubjectAccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
    },
    "SubjectAccessReviewSpec": {
        1: ("resourceAttributes", "ResourceAttributes"),
        2: ("nonResourceAttributes", "NonResourceAttributes"),
        3: ("user", "text"),
        4: ("groups", "[text]"),
        5: ("extra", "{ExtraValue}"),
        6: ("uid", "text"),
    },
    "SelfSubjectRulesReviewSpec": {1: ("namespace", "text")},
    "ResourceAttributes": {
        1: ("namespace", "text"),
        2: ("verb", "text"),
        3: ("group", "text"),
        4: ("version", "text"),
        5: ("resource", "text"),
        6: ("subresource", "text"),
        7: ("name", "text"),
        8: ("fieldSelector", "SelectorAttributes"),
        9: ("labelSelector", "SelectorAttributes"),
    },
    "SelectorAttributes": {1: ("rawSelector", "text"), 2: ("requirements", "[Requirement]")},
    "NonResourceAttributes": {1: ("path", "text"), 2: ("verb", "text")},
    "AccessStatus": {
        1: ("allowed", "flag"),
        2: ("reason", "text"),
        3: ("evaluationError", "text"),
        4: ("denied", "flag"),
    },
    "RulesStatus": {
        1: ("resourceRules", "[PolicyRule]"),
        2: ("nonResourceRules", "[NonResourceRule]"),
        3: ("incomplete", "flag"),
        4: ("evaluationError", "text"),
    },
    "NonResourceRule": {1: ("verbs", "[text]"), 2: ("nonResourceURLs", "[text]")},
    # authentication/v1
    "SelfSubjectReview": {1: ("metadata", "ObjectMeta"), 2: ("status", "SelfSubjectReviewStatus")},
    "SelfSubjectReviewStatus": {1: ("userInfo", "UserInfo")},
    "TokenRequest": _kind("TokenRequestSpec", "TokenRequestStatus"),
    "TokenRequestSpec": {
        1: ("audiences", "[text]"),
        3: ("boundObjectRef", "BoundObjectReference"),
        4: ("expirationSeconds", "number?"),
    },
    "TokenRequestStatus": {1: ("token", "text"), 2: ("expirationTimestamp", "time")},
    "BoundObjectReference": {1: ("kind", "text"), 2: ("apiVersion", "text"), 3: ("name", "text"), 4: ("uid", "text")},
    "TokenReview": _kind("TokenReviewSpec", "TokenReviewStatus"),
    "TokenReviewSpec": {1: ("token", "text"), 2: ("audiences", "[text]")},
    "TokenReviewStatus": {
        1: ("authenticated", "flag"),
        2: ("user", "UserInfo"),
        3: ("error", "text"),
        4: ("audiences", "[text]"),
    },
    "UserInfo": {1: ("username", "text"), 2: ("uid", "text"), 3: ("groups", "[text]"), 4: ("extra", "{ExtraValue}")},
    "ExtraValue": {1: ("", "[text]")},
    **CLUSTER,
    **PODS,
    **POLICIES,
    **STORAGE,
    **WORKLOADS,
}
"""Message → its fields. A field named "" stands for the whole message, or inline within it."""
