from __future__ import annotations

from typing import Any

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Node, Pod
from podling.placement.changes import AssignedPodRemoved, NodeAdded, NodeUpdated
from podling.placement.pods import PendingPod
from podling.placement.profile import DEFAULT
from podling.scheduler.queue import QueuedPod, SchedulingQueue, Where


def _pod(name: str, priority: int = 0, **spec: Any) -> PendingPod:
    asked = {"requests": {"cpu": "1"}}
    spec = {"containers": [{"name": "c", "resources": asked}], "priority": priority} | spec
    return PendingPod(from_tree(Pod, {"metadata": {"name": name, "uid": name}, "spec": spec}))


def _node(cpu: str = "4", **spec: Any) -> Node:
    given = {"cpu": cpu, "pods": "10"}
    return from_tree(Node, {"metadata": {"name": "n"}, "spec": spec, "status": {"allocatable": given}})


def _queue() -> SchedulingQueue:
    return SchedulingQueue(DEFAULT.filters)


def _pop(queue: SchedulingQueue, now: float) -> QueuedPod:
    queued = queue.pop(now)
    assert queued is not None
    return queued


def test_order_is_priority_then_age() -> None:
    """The most important Pod is next, and of equals the one that has waited longest."""
    queue = _queue()
    for at, (name, priority) in enumerate([("old", 0), ("young", 0), ("vip", 5)]):
        queue.set(_pod(name, priority), float(at))
    assert [_pop(queue, 9.0).pod.name for _ in range(3)] == ["vip", "old", "young"]
    assert queue.pop(9.0) is None


def test_refused_pod_waits_for_a_change_that_its_refuser_awaits() -> None:
    """Only a change that may help the rule that refused brings a Pod forth, and its pause is kept while others are active."""
    queue = _queue()
    queue.set(_pod("a"), 0.0)
    queued = _pop(queue, 0.0)
    queue.refused(queued, ("NodeResourcesFit",), 0.0)
    queue.changed(NodeUpdated(_node(unschedulable=True), _node()), 0.1)
    queue.changed(NodeAdded(_node(cpu="500m")), 0.1)
    assert queue.where("a") is Where.UNSCHEDULABLE
    queue.changed(AssignedPodRemoved(_pod("gone")), 0.1)
    assert queue.where("a") is Where.BACKOFF
    assert queue.next_deadline() == 1.0
    queue.set(_pod("b"), 0.2)
    assert _pop(queue, 0.2).pod.name == "b"
    assert _pop(queue, 0.2).pod.name == "a"  # nothing else is active: no need to wait


def test_pauses_double_up_to_ten_seconds() -> None:
    """A failed attempt is tried again after 1, 2, 4, 8, 10 and again 10 seconds, never sooner."""
    queue = _queue()
    queue.set(_pod("a"), 0.0)
    now, pauses = 0.0, []
    for _ in range(6):
        queue.failed(_pop(queue, now), now)
        assert queue.pop(now + 0.9) is None
        deadline = queue.next_deadline()
        assert deadline is not None
        pauses.append(deadline - now)
        now = deadline
    assert pauses == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


def test_unschedulable_for_five_minutes_is_tried_again() -> None:
    """A Pod that no change has helped is looked at again after five minutes, whatever was missed."""
    queue = _queue()
    queue.set(_pod("a"), 0.0)
    queue.refused(_pop(queue, 0.0), ("NodeAffinity",), 0.0)
    assert queue.next_deadline() == 300.0
    assert queue.pop(299.0) is None
    assert _pop(queue, 300.0).pod.name == "a"


def test_without_nodes_any_node_helps() -> None:
    """A Pod refused because there were no Nodes at all waits for one, whatever it is."""
    queue = _queue()
    queue.set(_pod("a"), 0.0)
    queue.refused(_pop(queue, 0.0), (), 0.0)
    queue.changed(AssignedPodRemoved(_pod("gone")), 0.0)
    assert queue.pop(0.0) is None
    queue.changed(NodeAdded(_node()), 5.0)
    assert _pop(queue, 5.0).pod.name == "a"


def test_changed_pod_is_tried_again_and_its_status_is_no_change() -> None:
    """What a Pod asks for is reason to try again; what is said about it is not."""
    queue = _queue()
    queue.set(_pod("a"), 0.0)
    queue.refused(_pop(queue, 0.0), ("TaintToleration",), 0.0)
    queue.set(_pod("a"), 5.0)
    assert queue.pop(5.0) is None
    queue.set(_pod("a", tolerations=[{"operator": "Exists"}]), 5.0)
    assert _pop(queue, 5.0).pod.pod.spec.tolerations


def test_gates_hold_a_pod() -> None:
    """A Pod with scheduling gates is not tried until the last one is gone."""
    queue = _queue()
    queue.set(_pod("a", schedulingGates=[{"name": "g"}]), 0.0)
    assert queue.pop(1.0) is None
    assert queue.next_deadline() is None
    queue.set(_pod("a"), 2.0)
    assert _pop(queue, 2.0).pod.name == "a"


def test_removed_pod_stays_removed() -> None:
    """A Pod that went while it was in flight or waiting does not come back."""
    queue = _queue()
    queue.set(_pod("a"), 0.0)
    queued = _pop(queue, 0.0)
    queue.remove("a")
    queue.failed(queued, 0.0)
    queue.refused(queued, ("NodeName",), 0.0)
    assert queue.pop(100.0) is None
    assert queue.next_deadline() is None
    assert len(queue) == 0
