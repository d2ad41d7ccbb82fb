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
from podling.linux.nf_tables import Batch, Element, Tables
from podling.network.proxy import chains as ch
from podling.network.proxy.claims import Changes, Claims
from podling.network.proxy.rules import NOTHING
from podling.network.proxy.table import lay_down

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.network.proxy.chains import Chain, Facts
    from podling.network.proxy.rules import ServiceRules, Value

log = logging.getLogger("podling.proxy")


class Installed:
    """The table of one node, and by owner (a Service, a Pod's host ports) what stands in it."""

    def __init__(self, namespace: str, table: str, facts: Facts) -> None:
        self.table = table
        self._facts = facts
        self._tables = Tables(namespace)
        self._claims = Claims()
        self._rules: dict[str, ServiceRules] = {}
        self._chains: dict[Chain, None] = {}

    @property
    def sender(self) -> int:
        """What marks this one's changes to whoever watches the table."""
        return self._tables.sender

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
        counted = (ch.SERVICES.name, ch.ENDPOINTS.name)
        return all(len(self._tables.elements(self.table, name)) == wanted[name] for name in counted)

    def install(self, wanted: Mapping[str, ServiceRules]) -> None:
        """Replace the table by one that holds what is wanted; who was sent where is remembered."""
        try:
            self._install(wanted)
        except OSError as error:
            if error.errno not in (errno.ENOENT, errno.EOPNOTSUPP) or not self._facts.most_connections:
                raise
            log.warning("this kernel cannot count a Pod's connections, which are not bounded therefore: %s", error)
            self._facts = replace(self._facts, most_connections=0)
            self._install(wanted)

    def _install(self, wanted: Mapping[str, ServiceRules]) -> None:
        changes = Changes()
        self._claims, self._chains, self._rules = Claims(), {}, {}
        self._take(wanted, changes)
        batch = Batch(self.table)
        known = self._still_valid(self._tables.elements(self.table, ch.AFFINITY.name))
        lay_down(batch, self._facts)
        self._write(batch, changes)
        batch.add_elements(ch.AFFINITY.name, known)
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
            after = self._without_others_fences(owner, after)
            self._claims.replace(owner, before.elements, after.elements, changes)
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

    def _without_others_fences(self, owner: str, rules: ServiceRules) -> ServiceRules:
        """Leave out source ranges for an address and port that another fences: the kernel takes none that overlap.

        They stay closed to those whom the other does not let in.
        """
        taken = [
            key
            for name, key in rules.elements
            if name == ch.FIREWALLED.name and self._claims.holder((name, key)) not in ("", owner)
        ]
        if not taken:
            return rules
        kept = {
            (name, key): value
            for (name, key), value in rules.elements.items()
            if not (name == ch.SOURCES.name and key[: len(taken[0])] in taken)
        }
        return replace(rules, elements=kept)

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
        for rule in chain.rules(self._facts):
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
        return [
            element
            for element in known
            if element.left
            and any(element.value in targets.get(k, ()) for k in (element.key[4:], ch.ANY_ADDRESS + element.key[8:]))
        ]

    def _forget(self, forgotten: Sequence[tuple[bytes, frozenset[bytes]]]) -> None:
        """Let no client be sent to an endpoint that is gone because it was sent there before."""
        lost = dict(forgotten)
        stale = [
            Element(element.key)
            for element in self._tables.elements(self.table, ch.AFFINITY.name)
            if any(element.value in lost.get(k, ()) for k in (element.key[4:], ch.ANY_ADDRESS + element.key[8:]))
        ]
        for element in stale:
            batch = Batch(self.table)
            # Added first: it may have run out by itself meanwhile, and then would be missing.
            batch.delete_elements(ch.AFFINITY.name, [element])
            try:
                self._tables.commit(batch)
            except FileNotFoundError:
                continue

    def close(self) -> None:
        """Let go; the table stays."""
        self._tables.close()


def _by_set(places: Mapping[tuple[str, bytes], Value]) -> dict[str, list[tuple[bytes, Value]]]:
    found: dict[str, list[tuple[bytes, Value]]] = {}
    for (name, key), value in places.items():
        found.setdefault(name, []).append((key, value))
    return found


def _element(name: str, key: bytes, value: Value) -> Element:
    if name == ch.SOURCES.name:
        assert isinstance(value, bytes)
        return Element(key, end=value)
    return Element(key, value if value is None or isinstance(value, bytes) else nf.goto(value.name))


def remove(namespace: str, table: str) -> None:
    """Take a table away; it need not be there."""
    tables = Tables(namespace)
    try:
        batch = Batch(table)
        batch.add_table()
        batch.delete_table()
        tables.commit(batch)
    finally:
        tables.close()
