"""Thresholds with their instants, the order in which Pods go, and what is said of them."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Pod
from podling.lifecycle.eviction import (
    EvictionPolicy,
    Observation,
    Pressure,
    Signal,
    is_relieved,
    kept_back,
    observe,
    thresholds_of,
)
from podling.lifecycle.eviction_ranking import (
    Candidate,
    ContainerUsage,
    PodUsage,
    message_of,
    ranked,
    refusal_under_pressure,
    storage_violation,
)

MI = 1 << 20
GI = 1 << 30


def memory(available: int, capacity: int = 4 * GI) -> dict[Signal, Observation]:
    return {Signal.MEMORY: Observation(available, capacity)}


def pod(name: str = "p", requests: Any = None, limits: Any = None, **spec: Any) -> Pod:
    resources = {"requests": requests or {}, "limits": limits or {}}
    tree = {"metadata": {"name": name, "uid": name, "namespace": "d", "annotations": spec.pop("annotations", {})}}
    containers = spec.pop("containers", [{"name": "c", "image": "i", "resources": resources}])
    return from_tree(Pod, {**tree, "spec": {"containers": containers, **spec}})


def uses(of: Pod, amount: int, requested: int = 0, **more: Any) -> Candidate:
    usage = PodUsage(memory=amount, disk=amount, containers=(ContainerUsage("c", memory=amount, layer=amount),), **more)
    return Candidate(of, {"memory": requested, "ephemeral-storage": requested}, usage)


def walk(policy: EvictionPolicy, history: list[tuple[float, int]]) -> list[tuple[float, tuple[str, ...], int]]:
    """Feed (instant, available) in; return the conditions and the number of urgent thresholds at each instant."""
    state, told = Pressure(), []
    for now, available in history:
        state, urgent = observe(state, policy, memory(available), now)
        told.append((now, state.conditions, len(urgent)))
    return told


def test_a_hard_threshold_calls_at_once_and_the_condition_lasts_five_minutes() -> None:
    """Below the threshold: condition and call at the same instant; above it the condition stays for 300 s, the call not."""
    policy = EvictionPolicy(thresholds_of({"memory.available": "100Mi"}))
    at = walk(policy, [(0, 100 * MI), (10, 100 * MI - 1), (20, 100 * MI), (309, GI), (310, GI)])
    assert at == [
        (0, (), 0),
        (10, ("MemoryPressure",), 1),
        (20, ("MemoryPressure",), 0),
        (309, ("MemoryPressure",), 0),
        (310, (), 0),
    ]


def test_a_soft_threshold_waits_for_its_grace_and_begins_anew_after_relief() -> None:
    """The condition comes at once, the call after the grace; a moment above the threshold begins the grace again."""
    soft = thresholds_of({}, {"memory.available": "1Gi"}, {"memory.available": 90})
    low, fine = 900 * MI, 2 * GI
    at = walk(EvictionPolicy(soft), [(0, low), (80, low), (89, fine), (90, low), (170, low), (180, low)])
    assert [calls for _, _, calls in at] == [0, 0, 0, 0, 0, 1]
    assert all(conditions == ("MemoryPressure",) for _, conditions, _ in at)


def test_minimum_reclaim_keeps_a_met_threshold_met() -> None:
    """Once met, a threshold is resolved only when its value and the minimum reclaim are both there."""
    thresholds = thresholds_of({"memory.available": "100Mi"}, minimum_reclaim={"memory.available": "200Mi"})
    at = walk(EvictionPolicy(thresholds), [(0, 250 * MI), (10, 99 * MI), (20, 250 * MI), (30, 300 * MI)])
    assert [calls for _, _, calls in at] == [0, 1, 1, 0]
    policy = EvictionPolicy(thresholds)
    assert [is_relieved(policy, memory(free * MI)) for free in (99, 250, 300)] == [False, False, True]


def test_memory_goes_before_disk_and_percentages_are_of_the_capacity() -> None:
    """Of several met thresholds that of memory is acted upon first; 10 % of 100Gi are 10Gi."""
    policy = EvictionPolicy(thresholds_of({"nodefs.available": "10%", "memory.available": "100Mi"}))
    seen = {Signal.NODEFS: Observation(10 * GI - 1, 100 * GI), Signal.MEMORY: Observation(0, GI)}
    state, urgent = observe(Pressure(), policy, seen, 0)
    assert [threshold.signal for threshold in urgent] == [Signal.MEMORY, Signal.NODEFS]
    assert state.conditions == ("MemoryPressure", "DiskPressure")
    state, urgent = observe(state, policy, {Signal.NODEFS: Observation(10 * GI, 100 * GI)}, 1)
    assert urgent == ()


def test_upstreams_defaults() -> None:
    """Memory below 100Mi (of the node and of what Pods may take), node files 10 and 5 %, images 15 and 5 %."""
    read = [(t.signal, str(t.value.of(1000, t.signal)), t.grace) for t in EvictionPolicy().thresholds]
    assert read == [
        (Signal.MEMORY, "100Mi", 0),
        (Signal.NODEFS, "100", 0),
        (Signal.NODEFS_INODES, "50", 0),
        (Signal.IMAGEFS, "150", 0),
        (Signal.IMAGEFS_INODES, "50", 0),
        (Signal.ALLOCATABLE_MEMORY, "100Mi", 0),
    ]
    assert kept_back(EvictionPolicy().thresholds, Signal.MEMORY, GI) == 100 * MI
    assert kept_back(EvictionPolicy().thresholds, Signal.NODEFS, 1000) == 100


@pytest.mark.parametrize(
    ("hard", "soft", "graces", "words"),
    [
        ({"disk": "10%"}, {}, {}, "unsupported eviction signal disk"),
        ({"memory.available": "0"}, {}, {}, "must be positive"),
        ({"memory.available": "-3%"}, {}, {}, "must be positive"),
        ({"memory.available": "120%"}, {}, {}, "must be <= 100%"),
        ({"memory.available": "ten"}, {}, {}, "quantities must match"),
        ({}, {"memory.available": "1Gi"}, {}, "grace period must be specified for the soft eviction threshold memory"),
        ({}, {"memory.available": "1Gi"}, {"memory.available": -1}, "invalid eviction grace period"),
    ],
)
def test_bad_thresholds_are_refused(hard: Any, soft: Any, graces: Any, words: str) -> None:
    """What cannot be a threshold is refused with the reason."""
    with pytest.raises(ValueError, match=words):
        thresholds_of(hard, soft, graces)


def test_classes_go_in_order_and_priority_decides_among_equals() -> None:
    """Above its request before within it, lower priority first, then who is further above; unknown usage first of all."""
    best_effort = uses(pod("besteffort"), 100 * MI)
    greedy = uses(pod("greedy", {"memory": "50Mi"}), 300 * MI, 50 * MI)
    important = uses(pod("important", priority=1000), 500 * MI)
    burstable = uses(pod("burstable", {"memory": "200Mi"}), 150 * MI, 200 * MI)
    same = {"cpu": "1", "memory": "400Mi"}
    guaranteed = uses(pod("guaranteed", same, same), 390 * MI, 400 * MI)
    unknown = Candidate(pod("unknown"), {}, None)
    order = ranked([guaranteed, burstable, important, best_effort, greedy, unknown], Signal.MEMORY)
    names = [candidate.pod.metadata.name for candidate in order]
    assert names == ["unknown", "greedy", "besteffort", "important", "guaranteed", "burstable"]


def test_exactly_what_was_asked_for_is_not_too_much() -> None:
    """A Pod at its request is within it: one a byte above goes first, whatever its priority."""
    exact = uses(pod("exact", {"memory": "64Mi"}), 64 * MI, 64 * MI)
    above = uses(pod("above", {"memory": "64Mi"}, priority=9), 64 * MI + 1, 64 * MI)
    assert [c.pod.metadata.name for c in ranked([exact, above], Signal.MEMORY)] == ["above", "exact"]


def test_pids_and_inodes_rank_by_what_they_count() -> None:
    """Processes: priority, then their number. Inodes: as storage, by what is held."""
    few, many = uses(pod("few"), 0, pids=3, inodes=9), uses(pod("many"), 0, pids=30, inodes=1)
    vital = uses(pod("vital", priority=7), 0, pids=300, inodes=99)
    assert [c.pod.metadata.name for c in ranked([few, vital, many], Signal.PIDS)] == ["many", "few", "vital"]
    assert [c.pod.metadata.name for c in ranked([few, vital, many], Signal.NODEFS_INODES)] == ["few", "many", "vital"]


@pytest.mark.parametrize(
    "critical",
    [
        pod(priority=2_000_000_000),
        pod(annotations={"kubernetes.io/config.source": "file"}),
        pod(annotations={"kubernetes.io/config.mirror": "x"}),
    ],
)
def test_critical_pods_never_go_and_always_come(critical: Pod) -> None:
    """Static, mirror and system-priority Pods are neither evicted nor refused."""
    assert ranked([uses(critical, GI)], Signal.MEMORY) == []
    assert refusal_under_pressure(critical, ("DiskPressure",), tolerated=False) is None


def test_the_message_says_what_upstream_says() -> None:
    """Resource, threshold, what is left, and each container that uses more than it asked for."""
    policy = EvictionPolicy(thresholds_of({"memory.available": "100Mi"}))
    candidate = uses(pod("p", {"memory": "64Mi"}), 150 * MI, 64 * MI)
    text, notes = message_of(candidate, policy.thresholds[:1], memory(50 * MI))
    assert text == (
        "The node was low on resource: memory. Threshold quantity: 100Mi, available: 50Mi. "
        "Container c was using 150Mi, request is 64Mi, has larger consumption of memory. "
    )
    assert notes == {
        "offending_containers": "c",
        "offending_containers_usage": "150Mi",
        "starved_resource": "memory",
    }
    disk = thresholds_of({"nodefs.available": "10%"})
    text, _ = message_of(uses(pod("p"), 3 * MI), disk, {Signal.NODEFS: Observation(MI, 100 * MI)})
    assert text == (
        "The node was low on resource: ephemeral-storage. Threshold quantity: 10Mi, available: 1Mi. "
        "Container c was using 3Mi, request is 0, has larger consumption of ephemeral-storage. "
    )


def test_limits_of_local_storage() -> None:
    """An emptyDir over its limit, a Pod over its containers' sum, a container over its own: upstream's sentences."""
    scratch = [{"name": "scratch", "emptyDir": {"sizeLimit": "1Mi"}}]
    assert storage_violation(pod(volumes=scratch), PodUsage(volumes={"scratch": MI})) is None
    assert storage_violation(pod(volumes=scratch), PodUsage(volumes={"scratch": MI + 1})) == (
        'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi". '
    )
    limited = pod(limits={"ephemeral-storage": "10Mi"})
    assert storage_violation(limited, PodUsage(disk=11 * MI)) == (
        "Pod ephemeral local storage usage exceeds the total limit of containers 10Mi. "
    )
    two = pod(
        containers=[
            {"name": "a", "image": "i", "resources": {"limits": {"ephemeral-storage": "1Mi"}}},
            {"name": "b", "image": "i", "resources": {"limits": {"ephemeral-storage": "9Mi"}}},
        ]
    )
    usage = PodUsage(disk=2 * MI, containers=(ContainerUsage("a", layer=MI, logs=1), ContainerUsage("b")))
    assert storage_violation(two, usage) == 'Container a exceeded its local ephemeral storage limit "1Mi". '
    assert storage_violation(pod(), PodUsage(disk=GI)) is None


@pytest.mark.parametrize(
    ("which", "conditions", "tolerated", "refused"),
    [
        ("besteffort", ("MemoryPressure",), False, True),
        ("besteffort", ("MemoryPressure",), True, False),
        ("burstable", ("MemoryPressure",), False, False),
        ("burstable", ("DiskPressure",), False, True),
        ("besteffort", ("MemoryPressure", "PIDPressure"), True, True),
        ("besteffort", (), False, False),
    ],
)
def test_whom_a_node_under_pressure_takes(which: str, conditions: Any, tolerated: bool, refused: bool) -> None:
    """Memory short: all but BestEffort without the toleration; anything else short: nobody."""
    who = pod() if which == "besteffort" else pod(requests={"cpu": "1"})
    refusal = refusal_under_pressure(who, conditions, tolerated=tolerated)
    assert (refusal is not None) == refused
    if refusal is not None:
        assert (refusal.reason, refusal.message) == ("Evicted", f"The node had condition: [{' '.join(conditions)}]. ")
