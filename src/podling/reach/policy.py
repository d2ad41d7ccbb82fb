"""What NetworkPolicies make of two ends of a call: whether it passes, and which policy and rule say so.

Owns the reading of a policy (`compile_policy`) and the judgement (`judge`). A policy that selects a Pod for a direction
isolates it there, in both address families: what no rule of such policies lets through is refused; policies only ever
add. Both ends are asked, the caller about egress and the called about ingress. Knows neither kernel nor cluster: what
follows a cluster's changes is `policy_index`. Invariants: a Pod always reaches itself; a node and the Pods on it always
reach each other; Pods on the host's network are no Pods here, they are their node; what cannot be read selects nobody
and opens nothing; a block of one family says nothing of the other's addresses.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from podling.api.pods import is_terminal
from podling.api.selectors import EVERYTHING, NOTHING, Selector, from_label_selector
from podling.api.validation.addresses import family, parse, parse_network
from podling.reach.endpoints import addresses

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from podling.api.types.core_v1 import Pod
    from podling.api.types.meta_v1 import LabelSelector
    from podling.api.types.networking_v1 import IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort

PolicyKey = tuple[str, str]
"""Namespace and name."""

PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
"""What has ports."""


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


# --- reading ----------------------------------------------------------------------------------------------------------

_LAST_PORT: Final = 65535


def party_of(pod: Pod, given: Sequence[str] = ()) -> Party | None:
    """Return a Pod as an end of calls; `None` while it has no address, once it is over, and on the host's network.

    Addresses that are known to be `given` to it before its status tells them take precedence.
    """
    if pod.spec.host_network or is_terminal(pod):
        return None
    known = [str(address) for address in map(parse, given or addresses(pod)) if address is not None]
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
    return Party(known[0], meta.name, meta.namespace, labels, ports, pod.spec.node_name, tuple(known[1:]))


def dns_party(held: tuple[str, ...], node: str) -> Party:
    """Return the cluster's DNS as the Pod that it counts as, so that policies written for other clusters hold here."""
    first, *further = held
    ports = (("UDP", "dns", 53), ("TCP", "dns-tcp", 53))
    return Party(first, "kube-dns", "kube-system", (("k8s-app", "kube-dns"),), ports, node, tuple(further))


def compile_policy(policy: NetworkPolicy) -> Policy:
    """Read a policy once, so that judging it is cheap."""
    spec, namespace = policy.spec, policy.metadata.namespace
    types = spec.policy_types or (("Ingress", "Egress") if spec.egress else ("Ingress",))
    selector = EVERYTHING if spec.pod_selector is None else _selector(spec.pod_selector)
    return Policy(
        (namespace, policy.metadata.name),
        selector,
        tuple(_rule(r.from_, r.ports, namespace) for r in spec.ingress) if "Ingress" in types else None,
        tuple(_rule(r.to, r.ports, namespace) for r in spec.egress) if "Egress" in types else None,
    )


def _selector(given: LabelSelector) -> Selector:
    try:
        return from_label_selector(given)
    except ValueError:
        return NOTHING


def _rule(peers: Sequence[NetworkPolicyPeer], ports: Sequence[NetworkPolicyPort], namespace: str) -> Rule:
    numbers = []
    named: dict[tuple[str, str], None] = {}
    for port in ports:
        protocol = port.protocol or "TCP"
        if protocol not in PROTOCOLS:
            continue
        if port.port is None:
            numbers.append(PortRange(protocol, 0, _LAST_PORT))
        elif isinstance(port.port, str):
            named[protocol, port.port] = None
        elif 0 < port.port <= (last := port.end_port or port.port) <= _LAST_PORT:
            numbers.append(PortRange(protocol, port.port, last))
    selectors = [_peer_selector(peer, namespace) for peer in peers if peer.ip_block is None]
    ranges = [part for peer in peers if peer.ip_block is not None for part in _block(peer.ip_block)]
    return Rule(
        not peers, tuple(dict.fromkeys(selectors)), _joined(ranges), not ports, _joined_ports(numbers), tuple(named)
    )


def _peer_selector(peer: NetworkPolicyPeer, namespace: str) -> PeerSelector:
    pods = EVERYTHING if peer.pod_selector is None else _selector(peer.pod_selector)
    if peer.namespace_selector is None:
        return PeerSelector(NOTHING if peer.pod_selector is None else pods, namespace)
    return PeerSelector(pods, namespaces=_selector(peer.namespace_selector))


@lru_cache(maxsize=4096)
def _range(text: str) -> Range | None:
    found = parse_network(text)
    if found is None:
        return None
    network = found[1]
    return Range(network.version, int(network.network_address), int(network.broadcast_address))


def _block(block: IPBlock) -> Iterable[Range]:
    """Yield what is left of a block without its exceptions."""
    whole = _range(block.cidr)
    if whole is None:
        return
    holes = sorted(
        (hole.first, hole.last)
        for hole in map(_range, block.except_)
        if hole is not None and hole.version == whole.version
    )
    first = whole.first
    for begin, end in holes:
        if begin > first:
            yield Range(whole.version, first, min(begin - 1, whole.last))
        first = max(first, end + 1)
        if first > whole.last:
            return
    yield Range(whole.version, first, whole.last)


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return the same addresses in ranges that neither overlap nor touch."""
    merged: list[Range] = []
    for part in sorted(ranges, key=lambda r: (r.version, r.first, r.last)):
        last = merged[-1] if merged else None
        if last is not None and last.version == part.version and part.first <= last.last + 1:
            merged[-1] = Range(last.version, last.first, max(last.last, part.last))
        else:
            merged.append(part)
    return tuple(merged)


def _joined_ports(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    merged: list[PortRange] = []
    for part in sorted(ranges, key=lambda r: (r.protocol, r.first, r.last)):
        last = merged[-1] if merged else None
        if last is not None and last.protocol == part.protocol and part.first <= last.last + 1:
            merged[-1] = PortRange(last.protocol, last.first, max(last.last, part.last))
        else:
            merged.append(part)
    return tuple(merged)
