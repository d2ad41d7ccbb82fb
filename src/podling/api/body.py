"""Owns the reading of request bodies (JSON, YAML, and protobuf for some kinds) into fresh plain trees.

Refuses what is no document, no object, or built to exhaust (nesting, YAML aliases), in upstream's words, and finds keys
given twice. Must not know schemas or resources.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final, NamedTuple

import msgspec

from podling.api import gojson
from podling.api.errors import StatusError, bad_request, unsupported_media_type

DEEPEST: Final = 200
"""Levels of nesting that are read; every walk over trees may recurse that deep."""

_TYPE_META: Final = (
    r'struct { APIVersion string "json:\"apiVersion,omitempty\""; Kind string "json:\"kind,omitempty\"" }'
)
_SPACED_COLON: Final = re.compile(rb'"[ \t\r\n]+:')
_MOST_WORDED: Final = 64 * 1024
"""Bytes of a malformed document for which Go's sentence is worth finding; of larger ones the offset is told."""
_NOT_INTERPRETED: Final = "couldn't get version/kind; json parse error: "


class Body(NamedTuple):
    """What a request carried."""

    tree: dict[str, Any]
    """Fresh: the reader may change it."""
    duplicates: tuple[str, ...]
    """Strict validation's sentences about keys given twice: `duplicate field "metadata.name"`."""

    def sentences(self, unknown: tuple[str, ...] = ()) -> list[str]:
        """Return all strict findings: those about unknown fields, and about known ones given twice."""
        found = [f'unknown field "{path}"' for path in unknown]
        told = {f'duplicate field "{path}"' for path in unknown}
        return found + [sentence for sentence in self.duplicates if sentence not in told]


def decode_body(data: bytes, content_type: str, kind: str = "", *, strict: bool = True) -> Body:
    """Read the body of a request for an object of a kind; every refusal is upstream's 400 (415 for other types).

    Without `strict`, keys given twice are not looked for; the last one counts either way.
    """
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type in {"", "application/json"} or media_type.endswith("+json"):
        return _decode_json(data, kind, strict=strict)
    if media_type in {"application/yaml", "application/x-yaml", "text/yaml"} or media_type.endswith("+yaml"):
        from podling.api.yamlbody import YamlError, read_yaml

        try:
            tree, duplicates = read_yaml(data, DEEPEST)
        except YamlError as error:
            raise unrecognized(kind, str(error), data) from None
        return Body(_object(tree, kind, data), duplicates)
    if media_type == "application/vnd.kubernetes.protobuf":
        from podling.api import protobuf

        return Body(protobuf.read(data), ())
    raise unsupported_media_type("application/json, application/yaml, application/vnd.kubernetes.protobuf")


def decode_json(data: bytes) -> Any:
    """Read any JSON value, such as a patch; `ValueError` with Go's sentence for what is none."""
    try:
        tree = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        tree = _decode_oddly(data)
    if data.count(b"{") + data.count(b"[") > DEEPEST and _depth(tree) > DEEPEST:
        raise ValueError("exceeded max depth")
    return tree


def duplicate_fields(data: bytes, tree: Any) -> tuple[str, ...]:
    """Return the paths of keys given twice in the JSON that gave a tree."""
    # Every key is followed by a colon: as many `":` as keys in the tree means that none was lost. A match within a
    # string can only make the first number larger, white space before a colon smaller, hence the two counts.
    colons = data.count(b'":')
    if colons == _key_count(tree) and _SPACED_COLON.search(data) is None:
        return ()
    found: list[str] = []
    _find_duplicates(_decode_pairs(data), "", found)
    return tuple(dict.fromkeys(found))


def unrecognized(kind: str, why: str, data: bytes) -> StatusError:
    """Return the refusal of a body whose kind could not be read."""
    return bad_request(f"the object provided is unrecognized (must be of type {kind}): {why} ({_summary(data)})")


def _decode_json(data: bytes, kind: str, *, strict: bool) -> Body:
    try:
        tree = decode_json(data)
    except ValueError as error:
        raise unrecognized(kind, f"{_NOT_INTERPRETED}{error}", data) from None
    tree = _object(tree, kind, data)
    if not strict:
        return Body(tree, ())
    return Body(tree, tuple(f'duplicate field "{path}"' for path in duplicate_fields(data, tree)))


def _object(tree: Any, kind: str, data: bytes) -> dict[str, Any]:
    if tree is None:
        tree = {}
    if not isinstance(tree, dict):
        why = f"json: cannot unmarshal {_value_name(tree)} into Go value of type {_TYPE_META}"
        raise unrecognized(kind, _NOT_INTERPRETED + why, data)
    for field in ("apiVersion", "kind"):
        value = tree.get(field)
        if value is not None and not isinstance(value, str):
            why = f"json: cannot unmarshal {_value_name(value)} into Go struct field .{field} of type string"
            raise unrecognized(kind, _NOT_INTERPRETED + why, data)
    return tree


def _decode_oddly(data: bytes) -> Any:
    """Read what the fast decoder refused: refuse it as Go does, or read what only Go tolerates."""
    why = gojson.syntax_error(data) if len(data) <= _MOST_WORDED else None
    if why is not None:
        raise ValueError(why)
    given = data.decode(errors="replace")
    try:
        text = json.dumps(json.loads(given), ensure_ascii=False)
    except RecursionError:
        raise ValueError("exceeded max depth") from None
    except json.JSONDecodeError as error:
        if error.pos >= len(given.rstrip()) or error.msg.startswith("Unterminated"):
            raise ValueError(gojson.END) from None
        raise ValueError(f"invalid character '{given[error.pos]}' at offset {error.pos}") from None
    except ValueError:  # a number of more digits than Python reads
        _too_large("")
    # Half of a surrogate pair becomes U+FFFD, as in Go.
    whole = text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return json.loads(whole, parse_constant=_too_large)


def _too_large(_name: str) -> Any:
    raise ValueError("json: cannot unmarshal number into Go value of type float64")


def _value_name(value: Any) -> str:
    names = {bool: "bool", str: "string", int: "number", float: "number", dict: "object", list: "array"}
    return names.get(type(value), "null")


def _summary(data: bytes) -> str:
    if not data:
        return "<empty>"
    cut = data[:30]
    text = cut.decode(errors="replace") if data[:1] == b"{" else cut.hex()
    return f"{text} ..." if len(data) > len(cut) else text


def _depth(tree: Any) -> int:
    depth = 0
    level = [tree]
    while level and depth <= DEEPEST:
        inner: list[Any] = []
        for node in level:
            if type(node) is dict:
                inner.extend(v for v in node.values() if type(v) is dict or type(v) is list)
            elif type(node) is list:
                inner.extend(v for v in node if type(v) is dict or type(v) is list)
        level = inner
        depth += 1
    return depth


def _key_count(tree: Any) -> int:
    count = 0
    todo = [tree]
    pop, push = todo.pop, todo.append
    while todo:
        node = pop()
        if type(node) is dict:
            count += len(node)
            node = node.values()
        elif type(node) is not list:
            continue
        for value in node:
            kind = type(value)
            if kind is dict or (kind is list and value):
                push(value)
    return count


class _Twice(dict[str, Any]):
    """An object some of whose keys were given twice."""

    keys_twice: tuple[str, ...] = ()


def _decode_pairs(data: bytes) -> Any:
    def made(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        tree = dict(pairs)
        if len(tree) == len(pairs):
            return tree
        seen: set[str] = set()
        twice = _Twice(tree)
        twice.keys_twice = tuple(dict.fromkeys(k for k, _ in pairs if k in seen or seen.add(k)))  # type: ignore[func-returns-value]
        return twice

    return json.loads(data.decode(errors="replace"), object_pairs_hook=made)


def _find_duplicates(tree: Any, path: str, found: list[str]) -> None:
    if isinstance(tree, dict):
        if isinstance(tree, _Twice):
            found.extend(f"{path}.{key}".removeprefix(".") for key in tree.keys_twice)
        for key, value in tree.items():
            _find_duplicates(value, f"{path}.{key}", found)
    elif isinstance(tree, list):
        for index, value in enumerate(tree):
            _find_duplicates(value, f"{path}[{index}]", found)
