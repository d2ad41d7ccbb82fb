"""What policies have stopped on one node: heard from the kernel, and told to whoever adds calls up.

Owns the log group of the node's rules, and the count of what was stopped beyond what it tells. Must not know how rules
are written. Invariants: a packet is told with the policy that stopped it where that is one; that more was stopped than
was told is told, too, a second later.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.client.flows import Block
from podling.network.log_groups import take_group
from podling.network.protocols import PROTOCOL_NAMES
from podling.reach.policy import Direction

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from podling.client.flows import FlowSink
    from podling.linux.nflog import LogListener, Packet
    from podling.network.context import NetworkContext
    from podling.reach.policy import PolicyKey

_WORDS: Final = frozenset(direction.value for direction in Direction)


class BlockedPackets:
    """Tells `flows` of them. `close` lets the log group go."""

    def __init__(
        self,
        context: NetworkContext,
        flows: FlowSink,
        isolating: Callable[[Direction, str], Sequence[PolicyKey]],
        untold: Callable[[], Awaitable[int]],
    ) -> None:
        """`isolating` names the policies of the Pod at an address, `untold` counts what the rules did not tell."""
        self._context = context
        self._flows = flows
        self._isolating = isolating
        self._count_untold = untold
        self._untold = 0
        self._counting = False
        self._listener: LogListener | None = None

    def listen(self) -> int | None:
        """Take a log group and return it; `None` where the kernel has no such thing, or none is free."""
        namespace, instance = self._context.host.network_namespace, self._context.instance
        taken = take_group(namespace, instance, "what policies block", self.seen)
        if taken is None:
            return None
        group, self._listener = taken
        return group

    def begin_anew(self) -> None:
        """The rules' counters begin at nothing again."""
        self._untold = 0

    def seen(self, packet: Packet) -> None:
        """Tell of one packet; what has no ports is no call, and others' rules may tell our group whatever they like."""
        protocol = PROTOCOL_NAMES.get(packet.protocol)
        if protocol is None or packet.word not in _WORDS:
            return
        direction = Direction(packet.word)
        subject = packet.destination if direction is Direction.INGRESS else packet.source
        policies = self._isolating(direction, subject)
        policy = "/".join(policies[0]) if len(policies) == 1 else ""
        node, port = self._context.node, packet.destination_port
        self._flows.blocked(Block(node, protocol, packet.source, packet.destination, port, policy, direction.value), 1)
        if not self._counting and not self._context.supervisor.is_stopping:
            self._counting = True
            self._context.supervisor.job("blocked packets", self._count())

    async def _count(self) -> None:
        """Say that there was more than was told, if there was: in a second's time, and for all of that second."""
        try:
            await self._context.clock.sleep(1.0)
            untold = await self._count_untold()
        finally:
            self._counting = False
        if untold > self._untold:
            self._flows.lost(self._context.node)
        self._untold = untold

    def close(self) -> None:
        """Let go of the log group."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
