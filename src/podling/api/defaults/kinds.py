"""Which kinds have defaults, and the short ones.

The table is what `apply` looks up; adding a kind is one line. Pods have a module of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.defaults.batch import apply_cron_job, apply_job
from podling.api.defaults.custom import apply_definition
from podling.api.defaults.pod import apply_pod, apply_pod_template
from podling.api.defaults.quantities import canonicalize
from podling.api.defaults.service import apply_service
from podling.api.defaults.volumes import apply_source
from podling.api.defaults.webhooks import apply_mutating, apply_validating
from podling.api.defaults.workloads import (
    apply_claim,
    apply_daemon_set,
    apply_deployment,
    apply_replica_set,
    apply_replication_controller,
    apply_stateful_set,
)

if TYPE_CHECKING:
    from collections.abc import Callable

_Tree = dict[str, Any]

_RBAC = "rbac.authorization.k8s.io"


def _namespace(tree: _Tree) -> None:
    """Label a named namespace with its name; one with generateName gets its label once it has a name."""
    metadata = tree.get("metadata") or {}
    name = metadata.get("name")
    if name:
        labels = metadata.get("labels")
        if labels is None:
            labels = metadata["labels"] = {}
        labels["kubernetes.io/metadata.name"] = name
    status = tree.get("status")
    if status is None:
        status = tree["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Active"


def _node(tree: _Tree) -> None:
    status = tree.get("status")
    if not status:
        return
    for part in ("capacity", "allocatable"):
        if status.get(part):
            canonicalize(status[part])
    if status.get("allocatable") is None and status.get("capacity") is not None:
        status["allocatable"] = dict(status["capacity"])


def _secret(tree: _Tree) -> None:
    if not tree.get("type"):
        tree["type"] = "Opaque"


def _endpoints(tree: _Tree) -> None:
    for subset in tree.get("subsets") or ():
        for port in subset.get("ports") or ():
            if not port.get("protocol"):
                port["protocol"] = "TCP"


def _endpoint_slice(tree: _Tree) -> None:
    for port in tree.get("ports") or ():
        if port.get("name") is None:
            port["name"] = ""
        if port.get("protocol") is None:
            port["protocol"] = "TCP"


def _priority_class(tree: _Tree) -> None:
    if tree.get("preemptionPolicy") is None:
        tree["preemptionPolicy"] = "PreemptLowerPriority"


def _network_policy(tree: _Tree) -> None:
    """Name the directions that a policy is about, ingress always, and TCP where a port names no protocol."""
    spec = tree.get("spec")
    if spec is None:
        spec = tree["spec"] = {}
    if not spec.get("policyTypes"):
        spec["policyTypes"] = ["Ingress", "Egress"] if spec.get("egress") else ["Ingress"]
    for direction in ("ingress", "egress"):
        for rule in spec.get(direction) or ():
            for port in rule.get("ports") or ():
                if port.get("protocol") is None:
                    port["protocol"] = "TCP"


def _ingress_class(tree: _Tree) -> None:
    parameters = (tree.get("spec") or {}).get("parameters")
    if parameters is not None and parameters.get("scope") is None:
        parameters["scope"] = "Cluster"


def _flow_schema(tree: _Tree) -> None:
    spec = tree.get("spec")
    if spec is not None and not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


def _priority_level(tree: _Tree) -> None:
    spec = tree.get("spec") or {}
    for member, shares in (("limited", 30), ("exempt", 0)):
        level = spec.get(member)
        if level is None:
            continue
        for name, value in (("nominalConcurrencyShares", shares), ("lendablePercent", 0)):
            if level.get(name) is None:
                level[name] = value
    queuing = ((spec.get("limited") or {}).get("limitResponse") or {}).get("queuing")
    if queuing is not None:
        for name, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
            queuing[name] = queuing.get(name) or value


def _pod_template(tree: _Tree) -> None:
    apply_pod_template(tree.setdefault("template", {}))


def _runtime_class(tree: _Tree) -> None:
    overhead = (tree.get("overhead") or {}).get("podFixed")
    if overhead:
        canonicalize(overhead)


def _limit_range(tree: _Tree) -> None:
    """Complete what a container gets: its limit from the maximum, its request from the limit, else the minimum."""
    for item in (tree.get("spec") or {}).get("limits") or ():
        for part in ("max", "min", "default", "defaultRequest", "maxLimitRequestRatio"):
            if item.get(part):
                canonicalize(item[part])
        if item.get("type") != "Container":
            continue
        limits = {**(item.get("max") or {}), **(item.get("default") or {})}
        requests = {**(item.get("min") or {}), **limits, **(item.get("defaultRequest") or {})}
        for part, amounts in (("default", limits), ("defaultRequest", requests)):
            if amounts:
                item[part] = amounts


def _resource_quota(tree: _Tree) -> None:
    for part, names in (("spec", ("hard",)), ("status", ("hard", "used"))):
        for name in names:
            if (tree.get(part) or {}).get(name):
                canonicalize(tree[part][name])


def _persistent_volume(tree: _Tree) -> None:
    spec = tree.setdefault("spec", {})
    if spec.get("capacity"):
        canonicalize(spec["capacity"])
    if not spec.get("persistentVolumeReclaimPolicy"):
        spec["persistentVolumeReclaimPolicy"] = "Retain"
    if spec.get("volumeMode") is None:
        spec["volumeMode"] = "Filesystem"
    for name, source in spec.items():
        if isinstance(source, dict):
            apply_source(name, source)
    status = tree.get("status")
    if status is None:
        status = tree["status"] = {}
    if not status.get("phase"):
        status["phase"] = "Pending"


def _storage_class(tree: _Tree) -> None:
    if tree.get("reclaimPolicy") is None:
        tree["reclaimPolicy"] = "Delete"
    if tree.get("volumeBindingMode") is None:
        tree["volumeBindingMode"] = "Immediate"


def _csi_driver(tree: _Tree) -> None:
    spec = tree.setdefault("spec", {})
    for name, value in _OF_DRIVERS.items():
        if spec.get(name) is None:
            spec[name] = value
    if not spec.get("volumeLifecycleModes"):
        spec["volumeLifecycleModes"] = ["Persistent"]


_OF_DRIVERS = {
    "attachRequired": True,
    "podInfoOnMount": False,
    "storageCapacity": False,
    "fsGroupPolicy": "ReadWriteOnceWithFSType",
    "requiresRepublish": False,
    "seLinuxMount": False,
}


def _csi_storage_capacity(tree: _Tree) -> None:
    named = [name for name in ("capacity", "maximumVolumeSize") if tree.get(name) is not None]
    if named:
        canonicalize(tree, named)


def _role_binding(tree: _Tree) -> None:
    ref = tree.get("roleRef")
    if ref is not None and not ref.get("apiGroup"):
        ref["apiGroup"] = _RBAC
    for subject in tree.get("subjects") or ():
        if not subject.get("apiGroup") and subject.get("kind") in {"User", "Group"}:
            subject["apiGroup"] = _RBAC


BY_KIND: dict[tuple[str, str], Callable[[_Tree], None]] = {
    ("", "Pod"): apply_pod,
    ("", "Service"): apply_service,
    ("", "Namespace"): _namespace,
    ("", "Node"): _node,
    ("", "Secret"): _secret,
    ("", "Endpoints"): _endpoints,
    ("", "LimitRange"): _limit_range,
    ("", "PodTemplate"): _pod_template,
    ("", "ResourceQuota"): _resource_quota,
    ("", "PersistentVolume"): _persistent_volume,
    ("", "PersistentVolumeClaim"): apply_claim,
    ("", "ReplicationController"): apply_replication_controller,
    ("apps", "ReplicaSet"): apply_replica_set,
    ("apps", "Deployment"): apply_deployment,
    ("apps", "StatefulSet"): apply_stateful_set,
    ("apps", "DaemonSet"): apply_daemon_set,
    ("batch", "CronJob"): apply_cron_job,
    ("batch", "Job"): apply_job,
    ("storage.k8s.io", "StorageClass"): _storage_class,
    ("storage.k8s.io", "CSIDriver"): _csi_driver,
    ("storage.k8s.io", "CSIStorageCapacity"): _csi_storage_capacity,
    ("discovery.k8s.io", "EndpointSlice"): _endpoint_slice,
    ("scheduling.k8s.io", "PriorityClass"): _priority_class,
    ("networking.k8s.io", "NetworkPolicy"): _network_policy,
    ("networking.k8s.io", "IngressClass"): _ingress_class,
    ("node.k8s.io", "RuntimeClass"): _runtime_class,
    ("apiextensions.k8s.io", "CustomResourceDefinition"): apply_definition,
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"): _flow_schema,
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"): _priority_level,
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): apply_mutating,
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): apply_validating,
    (_RBAC, "RoleBinding"): _role_binding,
    (_RBAC, "ClusterRoleBinding"): _role_binding,
}
"""Group and kind → the rule. ConfigMap, ServiceAccount, Lease, Event, Role and ClusterRole have no defaults."""
