"""The pure rules of lost nodes: who is heard of, which taints follow, how fast, and who has to go."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Node, Pod, Taint, Toleration
from podling.controllers.node_health import Health, observe, silenced
from podling.controllers.node_taints import wanted
from podling.controllers.node_zones import Disruption, Zones
from podling.controllers.pod_garbage_collector import surplus
from podling.controllers.settings import Settings
from podling.controllers.taint_eviction import tolerated_for

NOW = "2026-11-23T12:00:00Z"


def node(ready: str | None = "True", *, zone: str = "", heartbeat: str = NOW, name: str = "n", **spec: Any) -> Node:
    conditions = [{"type": "Ready", "status": ready, "lastHeartbeatTime": heartbeat}] if ready else []
    conditions += spec.pop("conditions", [])
    labels = {"topology.kubernetes.io/zone": zone} if zone else {}
    meta = {"name": name, "labels": labels, "creationTimestamp": NOW}
    return from_tree(Node, {"metadata": meta, "spec": spec, "status": {"conditions": conditions}})


def test_a_sign_of_life_counts_from_when_it_is_seen() -> None:
    """A new heartbeat or a later renewal is heard now, whatever the node's clock says; all else is silence."""
    first = observe(None, node(), "2020-01-01T00:00:00.000000Z", 100.0, 5.0)
    assert first.heard == 100.0
    assert observe(first, node(), "2020-01-01T00:00:00.000000Z", 120.0, 25.0).heard == 100.0
    assert observe(first, node(), "2020-01-01T00:00:01.000000Z", 120.0, 25.0).heard == 120.0
    assert observe(first, node(), "2019-01-01T00:00:00.000000Z", 120.0, 25.0).heard == 100.0
    assert observe(first, node(), None, 120.0, 25.0).heard == 100.0
    assert observe(first, node(heartbeat="2020-01-01T00:00:00Z"), None, 120.0, 25.0).heard == 120.0
    assert observe(first, node("False"), None, 120.0, 25.0).heard == 100.0


def test_a_node_without_a_status_has_the_startup_grace_from_its_creation() -> None:
    """Sixty seconds from its creation, not from when it is first seen."""
    fresh = observe(None, node(None), None, 100.0, 12.0)
    assert fresh.lost_at(Settings()) == 100 - 12 + 60
    assert Health(100.0, True, None, None).lost_at(Settings(node_monitor_grace_period=7)) == 107
    assert {c["type"]: c["reason"] for c in silenced(node(None), NOW)}["Ready"] == "NodeStatusNeverUpdated"


def test_taints_follow_conditions_and_leave_the_rest() -> None:
    """Each condition has its taint; taints of others, and those that stay, keep their place and time."""
    pressed = node("False", conditions=[{"type": "MemoryPressure", "status": "True"}], unschedulable=True)
    made = wanted(pressed, ("node.kubernetes.io/not-ready",), NOW)
    assert made is not None
    assert [(t.key.removeprefix("node.kubernetes.io/"), t.effect) for t in made] == [
        ("not-ready", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("not-ready", "NoExecute"),
    ]
    mine = {"key": "mine", "effect": "NoExecute"}
    lost = {"key": "node.kubernetes.io/unreachable", "effect": "NoSchedule", "timeAdded": "2026-01-01T00:00:00Z"}
    held = node("Unknown", taints=[mine, lost])
    assert wanted(held, (), NOW) is None
    back = wanted(node("True", taints=[mine, lost]), (), NOW)
    assert back is not None and [t.key for t in back] == ["mine"]


@pytest.mark.parametrize(
    ("ready", "lost", "state", "rate"),
    [
        (10, 0, Disruption.NORMAL, 10),
        (1, 2, Disruption.NORMAL, 10),
        (2, 3, Disruption.PARTIAL, None),
        (3, 3, Disruption.NORMAL, 10),
        (23, 30, Disruption.PARTIAL, 100),
    ],
)
def test_zones_slow_down_when_much_is_lost(ready: int, lost: int, state: Disruption, rate: float | None) -> None:
    """One node in ten seconds; in a large zone with 55 % lost one in a hundred, in a small one none."""
    zones = Zones(Settings())
    for number in range(ready + lost):
        zones.set(node(name=f"n{number}"), number < ready)
    assert zones.disruption("") is state
    zones.tainted(node(), 1000.0)
    assert zones.wait(node(), 1000.0) == rate


def test_a_whole_zone_is_driven_out_but_not_the_whole_cluster() -> None:
    """A zone that is lost altogether goes at the usual pace while another stands; if none does, nobody goes."""
    zones = Zones(Settings())
    zones.set(node(name="a", zone="1"), False)
    zones.set(node(name="b", zone="2"), True)
    assert zones.wait(node(zone="1"), 0.0) == 0.0
    zones.set(node(name="b", zone="2"), False)
    assert zones.all_lost
    assert zones.wait(node(zone="1"), 0.0) is None
    zones.remove("a")
    zones.remove("b")
    assert not zones.all_lost


def _toleration(seconds: int | None, **more: str) -> Toleration:
    return from_tree(Toleration, {"operator": "Exists", "tolerationSeconds": seconds} | more)


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        ([], 0),
        ([_toleration(None)], None),
        ([_toleration(30)], 30),
        ([_toleration(30), _toleration(None)], 30),
        ([_toleration(30), _toleration(20)], 20),
        ([_toleration(-5)], 0),
        ([_toleration(30, key="a")], 0),
        ([_toleration(30, key="a"), _toleration(90, key="b")], 30),
    ],
)
def test_the_fewest_seconds_of_all_matching_tolerations_count(tolerations: list[Toleration], seconds: float) -> None:
    """Every taint must be tolerated; of those that match, one for ever does not outweigh one with seconds."""
    taints = [Taint(key="a", effect="NoExecute"), Taint(key="b", effect="NoExecute")]
    assert tolerated_for(taints, tolerations) == seconds


def test_surplus_is_the_evicted_then_the_oldest() -> None:
    """Above the threshold finished Pods go, evicted ones first, then by age, then by name; running ones never."""

    def pod(name: str, phase: str, created: int, reason: str = "") -> Pod:
        meta = {"name": name, "creationTimestamp": f"2026-11-23T12:00:0{created}Z"}
        return from_tree(
            Pod, {"metadata": meta, "spec": {"containers": []}, "status": {"phase": phase, "reason": reason}}
        )

    pods = [
        pod("new", "Succeeded", 9),
        pod("b", "Failed", 1),
        pod("a", "Succeeded", 1),
        pod("evicted", "Failed", 5, "Evicted"),
        pod("up", "Running", 0),
    ]
    assert [p.metadata.name for p in surplus(pods, 1)] == ["evicted", "a", "b"]
    assert surplus(pods, 4) == []
