"""One node's tables of policies in its kernel, one for each address family, kept equal to what the index knows.

Owns the conversation with the packet filter, and who else changes the tables. What stands in one is `rules`'s, where
changes come from the enforcer's. Invariants: what the index knows when `flush` is called is in force in every family
when it returns; the index is asked for its changes once for all of them; where anybody else has touched one, or the
kernel refuses a change, all are replaced whole.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from podling.linux.families import FAMILIES
from podling.linux.nf_tables import Tables, TableWatch
from podling.network.policy.rules import BLOCKED, LOGGED, removal, table_name

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from podling.linux.nf_tables import Batch
    from podling.network.context import NetworkContext
    from podling.network.policy.rules import PolicyRules
    from podling.reach.policy import Direction, PolicyKey
    from podling.reach.policy_index import PolicyIndex

log = logging.getLogger("podling.policy")

_INLINE: Final = 256
"""Messages of a transaction that the loop waits for itself."""
_CALM: Final = 0.05
"""Seconds after a restoration until the next: somebody who undoes it again and again does not keep the loop."""


class PolicyTables:
    """What of the index is in force. `close` lets go of the kernel; the tables stay."""

    def __init__(self, context: NetworkContext, index: PolicyIndex, replaced: Callable[[], object]) -> None:
        """`replaced` is called when all tables are new, and their counters at nothing."""
        self._instance = context.instance
        self._namespace = context.host.network_namespace
        self._clock = context.clock
        self._index = index
        self._replaced = replaced
        self._rules: Sequence[PolicyRules] = ()
        self._dirty = asyncio.Event()
        self._disturbed = False
        self._in_doubt = False
        self._lock = asyncio.Lock()
        self._tables: Tables | None = None
        self._watch: TableWatch | None = None

    async def start(self, rules: Sequence[PolicyRules]) -> None:
        """Put into force what the index knows: by `rules`, those of each family of the node's Pods."""
        self._rules = rules
        self._tables = Tables(self._namespace)
        for name in (table_name(self._instance, family) for family in FAMILIES):
            if name not in self._names and self._tables.has_table(name):  # Pods had a family that they no longer have
                self._tables.commit(removal(name))
        async with self._lock:
            await self._replace()

    @property
    def _names(self) -> tuple[str, ...]:
        return tuple(rules.table for rules in self._rules)

    def wake(self) -> None:
        """Say that the index has changed: `run` sees to it."""
        self._dirty.set()

    async def run(self) -> None:
        """Follow the index, and restore what others change; for ever."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            restored = self._disturbed
            await self.flush()
            if restored:
                await self._clock.sleep(_CALM)

    async def flush(self) -> None:
        """Bring the tables up to date; returns when what is known now is in force."""
        async with self._lock:
            if self._in_doubt:  # the kernel had no room to say what was changed, mostly in tables of others
                self._in_doubt = False
                self._disturbed = self._disturbed or not self._are_there()
            if self._disturbed:
                log.warning("somebody else has changed the rules of policies; they are restored")
                await self._replace()
                return
            changes = self._index.take()
            if not changes:
                return
            batches = [rules.change(changes) for rules in self._rules]  # before anything else changes the index
            try:
                for batch in batches:
                    await self._commit(batch)
            except OSError:
                log.exception("the kernel refused a change of policies; all are written anew")
                self._disturbed = True
                await self._replace()

    def isolating(self, direction: Direction, address: str) -> tuple[PolicyKey, ...]:
        """Return the policies that isolate the Pod of this node which has `address`."""
        return next((found for rules in self._rules if (found := rules.isolating(direction, address))), ())

    async def untold(self) -> int:
        """Return how many blocked packets nobody was told of since the tables are new: they were too many."""
        async with self._lock:
            assert self._tables is not None
            counter = self._tables.counter
            return sum(counter(name, BLOCKED) - counter(name, LOGGED) for name in self._names)

    def close(self) -> None:
        """Let go of the kernel."""
        for held in (self._watch, self._tables):
            if held is not None:
                held.close()
        self._watch = self._tables = None

    def _touched(self, seen: bool) -> None:
        if seen:
            self._disturbed = True
        else:
            self._in_doubt = True
        self._dirty.set()

    def _are_there(self) -> bool:
        assert self._tables is not None
        return all(map(self._tables.has_table, self._names))

    async def _replace(self) -> None:
        assert self._tables is not None
        if self._watch is not None:
            # All that is written now would be told to it, and be more than it has room for.
            self._watch.close()
        self._index.take()
        try:
            for batch in [rules.whole() for rules in self._rules]:
                await self._commit(batch)
        except OSError:
            self._disturbed = True
            self._dirty.set()  # whoever runs this again begins with what was not written
            raise
        self._disturbed = False
        self._replaced()
        self._watch = TableWatch(self._namespace, self._names, self._tables.sender, self._touched)

    async def _commit(self, batch: Batch) -> None:
        assert self._tables is not None
        if len(batch) > _INLINE:
            await asyncio.to_thread(self._tables.commit, batch)
        else:
            self._tables.commit(batch)
