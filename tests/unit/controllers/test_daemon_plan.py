"""Which Nodes get a daemon Pod and which Pods go: tables."""

from __future__ import annotations

from typing import Any

import pytest

from podling.api.codec import from_tree
from podling.api.times import to_wire
from podling.api.types.apps_v1 import ControllerRevision, DaemonSet
from podling.api.types.core_v1 import Node, Pod
from podling.controllers.daemon_plan import keep, renew
from podling.controllers.daemon_pods import Fit, by_node, draft, fit, made, node_of
from podling.controllers.daemon_status import status
from podling.controllers.failed_backoff import FailedBackoff
from podling.controllers.revisions import data_of, expired, history
from podling.placement.nodes import NodeInfo
from podling.placement.pods import PendingPod

NOW = 1_700_000_000.0
RUNS, REMAINS, LEAVES = Fit(begins=True, stays=True), Fit(begins=False, stays=True), Fit(begins=False, stays=False)


def daemon_set(rolling: dict[str, Any] | None = None, kind: str = "RollingUpdate", **pod: Any) -> DaemonSet:
    strategy: dict[str, Any] = {"type": kind}
    if kind == "RollingUpdate":
        strategy["rollingUpdate"] = rolling or {"maxUnavailable": 1, "maxSurge": 0}
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c"}], **pod}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template, "updateStrategy": strategy}
    return from_tree(DaemonSet, {"metadata": {"name": "d", "namespace": "default", "uid": "u"}, "spec": spec})


def pod(
    name: str, node: str = "n1", *, new: bool = True, phase: str = "Running", ready: bool = True, going: bool = False,
    bound: bool = True, age: int = 10,
) -> Pod:  # fmt: skip
    meta: dict[str, Any] = {
        "name": name, "namespace": "default", "uid": name, "creationTimestamp": to_wire(NOW - age),
        "labels": {"controller-revision-hash": "new" if new else "old"},
    }  # fmt: skip
    if going:
        meta["deletionTimestamp"] = to_wire(NOW)
    spec: dict[str, Any] = {"containers": [{"name": "c"}]}
    if bound:
        spec["nodeName"] = node
    else:
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        spec["affinity"] = {
            "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        }
    held = {"type": "Ready", "status": "True" if ready else "False", "lastTransitionTime": to_wire(NOW - age)}
    return from_tree(Pod, {"metadata": meta, "spec": spec, "status": {"phase": phase, "conditions": [held]}})


KEEPS: list[tuple[str, dict[str, Fit], list[Pod], list[str], list[str]]] = [
    ("one is missing", {"n1": RUNS, "n2": RUNS}, [pod("a")], ["n2"], []),
    ("one that goes is waited for", {"n1": RUNS}, [pod("a", going=True)], [], []),
    ("one that is over and goes is not", {"n1": RUNS}, [pod("a", going=True, phase="Failed")], ["n1"], []),
    ("the oldest of two stays", {"n1": RUNS}, [pod("a", age=5), pod("b", age=9)], [], ["a"]),
    ("the bound one of two stays", {"n1": RUNS}, [pod("a", bound=False, age=9), pod("b", age=5)], [], ["a"]),
    ("none begins where none may", {"n1": REMAINS}, [], [], []),
    ("one that is there may remain", {"n1": REMAINS}, [pod("a")], [], []),
    ("or may not", {"n1": LEAVES}, [pod("a")], [], ["a"]),
    ("one that failed goes", {"n1": RUNS}, [pod("a", phase="Failed")], [], ["a"]),
    ("one that succeeded goes", {"n1": RUNS}, [pod("a", phase="Succeeded")], [], ["a"]),
    ("one for a Node that is gone goes", {}, [pod("a", bound=False)], [], ["a"]),
    ("one on a Node that is gone is collected", {}, [pod("a")], [], []),
]


@pytest.mark.parametrize(("fits", "pods", "create", "delete"), [it[1:] for it in KEEPS], ids=[it[0] for it in KEEPS])
def test_one_for_each_node(fits, pods, create, delete):
    done = keep(daemon_set(), "new", fits, by_node(pods), {}, NOW)
    assert (done.create, [it.metadata.name for it in done.delete]) == (create, delete)


def test_a_failed_pod_is_left_while_it_backs_off():
    done = keep(daemon_set(), "new", {"n1": RUNS}, by_node([pod("a", phase="Failed")]), {"n1": 3.0}, NOW)
    assert (done.delete, done.again, done.failed) == ([], 3.0, [])


NODES = {"n1": RUNS, "n2": RUNS, "n3": RUNS}
OLD = [pod("a", "n1", new=False), pod("b", "n2", new=False), pod("c", "n3", new=False)]
RENEWALS: list[tuple[str, dict[str, Any], list[Pod], list[str], list[str]]] = [
    ("one by one", {"maxUnavailable": 1}, OLD, [], ["a"]),
    ("a share, rounded up", {"maxUnavailable": "34%"}, OLD, [], ["a", "b"]),
    ("no more while one is not ready", {"maxUnavailable": 1}, [pod("a", "n1", ready=False), *OLD[1:]], [], []),
    ("no more while one is missing", {"maxUnavailable": 1}, OLD[1:], [], []),
    ("old ones that are of no use go in any case", {"maxUnavailable": 1},
     [pod("a", "n1", ready=False), pod("b", "n2", new=False, ready=False), OLD[2]], [], ["b"]),
    ("all are new", {"maxUnavailable": 1}, [pod("a", "n1"), pod("b", "n2"), pod("c", "n3")], [], []),
    ("a surge puts one beside", {"maxUnavailable": 0, "maxSurge": 1}, OLD, ["n1"], []),
    ("and waits for it", {"maxUnavailable": 0, "maxSurge": 1}, [*OLD, pod("d", "n1", ready=False)], [], []),
    ("until it is available", {"maxUnavailable": 0, "maxSurge": 1}, [*OLD, pod("d", "n1")], ["n2"], ["a"]),
    ("beside one of no use in any case", {"maxUnavailable": 0, "maxSurge": 1},
     [pod("a", "n1", new=False, ready=False), *OLD[1:]], ["n1", "n2"], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("rolling", "pods", "create", "delete"), [it[1:] for it in RENEWALS], ids=[it[0] for it in RENEWALS]
)
def test_old_ones_are_replaced_as_far_as_may_be(rolling, pods, create, delete):
    done = renew(daemon_set(rolling), "new", NODES, by_node(pods), NOW)
    assert (done.create, [it.metadata.name for it in done.delete]) == (create, delete)


def test_on_delete_replaces_nothing():
    done = renew(daemon_set(kind="OnDelete"), "new", NODES, by_node(OLD), NOW)
    assert (done.create, done.delete) == ([], [])


FITS = [
    ({}, {}, RUNS),
    ({"nodeSelector": {"color": "blue"}}, {}, LEAVES),
    ({"nodeName": "other"}, {}, LEAVES),
    ({}, {"taints": [{"key": "k", "effect": "NoSchedule"}]}, REMAINS),
    ({}, {"taints": [{"key": "k", "effect": "NoExecute"}]}, LEAVES),
    ({}, {"taints": [{"key": "node.kubernetes.io/not-ready", "effect": "NoExecute"}]}, RUNS),
    ({}, {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]}, RUNS),
    ({}, {"taints": [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]}, REMAINS),
    (
        {"hostNetwork": True},
        {"taints": [{"key": "node.kubernetes.io/network-unavailable", "effect": "NoSchedule"}]},
        RUNS,
    ),
    ({"tolerations": [{"operator": "Exists"}]}, {"taints": [{"key": "k", "effect": "NoExecute"}]}, RUNS),
]


@pytest.mark.parametrize(("spec", "node", "wanted"), FITS)
def test_whether_a_node_is_to_have_one(spec, node, wanted):
    found = NodeInfo(from_tree(Node, {"metadata": {"name": "n1"}, "spec": node}))
    assert fit(PendingPod(draft(daemon_set(**spec))), found) == wanted


def test_a_pod_keeps_what_it_would_rather_have():
    """Its own requirements of Nodes were met and give way to the one Node; preferences stay."""
    preferred = [{"weight": 1, "preference": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}}]
    found = daemon_set(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}})
    one = made(found, draft(found), "n7", "new")
    assert node_of(one) == "n7"
    assert one.metadata.labels == {"a": "b", "controller-revision-hash": "new"}
    assert one.spec.affinity is not None
    assert one.spec.affinity.node_affinity is not None
    assert len(one.spec.affinity.node_affinity.preferred_during_scheduling_ignored_during_execution) == 1


def test_what_it_says_of_itself():
    pods = by_node([pod("a", "n1"), pod("b", "n2", new=False, ready=False), pod("c", "n4")])
    held = status(daemon_set(), "new", {**NODES, "n4": REMAINS}, pods, 0, NOW)
    assert (held.desired_number_scheduled, held.current_number_scheduled, held.number_ready) == (3, 2, 1)
    assert (held.number_misscheduled, held.updated_number_scheduled) == (1, 1)
    assert (held.number_available, held.number_unavailable) == (1, 2)


def test_the_back_off_of_failed_pods():
    """1 s, doubling up to 15 min, for each Node by itself; forgotten after twice as long."""
    backoff = FailedBackoff()
    for wait in (1, 2, 4, 8):
        backoff.add("u", "n1", NOW)
        assert backoff.waits("u", NOW) == {"n1": wait}
    for _ in range(20):
        backoff.add("u", "n1", NOW)
    assert backoff.waits("u", NOW) == {"n1": 900}
    backoff.add("u", "n1", NOW + 1801)
    assert backoff.waits("u", NOW + 1801) == {"n1": 1}
    assert backoff.waits("u", NOW + 1803) == {}


def revision(name: str, number: int, data: Any) -> ControllerRevision:
    return from_tree(
        ControllerRevision, {"metadata": {"name": name, "labels": {"h": name}}, "data": data, "revision": number}
    )


def test_a_revision_is_known_by_its_data():
    """Whoever wrote it, with nulls or without; numbers rise above all others."""
    found = daemon_set()
    data: Any = data_of(found.spec.template)
    noted = {
        "spec": {
            "template": {**data["spec"]["template"], "metadata": {"creationTimestamp": None, "labels": {"a": "b"}}}
        }
    }
    past = history(found.spec.template, [revision("x", 4, {}), revision("y", 2, noted), revision("z", 3, {"spec": 1})])
    assert [it.metadata.name for it in past.present] == ["y"]
    assert [it.metadata.name for it in past.old] == ["z", "x"]
    assert past.next_number == 5


def test_revisions_that_pods_are_of_are_kept():
    past = history(daemon_set().spec.template, [revision(name, number, {}) for number, name in enumerate("vwxyz")])
    assert [it.metadata.name for it in expired(past, {"v", "x"}, 2, "h")] == ["w", "y", "z"]
    assert [it.metadata.name for it in expired(past, set(), 4)] == ["v"]
    assert expired(past, set(), 5) == []
