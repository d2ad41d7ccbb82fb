"""Owns the protobuf form of OpenAPI documents: gnostic's messages, which Go clients ask for by media type.

Table-driven: a message is a table from a document's keys to field numbers (as gnostic's published .proto files number
them) and forms; keys that begin with `x-` are its extensions. A key that no table knows is an error, so that nothing is
left out unseen. `v2_document` and `v3_document` take the same trees that are served as JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

Form: TypeAlias = Callable[[int, Any], bytes]
"""Writes a value as the field of that number."""


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number: int, payload: bytes) -> bytes:
    """Return a length-delimited field."""
    return _varint(number << 3 | 2) + _varint(len(payload)) + payload


def text(number: int, value: Any) -> bytes:
    return field(number, value.encode()) if value else b""


def flag(number: int, value: Any) -> bytes:
    return _varint(number << 3) + b"\x01" if value else b""


def each(form: Form) -> Form:
    """Return the form of a repeated field."""
    return lambda number, values: b"".join(form(number, value) for value in values)


def any_value(number: int, value: Any) -> bytes:
    """Write gnostic's Any, whose content is YAML; JSON is YAML."""
    return field(number, field(2, msgspec.json.encode(value)))


def wrapped(inner: int, form: Form) -> Form:
    """Return the form of a message that holds one field."""
    return lambda number, value: field(number, form(inner, value))


def named(form: Form) -> Form:
    """Return the form of a map, which gnostic writes as a repeated pair of name and value."""

    def write(number: int, values: Mapping[str, Any]) -> bytes:
        return b"".join(field(number, text(1, name) + form(2, value)) for name, value in values.items())

    return write


def message(fields: Callable[[], Mapping[str, tuple[int, Form]]], extensions: int = 0) -> Form:
    """Return the form of a message; `fields` is called late, so that tables may refer to each other."""
    tables: list[Mapping[str, tuple[int, Form]]] = []

    def write(number: int, value: Mapping[str, Any]) -> bytes:
        if not tables:
            tables.append(fields())
        table = tables[0]
        out = bytearray()
        for key, part in value.items():
            known = table.get(key)
            if known is not None:
                out += known[1](known[0], part)
            elif extensions and key.startswith("x-"):
                out += field(extensions, text(1, key) + any_value(2, part))
            else:
                raise ValueError(f"no field for {key!r} in this message of an OpenAPI document")
        return field(number, bytes(out))

    return write


_INFO2: Final = message(lambda: {"title": (1, text), "version": (2, text), "description": (3, text)}, 7)
_INFO3: Final = message(lambda: {"title": (1, text), "description": (2, text), "version": (6, text)}, 7)

_SCHEMA2: Final[Form] = message(
    lambda: {
        "$ref": (1, text),
        "format": (2, text),
        "description": (4, text),
        "uniqueItems": (16, flag),
        "required": (19, each(text)),
        "additionalProperties": (21, wrapped(1, _SCHEMA2)),
        "type": (22, wrapped(1, text)),
        "items": (23, wrapped(1, _SCHEMA2)),
        "properties": (25, wrapped(1, named(_SCHEMA2))),
    },
    31,
)


def _parameter2(number: int, value: Mapping[str, Any]) -> bytes:
    """Write a ParametersItem: a body parameter, or one of a query or path."""
    if value["in"] == "body":
        return field(number, field(1, _BODY2(1, value)))
    place, form = (3, _QUERY2) if value["in"] == "query" else (4, _PATH2)
    return field(number, field(1, field(2, form(place, value))))


_BODY2: Final = message(
    lambda: {
        "description": (1, text),
        "name": (2, text),
        "in": (3, text),
        "required": (4, flag),
        "schema": (5, _SCHEMA2),
    },
    6,
)
_QUERY2: Final = message(
    lambda: {
        "required": (1, flag),
        "in": (2, text),
        "description": (3, text),
        "name": (4, text),
        "type": (6, text),
        "uniqueItems": (20, flag),
    },
    23,
)
_PATH2: Final = message(
    lambda: {
        "required": (1, flag),
        "in": (2, text),
        "description": (3, text),
        "name": (4, text),
        "type": (5, text),
        "uniqueItems": (19, flag),
    },
    22,
)
_RESPONSE2: Final = message(lambda: {"description": (1, text), "schema": (2, wrapped(1, _SCHEMA2))}, 5)
_OPERATION2: Final = message(
    lambda: {
        "tags": (1, each(text)),
        "description": (3, text),
        "operationId": (5, text),
        "produces": (6, each(text)),
        "consumes": (7, each(text)),
        "parameters": (8, each(_parameter2)),
        "responses": (9, wrapped(1, named(wrapped(1, _RESPONSE2)))),
        "schemes": (10, each(text)),
    },
    13,
)
_PATH_ITEM2: Final = message(
    lambda: {
        "get": (2, _OPERATION2),
        "put": (3, _OPERATION2),
        "post": (4, _OPERATION2),
        "delete": (5, _OPERATION2),
        "patch": (8, _OPERATION2),
        "parameters": (9, each(_parameter2)),
    },
    10,
)
_DOCUMENT2: Final = message(
    lambda: {
        "swagger": (1, text),
        "info": (2, _INFO2),
        "paths": (8, wrapped(2, named(_PATH_ITEM2))),
        "definitions": (9, wrapped(1, named(_SCHEMA2))),
    },
    16,
)

_REFERENCE: Final = message(lambda: {"$ref": (1, text), "description": (3, text)})


def _schema3(number: int, value: Mapping[str, Any]) -> bytes:
    """Write a SchemaOrReference."""
    return field(number, _REFERENCE(2, value) if "$ref" in value else _PLAIN3(1, value))


_PLAIN3: Final = message(
    lambda: {
        "uniqueItems": (20, flag),
        "required": (23, each(text)),
        "type": (25, text),
        "allOf": (26, each(_schema3)),
        "oneOf": (27, each(_schema3)),
        "items": (30, wrapped(1, _schema3)),
        "properties": (31, wrapped(1, named(_schema3))),
        "additionalProperties": (32, wrapped(1, _schema3)),
        "description": (34, text),
        "format": (35, text),
    },
    36,
)
_PARAMETER3: Final = wrapped(
    1,
    message(
        lambda: {
            "name": (1, text),
            "in": (2, text),
            "description": (3, text),
            "required": (4, flag),
            "schema": (10, _schema3),
        },
        14,
    ),
)
_MEDIA3: Final = message(lambda: {"schema": (1, _schema3)}, 5)
_CONTENT3: Final = wrapped(1, named(_MEDIA3))
_BODY3: Final = wrapped(1, message(lambda: {"content": (2, _CONTENT3), "required": (3, flag)}, 4))
_RESPONSE3: Final = wrapped(1, message(lambda: {"description": (1, text), "content": (3, _CONTENT3)}, 5))
_OPERATION3: Final = message(
    lambda: {
        "tags": (1, each(text)),
        "description": (3, text),
        "operationId": (5, text),
        "parameters": (6, each(_PARAMETER3)),
        "requestBody": (7, _BODY3),
        "responses": (8, wrapped(2, named(_RESPONSE3))),
    },
    13,
)
_PATH_ITEM3: Final = message(
    lambda: {
        "get": (4, _OPERATION3),
        "put": (5, _OPERATION3),
        "post": (6, _OPERATION3),
        "delete": (7, _OPERATION3),
        "patch": (10, _OPERATION3),
        "parameters": (13, each(_PARAMETER3)),
    },
    14,
)
_COMPONENTS3: Final = message(lambda: {"schemas": (1, wrapped(1, named(_schema3)))})
_DOCUMENT3: Final = message(
    lambda: {
        "openapi": (1, text),
        "info": (2, _INFO3),
        "paths": (4, wrapped(1, named(_PATH_ITEM3))),
        "components": (5, _COMPONENTS3),
    },
    9,
)


def v2_document(tree: Mapping[str, Any]) -> bytes:
    """Return an OpenAPI v2 document as gnostic's `openapi.v2.Document`."""
    return _unframed(_DOCUMENT2(1, tree))


def v3_document(tree: Mapping[str, Any]) -> bytes:
    """Return an OpenAPI v3 document as gnostic's `openapi.v3.Document`."""
    return _unframed(_DOCUMENT3(1, tree))


def _unframed(framed: bytes) -> bytes:
    """Take the tag and length of a field away: a document stands by itself."""
    at = 1
    while framed[at] & 0x80:
        at += 1
    return framed[at + 1 :]
