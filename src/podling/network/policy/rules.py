"""The table of one node's policies for one address family: written whole, and changed by what has changed.

Owns what stands in `podling-<instance>-policy`, for IPv6 `podling-<instance>-policy6`, and its bookkeeping. Pure: it
makes batches and sends none. The rules are laid down once; a packet that begins something finds the chain of its Pod by
one look into a map, a packet of the other family never:

    forward, input ─▶ established? accept
                      egress map [source]       ─▶ profile ─▶ the Pod's policies, one after another ─▶ blocked-egress
                      ingress map [destination] ─▶ profile ─▶ …                                     ─▶ blocked-ingress

Pods that the same policies isolate share a profile. Invariants: an isolated Pod of the node stands in the map of that
direction, no other does; a packet meets egress before ingress, and what one lets pass the other still sees; a Pod
reaches itself; whatever does not pass is counted, and told of as long as that is not too often.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from podling.linux import nf_expressions as nf
from podling.linux.families import FAMILIES, IPV4
from podling.linux.nf_tables import Batch, Element, NamedSet, Tables
from podling.linux.nflog import LENGTH
from podling.network.policy import policies as written
from podling.network.policy.policies import DIRECTIONS, chain_of, element_of, set_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podling.linux.families import Family
    from podling.reach.policy import Direction, Policy, PolicyKey
    from podling.reach.policy_index import Changes, PodKey, PolicyIndex

RATE: Final = 100
"""Blocked packets that are told of in a second, at most."""
BURST: Final = 200
BLOCKED, LOGGED = "blocked", "logged"
_SELF, _HERE = "self", "cluster-addresses"
_PRIORITY: Final = {"Egress": 0, "Ingress": 1}
_ACCEPT: Final = nf.verdict(nf.Verdict(nf.ACCEPT))

_Profile = tuple["Direction", tuple["PolicyKey", ...]]


def table_name(instance: str, family: Family = IPV4) -> str:
    """Return the name of an instance's table of policies for a family."""
    return f"podling-{instance}-policy{family.suffix}"


@dataclass(slots=True)
class _Placed:
    """What stands in the maps for one Pod."""

    addresses: tuple[bytes, ...]
    """Those of the family: one, unless CNI plugins gave it more."""
    profiles: dict[Direction, _Profile] = field(default_factory=dict)


@dataclass(slots=True)
class _Held:
    """A profile's chain, and how many Pods are led there."""

    number: int
    pods: int = 0


class PolicyRules:
    """What is to stand in the table of a family, for the Pods of `node`."""

    def __init__(
        self,
        instance: str,
        node: str,
        index: PolicyIndex,
        group: int | None,
        family: Family = IPV4,
        *,
        here: tuple[str, ...] = (),
    ) -> None:
        """`here` are addresses on this node that count as Pods; of blocked packets the log group `group` is told."""
        self.table = table_name(instance, family)
        self._family = family
        self._of_family = nf.of_family(family)
        self._node = node
        self._index = index
        self._group = group
        self._here = here
        self._forget()

    def _forget(self) -> None:
        self._number = 0
        self._numbers: dict[PolicyKey, int] = {}
        self._written: dict[PolicyKey, Policy] = {}
        self._profiles: dict[_Profile, _Held] = {}
        self._placed: dict[PodKey, _Placed] = {}
        self._owners: dict[bytes, PodKey] = {}

    def whole(self) -> Batch:
        """Return the transaction that replaces the table, whatever there was, by what the index knows."""
        self._forget()
        batch = Batch(self.table)
        batch.replace_table()
        self._lay_down(batch)
        for key, policy in self._index.policies.items():
            self._write_policy(batch, key, policy)
        for pod in self._index.pods:
            self._place(batch, pod)
        return batch

    def change(self, changes: Changes) -> Batch:
        """Return the transaction that follows `changes` of the index."""
        batch = Batch(self.table)
        idle: list[str] = []
        for key, policy in changes.policies.items():
            before = self._written.pop(key, None)
            if before is not None:
                written.erase(batch, self._family, self._numbers[key], before)
                idle += [
                    chain_of(self._numbers[key], direction)
                    for direction in DIRECTIONS
                    if before.rules(direction) is not None and (policy is None or policy.rules(direction) is None)
                ]
            if policy is not None:
                self._write_policy(batch, key, policy)
            elif before is not None:
                del self._numbers[key]
        for pod in changes.pods:
            self._place(batch, pod)
        # Only now does no profile lead there any more.
        for chain in idle:
            batch.delete_chain(chain)
        self._follow(batch, changes)
        return batch

    def isolating(self, direction: Direction, address: str) -> tuple[PolicyKey, ...]:
        """Return the policies that isolate the Pod of this node which has `address`."""
        pod = self._owners.get(self._family.packed(address) or b"")
        profile = self._placed[pod].profiles.get(direction) if pod is not None else None
        return profile[1] if profile is not None else ()

    # The rules that are laid down once.

    def _lay_down(self, batch: Batch) -> None:
        batch.add_counter(BLOCKED)
        batch.add_counter(LOGGED)
        address = self._family.field
        batch.add_set(NamedSet(_SELF, (address, address)))
        batch.add_set(NamedSet(_HERE, (address,)))
        batch.add_elements(_HERE, map(Element, self._of_ours(self._here)))
        for direction in DIRECTIONS:
            batch.add_set(NamedSet(direction.lower(), (address,), ()))
            self._lay_down_blocked(batch, direction)
            for hook in ("forward", "input"):
                self._lay_down_hook(batch, hook, direction)

    def _lay_down_blocked(self, batch: Batch, direction: Direction) -> None:
        chain = _blocked(direction)
        batch.add_chain(chain)
        batch.add_rule(chain, nf.counted(BLOCKED))
        if self._group is not None:
            log = nf.logged(self._group, direction.value, LENGTH)
            batch.add_rule(chain, nf.limited(RATE, BURST), nf.counted(LOGGED), log)
        batch.add_rule(chain, nf.verdict(nf.Verdict(nf.DROP)))

    def _lay_down_hook(self, batch: Batch, hook: str, direction: Direction) -> None:
        chain = f"{hook}-{direction.lower()}"
        batch.add_chain(chain, "filter", hook, _PRIORITY[direction])
        family = self._family
        source, destination = nf.source(family=family), nf.destination(family=family)
        established = (nf.ESTABLISHED | nf.RELATED).to_bytes(4, "little")
        batch.add_rule(chain, nf.connection_state(), nf.masked(established), nf.equal(bytes(4), inverted=True), _ACCEPT)
        if hook == "input":
            # All other addresses of a node are the node, which its Pods always reach; and so it reaches them.
            batch.add_rule(chain, nf.input_link(), nf.equal(b"lo\0"), _ACCEPT)
            batch.add_rule(chain, self._of_family, destination, nf.lookup(_HERE, inverted=True), _ACCEPT)
        both = source + nf.destination(nf.REGISTERS.start + family.registers, family)
        batch.add_rule(chain, self._of_family, both, nf.lookup(_SELF), _ACCEPT)
        subject = source if direction.value == "Egress" else destination
        batch.add_rule(chain, self._of_family, subject, nf.lookup(direction.lower(), into=0))

    # Policies.

    def _write_policy(self, batch: Batch, key: PolicyKey, policy: Policy) -> None:
        number = self._numbers.get(key) or self._next()
        self._numbers[key] = number
        self._written[key] = policy
        for direction in DIRECTIONS:
            if policy.rules(direction) is not None:
                batch.add_chain(chain_of(number, direction))
        written.write(batch, self._family, number, policy, self._index)

    def _next(self) -> int:
        self._number += 1
        return self._number

    def _follow(self, batch: Batch, changes: Changes) -> None:
        """Put elements into the sets of rules that stand as they stood, and take them out."""
        grouped: dict[tuple[str, bool], list[Element]] = {}
        for ((key, direction, place), known), there in changes.elements.items():
            element = element_of(self._family, known)
            if key not in changes.policies and element is not None:
                name = set_of(self._numbers[key], direction, place, known)
                grouped.setdefault((name, there), []).append(element)
        for (name, there), elements in grouped.items():
            (batch.add_elements if there else batch.delete_elements)(name, elements)

    # Pods.

    def _wanted(self, pod: PodKey) -> _Placed | None:
        isolation, party = self._index.isolation(pod), self._index.pods.get(pod)
        if isolation is None or party is None or party.node != self._node:
            return None
        addresses = tuple(self._of_ours(party.addresses))
        profiles = {direction: (direction, keys) for direction in DIRECTIONS if (keys := isolation.of(direction))}
        return _Placed(addresses, profiles) if addresses and profiles else None

    def _of_ours(self, addresses: Iterable[str]) -> Iterator[bytes]:
        return (packed for packed in map(self._family.packed, addresses) if packed is not None)

    def _place(self, batch: Batch, pod: PodKey) -> None:
        """Have the maps lead from a Pod's address to its profiles, and no more to those that it had."""
        wanted = self._wanted(pod)
        for address in wanted.addresses if wanted is not None else ():
            other = self._owners.get(address, pod)
            if other != pod:  # one of the two is no more, and was not heard of yet
                self._move(batch, other, None)
        self._move(batch, pod, wanted)

    def _move(self, batch: Batch, pod: PodKey, wanted: _Placed | None) -> None:
        before = self._placed.pop(pod, None)
        if wanted is not None:
            self._placed[pod] = wanted
        old, new = _entries(before), _entries(wanted)
        if old == new:
            return
        for profile in wanted.profiles.values() if wanted is not None else ():
            self._acquire(batch, profile)
        for (name, key), leads_to in old.items():
            if new.get((name, key), ...) != leads_to:
                batch.delete_elements(name, [Element(key)])
        for (name, key), leads_to in new.items():
            if old.get((name, key), ...) != leads_to:
                value = None if leads_to is None else nf.goto(_profile(self._profiles[leads_to].number))
                batch.add_elements(name, [Element(key, value)])
        for profile in before.profiles.values() if before is not None else ():
            self._release(batch, profile)
        for address in before.addresses if before is not None else ():
            del self._owners[address]
        for address in wanted.addresses if wanted is not None else ():
            self._owners[address] = pod

    def _acquire(self, batch: Batch, profile: _Profile) -> None:
        held = self._profiles.get(profile)
        if held is None:
            held = self._profiles[profile] = _Held(self._next())
            direction, keys = profile
            name = _profile(held.number)
            batch.add_chain(name)
            for key in keys:
                batch.add_rule(name, nf.verdict(nf.Verdict(nf.JUMP, chain_of(self._numbers[key], direction))))
            batch.add_rule(name, nf.verdict(nf.goto(_blocked(direction))))
        held.pods += 1

    def _release(self, batch: Batch, profile: _Profile) -> None:
        held = self._profiles[profile]
        held.pods -= 1
        if not held.pods:
            del self._profiles[profile]
            batch.delete_chain(_profile(held.number))


def _entries(placed: _Placed | None) -> dict[tuple[str, bytes], _Profile | None]:
    """Return what stands for a Pod: the name of a map or set and the key in it, and the profile that it leads to."""
    if placed is None:
        return {}
    entries: dict[tuple[str, bytes], _Profile | None] = {
        (_SELF, here + there): None for here in placed.addresses for there in placed.addresses
    }
    for direction, profile in placed.profiles.items():
        entries |= {(direction.lower(), address): profile for address in placed.addresses}
    return entries


def _profile(number: int) -> str:
    return f"profile-{number}"


def removal(table: str) -> Batch:
    """Return the transaction that takes a table away, whether it is there or not."""
    batch = Batch(table)
    batch.add_table()
    batch.delete_table()
    return batch


def remove_tables(instance: str) -> None:
    """Take an instance's tables off the machine, with no daemon running; further nodes' go with their namespaces."""
    tables = Tables()
    try:
        for family in FAMILIES:
            tables.commit(removal(table_name(instance, family)))
    finally:
        tables.close()


def _blocked(direction: Direction) -> str:
    return f"blocked-{direction.lower()}"
