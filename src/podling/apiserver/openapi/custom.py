"""What older forms can say of a custom kind: OpenAPI 2 knows neither alternatives nor null, the protobuf forms less.

Where a schema says more than that a field has one type, what is said of it goes, as upstream does, so that old clients
do not refuse what the server takes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLAIN: Final = frozenset({"$ref", "description", "format", "required", "type"})
"""What the protobuf forms have fields for here, beside extensions."""
_OLD: Final = _PLAIN | {
    "default", "enum", "exclusiveMaximum", "exclusiveMinimum", "externalDocs", "maxItems", "maxLength",
    "maxProperties", "maximum", "minItems", "minLength", "minProperties", "minimum", "multipleOf", "pattern", "title",
}  # fmt: skip
_PRESERVE: Final = "x-kubernetes-preserve-unknown-fields"
_WHOLE: Final = "x-kubernetes-group-version-kind"


def old(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition that has nothing but what version 2 knows."""
    return _reduced(tree, _OLD)


def plain(tree: Mapping[str, Any]) -> dict[str, Any]:
    """Return a definition that has nothing but what the protobuf forms can carry."""
    return _reduced(tree, _PLAIN)


def _reduced(tree: Mapping[str, Any], kept: frozenset[str]) -> dict[str, Any]:
    made = {key: value for key, value in tree.items() if key in kept or key.startswith("x-kubernetes-")}
    made.pop("x-kubernetes-validations", None)
    if tree.get(_PRESERVE) and _WHOLE in tree:
        # Of an object that may have any field, naming some would let kubectl refuse all others.
        return {"type": "object", _WHOLE: tree[_WHOLE]}
    properties = tree.get("properties") or {}
    if tree.get("nullable") or tree.get(_PRESERVE):
        if tree.get("nullable") or tree.get("type") in {"array", "object"}:
            made.pop("type", None)
        made.pop("required", None)
        return made
    if properties:
        made["properties"] = {name: _reduced(child, kept) for name, child in properties.items()}
        required = [name for name in tree.get("required", ()) if not properties.get(name, {}).get("nullable")]
        if "required" in made:
            made["required"] = required
        if not required:
            made.pop("required", None)
    for name in ("items", "additionalProperties"):
        if isinstance(tree.get(name), dict):
            made[name] = _reduced(tree[name], kept)
    return made
