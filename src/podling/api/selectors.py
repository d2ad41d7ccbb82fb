"""Owns label selectors: reading them in their string and struct forms, and matching. Fields' are `field_selectors`.

A selector is a value: a tuple of requirements, all of which must hold. Refusals are `ValueError` in upstream's words.

    label selector   a=b  a==b  a!=b  a in (x,y)  a notin (x,y)  a  !a  a>1  a<1      joined by commas

Invariants: requirements are sorted by key; the text of a selector reads back as an equal one; the empty selector
matches everything.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from msgspec import Struct, structs

from podling.api import names

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.api.types.meta_v1 import LabelSelector

IN: Final = "in"
NOT_IN: Final = "notin"
EQUALS: Final = "="
DOUBLE_EQUALS: Final = "=="
NOT_EQUALS: Final = "!="
EXISTS: Final = "exists"
DOES_NOT_EXIST: Final = "!"
GREATER: Final = "gt"
LESS: Final = "lt"

_BINARY: Final = (IN, NOT_IN, EQUALS, DOUBLE_EQUALS, NOT_EQUALS, GREATER, LESS)
_OPERATORS: Final = {
    IN: IN,
    NOT_IN: NOT_IN,
    "=": EQUALS,
    "==": DOUBLE_EQUALS,
    "!=": NOT_EQUALS,
    ">": GREATER,
    "<": LESS,
}
_SIGNS: Final = {GREATER: ">", LESS: "<"}
_INTEGER: Final = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)


class Requirement(Struct, frozen=True, gc=False):
    """What one label must be."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "in" | "=" | "==":
                return value is not None and value in self.values
            case "notin" | "!=":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
            case _:
                if value is None or not _INTEGER.match(value):
                    return False
                bound = int(self.values[0])
                return int(value) > bound if self.operator == GREATER else int(value) < bound

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(sorted(self.values))})"
            case operator:
                return f"{self.key}{_SIGNS.get(operator, operator)}{self.values[0]}"


class Selector(Struct, frozen=True, gc=False):
    """All of its requirements must hold; with `nothing`, no labels match."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False
    equal: tuple[tuple[str, str], ...] | None = None
    """What `matches` compares where all requirements are equalities; made from them."""

    def __post_init__(self) -> None:
        if all(r.operator in {EQUALS, DOUBLE_EQUALS} for r in self.requirements):
            structs.force_setattr(self, "equal", tuple((r.key, r.values[0]) for r in self.requirements))

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Return whether labels satisfy every requirement."""
        if self.nothing:
            return False
        if self.equal is not None:
            get = labels.get
            return all(get(key) == value for key, value in self.equal)
        return all(requirement.matches(labels) for requirement in self.requirements)

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.requirements and not self.nothing

    def required_value(self, key: str) -> str | None:
        """Return the one value that a label must have, or None where the selector leaves a choice."""
        for requirement in self.requirements:
            if requirement.key == key:
                exact = requirement.operator in {IN, EQUALS, DOUBLE_EQUALS} and len(requirement.values) == 1
                return requirement.values[0] if exact else None
        return None

    def __str__(self) -> str:
        return ",".join(map(str, self.requirements))


EVERYTHING: Final = Selector()
NOTHING: Final = Selector(nothing=True)


def requirement(key: str, operator: str, values: Iterable[str] = ()) -> Requirement:
    """Return a checked requirement; `ValueError` lists all that is wrong, as upstream's aggregate does."""
    given = tuple(values)
    listed = f"values: Invalid value: {_go_list(given)}: "
    wrong = _key_problems(key, "key: ")
    if operator in {IN, NOT_IN}:
        if not given:
            wrong.append(f"{listed}for 'in', 'notin' operators, values set can't be empty")
    elif operator in {EQUALS, DOUBLE_EQUALS, NOT_EQUALS}:
        if len(given) != 1:
            wrong.append(f"{listed}exact-match compatibility requires one single value")
    elif operator in {EXISTS, DOES_NOT_EXIST}:
        if given:
            wrong.append(f"{listed}values set must be empty for exists and does not exist")
    elif operator in {GREATER, LESS}:
        if len(given) != 1:
            wrong.append(f"{listed}for 'Gt', 'Lt' operators, exactly one value is required")
        wrong += [
            f"values[{i}]: Invalid value: \"{value}\": for 'Gt', 'Lt' operators, the value must be an integer"
            for i, value in enumerate(given)
            if not _INTEGER.match(value)
        ]
    else:
        supported = ", ".join(f'"{o}"' for o in (*_BINARY, EXISTS, DOES_NOT_EXIST))
        wrong.append(f'operator: Unsupported value: "{operator}": supported values: {supported}')
    for i, value in enumerate(given):
        problems = names.is_label_value(value)
        if problems:
            wrong.append(f'values[{i}][{key}]: Invalid value: "{value}": {"; ".join(problems)}')
    if wrong:
        raise ValueError(wrong[0] if len(wrong) == 1 else f"[{', '.join(wrong)}]")
    return Requirement(key, operator, given)


def parse(text: str) -> Selector:
    """Read the string form of a label selector; `ValueError` in the words of upstream's parser."""
    return Selector(tuple(sorted(_Parser(text).selector(), key=lambda r: r.key)))


def from_labels(labels: Mapping[str, str]) -> Selector:
    """Return the selector of a plain map, as Services have: all labels must be equal; an empty map matches all."""
    return Selector(tuple(Requirement(key, EQUALS, (value,)) for key, value in sorted(labels.items())))


def from_label_selector(selector: LabelSelector | None) -> Selector:
    """Return the selector of the struct form; None matches nothing, the empty struct everything.

    An operator that does not exist raises `ValueError`, as upstream's conversion does.
    """
    if selector is None:
        return NOTHING
    found = [requirement(key, EQUALS, (value,)) for key, value in selector.match_labels.items()]
    operators = {"In": IN, "NotIn": NOT_IN, "Exists": EXISTS, "DoesNotExist": DOES_NOT_EXIST}
    for expression in selector.match_expressions:
        operator = operators.get(expression.operator)
        if operator is None:
            raise ValueError(f'"{expression.operator}" is not a valid label selector operator')
        found.append(requirement(expression.key, operator, expression.values))
    return Selector(tuple(sorted(found, key=lambda r: r.key)))


def _key_problems(key: str, prefix: str) -> list[str]:
    problems = names.is_qualified_name(key)
    return [f'{prefix}Invalid value: "{key}": {"; ".join(problems)}'] if problems else []


def _go_list(values: tuple[str, ...]) -> str:
    return "[" + ",".join(f'"{value}"' for value in values) + "]"


# --- the string form --------------------------------------------------------------------------------------------------

_TOKEN: Final = re.compile(r"[ \t\r\n]*(?:(?P<sign>[=!(),><]+)|(?P<word>[^ \t\r\n=!(),><]+))")
_SYMBOLS: Final = frozenset({")", ",", "!", "==", "=", ">", "<", "!=", "("})
_END: Final = ""
_WORD: Final = "word"


def _tokens(text: str) -> list[tuple[str, str]]:
    """Split into (symbol, literal): a symbol, `in`, `notin`, a word, the end, or `error`."""
    found: list[tuple[str, str]] = []
    at = 0
    while scanned := _TOKEN.match(text, at):
        at = scanned.end()
        if word := scanned["word"]:
            found.append((word, word) if word in {IN, NOT_IN} else (_WORD, word))
            continue
        signs = scanned["sign"]
        while signs:
            symbol = signs[:2] if signs[:2] in _SYMBOLS else signs[:1]
            found.append((symbol, symbol))
            signs = signs[len(symbol) :]
    return [*found, (_END, "")]


class _Parser:
    """Upstream's recursive descent, with its sentences."""

    def __init__(self, text: str) -> None:
        self.tokens = _tokens(text)
        self.at = 0

    def ahead(self, *, value: bool = True) -> tuple[str, str]:
        symbol, literal = self.tokens[min(self.at, len(self.tokens) - 1)]
        return (_WORD, literal) if value and symbol in {IN, NOT_IN} else (symbol, literal)

    def take(self, *, value: bool = True) -> tuple[str, str]:
        found = self.ahead(value=value)
        self.at += 1
        return found

    def selector(self) -> list[Requirement]:
        found: list[Requirement] = []
        while True:
            symbol, literal = self.ahead()
            if symbol == _END:
                return found
            if symbol not in {_WORD, "!"}:
                raise ValueError(f"found '{literal}', expected: !, identifier, or 'end of string'")
            try:
                found.append(self.requirement())
            except ValueError as error:
                raise ValueError(f"unable to parse requirement: {error}") from None
            symbol, literal = self.take()
            if symbol == _END:
                return found
            if symbol != ",":
                raise ValueError(f"found '{literal}', expected: ',' or 'end of string'")
            symbol, literal = self.ahead()
            if symbol not in {_WORD, "!"}:
                raise ValueError(f"found '{literal}', expected: identifier after ','")

    def requirement(self) -> Requirement:
        symbol, key = self.take()
        absent = symbol == "!"
        if absent:
            symbol, key = self.take()
        if symbol != _WORD:
            raise ValueError(f"found '{key}', expected: identifier")
        if problems := _key_problems(key, "<nil>: "):
            raise ValueError(problems[0])
        if absent:
            return requirement(key, DOES_NOT_EXIST)
        if self.ahead()[0] in {_END, ","}:
            return requirement(key, EXISTS)
        symbol, literal = self.take(value=False)
        operator = _OPERATORS.get(symbol)
        if operator is None or symbol == _END:
            raise ValueError(f"found '{literal}', expected: {', '.join(_BINARY)}")
        values = self.values() if operator in {IN, NOT_IN} else self.exact_value()
        return requirement(key, operator, sorted(values))

    def values(self) -> set[str]:
        symbol, literal = self.take()
        if symbol != "(":
            raise ValueError(f"found '{literal}' expected: '('")
        symbol, literal = self.ahead()
        if symbol == ")":
            self.take()
            return {""}
        if symbol not in {_WORD, ","}:
            raise ValueError(f"found '{literal}', expected: ',', ')' or identifier")
        found = self.identifiers()
        if self.take()[0] != ")":
            raise ValueError(f"found '{literal}', expected: ')'")
        return found

    def identifiers(self) -> set[str]:
        found: set[str] = set()
        while True:
            symbol, literal = self.take()
            if symbol == _WORD:
                found.add(literal)
                symbol, literal = self.ahead()
                if symbol == ")":
                    return found
                if symbol != ",":
                    raise ValueError(f"found '{literal}', expected: ',' or ')'")
            elif symbol == ",":
                if not found:
                    found.add("")
                symbol, _ = self.ahead()
                if symbol == ")":
                    found.add("")
                    return found
                if symbol == ",":
                    found.add("")
            else:
                raise ValueError(f"found '{literal}', expected: ',', or identifier")

    def exact_value(self) -> set[str]:
        if self.ahead()[0] in {_END, ","}:
            return {""}
        symbol, literal = self.take()
        if symbol != _WORD:
            raise ValueError(f"found '{literal}', expected: identifier")
        return {literal}
