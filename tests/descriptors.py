"""What upstream's own binaries know of protobuf: the descriptors that every Go program of Kubernetes carries.

Read out of the installed kubectl, compressed as they lie there; and objects written by them, as a Go client writes what it
has read. So field numbers are held against upstream's, not against our reading of them.
"""

from __future__ import annotations

import base64
import json
import re
import shutil
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

BOOL, BYTES, MESSAGE, TEXT = 8, 12, 11, 9
"""Types of fields, as descriptors number them; the others that Kubernetes uses are integers."""
_REPEATED = 3
_LONGEST = 1 << 20


@dataclass(frozen=True)
class Field:
    number: int
    name: str
    type: int
    of: str
    """The full name of the message that it holds, if it does."""
    repeated: bool


@dataclass
class Message:
    fields: dict[int, Field] = field(default_factory=dict)
    entries: dict[str, Message] = field(default_factory=dict)
    """The messages that stand for a map's entries, by their own names."""

    def entry(self, of: Field) -> Message | None:
        """Return the entries of a field that is a map."""
        return self.entries.get(of.of.rpartition(".")[2]) if of.repeated else None


@cache
def descriptors() -> Mapping[str, Message]:
    """Return the messages of the installed kubectl by full name; none without it, or without any in it."""
    program = shutil.which("kubectl")
    data = Path(program).resolve().read_bytes() if program else b""
    found: dict[str, Message] = {}
    for start in re.finditer(rb"\x1f\x8b\x08\x00", data):
        try:
            unpacked = zlib.decompressobj(31).decompress(data[start.start() : start.start() + _LONGEST])
            parts = list(_parts(unpacked))
        except (zlib.error, ValueError, IndexError):
            continue
        names = {number: value for number, value in parts if number in {1, 2} and isinstance(value, bytes)}
        if names.get(1, b"").endswith(b"generated.proto"):
            for number, value in parts:
                if number == 4 and isinstance(value, bytes):
                    name, message = _message(value)
                    found[f"{names[2].decode()}.{name}"] = message
    return found


def encode(name: str, tree: Mapping[str, Any]) -> bytes:
    """Return an object as a Go client sends it; what these descriptors do not know it has never read."""
    group_version, kind = tree["apiVersion"], tree["kind"]
    unknown = _piece(1, _piece(1, group_version.encode()) + _piece(2, kind.encode()))
    return b"k8s\x00" + unknown + _piece(2, _encoded(descriptors()[name], tree))


def _message(data: bytes) -> tuple[str, Message]:
    name, message = "", Message()
    for number, value in _parts(data):
        if number == 1 and isinstance(value, bytes):
            name = value.decode()
        elif number == 2 and isinstance(value, bytes):
            told: dict[int, Any] = dict(_parts(value))
            of = told.get(6, b"").decode().lstrip(".")
            message.fields[told[3]] = Field(told[3], told[1].decode(), told[5], of, told.get(4) == _REPEATED)
        elif number == 3 and isinstance(value, bytes):
            entry, inner = _message(value)
            message.entries[entry] = inner
    return name, message


def _parts(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = data[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(data):
        tag = varint()
        if tag & 7 == 0:
            yield tag >> 3, varint()
        elif tag & 7 == 2:
            size = varint()
            yield tag >> 3, data[at : at + size]
            at += size
        else:
            raise ValueError(tag)


def _encoded(message: Message, tree: Mapping[str, Any]) -> bytes:
    """Return a message; a field whose message has no name of its own in JSON stands inline."""
    lowered = {key.lower(): value for key, value in tree.items()}
    told = b""
    for number, it in sorted(message.fields.items()):
        inline = it.type == MESSAGE and not it.repeated and it.name.lower() not in lowered
        if inline and it.name.lower() in _INLINE:
            told += _piece(number, _encoded(descriptors()[it.of], tree))
        value = lowered.get(it.name.lower())
        if value is None:
            continue
        entry = message.entry(it)
        if entry is not None:
            for key, each in value.items():
                told += _piece(number, _piece(1, key.encode()) + _value(entry.fields[2], each))
        else:
            for each in value if it.repeated else [value]:
                told += _value(it, each)
    return told


_INLINE = frozenset({
    "volumesource", "persistentvolumesource", "ephemeralcontainercommon", "ingressrulevalue", "localobjectreference",
    "handler", "rule",
})  # fmt: skip
"""Go's embedded structs."""


def _value(of: Field, value: Any) -> bytes:
    if of.type == MESSAGE:
        return _piece(of.number, _special(of.of.rpartition(".")[2], value, of.of))
    if of.type == TEXT:
        return _piece(of.number, value.encode())
    if of.type == BYTES:
        return _piece(of.number, base64.b64decode(value))
    return _varint(of.number << 3) + _varint(int(value))


def _special(short: str, value: Any, name: str) -> bytes:
    match short:
        case "Time" | "MicroTime":
            instant = datetime.fromisoformat(value).timestamp()
            return b"\x08" + _varint(int(instant)) + b"\x10" + _varint(round(instant % 1 * 1e6) * 1000)
        case "RawExtension" | "FieldsV1":
            return _piece(1, json.dumps(value).encode())
        case "Quantity":
            return _piece(1, str(value).encode())
        case "IntOrString":
            if isinstance(value, str):
                return b"\x08\x01" + _piece(3, value.encode())
            return b"\x08\x00\x10" + _varint(value)
        case _:
            return _encoded(descriptors()[name], value)


def _piece(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    told = bytearray()
    while value > 127:
        told.append(value & 127 | 128)
        value >>= 7
    told.append(value)
    return bytes(told)
