"""Owns the walk that makes a tree what Go's decoder and encoder would have made of it.

In one pass over a tree that has just been read: unknown fields go (and are told), nulls and empty optional lists, maps
and strings go, quantities and times become canonical, fields that upstream always prints appear, and a value of a wrong
type is refused in the words of Go's decoder. Nothing is coerced. The tree is changed in place.

Each struct's Schema is compiled, when first met, to a table of (expected type, walk, whether empty goes), so that the
common case of a field is one dictionary look-up and one comparison of types.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from podling.api import quantity
from podling.api.errors import StatusError, bad_request
from podling.api.schema import LIST, MAP, OPAQUE, STRUCT, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from datetime import datetime

    _Walk = Callable[[Any, "_Path | None", list["_Path"]], Any]

_Path = tuple[Any, Any, Any]
"""(path of the parent, key or index, the struct whose field it is or None); None at the root."""

_MOST_PROBLEMS: Final = 100
_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


class WrongType(ValueError):
    """A value of another type than its field's; the message is Go's."""


class Problems(NamedTuple):
    """What strict field validation refuses and the lenient one prunes."""

    unknown: tuple[str, ...]
    """Paths such as `spec.containers[0].foo`, in the order of the document; at most 100."""

    def sentences(self) -> list[str]:
        """Return them as upstream words them: `unknown field "spec.foo"`."""
        return [f'unknown field "{path}"' for path in self.unknown]


def walk(tree: Any, schema: Schema) -> Problems:
    """Conform a fresh tree to its schema, in place; raises `WrongType`, after which the tree is good for nothing."""
    unknown: list[_Path] = []
    _walker(schema)(tree, None, unknown)
    return Problems(tuple(_path_text(p) for p in unknown[:_MOST_PROBLEMS])) if unknown else _NONE


def conform(tree: dict[str, Any], schema: Schema) -> Problems:
    """Conform the fresh tree of a whole object, in place; a wrong type raises upstream's bad request."""
    try:
        return walk(tree, schema)
    except WrongType as error:
        raise cannot_handle(tree, schema, str(error)) from None


def cannot_handle(tree: dict[str, Any], schema: Schema, why: str) -> StatusError:
    """Return the refusal of a body: `Pod in version "v1" cannot be handled as a Pod: WHY`."""
    version, kind = schema.kinds[0][1:] if schema.kinds else schema.name.split(".")[-2:]
    given = tree.get("apiVersion")
    given_kind = tree.get("kind")
    if isinstance(given, str) and given:
        version = given.rsplit("/", 1)[-1]
    name = given_kind if isinstance(given_kind, str) and given_kind else kind
    return bad_request(f'{name} in version "{version}" cannot be handled as a {kind}: {why}')


def strict_decoding_error(sentences: Iterable[str]) -> str:
    """Return how strict validation names its findings: `strict decoding error: unknown field "a", …`."""
    return "strict decoding error: " + ", ".join(list(dict.fromkeys(sentences))[:_MOST_PROBLEMS])


_NONE: Final = Problems(())


def _walker(schema: Schema) -> _Walk:
    if schema.walker is None:
        if schema.kind == STRUCT:
            _compile_struct(schema)
        elif schema.kind == LIST:
            schema.walker = _list_walker(schema)
        elif schema.kind == MAP:
            schema.walker = _map_walker(schema)
        else:
            schema.walker = _scalar_walker(schema)
    return cast("_Walk", schema.walker)


def _compile_struct(schema: Schema) -> None:
    table: dict[str, tuple[type | None, Any, bool]] = {}
    get = table.get
    fills: list[tuple[str, Schema]] = []

    def walk_struct(tree: Any, path: _Path | None, unknown: list[_Path]) -> Any:
        if type(tree) is not dict:
            raise _mismatch(tree, schema, path)
        gone: list[str] | None = None
        for key, value in tree.items():
            entry = get(key)
            if entry is None:
                unknown.append((path, key, schema))
            else:
                expected, walker, empty_goes = entry
                if walker is None:
                    if type(value) is expected:
                        if value or not empty_goes:
                            continue
                    elif value is not None:
                        raise _mismatch(value, schema.fields[key], (path, key, schema))
                elif value is not None and (value or not empty_goes or type(value) is not expected):
                    made = walker(value, (path, key, schema), unknown)
                    if made is not value:
                        tree[key] = made
                    continue
            if gone is None:
                gone = [key]
            else:
                gone.append(key)
        if gone is not None:
            for key in gone:
                del tree[key]
        for key, child in fills:
            if key not in tree:
                tree[key] = _zero(child)
        return tree

    schema.walker = walk_struct
    for name, child in schema.fields.items():
        table[name] = _entry(table, name, child, optional=name not in schema.printed, pointer=name in schema.pointers)
    fills.extend((name, schema.fields[name]) for name in schema.printed)


def _entry(
    table: dict[str, tuple[type | None, Any, bool]], name: str, child: Schema, *, optional: bool, pointer: bool
) -> tuple[type | None, Any, bool]:
    """Return a field's row; a struct's or list's is compiled when the first value of it comes."""
    match child.kind:
        case "string":
            return str, None, optional and not pointer
        case "bool":
            return bool, None, False
        case "struct" | "list" | "map":

            def first(value: Any, path: _Path, unknown: list[_Path]) -> Any:
                walker = _walker(child)
                table[name] = (expected, walker, empty_goes)
                return walker(value, path, unknown)

            expected = list if child.kind == LIST else dict
            empty_goes = optional and child.kind != STRUCT
            return expected, first, empty_goes
        case _:
            return None, _walker(child), False


def _list_walker(schema: Schema) -> Any:
    item = schema.item
    assert item is not None
    if item.kind == "string":

        def walk_strings(tree: Any, path: _Path | None, _unknown: list[_Path]) -> Any:
            if type(tree) is not list:
                raise _mismatch(tree, schema, path)
            for index, value in enumerate(tree):
                if type(value) is not str:
                    if value is not None:
                        raise _mismatch(value, item, (path, index, None))
                    tree[index] = ""
            return tree

        return walk_strings
    walker = _walker(item)

    def walk_list(tree: Any, path: _Path | None, unknown: list[_Path]) -> Any:
        if type(tree) is not list:
            raise _mismatch(tree, schema, path)
        for index, value in enumerate(tree):
            if value is None:
                tree[index] = _zero(item)
                continue
            made = walker(value, (path, index, None), unknown)
            if made is not value:
                tree[index] = made
        return tree

    return walk_list


def _map_walker(schema: Schema) -> Any:
    item = schema.item
    assert item is not None
    walker = _walker(item)
    plain = item.kind == "string"

    def walk_map(tree: Any, path: _Path | None, unknown: list[_Path]) -> Any:
        if type(tree) is not dict:
            raise _mismatch(tree, schema, path)
        for key, value in tree.items():
            if plain and type(value) is str:
                continue
            made = _zero(item) if value is None else walker(value, (path, key, None), unknown)
            if made is not value:
                tree[key] = made
        return tree

    return walk_map


def _zero(schema: Schema) -> Any:
    """Return what Go prints for a value that was never set."""
    match schema.kind:
        case "struct":
            return _walker(schema)({}, None, [])
        case "list":
            return []
        case "map" | "object" | "any":
            return {}
        case "string" | "byte" | "time" | "microtime":
            return ""
        case "bool":
            return False
        case "quantity":
            return "0"
        case _:
            return 0


# --- scalars ----------------------------------------------------------------------------------------------------------


def _scalar_walker(schema: Schema) -> Any:
    kind = schema.kind
    if kind in OPAQUE:
        return _as_it_is
    if kind in _RANGES:
        low, high = _RANGES[kind]

        def walk_integer(value: Any, path: _Path | None, _unknown: list[_Path]) -> Any:
            if type(value) is not int:
                raise _mismatch(value, schema, path, number=type(value) is float)
            if low <= value <= high:
                return value
            raise _mismatch(value, schema, path, number=True)

        return walk_integer
    if kind in {"string", "bool"}:
        expected = str if kind == "string" else bool

        def walk_scalar(value: Any, path: _Path | None, _unknown: list[_Path]) -> Any:
            if type(value) is not expected:
                raise _mismatch(value, schema, path)
            return value

        return walk_scalar
    if kind == "double":

        def walk_double(value: Any, path: _Path | None, _unknown: list[_Path]) -> Any:
            if type(value) is not float and type(value) is not int:
                raise _mismatch(value, schema, path)
            return value

        return walk_double
    if kind == "byte":

        def walk_bytes(value: Any, path: _Path | None, _unknown: list[_Path]) -> Any:
            if type(value) is not str:
                raise _mismatch(value, schema, path)
            return _base64(value)

        return walk_bytes
    return {"quantity": _quantity, "int-or-string": _int_or_string, "time": _time, "microtime": _micro_time}[kind]


def _as_it_is(value: Any, _path: _Path | None, _unknown: list[_Path]) -> Any:
    return value


def _quantity(value: Any, _path: _Path | None, _unknown: list[_Path]) -> Any:
    try:
        if type(value) is str:
            return quantity.canonical(value.strip(" \t\r\n") if value != value.strip() else value)
        if type(value) is int or type(value) is float:
            return quantity.canonical(str(value))
    except ValueError as error:
        raise WrongType(str(error)) from None
    raise WrongType(quantity.WRONG_FORM)


def _int_or_string(value: Any, _path: _Path | None, _unknown: list[_Path]) -> Any:
    if type(value) is str:
        return value
    if type(value) is int and -(2**31) <= value < 2**31:
        return value
    what = f"number {_number(value)}" if type(value) in {int, float} else _value_name(value)
    raise WrongType(f"json: cannot unmarshal {what} into Go value of type int32")


# Patterns are compiled when first used: start-up does not pay for them.
_BASE64: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"


def _base64(value: str) -> str:
    if re.fullmatch(_BASE64, value):
        return value
    text = value.replace("\n", "").replace("\r", "")
    if re.fullmatch(_BASE64, text):
        import binascii

        return binascii.b2a_base64(binascii.a2b_base64(text), newline=False).decode()
    wrong = re.search("[^A-Za-z0-9+/]", value)
    raise WrongType(f"illegal base64 data at input byte {wrong.start() if wrong else len(value) // 4 * 4}")


_CANONICAL: Final = r"[0-9]{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|1[0-9]|2[0-8])T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]"
_CANONICAL_TIME: Final = _CANONICAL + "Z"
_CANONICAL_MICRO: Final = _CANONICAL + r"\.[0-9]{6}Z"
_TIME_STEPS: Final = (
    (r"\d{4}", "2006"),
    ("-", "-"),
    (r"\d\d", "01"),
    ("-", "-"),
    (r"\d\d", "02"),
    ("T", "T"),
    (r"\d\d", "15"),
    (":", ":"),
    (r"\d\d", "04"),
    (":", ":"),
    (r"\d\d", "05"),
)


def _time(value: Any, _path: _Path | None, _unknown: list[_Path]) -> Any:
    if type(value) is not str:
        raise WrongType(f"json: cannot unmarshal {_value_name(value)} into Go value of type string")
    if re.fullmatch(_CANONICAL_TIME, value):
        return value
    moment = _read_time(value, "2006-01-02T15:04:05Z07:00", r"[.,]\d+", "")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def _micro_time(value: Any, _path: _Path | None, _unknown: list[_Path]) -> Any:
    if type(value) is not str:
        raise WrongType(f"json: cannot unmarshal {_value_name(value)} into Go value of type string")
    if re.fullmatch(_CANONICAL_MICRO, value):
        return value
    moment = _read_time(value, "2006-01-02T15:04:05.000000Z07:00", r"\.\d{6}", ".000000")
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").rjust(27, "0")


def _read_time(text: str, layout: str, fraction: str, fraction_layout: str) -> datetime:
    """Read an RFC 3339 time; the refusal names what Go could not parse, and as which part of its layout."""
    from datetime import UTC, datetime

    rest = text
    for pattern, part in _TIME_STEPS:
        found = re.match(pattern, rest, re.ASCII)
        if found is None:
            raise WrongType(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{part}"')
        rest = rest[found.end() :]
    digits = re.match(fraction, rest, re.ASCII)
    if digits is None and fraction_layout:
        raise WrongType(f'parsing time "{text}" as "{layout}": cannot parse "{rest}" as "{fraction_layout}"')
    zone = rest[digits.end() :] if digits else rest
    if not (found := re.match("Z|[+-][0-9]{2}:[0-9]{2}", zone)):
        raise WrongType(f'parsing time "{text}" as "{layout}": cannot parse "{zone}" as "Z07:00"')
    if zone[found.end() :]:
        raise WrongType(f'parsing time "{text}": extra text: "{zone[found.end() :]}"')
    micros = (digits[0][1:7] if digits else "").ljust(6, "0")
    try:
        return datetime.fromisoformat(f"{text[:19]}.{micros}{found[0]}").astimezone(UTC)
    except (ValueError, OverflowError) as error:
        part = next((p for p in ("month", "day", "hour", "minute", "second") if p in str(error)), "day")
        raise WrongType(f'parsing time "{text}": {part} out of range') from None


# --- Go's words -------------------------------------------------------------------------------------------------------


def _mismatch(value: Any, schema: Schema, path: _Path | None, *, number: bool = False) -> WrongType:
    what = f"number {_number(value)}" if number else _value_name(value)
    stack: list[str] = []
    owner: Schema | None = None
    at = path
    own_field = ""
    while at is not None:
        at, key, struct = at
        if struct is not None:
            if owner is None:
                owner, own_field = struct, key
            stack.append(key)
    if owner is None:
        return WrongType(f"json: cannot unmarshal {what} into Go value of type {_go_type(schema)}")
    go_type = _go_type(schema)
    if path is not None and path[2] is not None:
        go_type = owner.go_names.get(own_field, go_type)
    field = ".".join(reversed(stack))
    return WrongType(
        f"json: cannot unmarshal {what} into Go struct field {owner.name.rsplit('.', 1)[-1]}.{field} of type {go_type}"
    )


def _value_name(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    return {str: "string", int: "number", float: "number", dict: "object", list: "array"}.get(type(value), "null")


def _number(value: Any) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) >= 2**63:
        return str(int(value))
    return str(value)


def _go_type(schema: Schema) -> str:
    match schema.kind:
        case "struct":
            version, kind = schema.name.split(".")[-2:] if "." in schema.name else ("v1", schema.name)
            return f"{version}.{kind}"
        case "list":
            return "[]" + _go_type(schema.item) if schema.item else "[]interface {}"
        case "map" if schema.item is not None:
            return "v1.ResourceList" if schema.item.kind == "quantity" else f"map[string]{_go_type(schema.item)}"
        case "double":
            return "float64"
        case "byte":
            return "[]uint8"
        case "quantity":
            return "resource.Quantity"
        case "int-or-string":
            return "intstr.IntOrString"
        case "time" | "microtime":
            return "v1.Time"
        case "any" | "object":
            return "interface {}"
        case scalar:
            return scalar


def _path_text(path: _Path) -> str:
    parts: list[str] = []
    at: _Path | None = path
    while at is not None:
        at, key, _ = at
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(parts)).removeprefix(".")
