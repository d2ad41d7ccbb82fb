"""State machines as literal tables.

Owns `Machine`: a table with one row per state and one cell per event. Each cell is a state (an edge), `IGNORED` (the
event may come here and means nothing), or absent (the event cannot come here: an error, and the state is unchanged).
Knows no particular machine. Invariants: a machine names every state as a row, and no edge leads out of a final state.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, Generic, Literal, TypeAlias, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


_State = TypeVar("_State", bound=Enum)
_Event = TypeVar("_Event", bound=Enum)


class _Ignored(Enum):
    IGNORED = "ignored"


IGNORED: Final = _Ignored.IGNORED

Cell: TypeAlias = _State | Literal[_Ignored.IGNORED]


class ImpossibleEvent(Exception):
    """An event came in a state in which it cannot happen; nothing has changed."""

    def __init__(self, machine: str, state: Enum, event: Enum) -> None:
        super().__init__(f"{machine}: {event.name} cannot happen in {state.name}")
        self.state = state
        self.event = event


@dataclass(frozen=True)
class Machine(Generic[_State, _Event]):
    """A table of edges with the state it begins in."""

    name: str
    initial: _State
    table: Mapping[_State, Mapping[_Event, Cell[_State]]]

    def __post_init__(self) -> None:
        missing = [state for state in type(self.initial) if state not in self.table]
        if missing:
            raise ValueError(f"{self.name}: no row for {', '.join(state.name for state in missing)}")

    def step(self, state: _State, event: _Event) -> _State:
        """Return the state after `event`; `ImpossibleEvent` where the table has no cell for it."""
        cell = self.table[state].get(event)
        if cell is None:
            raise ImpossibleEvent(self.name, state, event)
        return state if cell is IGNORED else cell

    def allows(self, state: _State, event: _Event) -> bool:
        """Whether `event` leads somewhere from `state`: what a shell asks before it acts."""
        return self.table[state].get(event, IGNORED) is not IGNORED

    def is_final(self, state: _State) -> bool:
        return all(cell is IGNORED for cell in self.table[state].values())

    def edges(self) -> Iterator[tuple[_State, _Event, _State]]:
        """Yield every edge in the table's order."""
        for state, row in self.table.items():
            for event, cell in row.items():
                if cell is not IGNORED:
                    yield state, event, cell

    def mermaid(self) -> str:
        """Return the machine as a mermaid state diagram, for the documentation."""
        lines = ["stateDiagram-v2", f"    [*] --> {self.initial.name}"]
        lines += [f"    {source.name} --> {target.name}: {event.name}" for source, event, target in self.edges()]
        lines += [f"    {state.name} --> [*]" for state in self.table if self.is_final(state)]
        return "\n".join(lines) + "\n"
