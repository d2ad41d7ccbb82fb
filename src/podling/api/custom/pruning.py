"""Drops what a custom object's schema does not know, and makes metadata what Go's decoder would have made of it.

Unlike the walk of built-in kinds, nothing else is touched: nulls, empty values and values of wrong types stay, for
defaulting and validation to judge. Trees are changed in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api.conform import Problems, WrongType, walk
from podling.api.custom.structural import IMPLICIT
from podling.api.schema import LIST, MAP, STRUCT, Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

_OBJECT_META: Final = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"


def prune(tree: dict[str, Any], schema: Schema) -> Problems:
    """Drop unknown fields and return their paths; metadata of wrong types raises `WrongType`."""
    unknown: list[str] = []
    _prune(tree, schema, "", unknown)
    return Problems(tuple(sorted(unknown))) if unknown else _NONE


_NONE: Final = Problems(())


def _prune(value: Any, schema: Schema, path: str, unknown: list[str]) -> None:
    kind = schema.kind
    if type(value) is dict:
        if schema.embedded:
            _conform_metadata(value, path, unknown)
        if kind == STRUCT:
            _prune_struct(value, schema, path, unknown)
        elif kind == MAP and schema.item is not None:
            for key, child in value.items():
                _prune(child, schema.item, f"{path}.{key}" if path else key, unknown)
    elif type(value) is list and kind == LIST and schema.item is not None:
        for index, item in enumerate(value):
            _prune(item, schema.item, f"{path}[{index}]", unknown)


def _prune_struct(value: dict[str, Any], schema: Schema, path: str, unknown: list[str]) -> None:
    fields: Mapping[str, Schema] = schema.fields
    for key in list(value):
        if schema.embedded and key in IMPLICIT:
            continue
        where = f"{path}.{key}" if path else key
        child = fields.get(key)
        if child is not None:
            _prune(value[key], child, where, unknown)
        elif not schema.open:
            unknown.append(where)
            del value[key]


def _conform_metadata(value: dict[str, Any], path: str, unknown: list[str]) -> None:
    metadata = value.get("metadata", value)
    if metadata is None:
        del value["metadata"]
    elif metadata is not value:
        if type(metadata) is not dict:
            raise WrongType(f"metadata of {path or 'the object'} is no object")
        problems = walk(metadata, Schema.of(_OBJECT_META))
        prefix = f"{path}.metadata" if path else "metadata"
        unknown += [f"{prefix}.{field}" for field in problems.unknown]
