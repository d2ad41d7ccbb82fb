"""Judges the values of a custom object by its openAPIV3Schema: types, bounds, patterns, alternatives, lists of keys.

Owns the rules and upstream's sentences (`spec.size in body must be of type integer: "string"`), in its order. A schema
is compiled once, to closures that each judge one node: `check(value, path, causes)` with paths as text. Rules in CEL
(`x-kubernetes-validations`) are not judged: who writes a definition with such rules is told so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.custom.formats import FORMATS
from podling.api.custom.patterns import compiled
from podling.api.errors import Cause
from podling.api.validation.field import quoted, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Check = Callable[[Any, str, list[Cause]], None]

_NO_PATH: Final = "<nil>"
"""Where upstream's refusals of combined schemas say that they stand."""


def type_name(value: Any) -> str:
    """Return what JSON schema calls the type of a value."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, float) and value.is_integer():
        return "integer"
    names = {str: "string", int: "integer", float: "number", dict: "object", list: "array"}
    return names.get(type(value), "null")


def validator(node: Mapping[str, Any]) -> Check:
    """Return the check of one node and all that is below it."""
    rules = [rule for make in _RULES if (rule := make(node)) is not None]
    types = _types(node)
    nullable = bool(node.get("nullable"))

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if value is None:
            if not nullable and types:
                causes.append(_wrong_type(path, types, "null"))
            return
        kind = type_name(value)
        if types and kind not in types and not (kind == "integer" and "number" in types):
            causes.append(_wrong_type(path, types, kind))
            return
        for rule in rules:
            rule(value, path, causes)

    return check


def _types(node: Mapping[str, Any]) -> tuple[str, ...]:
    if node.get("x-kubernetes-int-or-string"):
        return "integer", "string"
    return (node["type"],) if node.get("type") else ()


def _wrong_type(path: str, types: Sequence[str], kind: str) -> Cause:
    message = f"{path or '<root>'} in body must be of type {','.join(types)}: {quoted(kind)}"
    return Cause("FieldValueTypeInvalid", f"Invalid value: {quoted(kind)}: {message}", path)


def _invalid(path: str, value: Any, said: str) -> Cause:
    return Cause("FieldValueInvalid", f"Invalid value: {shown(value)}: {path} in body {said}", path)


def _combined(path: str, said: str) -> Cause:
    return Cause("FieldValueInvalid", f'Invalid value: "": {quoted(path)} {said}', _NO_PATH)


def _passes(check: Check, value: Any, path: str) -> bool:
    causes: list[Cause] = []
    check(value, path, causes)
    return not causes


def _combinations(node: Mapping[str, Any]) -> Check | None:
    any_of = [validator(each) for each in node.get("anyOf", ())]
    one_of = [validator(each) for each in node.get("oneOf", ())]
    all_of = [validator(each) for each in node.get("allOf", ())]
    refused = validator(node["not"]) if node.get("not") is not None else None
    if node.get("x-kubernetes-int-or-string"):
        any_of = []  # the one form in which it may be written says what the type says
    if not (any_of or one_of or all_of or refused):
        return None

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if any_of and not any(_passes(each, value, path) for each in any_of):
            causes.append(_combined(path, "must validate at least one schema (anyOf)"))
        if one_of:
            count = sum(_passes(each, value, path) for each in one_of)
            if count != 1:
                found = f"Found {count} valid alternatives" if count else "Found none valid"
                causes.append(_combined(path, f"must validate one and only one schema (oneOf). {found}"))
        if all_of:
            before = len(causes)
            for each in all_of:
                each(value, path, causes)
            if len(causes) > before:
                causes.append(_combined(path, "must validate all the schemas (allOf)"))
        if refused is not None and _passes(refused, value, path):
            causes.append(_combined(path, "must not validate the schema (not)"))

    return check


def _text(node: Mapping[str, Any]) -> Check | None:
    least, most = node.get("minLength"), node.get("maxLength")
    pattern = node.get("pattern", "")
    fits = compiled(pattern) if pattern else None
    if least is None and most is None and fits is None:
        return None

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if type(value) is not str:
            return
        if most is not None and len(value) > most:
            causes.append(Cause("FieldValueTooLong", f"Too long: may not be more than {most} bytes", path))
        if least is not None and len(value) < least:
            causes.append(_invalid(path, value, f"should be at least {least} chars long"))
        if fits is not None and not fits.search(value):
            causes.append(_invalid(path, value, f"should match '{pattern}'"))

    return check


def _format(node: Mapping[str, Any]) -> Check | None:
    name = node.get("format", "")
    fits = FORMATS.get(name.replace("-", ""))
    if fits is None:
        return None

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if type(value) is str and not fits(value):
            said = f"{path} in body must be of type {name}: {quoted(value)}"
            causes.append(Cause("FieldValueTypeInvalid", f"Invalid value: {quoted(value)}: {said}", path))

    return check


def _number(node: Mapping[str, Any]) -> Check | None:
    low, high, factor = node.get("minimum"), node.get("maximum"), node.get("multipleOf")
    if low is None and high is None and factor is None:
        return None
    above, below = bool(node.get("exclusiveMinimum")), bool(node.get("exclusiveMaximum"))

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if type(value) is not int and type(value) is not float:
            return
        if factor is not None and not _is_multiple(value, factor):
            causes.append(_invalid(path, value, f"should be a multiple of {_go(factor)}"))
        if high is not None and (value > high or (below and value == high)):
            causes.append(_invalid(path, value, f"should be less than {'' if below else 'or equal to '}{_go(high)}"))
        if low is not None and (value < low or (above and value == low)):
            causes.append(_invalid(path, value, f"should be greater than {'' if above else 'or equal to '}{_go(low)}"))

    return check


def _is_multiple(value: float, factor: float) -> bool:
    """Whether a number is some whole number of factors; of nothing, and beyond all that can be reckoned, it is none."""
    try:
        count = value / factor
        return abs(count - round(count)) <= 1e-9
    except (ZeroDivisionError, OverflowError):
        return False


def _go(number: float) -> str:
    """Return a number as Go's `%v` prints it."""
    return str(int(number)) if number == int(number) and abs(number) < 1e21 else repr(number)


def _list(node: Mapping[str, Any]) -> Check | None:
    least, most, items = node.get("minItems"), node.get("maxItems"), node.get("items")
    each = validator(items) if isinstance(items, dict) else None
    if node.get("type") != "array" and least is None and most is None and each is None:
        return None

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if type(value) is not list:
            return
        if each is not None:
            for index, item in enumerate(value):
                each(item, f"{path}[{index}]", causes)
        if least is not None and len(value) < least:
            causes.append(_invalid(path, len(value), f"should have at least {least} items"))
        if most is not None and len(value) > most:
            causes.append(Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items", path))

    return check


def _enumeration(node: Mapping[str, Any]) -> Check | None:
    allowed = node.get("enum") or ()
    if not allowed:
        return None
    texts = frozenset(each for each in allowed if isinstance(each, str))
    listed = ", ".join(quoted(each) if isinstance(each, str) else quoted(shown(each)) for each in allowed)

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if type(value) is str:
            is_known = value in texts
        else:
            is_known = any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in allowed)
        if not is_known:
            said = f"Unsupported value: {shown(value)}: supported values: {listed}"
            causes.append(Cause("FieldValueNotSupported", said, path))

    return check


def _object(node: Mapping[str, Any]) -> Check | None:
    required = tuple(node.get("required", ()))
    properties = {name: validator(child) for name, child in node.get("properties", {}).items()}
    rest = node.get("additionalProperties")
    others = validator(rest) if isinstance(rest, dict) else None
    least, most = node.get("minProperties"), node.get("maxProperties")
    embedded = bool(node.get("x-kubernetes-embedded-resource"))
    if not (required or properties or others or embedded) and least is None and most is None:
        return None

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if type(value) is not dict:
            return
        prefix = f"{path}." if path else ""
        if least is not None and len(value) < least:
            causes.append(_invalid(path, least, f"should have at least {least} properties"))
        if most is not None and len(value) > most:
            causes.append(Cause("FieldValueTooMany", f"Too many: {len(value)}: must have at most {most} items", path))
        causes.extend(
            Cause("FieldValueRequired", "Required value", prefix + name) for name in required if name not in value
        )
        for name, held in value.items():
            judge = properties.get(name, others)
            if judge is not None:
                judge(held, prefix + name, causes)
        if embedded:
            causes.extend(
                Cause("FieldValueRequired", "Required value: must not be empty", prefix + name)
                for name in ("apiVersion", "kind")
                if not value.get(name)
            )

    return check


def _keys(node: Mapping[str, Any]) -> Check | None:
    """Judge lists that are sets, or maps by some of their fields."""
    keys = tuple(node.get("x-kubernetes-list-map-keys", ()))
    kind = node.get("x-kubernetes-list-type", "")
    if kind not in {"set", "map"}:
        return None
    items = node.get("items")
    given = {}
    if isinstance(items, dict):
        given = {name: child.get("default") for name, child in items.get("properties", {}).items()}

    def check(value: Any, path: str, causes: list[Cause]) -> None:
        if type(value) is not list:
            return
        seen: set[bytes] = set()
        for index, item in enumerate(value):
            if kind == "map" and type(item) is not dict:
                continue
            key = item if kind == "set" else {name: item.get(name, given.get(name)) for name in keys}
            known = msgspec.json.encode(key, order="deterministic")
            if known in seen:
                causes.append(Cause("FieldValueDuplicate", f"Duplicate value: {shown(key)}", f"{path}[{index}]"))
            else:
                seen.add(known)

    return check


_RULES: Final[tuple[Callable[[Mapping[str, Any]], Check | None], ...]] = (
    _combinations,
    _text,
    _format,
    _number,
    _list,
    _enumeration,
    _object,
    _keys,
)
