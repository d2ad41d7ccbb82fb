from __future__ import annotations

from placed import node_of, pod_of

from podling.placement.fitting import Chosen, Unschedulable, decide
from podling.placement.nodes import NodeInfo, Snapshot
from podling.placement.pods import PendingPod
from podling.placement.preemption import NoPreemption, preempt
from podling.placement.profile import DEFAULT


def _message(pod: PendingPod, *nodes: NodeInfo) -> str:
    snapshot = Snapshot(nodes)
    decision = decide(pod, snapshot, DEFAULT)
    assert isinstance(decision, Unschedulable)
    found = preempt(pod, snapshot, decision.diagnosis, DEFAULT) if nodes else None
    return decision.diagnosis.message(f"preemption: {found.message}" if isinstance(found, NoPreemption) else "")


def test_the_emptiest_node_wins_and_ties_are_told() -> None:
    """The best Nodes are named together, so that chance may choose among them."""
    busy = node_of("busy", pods=(pod_of("x", requests={"cpu": "2"}),))
    decision = decide(pod_of(), Snapshot([node_of("a"), busy, node_of("b")]), DEFAULT)
    assert isinstance(decision, Chosen)
    assert (decision.best, decision.feasible) == (("a", "b"), 3)


def test_message_counts_reasons_as_upstream() -> None:
    """Reasons are counted and sorted as text, with preemption's outlook behind them."""
    taint = [{"key": "k", "value": "v", "effect": "NoSchedule"}]
    nodes = [node_of("a", taints=taint), node_of("b", taints=taint), node_of("c", given={"cpu": "1"})]
    assert _message(pod_of(requests={"cpu": "3"}), *nodes) == (
        "0/3 nodes are available: 1 Insufficient cpu, 2 node(s) had untolerated taint(s). "
        "preemption: 0/3 nodes are available: 3 Preemption is not helpful for scheduling."
    )


def test_message_without_victims() -> None:
    """Where more room could help but nobody is of lower priority, the message says so."""
    full = node_of("a", pods=(pod_of("x", requests={"cpu": "4"}),))
    assert _message(pod_of(requests={"cpu": "1"}), full, node_of("b", unschedulable=True)) == (
        "0/2 nodes are available: 1 Insufficient cpu, 1 node(s) were unschedulable. preemption: 0/2 nodes are available: "
        "1 No preemption victims found for incoming pod, 1 Preemption is not helpful for scheduling."
    )


def test_message_where_victims_would_not_suffice() -> None:
    """Taking lesser Pods away is tried, and what would still be missing is named."""
    mixed = node_of(pods=(pod_of("x", requests={"cpu": "1"}), pod_of("y", requests={"cpu": "3"}, priority=10)))
    assert _message(pod_of(requests={"cpu": "2"}, priority=10), mixed).endswith(
        "preemption: 0/1 nodes are available: 1 Insufficient cpu."
    )
    assert _message(pod_of(requests={"cpu": "1"}, priority=10), mixed) == "0/1 nodes are available: 1 Insufficient cpu."
    never = pod_of(requests={"cpu": "1"}, priority=10, preemptionPolicy="Never")
    assert _message(never, mixed).endswith("preemption: not eligible due to preemptionPolicy=Never.")


def test_message_without_nodes() -> None:
    """No Nodes at all is its own sentence."""
    assert _message(pod_of()) == "no nodes available to schedule pods"


def test_message_of_named_nodes() -> None:
    """A Pod that names its Node by field leaves the others unasked, and says which rule left them out."""
    fields = [{"key": "metadata.name", "operator": "In", "values": ["a"]}]
    terms = {"nodeSelectorTerms": [{"matchFields": fields}]}
    pod = pod_of(affinity={"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}})
    message = _message(pod, node_of("a", unschedulable=True), node_of("b"))
    assert message.startswith(
        "0/2 nodes are available: 1 node(s) didn't satisfy plugin(s) [NodeAffinity], 1 node(s) were unschedulable. "
    )


def test_large_clusters_are_sampled_in_turn() -> None:
    """Of 1,000 Nodes 420 feasible ones suffice, and the next Pod begins where this one stopped."""
    snapshot = Snapshot([node_of(f"n{i}") for i in range(1000)])
    decision = decide(pod_of(), snapshot, DEFAULT, start=900)
    assert isinstance(decision, Chosen)
    assert (decision.evaluated, decision.feasible, decision.next_start) == (420, 420, 320)


def test_refusing_plugins_are_told() -> None:
    """The diagnosis names the rules that refused, so that the queue knows what to wait for."""
    nodes = [node_of("a", unschedulable=True), node_of("b", given={"cpu": "1"})]
    decision = decide(pod_of(requests={"cpu": "2"}), Snapshot(nodes), DEFAULT)
    assert isinstance(decision, Unschedulable)
    assert decision.diagnosis.plugins == ("NodeUnschedulable", "NodeResourcesFit")
