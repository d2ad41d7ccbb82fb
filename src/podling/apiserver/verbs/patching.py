"""patch: JSON patch, merge patch and strategic merge patch of the object, its status or its finalizers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.api import patch as patches
from podling.api.body import decode_json, duplicate_fields
from podling.api.conform import WrongType, strict_decoding_error
from podling.api.errors import Cause, StatusError, bad_request, invalid
from podling.api.validation.field import quoted
from podling.apiserver.objects import tree_of
from podling.apiserver.verbs import updating, writing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.schema import Schema
    from podling.apiserver.model import Model
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
    record = target.record
    wanted = Patch(record.resource, record.model, body, content_type, options.validation)
    told: list[str] = []

    def change(current: Encoded) -> dict[str, Any]:
        before = tree_of(current)
        if record.face is not None:
            before = record.face.from_stored(before)
        tree = wanted.applied(before, told)
        tree.setdefault("metadata", {})
        updating.check_name(target, tree)
        made = writing.settle(record, tree)
        writing.check_namespace(target, made)
        return made

    result = await updating.apply_change(registry, target, user, change, warnings, dry_run=options.dry_run)
    warnings.extend(told)
    return result


_WITHOUT_SCHEMA = tuple(it for it in ACCEPTED if it != patches.STRATEGIC_MERGE_PATCH)


class Patch:
    """The body of a patch, read once and applied as often as somebody else is faster."""

    def __init__(self, resource: Resource[Any], model: Model, body: bytes, content_type: str, validation: str) -> None:
        """`resource` says what kind is patched, `validation` how strict to be with fields that it does not have."""
        media_type = content_type.partition(";")[0].strip().lower()
        accepted = ACCEPTED if model.merged is not None else _WITHOUT_SCHEMA
        if media_type not in accepted:
            raise _unsupported(media_type, accepted)
        self._resource = resource
        self._media_type = media_type
        self._validation = validation
        self._model = model
        self._wanted = _read(media_type, body)
        self._change = _change_of(media_type, self._wanted, model.merged)
        self._twice = _given_twice(media_type, body, self._wanted) if validation != "Ignore" else []

    def applied(self, before: dict[str, Any], told: list[str]) -> dict[str, Any]:
        """Return the patched object, of its kind's shape; `told` becomes what the caller is to be warned of."""
        tree = self._change(before)
        told.clear()
        try:
            _check_kind(self._media_type, self._resource, tree)
            problems = self._model.walk(tree)
            if self._validation == "Strict" and (self._twice or problems.unknown):
                raise WrongType(strict_decoding_error([*self._twice, *problems.sentences()]))
        except WrongType as error:
            strategic = self._media_type == patches.STRATEGIC_MERGE_PATCH
            shown = patches.go_text(self._wanted) if strategic else msgspec.json.encode(self._change(before)).decode()
            cause = Cause("FieldValueInvalid", f"Invalid value: {quoted(shown)}: {error}", "patch")
            raise invalid("", "", "", [cause]) from None
        writing.judge_strictness(self._validation, [*self._twice, *problems.sentences()], told)
        return tree


def _read(media_type: str, body: bytes) -> Any:
    try:
        return decode_json(body)
    except ValueError as error:
        strategic = media_type == patches.STRATEGIC_MERGE_PATCH
        raise bad_request(str(error) if strategic else f"error decoding patch: {error}") from None


def _given_twice(media_type: str, body: bytes, wanted: Any) -> list[str]:
    """Return strict validation's sentences about the patch itself."""
    prefix = "json patch " if media_type == patches.JSON_PATCH else ""
    return [f'{prefix}duplicate field "{path}"' for path in duplicate_fields(body, wanted)]


def _check_kind(media_type: str, resource: Resource[Any], tree: Any) -> None:
    """Refuse a patch that makes another kind of the object; a strategic one does not reach so far."""
    if media_type == patches.STRATEGIC_MERGE_PATCH or not isinstance(tree, dict):
        return
    version, kind = tree.get("apiVersion") or resource.api_version, tree.get("kind") or resource.kind
    if isinstance(version, str) and isinstance(kind, str) and (version, kind) != (resource.api_version, resource.kind):
        raise WrongType(
            f'no kind "{kind}" is registered for version "{version}" in scheme "pkg/api/legacyscheme/scheme.go:30"'
        )


def _change_of(media_type: str, wanted: Any, schema: Schema | None) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """Return what makes of a tree the patched one."""
    match media_type:
        case patches.JSON_PATCH:
            return lambda tree: patches.json_patch(tree, wanted)
        case patches.MERGE_PATCH:
            return lambda tree: patches.merge_patch(tree, wanted)
        case _:
            assert schema is not None, "refused before"
            return lambda tree: patches.strategic_merge_patch(tree, wanted, schema)


def _unsupported(media_type: str, accepted: Sequence[str]) -> StatusError:
    """Refuse other patch types, server-side apply (`application/apply-patch+yaml`) among them."""
    return StatusError(
        415,
        "UnsupportedMediaType",
        f"the body of the request was in an unknown format - accepted media types include: {', '.join(accepted)}"
        if media_type
        else f"the body of the request has no content type - accepted media types include: {', '.join(accepted)}",
    )
