"""Which resources there are: group, version, plural, kind, scope, short names.

Owns the identity of each built-in resource and nothing of its behaviour: that is the API server's record of it. The
constants are what components and clients name resources with, and they carry the type: `client.get(PODS, …)` is a
`Pod`. Pure; importing it loads no type module.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

if TYPE_CHECKING:
    from podling.api.types import (
        admissionregistration_v1,
        apiextensions_v1,
        apps_v1,
        authentication_v1,
        authorization_v1,
        autoscaling_v1,
        batch_v1,
        certificates_v1,
        coordination_v1,
        core_v1,
        discovery_v1,
        events_v1,
        flowcontrol_v1,
        insight_v1alpha1,
        networking_v1,
        node_v1,
        policy_v1,
        rbac_v1,
        scheduling_v1,
        storage_v1,
    )

_Kind = TypeVar("_Kind")


@dataclass(frozen=True)
class Resource(Generic[_Kind]):
    """A resource as paths, discovery and messages name it."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    singular: str = ""

    @property
    def api_version(self) -> str:
        """`v1`, `rbac.authorization.k8s.io/v1`."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def list_kind(self) -> str:
        """The kind of a list of them: `PodList`."""
        return f"{self.kind}List"

    @property
    def prefix(self) -> str:
        """The path of the group version: `/api/v1`, `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of the collection or of one object; without `namespace`, across all namespaces."""
        parts = [self.prefix]
        if namespace and self.namespaced:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    @cached_property
    def schema_name(self) -> str:
        """The name of the kind's definition in the published schema: `io.k8s.api.core.v1.Pod`."""
        if self.group.endswith(".podling.dev"):
            return f"{'.'.join(reversed(self.group.split('.')))}.{self.version}.{self.kind}"
        package = self.group.split(".", maxsplit=1)[0] or "core"
        if package == "apiextensions":
            return f"io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.{self.version}.{self.kind}"
        return f"io.k8s.api.{package}.{self.version}.{self.kind}"

    @cached_property
    def type(self) -> type[_Kind]:
        """The frozen struct that rules and components read; loads its module at first use."""
        package = self.group.split(".", maxsplit=1)[0] or "core"
        module = importlib.import_module(f"podling.api.types.{package}_{self.version}")
        return cast("type[_Kind]", getattr(module, self.kind))


@dataclass(frozen=True)
class CustomResource(Resource[Any]):
    """A resource of a kind that a CustomResourceDefinition brought."""

    listed_as: str = ""

    @property
    def list_kind(self) -> str:
        return self.listed_as or f"{self.kind}List"

    @cached_property
    def schema_name(self) -> str:
        return f"{'.'.join(reversed(self.group.split('.')))}.{self.version}.{self.kind}"

    @cached_property
    def type(self) -> type[Any]:
        """Their metadata, and spec and status as plain trees."""
        from podling.api.custom.objects import CustomObject

        return CustomObject


def _core(
    plural: str, kind: str, *short_names: str, namespaced: bool = True, categories: tuple[str, ...] = ()
) -> Resource[Any]:
    return Resource("", "v1", plural, kind, namespaced, short_names, categories, kind.lower())


def _of(
    group: str,
    plural: str,
    kind: str,
    *short_names: str,
    namespaced: bool = True,
    categories: tuple[str, ...] = (),
) -> Resource[Any]:
    return Resource(group, "v1", plural, kind, namespaced, short_names, categories, kind.lower())


NAMESPACES: Resource[core_v1.Namespace] = _core("namespaces", "Namespace", "ns", namespaced=False)
NODES: Resource[core_v1.Node] = _core("nodes", "Node", "no", namespaced=False)
PODS: Resource[core_v1.Pod] = _core("pods", "Pod", "po", categories=("all",))
EVENTS: Resource[core_v1.Event] = _core("events", "Event", "ev")
CONFIG_MAPS: Resource[core_v1.ConfigMap] = _core("configmaps", "ConfigMap", "cm")
SECRETS: Resource[core_v1.Secret] = _core("secrets", "Secret")
SERVICE_ACCOUNTS: Resource[core_v1.ServiceAccount] = _core("serviceaccounts", "ServiceAccount", "sa")
SERVICES: Resource[core_v1.Service] = _core("services", "Service", "svc", categories=("all",))
ENDPOINTS: Resource[core_v1.Endpoints] = _core("endpoints", "Endpoints", "ep")
LIMIT_RANGES: Resource[core_v1.LimitRange] = _core("limitranges", "LimitRange", "limits")
POD_TEMPLATES: Resource[core_v1.PodTemplate] = _core("podtemplates", "PodTemplate")
RESOURCE_QUOTAS: Resource[core_v1.ResourceQuota] = _core("resourcequotas", "ResourceQuota", "quota")
PERSISTENT_VOLUMES: Resource[core_v1.PersistentVolume] = _core(
    "persistentvolumes", "PersistentVolume", "pv", namespaced=False
)
PERSISTENT_VOLUME_CLAIMS: Resource[core_v1.PersistentVolumeClaim] = _core(
    "persistentvolumeclaims", "PersistentVolumeClaim", "pvc"
)
REPLICATION_CONTROLLERS: Resource[core_v1.ReplicationController] = _core(
    "replicationcontrollers", "ReplicationController", "rc", categories=("all",)
)
REPLICA_SETS: Resource[apps_v1.ReplicaSet] = _of("apps", "replicasets", "ReplicaSet", "rs", categories=("all",))
DEPLOYMENTS: Resource[apps_v1.Deployment] = _of("apps", "deployments", "Deployment", "deploy", categories=("all",))
STATEFUL_SETS: Resource[apps_v1.StatefulSet] = _of("apps", "statefulsets", "StatefulSet", "sts", categories=("all",))
DAEMON_SETS: Resource[apps_v1.DaemonSet] = _of("apps", "daemonsets", "DaemonSet", "ds", categories=("all",))
CONTROLLER_REVISIONS: Resource[apps_v1.ControllerRevision] = _of("apps", "controllerrevisions", "ControllerRevision")
CRON_JOBS: Resource[batch_v1.CronJob] = _of("batch", "cronjobs", "CronJob", "cj", categories=("all",))
JOBS: Resource[batch_v1.Job] = _of("batch", "jobs", "Job", categories=("all",))
EVENTS_V1: Resource[events_v1.Event] = _of("events.k8s.io", "events", "Event", "ev")
ENDPOINT_SLICES: Resource[discovery_v1.EndpointSlice] = _of("discovery.k8s.io", "endpointslices", "EndpointSlice")
LEASES: Resource[coordination_v1.Lease] = _of("coordination.k8s.io", "leases", "Lease")
PRIORITY_CLASSES: Resource[scheduling_v1.PriorityClass] = _of(
    "scheduling.k8s.io", "priorityclasses", "PriorityClass", "pc", namespaced=False
)
POD_DISRUPTION_BUDGETS: Resource[policy_v1.PodDisruptionBudget] = _of(
    "policy", "poddisruptionbudgets", "PodDisruptionBudget", "pdb"
)
NETWORK_POLICIES: Resource[networking_v1.NetworkPolicy] = _of(
    "networking.k8s.io", "networkpolicies", "NetworkPolicy", "netpol"
)
INGRESSES: Resource[networking_v1.Ingress] = _of("networking.k8s.io", "ingresses", "Ingress", "ing")
INGRESS_CLASSES: Resource[networking_v1.IngressClass] = _of(
    "networking.k8s.io", "ingressclasses", "IngressClass", namespaced=False
)
IP_ADDRESSES: Resource[networking_v1.IPAddress] = _of(
    "networking.k8s.io", "ipaddresses", "IPAddress", "ip", namespaced=False
)
SERVICE_CIDRS: Resource[networking_v1.ServiceCIDR] = _of(
    "networking.k8s.io", "servicecidrs", "ServiceCIDR", namespaced=False
)
RUNTIME_CLASSES: Resource[node_v1.RuntimeClass] = _of("node.k8s.io", "runtimeclasses", "RuntimeClass", namespaced=False)
CERTIFICATE_SIGNING_REQUESTS: Resource[certificates_v1.CertificateSigningRequest] = _of(
    "certificates.k8s.io", "certificatesigningrequests", "CertificateSigningRequest", "csr", namespaced=False
)
FLOW_SCHEMAS: Resource[flowcontrol_v1.FlowSchema] = _of(
    "flowcontrol.apiserver.k8s.io", "flowschemas", "FlowSchema", namespaced=False
)
PRIORITY_LEVELS: Resource[flowcontrol_v1.PriorityLevelConfiguration] = _of(
    "flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", "PriorityLevelConfiguration", namespaced=False
)
STORAGE_CLASSES: Resource[storage_v1.StorageClass] = _of(
    "storage.k8s.io", "storageclasses", "StorageClass", "sc", namespaced=False
)
CSI_DRIVERS: Resource[storage_v1.CSIDriver] = _of("storage.k8s.io", "csidrivers", "CSIDriver", namespaced=False)
CSI_NODES: Resource[storage_v1.CSINode] = _of("storage.k8s.io", "csinodes", "CSINode", namespaced=False)
CSI_STORAGE_CAPACITIES: Resource[storage_v1.CSIStorageCapacity] = _of(
    "storage.k8s.io", "csistoragecapacities", "CSIStorageCapacity"
)
VOLUME_ATTACHMENTS: Resource[storage_v1.VolumeAttachment] = _of(
    "storage.k8s.io", "volumeattachments", "VolumeAttachment", namespaced=False
)
ROLES: Resource[rbac_v1.Role] = _of("rbac.authorization.k8s.io", "roles", "Role")
ROLE_BINDINGS: Resource[rbac_v1.RoleBinding] = _of("rbac.authorization.k8s.io", "rolebindings", "RoleBinding")
CLUSTER_ROLES: Resource[rbac_v1.ClusterRole] = _of(
    "rbac.authorization.k8s.io", "clusterroles", "ClusterRole", namespaced=False
)
CLUSTER_ROLE_BINDINGS: Resource[rbac_v1.ClusterRoleBinding] = _of(
    "rbac.authorization.k8s.io", "clusterrolebindings", "ClusterRoleBinding", namespaced=False
)
CUSTOM_RESOURCE_DEFINITIONS: Resource[apiextensions_v1.CustomResourceDefinition] = _of(
    "apiextensions.k8s.io",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    "crd",
    "crds",
    namespaced=False,
    categories=("api-extensions",),
)
MUTATING_WEBHOOKS: Resource[admissionregistration_v1.MutatingWebhookConfiguration] = _of(
    "admissionregistration.k8s.io",
    "mutatingwebhookconfigurations",
    "MutatingWebhookConfiguration",
    namespaced=False,
    categories=("api-extensions",),
)
VALIDATING_WEBHOOKS: Resource[admissionregistration_v1.ValidatingWebhookConfiguration] = _of(
    "admissionregistration.k8s.io",
    "validatingwebhookconfigurations",
    "ValidatingWebhookConfiguration",
    namespaced=False,
    categories=("api-extensions",),
)
CALLS: Resource[insight_v1alpha1.Call] = Resource(
    "insight.podling.dev", "v1alpha1", "calls", "Call", True, (), (), "call"
)

STORED: tuple[Resource[Any], ...] = (
    NAMESPACES,
    NODES,
    PODS,
    EVENTS,
    CONFIG_MAPS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    ENDPOINTS,
    LIMIT_RANGES,
    POD_TEMPLATES,
    RESOURCE_QUOTAS,
    PERSISTENT_VOLUMES,
    PERSISTENT_VOLUME_CLAIMS,
    REPLICATION_CONTROLLERS,
    REPLICA_SETS,
    DEPLOYMENTS,
    STATEFUL_SETS,
    DAEMON_SETS,
    CONTROLLER_REVISIONS,
    CRON_JOBS,
    JOBS,
    ENDPOINT_SLICES,
    LEASES,
    PRIORITY_CLASSES,
    POD_DISRUPTION_BUDGETS,
    NETWORK_POLICIES,
    INGRESSES,
    INGRESS_CLASSES,
    IP_ADDRESSES,
    SERVICE_CIDRS,
    RUNTIME_CLASSES,
    CERTIFICATE_SIGNING_REQUESTS,
    FLOW_SCHEMAS,
    PRIORITY_LEVELS,
    STORAGE_CLASSES,
    CSI_DRIVERS,
    CSI_NODES,
    CSI_STORAGE_CAPACITIES,
    VOLUME_ATTACHMENTS,
    ROLES,
    ROLE_BINDINGS,
    CLUSTER_ROLES,
    CLUSTER_ROLE_BINDINGS,
    CUSTOM_RESOURCE_DEFINITIONS,
    MUTATING_WEBHOOKS,
    VALIDATING_WEBHOOKS,
    CALLS,
)
"""What the store holds. `EVENTS_V1` is another face of `EVENTS`."""

SCALES: Resource[autoscaling_v1.Scale] = _of("autoscaling", "scales", "Scale")
"""What the `scale` subresources of workloads speak; nothing is stored or served under this name."""

TOKEN_REVIEWS: Resource[authentication_v1.TokenReview] = _of(
    "authentication.k8s.io", "tokenreviews", "TokenReview", namespaced=False
)
SELF_SUBJECT_REVIEWS: Resource[authentication_v1.SelfSubjectReview] = _of(
    "authentication.k8s.io", "selfsubjectreviews", "SelfSubjectReview", namespaced=False
)
SUBJECT_ACCESS_REVIEWS: Resource[authorization_v1.SubjectAccessReview] = _of(
    "authorization.k8s.io", "subjectaccessreviews", "SubjectAccessReview", namespaced=False
)
SELF_SUBJECT_ACCESS_REVIEWS: Resource[authorization_v1.SelfSubjectAccessReview] = _of(
    "authorization.k8s.io", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
SELF_SUBJECT_RULES_REVIEWS: Resource[authorization_v1.SelfSubjectRulesReview] = _of(
    "authorization.k8s.io", "selfsubjectrulesreviews", "SelfSubjectRulesReview", namespaced=False
)
LOCAL_SUBJECT_ACCESS_REVIEWS: Resource[authorization_v1.LocalSubjectAccessReview] = _of(
    "authorization.k8s.io", "localsubjectaccessreviews", "LocalSubjectAccessReview"
)
