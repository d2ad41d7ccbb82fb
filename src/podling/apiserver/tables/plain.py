"""Owns how the kinds that are mostly data are shown in tables: events, configuration, accounts, RBAC, classes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.durations import human_duration
from podling.api.times import from_wire, to_wire
from podling.apiserver.tables.columns import AGE, CREATED_AT, NAME, NONE, UNKNOWN, Column, Layout, age

if TYPE_CHECKING:
    from podling.api.types.admissionregistration_v1 import MutatingWebhookConfiguration, ValidatingWebhookConfiguration
    from podling.api.types.certificates_v1 import CertificateSigningRequest
    from podling.api.types.coordination_v1 import Lease
    from podling.api.types.core_v1 import ConfigMap, Event, Namespace, ResourceQuota, Secret, ServiceAccount
    from podling.api.types.node_v1 import RuntimeClass
    from podling.api.types.policy_v1 import PodDisruptionBudget
    from podling.api.types.rbac_v1 import ClusterRole, ClusterRoleBinding, Role, RoleBinding
    from podling.api.types.scheduling_v1 import PriorityClass


def _event(event: Event, now: float) -> list[Any]:
    began = age(event.first_timestamp or event.event_time, now)
    last = age(event.last_timestamp, now) if event.last_timestamp else began
    count = event.count or 1
    if event.series is not None:
        last = age(event.series.last_observed_time, now)
        count = event.series.count or 0
    about = event.involved_object
    kind = about.kind.lower()
    source = event.source
    component = (source.component if source is not None else "") or event.reporting_component
    host = (source.host if source is not None else "") or event.reporting_instance
    return [
        last,
        event.type,
        event.reason,
        f"{kind}/{about.name}" if about.name else kind,
        about.field_path,
        ", ".join(word for word in (component, host) if word),
        event.message.strip(),
        began,
        count,
        event.metadata.name,
    ]


EVENTS: Final = Layout(
    (
        Column("Last Seen", "The time at which the most recent occurrence of this event was recorded."),
        Column("Type", "Type of this event (Normal, Warning), new types could be added in the future"),
        Column(
            "Reason",
            "This should be a short, machine understandable string that gives the reason for the transition into the "
            "object's current status.",
        ),
        Column("Object", "The object that this event is about."),
        Column(
            "Subobject",
            "If referring to a piece of an object instead of an entire object, this string should contain a valid "
            "JSON/Go field access statement, such as desiredState.manifest.containers[2].",
            1,
        ),
        Column("Source", "The component reporting this event. Should be a short machine understandable string.", 1),
        Column("Message", "A human-readable description of the status of this operation."),
        Column(
            "First Seen",
            "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)",
            1,
        ),
        Column("Count", "The number of times this event has occurred.", 1),
        Column("Name", NAME.description, 1, format="name"),
    ),
    _event,
)


def _namespace(namespace: Namespace, now: float) -> list[Any]:
    return [namespace.metadata.name, namespace.status.phase, age(namespace.metadata.creation_timestamp, now)]


NAMESPACES: Final = Layout((NAME, Column("Status", "The status of the namespace"), AGE), _namespace)


def _config_map(config: ConfigMap, now: float) -> list[Any]:
    data = len(config.data) + len(config.binary_data)
    return [config.metadata.name, data, age(config.metadata.creation_timestamp, now)]


CONFIG_MAPS: Final = Layout((NAME, Column("Data", "Data contains the configuration data."), AGE), _config_map)


def _secret(secret: Secret, now: float) -> list[Any]:
    return [secret.metadata.name, secret.type, len(secret.data), age(secret.metadata.creation_timestamp, now)]


SECRETS: Final = Layout(
    (
        NAME,
        Column("Type", "Used to facilitate programmatic handling of secret data."),
        Column("Data", "Data contains the secret data."),
        AGE,
    ),
    _secret,
)


def _service_account(account: ServiceAccount, now: float) -> list[Any]:
    return [account.metadata.name, len(account.secrets), age(account.metadata.creation_timestamp, now)]


SERVICE_ACCOUNTS: Final = Layout(
    (
        NAME,
        Column(
            "Secrets",
            "Secrets is a list of the secrets in the same namespace that pods running using this ServiceAccount are "
            "allowed to use.",
        ),
        AGE,
    ),
    _service_account,
)


def _quota(quota: ResourceQuota, now: float) -> list[Any]:
    hard, used = quota.status.hard, quota.status.used
    told = {name: f"{name}: {used.get(name, '0')}/{hard[name]}" for name in sorted(hard)}
    limits = [text for name, text in told.items() if name.startswith("limits.")]
    requests = [text for name, text in told.items() if not name.startswith("limits.")]
    return [
        quota.metadata.name,
        ", ".join(requests),
        ", ".join(limits),
        age(quota.metadata.creation_timestamp, now),
    ]


RESOURCE_QUOTAS: Final = Layout(
    (
        NAME,
        Column("Request", "Request represents a minimum amount of cpu/memory that a container may consume."),
        Column(
            "Limit",
            "Limits control the maximum amount of cpu/memory that a container may use independent of contention on the "
            "node.",
        ),
        AGE,
    ),
    _quota,
)


def _certificate_request(csr: CertificateSigningRequest, now: float) -> list[Any]:
    spec, kinds = csr.spec, {condition.type for condition in csr.status.conditions}
    said = ["Denied" if "Denied" in kinds else "Approved" if "Approved" in kinds else "Pending"]
    said += ["Failed"] if "Failed" in kinds else []
    said += ["Issued"] if csr.status.certificate else []
    asked = spec.expiration_seconds
    return [
        csr.metadata.name,
        age(csr.metadata.creation_timestamp, now),
        spec.signer_name or NONE,
        spec.username,
        NONE if asked is None else human_duration(asked),
        ",".join(said),
    ]


CERTIFICATE_SIGNING_REQUESTS: Final = Layout(
    (
        NAME,
        AGE,
        Column("SignerName", "signerName indicates the requested signer, and is a qualified name."),
        Column("Requestor", "The user who made the request."),
        Column(
            "RequestedDuration", "expirationSeconds is the requested duration of validity of the issued certificate."
        ),
        Column("Condition", "What was decided about the request, and whether its certificate has been issued."),
    ),
    _certificate_request,
)


def _lease(lease: Lease, now: float) -> list[Any]:
    holder = lease.spec.holder_identity or ""
    return [lease.metadata.name, holder, age(lease.metadata.creation_timestamp, now)]


LEASES: Final = Layout(
    (NAME, Column("Holder", "holderIdentity contains the identity of the holder of a current lease."), AGE), _lease
)


def _priority_class(priority: PriorityClass, now: float) -> list[Any]:
    return [
        priority.metadata.name,
        priority.value,
        bool(priority.global_default),
        age(priority.metadata.creation_timestamp, now),
        priority.preemption_policy or "PreemptLowerPriority",
    ]


PRIORITY_CLASSES: Final = Layout(
    (
        NAME,
        Column("Value", "value represents the integer value of this priority class."),
        Column(
            "Global-Default",
            "globalDefault specifies whether this PriorityClass should be considered as the default priority for pods "
            "that do not have any priority class.",
            type="boolean",
        ),
        AGE,
        Column("PreemptionPolicy", "preemptionPolicy is the policy for preempting pods with lower priority."),
    ),
    _priority_class,
)


def _budget(budget: PodDisruptionBudget, now: float) -> list[Any]:
    spec = budget.spec
    return [
        budget.metadata.name,
        "N/A" if spec.min_available is None else str(spec.min_available),
        "N/A" if spec.max_unavailable is None else str(spec.max_unavailable),
        budget.status.disruptions_allowed or 0,
        age(budget.metadata.creation_timestamp, now),
    ]


POD_DISRUPTION_BUDGETS: Final = Layout(
    (
        NAME,
        Column("Min Available", "The minimum number of pods that must be available."),
        Column("Max Unavailable", "The maximum number of pods that may be unavailable."),
        Column("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time.", type="integer"),
        AGE,
    ),
    _budget,
)


def _runtime_class(runtime: RuntimeClass, now: float) -> list[Any]:
    return [runtime.metadata.name, runtime.handler, age(runtime.metadata.creation_timestamp, now)]


RUNTIME_CLASSES: Final = Layout(
    (
        NAME,
        Column(
            "Handler",
            "handler specifies the underlying runtime and configuration that the CRI implementation will use to "
            "handle pods of this class.",
        ),
        AGE,
    ),
    _runtime_class,
)


def _role(role: Role | ClusterRole, _now: float) -> list[Any]:
    return [role.metadata.name, created_at(role.metadata.creation_timestamp)]


ROLES: Final = Layout((NAME, CREATED_AT), _role)


def _binding(binding: RoleBinding | ClusterRoleBinding, now: float) -> list[Any]:
    of: dict[str, list[str]] = {"User": [], "Group": [], "ServiceAccount": []}
    for subject in binding.subjects:
        name = f"{subject.namespace}/{subject.name}" if subject.kind == "ServiceAccount" else subject.name
        of.setdefault(subject.kind, []).append(name)
    return [
        binding.metadata.name,
        f"{binding.role_ref.kind}/{binding.role_ref.name}",
        age(binding.metadata.creation_timestamp, now),
        ", ".join(of["User"]),
        ", ".join(of["Group"]),
        ", ".join(of["ServiceAccount"]),
    ]


BINDINGS: Final = Layout(
    (
        NAME,
        Column("Role", "The role that the binding grants."),
        AGE,
        Column("Users", "Users in the binding", 1),
        Column("Groups", "Groups in the binding", 1),
        Column("ServiceAccounts", "ServiceAccounts in the binding", 1),
    ),
    _binding,
)


def _webhooks(held: MutatingWebhookConfiguration | ValidatingWebhookConfiguration, now: float) -> list[Any]:
    return [held.metadata.name, len(held.webhooks), age(held.metadata.creation_timestamp, now)]


WEBHOOKS: Final = Layout(
    (
        NAME,
        Column(
            "Webhooks",
            "Webhooks indicates the number of webhooks registered in this configuration",
            type="integer",
        ),
        AGE,
    ),
    _webhooks,
)


def created_at(time: str | None) -> str:
    """Return a creation time in whole seconds, UTC."""
    return to_wire(from_wire(time)) if time else UNKNOWN
