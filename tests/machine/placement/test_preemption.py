"""Whom preemption chooses: where it helps, who goes, and which Node costs least."""

from __future__ import annotations

from typing import Any

import pytest
from placed import node_of

from podling.api.codec import from_tree
from podling.api.selectors import EVERYTHING, from_labels
from podling.api.types.core_v1 import Pod
from podling.placement.fitting import Chosen, Unschedulable, decide
from podling.placement.nodes import NodeInfo, Snapshot
from podling.placement.pods import PendingPod
from podling.placement.preemption import Budget, NoPreemption, preempt
from podling.placement.profile import DEFAULT


def pod(name: str, cpu: str, priority: int = 0, *, started: int = 0, app: str = "", **spec: Any) -> PendingPod:
    container = {"name": "c", "image": "web", "resources": {"requests": {"cpu": cpu}}}
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": name, "labels": {"app": app} if app else {}}
    status: dict[str, Any] = {"startTime": f"2023-11-14T22:13:{started:02}Z"} if started else {}
    if spec.pop("preempted", False):
        meta["deletionTimestamp"] = "2023-11-14T22:13:20Z"
        status["conditions"] = [{"type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler"}]
    tree = {"metadata": meta, "spec": {"containers": [container], "priority": priority, **spec}, "status": status}
    return PendingPod(from_tree(Pod, tree))


def chosen(one: PendingPod, *nodes: NodeInfo, nominated: str = "", budgets: tuple[Budget, ...] = ()) -> Any:
    snapshot = Snapshot(nodes)
    decision = decide(one, snapshot, DEFAULT)
    assert isinstance(decision, Unschedulable)
    found = preempt(one, snapshot, decision.diagnosis, DEFAULT, nominated=nominated, budgets=budgets)
    if isinstance(found, NoPreemption):
        return found.message
    return found.node, [victim.name for victim in found.victims]


URGENT = pod("urgent", "2", 100)


def test_only_as_many_go_as_must() -> None:
    """Of the lesser Pods the most important are brought back, and equals of the Pod are never touched."""
    node = node_of("n", pods=(pod("low", "1", 1), pod("lower", "1", 0), pod("peer", "1", 100), pod("mid", "1", 5)))
    assert chosen(URGENT, node) == ("n", ["low", "lower"])
    assert chosen(pod("urgent", "1", 100), node) == ("n", ["lower"])


def test_of_equals_who_has_run_longest_stays() -> None:
    """Among Pods of one priority the youngest goes first; one that has not started is the youngest."""
    node = node_of("n", pods=(pod("old", "2", started=1), pod("new", "1", started=9), pod("none", "1")))
    assert chosen(URGENT, node) == ("n", ["new", "none"])


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([pod("a", "4", 7)], [pod("b", "4", 3)], "other"),
        ([pod("a", "2", 5), pod("a2", "2", 5)], [pod("b", "2", 5), pod("b2", "2", 1)], "other"),
        ([pod("a", "2", 5), pod("a2", "2", 4)], [pod("b", "4", 5)], "other"),
        ([pod("a", "4", 5, started=3)], [pod("b", "4", 5, started=8)], "other"),
        ([pod("a", "4", 5, started=8)], [pod("b", "4", 5, started=3)], "one"),
        ([pod("a", "4", 5)], [pod("b", "4", 5)], "one"),
    ],
)
def test_the_cheapest_node_is_chosen(one: list[PendingPod], other: list[PendingPod], expected: str) -> None:
    """Least top priority, then sum, then number, then the latest start; of equals the first."""
    nodes = node_of("one", pods=tuple(one)), node_of("other", pods=tuple(other))
    assert chosen(pod("urgent", "4", 100), *nodes)[0] == expected


def test_budgets_are_broken_last() -> None:
    """A Node whose victims no budget wants to keep is preferred, and on one Node the unprotected go first."""
    budget = Budget("default", from_labels({"app": "db"}), 0, {})
    nodes = [node_of("a", pods=(pod("db", "4", 0, app="db"),)), node_of("b", pods=(pod("web", "4", 50),))]
    assert chosen(URGENT, *nodes) == ("a", ["db"])
    assert chosen(URGENT, *nodes, budgets=(budget,)) == ("b", ["web"])
    both = node_of("n", pods=(pod("db", "2", 0, app="db"), pod("web", "2", 50)))
    assert chosen(URGENT, both, budgets=(budget,)) == ("n", ["web"])
    assert chosen(URGENT, both, budgets=(Budget("default", EVERYTHING, 0, {}),)) == ("n", ["db"])
    assert chosen(URGENT, both, budgets=(Budget("default", from_labels({"app": "db"}), 1, {}),)) == ("n", ["db"])


def test_no_budget_stops_it() -> None:
    """Where only protected Pods could make room, they go."""
    budget = Budget("default", from_labels({"app": "db"}), 0, {})
    assert chosen(URGENT, node_of("n", pods=(pod("db", "4", app="db"),)), budgets=(budget,)) == ("n", ["db"])


def test_no_second_round_while_victims_leave() -> None:
    """As long as those who made room on the promised Node are leaving it, nobody else has to."""
    leaving, other = pod("leaving", "2", preempted=True), pod("other", "2")
    assert chosen(URGENT, node_of("n", pods=(leaving, other)), nominated="n") == (
        "not eligible due to a terminating pod on the nominated node."
    )
    assert chosen(URGENT, node_of("n", pods=(pod("x", "2"), other)), nominated="n") == ("n", ["other"])
    gone = node_of("n", pods=(leaving,), unschedulable=True)
    assert chosen(URGENT, gone, node_of("m", pods=(pod("y", "4"),)), nominated="n") == ("m", ["y"])


def test_affinity_to_a_victim_is_no_help() -> None:
    """A Pod that needs a lesser Pod's company gains nothing by its going, and says so."""
    near = {"labelSelector": {"matchLabels": {"app": "db"}}, "topologyKey": "zone"}
    needs = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
    node = node_of("n", labels={"zone": "1"}, pods=(pod("db", "4", app="db"),))
    assert chosen(pod("urgent", "2", 100, affinity=needs), node) == (
        "0/1 nodes are available: 1 node(s) didn't match pod affinity rules."
    )
    apart = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [near]}}
    small = node_of("n", labels={"zone": "1"}, pods=(pod("db", "1", app="db"),))
    assert chosen(pod("urgent", "2", 100, affinity=apart), small) == ("n", ["db"])


def test_room_that_is_being_made_is_kept() -> None:
    """A promised Node counts its coming Pod in for all of no higher priority, and is taken first by that Pod."""
    node = node_of("n")
    promised = Snapshot([node], nominated={"n": {"urgent": URGENT}})
    assert isinstance(decide(pod("small", "3"), promised, DEFAULT), Unschedulable)
    assert isinstance(decide(pod("greater", "3", 200), promised, DEFAULT), Chosen)
    two = Snapshot([node_of("m"), node], nominated={"n": {"urgent": URGENT}})
    taken = decide(URGENT, two, DEFAULT, nominated="n")
    assert isinstance(taken, Chosen) and taken.best == ("n",)
