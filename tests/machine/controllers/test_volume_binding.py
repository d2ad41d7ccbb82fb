"""Claims and volumes: who gets whom, step by step, and what becomes of the left."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace
from tests.machine.stored import BY_US, COMPLETED, Stored, claim, storage_class, volume

from podling.api.types.core_v1 import PersistentVolume, PersistentVolumeClaim
from podling.controllers.volume_binding import NOTHING, Step, plan_claim, plan_volume

SMALL, LARGE = volume("small", "2Gi"), volume("large", "9Gi")
SELECTED = {"volume.kubernetes.io/selected-node": "n1"}


def said(step: Step) -> list[tuple[str, str, str]]:
    return [(it.type, it.reason, it.message) for it in step.said]


def chosen(asking: PersistentVolumeClaim, *given: Any) -> str:
    step = plan_claim(asking, Stored(*given))
    return step.volume.metadata.name if step.volume is not None else ""


CHOICES: list[tuple[PersistentVolumeClaim, list[Any], str]] = [
    (claim(), [LARGE, SMALL], "small"),
    (claim(size="3Gi"), [SMALL, LARGE], "large"),
    (claim(size="10Gi"), [SMALL, LARGE], ""),
    (claim(), [volume("b"), volume("a")], "a"),
    (claim(), [volume("wide", modes=["ReadWriteOnce", "ReadWriteMany"]), volume("narrow", "5Gi")], "narrow"),
    (claim(modes=["ReadWriteMany"]), [volume()], ""),
    (claim(modes=["ReadWriteOncePod"]), [volume()], ""),
    (claim(), [volume(phase="Pending")], ""),
    (claim(), [volume(phase="Released")], ""),
    (claim(), [volume(of="other")], ""),
    (claim(), [SMALL, volume("meant", "8Gi", of="data", uid="")], "meant"),
    (claim(size="9Gi"), [volume("meant", "8Gi", of="data", uid="")], ""),
    (claim(), [volume(meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})], ""),
    (claim(), [volume(spec={"volumeMode": "Block"})], ""),
    (claim(cls="slow"), [SMALL], ""),
    (claim(cls="slow"), [volume("it", cls="slow"), SMALL], "it"),
    (claim(spec={"selector": {"matchLabels": {"a": "b"}}}), [SMALL, volume("l", meta={"labels": {"a": "b"}})], "l"),
    (claim(spec={"selector": {"matchLabels": {"a": "c"}}}), [volume("l", meta={"labels": {"a": "b"}})], ""),
    *[
        (
            claim(spec={"selector": {"matchExpressions": [{"key": "a", "operator": operator, **values}]}}),
            [SMALL, volume("l", meta={"labels": {"a": "b"}})],
            name,
        )
        for operator, values, name in (
            ("In", {"values": ["b", "c"]}, "l"),
            ("NotIn", {"values": ["b"]}, "small"),
            ("Exists", {}, "l"),
            ("DoesNotExist", {}, "small"),
        )
    ],
    (claim(cls="late"), [volume(cls="late"), storage_class("late", waits=True)], ""),
    (claim(cls="late"), [volume("m", cls="late", of="data", uid=""), storage_class("late", waits=True)], "m"),
    (claim(spec={"volumeName": "large"}), [SMALL, LARGE], "large"),
]


@pytest.mark.parametrize(("asking", "given", "name"), CHOICES)
def test_the_best_volume_is_chosen(asking: PersistentVolumeClaim, given: list[Any], name: str) -> None:
    """What is meant for the claim, else the fewest modes, the least size, the first name, of what fits."""
    assert chosen(asking, *given) == name


def test_a_binding_goes_step_by_step() -> None:
    """Volume names claim; volume Bound and claim names volume; claim Bound; then nothing is left to do."""
    asking, free = claim(), volume(size="2Gi")
    held = plan_claim(asking, Stored(free)).volume
    assert held is not None and held.spec.claim_ref is not None
    assert held.spec.claim_ref.uid == "uid-data" and held.metadata.annotations == BY_US
    both = plan_claim(asking, Stored(held))
    marked, named = both.volume_status, both.claim
    assert marked is not None and marked.status.phase == "Bound"
    assert named is not None and named.spec.volume_name == "v"
    assert plan_claim(named, Stored(held)).volume_status is not None  # the one write failed, and not the other
    assert named.metadata.annotations == {**COMPLETED, **BY_US}
    bound = plan_claim(named, Stored(marked)).claim_status
    assert bound is not None
    assert (bound.status.phase, bound.status.capacity, bound.status.access_modes) == (
        "Bound", {"storage": "2Gi"}, ("ReadWriteOnce",)
    )  # fmt: skip
    assert plan_claim(bound, Stored(marked)) == NOTHING == plan_volume(marked, bound)


def test_who_named_the_other_is_written_down() -> None:
    """A volume that its owner meant for the claim, and a volume that the claim asked for, are not `bound-by-controller`."""
    meant = volume(of="data", uid="")
    held = plan_claim(claim(), Stored(meant)).volume
    assert held is not None and held.metadata.annotations == {}
    asks = claim(spec={"volumeName": "v"})
    named = plan_claim(asks, Stored(volume(of="data", phase="Bound"))).claim
    assert named is not None and named.metadata.annotations == COMPLETED


NO_CLASS = "no persistent volumes available for this claim and no storage class is set"
FIRST = "waiting for first consumer to be created before binding"
WAITS: list[tuple[PersistentVolumeClaim, list[Any], list[str], tuple[str, str, str]]] = [
    (claim(), [], [], ("Normal", "FailedBinding", NO_CLASS)),
    (claim(cls="x"), [], [], ("Warning", "ProvisioningFailed", 'storageclass.storage.k8s.io "x" not found')),
    (claim(cls="late"), [storage_class("late", waits=True)], [], ("Normal", "WaitForFirstConsumer", FIRST)),
    (claim(cls="late"), [storage_class("late", waits=True)], ["p"], ("Normal", "WaitForPodScheduled", "waiting for pod p to be scheduled")),
    (claim(cls="late"), [storage_class("late", waits=True)], ["p", "q"], ("Normal", "WaitForPodScheduled", "waiting for pods p,q to be scheduled")),
    (
        claim(cls="n"),
        [storage_class("n", provisioner="kubernetes.io/no-provisioner")],
        [],
        ("Warning", "ProvisioningFailed", "no volume plugin matched name: kubernetes.io/no-provisioner"),
    ),
    (
        claim(spec={"volumeName": "v"}),
        [volume(size="1Mi")],
        [],
        ("Warning", "VolumeMismatch", 'Cannot bind to requested volume "v": requested PV is too small'),
    ),
    (
        claim(spec={"volumeName": "v"}),
        [volume(of="other")],
        [],
        ("Warning", "FailedBinding", 'volume "v" already bound to a different claim.'),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("asking", "given", "pods", "event"), WAITS)
def test_a_claim_that_waits_says_for_what(
    asking: PersistentVolumeClaim, given: list[Any], pods: list[str], event: tuple[str, str, str]
) -> None:
    """A claim that cannot be bound stays Pending, with upstream's event, and nothing is written."""
    step = plan_claim(asking, Stored(*given), consumers=pods)
    assert (step.volume, step.claim, step.claim_status) == (None, None, None)
    assert said(step) == [event]


def test_a_claim_is_handed_to_its_provisioner() -> None:
    """The provisioner is named on the claim, at once or when a Node was selected; then it is waited for."""
    late = storage_class("late", waits=True)
    for asking, given in ((claim(cls="slow"), storage_class()), (claim(cls="late", annotations=SELECTED), late)):
        step = plan_claim(asking, Stored(given))
        assert step.claim is not None
        assert step.claim.metadata.annotations["volume.kubernetes.io/storage-provisioner"] == "a/b"
        assert step.claim.metadata.annotations["volume.beta.kubernetes.io/storage-provisioner"] == "a/b"
        [(_, reason, message)] = said(plan_claim(step.claim, Stored(given)))
        assert reason == "ExternalProvisioning" and "external provisioner 'a/b'" in message


def test_a_claim_without_a_class_gets_the_default_one_when_it_comes() -> None:
    """Only a claim that names none: the empty name is a choice."""
    step = plan_claim(claim(), Stored(), default_class="slow")
    assert step.claim is not None and step.claim.spec.storage_class_name == "slow"
    assert plan_claim(claim(cls=""), Stored(), default_class="slow").claim is None


BOUND = claim(annotations=COMPLETED, spec={"volumeName": "v"}, phase="Bound")
LOST: list[tuple[PersistentVolumeClaim, list[Any], str]] = [
    (BOUND, [], "ClaimLost"),
    (claim(annotations=COMPLETED, phase="Bound"), [], "ClaimLost"),
    (BOUND, [volume(of="other")], "ClaimMisbound"),
]


@pytest.mark.parametrize(("asking", "given", "reason"), LOST)
def test_a_bound_claim_whose_volume_is_gone_is_lost(
    asking: PersistentVolumeClaim, given: list[Any], reason: str
) -> None:
    """Lost, with a warning, once."""
    step = plan_claim(asking, Stored(*given))
    assert step.claim_status is not None and step.claim_status.status.phase == "Lost"
    assert [it.reason for it in step.said] == [reason]
    assert plan_claim(step.claim_status, Stored(*given)) == NOTHING


PROVISIONED = {"pv.kubernetes.io/provisioned-by": "a/b"}
GONE = 'error getting deleter volume plugin for volume "v": no deletable volume plugin matched'
LET_GO: list[tuple[PersistentVolume, PersistentVolumeClaim | None, str, list[str]]] = [
    (volume(phase="Pending"), None, "Available", []),
    (volume(of="data", phase="Bound"), None, "Released", []),
    (volume(of="data", uid="older", phase="Bound"), BOUND, "Released", []),
    (volume(of="data", phase="Released"), None, "", []),
    (volume(of="data", phase="Released", policy="Delete"), None, "Failed", [GONE]),
    (volume(of="data", phase="Released", policy="Delete", annotations=PROVISIONED), None, "", []),
    (volume(of="data", phase="Released", policy="Recycle"), None, "Failed", ["No recycler plugin found for the volume!"]),
    (volume(of="data", phase="Failed", policy="Recycle"), None, "", []),
    (volume(of="data", phase="Available"), BOUND, "Bound", []),
]  # fmt: skip


@pytest.mark.parametrize(("left", "holder", "phase", "messages"), LET_GO)
def test_a_volume_that_was_let_go(
    left: PersistentVolume, holder: PersistentVolumeClaim | None, phase: str, messages: list[str]
) -> None:
    """A volume whose claim is gone is Released, and then what its policy and its provisioner make of it."""
    step = plan_volume(left, holder)
    assert (step.volume_status.status.phase if step.volume_status is not None else "") == phase
    assert [it.message for it in step.said] == messages


def test_a_volume_whose_claim_took_another_is_free_again() -> None:
    """One that the binder had chosen forgets the claim, one that its owner had meant keeps the name, one made for it goes."""
    elsewhere = claim(annotations=COMPLETED, spec={"volumeName": "w"}, phase="Bound")
    freed = plan_volume(volume(of="data", annotations=BY_US), elsewhere).volume
    assert freed is not None and freed.spec.claim_ref is None and freed.metadata.annotations == {}
    kept = plan_volume(volume(of="data"), elsewhere).volume
    assert kept is not None and kept.spec.claim_ref is not None and kept.spec.claim_ref.uid == ""
    gone = plan_volume(volume(of="data", annotations=PROVISIONED, policy="Delete"), elsewhere).volume_status
    assert gone is not None and gone.status.phase == "Released"


def test_a_volume_that_is_being_deleted_waits_for_no_claim() -> None:
    """One that was named for a claim, and whose deletion began before the claim named it, is let go."""
    going = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
    made = plan_volume(volume(of="data", phase="Bound", annotations=PROVISIONED, policy="Delete", meta=going), claim())
    assert made.volume_status is not None and made.volume_status.status.phase == "Released"
    freed = plan_volume(volume(of="data", phase="Bound", annotations=BY_US, meta=going), claim()).volume
    assert freed is not None and freed.spec.claim_ref is None


def test_a_claim_that_is_being_deleted_starts_nothing() -> None:
    """It neither asks for a volume nor complains."""
    going = claim(cls="slow", meta={"deletionTimestamp": "2026-01-01T00:00:00Z"})
    assert plan_claim(going, Stored(storage_class())) == NOTHING
    assert plan_claim(replace(going, spec=replace(going.spec, storage_class_name=None)), Stored()) == NOTHING
