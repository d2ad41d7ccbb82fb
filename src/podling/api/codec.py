"""Owns the way between the typed view and its wire forms: bytes and plain JSON trees.

Encoding leaves out what is at its default, but never a required field, `kind` or `apiVersion` (their defaults come from
factories, which msgspec always encodes). Decoding ignores unknown fields and takes Go's explicit nulls: the fast path
reads the bytes straight into structs; where that fails, the tree is read untyped, nulls go, required fields that are
not there become Go's empty values, numbers given for quantities become strings, and the conversion is tried once more.

Must not know resources, defaults or validation.
"""

from __future__ import annotations

import functools
import types
import typing
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_encoder = msgspec.json.Encoder()


def encode(obj: object) -> bytes:
    """The JSON bytes of a struct, or of a plain tree."""
    return _encoder.encode(obj)


def decode(of: type[T], data: bytes | bytearray | memoryview | str) -> T:
    """The struct that JSON bytes describe; raises `msgspec.DecodeError` for what is no JSON or of another shape.

    Tolerates nulls where Go writes them (`"items": null`), at the price of a second pass.
    """
    try:
        decoder: msgspec.json.Decoder[T] = _decoder(of)  # type: ignore[arg-type]
        return decoder.decode(data)
    except msgspec.ValidationError:
        return _convert(_repaired(msgspec.json.decode(data), of), of)


def to_tree(obj: object) -> dict[str, Any]:
    """The plain JSON tree of a struct: new dicts and lists, which the caller may change."""
    tree: dict[str, Any] = msgspec.json.decode(_encoder.encode(obj))
    return tree


def from_tree(of: type[T], tree: Any) -> T:
    """The struct that a plain JSON tree describes; the tree is neither kept nor changed. Errors as `decode`."""
    try:
        return _convert(tree, of)
    except msgspec.ValidationError:
        return _convert(_repaired(tree, of), of)


def _convert(tree: Any, of: type[T]) -> T:
    return msgspec.convert(tree, of)


@functools.cache
def _decoder(of: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(of)


@functools.cache
def _fields(of: type[msgspec.Struct]) -> dict[str, tuple[Any, bool]]:
    """Wire name → type, and whether null stands for an empty list or map because the field is required."""
    return {f.encode_name: (f.type, f.required) for f in msgspec.structs.fields(of)}


def _repaired(tree: Any, of: Any) -> Any:
    origin = typing.get_origin(of)
    if origin is types.UnionType or origin is typing.Union:
        structs = [a for a in typing.get_args(of) if a is not types.NoneType]
        return _repaired(tree, structs[0]) if len(structs) == 1 else tree
    if isinstance(tree, dict):
        if isinstance(of, type) and issubclass(of, msgspec.Struct):
            return _repaired_struct(tree, _fields(of))
        if origin is dict:
            value_type = typing.get_args(of)[1]
            return {k: _repaired(v, value_type) for k, v in tree.items() if v is not None}
    if isinstance(tree, (list, tuple)) and origin is tuple:
        item_type = typing.get_args(of)[0]
        return [_repaired(v, item_type) for v in tree if v is not None]
    if of is str and isinstance(tree, (int, float)) and not isinstance(tree, bool):
        return str(tree)
    return tree


def _repaired_struct(tree: dict[str, Any], fields: dict[str, tuple[Any, bool]]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in fields:
            continue
        of, required = fields[key]
        if value is not None:
            out[key] = _repaired(value, of)
    for key, (of, required) in fields.items():
        if required and key not in out:
            out[key] = _empty(of)
    return out


def _empty(of: Any) -> Any:
    """Return what Go would have in a required field that was not given."""
    if isinstance(of, type) and issubclass(of, msgspec.Struct):
        return _repaired_struct({}, _fields(of))
    return _EMPTY.get(typing.get_origin(of) or of)


_EMPTY: dict[Any, Any] = {tuple: (), dict: {}, str: "", int: 0, bool: False, float: 0.0}
