"""What may change in a Pod: images, the deadline, tolerations added, gates removed; all else is refused with a diff.

The subresource `ephemeralcontainers` has a check of its own. Causes come in upstream's order; three of them end the
check, because what follows could not be told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.annotations import MIRROR
from podling.api.names import out_of_range
from podling.api.types.core_v1 import Affinity
from podling.api.validation import meta, pod, tolerations
from podling.api.validation.difference import comparable, differences
from podling.api.validation.field import METADATA, ROOT, SPEC, Path, forbidden, invalid, required
from podling.api.validation.security import APP_ARMOR

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        Container,
        NodeAffinity,
        NodeSelectorTerm,
        Pod,
        PodSchedulingGate,
        PodSpec,
    )

_UPDATABLE = (
    "`spec.containers[*].image`",
    "`spec.initContainers[*].image`",
    "`spec.activeDeadlineSeconds`",
    "`spec.tolerations` (only additions to existing tolerations)",
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)",
)


def check_update(new: Pod, old: Pod, causes: list[Cause]) -> None:
    """Check a change of a Pod by its main resource."""
    meta.check_update(new.metadata, old.metadata, causes)
    pod.check_pod(new, causes)
    check_annotation_update(new, old, causes)
    for name, containers, before in (
        ("containers", new.spec.containers, old.spec.containers),
        ("initContainers", new.spec.init_containers, old.spec.init_containers),
    ):
        if not _check_images(containers, before, SPEC / name, causes):
            return
    if not _check_deadline(new.spec, old.spec, causes):
        return
    tolerations.check_only_added(new.spec.tolerations, old.spec.tolerations, SPEC / "tolerations", causes)
    _check_gates_removed(new.spec.scheduling_gates, old.spec.scheduling_gates, SPEC / "schedulingGates", causes)
    if new.spec == old.spec:
        return
    munged = _munged(new.spec, old.spec)
    if old.spec.scheduling_gates:
        munged = _check_gated(munged, old.spec, causes)
    if munged == old.spec:
        return
    was, would_be = comparable(old.spec), comparable(munged)
    if was != would_be:
        lines = "\n".join(differences(was, would_be))
        fields = ",".join(_UPDATABLE)
        causes.append(forbidden(SPEC, f"pod updates may not change fields other than {fields}\n{lines}\n"))


def check_ephemeral_containers_update(new: Pod, old: Pod, causes: list[Cause]) -> None:
    """Check a change through the subresource `ephemeralcontainers`: containers may be added, never changed."""
    if MIRROR in old.metadata.annotations:
        causes.append(forbidden(ROOT, "static pods do not support ephemeral containers"))
        return
    meta.check_update(new.metadata, old.metadata, causes)
    pod.check_pod(new, causes)
    check_annotation_update(new, old, causes)
    path = SPEC / "ephemeralContainers"
    added = {container.name: container for container in new.spec.ephemeral_containers}
    for before in old.spec.ephemeral_containers:
        after = added.get(before.name)
        if after is None:
            causes.append(forbidden(path, f'existing ephemeral containers "{before.name}" may not be removed\n'))
        elif after != before:
            was, would_be = comparable(before), comparable(after)
            if was != would_be:
                lines = "\n".join(differences(was, would_be))
                said = f'existing ephemeral containers "{before.name}" may not be changed\n{lines}\n'
                causes.append(forbidden(path, said))


def check_annotation_update(new: Pod, old: Pod, causes: list[Cause]) -> None:
    """Check annotations that must stay as they were made."""
    path = METADATA / "annotations"
    for key, value in old.metadata.annotations.items():
        if new.metadata.annotations.get(key) == value:
            continue
        if key.startswith(APP_ARMOR):
            causes.append(forbidden(path.key(key), "may not remove or update AppArmor annotations"))
        if key == MIRROR:
            causes.append(forbidden(path.key(key), "may not remove or update mirror pod annotation"))
    for key in new.metadata.annotations:
        if key in old.metadata.annotations:
            continue
        if key.startswith(APP_ARMOR):
            causes.append(forbidden(path.key(key), "may not add AppArmor annotations"))
        if key == MIRROR:
            causes.append(forbidden(path.key(key), "may not add mirror pod annotation"))
    if new.metadata.annotations:
        pod.check_annotations(new.metadata.annotations, new.spec, path, causes)


def _check_images(new: tuple[Container, ...], old: tuple[Container, ...], path: Path, causes: list[Cause]) -> bool:
    if len(new) != len(old):
        causes.append(forbidden(path, "pod updates may not add or remove containers"))
        return False
    for i, container in enumerate(new):
        if not container.image:
            causes.append(required(path[i] / "image"))
        if container.image != container.image.strip():
            said = "must not have leading or trailing whitespace"
            causes.append(invalid(path[i] / "image", container.image, said))
    return True


def _check_deadline(new: PodSpec, old: PodSpec, causes: list[Cause]) -> bool:
    path, after, before = SPEC / "activeDeadlineSeconds", new.active_deadline_seconds, old.active_deadline_seconds
    if after is None:
        if before is not None:
            causes.append(invalid(path, None, "must not update from a positive integer to nil value"))
        return True
    if not 0 <= after <= pod.MAX_INT32:
        causes.append(invalid(path, after, out_of_range(0, pod.MAX_INT32)))
        return False
    if before is not None and before < after:
        causes.append(invalid(path, after, "must be less than or equal to previous value"))
        return False
    return True


def _check_gates_removed(
    new: tuple[PodSchedulingGate, ...], old: tuple[PodSchedulingGate, ...], path: Path, causes: list[Cause]
) -> None:
    known = {gate.name for gate in old}
    for i, gate in enumerate(new):
        if gate.name not in known:
            said = f"only deletion is allowed, but found new scheduling gate '{gate.name}'"
            causes.append(forbidden(path[i] / "name", said))


def _munged(new: PodSpec, old: PodSpec) -> PodSpec:
    """Return the new specification with what may change as it was."""
    grace = new.termination_grace_period_seconds
    before = old.termination_grace_period_seconds
    if before is not None and before < 0 and grace == 1:
        grace = before
    return msgspec.structs.replace(
        new,
        containers=_with_images(new.containers, old.containers),
        init_containers=_with_images(new.init_containers, old.init_containers),
        active_deadline_seconds=old.active_deadline_seconds,
        scheduling_gates=old.scheduling_gates,
        tolerations=old.tolerations,
        termination_grace_period_seconds=grace,
    )


def _with_images(new: tuple[Container, ...], old: tuple[Container, ...]) -> tuple[Container, ...]:
    return tuple(
        msgspec.structs.replace(container, image=before.image) for container, before in zip(new, old, strict=True)
    )


def _check_gated(new: PodSpec, old: PodSpec, causes: list[Cause]) -> PodSpec:
    """Check what else may change while a Pod is gated: where it may run becomes narrower, never wider."""
    if new.node_selector != old.node_selector:
        if not old.node_selector.items() <= new.node_selector.items():
            said = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
            causes.append(invalid(SPEC / "nodeSelector", new.node_selector, said))
        new = msgspec.structs.replace(new, node_selector=old.node_selector)
    after = new.affinity.node_affinity if new.affinity is not None else None
    before = old.affinity.node_affinity if old.affinity is not None else None
    if after == before:
        return new
    _check_node_affinity_narrowed(after, before, SPEC / "affinity" / "nodeAffinity", causes)
    affinity = new.affinity
    if affinity is None:
        affinity = Affinity(node_affinity=before)
    elif old.affinity is None and affinity.pod_affinity is None and affinity.pod_anti_affinity is None:
        affinity = None
    else:
        affinity = msgspec.structs.replace(affinity, node_affinity=before)
    return msgspec.structs.replace(new, affinity=affinity)


def _check_node_affinity_narrowed(
    new: NodeAffinity | None, old: NodeAffinity | None, path: Path, causes: list[Cause]
) -> None:
    if old is None or old.required_during_scheduling_ignored_during_execution is None:
        return
    before = old.required_during_scheduling_ignored_during_execution.node_selector_terms
    wanted = new.required_during_scheduling_ignored_during_execution if new is not None else None
    after = wanted.node_selector_terms if wanted is not None else ()
    where = path / "requiredDuringSchedulingIgnoredDuringExecution" / "nodeSelectorTerms"
    if before and len(before) != len(after):
        said = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        causes.append(invalid(where, [_shown(term) for term in after], said))
        return
    for i, (was, would_be) in enumerate(zip(before, after, strict=False)):
        if not _only_added(would_be, was):
            said = "only additions are allowed (no mutations or deletions)"
            causes.append(invalid(where[i], _shown(would_be), said))


def _only_added(new: NodeSelectorTerm, old: NodeSelectorTerm) -> bool:
    if not old.match_expressions and not old.match_fields:
        return not new.match_expressions and not new.match_fields
    return (
        new.match_expressions[: len(old.match_expressions)] == old.match_expressions
        and new.match_fields[: len(old.match_fields)] == old.match_fields
    )


def _shown(term: NodeSelectorTerm) -> dict[str, object]:
    return {
        name: [{"Key": one.key, "Operator": one.operator, "Values": one.values or None} for one in group] or None
        for name, group in (("MatchExpressions", term.match_expressions), ("MatchFields", term.match_fields))
    }
