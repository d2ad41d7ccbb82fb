"""Where a field stands, and the sentences that say what is wrong with it.

Owns what upstream keeps in `field`: paths (`spec.containers[0].ports[1].hostPort`), the reasons, their words, and how
values are shown. Must not know any kind.

A path is a chain of steps that becomes text only when something is wrong; checking a sound object builds almost none.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from msgspec import Struct, to_builtins

from podling.api.errors import Cause

if TYPE_CHECKING:
    from collections.abc import Iterable


class Path(Struct, frozen=True, gc=False):
    """A field's place: `/` goes to a child, `[]` to an item of a list, `key` to an entry of a map.

    A struct because making one is the commonest thing that validation does.
    """

    step: str = ""
    parent: Path | None = None

    def __truediv__(self, name: str) -> Path:
        return Path("." + name, self)

    def __getitem__(self, index: int) -> Path:
        return Path(f"[{index}]", self)

    def key(self, key: str) -> Path:
        return Path(f"[{key}]", self)

    def __str__(self) -> str:
        steps = [self.step]
        path = self.parent
        while path is not None:
            steps.append(path.step)
            path = path.parent
        return "".join(reversed(steps)).removeprefix(".")


ROOT = Path()
"""The object itself."""
METADATA = ROOT / "metadata"
SPEC = ROOT / "spec"
STATUS = ROOT / "status"


def required(path: Path, detail: str = "") -> Cause:
    return Cause("FieldValueRequired", _with("Required value", detail), str(path))


def forbidden(path: Path, detail: str) -> Cause:
    return Cause("FieldValueForbidden", _with("Forbidden", detail), str(path))


def invalid(path: Path, value: object, detail: str) -> Cause:
    return Cause("FieldValueInvalid", _with(f"Invalid value: {shown(value)}", detail), str(path))


def not_supported(path: Path, value: object, supported: Iterable[str]) -> Cause:
    """Refuse a value of an enumeration; `supported` in the order in which the message lists it."""
    values = ", ".join(quoted(name) for name in supported)
    detail = f"supported values: {values}" if values else ""
    return Cause("FieldValueNotSupported", _with(f"Unsupported value: {shown(value)}", detail), str(path))


def duplicate(path: Path, value: object, detail: str = "") -> Cause:
    return Cause("FieldValueDuplicate", _with(f"Duplicate value: {shown(value)}", detail), str(path))


def not_found(path: Path, value: object, detail: str = "") -> Cause:
    return Cause("FieldValueNotFound", _with(f"Not found: {shown(value)}", detail), str(path))


def too_long(path: Path, limit: int) -> Cause:
    return Cause("FieldValueTooLong", f"Too long: may not be more than {limit} bytes", str(path))


def too_many(path: Path, count: int, limit: int) -> Cause:
    return Cause("FieldValueTooMany", f"Too many: {count}: must have at most {limit} items", str(path))


def invalid_each(path: Path, value: object, details: Iterable[str], causes: list[Cause]) -> None:
    """Refuse one value once for each of `details`, as formats report."""
    for detail in details:
        causes.append(invalid(path, value, detail))  # noqa: PERF401 — mostly there are none


def immutable(path: Path, new: object, old: object, causes: list[Cause]) -> None:
    """Refuse any change of a value."""
    if new != old:
        causes.append(invalid(path, new, "field is immutable"))


def shown(value: object) -> str:
    """Return a value as messages show it: text quoted, numbers bare, all else as JSON.

    Structs are shown with the wire's names; upstream shows its internal types by their Go field names.
    """
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, Struct):
        value = to_builtins(value)
    elif isinstance(value, (tuple, list, dict)) and not value:
        return "null"
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def quoted(text: str) -> str:
    """Return text as Go's `%q` does."""
    if text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    return '"' + "".join(_escaped(character) for character in text) + '"'


_ESCAPES = {
    '"': '\\"',
    "\\": "\\\\",
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
}


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isprintable():
        return character
    code = ord(character)
    if code < 0x80:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _with(head: str, detail: str) -> str:
    return f"{head}: {detail}" if detail else head
