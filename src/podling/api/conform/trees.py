"""Owns the walk that makes a tree what Go's decoder and encoder would have made of it.

In one pass over a tree that has just been read: unknown fields go (and are told), nulls and empty optional lists, maps
and strings go, quantities and times become canonical, fields that upstream always prints appear, and a value of a wrong
type is refused in the words of Go's decoder. Nothing is coerced. The tree is changed in place.

Each struct's Schema is compiled, when first met, to a table of (expected type, walk, whether empty goes), so that the
common case of a field is one dictionary look-up and one comparison of types.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast

from podling.api.conform.scalars import scalar_walker
from podling.api.conform.words import WrongType, mismatch
from podling.api.errors import StatusError, bad_request
from podling.api.schema import LIST, MAP, NESTED, STRUCT, Schema

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from podling.api.conform.words import Path

    _Walk = Callable[[Any, Path | None, list[Path]], Any]

_MOST_PROBLEMS: Final = 100


class Problems(NamedTuple):
    """What strict field validation refuses and the lenient one prunes."""

    unknown: tuple[str, ...]
    """Paths such as `spec.containers[0].foo`, in the order of the document; at most 100."""

    def sentences(self) -> list[str]:
        """Return them as upstream words them: `unknown field "spec.foo"`."""
        return [f'unknown field "{path}"' for path in self.unknown]


def walk(tree: Any, schema: Schema) -> Problems:
    """Conform a fresh tree to its schema, in place; raises `WrongType`, after which the tree is good for nothing."""
    unknown: list[Path] = []
    _walker(schema)(tree, None, unknown)
    return Problems(tuple(_path_text(p) for p in unknown[:_MOST_PROBLEMS])) if unknown else _NONE


def conform(tree: dict[str, Any], schema: Schema) -> Problems:
    """Conform the fresh tree of a whole object, in place; a wrong type raises upstream's bad request."""
    try:
        return walk(tree, schema)
    except WrongType as error:
        version, kind = schema.kinds[0][1:] if schema.kinds else schema.name.split(".")[-2:]
        raise cannot_handle(tree, version, kind, str(error)) from None


def cannot_handle(tree: dict[str, Any], version: str, kind: str, why: str) -> StatusError:
    """Return the refusal of a body: `Pod in version "v1" cannot be handled as a Pod: WHY`."""
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
        elif schema.kind in NESTED:
            schema.walker = _nested_walker(schema)
        else:
            schema.walker = scalar_walker(schema)
    return cast("_Walk", schema.walker)


def _compile_struct(schema: Schema) -> None:
    table: dict[str, tuple[type | None, Any, bool]] = {}
    get = table.get
    fills: list[tuple[str, Schema]] = []

    def walk_struct(tree: Any, path: Path | None, unknown: list[Path]) -> Any:
        if type(tree) is not dict:
            raise mismatch(tree, schema, path)
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
                        raise mismatch(value, schema.fields[key], (path, key, schema))
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

            def first(value: Any, path: Path, unknown: list[Path]) -> Any:
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

        def walk_strings(tree: Any, path: Path | None, _unknown: list[Path]) -> Any:
            if type(tree) is not list:
                raise mismatch(tree, schema, path)
            for index, value in enumerate(tree):
                if type(value) is not str:
                    if value is not None:
                        raise mismatch(value, item, (path, index, None))
                    tree[index] = ""
            return tree

        return walk_strings
    walker = _walker(item)

    def walk_list(tree: Any, path: Path | None, unknown: list[Path]) -> Any:
        if type(tree) is not list:
            raise mismatch(tree, schema, path)
        for index, value in enumerate(tree):
            if value is None:
                if item.kind != "any":  # of which null is one
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

    def walk_map(tree: Any, path: Path | None, unknown: list[Path]) -> Any:
        if type(tree) is not dict:
            raise mismatch(tree, schema, path)
        for key, value in tree.items():
            if plain and type(value) is str:
                continue
            made = _zero(item) if value is None else walker(value, (path, key, None), unknown)
            if made is not value:
                tree[key] = made
        return tree

    return walk_map


def _nested_walker(schema: Schema) -> Any:
    """Return the walk for what may be a JSON schema, as CustomResourceDefinitions have them within each other."""
    kind = schema.kind

    def walk_nested(value: Any, path: Path | None, unknown: list[Path]) -> Any:
        props = Schema.of(_JSON_SCHEMA)
        if type(value) is dict:
            return _walker(props)(value, path, unknown)
        if kind == "schema-or-bool":
            if type(value) is not bool:
                raise WrongType("boolean or JSON schema expected")
        elif type(value) is not list:
            raise mismatch(value, props, path)
        else:
            for index, item in enumerate(value):
                where = (path, index, None)
                if kind == "schema-or-array":
                    value[index] = _walker(props)(item, where, unknown)
                elif type(item) is not str:
                    raise mismatch(item, _STRING, where)
        return value

    return walk_nested


_STRING: Final = Schema("string")
_JSON_SCHEMA: Final = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps"


def _zero(schema: Schema) -> Any:
    """Return what Go prints for a value that was never set."""
    match schema.kind:
        case "struct":
            return _walker(schema)({}, None, [])
        case "list":
            return []
        case "map" | "object" | "any" | "schema-or-array" | "schema-or-bool" | "schema-or-strings":
            return {}
        case "string" | "byte" | "time" | "microtime":
            return ""
        case "bool":
            return False
        case "quantity":
            return "0"
        case _:
            return 0


def _path_text(path: Path) -> str:
    parts: list[str] = []
    at: Path | None = path
    while at is not None:
        at, key, _ = at
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key}")
    return "".join(reversed(parts)).removeprefix(".")
