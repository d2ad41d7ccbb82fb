"""The books of the call graph: how often each edge was called, how much went over it, and what came of it.

Owns the counting, pure: `began`, `ended`, `blocked`, any of which may never be told. Invariants: a flow is counted
once, whether its beginning, its end or both were told; all is bounded, and what a bound costs is itself counted; the
books of two runs of Podling add up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from podling.client.flows import Flow, Outcome
    from podling.insight.directory import Edge

MOST_EDGES: Final = 10_000
MOST_ALIVE: Final = 65_536


@dataclass(slots=True)
class Tally:
    """What is known of one edge."""

    calls: int = 0
    refused: int = 0
    unanswered: int = 0
    blocked: int = 0
    blocked_by: str = ""
    sent: int = 0
    received: int = 0
    first: float = 0.0
    last: float = 0.0

    def saw(self, when: float) -> None:
        self.first = min(self.first or when, when)
        self.last = max(self.last, when)


@dataclass(slots=True)
class Shortfall:
    """What is missing from the books, and how much."""

    overruns: int = 0
    """How often the kernel dropped events: each may have hidden flows that began and ended unseen."""
    unheld: int = 0
    """Flows too many to be held while they lived; they were counted at their end."""
    forgotten: int = 0
    """Edges dropped, the longest unseen first, because there were too many."""


@dataclass(slots=True)
class Ledger:
    """Edges with their tallies, and the flows that are alive."""

    most_edges: int = MOST_EDGES
    most_alive: int = MOST_ALIVE
    mark: float = 0.0
    """The newest instant in the books when they were opened: what began before it is in them."""
    shortfall: Shortfall = field(default_factory=Shortfall)
    _tallies: dict[Edge, Tally] = field(default_factory=dict)
    _alive: dict[Flow, Edge] = field(default_factory=dict)
    _changed: dict[Edge, None] = field(default_factory=dict)
    _dropped: list[Edge] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._tallies)

    def __iter__(self) -> Iterator[tuple[Edge, Tally]]:
        return iter(self._tallies.items())

    def restore(self, edge: Edge, tally: Tally) -> None:
        """Take over what an earlier run has counted."""
        self._tallies[edge] = tally
        self.mark = max(self.mark, tally.last)

    def began(self, flow: Flow, edge: Edge, when: float) -> None:
        """Count a call; nothing happens where the flow is known to be alive."""
        if flow in self._alive:
            return
        if len(self._alive) >= self.most_alive:
            self.shortfall.unheld += 1
            return  # its end counts it: counted now, it would be counted again
        self._alive[flow] = edge
        self._count(edge, when)

    def known(self, flow: Flow, edge: Edge) -> None:
        """Hold a flow that an earlier run has counted."""
        if len(self._alive) < self.most_alive:
            self._alive.setdefault(flow, edge)

    def ended(self, flow: Flow, edge: Edge, began: float, when: float, outcome: Outcome) -> None:
        """Add what went over a flow that is over; its beginning is counted here if it was not told."""
        held = self._alive.pop(flow, None)
        if held is None:
            self._count(edge, began or when)
        tally = self._tally(held or edge)
        tally.sent += outcome.sent
        tally.received += outcome.received
        if outcome.refused:
            tally.refused += 1
        elif not outcome.answered:
            tally.unanswered += 1
        tally.saw(when)
        self._changed[held or edge] = None

    def blocked(self, edge: Edge, by: str, count: int, when: float) -> None:
        """Count attempts that a policy stopped."""
        tally = self._tally(edge)
        tally.blocked += count
        tally.blocked_by = by
        tally.saw(when)
        self._changed[edge] = None

    def refused(self, edge: Edge, when: float) -> None:
        """Count a call that was refused before it was a flow."""
        self._count(edge, when)
        self._tally(edge).refused += 1

    def only(self, node: str, flows: Sequence[Flow]) -> None:
        """Forget flows of `node` that are held alive and are not."""
        present = frozenset(flows)
        gone = [flow for flow in self._alive if flow.node == node and flow not in present]
        for flow in gone:
            del self._alive[flow]

    def drop(self, edge: Edge) -> None:
        """Forget an edge whose `Call` nobody may keep."""
        self._tallies.pop(edge, None)
        self._changed.pop(edge, None)

    def take_changed(self, most: int) -> list[tuple[Edge, Tally]]:
        """Return up to `most` edges that have changed since they were last taken."""
        taken = []
        for edge in list(self._changed)[:most]:
            del self._changed[edge]
            tally = self._tallies.get(edge)
            if tally is not None:
                taken.append((edge, tally))
        return taken

    def take_dropped(self) -> list[Edge]:
        """Return the edges that the bound has cost since last asked."""
        dropped, self._dropped = self._dropped, []
        return dropped

    @property
    def has_changed(self) -> bool:
        return bool(self._changed or self._dropped)

    def changed_again(self, edge: Edge) -> None:
        """Put back an edge that was taken and could not be kept."""
        if edge in self._tallies:
            self._changed[edge] = None

    def _count(self, edge: Edge, when: float) -> None:
        tally = self._tally(edge)
        tally.calls += 1
        tally.saw(when)
        self._changed[edge] = None

    def _tally(self, edge: Edge) -> Tally:
        tally = self._tallies.get(edge)
        if tally is None:
            if len(self._tallies) >= self.most_edges:
                self._make_room()
            tally = self._tallies[edge] = Tally()
        return tally

    def _make_room(self) -> None:
        # A tenth at a time: looking for the oldest costs as much for many as for one.
        oldest = sorted(self._tallies, key=lambda edge: self._tallies[edge].last)
        for edge in oldest[: max(1, self.most_edges // 10)]:
            self.drop(edge)
            self._dropped.append(edge)
            self.shortfall.forgotten += 1
