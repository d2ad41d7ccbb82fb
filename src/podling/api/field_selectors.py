"""Owns field selectors: reading them and matching.

    metadata.name=a  status.phase!=Running      joined by commas, all of which must hold

Invariants: requirements are sorted; the text of a selector reads back as an equal one; the empty one matches all.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Mapping


class FieldRequirement(Struct, frozen=True, gc=False):
    """What one field must be, or must not be."""

    field: str
    value: str
    negated: bool = False

    def __str__(self) -> str:
        value = self.value.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")
        return f"{self.field}{'!=' if self.negated else '='}{value}"


class FieldSelector(Struct, frozen=True, gc=False):
    """All of its requirements must hold; a field that is not there is empty text."""

    requirements: tuple[FieldRequirement, ...] = ()

    def matches(self, fields: Mapping[str, str]) -> bool:
        """Return whether the values of fields satisfy every requirement."""
        get = fields.get
        return all((get(r.field, "") == r.value) != r.negated for r in self.requirements)

    @property
    def empty(self) -> bool:
        return not self.requirements

    @property
    def fields(self) -> tuple[str, ...]:
        """The names of the fields that are asked about."""
        return tuple(r.field for r in self.requirements)

    def required_value(self, name: str) -> str | None:
        """Return the one value that a field must have, or None where any will do."""
        return next((r.value for r in self.requirements if r.field == name and not r.negated), None)

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


def parse_fields(text: str) -> FieldSelector:
    """Read a field selector; a backslash takes the meaning from `,`, `=` and itself.

    Refusals are `ValueError` in upstream's words.
    """
    found: list[FieldRequirement] = []
    for part in sorted(_split_terms(text)):
        if not part:
            continue
        term = _FIELD_TERM.match(part)
        if term is None:
            raise ValueError(f"invalid selector: '{text}'; can't understand '{part}'")
        found.append(FieldRequirement(term[1], _unescaped(term[3]), term[2] == "!="))
    return FieldSelector(tuple(found))


_FIELD_TERM: Final = re.compile(r"(.*?)(!=|==|=)(.*)\Z", re.DOTALL)
_TERM: Final = re.compile(r"(?:[^,\\]|\\.)*\\?", re.DOTALL)


def _split_terms(text: str) -> list[str]:
    """Split at the commas that no backslash escapes."""
    terms: list[str] = []
    at = 0
    while True:
        term = _TERM.match(text, at)
        end = term.end() if term else len(text)
        terms.append(text[at:end])
        if end >= len(text):
            return terms
        at = end + 1


def _unescaped(value: str) -> str:
    if "\\" not in value and "=" not in value:
        return value
    out: list[str] = []
    chars = iter(value)
    for char in chars:
        if char == "\\":
            following = next(chars, "")
            if following not in {"\\", ",", "="}:
                raise ValueError(f"invalid field selector: invalid escape sequence: \\{following}")
            out.append(following)
        elif char in {",", "="}:
            raise ValueError(f"invalid field selector: unescaped character in value: {char}")
        else:
            out.append(char)
    return "".join(out)
