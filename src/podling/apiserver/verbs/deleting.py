"""delete and deletecollection: preconditions, finalizers and grace.

Owns what deletion does to an object: gone at once, or marked (`deletionTimestamp`) and gone when its grace is over and
its finalizers are off. Grace may be shortened, never lengthened.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api import times
from podling.api.errors import StatusError, conflict, not_found
from podling.apiserver.admission.operation import Operation
from podling.apiserver.objects import at
from podling.apiserver.paths import Target
from podling.apiserver.verbs import writing
from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.apiserver.cache import Scope
    from podling.apiserver.options import DeleteOptions
    from podling.apiserver.record import Context, Record, User
    from podling.apiserver.registry import Registry

_ORPHAN, _FOREGROUND = "orphan", "foregroundDeletion"


async def delete(
    registry: Registry, target: Target, user: User, options: DeleteOptions, warnings: list[str]
) -> tuple[Encoded, bool]:
    """Delete an object; return its last state, and whether it is gone."""
    record = writing.stored_record(target.record)
    resource = target.record.resource
    key = record.key(target.namespace, target.name)
    shelf = registry.shelf(record)
    for _ in range(writing.ATTEMPTS):
        current = shelf.get(key)
        if current is None:
            raise not_found(resource.group, resource.plural, target.name)
        _check_preconditions(target.record, target.name, options, current)
        context = writing.new_context(registry, user, warnings, dry_run=options.dry_run)
        try:
            return await _attempt(registry, record, target, current, options, context)
        except Mismatch as mismatch:
            if options.revision:
                raise conflict(resource.group, resource.plural, target.name) from None
            if mismatch.current is None:
                raise not_found(resource.group, resource.plural, target.name) from None
            await registry.cache.reached(mismatch.current.revision)
        finally:
            writing.finish(context)
    raise conflict(resource.group, resource.plural, target.name)


async def delete_collection(
    registry: Registry, target: Target, scope: Scope, user: User, options: DeleteOptions, warnings: list[str]
) -> list[Encoded]:
    """Delete all objects of a scope, and return their last states; one that goes meanwhile is no error."""
    done: list[Encoded] = []
    for found in list(registry.shelf(target.record).select(scope)):
        one = Target(target.record, found.namespace, found.name)
        try:
            last, _ = await delete(registry, one, user, options, warnings)
        except StatusError as error:
            if not error.is_not_found:
                raise
        else:
            done.append(last)
    return done


async def _attempt(
    registry: Registry, record: Record, target: Target, current: Encoded, options: DeleteOptions, context: Context
) -> tuple[Encoded, bool]:
    old: dict[str, Any] = msgspec.json.decode(current.raw)
    operation = Operation(
        "DELETE", record, "", target.namespace, target.name, old, old, context, target.record, current.revision
    )
    writing.admit(registry, operation)
    await writing.mutate(registry, operation)
    await writing.ask(registry, operation)
    tree: dict[str, Any] = msgspec.json.decode(current.raw)
    metadata = tree["metadata"]
    if options.propagation is None and record.orphaning_warning:
        context.warnings.append(record.orphaning_warning)
    _set_finalizers(metadata, options.propagation, orphans=record.orphans_dependents)
    begun = bool(metadata.get("deletionTimestamp"))
    held = bool(metadata.get("finalizers")) or record.strategy.held(tree)
    grace = record.strategy.grace(tree, options.grace)
    if begun:
        remaining = metadata.get("deletionGracePeriodSeconds") or 0
        if options.grace is not None and options.grace < remaining:
            _shorten(metadata, remaining, options.grace)
            remaining = options.grace
        waits = remaining > 0 or held
    else:
        waits = bool(grace) or held
        if waits:
            _begin(record, tree, grace or 0, context.now)
    if not waits:
        if options.dry_run:
            return current, True
        return await registry.remove(record.key(target.namespace, target.name), current), True
    raw = record.shape.encode(tree)
    if raw == current.raw:
        return current, False
    if options.dry_run:
        return at(record.shape.read(raw, current.revision, current.created), current.revision), False
    key = record.key(target.namespace, target.name)
    return await registry.put(record, key, tree, current.revision), False


def _begin(record: Record, tree: dict[str, Any], grace: int, now: float) -> None:
    metadata = tree["metadata"]
    metadata["deletionTimestamp"] = times.to_wire(now + grace)
    metadata["deletionGracePeriodSeconds"] = grace
    if metadata.get("generation"):
        metadata["generation"] += 1
    record.strategy.deleting(tree)


def _shorten(metadata: dict[str, Any], before: int, grace: int) -> None:
    when = times.from_wire(metadata["deletionTimestamp"]) - before + grace
    metadata["deletionTimestamp"] = times.to_wire(when)
    metadata["deletionGracePeriodSeconds"] = grace


def _set_finalizers(metadata: dict[str, Any], propagation: str | None, *, orphans: bool) -> None:
    """Ask the garbage collector for what is to happen to dependents; no wish leaves things as they are.

    `orphans` is what becomes of those of this kind where neither the caller nor a finalizer says anything.
    """
    given = metadata.get("finalizers") or ()
    finalizers = [it for it in given if it not in {_ORPHAN, _FOREGROUND}]
    if propagation is None:
        if not orphans or len(finalizers) < len(given):
            return
        propagation = "Orphan"
    wanted = {"Orphan": _ORPHAN, "Foreground": _FOREGROUND}.get(propagation)
    if wanted:
        finalizers.append(wanted)
    if finalizers:
        metadata["finalizers"] = finalizers
    else:
        metadata.pop("finalizers", None)


def _check_preconditions(record: Record, name: str, options: DeleteOptions, current: Encoded) -> None:
    resource, why = record.resource, ""
    if options.uid and options.uid != current.uid:
        why = f"Precondition failed: UID in precondition: {options.uid}, UID in object meta: {current.uid}"
    elif options.revision and options.revision != str(current.revision):
        why = (
            f"Precondition failed: ResourceVersion in precondition: {options.revision}, "
            f"ResourceVersion in object meta: {current.revision}"
        )
    if why:
        raise conflict(resource.group, resource.plural, name, why)
