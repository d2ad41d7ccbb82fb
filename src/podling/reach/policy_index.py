"""Which policies concern which Pods, kept up as either changes; the cost is that of what a change concerns.

Owns, for every pair of a policy and a Pod that have to do with each other, what the policy makes of the Pod: isolated
or not, a peer of which rules, with which named ports. `take` hands out what has changed since it was last asked. What a
policy means is `policy`'s to say. Invariants: what the index holds is what reading everything anew would give, whatever
the order of changes; nothing is told that has not changed; an address that two Pods hold for a moment stays until the
last one lets go.

A selector is filed under one label that it demands, if it demands one, and a Pod under every label that it has: whoever
meets there is compared, nobody else.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from podling.reach.policy import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from podling.api.selectors import Selector
    from podling.reach.policy import Party, Policy, PolicyKey, Rule

PodKey = tuple[str, str]
"""Namespace and name."""

RuleKey = tuple["PolicyKey", Direction, int]

Element = str | tuple[str, str, int]
"""A peer's address; or, for a named port, (address, protocol, number) of the Pod that is called."""

_Place = tuple[str, ...]
_Where = TypeVar("_Where")

_BOTH = (Direction.INGRESS, Direction.EGRESS)


@dataclass(frozen=True, slots=True)
class Isolation:
    """A Pod's addresses, and the policies that isolate it, by direction and in order; none leave it open."""

    addresses: tuple[str, ...]
    ingress: tuple[PolicyKey, ...]
    egress: tuple[PolicyKey, ...]

    def of(self, direction: Direction) -> tuple[PolicyKey, ...]:
        return self.ingress if direction is Direction.INGRESS else self.egress


@dataclass(slots=True)
class Changes:
    """What is different; the last word on each."""

    policies: dict[PolicyKey, Policy | None] = field(default_factory=dict)
    pods: dict[PodKey, Isolation | None] = field(default_factory=dict)
    elements: dict[tuple[RuleKey, Element], bool] = field(default_factory=dict)
    """Whether it is there now; also for rules of `policies`, of which `PolicyIndex.elements` tells all."""

    def __bool__(self) -> bool:
        return bool(self.policies or self.pods or self.elements)


@dataclass(frozen=True, slots=True)
class _Bond:
    """What one policy makes of one Pod."""

    isolates: tuple[Direction, ...]
    elements: tuple[tuple[RuleKey, Element], ...]


class PolicyIndex:
    """The policies, Pods and Namespaces of a cluster, as the enforcement of policies sees them."""

    def __init__(self) -> None:
        self._policies: dict[PolicyKey, Policy] = {}
        self._pods: dict[PodKey, Party] = {}
        self._namespaces: dict[str, Mapping[str, str]] = {}
        self._policies_at: dict[_Place, dict[PolicyKey, None]] = {}
        self._pods_at: dict[_Place, dict[PodKey, None]] = {}
        self._of_pod: dict[PodKey, dict[PolicyKey, _Bond]] = {}
        self._of_policy: dict[PolicyKey, dict[PodKey, None]] = {}
        self._isolating: dict[PodKey, dict[Direction, list[PolicyKey]]] = {}
        self._elements: dict[RuleKey, Counter[Element]] = {}
        self._before: dict[tuple[RuleKey, Element], bool] = {}
        self._changes = Changes()

    # Being told.

    def set_namespace(self, name: str, labels: Mapping[str, str] | None) -> None:
        """Take in a Namespace's labels; `None`: it is gone."""
        if self._namespaces.get(name) == labels:
            return
        if labels is None:
            del self._namespaces[name]
        else:
            self._namespaces[name] = dict(labels)
        for pod in list(self._pods_at.get((name,), ())):
            self._bind(pod)

    def set_pod(self, key: PodKey, pod: Party | None) -> None:
        """Take in a Pod; `None`: it is gone, or none of those that policies are about."""
        old = self._pods.get(key)
        if old == pod:
            return
        if old is not None:
            for place in _places_of(old):
                _remove(self._pods_at, place, key)
        if pod is None:
            for policy in list(self._of_pod.get(key, ())):
                self._rebind(policy, key, None)
            del self._pods[key]
            self._changes.pods[key] = None
            return
        self._pods[key] = pod
        for place in _places_of(pod):
            self._pods_at.setdefault(place, {})[key] = None
        self._bind(key)
        if old is None or old.addresses != pod.addresses:
            self._changes.pods[key] = self.isolation(key)

    def set_policy(self, key: PolicyKey, policy: Policy | None) -> None:
        """Take in a policy; `None`: it is gone."""
        old = self._policies.get(key)
        if old == policy:
            return
        concerned = dict.fromkeys(self._of_policy.get(key, ()))
        if old is not None:
            for place in _places_for(old):
                _remove(self._policies_at, place, key)
            del self._policies[key]
        if policy is not None:
            self._policies[key] = policy
            for place in _places_for(policy):
                self._policies_at.setdefault(place, {})[key] = None
                concerned.update(self._pods_at.get(place, {}))
        for pod in concerned:
            self._rebind(key, pod, self._bond(key, pod))
        self._changes.policies[key] = policy

    def _bind(self, pod: PodKey) -> None:
        """Compare a Pod with every policy that it may have to do with, or had."""
        concerned = dict.fromkeys(self._of_pod.get(pod, ()))
        for place in _places_of(self._pods[pod]):
            concerned.update(self._policies_at.get(place, {}))
        for policy in concerned:
            self._rebind(policy, pod, self._bond(policy, pod))

    def _bond(self, key: PolicyKey, pod_key: PodKey) -> _Bond | None:
        policy, pod = self._policies.get(key), self._pods[pod_key]
        if policy is None:
            return None
        selected = policy.selects(pod)
        isolates = tuple(d for d in _BOTH if selected and policy.rules(d) is not None)
        elements = tuple(
            ((key, direction, number), element)
            for direction in _BOTH
            for number, rule in enumerate(policy.rules(direction) or ())
            for element in self._places_in(rule, direction, pod, selected=selected)
        )
        return _Bond(isolates, elements) if isolates or elements else None

    def _places_in(self, rule: Rule, direction: Direction, pod: Party, *, selected: bool) -> Iterator[Element]:
        """Yield what a rule must know of a Pod: that it is a peer, and what its named ports are."""
        labels = dict(pod.labels)
        if any(selector.matches(pod, labels, self._namespaces) for selector in rule.selectors):
            yield from pod.addresses
        if not rule.named:
            return
        for end in map(pod.at, pod.addresses):
            # The called Pod says what a name means: the selected one for ingress, the peer for egress.
            if selected if direction is Direction.INGRESS else rule.lets(end, self._namespaces):
                for protocol, name in rule.named:
                    number = pod.number(protocol, name)
                    if number is not None:
                        yield (end.address, protocol, number)

    def _rebind(self, policy: PolicyKey, pod: PodKey, bond: _Bond | None) -> None:
        bonds = self._of_pod.setdefault(pod, {})
        old = bonds.get(policy)
        if bond is not None:
            bonds[policy] = bond
            self._of_policy.setdefault(policy, {})[pod] = None
        elif old is not None:
            del bonds[policy]
            _remove(self._of_policy, policy, pod)
        if not bonds:
            del self._of_pod[pod]
        if old != bond:
            self._isolate(policy, pod, old.isolates if old else (), bond.isolates if bond else ())
            # Given before taken, so that what stays is not told.
            for rule, element in bond.elements if bond else ():
                self._count(rule, element, 1)
            for rule, element in old.elements if old else ():
                self._count(rule, element, -1)

    def _isolate(self, policy: PolicyKey, pod: PodKey, old: tuple[Direction, ...], new: tuple[Direction, ...]) -> None:
        if old == new:
            return
        lists = self._isolating.setdefault(pod, {direction: [] for direction in _BOTH})
        for direction in _BOTH:
            keys = lists[direction]
            if direction in new and direction not in old:
                insort(keys, policy)
            elif direction in old and direction not in new:
                del keys[bisect_left(keys, policy)]
        if not any(lists.values()):
            del self._isolating[pod]
        self._changes.pods[pod] = self.isolation(pod)

    def _count(self, rule: RuleKey, element: Element, step: int) -> None:
        counter = self._elements.setdefault(rule, Counter())
        self._before.setdefault((rule, element), counter[element] > 0)
        counter[element] += step
        if not counter[element]:
            del counter[element]
            if not counter:
                del self._elements[rule]

    # Being asked.

    def take(self) -> Changes:
        """Return what has changed since the last time."""
        changes, self._changes = self._changes, Changes()
        before, self._before = self._before, {}
        for (rule, element), there in before.items():
            now = element in self._elements.get(rule, ())
            if now != there:
                changes.elements[rule, element] = now
        return changes

    def isolation(self, pod: PodKey) -> Isolation | None:
        """Return what isolates a Pod; `None` where there is none of that name."""
        party = self._pods.get(pod)
        if party is None:
            return None
        lists = self._isolating.get(pod, {})
        ingress, egress = (tuple(lists.get(direction, ())) for direction in _BOTH)
        return Isolation(party.addresses, ingress, egress)

    def elements(self, rule: RuleKey) -> Iterable[Element]:
        """Return all peers' addresses of a rule, and what its named ports are."""
        return self._elements.get(rule, {})

    @property
    def policies(self) -> Mapping[PolicyKey, Policy]:
        return self._policies

    @property
    def pods(self) -> Mapping[PodKey, Party]:
        return self._pods

    @property
    def namespaces(self) -> Mapping[str, Mapping[str, str]]:
        return self._namespaces


def _places_of(pod: Party) -> Iterable[_Place]:
    """Return where a Pod is filed. Places of one, three and four parts cannot be taken for each other."""
    places: dict[_Place, None] = {(pod.namespace,): None, ("",): None}
    for key, value in pod.labels:
        places[pod.namespace, key, value] = places["", key, value] = None
    for protocol, name, _ in pod.ports:
        places["", "", protocol, name] = None
    return places


def _place_for(selector: Selector, namespace: str) -> _Place:
    for requirement in selector.requirements:
        value = selector.required_value(requirement.key)
        if value is not None:
            return (namespace, requirement.key, value)
    return (namespace,)


def _places_for(policy: Policy) -> Iterable[_Place]:
    """Return where a policy is filed, each place once."""
    places = {_place_for(policy.selector, policy.key[0]): None}
    for direction in _BOTH:
        for rule in policy.rules(direction) or ():
            for selector in rule.selectors:
                place = _place_for(selector.pods, "" if selector.namespaces is not None else selector.namespace)
                places[place] = None
            for protocol, name in rule.named:
                places["", "", protocol, name] = None
    return places


def _remove(table: dict[_Where, dict[PodKey, None]], place: _Where, key: PodKey) -> None:
    there = table[place]
    del there[key]
    if not there:
        del table[place]
