"""What the level `restricted` asks for beside `baseline`: the least that an ordinary program needs.

Each check answers for one of upstream's, by its name there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.pod_security.baseline import bad_seccomp
from podling.api.pod_security.wording import Subject, Violation, containers, plural, quoted, setters

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Volume

_VOLUMES: Final = (
    "config_map", "csi", "downward_api", "empty_dir", "ephemeral", "image", "persistent_volume_claim", "projected",
    "secret",
)  # fmt: skip
_OTHER_VOLUMES: Final = {
    "host_path": "hostPath", "gce_persistent_disk": "gcePersistentDisk",
    "aws_elastic_block_store": "awsElasticBlockStore", "git_repo": "gitRepo", "nfs": "nfs", "iscsi": "iscsi",
    "glusterfs": "glusterfs", "rbd": "rbd", "flex_volume": "flexVolume", "cinder": "cinder", "cephfs": "cephfs",
    "flocker": "flocker", "fc": "fc", "azure_file": "azureFile", "vsphere_volume": "vsphereVolume",
    "quobyte": "quobyte", "azure_disk": "azureDisk", "photon_persistent_disk": "photonPersistentDisk",
    "portworx_volume": "portworxVolume", "scale_io": "scaleIO", "storageos": "storageos",
}  # fmt: skip


def allow_privilege_escalation(subject: Subject, minor: int) -> Violation | None:
    """Ask that nobody becomes more than it is, since 1.8; Windows knows no such thing, since 1.25."""
    if minor < 8 or (subject.windows and minor >= 25):
        return None
    names = [
        container.name
        for container in subject.containers()
        if container.security_context is None or container.security_context.allow_privilege_escalation is not False
    ]
    if not names:
        return None
    what = "must set securityContext.allowPrivilegeEscalation=false"
    return Violation("allowPrivilegeEscalation != false", f"{containers(names)} {what}")


def capabilities(subject: Subject, minor: int) -> Violation | None:
    """Ask that all are dropped and only low ports may be bound, since 1.22."""
    if minor < 22 or (subject.windows and minor >= 25):
        return None
    keeping, adding, added = [], [], set()
    for container in subject.containers():
        held = container.security_context.capabilities if container.security_context is not None else None
        if held is None or "ALL" not in held.drop:
            keeping.append(container.name)
        more = {name for name in held.add if name != "NET_BIND_SERVICE"} if held is not None else set()
        if more:
            adding.append(container.name)
            added |= more
    details = [f'{containers(keeping)} must set securityContext.capabilities.drop=["ALL"]'] if keeping else []
    if adding:
        what = quoted(sorted(added))
        details.append(f"{containers(adding)} must not include {what} in securityContext.capabilities.add")
    return Violation("unrestricted capabilities", "; ".join(details)) if details else None


def volumes(subject: Subject, minor: int) -> Violation | None:
    """Allow what comes from the API, an image or a claim."""
    del minor
    bad = [each for each in subject.spec.volumes if all(getattr(each, kind) is None for kind in _VOLUMES)]
    if not bad:
        return None
    names, kinds = [volume.name for volume in bad], sorted({_kind(volume) for volume in bad})
    verb = plural("uses", "use", names)
    what = plural("restricted volume type", "restricted volume types", kinds)
    return Violation(
        "restricted volume types", f"{plural('volume', 'volumes', names)} {quoted(names)} {verb} {what} {quoted(kinds)}"
    )


def _kind(volume: Volume) -> str:
    return next((name for field, name in _OTHER_VOLUMES.items() if getattr(volume, field) is not None), "unknown")


def run_as_non_root(subject: Subject, minor: int) -> Violation | None:
    """Ask that nobody is root, by the Pod's word or each container's."""
    del minor
    who = setters(subject, lambda context: context.run_as_non_root is False)
    if who:
        return Violation("runAsNonRoot != true", f"{who} must not set securityContext.runAsNonRoot=false")
    whole = subject.spec.security_context
    if whole is not None and whole.run_as_non_root:
        return None
    names = [
        container.name
        for container in subject.containers()
        if container.security_context is None or container.security_context.run_as_non_root is None
    ]
    if not names:
        return None
    return Violation("runAsNonRoot != true", f"pod or {containers(names)} must set securityContext.runAsNonRoot=true")


def run_as_user(subject: Subject, minor: int) -> Violation | None:
    """Forbid the number 0, since 1.23."""
    who = setters(subject, lambda context: context.run_as_user == 0) if minor >= 23 else ""
    return Violation("runAsUser=0", f"{who} must not set runAsUser=0") if who else None


def seccomp_profile(subject: Subject, minor: int) -> Violation | None:
    """Ask that everybody is confined, since 1.19; Windows knows no such thing, since 1.25."""
    if minor < 19 or (subject.windows and minor >= 25):
        return None
    bad = bad_seccomp(subject)
    if bad is not None:
        return bad
    whole = subject.spec.security_context
    if whole is not None and whole.seccomp_profile is not None:
        return None
    names = [
        container.name
        for container in subject.containers()
        if container.security_context is None or container.security_context.seccomp_profile is None
    ]
    if not names:
        return None
    return Violation(
        "seccompProfile",
        f'pod or {containers(names)} must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"',
    )
