"""Which ReplicaSet is a Deployment's present one, and the record of those before it. Pure.

Owns the revision annotations, the template's hash, and what a new ReplicaSet is made of. A ReplicaSet is found again by
its template, never by its hash: upstream hashes otherwise, and takes over all the same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.api.resources import DEPLOYMENTS
from podling.api.types.apps_v1 import ReplicaSet, ReplicaSetSpec
from podling.api.types.meta_v1 import LabelSelector, ObjectMeta
from podling.controllers.deployment_sizes import DESIRED, MOST, max_surge, wanted
from podling.controllers.pods_of_templates import controller_reference

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.types.apps_v1 import Deployment
    from podling.api.types.core_v1 import PodTemplateSpec

HASH: Final = "pod-template-hash"
REVISION: Final = "deployment.kubernetes.io/revision"
HISTORY: Final = "deployment.kubernetes.io/revision-history"
_NOT_COPIED: Final = frozenset(
    (
        "kubectl.kubernetes.io/last-applied-configuration",
        "deprecated.deployment.rollback.to",
        REVISION,
        HISTORY,
        DESIRED,
        MOST,
    )
)
_LONGEST_HISTORY: Final = 2000
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"
_FNV_BASIS, _FNV_PRIME = 2166136261, 16777619


def by_age(sets: Iterable[ReplicaSet]) -> list[ReplicaSet]:
    """Return ReplicaSets, the oldest first."""
    return sorted(sets, key=lambda one: (one.metadata.creation_timestamp or "", one.metadata.name))


def find_new(deployment: Deployment, sets: Iterable[ReplicaSet]) -> ReplicaSet | None:
    """Return the ReplicaSet of the present template: of several the oldest, whoever made them."""
    template = _unhashed(deployment.spec.template)
    return next(
        (one for one in by_age(sets) if one.spec.template is not None and _unhashed(one.spec.template) == template),
        None,
    )


def is_of(deployment: Deployment, one: ReplicaSet) -> bool:
    """Whether a ReplicaSet is of the present template."""
    return find_new(deployment, [one]) is not None


def revision(one: ReplicaSet) -> int:
    """Return the revision that a ReplicaSet is of; 0 where it does not say."""
    try:
        return int(one.metadata.annotations.get(REVISION, "0"))
    except ValueError:
        return 0


def next_revision(old: Sequence[ReplicaSet]) -> int:
    return max((revision(one) for one in old), default=0) + 1


def template_hash(template: PodTemplateSpec, collisions: int) -> str:
    """Return the hash of a template in letters that make no words; another one for each collision that was met."""
    value = _FNV_BASIS
    for byte in msgspec.json.encode(template, order="sorted") + (str(collisions).encode() if collisions else b""):
        value = ((value ^ byte) * _FNV_PRIME) & 0xFFFFFFFF
    return "".join(_LETTERS[ord(digit) % len(_LETTERS)] for digit in str(value))


def new_set(deployment: Deployment, number: int) -> ReplicaSet:
    """Return the ReplicaSet of the present template and the given revision, of no size yet."""
    given, spec = deployment.spec.template, deployment.spec
    hashed = {HASH: template_hash(given, deployment.status.collision_count or 0)}
    labels = {**given.metadata.labels, **hashed}
    selector = spec.selector or LabelSelector()
    template = msgspec.structs.replace(given, metadata=msgspec.structs.replace(given.metadata, labels=labels))
    made = ReplicaSet(
        metadata=ObjectMeta(
            name=f"{deployment.metadata.name}-{hashed[HASH]}",
            namespace=deployment.metadata.namespace,
            labels=labels,
            owner_references=(controller_reference(DEPLOYMENTS, deployment),),
        ),
        spec=ReplicaSetSpec(
            replicas=0,
            min_ready_seconds=spec.min_ready_seconds,
            selector=msgspec.structs.replace(selector, match_labels={**selector.match_labels, **hashed}),
            template=template,
        ),
    )
    return with_bounds(noted(deployment, made, number), deployment)


def noted(deployment: Deployment, one: ReplicaSet, number: int) -> ReplicaSet:
    """Return the present ReplicaSet with the Deployment's annotations and its revision, which only ever grows.

    The revisions that it was before, when it was rolled back to, are kept as its history.
    """
    held = one.metadata.annotations
    fresh = {**held, **{k: v for k, v in deployment.metadata.annotations.items() if k not in _NOT_COPIED}}
    before = held.get(REVISION, "")
    if _is_number(before) and int(before or 0) < number:
        fresh[REVISION] = str(number)
        if before:
            fresh[HISTORY] = _history(held.get(HISTORY, ""), before)
    return with_annotations(one, fresh)


def with_bounds(one: ReplicaSet, deployment: Deployment) -> ReplicaSet:
    """Note on a ReplicaSet how many Pods its Deployment wants and may have: what a later change is measured by."""
    bounds = {DESIRED: str(wanted(deployment)), MOST: str(wanted(deployment) + max_surge(deployment))}
    return with_annotations(one, {**one.metadata.annotations, **bounds})


def with_annotations(one: ReplicaSet, annotations: dict[str, str]) -> ReplicaSet:
    if annotations == one.metadata.annotations:
        return one
    return msgspec.structs.replace(one, metadata=msgspec.structs.replace(one.metadata, annotations=annotations))


def _is_number(text: str) -> bool:
    return not text or (text.isascii() and text.isdigit())


def _history(held: str, before: str) -> str:
    """Return a history with one more revision; the oldest are forgotten where it grows too long."""
    entries = [*held.split(","), before] if held else [before]
    while len(",".join(entries)) > _LONGEST_HISTORY and len(entries) > 1:
        del entries[0]
    return ",".join(entries)


def _unhashed(template: PodTemplateSpec) -> PodTemplateSpec:
    meta = template.metadata
    if HASH not in meta.labels:
        return template
    labels = {name: value for name, value in meta.labels.items() if name != HASH}
    return msgspec.structs.replace(template, metadata=msgspec.structs.replace(meta, labels=labels))
