"""What one node's kernel sees of calls: its table of connections, followed, as flows for a `FlowSink`.

Owns the reading and what it takes (bytes counted and beginnings timed by the kernel, both settings of the namespace's).
Tells only of flows at whose ends is an address of the Pods' ranges, or one that somebody else (CNI plugins) gave to a
Pod. Knows neither Pods nor Services. Nothing is polled, and nothing runs in the Pods; where the kernel dropped events
the table is read anew.
"""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING, Final

from podling.api.validation.addresses import canonical
from podling.client.flows import Flow, Outcome
from podling.lifecycle.traffic import UNBOUNDED
from podling.linux import namespaces
from podling.linux.conntrack import Conntrack, Entry, Follower, sources
from podling.linux.families import FAMILIES, family_of
from podling.linux.netlink import Netlink
from podling.network.protocols import PROTOCOL_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.client.flows import FlowSink
    from podling.client.seams import PodNetwork
    from podling.lifecycle.traffic import Traffic
    from podling.linux.families import Network
    from podling.network.context import NetworkContext

SETTINGS: Final = {
    "net.netfilter.nf_conntrack_acct": "1",
    "net.netfilter.nf_conntrack_timestamp": "1",
}
MOST_STRAYS: Final = 16_384
"""Of so many addresses outside our ranges the flows are told; those of Pods long gone make room first."""
_NONE: Final = (0, 1)
"""A range without an address."""
_LOST_AGAIN: Final = 0.5
"""Seconds between two readings of the whole table, however many events are lost."""


class Strays:
    """Addresses of Pods outside the cluster's ranges, of all nodes: what one gives, another's flows lead to."""

    def __init__(self) -> None:
        self._held: dict[bytes, None] = {}

    def __contains__(self, packed: bytes) -> bool:
        return packed in self._held

    def add(self, addresses: Iterable[str]) -> None:
        """Take addresses in; those longest known make room."""
        for packed in map(_packed, addresses):
            self._held.pop(packed, None)
            self._held[packed] = None
        while len(self._held) > MOST_STRAYS:
            del self._held[next(iter(self._held))]


class FlowReader:
    """Reads one node's flows."""

    def __init__(self, context: NetworkContext, pods: Iterable[Network], strays: Strays, sink: FlowSink) -> None:
        """`pods` are the whole cluster's ranges of Pod addresses, one of a family; `strays` what Pods have beside."""
        self._context = context
        self._sink = sink
        self._ranges = {family_of(each).size: (int(each.netmask), int(each.network_address)) for each in pods}
        self._strays = strays
        self._follower: Follower | None = None
        self._overrun = asyncio.Event()

    async def know(self, addresses: Iterable[str]) -> None:
        """Tell from now on of flows at addresses that a Pod has been given and that are of no range of ours."""
        given = [canonical(address) for address in addresses]
        self._strays.add(given)
        # Whoever wired the Pod may have given the node an address to call it by.
        own = await namespaces.inside_async(self._context.host.network_namespace, _own_addresses)
        self._sink.wired(self._context.node, given, own)

    async def start(self) -> None:
        """Follow from now on, and tell what is alive already."""
        context = self._context
        for name, value in SETTINGS.items():
            await context.pods.set_sysctl(name, value)
        self._follower = Follower(
            context.host.network_namespace, self._changed, self._overrun.set, "new", "destroy", sieve=self._may_concern
        )
        await self._tell_alive(since=False)
        context.supervisor.component(f"flows {context.node}", self._mend)

    async def _mend(self) -> None:
        while True:
            await self._overrun.wait()
            self._overrun.clear()
            self._sink.lost(self._context.node)
            await self._tell_alive(since=True)
            await self._context.clock.sleep(_LOST_AGAIN)

    def close(self) -> None:
        """Stop following."""
        if self._follower is not None:
            self._follower.close()

    async def _tell_alive(self, *, since: bool) -> None:
        def read() -> list[Entry]:
            table = Conntrack(self._context.host.network_namespace)
            try:
                return [entry for entry in table.entries(self._may_concern) if self._concerns(entry)]
            finally:
                table.close()

        entries = await asyncio.to_thread(read)
        flows = [(self._flow(entry), entry.started) for entry in entries]
        self._sink.alive(self._context.node, flows, since=since)

    def _changed(self, what: str, entry: Entry) -> None:
        if not self._concerns(entry):
            return
        if what == "new":
            self._sink.began(self._flow(entry), entry.started)
        else:
            refused = not entry.answered and entry.answers > 0
            outcome = Outcome(entry.answered, refused, entry.sent, entry.received)
            self._sink.ended(self._flow(entry), entry.started, outcome)

    def _may_concern(self, message: bytes) -> bool:
        """Sort out connections at whose ends is none of ours, before more of them is read: most of a machine's."""
        found = sources(message)
        return found is None or any(map(self._is_ours, found))

    def _concerns(self, entry: Entry) -> bool:
        ends = (entry.original.source, entry.reply.source)
        return entry.original.protocol in PROTOCOL_NAMES and any(map(self._is_ours, map(_packed, ends)))

    def _is_ours(self, packed: bytes) -> bool:
        mask, base = self._ranges.get(len(packed), _NONE)
        return int.from_bytes(packed, "big") & mask == base or packed in self._strays

    def _flow(self, entry: Entry) -> Flow:
        asked, answering = entry.original, entry.reply
        return Flow(
            self._context.node,
            entry.id,
            PROTOCOL_NAMES[asked.protocol],
            asked.source,
            asked.source_port,
            asked.destination,
            asked.destination_port,
            answering.source,
            answering.source_port,
        )


def _own_addresses() -> Sequence[str]:
    with Netlink() as netlink:
        return sorted(str(address) for family in FAMILIES for address in netlink.addresses(family))


def _packed(address: str) -> bytes:
    return socket.inet_pton(socket.AF_INET6 if ":" in address else socket.AF_INET, address)


class HeardPodNetwork:
    """`PodNetwork` by another one, whose Pods' addresses a `FlowReader` is told before anything of the Pod runs.

    They stay known when the Pod is gone: its last flows end after it, and outlive it in the kernel's table.
    """

    def __init__(self, pods: PodNetwork, reader: FlowReader) -> None:
        self._pods = pods
        self._reader = reader

    async def attach(
        self, uid: str, namespace: str, name: str, netns: str, traffic: Traffic = UNBOUNDED
    ) -> Sequence[str]:
        addresses = await self._pods.attach(uid, namespace, name, netns, traffic)
        await self._reader.know(addresses)
        return addresses

    async def detach(self, uid: str) -> None:
        await self._pods.detach(uid)

    async def attached(self) -> Mapping[str, Sequence[str]]:
        return await self._pods.attached()
