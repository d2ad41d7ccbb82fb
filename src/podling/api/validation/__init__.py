"""Whether an object may be as it is: upstream's validation, with its paths, reasons, words and order.

Owns which checks each kind has. Must not know defaulting (done before), admission or the store. Works on typed structs
and takes plain trees too, also such that lack required fields. Returns causes; `errors.invalid` makes the refusal of
them. Invariants: an object that passed `create` passes `update` against itself; nothing is changed.

Before `update` the server has filled in what an update leaves out: resourceVersion and the fields of metadata that it
owns. Where the new object says nothing of those, nothing is said against it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

from podling.api.validation import meta
from podling.api.validation.shape import typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.errors import Cause
    from podling.api.resources import Resource
    from podling.api.types.core_v1 import Binding

__all__ = [
    "approval",
    "binding",
    "create",
    "ephemeral_containers_update",
    "finalize",
    "resize",
    "scale",
    "status_update",
    "subresource_update",
    "update",
    "warnings",
]

_RBAC = "rbac.authorization.k8s.io"
_FLOWS = "flowcontrol.apiserver.k8s.io"


class _Rules(NamedTuple):
    """Where a kind's checks stand; loaded when the kind is first written."""

    module: str
    create: str = "check_create"
    update: str = "check_update"
    status_update: str = ""


def _named(module: str, name: str, status_update: str = "") -> _Rules:
    return _Rules(module, f"check_{name}_create", f"check_{name}_update", status_update)


_RULES: dict[tuple[str, str], _Rules] = {
    ("", "Pod"): _Rules("pod"),
    ("", "Service"): _Rules("service", status_update="check_status_update"),
    ("", "Namespace"): _named("node", "namespace", "check_namespace_status_update"),
    ("", "Node"): _named("node", "node", "check_node_update"),
    ("", "ConfigMap"): _named("configuration", "config_map"),
    ("", "Secret"): _named("configuration", "secret"),
    ("", "ServiceAccount"): _named("configuration", "service_account"),
    ("", "Endpoints"): _named("endpoints", "endpoints"),
    ("", "LimitRange"): _Rules("limits"),
    ("", "PodTemplate"): _Rules("pod_template"),
    ("", "ResourceQuota"): _Rules("quota", status_update="check_status_update"),
    ("", "PersistentVolume"): _named("persistent", "volume", "check_volume_status_update"),
    ("", "PersistentVolumeClaim"): _named("persistent", "claim", "check_claim_status_update"),
    ("", "ReplicationController"): _named("replicas", "controller", "check_controller_status_update"),
    ("apps", "Deployment"): _Rules("deployment", status_update="check_status_update"),
    ("apps", "ReplicaSet"): _named("replicas", "set", "check_set_status_update"),
    ("apps", "StatefulSet"): _Rules("stateful_set", status_update="check_status_update"),
    ("apps", "DaemonSet"): _Rules("daemon_set", status_update="check_status_update"),
    ("apps", "ControllerRevision"): _Rules("controller_revision"),
    ("batch", "CronJob"): _Rules("cron_jobs"),
    ("batch", "Job"): _Rules("jobs", status_update="check_status_update"),
    ("certificates.k8s.io", "CertificateSigningRequest"): _named("certificates", "request", "check_status_update"),
    (_FLOWS, "FlowSchema"): _named("flow_control", "schema", "check_schema_status_update"),
    (_FLOWS, "PriorityLevelConfiguration"): _named("flow_control", "level", "check_level_status_update"),
    ("storage.k8s.io", "StorageClass"): _Rules("storage_class"),
    ("storage.k8s.io", "CSIDriver"): _named("csi", "driver"),
    ("storage.k8s.io", "CSINode"): _named("csi", "node"),
    ("storage.k8s.io", "CSIStorageCapacity"): _named("csi", "capacity"),
    ("storage.k8s.io", "VolumeAttachment"): _named("csi", "attachment", "check_attachment_status_update"),
    ("discovery.k8s.io", "EndpointSlice"): _named("endpoints", "slice"),
    ("", "Event"): _named("events", "core"),
    ("events.k8s.io", "Event"): _Rules("events"),
    ("coordination.k8s.io", "Lease"): _named("classes", "lease"),
    ("scheduling.k8s.io", "PriorityClass"): _named("classes", "priority_class"),
    ("policy", "PodDisruptionBudget"): _Rules("disruption", status_update="check_status_update"),
    ("networking.k8s.io", "NetworkPolicy"): _Rules("network_policy"),
    ("networking.k8s.io", "Ingress"): _Rules("ingress", status_update="check_status_update"),
    ("networking.k8s.io", "IngressClass"): _named("ingress_class", "class"),
    ("networking.k8s.io", "IPAddress"): _Rules("ip_addresses"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"): _Rules(
        "custom_definition", status_update="check_status_update"
    ),
    ("node.k8s.io", "RuntimeClass"): _named("classes", "runtime_class"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"): _named("webhooks", "mutating"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"): _named("webhooks", "validating"),
    (_RBAC, "Role"): _named("rbac", "role"),
    (_RBAC, "RoleBinding"): _named("rbac", "role_binding"),
    (_RBAC, "ClusterRole"): _named("rbac", "cluster_role"),
    (_RBAC, "ClusterRoleBinding"): _named("rbac", "cluster_role_binding"),
}
_ELSEWHERE = {
    ("Pod", "check_update"): "pod_update",
    ("Pod", "check_status_update"): "pod_status",
    ("Job", "check_status_update"): "job_status",
}

_ADVISED = {
    **dict.fromkeys(("Pod", "PodTemplate", "Service", "Node", "ServiceAccount", "ReplicationController"), ""),
    **dict.fromkeys(("DaemonSet", "Deployment", "ReplicaSet", "StatefulSet"), "apps"),
    **dict.fromkeys(("CronJob", "Job"), "batch"),
    **dict.fromkeys(("NetworkPolicy", "Ingress"), "networking.k8s.io"),
}
"""Kinds whose writers are warned, and their group."""

_checks: dict[tuple[str, str, str], Callable[..., None]] = {}


def create(resource: Resource[Any], new: Any) -> list[Cause]:
    """Return what speaks against creating an object, a struct or a tree, whose name has been generated."""
    struct = typed(resource.type, new)
    causes: list[Cause] = []
    check = _check(resource, "create")
    if check is None:
        meta.check_create(struct.metadata, causes, namespaced=resource.namespaced)
    else:
        check(struct, causes)
    return causes


def update(resource: Resource[Any], new: Any, old: Any) -> list[Cause]:
    """Return what speaks against changing `old` to `new`; both may be structs or trees."""
    return _compared(resource, "update", new, old)


def status_update(resource: Resource[Any], new: Any, old: Any) -> list[Cause]:
    """Return what speaks against changing the status; all else in `new` is as in `old`."""
    return _compared(resource, "status_update", new, old)


def ephemeral_containers_update(resource: Resource[Any], new: Any, old: Any) -> list[Cause]:
    """Return what speaks against a change of a Pod through its subresource `ephemeralcontainers`."""
    from podling.api.validation.pod_update import check_ephemeral_containers_update

    causes: list[Cause] = []
    check_ephemeral_containers_update(typed(resource.type, new), typed(resource.type, old), causes)
    return causes


def resize(resource: Resource[Any], new: Any, old: Any) -> list[Cause]:
    """Return what speaks against a change of a Pod through its subresource `resize`, its QoS class left aside."""
    from podling.api.validation.pod_resize import check_resize

    causes: list[Cause] = []
    check_resize(typed(resource.type, new), typed(resource.type, old), causes)
    return causes


def finalize(resource: Resource[Any], new: Any, old: Any) -> list[Cause]:
    """Return what speaks against a change of a Namespace through its subresource `finalize`."""
    from podling.api.validation.node import check_namespace_finalize

    causes: list[Cause] = []
    check_namespace_finalize(typed(resource.type, new), typed(resource.type, old), causes)
    return causes


def approval(resource: Resource[Any], new: Any, old: Any) -> list[Cause]:
    """Return what speaks against a change of a CertificateSigningRequest through its subresource `approval`."""
    from podling.api.validation.certificates import check_approval_update

    causes: list[Cause] = []
    check_approval_update(typed(resource.type, new), typed(resource.type, old), causes)
    return causes


def subresource_update(resource: Resource[Any], subresource: str, new: Any, old: Any) -> list[Cause]:
    """Return what speaks against a change through a subresource that is a part of the object itself."""
    match subresource:
        case "status":
            return status_update(resource, new, old)
        case "approval":
            return approval(resource, new, old)
        case "finalize":
            return finalize(resource, new, old)
        case "ephemeralcontainers":
            return ephemeral_containers_update(resource, new, old)
        case "resize":
            return resize(resource, new, old)
        case _:
            raise ValueError(f"{resource.plural}/{subresource} has no rules")


def binding(new: Binding | dict[str, Any]) -> list[Cause]:
    """Return what speaks against a Binding: its target must be a Node with a name."""
    from podling.api.types.core_v1 import Binding
    from podling.api.validation.field import ROOT, not_supported, required

    target = typed(Binding, new).target
    causes: list[Cause] = []
    if target.kind not in {"", "Node"}:
        causes.append(not_supported(ROOT / "target" / "kind", target.kind, ("Node", "<empty>")))
    if not target.name:
        causes.append(required(ROOT / "target" / "name"))
    return causes


def scale(new: Any) -> list[Cause]:
    """Return what speaks against a Scale that somebody sends to a workload's subresource of that name."""
    from podling.api.types.autoscaling_v1 import Scale
    from podling.api.validation.replicas import check_scale

    causes: list[Cause] = []
    check_scale(typed(Scale, new), causes)
    return causes


def warnings(resource: Resource[Any], new: Any, old: Any = None) -> list[str]:
    """Return what upstream warns a writer of, for `Warning` headers; `old` is None on create."""
    if resource.kind not in _ADVISED or resource.group != _ADVISED[resource.kind]:
        return []
    from podling.api.validation import advice

    struct = typed(resource.type, new)
    before = typed(resource.type, old) if old is not None else None
    return advice.BY_KIND[resource.kind](struct, before)


def _compared(resource: Resource[Any], verb: str, new: Any, old: Any) -> list[Cause]:
    after, before = typed(resource.type, new), typed(resource.type, old)
    causes: list[Cause] = []
    check = _check(resource, verb)
    if check is None:
        meta.check_update(after.metadata, before.metadata, causes)
    else:
        check(after, before, causes)
    return causes


def _check(resource: Resource[Any], verb: str) -> Callable[..., None] | None:
    """Return the check of a kind for a verb; None where there is none but that of metadata."""
    key = (resource.group, resource.kind, verb)
    found = _checks.get(key)
    if found is None:
        rules = _RULES.get(key[:2])
        name: str = getattr(rules, verb, "") if resource.kind != "Pod" else f"check_{verb}"
        if rules is None or not name:
            return None
        module = _ELSEWHERE.get((resource.kind, name), rules.module)
        found = _checks[key] = getattr(importlib.import_module(f"{__name__}.{module}"), name)
    return found
