"""Security contexts of Pods and containers: users, seccomp, AppArmor, sysctls, Windows.

Also that the deprecated annotations say the same as the fields. Must not know other fields of containers.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from podling.api.validation import formats
from podling.api.validation.field import (
    SPEC,
    Path,
    duplicate,
    forbidden,
    invalid,
    invalid_each,
    not_supported,
    required,
    too_long,
)
from podling.api.validation.paths import check_descending
from podling.api.validation.visit import visit

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        AppArmorProfile,
        PodSecurityContext,
        PodSpec,
        SeccompProfile,
        SecurityContext,
    )

SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR = "container.apparmor.security.beta.kubernetes.io/"

_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL = rf"({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}"
_is_sysctl = re.compile(_SYSCTL, re.ASCII).fullmatch
_IPC_SYSCTLS = {"kernel.shmall", "kernel.shmmax", "kernel.shmmni", "kernel.shm_rmid_forced", "kernel.sem"}
_PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
_LONGEST_PROFILE = 4095


def check_pod_context(context: PodSecurityContext, spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    """Check a Pod's own security context."""
    for name, number in (
        ("fsGroup", context.fs_group),
        ("runAsUser", context.run_as_user),
        ("runAsGroup", context.run_as_group),
    ):
        if number is not None:
            invalid_each(path / name, number, formats.user_or_group_id(number), causes)
    for i, group in enumerate(context.supplemental_groups):
        invalid_each((path / "supplementalGroups")[i], group, formats.user_or_group_id(group), causes)
    if spec.share_process_namespace and spec.host_pid:
        causes.append(
            invalid(path / "shareProcessNamespace", True, "ShareProcessNamespace and HostPID cannot both be enabled")
        )
    if context.sysctls:
        _check_sysctls(context, spec, path / "sysctls", causes)
    for name, value, supported in (
        ("fsGroupChangePolicy", context.fs_group_change_policy, ("Always", "OnRootMismatch")),
    ):
        if value is not None and value not in supported:
            causes.append(not_supported(path / name, value, supported))
    _check_seccomp(context.seccomp_profile, path / "seccompProfile", causes)
    if context.windows_options is not None:
        from podling.api.validation import windows

        windows.check_options(context.windows_options, path / "windowsOptions", causes)
    _check_app_armor(context.app_armor_profile, path / "appArmorProfile", causes)
    for name, value, supported in (
        ("supplementalGroupsPolicy", context.supplemental_groups_policy, ("Merge", "Strict")),
        ("seLinuxChangePolicy", context.se_linux_change_policy, ("MountOption", "Recursive")),
    ):
        if value is not None and value not in supported:
            causes.append(not_supported(path / name, value, supported))


def check_container_context(context: SecurityContext, host_users: bool, path: Path, causes: list[Cause]) -> None:
    """Check a container's security context; `host_users` says that the Pod shares the host's user namespace."""
    for name, number in (("runAsUser", context.run_as_user), ("runAsGroup", context.run_as_group)):
        if number is not None:
            invalid_each(path / name, number, formats.user_or_group_id(number), causes)
    if context.proc_mount is not None:
        if context.proc_mount not in {"Default", "Unmasked"}:
            causes.append(not_supported(path / "procMount", context.proc_mount, ("Default", "Unmasked")))
        if host_users and context.proc_mount == "Unmasked":
            causes.append(
                invalid(path / "procMount", context.proc_mount, "`hostUsers` must be false to use `Unmasked`")
            )
    _check_seccomp(context.seccomp_profile, path / "seccompProfile", causes)
    if context.allow_privilege_escalation is False:
        if context.privileged:
            causes.append(
                invalid(
                    path,
                    _shown(context),
                    "cannot set `allowPrivilegeEscalation` to false and `privileged` to true",
                )
            )
        if context.capabilities is not None and "CAP_SYS_ADMIN" in context.capabilities.add:
            causes.append(
                invalid(
                    path,
                    _shown(context),
                    "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN",
                )
            )
    if context.windows_options is not None:
        from podling.api.validation import windows

        windows.check_options(context.windows_options, path / "windowsOptions", causes)
    _check_app_armor(context.app_armor_profile, path / "appArmorProfile", causes)


def check_annotations(annotations: Mapping[str, str], spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    """Check the values of the annotations that came before the fields."""
    for key, value in annotations.items():
        if key == SECCOMP_POD or key.startswith(SECCOMP_CONTAINER):
            if value in {"runtime/default", "docker/default", "unconfined"}:
                continue
            if value.startswith("localhost/"):
                check_descending(value.removeprefix("localhost/"), path / key, causes)
            else:
                causes.append(invalid(path / key, value, "must be a valid seccomp profile"))
        elif key.startswith(APP_ARMOR):
            container = key.removeprefix(APP_ARMOR)
            if container not in _container_names(spec):
                causes.append(invalid(path.key(key), container, "container not found"))
            if value not in {"", "runtime/default", "unconfined"} and not value.startswith("localhost/"):
                causes.append(invalid(path.key(key), value, f'invalid AppArmor profile name: "{value}"'))


def check_annotations_match(annotations: Mapping[str, str], spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    """Refuse annotations that say something else than the fields; only on create."""
    pod = spec.security_context
    contexts = [
        (where / "securityContext", container.name, container.security_context)
        for where, container in visit(spec, path)
    ]
    if pod is not None and pod.seccomp_profile is not None and SECCOMP_POD in annotations:
        where = path / "securityContext" / "seccompProfile"
        _check_match(annotations[SECCOMP_POD], pod.seccomp_profile, "seccomp", where, causes)
    for where, name, context in contexts:
        annotation = annotations.get(SECCOMP_CONTAINER + name)
        if annotation is not None and context is not None and context.seccomp_profile is not None:
            _check_match(annotation, context.seccomp_profile, "seccomp", where / "seccompProfile", causes)
    if spec.os is not None and spec.os.name == "windows":
        return
    for where, name, context in contexts:
        profile = context.app_armor_profile if context is not None else None
        if profile is None and pod is not None:
            profile = pod.app_armor_profile
        annotation = annotations.get(APP_ARMOR + name)
        if annotation is not None and profile is not None:
            _check_match(annotation, profile, "apparmor", where / "appArmorProfile", causes)


def _check_match(
    annotation: str, profile: SeccompProfile | AppArmorProfile, what: str, path: Path, causes: list[Cause]
) -> None:
    same_type = {
        "Unconfined": annotation == "unconfined",
        "RuntimeDefault": annotation == "runtime/default" or (what == "seccomp" and annotation == "docker/default"),
        "Localhost": annotation.startswith("localhost/"),
    }.get(profile.type, True)
    if not same_type:
        causes.append(forbidden(path / "type", f"{what} type in annotation and field must match"))
    elif profile.type == "Localhost" and annotation.removeprefix("localhost/") != profile.localhost_profile:
        causes.append(forbidden(path / "localhostProfile", f"{what} profile in annotation and field must match"))


def _container_names(spec: PodSpec) -> set[str]:
    return {container.name for _, container in visit(spec, SPEC)}


def _check_seccomp(profile: SeccompProfile | None, path: Path, causes: list[Cause]) -> None:
    if profile is None:
        return
    if not profile.type:
        causes.append(required(path / "type", "type is required when seccompProfile is set"))
    elif profile.type not in _PROFILE_TYPES:
        causes.append(not_supported(path / "type", profile.type, _PROFILE_TYPES))
    where = path / "localhostProfile"
    if profile.type == "Localhost":
        if profile.localhost_profile is None:
            causes.append(required(where, "must be set when seccomp type is Localhost"))
        else:
            check_descending(profile.localhost_profile, where, causes)
    elif profile.localhost_profile is not None:
        shown = {"Type": profile.type, "LocalhostProfile": profile.localhost_profile}
        causes.append(invalid(where, shown, "can only be set when seccomp type is Localhost"))


def _check_app_armor(profile: AppArmorProfile | None, path: Path, causes: list[Cause]) -> None:
    if profile is None:
        return
    where, name = path / "localhostProfile", profile.localhost_profile
    match profile.type:
        case "Localhost":
            if name is None:
                causes.append(required(where, "must be set when AppArmor type is Localhost"))
                return
            if name.strip() != name:
                causes.append(invalid(where, name, "must not be padded with whitespace"))
            elif not name:
                causes.append(required(where, "must be set when AppArmor type is Localhost"))
            if len(name) > _LONGEST_PROFILE:
                causes.append(too_long(where, _LONGEST_PROFILE))
        case "RuntimeDefault" | "Unconfined":
            if name is not None:
                causes.append(invalid(where, name, "can only be set when AppArmor type is Localhost"))
        case "":
            causes.append(required(path / "type", "type is required when appArmorProfile is set"))
        case other:
            causes.append(not_supported(path / "type", other, _PROFILE_TYPES))


def _check_sysctls(context: PodSecurityContext, spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    seen = set()
    for i, sysctl in enumerate(context.sysctls):
        where, name = path[i] / "name", sysctl.name
        if not name:
            causes.append(required(where))
        elif len(name) > 253 or not _is_sysctl(name):
            causes.append(invalid(where, name, f"must have at most 253 characters and match regex ^{_SYSCTL}$"))
        elif name in seen:
            causes.append(duplicate(where, name))
        seen.add(name)
        dotted = _dotted(name)
        if spec.host_network and dotted.startswith("net."):
            causes.append(invalid(where, name, "may not be specified when 'hostNetwork' is true"))
        elif spec.host_ipc and (dotted in _IPC_SYSCTLS or dotted.startswith(("kernel.msg", "fs.mqueue."))):
            causes.append(invalid(where, name, "may not be specified when 'hostIPC' is true"))


def _dotted(name: str) -> str:
    """Return a sysctl's name with dots; in names with slashes, dots and slashes change places."""
    first = next((character for character in name if character in "./"), ".")
    return name if first == "." else name.translate(str.maketrans("./", "/."))


def _shown(context: SecurityContext) -> dict[str, object]:
    capabilities, seccomp, app_armor = context.capabilities, context.seccomp_profile, context.app_armor_profile
    labels, windows = context.se_linux_options, context.windows_options
    return {
        "Capabilities": None
        if capabilities is None
        else {"Add": capabilities.add or None, "Drop": capabilities.drop or None},
        "Privileged": context.privileged,
        "SELinuxOptions": None
        if labels is None
        else {"User": labels.user, "Role": labels.role, "Type": labels.type, "Level": labels.level},
        "WindowsOptions": None
        if windows is None
        else {
            "GMSACredentialSpecName": windows.gmsa_credential_spec_name,
            "GMSACredentialSpec": windows.gmsa_credential_spec,
            "RunAsUserName": windows.run_as_user_name,
            "HostProcess": windows.host_process,
        },
        "RunAsUser": context.run_as_user,
        "RunAsGroup": context.run_as_group,
        "RunAsNonRoot": context.run_as_non_root,
        "ReadOnlyRootFilesystem": context.read_only_root_filesystem,
        "AllowPrivilegeEscalation": context.allow_privilege_escalation,
        "ProcMount": context.proc_mount,
        "SeccompProfile": None
        if seccomp is None
        else {"Type": seccomp.type, "LocalhostProfile": seccomp.localhost_profile},
        "AppArmorProfile": None
        if app_armor is None
        else {"Type": app_armor.type, "LocalhostProfile": app_armor.localhost_profile},
    }
