"""What a run goes through on its way, for scenarios that promise bounds which hold all the while."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

_Seen = TypeVar("_Seen")


def observed(look: Callable[[], _Seen]) -> tuple[list[_Seen], Callable[[Callable[[], bool]], Callable[[], bool]]]:
    """Return a list that grows by what `look` sees each time it changes, and what makes a condition look as it is asked."""
    seen: list[_Seen] = []

    def reached(until: Callable[[], bool]) -> Callable[[], bool]:
        def check() -> bool:
            now = look()
            if not seen or seen[-1] != now:
                seen.append(now)
            return until()

        return check

    return seen, reached
