"""patch: JSON patch, merge patch and strategic merge patch of the object, its status or its finalizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api import patch as patches
from podling.api.body import decode_json
from podling.api.conform import conform
from podling.api.errors import StatusError, bad_request
from podling.apiserver.objects import tree_of
from podling.apiserver.verbs import updating, writing

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded
    from podling.api.schema import Schema
    from podling.apiserver.options import WriteOptions
    from podling.apiserver.paths import Target
    from podling.apiserver.record import User
    from podling.apiserver.registry import Registry

ACCEPTED = (patches.JSON_PATCH, patches.MERGE_PATCH, patches.STRATEGIC_MERGE_PATCH)


async def patch(
    registry: Registry,
    target: Target,
    user: User,
    options: WriteOptions,
    body: bytes,
    content_type: str,
    warnings: list[str],
) -> Encoded:
    """Change an object as the body says, and return it; tried again where somebody else was faster."""
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in ACCEPTED:
        raise _unsupported(media_type)
    record = target.record
    schema = writing.schema(record)
    change_of = _reader(media_type, body, schema)
    told: list[str] = []

    def change(current: Encoded) -> dict[str, Any]:
        before = tree_of(current)
        if record.face is not None:
            before = record.face.from_stored(before)
        tree = change_of(before)
        told.clear()
        problems = conform(tree, schema)
        writing.judge_strictness(options.validation, problems.sentences(), told)
        metadata = tree.setdefault("metadata", {})
        if metadata.get("name", target.name) != target.name:
            raise bad_request(
                f"the name of the object ({metadata['name']}) does not match the name on the URL ({target.name})"
            )
        metadata["name"] = target.name
        made = writing.settle(record, tree)
        writing.check_namespace(target, made)
        return made

    result = await updating.apply_change(registry, target, user, change, warnings, dry_run=options.dry_run)
    warnings.extend(told)
    return result


def _reader(media_type: str, body: bytes, schema: Schema) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what makes of a tree the patched one; the body is read once."""
    try:
        wanted = decode_json(body)
    except ValueError as error:
        raise bad_request(f"error decoding patch: {error}") from None
    match media_type:
        case patches.JSON_PATCH:
            return lambda tree: patches.json_patch(tree, wanted)
        case patches.MERGE_PATCH:
            return lambda tree: patches.merge_patch(tree, wanted)
        case _:
            return lambda tree: patches.strategic_merge_patch(tree, wanted, schema)


def _unsupported(media_type: str) -> StatusError:
    """Refuse other patch types, server-side apply (`application/apply-patch+yaml`) among them."""
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(ACCEPTED)}"
        if media_type
        else f"the body of the request has no content type - accepted media types include: {', '.join(ACCEPTED)}",
    )
