"""A Pod's specification, in a Pod or in a template, and a Pod that is created.

`check_spec` is for both; `check_pod` adds what only Pods must obey. How a Pod may change is in `pod_update`, its status
in `pod_status`. Order of causes: upstream's ValidatePodSpec, field by field.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.annotations import MIRROR
from podling.api.names import out_of_range, too_long
from podling.api.types.core_v1 import PodSecurityContext, ResourceRequirements
from podling.api.validation import (
    affinity,
    amounts,
    containers,
    dns,
    formats,
    meta,
    pod_resources,
    security,
    tolerations,
    volumes,
)
from podling.api.validation.field import (
    METADATA,
    SPEC,
    Path,
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_many,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        EvictionResponder,
        Pod,
        PodSchedulingGate,
        PodSpec,
        PodTemplateSpec,
    )

MAX_INT32 = 2**31 - 1
_DELETION_COST = "controller.kubernetes.io/pod-deletion-cost"
_DNS_POLICIES = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")
_RESTART_POLICIES = ("Always", "OnFailure", "Never")
_NO_CONTEXT = PodSecurityContext()
_MOST_RESPONDERS = 10


def check_create(pod: Pod, causes: list[Cause]) -> None:
    """Check a Pod that is created."""
    check_pod(pod, causes)
    spec = pod.spec
    if spec.ephemeral_containers:
        causes.append(forbidden(SPEC / "ephemeralContainers", "cannot be set on create"))
    if spec.node_name and spec.scheduling_gates:
        causes.append(forbidden(SPEC / "nodeName", "cannot be set until all schedulingGates have been cleared"))
    if pod.metadata.annotations:
        security.check_annotations_match(pod.metadata.annotations, spec, SPEC, causes)


def check_pod(pod: Pod, causes: list[Cause]) -> None:
    """Check a Pod's metadata and specification, on create and on update alike."""
    spec = pod.spec
    meta.check_create(pod.metadata, causes, namespaced=True)
    if pod.metadata.annotations:
        check_annotations(pod.metadata.annotations, spec, METADATA / "annotations", causes)
    check_spec(spec, pod.metadata.name, SPEC, causes)
    if not spec.service_account_name:
        causes.extend(
            forbidden(
                ((SPEC / "volumes")[i] / "projected" / "sources")[j] / "serviceAccountToken",
                "must not be specified when serviceAccountName is not set",
            )
            for i, volume in enumerate(spec.volumes)
            if volume.projected is not None
            for j, source in enumerate(volume.projected.sources)
            if source.service_account_token is not None
        )
    for name, group in (("containers", spec.containers), ("initContainers", spec.init_containers)):
        for i, container in enumerate(group):
            containers.check_image_padding(container.image, (SPEC / name)[i] / "image", causes)


def check_template(template: PodTemplateSpec, path: Path, causes: list[Cause]) -> None:
    """Check a Pod template, for the kinds that make Pods from one."""
    annotations, spec = template.metadata.annotations, template.spec
    meta.check_labels(template.metadata.labels, path / "labels", causes)
    meta.check_annotations(annotations, path / "annotations", causes)
    if spec is None:
        causes.append(required((path / "spec") / "containers"))
        return
    check_annotations(annotations, spec, path / "annotations", causes)
    check_spec(spec, "", path / "spec", causes, template=True)
    security.check_annotations_match(annotations, spec, path / "spec", causes)
    if spec.ephemeral_containers:
        causes.append(
            forbidden(path / "spec" / "ephemeralContainers", "ephemeral containers not allowed in pod template")
        )


def check_annotations(annotations: dict[str, str], spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    """Check the annotations that mean something to Pods."""
    if MIRROR in annotations and not spec.node_name:
        causes.append(
            invalid(path.key(MIRROR), annotations[MIRROR], "must set spec.nodeName if mirror pod annotation is set")
        )
    cost = annotations.get(_DELETION_COST)
    if cost is not None and not _is_int32(cost):
        causes.append(invalid(path.key(_DELETION_COST), cost, "must be a 32bit integer"))
    security.check_annotations(annotations, spec, path, causes)


def _is_int32(text: str) -> bool:
    digits = text.removeprefix("-")
    if not digits.isascii() or not digits.isdigit() or (len(digits) > 1 and digits[0] == "0") or text == "-0":
        return False
    return -(2**31) <= int(text) <= MAX_INT32


def check_spec(spec: PodSpec, pod_name: str, path: Path, causes: list[Cause], *, template: bool = False) -> None:
    """Check a PodSpec; `pod_name` is empty where the Pod's name is not known yet."""
    grace = spec.termination_grace_period_seconds
    if grace is None:
        causes.append(required(path / "terminationGracePeriodSeconds"))
    sound = volumes.check_volumes(spec.volumes, pod_name, path / "volumes", causes) if spec.volumes else {}
    claims = [claim.name for claim in spec.resource_claims if claim.name]
    if spec.resource_claims:
        pod_resources.check_claims(spec.resource_claims, path / "resourceClaims", causes)
    around = containers.Surroundings(
        volumes=sound,
        claims=claims,
        grace=grace,
        restart_policy=spec.restart_policy,
        host_users=spec.host_users is not False,
        os=spec.os.name if spec.os is not None else "",
    )
    containers.check_regular(spec.containers, around, path / "containers", causes)
    if spec.init_containers:
        containers.check_init(spec.init_containers, spec.containers, around, path / "initContainers", causes)
    if spec.ephemeral_containers:
        others = {container.name for container in (*spec.containers, *spec.init_containers)}
        containers.check_ephemeral(spec.ephemeral_containers, others, around, path / "ephemeralContainers", causes)
    if spec.resources is not None:
        pod_resources.check_resources(spec, spec.resources, claims, path / "resources", causes)
    if spec.host_network:
        _check_host_network(spec, path / "containers", causes, template=template)
    _check_choice(spec.restart_policy, _RESTART_POLICIES, path / "restartPolicy", causes)
    _check_choice(spec.dns_policy, _DNS_POLICIES, path / "dnsPolicy", causes)
    if spec.node_selector:
        meta.check_labels(spec.node_selector, path / "nodeSelector", causes)
    context = spec.security_context
    if (context is not None and context != _NO_CONTEXT) or spec.share_process_namespace:
        security.check_pod_context(context or _NO_CONTEXT, spec, path / "securityContext", causes)
    if spec.affinity is not None:
        affinity.check_affinity(spec.affinity, path / "affinity", causes)
    dns.check_config(spec.dns_config, spec.dns_policy, path / "dnsConfig", causes)
    for i, readiness in enumerate(spec.readiness_gates):
        where = (path / "readinessGates")[i] / "conditionType"
        invalid_each(where, readiness.condition_type, formats.qualified_name(readiness.condition_type), causes)
    if spec.scheduling_gates:
        _check_gates(spec.scheduling_gates, path / "schedulingGates", causes)
    if spec.topology_spread_constraints:
        affinity.check_spread(spec.topology_spread_constraints, path / "topologySpreadConstraints", causes)
    _check_host_process(spec, path, causes)
    if spec.host_users is False:
        for given, name in ((spec.host_network, "hostNetwork"), (spec.host_pid, "HostPID"), (spec.host_ipc, "HostIPC")):
            if given:
                causes.append(forbidden(path / name, "when `pod.Spec.HostUsers` is false"))
    _check_names(spec, path, causes)
    if spec.overhead:
        overhead = ResourceRequirements(limits=spec.overhead)
        amounts.check_requirements(overhead, (), path / "overhead", causes)
    if spec.os is not None:
        _check_os(spec, spec.os.name, path, causes)
    if spec.scheduling_group is not None:
        _check_scheduling_group(spec, path, causes)
    if spec.eviction_responders:
        _check_responders(spec.eviction_responders, path / "evictionResponders", causes)


def _check_names(spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    """Check what names other things, the deadline, and what stands between them in upstream's order."""
    if spec.service_account_name:
        _check_name(spec.service_account_name, path / "serviceAccountName", causes)
    if spec.node_name:
        _check_name(spec.node_name, path / "nodeName", causes)
    deadline = spec.active_deadline_seconds
    if deadline is not None and not 1 <= deadline <= MAX_INT32:
        causes.append(invalid(path / "activeDeadlineSeconds", deadline, out_of_range(1, MAX_INT32)))
    for name, label in (("hostname", spec.hostname), ("subdomain", spec.subdomain)):
        if label:
            invalid_each(path / name, label, formats.dns_label(label), causes)
    if spec.hostname_override:
        _check_hostname_override(spec, spec.hostname_override, path / "hostnameOverride", causes)
    if spec.tolerations:
        tolerations.check_tolerations(spec.tolerations, path / "tolerations", causes)
    if spec.host_aliases:
        dns.check_host_aliases(spec.host_aliases, path / "hostAliases", causes)
    if spec.priority_class_name:
        _check_name(spec.priority_class_name, path / "priorityClassName", causes)
    if spec.runtime_class_name is not None:
        _check_name(spec.runtime_class_name, path / "runtimeClassName", causes)
    if spec.preemption_policy is not None:
        check_preemption_policy(spec.preemption_policy, path / "preemptionPolicy", causes)


def _check_name(name: str, path: Path, causes: list[Cause]) -> None:
    complaints = formats.dns_subdomain(name)
    if complaints:
        invalid_each(path, name, complaints, causes)


def _check_choice(value: str, supported: tuple[str, ...], path: Path, causes: list[Cause]) -> None:
    if value not in supported:
        causes.append(not_supported(path, value, supported) if value else required(path))


def check_preemption_policy(policy: str, path: Path, causes: list[Cause]) -> None:
    """Check whether a priority preempts."""
    _check_choice(policy, ("PreemptLowerPriority", "Never"), path, causes)


def _check_hostname_override(spec: PodSpec, name: str, path: Path, causes: list[Cause]) -> None:
    if spec.set_hostname_as_fqdn:
        causes.append(forbidden(path, "may not be specified when `setHostnameAsFQDN` is true"))
    if spec.host_network:
        causes.append(forbidden(path, "may not be specified when `hostNetwork` is true"))
    if len(name) > 64:
        causes.append(invalid(path, name, too_long(64)))
    _check_name(name, path, causes)


def _check_host_network(spec: PodSpec, path: Path, causes: list[Cause], *, template: bool) -> None:
    for i, container in enumerate(spec.containers):
        for j, port in enumerate(container.ports):
            host_port = port.host_port or 0
            if (host_port or not template) and host_port != port.container_port:
                where = (path[i] / "ports")[j] / "hostPort"
                causes.append(invalid(where, host_port, "must match `containerPort` when `hostNetwork` is true"))


def _check_gates(gates: Iterable[PodSchedulingGate], path: Path, causes: list[Cause]) -> None:
    seen = set()
    for i, gate in enumerate(gates):
        invalid_each(path[i], gate.name, formats.qualified_name(gate.name), causes)
        if gate.name in seen:
            causes.append(duplicate(path[i], gate.name))
        seen.add(gate.name)


def _check_host_process(spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    contexts = [spec.security_context, *(c.security_context for c in (*spec.init_containers, *spec.containers))]
    if any(context is not None and context.windows_options is not None for context in contexts):
        from podling.api.validation import windows

        windows.check_host_process(spec, path, causes)


def _check_os(spec: PodSpec, name: str, path: Path, causes: list[Cause]) -> None:
    from podling.api.validation import windows

    if not name:
        causes.append(required(path / "os" / "name", "cannot be empty"))
    elif name == "linux":
        windows.check_linux(spec, path, causes)
    elif name == "windows":
        windows.check_windows(spec, path, causes)
    else:
        causes.append(not_supported(path / "os", name, ("linux", "windows")))


def _check_scheduling_group(spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    group = spec.scheduling_group
    name = group.pod_group_name if group is not None else None
    if not name:
        causes.append(invalid(path / "schedulingGroup", "", "must specify one of: `podGroupName`"))
    else:
        _check_name(name, path / "schedulingGroup" / "podGroupName", causes)
    if spec.eviction_responders:
        causes.append(forbidden(path / "evictionResponders", "may not be set when `schedulingGroup` is set"))


def _check_responders(responders: tuple[EvictionResponder, ...], path: Path, causes: list[Cause]) -> None:
    if len(responders) > _MOST_RESPONDERS:
        causes.append(too_many(path, len(responders), _MOST_RESPONDERS))
    seen = set()
    for i, responder in enumerate(responders):
        name = responder.name
        if not name:
            causes.append(required(path[i] / "name"))
        else:
            invalid_each(path[i] / "name", name, formats.domain_prefixed_key(name), causes)
        if name in seen:
            causes.append(duplicate(path[i] / "name", name))
        seen.add(name)
        if not 0 <= responder.priority <= 100_000:
            causes.append(invalid(path[i] / "priority", responder.priority, out_of_range(0, 100_000)))
