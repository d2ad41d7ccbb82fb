"""What a workload remembers of its templates in ControllerRevisions: which is the present one, and which are too old.

Pure. The data is a strategic patch that puts the template back: `kubectl rollout undo` sends it as it stands. One is
found again by its data, never by its hash: upstream hashes otherwise, and takes over all the same.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.codec import from_tree, to_tree
from podling.api.types.apps_v1 import ControllerRevision
from podling.api.types.core_v1 import PodTemplateSpec
from podling.api.types.meta_v1 import ObjectMeta
from podling.controllers.deployment_revisions import template_hash
from podling.controllers.pods_of_templates import controller_reference

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from podling.api.resources import Resource

HASH: Final = "controller-revision-hash"
"""The label by which Pods tell of which revision they are."""
_LONGEST_OWNER: Final = 223


@dataclass(frozen=True, slots=True)
class History:
    """Revisions of one workload; `present` may be several where somebody made another one by hand."""

    present: Sequence[ControllerRevision]
    old: Sequence[ControllerRevision]
    """The oldest first."""

    def named(self, name: str) -> ControllerRevision | None:
        """Return the revision of a name, present or old."""
        return next((one for one in (*self.present, *self.old) if one.metadata.name == name), None)

    @property
    def next_number(self) -> int:
        """The number that the present revision has at least."""
        return max((number(one) for one in self.old), default=0) + 1


def number(one: ControllerRevision) -> int:
    return one.revision or 0


def history(template: PodTemplateSpec, revisions: Sequence[ControllerRevision]) -> History:
    """Sort a workload's revisions into those of its present template and others."""
    wanted = _bare(data_of(template))
    ordered = sorted(revisions, key=lambda one: (number(one), one.metadata.creation_timestamp or "", one.metadata.name))
    present = [one for one in ordered if _bare(one.data) == wanted]
    names = {one.metadata.name for one in present}
    return History(present, [one for one in ordered if one.metadata.name not in names])


def data_of(template: PodTemplateSpec) -> dict[str, Any]:
    """Return the patch that puts a template in the place of another one.

    In the order of its keys: kubectl compares bytes, with what it makes of the present template.
    """
    patch = {"spec": {"template": {"$patch": "replace", **to_tree(template)}}}
    ordered: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(patch, order="sorted"))
    return ordered


def template_of(one: ControllerRevision) -> PodTemplateSpec:
    """Return the template that a revision puts back."""
    return from_tree(PodTemplateSpec, _bare({**one.data["spec"]["template"], "$patch": None}))


def made(
    kind: Resource[Any], owner: Any, revision: int, collisions: int, hash_label: str, annotations: dict[str, str]
) -> ControllerRevision:
    """Return the revision of an owner's present template."""
    template: PodTemplateSpec = owner.spec.template
    hashed = template_hash(template, collisions)
    return ControllerRevision(
        metadata=ObjectMeta(
            name=f"{owner.metadata.name[:_LONGEST_OWNER]}-{hashed}",
            namespace=owner.metadata.namespace,
            labels={**template.metadata.labels, hash_label: hashed},
            annotations=annotations,
            owner_references=(controller_reference(kind, owner),),
        ),
        data=data_of(template),
        revision=revision,
    )


def expired(
    past: History, live: Collection[str], limit: int, hash_label: str | None = None
) -> list[ControllerRevision]:
    """Return old revisions beyond the limit that no Pod is of: `live` are names, or hashes where a label has them.

    Upstream's two kinds count otherwise: by hash, those that are in use are of the number, by name they are beside it.
    A limit below zero is none.
    """
    free = [
        one
        for one in past.old
        if (one.metadata.name if hash_label is None else one.metadata.labels.get(hash_label, "")) not in live
    ]
    surplus = len(free if hash_label is None else past.old) - limit
    return free[:surplus] if surplus > 0 and limit >= 0 else []


def _bare(tree: Any) -> Any:
    """Return a tree without what says nothing: upstream writes `creationTimestamp: null` into templates."""
    if isinstance(tree, dict):
        return {key: _bare(value) for key, value in tree.items() if value is not None}
    return [_bare(value) for value in tree] if isinstance(tree, (list, tuple)) else tree
