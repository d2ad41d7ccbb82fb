"""What all writes share: reading the body, the system's own metadata, admission and validation.

Owns the order of a write's steps. Invariant: what reaches the store has been conformed to the schema, defaulted,
admitted and validated, in this order, and carries metadata that only this server sets.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from podling.api.body import decode_body
from podling.api.conform import strict_decoding_error
from podling.api.errors import bad_request, invalid
from podling.apiserver.record import Context

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.errors import Cause
    from podling.api.resources import Resource
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.model import Model
    from podling.apiserver.paths import Target
    from podling.apiserver.record import Record, User
    from podling.apiserver.registry import Registry

MAX_GENERATE_NAME = 63 - 5
ATTEMPTS = 8
"""How often a write that names no resourceVersion is tried against concurrent writers, and a generated name again."""


def new_context(registry: Registry, user: User, warnings: list[str], *, dry_run: bool) -> Context:
    return Context(user=user, now=registry.clock.time(), dry_run=dry_run, warnings=warnings)


def finish(context: Context) -> None:
    """Give back what was reserved for a write."""
    while context.afterwards:
        context.afterwards.pop()()


def read_tree(
    record: Record, body: bytes, content_type: str, field_validation: str, warnings: list[str]
) -> dict[str, Any]:
    """Return the object in a body, in the stored kind's own terms and with its defaults."""
    return settle(record, read_body(record.resource, record.model, body, content_type, field_validation, warnings))


def read_body(
    resource: Resource[Any], model: Model, body: bytes, content_type: str, field_validation: str, warnings: list[str]
) -> dict[str, Any]:
    """Return the object in a body, conformed to its kind's schema."""
    read = decode_body(body, content_type, resource.kind, strict=field_validation != "Ignore")
    tree = read.tree
    check_kind(resource, tree)
    problems = model.conform(tree)
    judge_strictness(field_validation, read.sentences(problems.unknown), warnings)
    return tree


def settle(record: Record, tree: dict[str, Any]) -> dict[str, Any]:
    """Return a conformed tree as it is stored: metadata present, defaults applied, with the stored kind's face."""
    tree.setdefault("metadata", {})
    record.model.complete(tree)
    return tree if record.face is None else record.face.to_stored(tree)


def judge_strictness(field_validation: str, sentences: Sequence[str], warnings: list[str]) -> None:
    if not sentences or field_validation == "Ignore":
        return
    if field_validation == "Strict":
        raise bad_request(strict_decoding_error(sentences))
    warnings.extend(dict.fromkeys(sentences))


def check_kind(resource: Resource[Any], tree: dict[str, Any]) -> None:
    """Refuse a body of another kind than the path's; an absent kind is the path's."""
    version, kind = tree.get("apiVersion") or resource.api_version, tree.get("kind") or resource.kind
    if version != resource.api_version or kind != resource.kind:
        _, _, v = version.rpartition("/")
        raise bad_request(
            f'{kind} in version "{v}" cannot be handled as a {resource.kind}: no kind "{kind}" is registered for '
            f'version "{version}" in scheme "pkg/api/legacyscheme/scheme.go:30"'
            if kind != resource.kind
            else f"the API version in the data ({version}) does not match the expected API version "
            f"({resource.api_version})"
        )
    tree["apiVersion"], tree["kind"] = version, kind


def check_namespace(target: Target, tree: dict[str, Any]) -> None:
    """Let the path decide the namespace; a body that names another one is refused."""
    metadata = tree["metadata"]
    if not target.record.resource.namespaced:
        if metadata.get("namespace"):
            raise bad_request("the namespace of the object must be empty: the resource is not namespaced")
        return
    given = metadata.get("namespace", "")
    if given and given != target.namespace:
        raise bad_request("the namespace of the provided object does not match the namespace sent on the request")
    metadata["namespace"] = target.namespace


def admit(registry: Registry, operation: Operation) -> None:
    for rule in registry.admission:
        rule(operation)


async def mutate(registry: Registry, operation: Operation) -> bool:
    """Let webhooks change a write that was admitted; return whether one did."""
    webhooks = registry.webhooks
    return webhooks is not None and await webhooks.mutate(operation, partial(admit, registry))


async def ask(registry: Registry, operation: Operation) -> None:
    """Let webhooks refuse a write."""
    if registry.webhooks is not None:
        await registry.webhooks.judge(operation)


async def judge(registry: Registry, operation: Operation) -> None:
    """Let all that changes nothing see a write as it would be stored, webhooks first."""
    await ask(registry, operation)
    for rule in registry.verdicts:
        rule(operation)


def stored_record(record: Record) -> Record:
    return record.stored_as or record


def check_create(shown: Record, tree: dict[str, Any], context: Context) -> None:
    """Refuse what must not be created, naming every cause; warn of what is accepted but not as it seems.

    `tree` is in the stored kind's terms; a face that `shown` has may ask for more than the stored kind does.
    """
    record = stored_record(shown)
    model, view = shown.model, _view(shown, tree)
    causes = [*model.create(view), *record.strategy.validate_create(tree, context)]
    _refuse(record, tree, causes)
    context.warnings.extend(model.warnings(view))
    context.warnings.extend(record.model.gaps(tree))


def check_update(shown: Record, tree: dict[str, Any], old: dict[str, Any], context: Context, subresource: str) -> None:
    """Refuse what the stored object must not become, naming every cause."""
    record = stored_record(shown)
    model, after, before = shown.model, _view(shown, tree), _view(shown, old)
    if subresource in record.parts:
        causes = [
            *record.strategy.validate_subresource(subresource, tree, old, context),
            *model.subresource_update(subresource, after, before),
        ]
        _refuse(record, tree, causes)
        return
    causes = [*model.update(after, before), *record.strategy.validate_update(tree, old, context)]
    _refuse(record, tree, causes)
    context.warnings.extend(model.warnings(after, before))
    if any(tree[key] != old.get(key) for key in tree.keys() - _NOT_WISHED):
        context.warnings.extend(record.model.gaps(tree))


_NOT_WISHED = frozenset({"apiVersion", "kind", "metadata", "status"})
"""What of an object its writers do not ask for, or not from gaps."""


def _view(shown: Record, tree: dict[str, Any]) -> Any:
    return shown.model.view(tree if shown.face is None else shown.face.from_stored(tree))


def _refuse(record: Record, tree: dict[str, Any], causes: list[Cause]) -> None:
    if causes:
        raise invalid(record.resource.group, record.resource.kind, tree["metadata"].get("name", ""), causes)
