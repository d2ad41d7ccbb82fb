"""What may change in a Pod through its subresource `resize`: CPU and memory, of containers and of the Pod itself.

A resize takes no amount away. Must not know QoS classes, which a resize does not change either, nor whether the node
has room: that is the kubelet's. Order of causes: upstream's ValidatePodResize; containers that were renamed or moved
end the check, because what follows goes by their places.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.annotations import MIRROR
from podling.api.types.core_v1 import ResourceRequirements
from podling.api.validation import meta, pod
from podling.api.validation.difference import comparable
from podling.api.validation.field import ROOT, SPEC, Path, forbidden

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import Container, Pod, PodSpec

_RESIZED = ("cpu", "memory")
_NOTHING = ResourceRequirements()


def check_resize(new: Pod, old: Pod, causes: list[Cause]) -> None:
    """Check a change of a Pod's resources; all but these is in `new` as in `old`."""
    if MIRROR in old.metadata.annotations:
        causes.append(forbidden(ROOT, "static pods cannot be resized"))
        return
    if old.spec.os is not None and old.spec.os.name == "windows":
        causes.append(forbidden(ROOT, "windows pods cannot be resized"))
        return
    meta.check_update(new.metadata, old.metadata, causes)
    pod.check_pod(new, causes)
    if not _node_resizes(old):
        causes.append(forbidden(SPEC, "Pod running on node without support for resize"))
    munged = _check_own(new.spec, old.spec, causes)
    if old.status.node_allocatable_resource_claim_statuses:
        causes.append(forbidden(SPEC, "pods with node allocatable resource claims cannot be resized"))
    if not _same_order(new.spec, old.spec, causes):
        return
    for name, containers, before in _groups(new.spec, old.spec):
        for i, container in enumerate(containers):
            where = (SPEC / name)[i] / "resources"
            _check_kept(container.resources or _NOTHING, before[i].resources or _NOTHING, where, causes)
    munged = msgspec.structs.replace(
        munged,
        containers=_check_regular(new.spec.containers, old.spec.containers, causes),
        init_containers=_check_init(new.spec.init_containers, old.spec.init_containers, causes),
    )
    if not causes and comparable(munged) != comparable(old.spec):
        causes.append(forbidden(SPEC, "only cpu and memory resources are mutable"))


def _node_resizes(of: Pod) -> bool:
    """Whether the node says what running containers hold; nothing running says nothing against it."""
    for status in of.status.container_statuses:
        if status.state is not None and status.state.running is not None:
            return status.resources is not None
    return True


def _groups(new: PodSpec, old: PodSpec) -> tuple[tuple[str, tuple[Container, ...], tuple[Container, ...]], ...]:
    return (
        ("initContainers", new.init_containers, old.init_containers),
        ("containers", new.containers, old.containers),
    )


def _same_order(new: PodSpec, old: PodSpec, causes: list[Cause]) -> bool:
    before = len(causes)
    for name, after, was in reversed(_groups(new, old)):
        if len(after) != len(was):
            causes.append(forbidden(SPEC / name, f"{name} may not be added or removed on resize"))
            continue
        for i, container in enumerate(after):
            if container.name != was[i].name:
                said = f"{name} may not be renamed or reordered on resize"
                causes.append(forbidden((SPEC / name)[i] / "name", said))
    return len(causes) == before


def _check_own(new: PodSpec, old: PodSpec, causes: list[Cause]) -> PodSpec:
    """Check the Pod's own resources, and return the new specification with those as they were."""
    after, before, where = new.resources, old.resources, SPEC / "resources"
    if not (_asks(after) or _asks(before)):
        return new
    if after is None:
        causes.append(forbidden(where, "pod-level resources cannot be removed"))
        return msgspec.structs.replace(new, resources=before)
    if before is not None:
        _check_kept(after, before, where, causes, "pod-level resource")
    reset = _reset(after, before or _NOTHING)
    if comparable(reset) != comparable(before or _NOTHING):
        causes.append(forbidden(SPEC, "only cpu and memory resources are mutable at pod-level"))
    return msgspec.structs.replace(new, resources=before)


def _asks(resources: ResourceRequirements | None) -> bool:
    return resources is not None and bool(resources.requests or resources.limits)


def _check_kept(
    new: ResourceRequirements, old: ResourceRequirements, path: Path, causes: list[Cause], what: str = "resource"
) -> None:
    causes.extend(
        forbidden(path / part, f"{what} {part} cannot be removed")
        for part in ("requests", "limits")
        if getattr(old, part).keys() - getattr(new, part).keys()
    )


def _check_regular(
    new: tuple[Container, ...], old: tuple[Container, ...], causes: list[Cause]
) -> tuple[Container, ...]:
    reset = tuple(_with_old_amounts(container, before) for container, before in zip(new, old, strict=True))
    causes.extend(
        forbidden(SPEC, "only cpu and memory resources are mutable")
        for container, before in zip(reset, old, strict=True)
        if comparable(container) != comparable(before)
    )
    return reset


def _check_init(new: tuple[Container, ...], old: tuple[Container, ...], causes: list[Cause]) -> tuple[Container, ...]:
    done = []
    for i, (container, before) in enumerate(zip(new, old, strict=True)):
        where = (SPEC / "initContainers")[i]
        reset = _with_old_amounts(container, before)
        done.append(reset)
        if comparable(reset) != comparable(before):
            said = "only cpu and memory resources for init or sidecar containers are mutable"
            causes.append(forbidden(where, said))
        restarts = any(policy.restart_policy == "RestartContainer" for policy in container.resize_policy)
        if container.restart_policy != "Always" and restarts and comparable(container) != comparable(before):
            said = "non-sidecar init containers with a resize policy of RestartContainer cannot be resized"
            causes.append(forbidden(where, said))
    return tuple(done)


def _with_old_amounts(new: Container, old: Container) -> Container:
    resources = _reset(new.resources or _NOTHING, old.resources or _NOTHING)
    if comparable(resources) == comparable(old.resources or _NOTHING):
        return msgspec.structs.replace(new, resources=old.resources)
    return msgspec.structs.replace(new, resources=resources)


def _reset(new: ResourceRequirements, old: ResourceRequirements) -> ResourceRequirements:
    """Return the new resources with the amounts of CPU and memory that there were."""
    return msgspec.structs.replace(
        new, limits=_with_old(new.limits, old.limits), requests=_with_old(new.requests, old.requests)
    )


def _with_old(new: Mapping[str, str], old: Mapping[str, str]) -> dict[str, str]:
    kept = {name: text for name, text in new.items() if name not in _RESIZED}
    return {**kept, **{name: text for name, text in old.items() if name in _RESIZED}}
