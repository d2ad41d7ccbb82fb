"""Owns the way from an openAPIV3Schema to the one `Schema`: what fields there are, what stays, what is put in.

Takes schemas that were validated (`validation/custom_schema.py`): each node says its type, but for those that take
integers or strings, or anything at all. What values must be like is not a Schema's business (`values.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.schema import ABSENT, LIST, MAP, STRUCT, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

IMPLICIT: Final = ("apiVersion", "kind", "metadata")
"""The fields that every object has, whatever its schema says of them."""

_SCALARS: Final = {"string": "string", "boolean": "bool", "integer": "int64", "number": "double"}


def schema_of(node: Mapping[str, Any] | None) -> Schema:
    """Return the Schema of a whole object; of one without any schema, everything stays."""
    made = _schema_of(node or {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    made.embedded = True
    return made


def _schema_of(node: Mapping[str, Any]) -> Schema:
    made = _shape_of(node)
    made.open = bool(node.get("x-kubernetes-preserve-unknown-fields"))
    made.embedded = bool(node.get("x-kubernetes-embedded-resource"))
    made.nullable = bool(node.get("nullable"))
    made.default = node.get("default", ABSENT)
    return made


def _shape_of(node: Mapping[str, Any]) -> Schema:
    if node.get("x-kubernetes-int-or-string"):
        return Schema("int-or-string")
    match node.get("type", ""):
        case "object":
            rest = node.get("additionalProperties")
            if isinstance(rest, dict):
                return Schema(MAP, item=_schema_of(rest), atomic=_is_atomic(node))
            if rest is True and not node.get("properties"):
                return Schema("object")
            fields = {name: _schema_of(child) for name, child in node.get("properties", {}).items()}
            return Schema(STRUCT, fields=fields, atomic=_is_atomic(node))
        case "array":
            items = node.get("items")
            return Schema(
                LIST,
                item=_schema_of(items) if isinstance(items, dict) else Schema("any"),
                list_type=node.get("x-kubernetes-list-type", ""),
                keys=tuple(node.get("x-kubernetes-list-map-keys", ())),
            )
        case kind:
            return Schema(_SCALARS.get(kind, "any"))


def _is_atomic(node: Mapping[str, Any]) -> bool:
    return bool(node.get("x-kubernetes-map-type") == "atomic")
