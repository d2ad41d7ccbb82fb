"""What a container's processes may do: the Pod's and the container's security contexts, resolved.

Owns precedence (the container's word before the Pod's) and the checks that need the image: `runAsNonRoot`. Knows no
kernel. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.types.core_v1 import PodSecurityContext, SecurityContext
from podling.api.validation.security import APP_ARMOR
from podling.kubelet.objects import MissingReference
from podling.lifecycle.specs import full_name
from podling.runtime.protocol import Security

if TYPE_CHECKING:
    from pathlib import Path

    from podling.api.types.core_v1 import Pod, SeccompProfile
    from podling.lifecycle.specs import AnyContainer
    from podling.runtime.protocol import Image


def security_of(
    pod: Pod,
    container: AnyContainer,
    image: Image | None,
    seccomp_root: Path | None,
    *,
    seccomp_default: bool = False,
    apparmor: bool = False,
) -> Security:
    """Return the resolved context; `MissingReference` with upstream's words where `runAsNonRoot` is broken.

    `seccomp_default` gives `RuntimeDefault` to those who say nothing about seccomp; `apparmor` says that the node
    has it.
    """
    whole = pod.spec.security_context or PodSecurityContext()
    own = container.security_context or SecurityContext()
    user = own.run_as_user if own.run_as_user is not None else whole.run_as_user
    group = own.run_as_group if own.run_as_group is not None else whole.run_as_group
    non_root = own.run_as_non_root if own.run_as_non_root is not None else whole.run_as_non_root
    if non_root:
        _check_non_root(pod, container, image, user)
    groups = list(whole.supplemental_groups)
    if whole.fs_group is not None and whole.fs_group not in groups:
        groups.append(whole.fs_group)
    privileged = bool(own.privileged)
    capabilities = own.capabilities
    return Security(
        privileged=privileged,
        user=user,
        group=group,
        supplemental_groups=tuple(groups),
        supplemental_groups_strict=whole.supplemental_groups_policy == "Strict",
        add_capabilities=capabilities.add if capabilities is not None else (),
        drop_capabilities=capabilities.drop if capabilities is not None else (),
        no_new_privileges=own.allow_privilege_escalation is False and not privileged,
        read_only_root=bool(own.read_only_root_filesystem),
        seccomp="Unconfined"
        if privileged
        else _seccomp(own.seccomp_profile or whole.seccomp_profile, seccomp_root, default=seccomp_default),
        apparmor="" if privileged or not apparmor else _apparmor(pod, container.name, own, whole),
        masked_paths=own.proc_mount != "Unmasked",
    )


def _seccomp(profile: SeccompProfile | None, root: Path | None, *, default: bool) -> str:
    if profile is None:
        return "RuntimeDefault" if default else "Unconfined"
    if profile.type == "Unconfined":
        return "Unconfined"
    if profile.type == "Localhost" and profile.localhost_profile:
        if root is None:
            raise MissingReference(f"seccomp profile {profile.localhost_profile} is not on this node")
        return str(root / profile.localhost_profile)
    return "RuntimeDefault"


def _apparmor(pod: Pod, name: str, own: SecurityContext, whole: PodSecurityContext) -> str:
    """Return the node's profile that is asked for; the annotation of old counts where no field says anything."""
    profile = own.app_armor_profile or whole.app_armor_profile
    if profile is not None:
        return (profile.localhost_profile or "") if profile.type == "Localhost" else ""
    noted = pod.metadata.annotations.get(f"{APP_ARMOR}{name}", "")
    return noted.removeprefix("localhost/") if noted.startswith("localhost/") else ""


def _check_non_root(pod: Pod, container: AnyContainer, image: Image | None, user: int | None) -> None:
    where = f'(pod: "{full_name(pod)}", container: {container.name})'
    if user is not None:
        if user == 0:
            raise MissingReference(f"container's runAsUser breaks non-root policy {where}")
        return
    name = image.user.partition(":")[0] if image is not None else ""
    if name and not name.isdigit():
        raise MissingReference(
            f"container has runAsNonRoot and image has non-numeric user ({name}), "
            f"cannot verify user is non-root {where}"
        )
    if not name or int(name) == 0:
        raise MissingReference(f"container has runAsNonRoot and image will run as root {where}")
