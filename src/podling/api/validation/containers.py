"""Containers of a Pod: regular, init (restartable ones among them) and ephemeral.

Owns what all have in common and what each may not have. Each check gets a `Surroundings`: what a container has to fit
into. Order of causes: upstream's, container by container, then ports of all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from podling.api.pods import is_sidecar
from podling.api.types.core_v1 import ResourceRequirements
from podling.api.validation import environment, formats, handlers, mounts
from podling.api.validation.amounts import check_requirements
from podling.api.validation.field import (
    Path,
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_found,
    not_supported,
    required,
    too_many,
)
from podling.api.validation.security import check_container_context
from podling.api.validation.volumes import check_pull_policy

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        Container,
        ContainerPort,
        ContainerResizePolicy,
        ContainerRestartRule,
        EphemeralContainer,
        Volume,
    )

PROTOCOLS = ("SCTP", "TCP", "UDP")
_MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RESTART_ACTIONS = ("Restart", "RestartAllContainers")
_MOST_RULES = 20
_MOST_EXIT_CODES = 255
_NOTHING = ResourceRequirements()
_INIT_ONLY = "may not be set for init containers without restartPolicy=Always"


class Surroundings(NamedTuple):
    """What the containers of one Pod share."""

    volumes: Mapping[str, Volume]
    """The Pod's sound volumes by name."""
    claims: Sequence[str]
    """Names of the Pod's resource claims."""
    grace: int | None
    """The Pod's termination grace period in seconds."""
    restart_policy: str
    host_users: bool
    os: str


def check_regular(containers: tuple[Container, ...], around: Surroundings, path: Path, causes: list[Cause]) -> None:
    if not containers:
        causes.append(required(path))
        return
    names = set()
    for i, container in enumerate(containers):
        where = path[i]
        _check_common(container, around, where, causes)
        if container.name in names:
            causes.append(duplicate(where / "name", container.name))
        names.add(container.name)
        _check_running(container, around, where, causes)
        _check_restart(container, where, causes)
    _check_host_ports(containers, path, causes)


def check_init(
    containers: tuple[Container, ...],
    regular: tuple[Container, ...],
    around: Surroundings,
    path: Path,
    causes: list[Cause],
) -> None:
    names = {container.name for container in regular}
    for i, container in enumerate(containers):
        where = path[i]
        _check_common(container, around, where, causes)
        _check_restart(container, where, causes)
        if container.name in names:
            causes.append(duplicate(where / "name", container.name))
        elif container.name:
            names.add(container.name)
        _check_host_ports((container,), path, causes)
        if is_sidecar(container):
            _check_running(container, around, where, causes)
            continue
        for name, value in (
            ("lifecycle", container.lifecycle),
            ("livenessProbe", container.liveness_probe),
            ("readinessProbe", container.readiness_probe),
            ("startupProbe", container.startup_probe),
        ):
            if value is not None:
                causes.append(forbidden(where / name, _INIT_ONLY))


def check_ephemeral(
    containers: tuple[EphemeralContainer, ...],
    others: set[str],
    around: Surroundings,
    path: Path,
    causes: list[Cause],
) -> None:
    """Check ephemeral containers; `others` are the names of the Pod's other containers."""
    names = set(others)
    said = "cannot be set for an Ephemeral Container"
    for i, container in enumerate(containers):
        where = path[i]
        _check_common(container, around, where, causes)
        check_image_padding(container.image, where / "image", causes)
        if container.name in names:
            causes.append(duplicate(where / "name", container.name))
        names.add(container.name)
        target = container.target_container_name
        if target and target not in others:
            causes.append(not_found(where / "targetContainerName", target))
        for name, given in (
            ("ports", container.ports),
            ("resources", container.resources is not None and container.resources != _NOTHING),
            ("resizePolicy", container.resize_policy),
            ("restartPolicy", container.restart_policy is not None),
            ("restartPolicyRules", container.restart_policy_rules),
            ("livenessProbe", container.liveness_probe is not None),
            ("readinessProbe", container.readiness_probe is not None),
            ("startupProbe", container.startup_probe is not None),
            ("lifecycle", container.lifecycle is not None),
        ):
            if given:
                causes.append(forbidden(where / name, said))
        for j, mount in enumerate(container.volume_mounts):
            if mount.sub_path:
                causes.append(forbidden((where / "volumeMounts")[j] / "subPath", said))
            if mount.sub_path_expr:
                causes.append(forbidden((where / "volumeMounts")[j] / "subPathExpr", said))


def check_image_padding(image: str, path: Path, causes: list[Cause]) -> None:
    """Refuse whitespace around an image's name; only in Pods, for templates have lived with it."""
    if image != image.strip():
        causes.append(invalid(path, image, "must not have leading or trailing whitespace"))


def _check_common(
    container: Container | EphemeralContainer, around: Surroundings, path: Path, causes: list[Cause]
) -> None:
    if not container.name:
        causes.append(required(path / "name"))
    else:
        complaints = formats.dns_label(container.name)
        if complaints:
            invalid_each(path / "name", container.name, complaints, causes)
    if not container.image:
        causes.append(required(path / "image"))
    policy = container.termination_message_policy
    if policy not in _MESSAGE_POLICIES:
        where = path / "terminationMessagePolicy"
        causes.append(not_supported(where, policy, _MESSAGE_POLICIES) if policy else required(where))
    context = container.security_context
    if container.ports:
        _check_ports(container.ports, path / "ports", causes)
    if container.env:
        environment.check_variables(container.env, path / "env", causes)
    if container.env_from:
        environment.check_sources(container.env_from, path / "envFrom", causes)
    if container.volume_mounts:
        mounts.check_mounts(
            container.volume_mounts,
            container.volume_devices,
            around.volumes,
            privileged=context is not None and bool(context.privileged),
            path=path / "volumeMounts",
            causes=causes,
        )
    if container.volume_devices:
        mounts.check_devices(
            container.volume_devices, container.volume_mounts, around.volumes, path / "volumeDevices", causes
        )
    check_pull_policy(container.image_pull_policy, path / "imagePullPolicy", causes)
    if container.resources is not None:
        check_requirements(container.resources, around.claims, path / "resources", causes)
    if container.resize_policy:
        _check_resize(container.resize_policy, around.restart_policy, path / "resizePolicy", causes)
    if context is not None:
        check_container_context(context, around.host_users, path / "securityContext", causes)


def _check_running(container: Container, around: Surroundings, path: Path, causes: list[Cause]) -> None:
    """Check what only containers that keep running have."""
    if container.lifecycle is not None:
        handlers.check_lifecycle(container.lifecycle, around.grace, around.os, path / "lifecycle", causes)
    handlers.check_liveness(container.liveness_probe, path / "livenessProbe", causes)
    handlers.check_readiness(container.readiness_probe, path / "readinessProbe", causes)
    handlers.check_liveness(container.startup_probe, path / "startupProbe", causes)


def _check_ports(ports: tuple[ContainerPort, ...], path: Path, causes: list[Cause]) -> None:
    names = set()
    for i, port in enumerate(ports):
        if port.name:
            complaints = formats.port_name(port.name)
            if complaints:
                invalid_each(path[i] / "name", port.name, complaints, causes)
            elif port.name in names:
                causes.append(duplicate(path[i] / "name", port.name))
            else:
                names.add(port.name)
        if port.container_port == 0:
            causes.append(required(path[i] / "containerPort"))
        else:
            complaints = formats.port_number(port.container_port)
            if complaints:
                invalid_each(path[i] / "containerPort", port.container_port, complaints, causes)
        if port.host_port:
            invalid_each(path[i] / "hostPort", port.host_port, formats.port_number(port.host_port), causes)
        check_protocol(port.protocol, path[i] / "protocol", causes)


def check_protocol(protocol: str, path: Path, causes: list[Cause]) -> None:
    """Check the protocol of a port."""
    if not protocol:
        causes.append(required(path))
    elif protocol not in PROTOCOLS:
        causes.append(not_supported(path, protocol, PROTOCOLS))


def _check_host_ports(containers: Sequence[Container], path: Path, causes: list[Cause]) -> None:
    taken = set()
    for i, container in enumerate(containers):
        for j, port in enumerate(container.ports):
            if not port.host_port:
                continue
            key = f"{port.protocol}/{port.host_ip}/{port.host_port}"
            if key in taken:
                causes.append(duplicate((path[i] / "ports")[j] / "hostPort", key))
            taken.add(key)


def _check_resize(
    policies: tuple[ContainerResizePolicy, ...], restart_policy: str, path: Path, causes: list[Cause]
) -> None:
    seen = set()
    for i, policy in enumerate(policies):
        if policy.resource_name in seen:
            causes.append(duplicate(path[i], policy.resource_name))
        seen.add(policy.resource_name)
        for value, supported in (
            (policy.resource_name, ("cpu", "memory")),
            (policy.restart_policy, ("NotRequired", "RestartContainer")),
        ):
            if not value:
                causes.append(required(path))
            elif value not in supported:
                causes.append(not_supported(path, value, supported))
        if restart_policy == "Never" and policy.restart_policy != "NotRequired":
            causes.append(invalid(path, policy.restart_policy, "must be 'NotRequired' when `restartPolicy` is 'Never'"))


def _check_restart(container: Container, path: Path, causes: list[Cause]) -> None:
    policy, rules = container.restart_policy, container.restart_policy_rules
    if policy is None:
        if rules:
            causes.append(required(path / "restartPolicy", "must specify restartPolicy when restart rules are used"))
    elif policy not in _RESTART_POLICIES:
        causes.append(not_supported(path / "restartPolicy", policy, _RESTART_POLICIES))
    if len(rules) > _MOST_RULES:
        causes.append(too_many(path / "restartPolicyRules", len(rules), _MOST_RULES))
    for i, rule in enumerate(rules):
        _check_rule(rule, (path / "restartPolicyRules")[i], causes)


def _check_rule(rule: ContainerRestartRule, path: Path, causes: list[Cause]) -> None:
    if rule.action not in _RESTART_ACTIONS:
        causes.append(not_supported(path / "action", rule.action, _RESTART_ACTIONS))
    codes = rule.exit_codes
    if codes is None:
        causes.append(required(path / "exitCodes", "must be specified"))
        return
    where = path / "exitCodes"
    if codes.operator not in {"In", "NotIn"}:
        causes.append(not_supported(where / "operator", codes.operator, ("In", "NotIn")))
    if len(codes.values) > _MOST_EXIT_CODES:
        causes.append(too_many(where / "values", len(codes.values), _MOST_EXIT_CODES))
