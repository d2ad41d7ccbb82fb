"""Puts a schema's defaults where an object says nothing. Trees are changed in place; applying twice changes nothing.

A null where null is no value counts as nothing if there is a default for it, as upstream has it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from podling.api.schema import ABSENT, LIST, MAP, STRUCT

if TYPE_CHECKING:
    from podling.api.schema import Schema


def has_defaults(schema: Schema) -> bool:
    """Whether any field of a schema has a default: if none has, objects need not be walked."""
    if schema.default is not ABSENT:
        return True
    children = list(schema.fields.values()) if schema.kind == STRUCT else [schema.item] if schema.item else []
    return any(has_defaults(child) for child in children)


def complete(value: Any, schema: Schema) -> bool:
    """Fill in defaults; return whether anything was changed."""
    changed = False
    if schema.kind == STRUCT and type(value) is dict:
        for name, child in schema.fields.items():
            held = value.get(name, ABSENT)
            if child.default is not ABSENT and (held is ABSENT or (held is None and not child.nullable)):
                held = value[name] = copy.deepcopy(child.default)
                changed = True
            if held is not ABSENT:
                changed |= complete(held, child)
    elif schema.item is not None:
        if schema.kind == MAP and type(value) is dict:
            for key, held in value.items():
                if held is None and schema.item.default is not ABSENT and not schema.item.nullable:
                    value[key] = copy.deepcopy(schema.item.default)
                    changed = True
                changed |= complete(value[key], schema.item)
        elif schema.kind == LIST and type(value) is list:
            for item in value:
                changed |= complete(item, schema.item)
    return changed
