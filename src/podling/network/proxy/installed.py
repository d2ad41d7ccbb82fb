"""What the kernel holds of Services on one node: laid down whole, then changed element by element.

Owns the claims, the chains that there are, and the transactions that carry changes into the table. Blocks where the
kernel does: call it from a thread. Invariants: a transaction that fails leaves memory and kernel apart, and the next
thing to do is `install`; it replaces the table at once, so that no packet sees it missing.
"""

from __future__ import annotations

import errno
import logging
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from podling.linux import nf_expressions as nf
from podling.linux.nf_tables import Batch, Element
from podling.network.proxy import chains as ch
from podling.network.proxy import sets
from podling.network.proxy.claims import Changes, Claims
from podling.network.proxy.rules import NOTHING
from podling.network.proxy.sets import at_any_address
from podling.network.proxy.table import lay_down

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.linux.nf_tables import Tables
    from podling.network.proxy.chains import Chain, Facts
    from podling.network.proxy.rules import ServiceRules, Value

log = logging.getLogger("podling.proxy")


class Installed:
    """The table of one node and family, and by owner (a Service, a Pod's host ports) what stands in it."""

    def __init__(self, tables: Tables, table: str, facts: Facts) -> None:
        self.table = table
        self.facts = facts
        self._tables = tables
        self._claims = Claims(facts.family)
        self._rules: dict[str, ServiceRules] = {}
        self._chains: dict[Chain, None] = {}

    def of(self, owner: str) -> ServiceRules:
        """Return what an owner has in the rules."""
        return self._rules.get(owner, NOTHING)

    def owners(self) -> Mapping[str, ServiceRules]:
        return self._rules

    def is_there(self) -> bool:
        """Whether the kernel still holds the table, with as many Services and endpoints as were put into it."""
        if not self._tables.has_table(self.table):
            return False
        wanted = Counter(name for (name, _), _ in self._claims.effective())
        counted = (sets.SERVICES, sets.ENDPOINTS)
        return all(len(self._tables.elements(self.table, name)) == wanted[name] for name in counted)

    def install(self, wanted: Mapping[str, ServiceRules]) -> None:
        """Replace the table by one that holds what is wanted; who was sent where is remembered."""
        try:
            self._install(wanted)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP) or not self.facts.most_connections:
                raise
            log.warning("this kernel cannot count a Pod's connections, which are not bounded therefore: %s", error)
            self.facts = replace(self.facts, most_connections=0)
            self._install(wanted)

    def _install(self, wanted: Mapping[str, ServiceRules]) -> None:
        changes = Changes()
        self._claims, self._chains, self._rules = Claims(self.facts.family), {}, {}
        self._take(wanted, changes)
        batch = Batch(self.table)
        known = self._still_valid(self._tables.elements(self.table, sets.AFFINITY))
        lay_down(batch, self.facts)
        self._write(batch, changes)
        batch.add_elements(sets.AFFINITY, known)
        self._tables.commit(batch)

    def change(self, wanted: Mapping[str, ServiceRules]) -> None:
        """Carry what some owners want by now into the table, in one transaction."""
        changes = Changes()
        forgotten = self._take(wanted, changes)
        batch = Batch(self.table)
        self._write(batch, changes)
        self._tables.commit(batch)
        if forgotten:
            self._forget(forgotten)

    def _take(self, wanted: Mapping[str, ServiceRules], changes: Changes) -> list[tuple[bytes, frozenset[bytes]]]:
        """Take in what owners want; return the frontends whose clients are to forget some targets."""
        forgotten = []
        for owner, after in wanted.items():
            before = self.of(owner)
            self._claims.replace(owner, after.elements, changes, after.yielding)
            for key, remembered in before.remembered.items():
                now = after.remembered.get(key)
                lost = remembered.targets - (now.targets if now is not None and now.sticky else frozenset())
                if remembered.sticky and lost:
                    forgotten.append((key, lost))
            if after == NOTHING:
                self._rules.pop(owner, None)
            else:
                self._rules[owner] = after
        return forgotten

    def _write(self, batch: Batch, changes: Changes) -> None:
        for name, elements in _by_set(changes.gone).items():
            batch.delete_elements(name, [_element(name, key, value) for key, value in elements])
        for name, elements in _by_set(changes.new).items():
            for _, value in elements:
                if value is not None and not isinstance(value, bytes):
                    self._have(value, batch)
            batch.add_elements(name, [_element(name, key, value) for key, value in elements])

    def _have(self, chain: Chain, batch: Batch) -> None:
        """Make a chain that nothing has led to yet, by the same transaction; it stays till the next `install`."""
        if chain in self._chains:
            return
        for further in ch.leads_to(chain):
            self._have(further, batch)
        self._chains[chain] = None
        batch.add_chain(chain.name)
        for rule in chain.rules(self.facts):
            batch.add_rule(chain.name, *rule)

    def _still_valid(self, known: Sequence[Element]) -> list[Element]:
        """Return what is known of clients, as far as it still leads to an endpoint of theirs."""
        if not known:
            return []
        targets: dict[bytes, frozenset[bytes]] = {}
        for rules in self._rules.values():
            for key, remembered in rules.remembered.items():
                if remembered.sticky:
                    targets[key] = remembered.targets
        return [element for element in known if element.left and self._led_by(element, targets)]

    def _led_by(self, known: Element, targets: Mapping[bytes, frozenset[bytes]]) -> bool:
        """Whether what is known of a client leads to one of the targets of the frontend that it asked for."""
        asked = known.key[self.facts.family.size :]
        return any(known.value in targets.get(key, ()) for key in (asked, at_any_address(asked)))

    def _forget(self, forgotten: Sequence[tuple[bytes, frozenset[bytes]]]) -> None:
        """Let no client be sent to an endpoint that is gone because it was sent there before."""
        lost = dict(forgotten)
        stale = [
            Element(element.key)
            for element in self._tables.elements(self.table, sets.AFFINITY)
            if self._led_by(element, lost)
        ]
        for element in stale:
            batch = Batch(self.table)
            # Added first: it may have run out by itself meanwhile, and then would be missing.
            batch.delete_elements(sets.AFFINITY, [element])
            try:
                self._tables.commit(batch)
            except FileNotFoundError:
                continue


def _by_set(places: Mapping[tuple[str, bytes], Value]) -> dict[str, list[tuple[bytes, Value]]]:
    found: dict[str, list[tuple[bytes, Value]]] = {}
    for (name, key), value in places.items():
        found.setdefault(name, []).append((key, value))
    return found


def _element(name: str, key: bytes, value: Value) -> Element:
    if name == sets.SOURCES:
        assert isinstance(value, bytes)
        return Element(key, end=value)
    return Element(key, value if value is None or isinstance(value, bytes) else nf.goto(value.name))


def remove(tables: Tables, table: str) -> None:
    """Take a table away; it need not be there."""
    if tables.has_table(table):
        batch = Batch(table)
        batch.add_table()  # whoever else takes it away meanwhile is welcome
        batch.delete_table()
        tables.commit(batch)
