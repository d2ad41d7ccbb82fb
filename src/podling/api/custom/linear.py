"""Searches text for a regular expression in time that grows with the text alone, as Go's engine does.

Python's engine tries one way after the other: a pattern like `(a+)+$` and thirty letters hold a whole process. This
one reads the same syntax, by Python's parser, but follows all ways at once: a set of positions in the pattern, moved
on by each character. Moves are remembered, up to a bound. What no such engine can do (to look around, to refer back)
is refused as unreadable, which it is to Go's as well.
"""

from __future__ import annotations

import re
from re import _compiler, _parser  # type: ignore[attr-defined]
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MOST_REPEATS: Final = 1000
_MOST_STEPS: Final = 20_000
_MOST_REMEMBERED: Final = 20_000
_CHARACTERS: Final = ("LITERAL", "NOT_LITERAL", "ANY", "IN")


class _Step:
    """A position in a pattern: it takes a character, holds under a condition, or is but a fork."""

    __slots__ = ("condition", "next", "takes")

    def __init__(self, following: Iterable[int], takes: Any = None, condition: str = "") -> None:
        self.next = tuple(following)
        self.takes: Callable[[str], object] | None = takes
        self.condition = condition


class _State:
    """All positions that the text so far leads to, and what of that text conditions look at."""

    __slots__ = ("last", "moves", "positions")

    def __init__(self, positions: frozenset[int], last: str) -> None:
        self.positions = positions
        self.last = last
        self.moves: dict[str, _State] = {}


_FOUND: Final = _State(frozenset(), "")


class Pattern:
    """A regular expression of ASCII classes; `re.error` for what cannot be read."""

    def __init__(self, source: str) -> None:
        try:
            tree = _parser.parse(source, re.ASCII)
            self._steps: list[_Step] = []
            self._shared: dict[tuple[str, int], Any] = {}
            self._end = self._add(_Step(()))
            self._begin = self._sequence(tree, self._end, tree.state.flags | re.ASCII, 1)
        except OverflowError as error:
            raise re.error(str(error), source) from None
        except RecursionError:
            raise re.error("expression nests too deeply", source) from None
        self._forget()

    def search(self, text: str) -> bool:
        """Whether the pattern stands anywhere in a text."""
        state = self._start
        for character in text:
            state = state.moves.get(character) or self._move(state, character)
            if state is _FOUND:
                return True
        return self._move(state, "") is _FOUND

    def _forget(self) -> None:
        self._known: dict[tuple[frozenset[int], str], _State] = {}
        self._remembered = 0
        self._start = self._state(frozenset((self._begin,)), "")

    def _state(self, positions: frozenset[int], last: str) -> _State:
        state = self._known.get((positions, last))
        if state is None:
            state = self._known[positions, last] = _State(positions, last)
            self._remembered += 1 + len(positions)
        return state

    def _move(self, state: _State, character: str) -> _State:
        """Return where a character leads to, or the end of the text, which is ""."""
        seen = self._reached(state, character)
        if self._end in seen:
            moved = _FOUND
        else:
            taking = [self._steps[at] for at in seen]
            following = {
                step.next[0] for step in taking if step.takes is not None and character and step.takes(character)
            }
            moved = self._state(frozenset(following | {self._begin}), _sort(character))
        state.moves[character] = moved
        self._remembered += 1
        if self._remembered > _MOST_REMEMBERED:
            self._forget()
        return moved

    def _reached(self, state: _State, following: str) -> set[int]:
        """Return the positions of a state and all that need no character to be reached."""
        seen, open_ends = set(state.positions), list(state.positions)
        while open_ends:
            step = self._steps[open_ends.pop()]
            if step.takes is not None or (step.condition and not _holds(step.condition, state.last, following)):
                continue
            for at in step.next:
                if at not in seen:
                    seen.add(at)
                    open_ends.append(at)
        return seen

    def _add(self, step: _Step) -> int:
        if len(self._steps) >= _MOST_STEPS:
            raise re.error("expression too large")
        self._steps.append(step)
        return len(self._steps) - 1

    def _sequence(self, items: Any, following: int, flags: int, repeats: int) -> int:
        """Add what a sequence asks for before `following`; return where it begins."""
        for kind, given in reversed(list(items)):
            following = self._one(str(kind), kind, given, following, flags, repeats)
        return following

    def _one(self, name: str, kind: Any, given: Any, following: int, flags: int, repeats: int) -> int:
        if name in _CHARACTERS:
            return self._add(_Step((following,), self._taker(kind, given, flags)))
        match name:
            case "BRANCH":
                ways = [self._sequence(way, following, flags, repeats) for way in given[1]]
                return self._add(_Step(ways))
            case "SUBPATTERN":
                _, more, less, inner = given
                return self._sequence(inner, following, (flags | more) & ~less, repeats)
            case "MAX_REPEAT" | "MIN_REPEAT":
                least, most, inner = given
                return self._repeat(least, most, inner, following, flags, repeats)
            case "AT":
                condition = str(given)
                if condition == "AT_BEGINNING" and not flags & re.MULTILINE:
                    condition = "AT_BEGINNING_STRING"
                return self._add(_Step((following,), None, condition))
        raise re.error("invalid or unsupported Perl syntax")

    def _repeat(self, least: int, most: Any, inner: Any, following: int, flags: int, repeats: int) -> int:
        endless = most is _parser.MAXREPEAT
        repeats *= max(least, 1 if endless else most, 1)
        if repeats > _MOST_REPEATS:
            raise re.error("invalid repeat count")
        begin = following
        if endless:
            begin = self._add(_Step(()))
            self._steps[begin].next = (self._sequence(inner, begin, flags, repeats), following)
        else:
            for _ in range(most - least):
                begin = self._add(_Step((self._sequence(inner, begin, flags, repeats), following)))
        for _ in range(least):
            begin = self._sequence(inner, begin, flags, repeats)
        return begin

    def _taker(self, kind: Any, given: Any, flags: int) -> Any:
        """Return what tells whether one character fits, by Python's engine: of one character it is always quick."""
        key = (f"{kind} {given}", flags)
        if key not in self._shared:
            state = _parser.State()
            state.flags = flags
            one = _parser.SubPattern(state, [(kind, given)])
            self._shared[key] = _compiler.compile(one, flags).fullmatch
        return self._shared[key]


def _sort(character: str) -> str:
    """Return what conditions distinguish of the character before them; "" stands for there being none."""
    return "w" if _is_word(character) else "\n" if character == "\n" else "-"


def _is_word(character: str) -> bool:
    return character == "_" or (character.isascii() and character.isalnum())


def _holds(condition: str, last: str, following: str) -> bool:
    match condition:
        case "AT_BEGINNING_STRING":
            return not last
        case "AT_BEGINNING":
            return last in {"", "\n"}
        case "AT_END_STRING":
            return not following
        case "AT_BOUNDARY":
            return (last == "w") != _is_word(following)
        case "AT_NON_BOUNDARY":
            return (last == "w") == _is_word(following)
    raise ValueError(condition)
