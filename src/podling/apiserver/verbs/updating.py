"""update: the whole object or one of its subresources, against what stands there.

Owns the loop of read, change, check, write: a writer who names a resourceVersion is refused when it is stale; for one
who does not, the change is made again on what stands there now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api.errors import Cause, StatusError, bad_request, conflict, invalid, not_found
from podling.apiserver.admission.operation import Operation
from podling.apiserver.objects import at
from podling.apiserver.options import revision_problem
from podling.apiserver.verbs import creating, writing
from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podling.api.encoded import Encoded
    from podling.apiserver.options import WriteOptions
    from podling.apiserver.paths import Target
    from podling.apiserver.record import Charge, Context, Record, User
    from podling.apiserver.registry import Registry

    Change = Callable[[Encoded], dict[str, Any]]
    """Makes the wished-for tree, fresh each time, from what stands there."""


async def update(
    registry: Registry,
    target: Target,
    user: User,
    options: WriteOptions,
    body: bytes,
    content_type: str,
    warnings: list[str],
    *,
    may_create: Callable[[], None],
) -> tuple[Encoded, bool]:
    """Replace an object by the body; return it, and whether it was created by that.

    `may_create` refuses who may not create it.
    """
    record = target.record
    tree = writing.read_tree(record, body, content_type, options.validation, warnings)
    check_name(target, tree)
    writing.check_namespace(target, tree)
    key = record.key(target.namespace, target.name)
    if record.allow_create_on_update and not target.subresource and registry.shelf(record).get(key) is None:
        if tree["metadata"].get("uid"):
            raise _uid_mismatch(record, target.name, tree["metadata"]["uid"], "")
        may_create()
        tree["metadata"].pop("resourceVersion", None)
        return await creating.create_tree(registry, target, user, tree, warnings, dry_run=options.dry_run), True
    trees = iter([tree])

    def change(_current: Encoded) -> dict[str, Any]:
        made = next(trees, None)
        if made is None:
            made = writing.read_tree(record, body, content_type, "Ignore", [])
            writing.check_namespace(target, made)
        return made

    return await apply_change(registry, target, user, change, warnings, dry_run=options.dry_run), False


async def apply_change(
    registry: Registry, target: Target, user: User, change: Change, warnings: list[str], *, dry_run: bool
) -> Encoded:
    """Make a change of a stored object and return the object; nothing is written where nothing changes."""
    record = writing.stored_record(target.record)
    resource = target.record.resource
    key = record.key(target.namespace, target.name)
    shelf = registry.shelf(record)
    for _ in range(writing.ATTEMPTS):
        current = shelf.get(key)
        if current is None:
            raise not_found(resource.group, resource.plural, target.name)
        tree = change(current)
        told = len(warnings)
        context = writing.new_context(registry, user, warnings, dry_run=dry_run)
        try:
            _check_preconditions(target.record, target.name, tree, current)
            old: dict[str, Any] = msgspec.json.decode(current.raw)
            await prepare(registry, target, tree, old, context, current.revision)
            return await store_change(registry, record, key, current, tree, old, context.charges, dry_run=dry_run)
        except Mismatch as mismatch:
            del warnings[told:]
            # A writer who named a revision is refused by the precondition when the change is made again.
            if mismatch.current is not None:
                await registry.cache.reached(mismatch.current.revision)
        finally:
            writing.finish(context)
    raise conflict(resource.group, resource.plural, target.name)


async def prepare(
    registry: Registry, target: Target, tree: dict[str, Any], old: dict[str, Any], context: Context, revision: int
) -> None:
    """Carry the system's metadata over, then complete, admit and validate a change."""
    record = writing.stored_record(target.record)
    subresource = target.subresource
    _complete(record, subresource, tree, old, context)
    operation = Operation(
        "UPDATE", record, subresource, target.namespace, target.name, tree, old, context, target.record, revision
    )
    writing.admit(registry, operation)
    if await writing.mutate(registry, operation):
        writing.finish(context)
        _complete(record, subresource, tree, old, context)
    writing.check_update(target.record, tree, old, context, subresource)
    await writing.judge(registry, operation)


def _complete(record: Record, subresource: str, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:
    """Let only that change which this write may change; asked again, it starts from what the last time reserved."""
    _carry_metadata(tree["metadata"], old["metadata"])
    if subresource in record.parts:
        record.strategy.prepare_subresource(subresource, tree, old, context)
    else:
        record.strategy.prepare_update(tree, old, context)


async def store_change(
    registry: Registry,
    record: Record,
    key: str,
    current: Encoded,
    tree: dict[str, Any],
    old: dict[str, Any],
    charges: Sequence[Charge] = (),
    *,
    dry_run: bool,
) -> Encoded:
    """Write a prepared change; an object that only its finalizers held goes with the last of them."""
    raw = record.shape.encode(tree)
    if raw == current.raw:
        return current
    if _released(record, tree, old):
        last = record.shape.read(raw, current.revision, current.created)
        if dry_run:
            return last
        gone = await registry.remove(key, current)
        return at(last, gone.revision)
    if dry_run:
        return record.shape.read(raw, current.revision, current.created)
    return await registry.put(record, key, tree, current.revision, charges)


def _released(record: Record, tree: dict[str, Any], old: dict[str, Any]) -> bool:
    """Whether this change took away the last thing that kept an object whose deletion has begun."""
    metadata = tree["metadata"]
    if not metadata.get("deletionTimestamp") or metadata.get("finalizers") or record.strategy.held(tree):
        return False
    if metadata.get("deletionGracePeriodSeconds"):
        return False
    return bool(old["metadata"].get("finalizers")) or record.strategy.held(old)


def check_name(target: Target, tree: dict[str, Any]) -> None:
    """Let the path decide the name; a body that names another one is refused."""
    name = tree["metadata"].get("name", "")
    if name and name != target.name:
        raise bad_request(f"the name of the object ({name}) does not match the name on the URL ({target.name})")
    tree["metadata"]["name"] = target.name


def _check_preconditions(record: Record, name: str, tree: dict[str, Any], current: Encoded) -> None:
    metadata, resource = tree["metadata"], record.resource
    if metadata.get("uid") and metadata["uid"] != current.uid:
        raise _uid_mismatch(record, name, metadata["uid"], current.uid)
    wanted = metadata.pop("resourceVersion", "")
    if not wanted or wanted == "0":
        if not record.unconditional_update and not wanted:
            cause = Cause(
                "FieldValueInvalid", "Invalid value: 0x0: must be specified for an update", "metadata.resourceVersion"
            )
            raise invalid(resource.group, resource.kind, name, [cause])
    elif wanted != str(current.revision):
        wrong = revision_problem(wanted)
        if wrong:
            raise bad_request(wrong)
        raise conflict(resource.group, resource.plural, name)


def _uid_mismatch(record: Record, name: str, wanted: str, found: str) -> StatusError:
    why = f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {found}"
    return conflict(record.resource.group, record.resource.plural, name, why)


_SYSTEM = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")


def _carry_metadata(metadata: dict[str, Any], old: dict[str, Any]) -> None:
    for key in _SYSTEM:
        if key in old:
            metadata[key] = old[key]
        else:
            metadata.pop(key, None)
