"""What Pods say of other Pods: affinity and anti-affinity terms, and questions about Pods in general.

Owns `Term`, one term of one Pod in a form that is equal for all Pods that say the same, so that terms are counted and
not listed; and `Query`, a question that Pods answer by yes or no. Both are values and hash; `counts` counts by them.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

from podling.api.selectors import DOUBLE_EQUALS, EQUALS, Selector, from_label_selector

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.types.core_v1 import Affinity, PodAffinityTerm
    from podling.placement.pods import PodInfo


_EXACT: Final = frozenset((EQUALS, DOUBLE_EQUALS))


class Stance(Enum):
    """How a Pod stands to those that its term selects."""

    NEEDS = auto()
    AVOIDS = auto()
    PREFERS = auto()
    """By weight; less than nothing is a wish to be apart."""


class Term(NamedTuple):
    """One affinity term."""

    stance: Stance
    selector: Selector
    namespaces: tuple[str, ...]
    namespace_selector: Selector | None
    topology_key: str
    weight: int = 1

    def matches(self, pod: PodInfo, namespaces: Mapping[str, Mapping[str, str]]) -> bool:
        """Whether a Pod is one of those the term speaks of; `namespaces` are the labels of each."""
        if pod.namespace not in self.namespaces and (
            self.namespace_selector is None or not self.namespace_selector.matches(namespaces.get(pod.namespace, {}))
        ):
            return False
        return self.selector.matches(pod.labels)

    def may_match(self, pod: PodInfo) -> bool:
        """The same where the labels of namespaces are not known: a namespace selector then selects all."""
        return (self.namespace_selector is not None or pod.namespace in self.namespaces) and self.selector.matches(
            pod.labels
        )

    def scope(self, namespaces: Mapping[str, Mapping[str, str]]) -> tuple[str, ...] | None:
        """Return the namespaces spoken of, sorted; `None` is all."""
        if self.namespace_selector is None:
            return self.namespaces
        if self.namespace_selector.empty:
            return None
        selected = {name for name, labels in namespaces.items() if self.namespace_selector.matches(labels)}
        return tuple(sorted(selected.union(self.namespaces)))


class Query(NamedTuple):
    """Pods of some namespaces (`None` is all) that match; several parts must all hold."""

    parts: tuple[tuple[tuple[str, ...] | None, Selector], ...]
    is_living: bool = False
    """Leaves out Pods that terminate."""

    def matches(self, pod: PodInfo) -> bool:
        if self.is_living and pod.deleting:
            return False
        return all(
            (namespaces is None or pod.namespace in namespaces) and selector.matches(pod.labels)
            for namespaces, selector in self.parts
        )

    @property
    def pairs(self) -> tuple[tuple[str, str], ...]:
        """The labels that every Pod has of whom the answer is yes."""
        return tuple(
            (it.key, it.values[0])
            for _, selector in self.parts
            for it in selector.requirements
            if it.operator in _EXACT
        )


def query_of(terms: Sequence[Term], namespaces: Mapping[str, Mapping[str, str]]) -> Query:
    """Return the question whether a Pod is one that all of `terms` speak of."""
    return Query(tuple((term.scope(namespaces), term.selector) for term in terms))


def terms_of(affinity: Affinity | None, namespace: str) -> tuple[Term, ...]:
    """Return all that a Pod of `namespace` says of other Pods."""
    if affinity is None:
        return ()
    terms: list[Term] = []
    near, apart = affinity.pod_affinity, affinity.pod_anti_affinity
    if near is not None:
        required = near.required_during_scheduling_ignored_during_execution
        terms += [_term(Stance.NEEDS, term, namespace) for term in required]
        for preferred in near.preferred_during_scheduling_ignored_during_execution:
            terms.append(_term(Stance.PREFERS, preferred.pod_affinity_term, namespace, preferred.weight))
    if apart is not None:
        required = apart.required_during_scheduling_ignored_during_execution
        terms += [_term(Stance.AVOIDS, term, namespace) for term in required]
        for preferred in apart.preferred_during_scheduling_ignored_during_execution:
            terms.append(_term(Stance.PREFERS, preferred.pod_affinity_term, namespace, -preferred.weight))
    return tuple(terms)


def _term(stance: Stance, term: PodAffinityTerm, namespace: str, weight: int = 1) -> Term:
    own = not term.namespaces and term.namespace_selector is None
    return Term(
        stance,
        from_label_selector(term.label_selector),
        (namespace,) if own else tuple(sorted(term.namespaces)),
        from_label_selector(term.namespace_selector) if term.namespace_selector is not None else None,
        term.topology_key,
        weight,
    )
