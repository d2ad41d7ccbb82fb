"""What could be gained by taking Pods of lower priority away: for now, only whether and why not.

Owns the second half of upstream's failure sentence. It tries, Node by Node on a copy, whether the Pod would fit if all
Pods of lower priority were gone. Choosing and deleting victims is not done yet; where it
would help, nothing is claimed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.placement.diagnosis import tally
from podling.placement.fitting import refusal

if TYPE_CHECKING:
    from podling.placement.diagnosis import Diagnosis
    from podling.placement.nodes import NodeInfo, Snapshot
    from podling.placement.pods import PendingPod
    from podling.placement.profile import Profile

_NO_USE = ("Preemption is not helpful for scheduling",)
_NO_VICTIMS = ("No preemption victims found for incoming pod",)


def outlook(pod: PendingPod, snapshot: Snapshot, diagnosis: Diagnosis, profile: Profile) -> str:
    """Return `preemption: …` as upstream words it; nothing where preemption would make room, or there are no Nodes."""
    if not diagnosis.nodes:
        return ""
    if pod.pod.spec.preemption_policy == "Never":
        return "preemption: not eligible due to preemptionPolicy=Never."
    reasons: list[tuple[str, ...]] = []
    for node in snapshot.nodes:
        refused = diagnosis.refusal(node.name)
        if refused is None or not refused.resolvable:
            reasons.append(_NO_USE)
            continue
        of_node = _without_lesser(pod, node, snapshot, profile)
        if of_node is None:
            return ""
        reasons.append(of_node)
    return f"preemption: {tally(diagnosis.nodes, reasons)}"


def _without_lesser(pod: PendingPod, node: NodeInfo, snapshot: Snapshot, profile: Profile) -> tuple[str, ...] | None:
    if not any(priority < pod.priority for priority in node.priorities):
        return _NO_VICTIMS
    lesser = [other.uid for other in node.pods.values() if other.priority < pod.priority]
    emptied = node.copy()
    for uid in lesser:
        emptied.remove(uid)
    refused = refusal(pod, emptied, snapshot.with_node(emptied), profile)
    return refused.reasons if refused is not None else None
