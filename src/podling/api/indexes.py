"""Sets of completion indexes as an Indexed Job writes them: `1,3-5,7`. Pure.

Owns the form (ranges in ascending order, apart from one another; two neighbours are written `3,4`) and its arithmetic.
A set of 100,000 indexes costs what its ranges cost.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_Range: TypeAlias = tuple[int, int]


class Indexes:
    """An immutable set of indexes, as ranges of which both ends belong to it."""

    __slots__ = ("ranges",)

    def __init__(self, ranges: Iterable[_Range] = ()) -> None:
        merged: list[_Range] = []
        for first, last in sorted(ranges):
            if merged and first <= merged[-1][1] + 1:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        self.ranges: Final = tuple(merged)

    def __str__(self) -> str:
        return ",".join(
            str(first) if first == last else f"{first}{',' if last == first + 1 else '-'}{last}"
            for first, last in self.ranges
        )

    def __repr__(self) -> str:
        return f"Indexes({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Indexes) and self.ranges == other.ranges

    def __hash__(self) -> int:
        return hash(self.ranges)

    def __bool__(self) -> bool:
        return bool(self.ranges)

    def __len__(self) -> int:
        return sum(last - first + 1 for first, last in self.ranges)

    def __contains__(self, index: int) -> bool:
        place = bisect_left(self.ranges, index, key=lambda held: held[1])
        return place < len(self.ranges) and self.ranges[place][0] <= index

    def with_all(self, indexes: Iterable[int]) -> Indexes:
        """Return the set with more indexes, in whatever order they come."""
        return Indexes([*self.ranges, *((index, index) for index in indexes)])

    def __or__(self, other: Indexes) -> Indexes:
        return Indexes([*self.ranges, *other.ranges])

    def __and__(self, other: Indexes) -> Indexes:
        return Indexes(
            (max(first, start), min(last, end))
            for first, last in self.ranges
            for start, end in other.ranges
            if max(first, start) <= min(last, end)
        )

    def missing(self, below: int) -> Iterator[int]:
        """Yield the indexes from 0 to `below` that are not in the set, in order."""
        next_one = 0
        for first, last in self.ranges:
            yield from range(next_one, min(first, below))
            next_one = max(next_one, last + 1)
        yield from range(next_one, below)


def read(text: str, below: int) -> Indexes:
    """Return what a status says, as far as it can be read and is below the number of completions."""
    found: list[_Range] = []
    for part in text.split(","):
        head, _, tail = part.partition("-")
        if head.isascii() and head.isdigit() and (not tail or (tail.isascii() and tail.isdigit())):
            first, last = int(head), int(tail or head)
            if first < below:
                found.append((first, min(last, below - 1)))
    return Indexes(found)


def parse(text: str, below: int) -> Indexes:
    """Return the set that somebody wrote; `ValueError` says, in upstream's words, why it is none."""
    found: list[_Range] = []
    for part in text.split(",") if text else ():
        first, last = _range(part, below)
        if found and found[-1][1] >= first:
            raise ValueError(f"non-increasing order, previous: {found[-1][1]}, current: {first}")
        found.append((first, last))
    return Indexes(found)


def _range(text: str, below: int) -> _Range:
    limits = text.split("-")
    if len(limits) > 2:
        said = "violates the requirement that an index interval can have at most two parts separated by '-'"
        raise ValueError(f'the fragment "{text}" {said}')
    first = _index(limits[0])
    if first >= below:
        raise ValueError(f'too large index: "{limits[0]}"')
    if len(limits) == 1:
        return first, first
    last = _index(limits[1])
    if last >= below:
        raise ValueError(f'too large index: "{limits[1]}"')
    if first >= last:
        raise ValueError(f"non-increasing order, previous: {first}, current: {last}")
    return first, last


def _index(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f'cannot convert string to integer for index: "{text}"')
    return int(text)
