"""Calls that the rules refuse because a Service has no endpoints: heard from the kernel, and told.

Such a call never becomes a flow. Owns the log group; the rule that hands packets to it is the chain
`refuse`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.client.flows import Refusal
from podling.network.log_groups import take_group
from podling.network.protocols import PROTOCOL_NAMES
from podling.network.proxy.chains import REFUSED

if TYPE_CHECKING:
    from podling.client.flows import FlowSink
    from podling.linux.nflog import LogListener, Packet
    from podling.network.context import NetworkContext


class RefusedCalls:
    """Tells `flows` of them."""

    def __init__(self, context: NetworkContext, flows: FlowSink) -> None:
        self._node = context.node
        self._flows = flows
        self._listener: LogListener | None = None
        self.group = 0
        """Where the rules are to log; 0 for nowhere."""
        taken = take_group(context.host.network_namespace, context.instance, "calls to no endpoint", self._seen)
        if taken is not None:
            self.group, self._listener = taken

    def _seen(self, packet: Packet) -> None:
        protocol = PROTOCOL_NAMES.get(packet.protocol)
        if protocol is not None and packet.word == REFUSED:  # groups are anybody's to log to
            port = packet.destination_port
            self._flows.refused(Refusal(self._node, protocol, packet.source, packet.destination, port))

    def close(self) -> None:
        """Let the log group go."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
