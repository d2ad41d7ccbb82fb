"""What NetworkPolicies make of two ends of a call: whether it passes, and which policy and rule say so.

Owns what a policy, once read (`policy_reading`), and the ends of a call are, and the judgement (`judge`). A policy that
selects a Pod for a direction isolates it there, in both address families: what no rule of such policies lets through is
refused; policies only ever add. Both ends are asked, the caller about egress and the called about ingress. Knows no
kernel and no cluster: what follows a cluster's changes is `policy_index`. Invariants: a Pod always reaches itself; a
node and the Pods on it always reach each other; Pods on the host's network are no Pods here, they are their node; a
block of one family says nothing of the other's addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from podling.api.pods import is_terminal
from podling.api.validation.addresses import family, parse
from podling.reach.endpoints import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.selectors import Selector
    from podling.api.types.core_v1 import Pod

PolicyKey = tuple[str, str]
"""Namespace and name."""


class Direction(StrEnum):
    """Seen from the Pod that a policy selects."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a call: a Pod, a node, or whoever has an address."""

    address: str
    """The one that it is called at, or calls from: its primary one, unless `at` has chosen."""
    pod: str = ""
    """Its name, where it is a Pod."""
    namespace: str = ""
    labels: tuple[tuple[str, str], ...] = ()
    ports: tuple[tuple[str, str, int], ...] = ()
    """Named ports: (protocol, name, number), in the order of the containers."""
    node: str = ""
    """Where the Pod runs; of what is no Pod, the node that it is."""
    further: tuple[str, ...] = ()
    """What addresses it has beside that one: the other family's."""

    @property
    def addresses(self) -> tuple[str, ...]:
        """All that it has."""
        return (self.address, *self.further)

    def at(self, address: str) -> Party:
        """Return the same party by another of its addresses."""
        if address == self.address:
            return self
        rest = tuple(one for one in self.addresses if one != address)
        return replace(self, address=address, further=rest)

    @property
    def versions(self) -> tuple[int, ...]:
        """Of the families that it has addresses of."""
        return tuple(dict.fromkeys(filter(None, map(family, self.addresses))))

    def of(self, version: int) -> Party | None:
        """Return the same party by its address of a family; `None` where it has none."""
        return next((self.at(own) for own in self.addresses if family(own) == version), None)

    def facing(self, address: str) -> Party:
        """Return the same party by its address of the family of `address`; as it is, where it has none."""
        return self.of(family(address)) or self

    def number(self, protocol: str, name: str) -> int | None:
        """Return the number that this Pod's containers give a named port; the first one counts."""
        return next((number for p, n, number in self.ports if p == protocol and n == name), None)


@dataclass(frozen=True, slots=True)
class Range:
    """Addresses from `first` to `last`, both within."""

    version: int
    first: int
    last: int

    def holds(self, address: str) -> bool:
        found = parse(address)
        return found is not None and found.version == self.version and self.first <= int(found) <= self.last


@dataclass(frozen=True, slots=True)
class PortRange:
    """Ports of one protocol from `first` to `last`, both within."""

    protocol: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class PeerSelector:
    """Pods by their labels, in one namespace or in those with certain labels."""

    pods: Selector
    namespace: str = ""
    """The only one, unless `namespaces` selects them."""
    namespaces: Selector | None = None

    def matches(self, pod: Party, labels: Mapping[str, str], namespaces: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether a Pod, whose labels are given as a map too, is selected."""
        if self.namespaces is None:
            if pod.namespace != self.namespace:
                return False
        else:
            known = namespaces.get(pod.namespace)
            if known is None or not self.namespaces.matches(known):
                return False
        return self.pods.matches(labels)


@dataclass(frozen=True, slots=True)
class Rule:
    """Who may, on which ports. No peers at all mean anyone, no ports at all mean every port of every protocol."""

    anyone: bool
    selectors: tuple[PeerSelector, ...]
    ranges: tuple[Range, ...]
    any_port: bool
    ports: tuple[PortRange, ...]
    named: tuple[tuple[str, str], ...]
    """(protocol, name): what these are is the called Pod's to say."""

    def lets(self, peer: Party, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether `peer` is one of those that the rule is about."""
        if self.anyone or any(block.holds(peer.address) for block in self.ranges):
            return True
        if not peer.pod:
            return False
        labels = dict(peer.labels)
        return any(selector.matches(peer, labels, namespaces) for selector in self.selectors)

    def opens(self, called: Party, protocol: str, port: int) -> bool:
        """Whether the rule is about this port of the Pod, or whoever it is, that is called."""
        return (
            self.any_port
            or any(p.protocol == protocol and p.first <= port <= p.last for p in self.ports)
            or any(p == protocol and called.number(p, name) == port for p, name in self.named)
        )


@dataclass(frozen=True, slots=True)
class Policy:
    """A NetworkPolicy as it is judged by; a direction that it is not about is `None`."""

    key: PolicyKey
    selector: Selector
    ingress: tuple[Rule, ...] | None
    egress: tuple[Rule, ...] | None

    def rules(self, direction: Direction) -> tuple[Rule, ...] | None:
        return self.ingress if direction is Direction.INGRESS else self.egress

    def selects(self, pod: Party) -> bool:
        return bool(pod.pod) and pod.namespace == self.key[0] and self.selector.matches(dict(pod.labels))


@dataclass(frozen=True, slots=True)
class Decision:
    """What the policies of one end say."""

    direction: Direction
    allowed: bool
    policy: PolicyKey | None = None
    """The first one whose rule lets the call through; `None` where nothing isolates, or nothing lets through."""
    rule: int = -1
    isolating: tuple[PolicyKey, ...] = ()
    """The policies that select this end for this direction, by name; none where it is open."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a call passes, with both ends' reasons."""

    egress: Decision
    ingress: Decision

    @property
    def allowed(self) -> bool:
        return self.egress.allowed and self.ingress.allowed

    @property
    def deciding(self) -> Decision | None:
        """The decision that refuses, egress before ingress, as packets meet them."""
        return next((decision for decision in (self.egress, self.ingress) if not decision.allowed), None)


def judge(
    policies: Iterable[Policy],
    namespaces: Mapping[str, Mapping[str, str]],
    source: Party,
    destination: Party,
    protocol: str,
    port: int,
) -> Verdict:
    """Return whether `source` may begin a call to a port of `destination`, after any translation of addresses.

    `destination` is called at its `address`; `source` calls from its own of the same family.
    """
    source = source.facing(destination.address)
    every = sorted(policies, key=lambda policy: policy.key)
    together = (source.pod, source.namespace) == (destination.pod, destination.namespace) and bool(source.pod)
    at_home = bool(source.node) and source.node == destination.node and not (source.pod and destination.pod)
    if together or at_home:
        return Verdict(Decision(Direction.EGRESS, allowed=True), Decision(Direction.INGRESS, allowed=True))

    def decide(direction: Direction, subject: Party, peer: Party) -> Decision:
        isolating = [(p, p.rules(direction)) for p in every if p.rules(direction) is not None and p.selects(subject)]
        keys = tuple(policy.key for policy, _ in isolating)
        for policy, rules in isolating:
            for index, rule in enumerate(rules or ()):
                if rule.lets(peer, namespaces) and rule.opens(destination, protocol, port):
                    return Decision(direction, True, policy.key, index, keys)
        return Decision(direction, not isolating, isolating=keys)

    return Verdict(decide(Direction.EGRESS, source, destination), decide(Direction.INGRESS, destination, source))


def party_of(pod: Pod, given: Sequence[str] = ()) -> Party | None:
    """Return a Pod as an end of calls; `None` while it has no address, once it is over, and on the host's network.

    Addresses that are known to be `given` to it before its status tells them take precedence.
    """
    if pod.spec.host_network or is_terminal(pod):
        return None
    read = (str(address) for address in map(parse, given or addresses(pod)) if address is not None)
    known = tuple(dict.fromkeys(read))
    if not known:
        return None
    ports = tuple(
        (port.protocol or "TCP", port.name, port.container_port)
        for container in (*pod.spec.containers, *pod.spec.init_containers)
        for port in container.ports
        if port.name
    )
    meta = pod.metadata
    labels = tuple(sorted(meta.labels.items()))
    return Party(known[0], meta.name, meta.namespace, labels, ports, pod.spec.node_name, known[1:])


def dns_party(held: tuple[str, ...], node: str) -> Party:
    """Return the cluster's DNS as the Pod that it counts as, so that policies written for other clusters hold here."""
    first, *further = held
    ports = (("UDP", "dns", 53), ("TCP", "dns-tcp", 53))
    return Party(first, "kube-dns", "kube-system", (("k8s-app", "kube-dns"),), ports, node, tuple(further))
