"""From a tree to its typed view, also where required fields are missing.

The structs refuse an object whose required fields are absent; upstream decodes it with zero values and lets validation
say `Required value`. So does `typed`. Text of the wrong type is refused before, against the schema; what gets here with
a wrong type raises `msgspec.ValidationError`.
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Any, TypeVar

import msgspec

from podling.api import codec

T = TypeVar("T")


def typed(of: type[T], tree: T | dict[str, Any]) -> T:
    """Return the struct that a tree describes, zero values for missing required fields; a struct is returned as is."""
    if isinstance(tree, of):
        return tree
    try:
        return msgspec.convert(tree, of)
    except msgspec.ValidationError:
        return codec.from_tree(of, _completed(tree, of))


def _completed(tree: Any, of: Any) -> Any:
    origin = typing.get_origin(of)
    if origin in {types.UnionType, typing.Union}:
        structs = [a for a in typing.get_args(of) if a is not types.NoneType]
        return _completed(tree, structs[0]) if len(structs) == 1 and tree is not None else tree
    if isinstance(tree, dict) and isinstance(of, type) and issubclass(of, msgspec.Struct):
        fields = _fields(of)
        done = {name: _completed(value, fields[name][0]) for name, value in tree.items() if name in fields}
        for name, (field_type, required) in fields.items():
            if required and done.get(name) is None:
                done[name] = _zero(field_type)
        return done
    if isinstance(tree, dict) and origin is dict:
        of_value = typing.get_args(of)[1]
        return {key: _completed(value, of_value) for key, value in tree.items()}
    if isinstance(tree, (list, tuple)) and origin is tuple:
        of_item = typing.get_args(of)[0]
        return [_completed(item, of_item) for item in tree]
    return tree


@functools.cache
def _fields(of: type[msgspec.Struct]) -> dict[str, tuple[Any, bool]]:
    return {f.encode_name: (f.type, f.required) for f in msgspec.structs.fields(of)}


def _zero(of: Any) -> Any:
    origin = typing.get_origin(of)
    if origin is tuple:
        return []
    if origin is dict:
        return {}
    if origin in {types.UnionType, typing.Union}:
        return _zero(typing.get_args(of)[0])
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        return _completed({}, of)
    return {str: "", int: 0, bool: False, float: 0.0}.get(of)
