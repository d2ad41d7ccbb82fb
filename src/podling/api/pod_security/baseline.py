"""What the level `baseline` forbids: the known ways from a Pod to its node.

Each check answers for one of upstream's, by its name there; one that has changed says from which release on it holds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.pod_security.wording import Subject, Violation, containers, plural, quoted, setters
from podling.api.validation.security import APP_ARMOR, SECCOMP_CONTAINER, SECCOMP_POD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podling.api.pod_security.wording import AnyContainer
    from podling.api.types.core_v1 import PodSecurityContext, SecurityContext, SELinuxOptions

CAPABILITIES: Final = frozenset((
    "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
    "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
))  # fmt: skip
SYSCTLS: Final = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ip_local_reserved_ports": 27,
    "net.ipv4.tcp_fin_timeout": 29,
    "net.ipv4.tcp_keepalive_intvl": 29,
    "net.ipv4.tcp_keepalive_probes": 29,
    "net.ipv4.tcp_keepalive_time": 29,
}
"""With the release from which on each is allowed."""
_SELINUX_TYPES: Final = {"": 0, "container_t": 0, "container_init_t": 0, "container_kvm_t": 0, "container_engine_t": 31}
_PROFILES: Final = frozenset(("Localhost", "RuntimeDefault"))


def app_armor_profile(subject: Subject, minor: int) -> Violation | None:
    del minor
    bad: set[str] = set()

    def is_bad(context: PodSecurityContext | SecurityContext) -> bool:
        profile = context.app_armor_profile
        if profile is None or profile.type in _PROFILES:
            return False
        bad.add(profile.type)
        return True

    who = setters(subject, is_bad)
    notes = sorted(
        f'{key}="{value}"'
        for key, value in subject.annotations.items()
        if key.startswith(APP_ARMOR) and value not in {"", "runtime/default"} and not value.startswith("localhost/")
    )
    if not who and not notes:
        return None
    values = [*sorted(bad), *notes]
    everybody = [*([who] if who else []), *([plural("annotation", "annotations", notes)] if notes else [])]
    return Violation(
        plural("forbidden AppArmor profile", "forbidden AppArmor profiles", values),
        f"{' and '.join(everybody)} must not set AppArmor profile type to {quoted(values)}",
    )


def capabilities(subject: Subject, minor: int) -> Violation | None:
    del minor
    names, added = [], set()
    for container, more in _added(subject):
        forbidden = {name for name in more if name not in CAPABILITIES}
        if forbidden:
            names.append(container.name)
            added |= forbidden
    if not names:
        return None
    what = quoted(sorted(added))
    return Violation(
        "non-default capabilities", f"{containers(names)} must not include {what} in securityContext.capabilities.add"
    )


def _added(subject: Subject) -> Iterator[tuple[AnyContainer, tuple[str, ...]]]:
    for container in subject.containers():
        context = container.security_context
        if context is not None and context.capabilities is not None:
            yield container, context.capabilities.add


def host_namespaces(subject: Subject, minor: int) -> Violation | None:
    del minor
    spec = subject.spec
    fields = (("hostNetwork", spec.host_network), ("hostPID", spec.host_pid), ("hostIPC", spec.host_ipc))
    shared = [f"{name}=true" for name, value in fields if value]
    return Violation("host namespaces", ", ".join(shared)) if shared else None


def host_path_volumes(subject: Subject, minor: int) -> Violation | None:
    del minor
    names = [volume.name for volume in subject.spec.volumes if volume.host_path is not None]
    return Violation("hostPath volumes", f"{plural('volume', 'volumes', names)} {quoted(names)}") if names else None


def host_ports(subject: Subject, minor: int) -> Violation | None:
    del minor
    names, ports = [], set()
    for container in subject.containers():
        found = {str(port.host_port) for port in container.ports if port.host_port}
        if found:
            names.append(container.name)
            ports |= found
    if not names:
        return None
    verb, what = plural("uses", "use", names), plural("hostPort", "hostPorts", ports)
    return Violation("hostPort", f"{containers(names)} {verb} {what} {', '.join(sorted(ports))}")


def host_probes_and_lifecycle(subject: Subject, minor: int) -> Violation | None:
    """Forbid probes and hooks of other hosts than the Pod, since 1.34."""
    names, hosts = set(), set()
    for container in subject.containers() if minor >= 34 else ():
        found = _hosts(container)
        if found:
            names.add(container.name)
            hosts |= found
    if not names:
        return None
    verb = plural("uses", "use", names)
    what = plural("probe or lifecycle host", "probe or lifecycle hosts", hosts)
    return Violation("probe or lifecycle host", f"{containers(sorted(names))} {verb} {what} {quoted(sorted(hosts))}")


def _hosts(container: AnyContainer) -> set[str]:
    hooks = container.lifecycle
    handlers = (
        container.liveness_probe, container.readiness_probe, container.startup_probe,
        hooks.post_start if hooks is not None else None, hooks.pre_stop if hooks is not None else None,
    )  # fmt: skip
    asked = [way for handler in handlers if handler is not None for way in (handler.http_get, handler.tcp_socket)]
    return {way.host for way in asked if way is not None and way.host}


def privileged(subject: Subject, minor: int) -> Violation | None:
    del minor
    names = [
        it.name for it in subject.containers() if it.security_context is not None and it.security_context.privileged
    ]
    return (
        Violation("privileged", f"{containers(names)} must not set securityContext.privileged=true") if names else None
    )


def proc_mount(subject: Subject, minor: int) -> Violation | None:
    """Forbid an unmasked /proc; since 1.35 not to those who are apart from the node's users."""
    return None if subject.apart and minor >= 35 else any_proc_mount(subject, minor)


def any_proc_mount(subject: Subject, minor: int) -> Violation | None:
    del minor
    names, kinds = [], set()
    for container in subject.containers():
        kind = container.security_context.proc_mount if container.security_context is not None else None
        if kind not in {None, "Default"}:
            names.append(container.name)
            kinds.add(str(kind))
    if not names:
        return None
    return Violation(
        "procMount", f"{containers(names)} must not set securityContext.procMount to {quoted(sorted(kinds))}"
    )


def selinux_options(subject: Subject, minor: int) -> Violation | None:
    types: set[str] = set()
    named: set[str] = set()

    def is_bad(context: PodSecurityContext | SecurityContext) -> bool:
        options: SELinuxOptions | None = context.se_linux_options
        if options is None:
            return False
        allowed = _SELINUX_TYPES.get(options.type, minor + 1) <= minor
        if not allowed:
            types.add(options.type)
        set_here = {name for name, value in (("user", options.user), ("role", options.role)) if value}
        named.update(set_here)
        return not allowed or bool(set_here)

    who = setters(subject, is_bad)
    if not who:
        return None
    wrong = [f"{plural('type', 'types', types)} {quoted(sorted(types))}"] if types else []
    wrong += [f"{name} may not be set" for name in ("user", "role") if name in named]
    return Violation("seLinuxOptions", f"{who} set forbidden securityContext.seLinuxOptions: {'; '.join(wrong)}")


def seccomp_profile(subject: Subject, minor: int) -> Violation | None:
    """Forbid to be unconfined; before 1.19 that was said by annotations."""
    return _seccomp_annotations(subject) if minor < 19 else bad_seccomp(subject)


def bad_seccomp(subject: Subject) -> Violation | None:
    """Forbid profiles that are none."""
    bad: set[str] = set()

    def is_bad(context: PodSecurityContext | SecurityContext) -> bool:
        profile = context.seccomp_profile
        if profile is None or profile.type in _PROFILES:
            return False
        bad.add(profile.type)
        return True

    who = setters(subject, is_bad)
    if not who:
        return None
    return Violation(
        "seccompProfile", f"{who} must not set securityContext.seccompProfile.type to {quoted(sorted(bad))}"
    )


def _seccomp_annotations(subject: Subject) -> Violation | None:
    keys = [SECCOMP_POD, *(SECCOMP_CONTAINER + container.name for container in subject.containers())]
    found = {key: subject.annotations[key] for key in keys if key in subject.annotations}
    bad = sorted(
        f'{key}="{value}"'
        for key, value in found.items()
        if value not in {"runtime/default", "docker/default"} and not value.startswith("localhost/")
    )
    if not bad:
        return None
    return Violation("seccompProfile", f"forbidden {plural('annotation', 'annotations', bad)} {', '.join(bad)}")


def sysctls(subject: Subject, minor: int) -> Violation | None:
    whole = subject.spec.security_context
    asked = whole.sysctls if whole is not None else ()
    bad = [sysctl.name for sysctl in asked if SYSCTLS.get(sysctl.name, minor + 1) > minor]
    return Violation("forbidden sysctls", ", ".join(bad)) if bad else None


def windows_host_process(subject: Subject, minor: int) -> Violation | None:
    del minor
    who = setters(subject, lambda context: context.windows_options and context.windows_options.host_process)
    return (
        Violation("hostProcess", f"{who} must not set securityContext.windowsOptions.hostProcess=true") if who else None
    )
