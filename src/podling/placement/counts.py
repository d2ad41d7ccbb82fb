"""How many Pods of a kind are on each Node, kept up to date, so that no rule goes through all Pods for one.

Owns two tables by Node: the answers to questions that were asked before (`matching`), and how often each term is said
(`terms`). A question costs a walk over all Pods when it is first asked, unless it names a label that no Pod has; after
that each Pod that comes or goes costs one look at each remembered question that names a label of its own, or none. What
has not been asked for longest is forgotten.

`Trial` is the same for a snapshot in which one Node was changed on trial.
"""

from __future__ import annotations

from collections import OrderedDict
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.placement.nodes import NodeInfo
    from podling.placement.pods import PodInfo
    from podling.placement.terms import Query, Stance, Term

_REMEMBERED: Final = 128
"""Of the questions that name no label: each Pod is held against all of them."""
_REMEMBERED_OF_LABELS: Final = 4096

Pair = tuple[str, str]

ByNode = dict[str, int]


class Counts(Protocol):
    """Numbers of Pods by Node; Nodes without any are left out."""

    def matching(self, query: Query) -> Mapping[str, int]:
        """Return how many Pods of each Node answer `query` by yes."""
        ...

    def terms(self, stance: Stance) -> Mapping[Term, Mapping[str, int]]:
        """Return how many Pods of each Node say each term."""
        ...


class PodCounts:
    """The counts of Nodes that report each Pod that comes and goes to `changed`."""

    def __init__(self, nodes: Mapping[str, NodeInfo]) -> None:
        self._nodes = nodes
        self._answers: OrderedDict[Query, ByNode] = OrderedDict()
        """Of questions that name no label."""
        self._answers_of_labels: OrderedDict[Query, ByNode] = OrderedDict()
        self._naming: dict[Pair, dict[Query, ByNode]] = {}
        """The same answers by one of the labels that the question names."""
        self._having: dict[Pair, int] = {}
        """How many Pods have each label."""
        self._terms: dict[Stance, dict[Term, ByNode]] = {}

    @classmethod
    def of(cls, nodes: Iterable[NodeInfo]) -> PodCounts:
        """Count Nodes that report to nobody, as they are now."""
        counts = cls({node.name: node for node in nodes})
        for name, node in counts._nodes.items():
            for pod in node.pods.values():
                counts.changed(name, pod, 1)
        return counts

    def changed(self, node: str, pod: PodInfo, sign: int) -> None:
        """Take in that a Pod came to a Node (1) or left it (-1)."""
        for query, by_node in self._answers.items():
            if query.matches(pod):
                _add(by_node, node, sign)
        for pair in pod.labels.items():
            count = self._having.get(pair, 0) + sign
            if count:
                self._having[pair] = count
            else:
                self._having.pop(pair, None)
            for query, by_node in self._naming.get(pair, _NOTHING).items():
                if query.matches(pod):
                    _add(by_node, node, sign)
        for term in pod.terms:
            said = self._terms.setdefault(term.stance, {})
            by_node = said.setdefault(term, {})
            _add(by_node, node, sign)
            if not by_node:
                del said[term]

    def forget(self, node: NodeInfo) -> None:
        """Take in that a Node is gone with all its Pods."""
        for pod in node.pods.values():
            self.changed(node.name, pod, -1)

    def matching(self, query: Query) -> Mapping[str, int]:
        pairs = query.pairs
        answers = self._answers_of_labels if pairs else self._answers
        known = answers.get(query)
        if known is not None:
            answers.move_to_end(query)
            return known
        answers[query] = by_node = self._counted(query, pairs)
        if pairs:
            self._naming.setdefault(pairs[0], {})[query] = by_node
        if len(answers) > (_REMEMBERED_OF_LABELS if pairs else _REMEMBERED):
            self._forget_answer(*answers.popitem(last=False))
        return by_node

    def _counted(self, query: Query, pairs: tuple[Pair, ...]) -> ByNode:
        if any(pair not in self._having for pair in pairs):
            return {}
        return {name: count for name, node in self._nodes.items() if (count := _count(query, node))}

    def _forget_answer(self, query: Query, _: ByNode) -> None:
        for pair in query.pairs[:1]:
            naming = self._naming[pair]
            del naming[query]
            if not naming:
                del self._naming[pair]

    def terms(self, stance: Stance) -> Mapping[Term, Mapping[str, int]]:
        return self._terms.get(stance, {})


_NOTHING: Final[Mapping[Query, ByNode]] = MappingProxyType({})


class Trial:
    """The counts of a snapshot in which `before` was replaced by `after`."""

    def __init__(self, inner: Counts, before: NodeInfo, after: NodeInfo) -> None:
        self._inner = inner
        self._before = before
        self._after = after

    def matching(self, query: Query) -> Mapping[str, int]:
        by_node = dict(self._inner.matching(query))
        for pod, sign in self._changes():
            if query.matches(pod):
                _add(by_node, self._after.name, sign)
        return by_node

    def terms(self, stance: Stance) -> Mapping[Term, Mapping[str, int]]:
        said = dict(self._inner.terms(stance))
        for pod, sign in self._changes():
            for term in pod.terms:
                if term.stance is stance:
                    said[term] = by_node = dict(said.get(term, {}))
                    _add(by_node, self._after.name, sign)
        return said

    def _changes(self) -> Iterable[tuple[PodInfo, int]]:
        before, after = self._before.pods, self._after.pods
        yield from ((pod, -1) for uid, pod in before.items() if uid not in after)
        yield from ((pod, 1) for uid, pod in after.items() if uid not in before)


def _count(query: Query, node: NodeInfo) -> int:
    return sum(query.matches(pod) for pod in node.pods.values())


def _add(by_node: ByNode, node: str, sign: int) -> None:
    count = by_node.get(node, 0) + sign
    if count:
        by_node[node] = count
    else:
        by_node.pop(node, None)
