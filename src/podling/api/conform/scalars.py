"""Values that hold no others: numbers in their range, quantities and times made canonical, bytes in base64.

Owns their forms, and Go's sentences about texts that are none. Each walk takes (value, path, unknown) as all walks do.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from podling.api import quantity
from podling.api.conform.words import WrongType, mismatch, number_text, value_name
from podling.api.schema import OPAQUE

if TYPE_CHECKING:
    from datetime import datetime

    from podling.api.conform.words import Path
    from podling.api.schema import Schema

_RANGES: Final = {"int32": (-(2**31), 2**31 - 1), "int64": (-(2**63), 2**63 - 1)}


def scalar_walker(schema: Schema) -> Any:
    """Return the walk for values that hold no others: it makes each canonical or refuses it."""
    kind = schema.kind
    if kind in OPAQUE:
        return _as_it_is
    if kind in _RANGES:
        low, high = _RANGES[kind]

        def walk_integer(value: Any, path: Path | None, _unknown: list[Path]) -> Any:
            if type(value) is not int:
                raise mismatch(value, schema, path, number=type(value) is float)
            if low <= value <= high:
                return value
            raise mismatch(value, schema, path, number=True)

        return walk_integer
    if kind in {"string", "bool"}:
        expected = str if kind == "string" else bool

        def walk_scalar(value: Any, path: Path | None, _unknown: list[Path]) -> Any:
            if type(value) is not expected:
                raise mismatch(value, schema, path)
            return value

        return walk_scalar
    if kind == "double":

        def walk_double(value: Any, path: Path | None, _unknown: list[Path]) -> Any:
            if type(value) is not float and type(value) is not int:
                raise mismatch(value, schema, path)
            return value

        return walk_double
    if kind == "byte":

        def walk_bytes(value: Any, path: Path | None, _unknown: list[Path]) -> Any:
            if type(value) is not str:
                raise mismatch(value, schema, path)
            return _base64(value)

        return walk_bytes
    return {"quantity": _quantity, "int-or-string": _int_or_string, "time": _time, "microtime": _micro_time}[kind]


def _as_it_is(value: Any, _path: Path | None, _unknown: list[Path]) -> Any:
    return value


def _quantity(value: Any, _path: Path | None, _unknown: list[Path]) -> Any:
    try:
        if type(value) is str:
            return quantity.canonical(value.strip(" \t\r\n") if value != value.strip() else value)
        if type(value) is int or type(value) is float:
            return quantity.canonical(str(value))
    except ValueError as error:
        raise WrongType(str(error)) from None
    raise WrongType(quantity.WRONG_FORM)


def _int_or_string(value: Any, _path: Path | None, _unknown: list[Path]) -> Any:
    if type(value) is str:
        return value
    if type(value) is int and -(2**31) <= value < 2**31:
        return value
    what = f"number {number_text(value)}" if type(value) in {int, float} else value_name(value)
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


def _time(value: Any, _path: Path | None, _unknown: list[Path]) -> Any:
    if type(value) is not str:
        raise WrongType(f"json: cannot unmarshal {value_name(value)} into Go value of type string")
    if re.fullmatch(_CANONICAL_TIME, value):
        return value
    moment = _read_time(value, "2006-01-02T15:04:05Z07:00", r"[.,]\d+", "")
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def _micro_time(value: Any, _path: Path | None, _unknown: list[Path]) -> Any:
    if type(value) is not str:
        raise WrongType(f"json: cannot unmarshal {value_name(value)} into Go value of type string")
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
