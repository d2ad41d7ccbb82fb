"""How many Pods of a kind are on each Node, kept up to date, so that no rule goes through all Pods for one.

Owns two tables by Node: the answers to questions that were asked before (`matching`), and how often each term is said
(`terms`). A question costs a walk over all Pods when it is first asked; after that each Pod that comes or goes costs
one look at each question that is remembered. What has not been asked for longest is forgotten.

`Trial` is the same for a snapshot in which one Node was changed on trial.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from podling.placement.nodes import NodeInfo
    from podling.placement.pods import PodInfo
    from podling.placement.terms import Query, Stance, Term

_REMEMBERED: Final = 128

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
        known = self._answers.get(query)
        if known is not None:
            self._answers.move_to_end(query)
            return known
        by_node = {name: count for name, node in self._nodes.items() if (count := _count(query, node))}
        self._answers[query] = by_node
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return by_node

    def terms(self, stance: Stance) -> Mapping[Term, Mapping[str, int]]:
        return self._terms.get(stance, {})


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
