"""Owns the reading of protobuf bodies into plain JSON trees: what current kubectl sends from its typed commands.

The bytes are Kubernetes's envelope: four bytes of magic, then `runtime.Unknown` with apiVersion, kind and the object's
own message. Which fields there are stands in `protobuf_fields`; a kind or field that is not there is refused, never
dropped unseen. Podling answers in JSON, which every such client takes as well.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.errors import bad_request, unsupported_media_type
from podling.api.protobuf_fields import KINDS, MESSAGES
from podling.api.times import to_wire, to_wire_micro

if TYPE_CHECKING:
    from collections.abc import Iterator


_MAGIC: Final = b"k8s\x00"
_DEEPEST: Final = 100
_NO_FIELD: Final = ("-", "")
_LIST_ITSELF: Final = ("", "[text]")


class _Malformed(Exception):
    """The bytes are no protobuf message of the expected kind."""


def read(data: bytes) -> dict[str, Any]:
    """Return the tree of a protobuf body; `StatusError` 400 for malformed bytes, 415 for kinds that are not known."""
    if not data.startswith(_MAGIC):
        raise bad_request("provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]")
    try:
        envelope = dict(_fields(data[len(_MAGIC) :]))
        meta = dict(_fields(_bytes(envelope.get(1, b""))))
        api_version, kind = _text(meta.get(1, b"")), _text(meta.get(2, b""))
        group = api_version.rpartition("/")[0]
        name = "DeleteOptions" if kind == "DeleteOptions" else KINDS.get((group, kind))
        if name is None:
            raise unsupported_media_type("application/json, application/yaml")
        tree = _message(name, _bytes(envelope.get(2, b"")), 0)
    except (_Malformed, UnicodeDecodeError) as error:
        raise bad_request(f"error decoding the protobuf body: {error}") from error
    return {"apiVersion": api_version, "kind": kind, **tree}


def _message(name: str, data: bytes, depth: int) -> Any:
    if depth > _DEEPEST:
        raise _Malformed("nested too deeply")
    table = MESSAGES[name]
    tree: dict[str, Any] = {}
    for number, value in _fields(data):
        field = table.get(number)
        if field is None:
            raise _Malformed(f"{name} has no field {number}")
        key, form = field
        if form[0] == "[":
            tree.setdefault(key, []).append(_value(form[1:-1], value, depth))
        elif form[0] == "{":
            entry = dict(_fields(_bytes(value)))
            tree.setdefault(key, {})[_text(entry.get(1, b""))] = _value(form[1:-1], entry.get(2, b""), depth)
        else:
            read_value = _value(form.removesuffix("?"), value, depth)
            # Go writes what is not set as zero; only where it has a pointer does zero mean zero.
            if not key:
                tree |= read_value
            elif form[-1] == "?" or read_value not in ("", 0, None):
                tree[key] = read_value
    return tree.get("", []) if table.get(1, _NO_FIELD) == _LIST_ITSELF else tree


def _value(form: str, value: int | bytes, depth: int) -> Any:
    match form:
        case "text":
            return _text(value)
        case "number":
            number = _number(value)
            return number - (1 << 64) if number >= 1 << 63 else number
        case "flag":
            return bool(_number(value))
        case "bytes":
            return base64.b64encode(_bytes(value)).decode()
        case "time" | "micro":
            return _time(_bytes(value), form == "micro")
        case "quantity":
            return _text(dict(_fields(_bytes(value))).get(1, b""))
        case "int-or-string":
            parts = dict(_fields(_bytes(value)))
            is_text = _number(parts.get(1, 0)) == 1
            return _text(parts.get(3, b"")) if is_text else _value("number", parts.get(2, 0), depth)
        case "json":
            raw = _bytes(dict(_fields(_bytes(value))).get(1, b"null"))
            try:
                return msgspec.json.decode(raw)
            except msgspec.DecodeError as error:
                raise _Malformed(str(error)) from error
        case _:
            return _message(form, _bytes(value), depth + 1)


def _time(data: bytes, micro: bool) -> str | None:
    """Return a time on the wire; a message without content is Go's zero time, which is none."""
    parts = dict(_fields(data))
    seconds = _value("number", parts.get(1, 0), 0)
    nanos = _number(parts.get(2, 0))
    if not seconds and not nanos:
        return None
    try:
        return to_wire_micro(seconds + nanos / 1e9) if micro else to_wire(seconds)
    except OverflowError as error:
        raise _Malformed("a time is out of range") from error


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Yield the fields of a message: number, and an integer or bytes."""
    at, end = 0, len(data)

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while at < end and shift < 70:
            byte = data[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value & 0xFFFFFFFFFFFFFFFF
            shift += 7
        raise _Malformed("it ends within a number")

    while at < end:
        tag = varint()
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            yield number, varint()
        elif wire == 2:
            size = varint()
            if size > end - at:
                raise _Malformed("it ends within a field")
            yield number, data[at : at + size]
            at += size
        else:
            raise _Malformed(f"field {number} has wire type {wire}")


def _bytes(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise _Malformed("a number stands where a message is expected")
    return value


def _number(value: int | bytes) -> int:
    if isinstance(value, bytes):
        if value:
            raise _Malformed("bytes stand where a number is expected")
        return 0
    return value


def _text(value: int | bytes) -> str:
    return _bytes(value).decode()
