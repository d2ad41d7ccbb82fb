"""Where a Pod can go with its claims, and what is bound there."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.machine.placement.placed import node_of, pod_of
from tests.machine.stored import COMPLETED, Stored, claim, storage_class, volume

from podling.placement.claims import look_up, plan_on
from podling.placement.fitting import Chosen, decide
from podling.placement.nodes import NodeInfo, Snapshot
from podling.placement.pods import PendingPod
from podling.placement.profile import DEFAULT

LATE = storage_class("late", waits=True)
STATIC = storage_class("static", provisioner="kubernetes.io/no-provisioner", waits=True)
HERE = "kubernetes.io/hostname"
SELECTED = {"volume.kubernetes.io/selected-node": "n2"}


def asking(*names: str, ephemeral: bool = False, name: str = "web", **spec: Any) -> PendingPod:
    volumes: list[dict[str, Any]] = [
        {"name": f"v{i}", "persistentVolumeClaim": {"claimName": n}} for i, n in enumerate(names)
    ]
    if ephemeral:
        volumes.append({"name": "e", "ephemeral": {"volumeClaimTemplate": {"spec": {}}}})
    pod = pod_of(name, volumes=volumes, **spec)
    return PendingPod(replace(pod.pod, metadata=replace(pod.pod.metadata, namespace="ns")))


def nodes(*labels: dict[str, str]) -> list[NodeInfo]:
    return [node_of(f"n{i}", labels={HERE: f"n{i}", **more}) for i, more in enumerate(labels or ({}, {}, {}), 1)]


def outcome(pod: PendingPod, *given: Any, at: list[NodeInfo] | None = None) -> str:
    """The Nodes that fit, or upstream's sentence."""
    decision = decide(pod, Snapshot(nodes() if at is None else at, storage=Stored(*given)), DEFAULT)
    if isinstance(decision, Chosen):
        return " ".join(sorted(decision.best))
    return decision.diagnosis.message()


BOUND = claim(annotations=COMPLETED, spec={"volumeName": "v"}, phase="Bound")
MADE = {"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "web", "uid": "uid-web", "controller": True}]}
GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z"}

SENTENCES: list[tuple[PendingPod, list[Any], str]] = [
    (asking(), [], "n1 n2 n3"),
    (asking("data"), [], '0/3 nodes are available: persistentvolumeclaim "data" not found.'),
    (asking("data"), [claim()], "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
    (asking("data"), [claim(cls="slow"), storage_class()], "0/3 nodes are available: pod has unbound immediate PersistentVolumeClaims."),
    (asking("data"), [claim(meta=GOING)], '0/3 nodes are available: persistentvolumeclaim "data" is being deleted.'),
    (asking("data"), [claim(phase="Lost", spec={"volumeName": "v"})], '0/3 nodes are available: persistentvolumeclaim "data" bound to non-existent persistentvolume "v".'),
    (asking(ephemeral=True), [], '0/3 nodes are available: waiting for ephemeral volume controller to create the persistentvolumeclaim "web-e".'),
    (asking(ephemeral=True), [claim("web-e")], "0/3 nodes are available: PVC ns/web-e was not created for pod ns/web (pod is not owner)."),
    (asking(ephemeral=True), [claim("web-e", cls="late", meta=MADE), LATE], "n1 n2 n3"),
    (asking("data"), [BOUND, volume(of="data", phase="Bound", host="n2")], "n2"),
    (asking("data"), [BOUND, volume(of="data", phase="Bound")], "n1 n2 n3"),
    (asking("data"), [BOUND, volume(of="data", phase="Bound", host="n9")], "0/3 nodes are available: 3 node(s) had volume node affinity conflict."),
    (asking("data"), [BOUND], "0/3 nodes are available: 3 node(s) unavailable due to one or more pvc(s) bound to non-existent pv(s)."),
    (asking("data"), [claim(cls="late"), LATE], "n1 n2 n3"),
    (asking("data"), [claim(cls="late", annotations=SELECTED), LATE], "n2"),
    (asking("data"), [claim(cls="static"), STATIC], "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."),
    (asking("data"), [claim(cls="static"), STATIC, volume(cls="static", host="n3")], "n3"),
    (asking("data"), [claim(cls="static"), STATIC, volume(cls="static", host="n3", size="1Mi")], "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."),
    (asking("data", "more"), [claim(cls="static"), claim("more", cls="static"), STATIC, volume(cls="static", host="n3")], "0/3 nodes are available: 3 node(s) didn't find available persistent volumes to bind."),
    (asking("data", "more"), [claim(cls="static"), claim("more", cls="static"), STATIC, volume(cls="static", host="n1"), volume("w", cls="static", host="n1")], "n1"),
]  # fmt: skip


@pytest.mark.parametrize(("pod", "given", "said"), SENTENCES)
def test_where_a_pod_can_go(pod: PendingPod, given: list[Any], said: str) -> None:
    """Upstream's reasons, and the Nodes that are left."""
    assert outcome(pod, *given) == said


def test_topologies_of_a_class() -> None:
    """A volume is only made where its class lets it."""
    term = {"matchLabelExpressions": [{"key": "zone", "values": ["a"]}]}
    only = storage_class("late", waits=True, allowedTopologies=[term])
    assert outcome(asking("data"), claim(cls="late"), only, at=nodes({"zone": "a"}, {"zone": "b"})) == "n1"


def test_what_is_bound_on_a_node() -> None:
    """Small claims choose first, so that the large volume is left for the large claim; the rest is made."""
    stored = Stored(
        claim("big", "5Gi", cls="static"), claim("small", "1Gi", cls="static"), claim("new", cls="late"), STATIC, LATE,
        volume("v9", "9Gi", cls="static", host="n1"), volume("v2", "2Gi", cls="static", host="n1"),
    )  # fmt: skip
    [first, second, _] = nodes()
    claims = look_up(asking("big", "small", "new").pod, stored)
    plan = plan_on(claims, first, stored)
    assert plan is not None
    assert {c.metadata.name: v.metadata.name for c, v in plan.found} == {"small": "v2", "big": "v9"}
    assert [c.metadata.name for c in plan.made] == ["new"]
    assert plan_on(claims, second, stored) is None


def test_read_write_once_pod() -> None:
    """A Pod that has such a claim keeps every other one away, on every Node; going, it lets one in."""
    alone = claim(annotations=COMPLETED, spec={"volumeName": "v"}, phase="Bound", modes=["ReadWriteOncePod"])
    held = volume(of="data", phase="Bound", modes=["ReadWriteOncePod"])
    places = nodes()
    places[0].add(asking("data", name="first"))
    why = "node has pod using PersistentVolumeClaim with the same name and ReadWriteOncePod access mode"
    assert outcome(asking("data"), alone, held, at=places) == f"0/3 nodes are available: 3 {why}."
    places[0].remove("uid-first")
    assert outcome(asking("data"), alone, held, at=places) == "n1 n2 n3"


def test_zones_of_volumes() -> None:
    """A volume that is labelled with zones is used in one of them; a Node that knows no zones is anywhere."""
    zone = "topology.kubernetes.io/zone"
    held = volume(of="data", phase="Bound", meta={"labels": {zone: "a__b"}})
    there = nodes({zone: "a"}, {zone: "c"})
    assert outcome(asking("data"), BOUND, held, at=there) == "n1"
    assert (
        outcome(asking("data"), BOUND, held, at=there[1:])
        == "0/1 nodes are available: 1 node(s) had no available volume zone."
    )
    assert outcome(asking("data"), BOUND, held) == "n1 n2 n3"


def test_without_storage_nothing_stands_in_the_way() -> None:
    """Whoever asks about a Node without knowing volumes gets the other rules' word."""
    assert isinstance(decide(asking("data"), Snapshot(nodes()), DEFAULT), Chosen)
