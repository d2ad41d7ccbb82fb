"""What only Windows Pods have, and what they cannot have.

Loaded only where a Pod says so. Podling runs no Windows containers; an API server takes their Pods all the same.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from podling.api.validation import formats
from podling.api.validation.field import Path, forbidden, invalid, invalid_each
from podling.api.validation.visit import visit

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import PodSpec, WindowsSecurityContextOptions

_DOMAIN_NAME = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}')
_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS_DOMAIN = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*")
_ODD_CHARACTERS = re.compile(r'["/\\:;|=,+*?<>@\[\]]')
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def check_options(options: WindowsSecurityContextOptions, path: Path, causes: list[Cause]) -> None:
    spec_name = options.gmsa_credential_spec_name
    if spec_name is not None:
        invalid_each(path / "gmsaCredentialSpecName", spec_name, formats.dns_subdomain(spec_name), causes)
    credential = options.gmsa_credential_spec
    if credential is not None:
        where = path / "gmsaCredentialSpec"
        if not credential:
            causes.append(invalid(where, credential, "gmsaCredentialSpec cannot be an empty string"))
        elif len(credential) > 64 * 1024:
            causes.append(invalid(where, credential, "gmsaCredentialSpec size must be under 64 KiB"))
    if options.run_as_user_name is not None:
        where = path / "runAsUserName"
        invalid_each(where, options.run_as_user_name, _user_name(options.run_as_user_name), causes)


def _user_name(name: str) -> list[str]:
    if not name:
        return ["runAsUserName cannot be an empty string"]
    if _CONTROL.search(name):
        return ["runAsUserName cannot contain control characters"]
    if name.count("\\") > 1:
        return ["runAsUserName cannot contain more than one backslash"]
    domain, backslash, user = name.rpartition("\\")
    complaints = []
    if len(domain) >= 256:
        complaints.append("runAsUserName's Domain length must be under 256 characters")
    if backslash and not (_DOMAIN_NAME.fullmatch(domain) or _DNS_DOMAIN.fullmatch(domain)):
        complaints.append("runAsUserName's Domain doesn't match the NetBios nor the DNS format")
    if not user:
        complaints.append("runAsUserName's User cannot be empty")
    elif len(user) > 104:
        complaints.append("runAsUserName's User length must not be longer than 104 characters")
    if user and not user.strip(". "):
        complaints.append("runAsUserName's User cannot contain only periods or spaces")
    if _ODD_CHARACTERS.search(user):
        complaints.append("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return complaints


def check_host_process(spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    """Check that either all containers are host processes or none is."""
    context = spec.security_context
    pod = context.windows_options.host_process if context is not None and context.windows_options is not None else None
    containers = host_processes = 0
    for where, container in visit(spec, path):
        containers += 1
        own = None
        if container.security_context is not None and container.security_context.windows_options is not None:
            own = container.security_context.windows_options.host_process
        if pod is not None and own is not None and pod != own:
            said = "true" if pod else "false"
            causes.append(
                invalid(
                    where / "securityContext" / "windowsOptions" / "hostProcess",
                    own,
                    f"pod hostProcess value must be identical if both are specified, was {said}",
                )
            )
        host_processes += bool(own if own is not None else pod)
    if not host_processes:
        return
    if host_processes != containers:
        causes.append(
            invalid(
                path,
                "",
                "If pod contains any hostProcess containers then all containers must be HostProcess containers",
            )
        )
    if not spec.host_network:
        causes.append(
            invalid(path / "hostNetwork", False, "hostNetwork must be true if pod contains any hostProcess containers")
        )


def check_linux(spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    """Refuse Windows's options in a Pod that says it is for Linux."""
    said = "windows options cannot be set for a linux pod"
    if spec.security_context is not None and spec.security_context.windows_options is not None:
        causes.append(forbidden(path / "securityContext" / "windowsOptions", said))
    for where, container in visit(spec, path):
        if container.security_context is not None and container.security_context.windows_options is not None:
            causes.append(forbidden(where / "securityContext" / "windowsOptions", said))


def check_windows(spec: PodSpec, path: Path, causes: list[Cause]) -> None:
    """Refuse Linux's options in a Pod that says it is for Windows."""
    said = "cannot be set for a windows pod"
    context = spec.security_context
    where = path / "securityContext"
    pod = (
        (where / "appArmorProfile", context and context.app_armor_profile is not None),
        (where / "seLinuxOptions", context and context.se_linux_options is not None),
        (path / "hostUsers", spec.host_users is not None),
        (path / "hostPID", spec.host_pid),
        (path / "hostIPC", spec.host_ipc),
        (where / "seccompProfile", context and context.seccomp_profile is not None),
        (where / "fsGroup", context and context.fs_group is not None),
        (where / "fsGroupChangePolicy", context and context.fs_group_change_policy is not None),
        (where / "sysctls", context and context.sysctls),
        (path / "shareProcessNamespace", spec.share_process_namespace is not None),
        (where / "runAsUser", context and context.run_as_user is not None),
        (where / "runAsGroup", context and context.run_as_group is not None),
        (where / "supplementalGroups", context and context.supplemental_groups),
        (where / "supplementalGroupsPolicy", context and context.supplemental_groups_policy is not None),
        (where / "seLinuxChangePolicy", context and context.se_linux_change_policy is not None),
    )
    causes.extend(forbidden(field, said) for field, given in pod if given)
    for at, container in visit(spec, path):
        own = container.security_context
        if own is None:
            continue
        fields = (
            ("appArmorProfile", own.app_armor_profile),
            ("seLinuxOptions", own.se_linux_options),
            ("seccompProfile", own.seccomp_profile),
            ("capabilities", own.capabilities),
            ("readOnlyRootFilesystem", own.read_only_root_filesystem),
            ("privileged", own.privileged),
            ("allowPrivilegeEscalation", own.allow_privilege_escalation),
            ("procMount", own.proc_mount),
            ("runAsUser", own.run_as_user),
            ("runAsGroup", own.run_as_group),
        )
        causes.extend(forbidden(at / "securityContext" / name, said) for name, value in fields if value is not None)
