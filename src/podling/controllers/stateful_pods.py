"""The Pods of a StatefulSet: each with a number, and by it a name, a place in DNS and claims of its own. Pure.

Owns the identity of such a Pod and what it is made from. A Pod whose name is not the set's name and a number is not the
set's, whatever its labels say.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.pods import is_ready
from podling.api.resources import STATEFUL_SETS
from podling.api.types.core_v1 import PersistentVolumeClaim, PersistentVolumeClaimVolumeSource, Volume
from podling.api.types.meta_v1 import ObjectMeta
from podling.controllers.availability import available_in
from podling.controllers.pods_of_templates import name_prefix, pod_of
from podling.controllers.revisions import HASH

if TYPE_CHECKING:
    from podling.api.types.apps_v1 import StatefulSet
    from podling.api.types.core_v1 import Pod, PodTemplateSpec

POD_NAME: Final = "statefulset.kubernetes.io/pod-name"
POD_INDEX: Final = "apps.kubernetes.io/pod-index"
_NAME: Final = re.compile(r"(.*)-(0|[1-9][0-9]{0,8})", re.DOTALL)


def number_of(found: StatefulSet, pod: Pod) -> int | None:
    """Return the number of a set's Pod; nothing for a Pod that cannot be the set's."""
    parts = _NAME.fullmatch(pod.metadata.name)
    return int(parts[2]) if parts is not None and parts[1] == found.metadata.name else None


def first_number(found: StatefulSet) -> int:
    return (found.spec.ordinals.start or 0) if found.spec.ordinals is not None else 0


def wanted(found: StatefulSet) -> range:
    """Return the numbers that the set wants a Pod of."""
    first = first_number(found)
    return range(first, first + (found.spec.replicas or 0))


def revision_of(pod: Pod) -> str:
    return pod.metadata.labels.get(HASH, "")


def is_running(pod: Pod) -> bool:
    """Whether a Pod runs and is ready."""
    return pod.status.phase == "Running" and is_ready(pod)


def is_available(pod: Pod, seconds: int, now: float) -> bool:
    """Whether a Pod has been running and ready for long enough; one on its way out may be."""
    return is_running(pod) and available_in(pod, seconds, now) == 0


def made_pod(found: StatefulSet, template: PodTemplateSpec, revision: str, number: int) -> Pod:
    """Return the Pod of a number, from the template of a revision."""
    name = f"{found.metadata.name}-{number}"
    pod = pod_of(template, STATEFUL_SETS, found, name=name)
    labels = {**pod.metadata.labels, HASH: revision, **_identity(name, number)}
    metadata = msgspec.structs.replace(pod.metadata, generate_name=name_prefix(found.metadata.name), labels=labels)
    claims = claims_of(found, number)
    volumes = (
        *(
            Volume(
                name=volume, persistent_volume_claim=PersistentVolumeClaimVolumeSource(claim_name=made.metadata.name)
            )
            for volume, made in claims.items()
        ),
        *(volume for volume in pod.spec.volumes if volume.name not in claims),
    )
    spec = msgspec.structs.replace(pod.spec, hostname=name, subdomain=found.spec.service_name, volumes=volumes)
    return msgspec.structs.replace(pod, metadata=metadata, spec=spec)


def identified(pod: Pod, number: int) -> Pod:
    """Return a Pod with the labels that tell who it is."""
    labels = {**pod.metadata.labels, **_identity(pod.metadata.name, number)}
    if labels == pod.metadata.labels:
        return pod
    return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(pod.metadata, labels=labels))


def claims_of(found: StatefulSet, number: int) -> dict[str, PersistentVolumeClaim]:
    """Return the claims of the Pod of a number, by the volume that each is."""
    selected = found.spec.selector.match_labels if found.spec.selector is not None else {}
    return {
        template.metadata.name: PersistentVolumeClaim(
            metadata=ObjectMeta(
                name=f"{template.metadata.name}-{found.metadata.name}-{number}",
                namespace=found.metadata.namespace,
                labels={**template.metadata.labels, **selected},
                annotations=template.metadata.annotations,
            ),
            spec=template.spec,
        )
        for template in found.spec.volume_claim_templates
    }


def _identity(name: str, number: int) -> dict[str, str]:
    return {POD_NAME: name, POD_INDEX: str(number)}
