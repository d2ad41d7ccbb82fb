"""scale: how many replicas a workload is to have, as an autoscaling/v1 Scale: one form for all kinds that have them.

Owns the way between a workload and its Scale. Who writes a Scale may change `spec.replicas` and nothing else; the
change goes through the workload's own rules, and its resourceVersion is the workload's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api import validation
from podling.api.errors import internal, invalid
from podling.api.resources import SCALES
from podling.apiserver.kinds.strategy import Plain
from podling.apiserver.model import BuiltIn
from podling.apiserver.objects import tree_of
from podling.apiserver.record import Record
from podling.apiserver.scales import found, put
from podling.apiserver.verbs import reading, updating, writing
from podling.apiserver.verbs.patching import Patch

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded
    from podling.apiserver.options import WriteOptions
    from podling.apiserver.paths import Target
    from podling.apiserver.record import User
    from podling.apiserver.registry import Registry

_MODEL = BuiltIn(SCALES)
SCALE: Final = Record(SCALES, "", Plain())
"""How a Scale is shown; none is ever stored."""
_SHARED = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
"""What a Scale has of its workload's metadata."""


def scale_of(record: Record, encoded: Encoded) -> dict[str, Any]:
    """Return the Scale of a workload, as a tree."""
    tree, places = tree_of(encoded), record.scaling
    assert places is not None, record.resource
    selector, replicas = places.selector(encoded), found(tree, places.wanted)
    if replicas is None and places.is_required:
        raise internal(f'the spec replicas field ".{".".join(places.wanted)}" does not exist')
    status: dict[str, Any] = {"replicas": found(tree, places.present) or 0}
    return {
        "kind": SCALES.kind,
        "apiVersion": SCALES.api_version,
        "metadata": {key: tree["metadata"][key] for key in _SHARED if key in tree["metadata"]},
        "spec": {"replicas": replicas} if replicas else {},
        "status": status | ({"selector": selector} if selector else {}),
    }


def _shown(record: Record, encoded: Encoded) -> Encoded:
    """Return the Scale of a workload as an object of its own."""
    return SCALE.shape.read(SCALE.shape.encode(scale_of(record, encoded)), encoded.revision, encoded.created)


async def get(registry: Registry, target: Target, revision: str) -> Encoded:
    """Return the Scale as it is now."""
    record = target.record
    return _shown(record, await reading.get(registry, record, target.namespace, target.name, revision))


async def update(
    registry: Registry,
    target: Target,
    user: User,
    options: WriteOptions,
    body: bytes,
    content_type: str,
    warnings: list[str],
) -> Encoded:
    """Give a workload the size that a Scale says."""
    wanted = writing.read_body(SCALES, _MODEL, body, content_type, options.validation, warnings)
    wanted.setdefault("metadata", {})
    updating.check_name(target, wanted)
    return await _set(registry, target, user, options, warnings, lambda _: wanted)


async def patch(
    registry: Registry,
    target: Target,
    user: User,
    options: WriteOptions,
    body: bytes,
    content_type: str,
    warnings: list[str],
) -> Encoded:
    """Change a workload's size as a patch of its Scale says."""
    wanted = Patch(SCALES, _MODEL, body, content_type, options.validation)
    told: list[str] = []

    def change(current: Encoded) -> dict[str, Any]:
        made = wanted.applied(scale_of(target.record, current), told)
        made.setdefault("metadata", {})
        updating.check_name(target, made)
        return made

    done = await _set(registry, target, user, options, warnings, change)
    warnings.extend(told)
    return done


async def _set(
    registry: Registry,
    target: Target,
    user: User,
    options: WriteOptions,
    warnings: list[str],
    wanted: Callable[[Encoded], dict[str, Any]],
) -> Encoded:
    def change(current: Encoded) -> dict[str, Any]:
        scale = wanted(current)
        writing.check_namespace(target, scale)
        causes = validation.scale(scale)
        if causes:
            raise invalid(SCALES.group, SCALES.kind, target.name, causes)
        tree = tree_of(current)
        for key in ("uid", "resourceVersion"):
            tree["metadata"].pop(key, None)
            if scale["metadata"].get(key):
                tree["metadata"][key] = scale["metadata"][key]
        places = target.record.scaling
        assert places is not None, target.record.resource
        put(tree, places.wanted, scale.get("spec", {}).get("replicas", 0))
        return tree

    made = await updating.apply_change(registry, target, user, change, warnings, dry_run=options.dry_run)
    return _shown(target.record, made)
