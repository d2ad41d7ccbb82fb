"""The steps of a Deployment: tables of sizes, revisions, conditions and what one look leads to."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.controllers.workloads import LABELS, NOW, made_pod

from podling.api.codec import from_tree, to_tree
from podling.api.times import to_wire
from podling.api.types.apps_v1 import Deployment, ReplicaSet
from podling.controllers import deployment_sizes as sizes
from podling.controllers.deployment_plan import DeploymentPlan, plan
from podling.controllers.deployment_revisions import HASH, HISTORY, REVISION, find_new, new_set, noted, template_hash

DESIRED, MOST = sizes.DESIRED, sizes.MOST


def template(image: str = "new", **labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": {**LABELS, **labels}}, "spec": {"containers": [{"name": "c", "image": image}]}}


def made(
    replicas: int = 10,
    surge: int | str = 3,
    missing: int | str = 2,
    *,
    status: dict[str, Any] | None = None,
    annotations: dict[str, str] | None = None,
    going: bool = False,
    **spec: Any,
) -> Deployment:
    meta: dict[str, Any] = {"name": "web", "namespace": "default", "uid": "d", "generation": 2}
    meta["annotations"] = annotations or {}
    if going:
        meta["deletionTimestamp"] = to_wire(NOW)
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": surge, "maxUnavailable": missing}}
    whole = {
        "replicas": replicas,
        "selector": {"matchLabels": LABELS},
        "template": template(),
        "strategy": strategy,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        **spec,
    }
    return from_tree(Deployment, {"metadata": meta, "spec": whole, "status": status or {}})


def one(
    image: str,
    replicas: int,
    available: int | None = None,
    *,
    revision: int = 1,
    age: float = 100,
    desired: int | None = None,
    most: int | None = None,
    actual: int | None = None,
    name: str = "",
    conditions: list[dict[str, Any]] | None = None,
    **annotations: str,
) -> ReplicaSet:
    """A ReplicaSet of the Deployment; all its Pods are there and available unless said otherwise."""
    notes = {REVISION: str(revision), **annotations}
    if desired is not None:
        notes[DESIRED] = str(desired)
    if most is not None:
        notes[MOST] = str(most)
    name = name or f"web-{image}"
    meta = {
        "name": name,
        "uid": name,
        "namespace": "default",
        "generation": 1,
        "annotations": notes,
        "creationTimestamp": to_wire(NOW - age),
    }
    have = replicas if available is None else available
    status = {
        "replicas": replicas if actual is None else actual,
        "readyReplicas": have,
        "availableReplicas": have,
        "observedGeneration": 1,
        "conditions": conditions or [],
    }
    spec = {"replicas": replicas, "selector": {}, "template": template(image, **{HASH: image})}
    return from_tree(ReplicaSet, {"metadata": meta, "spec": spec, "status": status})


def look(
    deployment: Deployment, *sets: ReplicaSet, pods: dict[str, Any] | None = None, now: float = NOW
) -> DeploymentPlan:
    return plan(deployment, sets, pods or {}, now)


def changes(todo: DeploymentPlan) -> dict[str, int]:
    return {it.metadata.name: it.spec.replicas or 0 for it in todo.update}


def said(todo: DeploymentPlan, kind: str) -> tuple[str, str, str] | None:
    assert todo.deployment is not None
    held = next((it for it in todo.deployment.status.conditions if it.type == kind), None)
    return (held.status, held.reason, held.message) if held is not None else None


@pytest.mark.parametrize(
    ("replicas", "surge", "missing", "posts"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (4, "25%", "25%", (1, 1)),
        (10, 0, "5%", (0, 1)),
        (10, 0, 0, (0, 1)),
        (3, "100%", "100%", (3, 3)),
        (5, 2, "50%", (2, 2)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(
    replicas: int, surge: int | str, missing: int | str, posts: tuple[int, int]
) -> None:
    """Where both come to nothing, one may be missing."""
    assert sizes.fence_posts(made(replicas, surge, missing)) == posts


def test_no_more_may_be_missing_than_there_are() -> None:
    assert sizes.max_unavailable(made(2, 0, 5)) == 2
    assert sizes.max_unavailable(made(0)) == 0
    assert sizes.fence_posts(made(strategy={"type": "Recreate"})) == (0, 0)


ROLLS: list[tuple[str, Deployment, list[ReplicaSet], dict[str, int]]] = [
    ("the new grows by the surge", made(), [one("old", 10, desired=10), one("new", 0, desired=10, revision=2)], {"web-new": 3}),
    (
        "the old shrink by what may be missing",
        made(),
        [one("old", 10, desired=10), one("new", 3, 0, desired=10, revision=2)],
        {"web-old": 8},
    ),
    (
        "nothing moves while new ones are awaited",
        made(),
        [one("old", 8, desired=10), one("new", 5, 0, desired=10, revision=2)],
        {},
    ),
    (
        "available new ones let old ones go",
        made(),
        [one("old", 8, desired=10), one("new", 5, 3, desired=10, revision=2)],
        {"web-old": 5},
    ),
    (
        "old ones that are not available go first, the oldest set's before the others'",
        made(10, 0, 2),
        [one("old", 4, 2, age=300, desired=10), one("mid", 6, 5, age=200, desired=10, revision=2), one("new", 0, desired=10, revision=3)],
        {"web-old": 2},
    ),
    (
        "the new never outgrows what is wanted",
        made(4, 3, 0),
        [one("old", 1, desired=4), one("new", 2, desired=4, revision=2)],
        {"web-new": 4},
    ),
    ("the new shrinks to what is wanted", made(2), [one("new", 5, desired=2)], {"web-new": 2}),
    ("nothing to do", made(), [one("old", 0, desired=10), one("new", 10, desired=10, most=13, revision=2)], {}),
]  # fmt: skip


@pytest.mark.parametrize(("deployment", "sets", "wanted"), [row[1:] for row in ROLLS], ids=[row[0] for row in ROLLS])
def test_a_step_of_a_rolling_update(deployment: Deployment, sets: list[ReplicaSet], wanted: dict[str, int]) -> None:
    """One look makes one step: the new set grows, or else old ones shrink."""
    assert changes(look(deployment, *sets)) == wanted


PROPORTIONS: list[tuple[str, Deployment, list[ReplicaSet], dict[str, int]]] = [
    (
        "as upstream's suite has it",
        made(30),
        [one("old", 8, desired=10, most=13), one("new", 5, 0, desired=10, most=13, revision=2)],
        {"web-old": 20, "web-new": 13},
    ),
    (
        "down",
        made(5, 2, 0),
        [one("old", 8, desired=10, most=12), one("new", 4, desired=10, most=12, revision=2)],
        {"web-old": 5, "web-new": 2},
    ),
    (
        "what rounding leaves goes to the largest, the newest of like ones",
        made(7, 0, 1),
        [one("old", 3, age=200, desired=6, most=6), one("new", 3, age=100, desired=6, most=6, revision=2)],
        {"web-old": 3, "web-new": 4},
    ),
    ("to nothing", made(0), [one("old", 8, desired=10, most=13), one("new", 5, desired=10, most=13)], {"web-old": 0, "web-new": 0}),
    ("only one is active", made(7), [one("old", 0, desired=3), one("new", 3, desired=3)], {"web-new": 7}),
    ("none is active: the newest", made(5, paused=True), [one("new", 0, desired=0)], {"web-new": 5}),
    (
        "the new is whole: old ones go",
        made(3, paused=True),
        [one("old", 2, desired=3), one("new", 3, desired=3, revision=2)],
        {"web-old": 0},
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("deployment", "sets", "wanted"), [row[1:] for row in PROPORTIONS], ids=[row[0] for row in PROPORTIONS]
)
def test_a_change_of_size_is_spread(deployment: Deployment, sets: list[ReplicaSet], wanted: dict[str, int]) -> None:
    """Every active set gets its share, and notes what it was sized for."""
    todo = look(deployment, *sets)
    assert changes(todo) == wanted
    for changed in todo.update:
        assert changed.metadata.annotations[DESIRED] == str(deployment.spec.replicas)
        assert changed.metadata.annotations[MOST] == str(sizes.wanted(deployment) + sizes.max_surge(deployment))


def test_a_new_set_is_made_as_large_as_it_may_be() -> None:
    """With the template's hash in its name, labels and selector, the next revision, and the Deployment's annotations."""
    notes = {"note": "x", REVISION: "4", "kubectl.kubernetes.io/last-applied-configuration": "y"}
    deployment = made(annotations=notes, status={"replicas": 10, "readyReplicas": 10, "availableReplicas": 10})
    todo = look(deployment, one("old", 10, desired=10, revision=4))
    new = todo.create
    assert new is not None
    hashed = template_hash(deployment.spec.template, 0)
    assert (new.metadata.name, new.spec.replicas) == (f"web-{hashed}", 3)
    assert new.metadata.labels == {**LABELS, HASH: hashed}
    assert new.spec.selector is not None
    assert new.spec.selector.match_labels == {**LABELS, HASH: hashed}
    assert new.spec.template is not None
    assert new.spec.template.metadata.labels == {**LABELS, HASH: hashed}
    assert new.metadata.annotations == {"note": "x", REVISION: "5", DESIRED: "10", MOST: "13"}
    assert [it.uid for it in new.metadata.owner_references] == ["d"]
    assert todo.told == {
        new.metadata.name: f"Scaled up replica set {new.metadata.name} from 0 to 3",
        "web-old": "Scaled down replica set web-old from 10 to 8",
    }
    assert todo.deployment is not None
    assert todo.deployment.metadata.annotations[REVISION] == "5"
    assert said(todo, "Progressing") == (
        "True",
        "NewReplicaSetCreated",
        f'Created new replica set "{new.metadata.name}"',
    )
    assert todo.again_in == pytest.approx(600, abs=0.01)


def test_a_collision_hashes_otherwise() -> None:
    """What was met once gives another name the next time; the same template the same name every time."""
    deployment = made()
    again = made(status={"collisionCount": 1})
    assert new_set(deployment, 1).metadata.name == new_set(made(), 1).metadata.name
    assert new_set(again, 1).metadata.name != new_set(deployment, 1).metadata.name


def test_the_present_set_is_found_by_its_template() -> None:
    """Whatever its hash and name; of two, the oldest."""
    older, newer = one("new", 1, age=50, name="a"), one("new", 1, age=40, name="b")
    assert find_new(made(), [newer, one("old", 1), older]) is older
    assert find_new(made(), [one("old", 1)]) is None


def test_revisions_only_grow_and_are_remembered() -> None:
    """Rolled back to, a set gets the next number and keeps the old one as its history, of bounded length."""
    back = noted(made(), one("new", 0, revision=1), 4)
    assert (back.metadata.annotations[REVISION], back.metadata.annotations[HISTORY]) == ("4", "1")
    back = noted(made(), back, 7)
    assert back.metadata.annotations[HISTORY] == "1,4"
    assert noted(made(), back, 5) is back
    long = one("new", 0, revision=1000, **{HISTORY: ",".join(["999"] * 500)})
    text = noted(made(), long, 1001).metadata.annotations[HISTORY]
    assert len(text) <= 2000
    assert text.endswith("999,1000")
    odd = msgspec.structs.replace(long, metadata=msgspec.structs.replace(long.metadata, annotations={REVISION: "x"}))
    assert noted(made(), odd, 5).metadata.annotations[REVISION] == "x"


RECREATE = {"strategy": {"type": "Recreate"}}


def test_recreate_waits_for_the_last_old_pod() -> None:
    """Old ones go to zero; nothing is made while one of them is left, though it be on its way out; then all at once."""
    deployment = made(4, **RECREATE)
    todo = look(deployment, one("old", 4, desired=4))
    assert (changes(todo), todo.create) == ({"web-old": 0}, None)
    empty = one("old", 0, desired=4)
    assert look(deployment, one("old", 0, desired=4, actual=1)).create is None
    assert look(deployment, empty, pods={"web-old": [made_pod("a", going=True)]}).create is None
    for over in ({"web-old": [made_pod("a", phase="Succeeded")]}, {}):
        todo = look(deployment, empty, pods=over)
        assert todo.create is not None
        assert todo.create.spec.replicas == 4


def test_a_size_that_somebody_else_gave_is_noted() -> None:
    """Else the Deployment would see a change of size for ever, and never roll."""
    todo = look(made(5), one("old", 5, desired=3, most=4))
    assert (todo.create, todo.told) == (None, {})
    (noted_set,) = todo.update
    assert (noted_set.metadata.annotations[DESIRED], noted_set.metadata.annotations[MOST]) == ("5", "8")
    assert look(made(5), noted_set).create is not None


def test_recreate_does_not_wait_for_a_size_that_it_cannot_spread() -> None:
    """With two active sets, as a rolling update leaves them, and another size: the old one goes all the same."""
    todo = look(made(7, **RECREATE), one("old", 2, desired=4), one("new", 3, desired=4, revision=2))
    assert changes(todo) == {"web-old": 0}


def test_old_revisions_are_forgotten_beyond_the_limit() -> None:
    """The oldest revisions first, once the rollout is over, and never one that still has Pods or is not looked at yet."""
    done = {"replicas": 1, "updatedReplicas": 1, "availableReplicas": 1, "observedGeneration": 2}
    old = [one(f"o{number}", 0, revision=number, desired=1, name=f"r{number}") for number in (3, 1, 2, 4)]
    new = one("new", 1, revision=5, desired=1)
    todo = look(made(1, revisionHistoryLimit=2, status=done), *old, new)
    assert [it.metadata.name for it in todo.delete] == ["r1", "r2"]
    busy = [one("o1", 0, revision=1, desired=1, name="r1", actual=1), *old[2:]]
    assert look(made(1, revisionHistoryLimit=0, status=done), *busy, new).delete == tuple(
        sorted(old[2:], key=lambda it: it.metadata.name)
    )
    assert look(made(1, revisionHistoryLimit=0), *old, new).delete == ()


def test_who_is_going_is_only_counted() -> None:
    todo = look(made(10, going=True), one("old", 4, desired=10))
    assert (todo.create, todo.update) == (None, ())
    assert todo.deployment is not None
    assert todo.deployment.status.replicas == 4


def test_the_counts_are_all_sets_together() -> None:
    """Available while no more are missing than may be."""
    todo = look(made(), one("old", 6, desired=10), one("new", 5, 2, desired=10, revision=2))
    assert todo.deployment is not None
    status = to_tree(todo.deployment.status)
    status.pop("conditions")
    assert status == {
        "observedGeneration": 2,
        "replicas": 11,
        "updatedReplicas": 5,
        "readyReplicas": 8,
        "availableReplicas": 8,
        "unavailableReplicas": 5,
    }
    assert said(todo, "Available") == ("True", "MinimumReplicasAvailable", "Deployment has minimum availability.")
    todo = look(made(), one("new", 10, 7, desired=10))
    assert said(todo, "Available") == (
        "False",
        "MinimumReplicasUnavailable",
        "Deployment does not have minimum availability.",
    )


def progressing(since: float, reason: str = "ReplicaSetUpdated", status: str = "True") -> dict[str, Any]:
    return {
        "type": "Progressing",
        "status": status,
        "reason": reason,
        "message": "m",
        "lastUpdateTime": to_wire(NOW - since),
        "lastTransitionTime": to_wire(NOW - 5000),
    }


STUCK: dict[str, Any] = {"replicas": 3, "updatedReplicas": 3, "observedGeneration": 2, "unavailableReplicas": 3}


@pytest.mark.parametrize(("since", "is_late"), [(0, False), (599, False), (600, False), (601, True), (6000, True)])
def test_a_rollout_that_does_not_get_on_is_given_up(since: float, is_late: bool) -> None:
    """When the deadline is over since the last step, and not at its last second."""
    deployment = made(3, 1, 0, status={**STUCK, "conditions": [progressing(since)]})
    todo = look(deployment, one("new", 3, 0, desired=3))
    if is_late:
        assert said(todo, "Progressing") == (
            "False",
            "ProgressDeadlineExceeded",
            'ReplicaSet "web-new" has timed out progressing.',
        )
        assert todo.again_in is None
    else:
        assert said(todo, "Progressing") == ("True", "ReplicaSetUpdated", "m")
        assert todo.again_in == pytest.approx(600 - since, abs=0.01)


def test_a_step_forward_is_dated_anew() -> None:
    """Also with the reason that was there; since when it gets on stays. Completion is another reason."""
    deployment = made(3, 1, 0, status={**STUCK, "conditions": [progressing(300)]})
    todo = look(deployment, one("new", 3, 1, desired=3))
    assert todo.deployment is not None
    (held,) = [it for it in todo.deployment.status.conditions if it.type == "Progressing"]
    assert (held.reason, held.message) == ("ReplicaSetUpdated", 'ReplicaSet "web-new" is progressing.')
    assert (held.last_update_time, held.last_transition_time) == (to_wire(NOW), to_wire(NOW - 5000))
    todo = look(deployment, one("new", 3, 3, desired=3))
    done = ("True", "NewReplicaSetAvailable", 'ReplicaSet "web-new" has successfully progressed.')
    assert said(todo, "Progressing") == done
    assert todo.again_in is None


def test_without_a_deadline_nothing_is_said_of_progress() -> None:
    deployment = made(3, progressDeadlineSeconds=2**31 - 1, status={**STUCK, "conditions": [progressing(1)]})
    todo = look(deployment, one("new", 3, 0, desired=3))
    assert said(todo, "Progressing") is None


def test_a_pause_is_said_and_stops_the_rollout() -> None:
    """Nothing is made for a new template while paused; a resumption is said, and the rollout goes on."""
    paused = look(made(10, paused=True), one("old", 10, desired=10, most=13))
    assert (paused.create, paused.update) == (None, ())
    assert said(paused, "Progressing") == ("Unknown", "DeploymentPaused", "Deployment is paused")
    resumed = made(10, status={"conditions": [progressing(5, "DeploymentPaused", "Unknown")], "observedGeneration": 2})
    todo = look(resumed, one("old", 10, desired=10), one("new", 3, 0, desired=10, revision=2))
    assert changes(todo) == {"web-old": 8}
    assert said(todo, "Progressing") is not None
    late = made(10, paused=True, status={"conditions": [progressing(5, "ProgressDeadlineExceeded", "False")]})
    assert said(look(late, one("old", 10, desired=10)), "Progressing") == ("False", "ProgressDeadlineExceeded", "m")


def test_a_failure_to_make_pods_is_the_deployments_too() -> None:
    """The new set's before an old one's; it goes when theirs goes."""
    failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "lastTransitionTime": to_wire(NOW)}
    old = one("old", 2, desired=3, conditions=[{**failure, "message": "old"}])
    new = one("new", 1, 0, desired=3, revision=2, conditions=[{**failure, "message": "new"}])
    todo = look(made(3, 1, 1), old, new)
    assert said(todo, "ReplicaFailure") == ("True", "FailedCreate", "new")
    assert todo.deployment is not None
    over = msgspec.structs.replace(made(3, 1, 1), status=todo.deployment.status)
    assert said(look(over, one("old", 2, desired=3), one("new", 1, desired=3, revision=2)), "ReplicaFailure") is None


def test_what_is_said_already_is_not_written_again() -> None:
    """A Deployment at rest leads to nothing at all."""
    sets = [one("new", 3, desired=3, most=4)]
    first = look(made(3, 1, 0), *sets).deployment
    assert first is not None
    again = look(first, *sets, now=NOW + 5)
    assert again == DeploymentPlan(None, (), (), None, {}, None)
