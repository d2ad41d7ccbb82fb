"""create: a new object, its name given or generated, written once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api import times
from podling.api.errors import Cause, StatusError, already_exists, bad_request, invalid
from podling.apiserver.admission.operation import Operation
from podling.apiserver.objects import at
from podling.apiserver.verbs import writing
from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.apiserver.options import WriteOptions
    from podling.apiserver.paths import Target
    from podling.apiserver.record import Context, User
    from podling.apiserver.registry import Registry


async def create(
    registry: Registry,
    target: Target,
    user: User,
    options: WriteOptions,
    body: bytes,
    content_type: str,
    warnings: list[str],
) -> Encoded:
    """Create what the body says, and return it as stored."""
    tree = writing.read_tree(target.record, body, content_type, options.validation, warnings)
    return await create_tree(registry, target, user, tree, warnings, dry_run=options.dry_run)


async def create_tree(
    registry: Registry, target: Target, user: User, tree: dict[str, Any], warnings: list[str], *, dry_run: bool = False
) -> Encoded:
    """Create an object from a conformed and defaulted tree; with `generateName`, again if the name is taken."""
    writing.check_namespace(target, tree)
    metadata = tree["metadata"]
    name, stem = metadata.get("name", ""), metadata.get("generateName", "")
    if target.name and name and target.name != name:
        raise _other_name(name, target.name)
    _clear_metadata(registry, metadata)
    if name:
        return await _attempt(registry, target, user, tree, warnings, dry_run=dry_run)
    if not stem:
        resource = target.record.resource
        cause = Cause("FieldValueRequired", "Required value: name or generateName is required", "metadata.name")
        raise invalid(resource.group, resource.kind, "", [cause])
    for attempt in range(writing.ATTEMPTS):
        metadata["name"] = stem[: writing.MAX_GENERATE_NAME] + registry.chance.suffix()
        try:
            return await _attempt(registry, target, user, tree, warnings, dry_run=dry_run)
        except StatusError as error:
            if not error.is_already_exists or attempt == writing.ATTEMPTS - 1:
                raise
    raise AssertionError("unreachable")


async def _attempt(
    registry: Registry, target: Target, user: User, tree: dict[str, Any], warnings: list[str], *, dry_run: bool
) -> Encoded:
    record = writing.stored_record(target.record)
    metadata = tree["metadata"]
    name = metadata["name"]
    key = record.key(target.namespace, name)
    context = writing.new_context(registry, user, warnings, dry_run=dry_run)
    try:
        standing = registry.shelf(record).get(key)
        await prepare(registry, target, tree, context)
        if standing is not None:
            raise already_exists(target.record.resource.group, target.record.resource.plural, name)
        if dry_run:
            return at(record.shape.read(record.shape.encode(tree), 0, 0), 0)
        return await registry.put(record, key, tree, 0, context.charges)
    except Mismatch:
        raise already_exists(target.record.resource.group, target.record.resource.plural, name) from None
    finally:
        writing.finish(context)


async def prepare(registry: Registry, target: Target, tree: dict[str, Any], context: Context) -> None:
    """Admit, complete and validate an object that is to be created."""
    record = writing.stored_record(target.record)
    name = tree["metadata"]["name"]
    operation = Operation("CREATE", record, "", target.namespace, name, tree, None, context, target.record)
    writing.admit(registry, operation)
    await writing.mutate(registry, operation)
    record.strategy.prepare_create(tree, context)
    writing.check_create(target.record, tree, context)
    await writing.judge(registry, operation)


def _clear_metadata(registry: Registry, metadata: dict[str, Any]) -> None:
    """Set what only the system sets."""
    if metadata.get("resourceVersion"):
        raise bad_request("resourceVersion should not be set on objects to be created")
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"):
        metadata.pop(key, None)
    metadata["uid"] = registry.chance.uid()
    metadata["creationTimestamp"] = times.to_wire(registry.clock.time())


def _other_name(given: str, expected: str) -> StatusError:
    return bad_request(f"the name of the object ({given}) does not match the name on the URL ({expected})")
