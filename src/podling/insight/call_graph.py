"""The call graph of a cluster: takes what nodes saw, keeps the books, and keeps them as `Call` objects.

Owns the shell around `directory` and `ledger`: informers in, `Call` objects out. What cannot be attributed yet, because
the kernel was faster than the watch, waits a few seconds for its Pod to be heard of. Invariants: nothing is written
where nothing has happened; books are written at most once a second, and a part at a time; a sink's methods never block.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from podling.api.codec import encode
from podling.api.errors import StatusError
from podling.api.resources import CALLS, NODES, PODS, SERVICES
from podling.insight.calls import call_name, from_call, observed_tree, to_call
from podling.insight.directory import Directory
from podling.insight.ledger import Ledger
from podling.insight.render import graphviz, table

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.encoded import Encoded
    from podling.api.types.insight_v1alpha1 import Call
    from podling.client.client import Client
    from podling.client.flows import Block, Flow, Outcome, Refusal
    from podling.client.informer import Informers
    from podling.insight.directory import Edge
    from podling.insight.ledger import Shortfall, Tally
    from podling.linux.families import Network
    from podling.reach.policy import Party

_PERIOD: Final = 1.0
_PATIENCE: Final = 5.0
"""Seconds that a flow waits for its Pod to be heard of."""
_MOST_WAITING: Final = 10_000
_AT_ONCE: Final = 200
"""Objects written in one period: the books of a storm are written over several."""


class CallGraph:
    """A `FlowSink` that adds up."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        clock: Clock,
        pods: Sequence[Network],
        first_node: str,
    ) -> None:
        """`pods` are the ranges of Pod addresses; `first_node` sees what comes from outside before any other does."""
        self._client = client
        self._clock = clock
        self._directory = Directory(pods, first_node)
        self._ledger = Ledger()
        self._since = 0.0
        self._stored: set[Edge] = set()
        self._waiting: deque[tuple[float, tuple[str, str], Callable[[], None]]] = deque()
        self._wake = asyncio.Event()
        self._pods = informers.of(PODS)
        self._nodes = informers.of(NODES)
        self._services = informers.of(SERVICES)

    async def start(self, supervisor: Supervisor) -> None:
        """Open the books of earlier runs; returns when flows may be told."""
        self._since = self._clock.time()
        for call in await self._client.list(CALLS):
            try:
                edge, tally = from_call(call)
            except ValueError:
                continue  # somebody else's writing: it is none of ours
            self._ledger.restore(edge, tally)
            self._stored.add(edge)
        self._nodes.on_change(self._node_changed)
        self._services.on_change(self._service_changed)
        self._pods.on_change(self._pod_changed)
        for informer in (self._nodes, self._services, self._pods):
            await informer.wait_synced()
        supervisor.component("call graph", self._keep)

    def place_stand_in(self, party: Party) -> None:
        """Take the addresses of what counts as a Pod though there is none: the cluster's DNS, which began after us."""
        self._directory.place_stand_in(party, self._since)

    # What is told by the watch.

    def _pod_changed(self, _old: Encoded | None, new: Encoded | None) -> None:
        if new is not None and self._directory.place_pod(self._pods.view(new)) and self._waiting:
            self._look_again()

    def _node_changed(self, _old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._directory.place_node(self._nodes.view(new))

    def _service_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._directory.place_service(self._services.view(new))
        elif old is not None:
            gone = self._services.view(old).metadata
            self._directory.forget_service(f"{gone.namespace}/{gone.name}")

    # What is told by the nodes.

    def began(self, flow: Flow, started: float) -> None:
        when = started or self._clock.time()

        def count() -> None:
            if self._directory.counts(flow, started):
                self._ledger.began(flow, self._directory.edge(flow), when)
                self._wake.set()

        self._attribute((flow.caller, flow.callee), count)

    def ended(self, flow: Flow, started: float, outcome: Outcome) -> None:
        now = self._clock.time()

        def add() -> None:
            if self._directory.counts(flow, started):
                self._ledger.ended(flow, self._directory.edge(flow), started, now, outcome)
                self._wake.set()

        self._attribute((flow.caller, flow.callee), add)

    def blocked(self, block: Block, count: int) -> None:
        now = self._clock.time()

        def add() -> None:
            by = f"{block.policy} {block.direction}".strip()
            self._ledger.blocked(self._directory.blocked_edge(block), by, count, now)
            self._wake.set()

        self._attribute((block.caller, block.callee), add)

    def refused(self, refusal: Refusal) -> None:
        now = self._clock.time()

        def add() -> None:
            self._ledger.refused(self._directory.refused_edge(refusal), now)
            self._wake.set()

        self._attribute((refusal.caller, refusal.caller), add)

    def alive(self, node: str, flows: list[tuple[Flow, float]], *, since: bool) -> None:
        self._ledger.only(node, [flow for flow, _ in flows])
        for flow, started in flows:
            if since or started > self._ledger.mark:
                self.began(flow, started)
            elif self._directory.counts(flow, started):
                self._ledger.known(flow, self._directory.edge(flow))

    def wired(self, node: str, pods: Sequence[str], own: Sequence[str]) -> None:
        self._directory.expect(node, pods, own)

    def lost(self, node: str) -> None:
        del node
        self._ledger.shortfall.overruns += 1

    def _attribute(self, addresses: tuple[str, str], act: Callable[[], None]) -> None:
        # In order: what waits for the same address is not overtaken, so that an end never comes before its beginning.
        if len(self._waiting) < _MOST_WAITING and any(self._directory.awaits(address) for address in addresses):
            self._waiting.append((self._clock.monotonic() + _PATIENCE, addresses, act))
            self._wake.set()
        else:
            act()

    def _look_again(self) -> None:
        now = self._clock.monotonic()
        waiting, self._waiting = self._waiting, deque()
        for deadline, addresses, act in waiting:
            if deadline > now and any(self._directory.awaits(address) for address in addresses):
                self._waiting.append((deadline, addresses, act))
            else:
                act()

    # What is kept.

    @property
    def shortfall(self) -> Shortfall:
        """What is missing from the books."""
        return self._ledger.shortfall

    def calls(self) -> list[Call]:
        """Return the books as they are now, also what is not written yet; the oldest edge first."""
        return [to_call(edge, tally) for edge, tally in self._ledger]

    def render(self, form: str, namespace: str = "") -> str:
        """Return the books as a `table`, `dot` for Graphviz, or `json`; with `namespace` what begins or ends there."""
        calls = self.calls()
        if namespace:
            calls = [call for call in calls if namespace in (call.caller.namespace, call.callee.namespace)]
        missing = asdict(self.shortfall)
        match form:
            case "dot":
                return graphviz(calls)
            case "json":
                return encode({"calls": calls, "missing": missing}).decode() + "\n"
            case _:
                return table(calls, missing, self._clock.time())

    async def _keep(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._clock.sleep(_PERIOD)
            self._look_again()
            await self.flush()
            if self._waiting or self._ledger.has_changed:
                self._wake.set()

    async def flush(self) -> None:
        """Write what has changed."""
        for edge in self._ledger.take_dropped():
            await self._remove(edge)
        taken = self._ledger.take_changed(_AT_ONCE)
        for number, (edge, tally) in enumerate(taken):
            try:
                await self._write(edge, tally)
            except StatusError:
                for left, _ in taken[number:]:
                    self._ledger.changed_again(left)
                return

    async def _write(self, edge: Edge, tally: Tally) -> None:
        if not edge.namespace:
            return
        if edge in self._stored:
            patch = {"observed": observed_tree(tally)}
            try:
                await self._client.patch(CALLS, call_name(edge), patch, namespace=edge.namespace)
            except StatusError as error:
                if not error.is_not_found:
                    raise
                # Deleted by somebody who wants to count anew.
                self._stored.discard(edge)
                self._ledger.drop(edge)
            return
        try:
            await self._client.create(CALLS, to_call(edge, tally))
        except StatusError as error:
            if error.is_already_exists:
                self._stored.add(edge)
                self._ledger.changed_again(edge)
                return
            if error.code in (403, 404):  # its namespace goes or is gone
                self._ledger.drop(edge)
                return
            raise
        self._stored.add(edge)

    async def _remove(self, edge: Edge) -> None:
        if edge in self._stored:
            self._stored.discard(edge)
            try:
                await self._client.delete(CALLS, call_name(edge), edge.namespace)
            except StatusError as error:
                if not error.is_not_found:
                    raise
