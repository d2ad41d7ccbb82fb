"""Why a Pod fits no Node, and upstream's sentence for it.

    0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). preemption: 0/3 nodes are …

Reasons are counted over Nodes and sorted as text, numbers first, which is how upstream sorts them.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from msgspec import Struct, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.placement.plugin import Refusal

NO_NODES = "no nodes available to schedule pods"


class Diagnosis(Struct, frozen=True):
    """The refusals of one attempt."""

    nodes: int
    """How many Nodes there are in all."""
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    """By Node, those that were asked."""
    plugins: tuple[str, ...] = ()
    """The rules that refused, each once, in the order in which they first did."""
    everywhere: Refusal | None = None
    """A refusal of the Pod itself, whatever the Node; then no Node was asked."""
    absent: Refusal | None = None
    """What holds for Nodes that were not asked."""

    def message(self, after: str = "") -> str:
        """Return upstream's sentence; `after` is what was tried when filtering had failed."""
        if not self.nodes:
            return NO_NODES
        if self.everywhere is not None:
            text = f"0/{self.nodes} nodes are available: {', '.join(self.everywhere.reasons)}."
        else:
            text = tally(self.nodes, [r.reasons for r in self._all()])
        return f"{text} {after}" if after else text

    def refusal(self, node: str) -> Refusal | None:
        """Return why one Node was refused."""
        return self.everywhere or self.refusals.get(node) or self.absent

    def _all(self) -> Iterable[Refusal]:
        yield from self.refusals.values()
        if self.absent is not None:
            yield from (self.absent for _ in range(self.nodes - len(self.refusals)))


def tally(nodes: int, reasons: Iterable[tuple[str, ...]]) -> str:
    """Count reasons into `0/N nodes are available: 1 this, 2 that.`"""
    counted = Counter(reason for of_node in reasons for reason in of_node)
    text = f"0/{nodes} nodes are available:"
    if counted:
        text += f" {', '.join(sorted(f'{count} {reason}' for reason, count in counted.items()))}."
    return text
