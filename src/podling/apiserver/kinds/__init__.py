"""One declarative record per kind: the list of what this API server serves.

Owns `records`. Prefixes, selectable fields and what may be created by an update are upstream's. Adding a kind is adding
a record here, and a strategy beside it only if the kind has rules of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api import resources as r
from podling.api.selectors import from_label_selector, from_labels
from podling.apiserver.kinds.certificates import RequestStrategy
from podling.apiserver.kinds.custom import DefinitionStrategy
from podling.apiserver.kinds.events import CORE_FIELDS, FACE_FIELDS, EventFace
from podling.apiserver.kinds.flow_control import FlowStrategy
from podling.apiserver.kinds.ip_addresses import IpAddressStrategy
from podling.apiserver.kinds.jobs import ORPHANING, CronJobStrategy, JobStrategy
from podling.apiserver.kinds.namespaces import NamespaceStrategy
from podling.apiserver.kinds.pods import PodStrategy
from podling.apiserver.kinds.secrets import SecretStrategy
from podling.apiserver.kinds.services import ServiceStrategy
from podling.apiserver.kinds.storage import ClaimStrategy, VolumeStrategy
from podling.apiserver.kinds.strategy import Plain
from podling.apiserver.kinds.workloads import DaemonSetStrategy, DeploymentStrategy, WorkloadStrategy
from podling.apiserver.record import Record
from podling.apiserver.scales import Scaling

if TYPE_CHECKING:
    from podling.apiserver.service_addresses import ServiceAddresses

_STREAMS = ("create", "get")
_NAME = {"name": ("metadata", "name")}
_REPLICAS = {"status.replicas": ("status", "replicas")}
_PROXY = ("create", "delete", "get", "patch", "update")


def records(addresses: ServiceAddresses) -> tuple[Record, ...]:
    """Return the records of all kinds; `addresses` is what Services draw from."""
    plain = Plain()
    events = Record(r.EVENTS, "/registry/events/", plain, fields=CORE_FIELDS, allow_create_on_update=True)
    return (
        Record(
            r.NAMESPACES,
            "/registry/namespaces/",
            NamespaceStrategy(),
            subresources=("finalize", "status"),
            subresource_verbs={"finalize": ("update",)},
            fields={"status.phase": ("status", "phase"), "name": ("metadata", "name")},
            verbs=("create", "delete", "get", "list", "patch", "update", "watch"),
            deleted_in_full=True,
        ),
        Record(
            r.NODES,
            "/registry/minions/",
            Plain(status=True),
            subresources=("proxy", "status"),
            subresource_verbs={"proxy": _PROXY},
            fields={"spec.unschedulable": ("spec", "unschedulable")},
            flags=frozenset({"spec.unschedulable"}),
        ),
        Record(
            r.PODS,
            "/registry/pods/",
            PodStrategy(),
            subresources=(
                "attach",
                "binding",
                "ephemeralcontainers",
                "eviction",
                "exec",
                "log",
                "portforward",
                "proxy",
                "resize",
                "status",
            ),
            parts=frozenset({"ephemeralcontainers", "resize", "status"}),
            subresource_verbs={
                "attach": _STREAMS,
                "binding": ("create",),
                "eviction": ("create",),
                "exec": _STREAMS,
                "log": ("get",),
                "portforward": _STREAMS,
                "proxy": _PROXY,
            },
            fields={
                "spec.nodeName": ("spec", "nodeName"),
                "spec.restartPolicy": ("spec", "restartPolicy"),
                "spec.schedulerName": ("spec", "schedulerName"),
                "spec.serviceAccountName": ("spec", "serviceAccountName"),
                "spec.hostNetwork": ("spec", "hostNetwork"),
                "status.phase": ("status", "phase"),
                "status.podIP": ("status", "podIP"),
                "status.nominatedNodeName": ("status", "nominatedNodeName"),
            },
            flags=frozenset({"spec.hostNetwork"}),
            index="spec.nodeName",
            deleted_in_full=True,
        ),
        events,
        Record(
            r.EVENTS_V1,
            events.key_prefix,
            plain,
            fields={name: CORE_FIELDS[core] for name, core in FACE_FIELDS.items()},
            stored_as=events,
            face=EventFace(),
            allow_create_on_update=True,
        ),
        Record(r.CONFIG_MAPS, "/registry/configmaps/", plain),
        Record(r.SECRETS, "/registry/secrets/", SecretStrategy(), fields={"type": ("type",)}),
        Record(
            r.SERVICE_ACCOUNTS,
            "/registry/serviceaccounts/",
            plain,
            subresources=("token",),
            subresource_verbs={"token": ("create",)},
            deleted_in_full=True,
        ),
        Record(
            r.SERVICES,
            "/registry/services/specs/",
            ServiceStrategy(addresses),
            subresources=("proxy", "status"),
            subresource_verbs={"proxy": _PROXY},
            fields={"spec.clusterIP": ("spec", "clusterIP"), "spec.type": ("spec", "type")},
            allow_create_on_update=True,
            deleted_in_full=True,
        ),
        Record(
            r.ENDPOINTS,
            "/registry/services/endpoints/",
            plain,
            allow_create_on_update=True,
            deprecated="v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice",
        ),
        Record(r.LIMIT_RANGES, "/registry/limitranges/", plain, allow_create_on_update=True),
        Record(r.POD_TEMPLATES, "/registry/podtemplates/", Plain(generation=True), deleted_in_full=True),
        Record(
            r.RESOURCE_QUOTAS,
            "/registry/resourcequotas/",
            Plain(status=True, blank={}),
            subresources=("status",),
            deleted_in_full=True,
        ),
        Record(
            r.PERSISTENT_VOLUMES,
            "/registry/persistentvolumes/",
            VolumeStrategy(),
            subresources=("status",),
            fields=_NAME,
            deleted_in_full=True,
        ),
        Record(
            r.PERSISTENT_VOLUME_CLAIMS,
            "/registry/persistentvolumeclaims/",
            ClaimStrategy(),
            subresources=("status",),
            fields=_NAME,
            deleted_in_full=True,
        ),
        Record(
            r.REPLICATION_CONTROLLERS,
            "/registry/controllers/",
            WorkloadStrategy({"replicas": 0}),
            subresources=("scale", "status"),
            fields=_REPLICAS,
            orphans_dependents=True,
            scaling=Scaling(lambda it: str(from_labels(it.view(r.REPLICATION_CONTROLLERS.type).spec.selector))),
        ),
        Record(
            r.REPLICA_SETS,
            "/registry/replicasets/",
            WorkloadStrategy({"replicas": 0}),
            subresources=("scale", "status"),
            fields=_REPLICAS,
            scaling=Scaling(lambda it: str(from_label_selector(it.view(r.REPLICA_SETS.type).spec.selector))),
        ),
        Record(
            r.DEPLOYMENTS,
            "/registry/deployments/",
            DeploymentStrategy({}),
            subresources=("scale", "status"),
            scaling=Scaling(lambda it: str(from_label_selector(it.view(r.DEPLOYMENTS.type).spec.selector))),
        ),
        Record(
            r.STATEFUL_SETS,
            "/registry/statefulsets/",
            WorkloadStrategy({"replicas": 0, "availableReplicas": 0}),
            subresources=("scale", "status"),
            scaling=Scaling(lambda it: str(from_label_selector(it.view(r.STATEFUL_SETS.type).spec.selector))),
        ),
        Record(r.DAEMON_SETS, "/registry/daemonsets/", DaemonSetStrategy(), subresources=("status",)),
        Record(r.CONTROLLER_REVISIONS, "/registry/controllerrevisions/", plain),
        Record(
            r.CRON_JOBS,
            "/registry/cronjobs/",
            CronJobStrategy(),
            subresources=("status",),
        ),
        Record(
            r.JOBS,
            "/registry/jobs/",
            JobStrategy(),
            subresources=("status",),
            fields={"status.successful": ("status", "succeeded")},
            counts=frozenset({"status.successful"}),
            orphans_dependents=True,
            orphaning_warning=ORPHANING,
        ),
        Record(r.ENDPOINT_SLICES, "/registry/endpointslices/", Plain(generation=True)),
        Record(r.LEASES, "/registry/leases/", plain, allow_create_on_update=True, unconditional_update=False),
        Record(r.PRIORITY_CLASSES, "/registry/priorityclasses/", Plain(generation=True)),
        Record(
            r.POD_DISRUPTION_BUDGETS,
            "/registry/poddisruptionbudgets/",
            Plain(status=True, generation=True),
            subresources=("status",),
            unconditional_update=False,
        ),
        Record(r.NETWORK_POLICIES, "/registry/networkpolicies/", Plain(generation=True)),
        Record(
            r.INGRESSES,
            "/registry/ingress/",
            Plain(status=True, generation=True, blank={"loadBalancer": {}}),
            subresources=("status",),
        ),
        Record(r.INGRESS_CLASSES, "/registry/ingressclasses/", Plain(generation=True)),
        Record(r.IP_ADDRESSES, "/registry/ipaddresses/", IpAddressStrategy(addresses)),
        Record(r.SERVICE_CIDRS, "/registry/servicecidrs/", plain, subresources=("status",)),
        Record(r.RUNTIME_CLASSES, "/registry/runtimeclasses/", Plain(generation=True), unconditional_update=False),
        Record(
            r.CERTIFICATE_SIGNING_REQUESTS,
            "/registry/certificatesigningrequests/",
            RequestStrategy(),
            subresources=("approval", "status"),
            parts=frozenset({"approval", "status"}),
            fields={"spec.signerName": ("spec", "signerName")},
        ),
        Record(r.FLOW_SCHEMAS, "/registry/flowschemas/", FlowStrategy(), subresources=("status",)),
        Record(r.PRIORITY_LEVELS, "/registry/prioritylevelconfigurations/", FlowStrategy(), subresources=("status",)),
        Record(r.STORAGE_CLASSES, "/registry/storageclasses/", plain, deleted_in_full=True),
        Record(
            r.CSI_DRIVERS,
            "/registry/csidrivers/",
            Plain(generation=True),
            unconditional_update=False,
            deleted_in_full=True,
        ),
        Record(
            r.CSI_NODES,
            "/registry/csinodes/",
            Plain(status=True),
            unconditional_update=False,
            deleted_in_full=True,
        ),
        Record(r.CSI_STORAGE_CAPACITIES, "/registry/csistoragecapacities/", plain, unconditional_update=False),
        Record(
            r.VOLUME_ATTACHMENTS,
            "/registry/volumeattachments/",
            Plain(status=True),
            subresources=("status",),
            unconditional_update=False,
            deleted_in_full=True,
        ),
        Record(r.ROLES, "/registry/roles/", plain, allow_create_on_update=True),
        Record(r.ROLE_BINDINGS, "/registry/rolebindings/", plain, allow_create_on_update=True),
        Record(r.CLUSTER_ROLES, "/registry/clusterroles/", plain, allow_create_on_update=True),
        Record(r.CLUSTER_ROLE_BINDINGS, "/registry/clusterrolebindings/", plain, allow_create_on_update=True),
        Record(
            r.CUSTOM_RESOURCE_DEFINITIONS,
            "/registry/apiextensions.k8s.io/customresourcedefinitions/",
            DefinitionStrategy(),
            subresources=("status",),
            unconditional_update=False,
        ),
        Record(
            r.MUTATING_WEBHOOKS,
            "/registry/mutatingwebhookconfigurations/",
            Plain(generation=True),
            unconditional_update=False,
        ),
        Record(
            r.VALIDATING_WEBHOOKS,
            "/registry/validatingwebhookconfigurations/",
            Plain(generation=True),
            unconditional_update=False,
        ),
        Record(r.CALLS, "/registry/insight.podling.dev/calls/", plain),
    )
