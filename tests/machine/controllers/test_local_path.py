"""Volumes that are folders: for whom, where, and when they go."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.machine.placement.placed import node_of
from tests.machine.stored import COMPLETED, claim, storage_class, volume

from podling.api.types.core_v1 import Node, NodeCondition, PersistentVolume, PersistentVolumeClaim
from podling.controllers import local_path
from podling.controllers.local_path import FINALIZER, NAME

ASKS = {"volume.kubernetes.io/storage-provisioner": NAME}
SELECTED = {"volume.kubernetes.io/selected-node": "n2"}
OURS = {"pv.kubernetes.io/provisioned-by": NAME}
CLASS = storage_class("local", provisioner=NAME, waits=True)
AT_ONCE = storage_class("local", provisioner=NAME)
GOING = {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [FINALIZER]}


def node(name: str, *, ready: bool = True, **spec: Any) -> Node:
    made = node_of(name, labels={"kubernetes.io/hostname": name}, **spec).node
    condition = NodeCondition(type="Ready", status="True" if ready else "Unknown")
    return replace(made, status=replace(made.status, conditions=(condition,)))


@pytest.mark.parametrize(
    ("asking", "wanted"),
    [
        (claim(cls="local", annotations=ASKS), False),
        (claim(cls="local", annotations=ASKS | SELECTED), True),
        (claim(cls="local", annotations=SELECTED), True),
        (claim(cls="local", annotations=ASKS | SELECTED, spec={"volumeName": "v"}), False),
        (claim(cls="local", annotations=ASKS | SELECTED, meta={"deletionTimestamp": "2026-01-01T00:00:00Z"}), False),
    ],
)
def test_who_gets_a_volume(asking: PersistentVolumeClaim, wanted: bool) -> None:
    """A claim for which a Node was selected; one that is due at once when the binder has handed it over."""
    at_once = claim(cls="local", annotations=ASKS)
    assert local_path.wants_volume(at_once, AT_ONCE) and not local_path.wants_volume(claim(cls="local"), AT_ONCE)
    assert local_path.wants_volume(asking, CLASS) is wanted
    assert not local_path.wants_volume(asking, storage_class("other", provisioner="a/b"))


@pytest.mark.parametrize(
    ("asking", "words"),
    [
        (claim(), ""),
        (claim(modes=["ReadWriteOncePod"]), ""),
        (claim(modes=["ReadWriteMany"]), "access mode ReadWriteMany is not supported"),
        (claim(spec={"volumeMode": "Block"}), "block volumes are not supported"),
        *[
            (
                claim(spec={field: {"kind": "PersistentVolumeClaim", "name": "x", **more}}),
                "data sources are not supported",
            )
            for field, more in (("dataSource", {}), ("dataSourceRef", {"apiGroup": "", "namespace": "other"}))
        ],
    ],
)
def test_what_a_folder_cannot_be(asking: PersistentVolumeClaim, words: str) -> None:
    """What one folder of one Node cannot truthfully give is refused."""
    why = local_path.why_not(asking, CLASS)
    assert why.startswith(words) and bool(why) is bool(words)
    odd = storage_class("local", provisioner=NAME, parameters={"path": "/etc"})
    assert local_path.why_not(claim(), odd).startswith('parameter "path" is not known')


def test_where_it_lies() -> None:
    """On the scheduler's Node; else on the ready one with the fewest volumes, the first by name."""
    nodes = [node("n3"), node("n2"), node("n1", ready=False), node("n0", unschedulable=True)]
    assert local_path.chosen_node(claim(annotations=SELECTED), CLASS, nodes, lambda host: 0) == "n2"
    assert local_path.chosen_node(claim(), AT_ONCE, nodes, lambda host: 0) == "n2"
    assert local_path.chosen_node(claim(), AT_ONCE, nodes, lambda host: int(host == "n2")) == "n3"
    assert local_path.chosen_node(claim(), AT_ONCE, nodes[2:], lambda host: 0) == ""
    here = {"matchLabelExpressions": [{"key": "kubernetes.io/hostname", "values": ["n3"]}]}
    only = storage_class("local", provisioner=NAME, allowedTopologies=[here])
    assert local_path.chosen_node(claim(), only, nodes, lambda host: 0) == "n3"


def test_what_it_looks_like() -> None:
    """Bound to the claim and the Node, of the claim's size and the class's policy, held until its folder is gone."""
    made = local_path.volume_for(claim(size="3Gi"), CLASS, node("n1"), "/volumes/pvc-uid-data")
    assert (made.metadata.name, made.metadata.annotations, made.metadata.finalizers) == (
        "pvc-uid-data",
        OURS,
        (FINALIZER,),
    )
    assert made.spec.claim_ref is not None and made.spec.claim_ref.uid == "uid-data"
    assert (made.spec.capacity, made.spec.persistent_volume_reclaim_policy) == ({"storage": "3Gi"}, "Delete")
    assert local_path.home_of(made) == "n1" and made.spec.storage_class_name == "local"
    kept = local_path.volume_for(claim(), storage_class("local", reclaimPolicy="Retain"), node("n1"), "/x")
    assert kept.metadata.finalizers == () and kept.spec.persistent_volume_reclaim_policy == "Retain"


def ours(**more: Any) -> PersistentVolume:
    more.setdefault("annotations", OURS)
    return volume(
        policy=more.pop("policy", "Delete"), spec={"hostPath": None, "local": {"path": "/v"}}, host="n1", **more
    )


@pytest.mark.parametrize(
    ("held", "goes"),
    [
        (ours(phase="Released", of="data"), True),
        (ours(phase="Bound", of="data"), False),
        (ours(phase="Bound", of="data", meta=GOING), False),
        (ours(phase="Available", meta=GOING), True),
        (ours(phase="Failed", of="data"), False),
        (ours(phase="Released", of="data", policy="Retain"), False),
        (ours(phase="Released", of="data", annotations={}), False),
        (volume(phase="Released", of="data", policy="Delete", annotations=OURS), False),
    ],
)
def test_when_a_folder_goes(held: PersistentVolume, goes: bool) -> None:
    """Only one's own, released, with the policy Delete; never one that is bound, kept or of another kind."""
    assert local_path.must_go(held) is goes


def test_growing_is_saying_so() -> None:
    """A folder has no size: the volume says the new one, then the claim; only where the class lets it."""
    wide = storage_class("local", provisioner=NAME, allowVolumeExpansion=True)
    bound = claim(
        size="2Gi", annotations=COMPLETED, spec={"volumeName": "v"}, phase="Bound", capacity={"storage": "1Gi"}
    )
    held = ours(of="data", phase="Bound")
    assert local_path.grown(bound, held, CLASS) == (None, None)
    larger, told = local_path.grown(bound, held, wide)
    assert larger is not None and larger.spec.capacity == {"storage": "2Gi"} and told is None
    again, told = local_path.grown(bound, larger, wide)
    assert again is None and told is not None and told.status.capacity == {"storage": "2Gi"}
    assert local_path.grown(told, larger, wide) == (None, None)
