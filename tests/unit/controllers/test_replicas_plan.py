"""How many Pods are made and which go, who owns what, and what a set says of itself: tables."""

from __future__ import annotations

import random
from typing import Any

import pytest
from tests.unit.controllers.workloads import LABELS, NOW, made_controller, made_pod, made_set

from podling.api.resources import REPLICA_SETS
from podling.api.selectors import from_labels
from podling.api.times import to_wire
from podling.api.types.core_v1 import Pod
from podling.controllers.availability import available_in, next_available
from podling.controllers.claims import claim
from podling.controllers.pod_ranking import ranked
from podling.controllers.pods_of_templates import name_prefix, pod_of
from podling.controllers.replicas_plan import BURST, plan, status

PAIRS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("without a Node", {"node": "", "ready": None}, {"ready": None}),
    ("without a Node, though running", {"node": "", "phase": "Running"}, {"phase": "Pending", "ready": None}),
    ("Pending", {"phase": "Pending"}, {"phase": "Unknown"}),
    ("Unknown", {"phase": "Unknown"}, {"phase": "Running"}),
    ("not ready", {"ready": None}, {"ready": 1}),
    ("cheap", {"cost": "-1"}, {}),
    ("cheap, though ready for longer", {"ready": 10_000}, {"cost": "1", "ready": 1}),
    ("a cost that is none counts as 0", {"cost": "-1"}, {"cost": "x"}),
    ("crowded", {"node": "crowded", "ready": 10_000}, {"ready": 1}),
    ("ready for less", {"ready": 10}, {"ready": 100}),
    ("of like magnitude the uid decides", {"ready": 120}, {"ready": 100}),
    ("restarted", {"restarts": 2, "age": 5000}, {"restarts": 1, "age": 10}),
    ("a sidecar restarted", {"sidecar_restarts": 2}, {"sidecar_restarts": 1}),
    ("a container's restarts count before a sidecar's", {"restarts": 1}, {"sidecar_restarts": 9}),
    ("young", {"age": 10}, {"age": 100}),
    ("young, not ready", {"ready": None, "age": 10}, {"ready": None, "age": 100}),
]


@pytest.mark.parametrize(("first", "last"), [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS])
def test_who_goes_first(first: dict[str, Any], last: dict[str, Any]) -> None:
    """One reason decides between two Pods, whichever way round they come."""
    goes, stays = made_pod("a", **first), made_pod("b", **last)
    related = [goes, stays, made_pod("x", node="crowded"), made_pod("y", node="crowded")]
    assert [pod.metadata.name for pod in ranked([goes, stays], related, NOW)] == ["a", "b"]
    assert [pod.metadata.name for pod in ranked([stays, goes], related, NOW)] == ["a", "b"]


def test_the_reasons_have_an_order() -> None:
    """All at once, however they are shuffled: each Pod goes for the first reason that tells it from the next."""
    order = [
        made_pod("no-node", node="", phase="Pending", ready=None),
        made_pod("pending", node="j", phase="Pending", ready=None),
        made_pod("unready", node="k", ready=None),
        made_pod("cheap", node="l", cost="-5"),
        made_pod("crowd-1", node="crowded", restarts=1),
        made_pod("crowd-2", node="crowded"),
        made_pod("fresh", node="m", ready=2),
        made_pod("restarted", node="o", restarts=3),
        made_pod("young", node="p", age=3),
        made_pod("zold", node="q"),
    ]
    dice = random.Random(5)
    for _ in range(20):
        mixed = order[:]
        dice.shuffle(mixed)
        assert ranked(mixed, order, NOW) == order


@pytest.mark.parametrize(
    ("wanted", "have", "create", "delete"),
    [(3, 0, 3, 0), (3, 3, 0, 0), (3, 5, 0, 2), (0, 2, 0, 2), (2000, 0, BURST, 0), (0, BURST + 9, 0, BURST)],
)
def test_how_many(wanted: int, have: int, create: int, delete: int) -> None:
    """The difference, no more than a burst at a time."""
    pods = [made_pod(f"p{number}") for number in range(have)]
    todo = plan(wanted, pods, pods, NOW)
    assert (todo.create, len(todo.delete)) == (create, delete)


CLAIMS: list[tuple[str, dict[str, Any], str]] = [
    ("mine", {"owner": "u"}, "kept"),
    ("mine and going", {"owner": "u", "going": True}, "kept"),
    ("mine, other labels", {"owner": "u", "labels": {"app": "x"}}, "released"),
    ("nobody's", {}, "adopted"),
    ("nobody's, going", {"going": True}, "none"),
    ("nobody's, other labels", {"labels": {}}, "none"),
    ("another's", {"owner": "v"}, "none"),
]


@pytest.mark.parametrize(("pod", "becomes"), [row[1:] for row in CLAIMS], ids=[row[0] for row in CLAIMS])
def test_who_owns_what(pod: dict[str, Any], becomes: str) -> None:
    """A Pod is kept, adopted, released or left alone."""
    claims = claim(made_set(), from_labels(LABELS), [made_pod("a", **pod)])
    found = {"kept": claims.kept, "adopted": claims.adopted, "released": claims.released}
    assert [name for name, pods in found.items() if pods] == ([becomes] if becomes != "none" else [])


def test_who_is_going_takes_and_releases_nothing() -> None:
    """An owner that is being deleted keeps what it has, for the garbage collector to find."""
    import msgspec

    held = made_set()
    going = msgspec.structs.replace(
        held, metadata=msgspec.structs.replace(held.metadata, deletion_timestamp=to_wire(NOW))
    )
    pods = [made_pod("a"), made_pod("b", owner="u", labels={}), made_pod("c", owner="u")]
    claims = claim(going, from_labels(LABELS), pods)
    assert ([p.metadata.name for p in claims.kept], claims.adopted, claims.released) == (["c"], (), ())


def test_a_status_counts() -> None:
    """Replicas, those with all labels of the template, ready ones, and those that were ready for long enough."""
    pods = [
        made_pod("a", ready=100, labels={**LABELS, "more": "x"}),
        made_pod("b", ready=29),
        made_pod("c", ready=30),
        made_pod("d", ready=None),
    ]
    found = status(made_set(minReadySeconds=30), pods, 1, "", NOW)
    assert found is not None
    assert (found.replicas, found.fully_labeled_replicas, found.ready_replicas, found.available_replicas) == (
        4,
        1,
        3,
        2,
    )
    assert found.observed_generation == 2
    assert found.terminating_replicas == 1  # type: ignore[union-attr]
    of_controller = status(made_controller(), pods, 1, "", NOW)
    assert of_controller is not None
    assert (of_controller.replicas, of_controller.available_replicas) == (4, 3)


def test_what_a_status_says_already_is_not_said_again() -> None:
    """Nothing to write where nothing changed; a condition of somebody else's stays."""
    foreign = {"type": "Mine", "status": "True", "lastTransitionTime": to_wire(NOW)}
    said = {"replicas": 0, "observedGeneration": 2, "terminatingReplicas": 0, "conditions": [foreign]}
    assert status(made_set(status=said), (), 0, "", NOW) is None
    assert status(made_set(status={**said, "observedGeneration": 1}), (), 0, "", NOW) is not None


def test_a_failure_is_a_condition_for_as_long_as_it_lasts() -> None:
    """With the reason of the first time; it goes when all is carried out."""
    found = made_set()
    pods: list[Pod] = [made_pod("a")]
    first = status(found, pods, 0, "no quota", NOW)
    assert first is not None
    (condition,) = first.conditions
    assert (condition.type, condition.status, condition.reason, condition.message, condition.last_transition_time) == (
        "ReplicaFailure",
        "True",
        "FailedCreate",
        "no quota",
        to_wire(NOW),
    )
    import msgspec

    found = msgspec.structs.replace(found, status=first)
    assert status(found, pods, 0, "still no quota", NOW + 5) is None
    over = status(found, pods, 0, "", NOW + 9)
    assert over is not None
    assert over.conditions == ()
    many = status(made_set(1), [made_pod("a"), made_pod("b")], 0, "no", NOW)
    assert many is not None
    assert many.conditions[0].reason == "FailedDelete"


def test_availability_is_an_instant() -> None:
    """Not a moment before the seconds are over; of several, the next counts."""
    young, old = made_pod("a", ready=10), made_pod("b", ready=25)
    assert (available_in(young, 0, NOW), available_in(young, 30, NOW), available_in(old, 25, NOW)) == (0, 20, 0)
    assert available_in(made_pod("c", ready=None), 0, NOW) is None
    assert next_available([young, old], 30, NOW) == 5
    assert next_available([old], 25, NOW) is None


def test_a_pod_is_made_of_its_template() -> None:
    """Labels, annotations, finalizers and specification are the template's, name and reference the owner's."""
    template = {
        "metadata": {"labels": LABELS, "annotations": {"a": "b"}, "finalizers": ["x/y"], "name": "ignored"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
    }
    owner = made_set(template=template)
    assert owner.spec.template is not None
    pod = pod_of(owner.spec.template, REPLICA_SETS, owner)
    meta = pod.metadata
    assert (meta.name, meta.generate_name, meta.namespace) == ("", "web-", "default")
    assert (meta.labels, meta.annotations, meta.finalizers) == (LABELS, {"a": "b"}, ("x/y",))
    (reference,) = meta.owner_references
    assert (reference.api_version, reference.kind, reference.name, reference.uid) == (
        "apps/v1",
        "ReplicaSet",
        "web",
        "u",
    )
    assert (reference.controller, reference.block_owner_deletion) == (True, True)
    assert pod.spec == owner.spec.template.spec
    assert (name_prefix("a.b"), name_prefix("a" * 253)) == ("a.b-", "a" * 253)
