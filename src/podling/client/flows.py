"""What a node's kernel saw of calls, as it is handed from the network to whoever adds it up.

Owns the values and the seam between them: addresses and ports, no Pods and no Services. A flow is told once when it
begins and once when it is over; either may be missing, and the sink must bear that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class Flow(Struct, frozen=True):
    """One connection, or exchange of datagrams, as one node saw it."""

    node: str
    id: int
    """The kernel's; unique only among what is alive, and only with the addresses."""
    protocol: str
    """TCP, UDP, SCTP"""
    caller: str
    caller_port: int
    called: str
    """The address that the caller asked for: a Service's, or the callee's own."""
    port: int
    callee: str
    """The address that answers."""
    callee_port: int


class Outcome(Struct, frozen=True):
    """How a flow ended."""

    answered: bool
    refused: bool
    sent: int
    received: int


class Block(Struct, frozen=True):
    """An attempt that a policy stopped: it never became a flow."""

    node: str
    protocol: str
    caller: str
    callee: str
    port: int
    policy: str
    """NAMESPACE/NAME; empty where Pods are isolated by several, of which none lets it pass."""
    direction: str
    """Ingress or Egress: at whose end it was stopped."""


class Refusal(Struct, frozen=True):
    """A call to a Service without endpoints, which the rules refused: it never became a flow."""

    node: str
    protocol: str
    caller: str
    called: str
    port: int


class FlowSink(Protocol):
    """Takes what nodes saw. Called on the loop; must return at once."""

    def began(self, flow: Flow, started: float) -> None: ...

    def ended(self, flow: Flow, started: float, outcome: Outcome) -> None: ...

    def blocked(self, block: Block, count: int) -> None:
        """`count` attempts, of which at least one was seen whole."""
        ...

    def refused(self, refusal: Refusal) -> None: ...

    def alive(self, node: str, flows: list[tuple[Flow, float]], *, since: bool) -> None:
        """The flows of a node that are alive now; what is held alive and not among them has ended unseen.

        `since` says whether what is new among them has begun while somebody was looking (events were lost), or maybe
        before (Podling has just started).
        """
        ...

    def wired(self, node: str, pods: Sequence[str], own: Sequence[str]) -> None:
        """Hear of addresses outside the cluster's ranges, where others than the cluster give them.

        `pods` has those that Pods of a node were given, of which the watch may tell later than flows; `own` those of
        the node, by one of which it calls them.
        """
        ...

    def lost(self, node: str) -> None:
        """The kernel dropped events of a node."""
        ...
