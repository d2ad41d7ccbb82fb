"""What is accepted in a Pod but better written otherwise: upstream's warnings.

Also for the templates that other kinds carry. Nothing here refuses anything.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.quantity import parse
from podling.api.validation import formats
from podling.api.validation.addresses import ip_warnings
from podling.api.validation.field import METADATA, ROOT, Path, quoted
from podling.api.validation.security import APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD
from podling.api.validation.visit import visit

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.api.types.core_v1 import (
        Container,
        ContainerPort,
        EphemeralContainer,
        NodeSelectorTerm,
        Pod,
        PodAffinity,
        PodAntiAffinity,
        PodSpec,
        PodTemplateSpec,
    )
    from podling.api.types.meta_v1 import ObjectMeta

_NODE_LABELS = {
    "beta.kubernetes.io/arch": 'deprecated since v1.14; use "kubernetes.io/arch" instead',
    "beta.kubernetes.io/os": 'deprecated since v1.14; use "kubernetes.io/os" instead',
    "beta.kubernetes.io/instance-type": 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead',
    "failure-domain.beta.kubernetes.io/region": 'deprecated since v1.17; use "topology.kubernetes.io/region" instead',
    "failure-domain.beta.kubernetes.io/zone": 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead',
}
_ANNOTATIONS = {
    "scheduler.alpha.kubernetes.io/critical-pod": (
        'non-functional in v1.16+; use the "priorityClassName" field instead'
    ),
    "security.alpha.kubernetes.io/sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
    "security.alpha.kubernetes.io/unsafe-sysctls": 'non-functional in v1.11+; use the "sysctls" field instead',
}
_VOLUMES = (
    ("photon_persistent_disk", "photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("git_repo", "gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("scale_io", "scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("flocker", "flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("storageos", "storageOS", "deprecated in v1.22, non-functional in v1.25+"),
    ("quobyte", "quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("glusterfs", "glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("cephfs", "cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("rbd", "rbd", "deprecated in v1.28, non-functional in v1.31+"),
)
_NO_SELECTOR = "a null labelSelector results in matching no pod"


def for_pod(pod: Pod, old: Pod | None) -> list[str]:
    warnings = []
    complaints = formats.dns_label(pod.metadata.name)
    if old is None and complaints:
        words = (
            "this is used in the Pod's hostname, which can result in surprising behavior; a DNS label is recommended"
        )
        warnings.append(f"metadata.name: {words}: [{' '.join(complaints)}]")
    return warnings + _of_pod(pod.metadata, pod.spec, ROOT, template=False)


def for_template(template: PodTemplateSpec, path: Path) -> list[str]:
    """Return the warnings about a Pod template at `path`, for the kinds that make Pods from one."""
    return _of_pod(template.metadata, template.spec, path, template=True) if template.spec is not None else []


def _of_pod(meta: ObjectMeta, spec: PodSpec, root: Path, *, template: bool) -> list[str]:
    path = root / "spec"
    warnings = [
        f"{(path / 'nodeSelector').key(key)}: {_NODE_LABELS[key]}" for key in spec.node_selector if key in _NODE_LABELS
    ]
    warnings += _of_node_affinity(spec, path)
    for i, constraint in enumerate(spec.topology_spread_constraints):
        where = (path / "topologySpreadConstraints")[i]
        key = constraint.topology_key
        if key in _NODE_LABELS:
            warnings.append(f"{where / 'topologyKey'}: {key} is {_NODE_LABELS[key]}")
        if constraint.label_selector is None:
            warnings.append(f"{where / 'labelSelector'}: {_NO_SELECTOR}")
    annotations = root / "metadata" / "annotations"
    warnings += [f"{annotations.key(key)}: {words}" for key, words in _ANNOTATIONS.items() if key in meta.annotations]
    warnings += _of_volumes(spec, path / "volumes")
    warnings += _of_repeats("ip", [alias.ip for alias in spec.host_aliases], path / "hostAliases")
    for i, alias in enumerate(spec.host_aliases):
        warnings += ip_warnings(alias.ip, (path / "hostAliases")[i] / "ip")
    if spec.dns_config is not None:
        for i, server in enumerate(spec.dns_config.nameservers):
            warnings += ip_warnings(server, (path / "dnsConfig" / "nameservers")[i])
    secrets = [secret.name for secret in spec.image_pull_secrets]
    warnings += _of_repeats("name", secrets, path / "imagePullSecrets")
    warnings += [
        f'{(path / "imagePullSecrets")[i] / "name"}: invalid empty name ""'
        for i, name in enumerate(secrets)
        if not name
    ]
    warnings += _of_fractions(spec.overhead, path / "overhead")
    context = spec.security_context
    if SECCOMP_POD in meta.annotations and (context is None or context.seccomp_profile is None):
        words = 'non-functional in v1.27+; use the "seccompProfile" field instead'
        warnings.append(f"{annotations.key(SECCOMP_POD)}: {words}")
    for where, container in visit(spec, path):
        warnings += _of_container(container, where, meta, spec, annotations, template=template)
    warnings += _of_ports(spec, path)
    grace = spec.termination_grace_period_seconds
    if grace is not None and grace < 0:
        words = "must be >= 0; negative values are invalid and will be treated as 1"
        warnings.append(f"{path / 'terminationGracePeriodSeconds'}: {words}")
    if spec.affinity is not None:
        warnings += _of_pod_affinity(spec.affinity.pod_affinity, path / "affinity" / "podAffinity")
        warnings += _of_pod_affinity(spec.affinity.pod_anti_affinity, path / "affinity" / "podAntiAffinity")
    return warnings


def _of_node_affinity(spec: PodSpec, path: Path) -> list[str]:
    affinity = spec.affinity.node_affinity if spec.affinity is not None else None
    if affinity is None:
        return []
    where, warnings = path / "affinity" / "nodeAffinity", []
    needed = affinity.required_during_scheduling_ignored_during_execution
    if needed is not None:
        terms = where / "requiredDuringSchedulingIgnoredDuringExecution" / "nodeSelectorTerms"
        for i, term in enumerate(needed.node_selector_terms):
            warnings += _of_term(term, terms[i])
    for i, preferred in enumerate(affinity.preferred_during_scheduling_ignored_during_execution):
        at = (where / "preferredDuringSchedulingIgnoredDuringExecution")[i] / "preference"
        warnings += _of_term(preferred.preference, at)
    return warnings


def _of_term(term: NodeSelectorTerm, path: Path) -> list[str]:
    return [
        f"{(path / 'matchExpressions')[i] / 'key'}: {one.key} is {_NODE_LABELS[one.key]}"
        for i, one in enumerate(term.match_expressions)
        if one.key in _NODE_LABELS
    ]


def _of_pod_affinity(affinity: PodAffinity | PodAntiAffinity | None, path: Path) -> list[str]:
    if affinity is None:
        return []
    needed = path / "requiredDuringSchedulingIgnoredDuringExecution"
    preferred = path / "preferredDuringSchedulingIgnoredDuringExecution"
    return [
        f"{needed[i] / 'labelSelector'}: {_NO_SELECTOR}"
        for i, term in enumerate(affinity.required_during_scheduling_ignored_during_execution)
        if term.label_selector is None
    ] + [
        f"{preferred[i] / 'podAffinityTerm' / 'labelSelector'}: {_NO_SELECTOR}"
        for i, weighted in enumerate(affinity.preferred_during_scheduling_ignored_during_execution)
        if weighted.pod_affinity_term.label_selector is None
    ]


def _of_volumes(spec: PodSpec, path: Path) -> list[str]:
    warnings = [
        f"{path[i] / name}: {words}"
        for i, volume in enumerate(spec.volumes)
        for attribute, name, words in _VOLUMES
        if getattr(volume, attribute) is not None
    ]
    projected = [(i, one.projected) for i, one in enumerate(spec.volumes) if one.projected is not None]
    tokens = {
        source.service_account_token.path
        for _, volume in projected
        for source in volume.sources
        if source.service_account_token is not None
    }
    if not tokens:
        return warnings
    for i, volume in projected:
        where = path[i] / "projected" / "sources"
        for source in volume.sources:
            for name, files in (
                ("configMap", [f.path for f in source.config_map.items] if source.config_map else []),
                ("secrets", [f.path for f in source.secret.items] if source.secret else []),
                ("downwardAPI", [f.path for f in source.downward_api.items] if source.downward_api else []),
            ):
                warnings += [
                    f"{(where / name)[j]}: has duplicated path with ServiceAccountToken {quoted(file)}"
                    for j, file in enumerate(files)
                    if file in tokens
                ]
            bundle = source.cluster_trust_bundle
            if bundle is not None and bundle.path in tokens:
                words = f"has duplicated path with ServiceAccountToken {quoted(bundle.path)}"
                warnings.append(f"{where / 'ClusterTrustBundle'}: {words}")
    return warnings


def _of_repeats(what: str, values: Iterable[str], path: Path) -> list[str]:
    seen: set[str] = set()
    warnings = []
    for i, value in enumerate(values):
        if value in seen:
            warnings.append(f"{path[i] / what}: duplicate {what} {quoted(value)}")
        seen.add(value)
    return warnings


def _of_fractions(amounts: Mapping[str, str], path: Path) -> list[str]:
    warnings = []
    for name in ("memory", "ephemeral-storage"):
        text = amounts.get(name)
        if text is None:
            continue
        value = parse(text)
        if value.milli_value() % 1000:
            words = f"fractional byte value {quoted(str(value))} is invalid, must be an integer"
            warnings.append(f"{path.key(name)}: {words}")
    return warnings


def _of_container(
    container: Container | EphemeralContainer,
    path: Path,
    meta: ObjectMeta,
    spec: PodSpec,
    annotations: Path,
    *,
    template: bool,
) -> list[str]:
    warnings = []
    context, pod = container.security_context, spec.security_context
    key = SECCOMP_CONTAINER + container.name
    if key in meta.annotations and (context is None or context.seccomp_profile is None):
        words = 'non-functional in v1.27+; use the "seccompProfile" field instead'
        warnings.append(f"{annotations.key(key)}: {words}")
    key = APP_ARMOR + container.name
    if key in meta.annotations and all(one is None or one.app_armor_profile is None for one in (context, pod)):
        subject = f"{annotations.key(key)}" if template else f"{METADATA / 'annotations'}[{key}]"
        warnings.append(f'{subject}: deprecated since v1.30; use the "appArmorProfile" field instead')
    if container.resources is not None:
        warnings += _of_fractions(container.resources.limits, path / "resources" / "limits")
        warnings += _of_fractions(container.resources.requests, path / "resources" / "requests")
    seen = set()
    for i, variable in enumerate(container.env):
        hides = variable.value_from is not None or f"$({variable.name})" not in variable.value
        if variable.name in seen and (hides or variable.value == f"$({variable.name})"):
            words = f"hides previous definition of {quoted(variable.name)}, which may be dropped when using apply"
            warnings.append(f"{(path / 'env')[i]}: {words}")
        seen.add(variable.name)
    return warnings


def _of_ports(spec: PodSpec, path: Path) -> list[str]:
    warnings = []
    known: dict[tuple[int, str], list[tuple[Path, ContainerPort]]] = {}
    for where, container in visit(spec, path):
        for i, port in enumerate(container.ports):
            at = (where / "ports")[i]
            if port.host_ip and not port.host_port:
                shown = (
                    f"{{Name:{port.name} HostPort:0 ContainerPort:{port.container_port} Protocol:{port.protocol} "
                    f"HostIP:{port.host_ip}}}"
                )
                warnings.append(f"{at}: hostIP set without hostPort: {shown}")
            others = known.setdefault((port.container_port, port.protocol), [])
            for other_at, other in others:
                words = _overlap(port, other)
                if words:
                    warnings.append(f"{at}: {words} port definition with {other_at}")
            others.append((at, port))
    return warnings


def _overlap(port: ContainerPort, other: ContainerPort) -> str:
    mine, its = port.host_port or 0, other.host_port or 0
    if port.host_ip == other.host_ip and mine == its:
        return "duplicate"
    if not mine or not its:
        return "overlapping"
    if mine == its and bool(port.host_ip) != bool(other.host_ip):
        return "dangerously ambiguous"
    return ""
