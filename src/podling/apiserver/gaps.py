"""What is accepted and not carried out: one table, and the warnings that callers get from it.

Owns the list of leaves whose value changes nothing yet. A caller who sets one is told so in a `Warning` header at
every write, so that nothing is silently ignored. A line leaves the table with the change that makes its leaf true.

Paths are of the object: `[]` stands for every item of a list, `=VALUE` at the end for this value alone; a path stands
for all that is below it. `tests/leaves.py` says for all other leaves of these kinds which test saw them work.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from podling.api.resources import Resource

_NO_SELINUX = "SELinux labels are not applied"
_NO_APPARMOR = "AppArmor is not enabled on this machine: the profile is not applied"
_NO_DEFAULT_APPARMOR = "there is no default AppArmor profile: the container runs without one"
_NO_OPTIONS = "mount options are not applied: local volumes are bound as they are"
_NO_DEVICES = "block devices are not handed to containers"
_NO_WINDOWS = "no node runs Windows"
_UNMOUNTED = "volumes of this type are not mounted: the Pod waits with FailedMount"
_UNPROJECTED = "nothing signs certificates or bundles trust: the Pod waits with FailedMount"
_NO_CONDITIONS = "expressions are not evaluated: the webhook is called whatever they say"
_VOLUMES = (
    "awsElasticBlockStore", "azureDisk", "azureFile", "cephfs", "cinder", "csi", "fc", "flexVolume", "flocker",
    "gcePersistentDisk", "gitRepo", "glusterfs", "iscsi", "nfs", "photonPersistentDisk", "portworxVolume", "quobyte",
    "rbd", "scaleIO", "storageos", "vsphereVolume",
)  # fmt: skip
_UNLEVELLED = "priority and fairness is off: no request waits for others, and none is refused for them"
_CONTAINER_LISTS = ("containers", "initContainers", "ephemeralContainers")

_OF_PODS: Mapping[str, str] = {
    **{f"spec.volumes[].{kind}": _UNMOUNTED for kind in _VOLUMES},
    **{f"spec.volumes[].projected.sources[].{kind}": _UNPROJECTED for kind in ("clusterTrustBundle", "podCertificate")},
    "spec.volumes[].ephemeral.volumeClaimTemplate.spec.resources.limits": "nothing limits the size of a volume",
    "spec.volumes[].ephemeral.volumeClaimTemplate.spec.volumeAttributesClassName": (
        "attributes of volumes are not changed"
    ),
    "spec.resources.claims[]": "devices are not allocated",
    "spec.securityContext.seLinuxChangePolicy": _NO_SELINUX,
    "spec.securityContext.windowsOptions": _NO_WINDOWS,
    "spec.resourceClaims[]": "devices are not allocated",
    "spec.schedulingGroup": "Pods are scheduled one by one",
    "spec.securityContext.appArmorProfile.type=Localhost": _NO_APPARMOR,
    "spec.securityContext.appArmorProfile.type=RuntimeDefault": _NO_DEFAULT_APPARMOR,
    "spec.securityContext.seLinuxOptions": _NO_SELINUX,
    **{
        f"spec.{containers}[].{leaf}": why
        for containers in _CONTAINER_LISTS
        for leaf, why in {
            "resources.claims[]": "devices are not allocated",
            "securityContext.appArmorProfile.type=Localhost": _NO_APPARMOR,
            "securityContext.appArmorProfile.type=RuntimeDefault": _NO_DEFAULT_APPARMOR,
            "securityContext.seLinuxOptions": _NO_SELINUX,
            "securityContext.windowsOptions": _NO_WINDOWS,
            "volumeDevices[]": _NO_DEVICES,
        }.items()
    },
}
_OF_JOB_TEMPLATES: Mapping[str, str] = {f"spec.jobTemplate.spec.template.{path}": why for path, why in _OF_PODS.items()}
_OF_TEMPLATES: Mapping[str, str] = {f"spec.template.{path}": why for path, why in _OF_PODS.items()}
_TEMPLATED = ("DaemonSet", "Deployment", "Job", "ReplicaSet", "ReplicationController", "StatefulSet")

UNENFORCED: Mapping[str, Mapping[str, str]] = {
    "Pod": _OF_PODS,
    **dict.fromkeys(_TEMPLATED, _OF_TEMPLATES),
    "CronJob": _OF_JOB_TEMPLATES,
    "FlowSchema": {"spec": _UNLEVELLED},
    "PersistentVolume": {
        "spec.mountOptions[]": _NO_OPTIONS,
        "spec.volumeMode=Block": _NO_DEVICES,
        "spec.volumeAttributesClassName": "volumes have no attributes to change",
    },
    "PersistentVolumeClaim": {
        "spec.volumeMode=Block": _NO_DEVICES,
        "spec.volumeAttributesClassName": "volumes have no attributes to change",
    },
    "PriorityLevelConfiguration": {"spec": _UNLEVELLED},
    "StorageClass": {"mountOptions[]": _NO_OPTIONS},
    "MutatingWebhookConfiguration": {"webhooks[].matchConditions": _NO_CONDITIONS},
    "ValidatingWebhookConfiguration": {"webhooks[].matchConditions": _NO_CONDITIONS},
}
"""By kind: path → what does not happen."""


def unenforced(resource: Resource[Any], tree: dict[str, Any], *, apparmor: bool = False) -> list[str]:
    """Return a sentence for each leaf of `tree` that is set and not carried out, with its path.

    `apparmor` says that the machine has it.
    """
    table = UNENFORCED.get(resource.kind)
    if table is None:
        return []
    said = [(pattern, why) for pattern, why in table.items() if not (apparmor and why is _NO_APPARMOR)]
    return [f"{path}: {why}" for pattern, why in said for path in _found(tree, pattern)]


def _found(tree: dict[str, Any], pattern: str) -> Iterator[str]:
    path, _, wanted = pattern.partition("=")
    yield from _walk(tree, path.split("."), "", wanted)


def _walk(node: Any, steps: list[str], where: str, wanted: str) -> Iterator[str]:
    if not steps:
        if node not in (None, "", {}, []) and (not wanted or node == wanted):
            yield where
        return
    name = steps[0].removesuffix("[]")
    if not isinstance(node, dict) or name not in node:
        return
    value, place = node[name], f"{where}.{name}" if where else name
    if steps[0].endswith("[]"):
        for number, item in enumerate(value if isinstance(value, list) else ()):
            yield from _walk(item, steps[1:], f"{place}[{number}]", wanted)
    else:
        yield from _walk(value, steps[1:], place, wanted)
