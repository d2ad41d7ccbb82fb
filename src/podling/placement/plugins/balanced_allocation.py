"""NodeResourcesBalancedAllocation: prefers Nodes whose use of CPU and memory the Pod brings closer together.

Upstream's newest form: half of the scale is for the change that the Pod makes, so that a Node is not preferred for a
balance that the Pod would spoil. Pods that ask for nothing have no say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.plugin import MAX_SCORE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod

_HALF = MAX_SCORE // 2


class BalancedAllocation:
    name = "NodeResourcesBalancedAllocation"

    def score(self, pod: PendingPod, snapshot: Snapshot, nodes: Sequence[NodeInfo]) -> list[int] | None:
        del snapshot
        milli_cpu, memory = pod.requests.milli_cpu, pod.requests.memory
        if not milli_cpu and not memory:
            return None
        scores = []
        for node in nodes:
            cpus, bytes_ = node.allocatable.milli_cpu, node.allocatable.memory
            if not cpus or not bytes_:
                scores.append(_HALF + _HALF // 2)  # one resource alone is always in balance
                continue
            with_pod = _balance((node.milli_cpu + milli_cpu) / cpus, (node.memory + memory) / bytes_)
            without = _balance(node.milli_cpu / cpus, node.memory / bytes_)
            scores.append(_HALF + (_HALF + with_pod - without) // 2)
        return scores


def _balance(cpu: float, memory: float) -> int:
    cpu = min(cpu, 1.0)
    memory = min(memory, 1.0)
    return int((1.0 - abs((cpu - memory) / 2)) * MAX_SCORE)
