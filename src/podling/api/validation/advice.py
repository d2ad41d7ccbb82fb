"""What is accepted but better written otherwise: upstream's API warnings.

Owns their words. Nothing here refuses anything. What Podling accepts and does not enforce is another list.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.jobs import is_indexed
from podling.api.validation import formats
from podling.api.validation.addresses import cidr_warnings, ip_warnings
from podling.api.validation.field import METADATA, ROOT, SPEC
from podling.api.validation.ingress import CLASS_ANNOTATION
from podling.api.validation.pod_advice import for_pod, for_template

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.types.apps_v1 import DaemonSet, Deployment, ReplicaSet, StatefulSet
    from podling.api.types.batch_v1 import CronJob, Job, JobSpec
    from podling.api.types.core_v1 import Node, PodTemplate, ReplicationController, Service, ServiceAccount
    from podling.api.types.networking_v1 import Ingress, NetworkPolicy
    from podling.api.validation.field import Path

    _Workload = Deployment | ReplicaSet | ReplicationController | StatefulSet

_HINTS = "service.kubernetes.io/topology-aware-hints"
_TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
_MOUNTABLE = "kubernetes.io/enforce-mountable-secrets"


def for_service(service: Service, _old: Service | None) -> list[str]:
    spec, warnings = service.spec, []
    if _HINTS in service.metadata.annotations:
        warnings.append(f"annotation {_HINTS} is deprecated, please use {_TOPOLOGY_MODE} instead")
    headless = spec.type == "ClusterIP" and spec.cluster_ip == "None"
    if spec.cluster_ip and not headless:
        for i, address in enumerate(spec.cluster_ips):
            warnings += ip_warnings(address, (SPEC / "clusterIPs")[i])
    if headless:
        for name, given in (
            ("loadBalancerIP", spec.load_balancer_ip),
            ("externalIPs", spec.external_ips),
            ("SessionAffinity", spec.session_affinity != "None"),
        ):
            if given:
                warnings.append(f"spec.{name} is ignored for headless services")
    for i, address in enumerate(spec.external_ips):
        warnings += ip_warnings(address, (SPEC / "externalIPs")[i])
    if spec.external_ips and not headless and spec.type != "ExternalName":
        warnings.append("spec.externalIPs is deprecated and may no longer be implemented in some clusters")
    if spec.load_balancer_ip:
        warnings += ip_warnings(spec.load_balancer_ip, SPEC / "loadBalancerIP")
    for i, text in enumerate(spec.load_balancer_source_ranges):
        warnings += cidr_warnings(text, (SPEC / "loadBalancerSourceRanges")[i])
    if spec.type == "ExternalName" and spec.external_ips:
        warnings.append('spec.externalIPs is ignored when spec.type is "ExternalName"')
    if spec.type != "ExternalName" and spec.external_name:
        warnings.append('spec.externalName is ignored when spec.type is not "ExternalName"')
    if spec.traffic_distribution == "PreferClose":
        warnings.append('spec.trafficDistribution: "PreferClose" is deprecated; use "PreferSameZone"')
    return warnings


def for_node(node: Node, _old: Node | None) -> list[str]:
    warnings = []
    if node.spec.config_source is not None:
        warnings.append("spec.configSource: the feature is removed")
    if node.spec.external_id:
        warnings.append("spec.externalID: this field is deprecated, and is unused by Kubernetes")
    for i, text in enumerate(node.spec.pod_cidrs):
        warnings += cidr_warnings(text, (SPEC / "podCIDRs")[i])
    return warnings


def for_service_account(account: ServiceAccount, old: ServiceAccount | None) -> list[str]:
    if _MOUNTABLE in account.metadata.annotations and (old is None or _MOUNTABLE not in old.metadata.annotations):
        where = (METADATA / "annotations").key(_MOUNTABLE)
        return [f"{where}: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted secrets"]
    return []


def for_network_policy(policy: NetworkPolicy, _old: NetworkPolicy | None) -> list[str]:
    warnings: list[str] = []
    peers = [
        ((SPEC / direction)[i] / word, peers)
        for direction, word, rules in (
            ("ingress", "from", [rule.from_ for rule in policy.spec.ingress]),
            ("egress", "to", [rule.to for rule in policy.spec.egress]),
        )
        for i, peers in enumerate(rules)
    ]
    for path, given in peers:
        for i, peer in enumerate(given):
            block = peer.ip_block
            if block is not None:
                where = path[i] / "ipBlock"
                warnings += cidr_warnings(block.cidr, where / "cidr")
                for j, text in enumerate(block.except_):
                    warnings += cidr_warnings(text, (where / "except")[j])
    return warnings


def for_ingress(ingress: Ingress, old: Ingress | None) -> list[str]:
    if old is None and CLASS_ANNOTATION in ingress.metadata.annotations and ingress.spec.ingress_class_name is None:
        return [f"annotation \"{CLASS_ANNOTATION}\" is deprecated, please use 'spec.ingressClassName' instead"]
    return []


def for_pod_template(template: PodTemplate, old: PodTemplate | None) -> list[str]:
    if template.template is None or (old is not None and old.template == template.template):
        return []
    return for_template(template.template, ROOT / "template")


def for_job(new: Job, old: Job | None) -> list[str]:
    """Warn of what the template has, and of more indexes than a status may be able to hold."""
    spec = new.spec
    if spec is None:
        return []
    warnings = _of_name(new.metadata.name) if old is None else []
    if old is None or new.metadata.generation != old.metadata.generation:
        warnings += for_job_spec(spec, SPEC)
    return warnings


def for_cron_job(new: CronJob, old: CronJob | None) -> list[str]:
    """Warn of the same for the Jobs to come, and of a zone within the schedule."""
    spec = new.spec
    warnings = _of_name(new.metadata.name) if old is None else []
    if "TZ" in spec.schedule:
        place = f"CRON_TZ or TZ used in {SPEC / 'schedule'} is not officially supported"
        warnings.append(
            f"{place}, see https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/ for more details"
        )
    template = spec.job_template.spec
    if template is not None and (old is None or new.metadata.generation != old.metadata.generation):
        warnings += for_job_spec(template, SPEC / "jobTemplate" / "spec")
    return warnings


def for_job_spec(spec: JobSpec, path: Path) -> list[str]:
    warnings = []
    if is_indexed(spec) and (spec.completions or 0) > 100_000 and (spec.parallelism or 0) > 10_000:
        said = "In Indexed Jobs with a number of completions higher than 10^5 and a parallelism higher than 10^4"
        warnings.append(
            f"{said}, Kubernetes might not be able to track completedIndexes when a big number of indexes fail"
        )
    return warnings + for_template(spec.template, path / "template")


def _of_name(name: str) -> list[str]:
    complaints = formats.dns_label(name)
    if not complaints:
        return []
    said = "this is used in Pod names and hostnames, which can result in surprising behavior"
    return [f"metadata.name: {said}; a DNS label is recommended: [{' '.join(complaints)}]"]


def for_workload(new: _Workload, old: _Workload | None) -> list[str]:
    """Warn of a name that makes no good Pod names, and of what the template has."""
    warnings = _of_name(new.metadata.name) if old is None else []
    return warnings + _of_template(new, old)


def for_stateful_set(new: StatefulSet, old: StatefulSet | None) -> list[str]:
    warnings = for_workload(new, old)
    if (new.spec.revision_history_limit or 0) < 0:
        said = "a negative value retains all historical revisions; a value >= 0 is recommended"
        warnings.append(f"{SPEC / 'revisionHistoryLimit'}: {said}")
    return warnings


def for_daemon_set(new: DaemonSet, old: DaemonSet | None) -> list[str]:
    return _of_template(new, old)


def _of_template(new: _Workload | DaemonSet, old: _Workload | DaemonSet | None) -> list[str]:
    if new.spec.template is None or (old is not None and new.metadata.generation == old.metadata.generation):
        return []
    return for_template(new.spec.template, SPEC / "template")


BY_KIND: dict[str, Callable[[Any, Any], list[str]]] = {
    "Pod": for_pod,
    "PodTemplate": for_pod_template,
    "Service": for_service,
    "Node": for_node,
    "ServiceAccount": for_service_account,
    "NetworkPolicy": for_network_policy,
    "Ingress": for_ingress,
    "DaemonSet": for_daemon_set,
    "Deployment": for_workload,
    "CronJob": for_cron_job,
    "Job": for_job,
    "ReplicaSet": for_workload,
    "StatefulSet": for_stateful_set,
    "ReplicationController": for_workload,
}
