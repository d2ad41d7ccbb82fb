"""NodeResourcesFit: what Pods ask for fits into what the Node gives; scores by LeastAllocated.

The order of reasons is upstream's: Pods, CPU, memory, ephemeral storage, then the rest by name. A request larger than
the whole Node cannot be helped by taking other Pods away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.amounts import Amounts, amounts
from podling.placement.changes import AssignedPodRemoved, AssignedPodShrunk, Change, NodeAdded, NodeUpdated
from podling.placement.plugin import MAX_SCORE, Prepared, Refusal

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

_TOO_MANY = Refusal(("Too many pods",), resolvable=True)


class NodeResourcesFit:
    name = "NodeResourcesFit"
    awaits: tuple[type[Change], ...] = (NodeAdded, NodeUpdated, AssignedPodRemoved, AssignedPodShrunk)

    def prepare(self, pod: PendingPod, snapshot: Snapshot) -> Prepared:
        del snapshot
        asked = pod.requests
        if asked.nothing:
            return _ONLY_COUNT
        milli_cpu, memory, storage = asked.milli_cpu, asked.memory, asked.ephemeral_storage
        scalars = asked.scalars

        def check(node: NodeInfo) -> Refusal | None:
            given = node.allocatable
            if (
                len(node.pods) < given.pods
                and milli_cpu <= given.milli_cpu - node.milli_cpu
                and memory <= given.memory - node.memory
                and storage <= given.ephemeral_storage - node.ephemeral_storage
                and not scalars
            ):
                return None
            missing = insufficient(asked, node)
            return _refusal(missing) if missing else None

        return Prepared(check)

    def helped_by(self, pod: PendingPod, change: Change) -> bool:
        match change:
            case AssignedPodRemoved():
                return True  # it always gives back its place among the Node's Pods
            case AssignedPodShrunk(old, new):
                return _shrinks(pod.requests, old.requests, new.requests)
            case NodeAdded(node):
                return _could_hold(pod.requests, amounts(node.status.allocatable))
            case NodeUpdated(old, new):
                before, after = amounts(old.status.allocatable), amounts(new.status.allocatable)
                return _grows(pod.requests, before, after) and _could_hold(pod.requests, after)
        return False

    def score(self, pod: PendingPod, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> list[int] | None:
        """LeastAllocated: the mean, over CPU and memory, of the share that stays free."""
        del snapshot
        milli_cpu, memory = pod.milli_cpu, pod.memory
        scores = []
        for node in nodes:
            given = node.allocatable
            total = count = 0
            if given.milli_cpu:
                count = 1
                free = given.milli_cpu - node.weighed_milli_cpu - milli_cpu
                if free > 0:
                    total = free * MAX_SCORE // given.milli_cpu
            if given.memory:
                count += 1
                free = given.memory - node.weighed_memory - memory
                if free > 0:
                    total += free * MAX_SCORE // given.memory
            scores.append(total // count if count else 0)
        return scores


def _count_only(node: NodeInfo) -> Refusal | None:
    return None if len(node.pods) < node.allocatable.pods else _TOO_MANY


_ONLY_COUNT = Prepared(_count_only)


def insufficient(asked: Amounts, node: NodeInfo) -> list[tuple[str, int, int, int]]:
    """Return what is missing: name, asked for, in use, given; the kubelet's admission words its own message from it.

    An overcommitted resource refuses only those who ask for it.
    """
    given = node.allocatable
    missing: list[tuple[str, int, int, int]] = []
    if len(node.pods) + 1 > given.pods:
        missing.append(("pods", 1, len(node.pods), given.pods))
    rows = [
        ("cpu", asked.milli_cpu, node.milli_cpu, given.milli_cpu),
        ("memory", asked.memory, node.memory, given.memory),
        ("ephemeral-storage", asked.ephemeral_storage, node.ephemeral_storage, given.ephemeral_storage),
        *((name, n, node.scalars.get(name, 0), given.scalars.get(name, 0)) for name, n in asked.scalars.items()),
    ]
    missing.extend(row for row in rows if row[1] > 0 and row[1] > row[3] - row[2])
    return missing


def _refusal(missing: list[tuple[str, int, int, int]]) -> Refusal:
    return Refusal(
        tuple("Too many pods" if name == "pods" else f"Insufficient {name}" for name, *_ in missing),
        resolvable=all(name == "pods" or wanted <= given for name, wanted, _, given in missing),
    )


def _pairs(asked: Amounts, *others: Amounts) -> list[tuple[int, ...]]:
    rows = [
        (asked.milli_cpu, *(o.milli_cpu for o in others)),
        (asked.memory, *(o.memory for o in others)),
        (asked.ephemeral_storage, *(o.ephemeral_storage for o in others)),
    ]
    rows += [(n, *(o.scalars.get(name, 0) for o in others)) for name, n in asked.scalars.items()]
    return [row for row in rows if row[0] > 0]


def _shrinks(asked: Amounts, old: Amounts, new: Amounts) -> bool:
    return any(after < before for _, before, after in _pairs(asked, old, new))


def _could_hold(asked: Amounts, given: Amounts) -> bool:
    return given.pods > 0 and all(wanted <= whole for wanted, whole in _pairs(asked, given))


def _grows(asked: Amounts, before: Amounts, after: Amounts) -> bool:
    return after.pods > before.pods or any(b < a for _, b, a in _pairs(asked, before, after))
