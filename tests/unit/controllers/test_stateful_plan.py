"""Which Pods of a StatefulSet are made, go, and are put right, and what it says of itself: tables."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from tests.unit.controllers.workloads import LABELS, NOW, made_pod

from podling.api.codec import from_tree
from podling.api.resources import STATEFUL_SETS
from podling.api.times import to_wire
from podling.api.types.apps_v1 import ControllerRevision, StatefulSet
from podling.api.types.core_v1 import PersistentVolumeClaim, Pod
from podling.controllers.revisions import HASH, data_of, expired, history, made, template_of
from podling.controllers.stateful_claims import owned
from podling.controllers.stateful_plan import BURST, Revisions, StatefulPlan, lacking, plan
from podling.controllers.stateful_pods import claims_of, number_of
from podling.controllers.stateful_status import status

CLAIM = {"metadata": {"name": "data"}, "spec": {"accessModes": ["ReadWriteOnce"]}}


def made_set(replicas: int = 3, *, image: str = "new", current: str = "new", **spec: Any) -> StatefulSet:
    meta = {"name": "web", "namespace": "default", "uid": "u", "generation": 2}
    template = {"metadata": {"labels": LABELS}, "spec": {"containers": [{"name": "c", "image": image}]}}
    whole = {
        "replicas": replicas,
        "selector": {"matchLabels": LABELS},
        "template": template,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1}},
        **spec,
    }
    return from_tree(
        StatefulSet, {"metadata": meta, "spec": whole, "status": {"replicas": 0, "currentRevision": current}}
    )


def revision(image: str, number: int = 1) -> ControllerRevision:
    one = made(STATEFUL_SETS, made_set(image=image), 1, 0, "hash", {})
    metadata = msgspec.structs.replace(one.metadata, name=image, uid=image)
    return msgspec.structs.replace(one, metadata=metadata, revision=number)


OLD, NEW = revision("old"), revision("new", 2)


def pod(number: int, of: str = "new", **given: Any) -> Pod:
    name = f"web-{number}"
    identity = {"statefulset.kubernetes.io/pod-name": name, "apps.kubernetes.io/pod-index": str(number)}
    return made_pod(name, labels={**LABELS, HASH: of, **identity}, **given)


def planned(
    found: StatefulSet, *pods: Pod, claims: tuple[PersistentVolumeClaim, ...] = (), current: ControllerRevision = NEW
) -> StatefulPlan:
    return plan(found, Revisions(current, NEW), pods, {claim.metadata.name: claim for claim in claims}, NOW)


def steps(found: StatefulSet, *pods: Pod, current: ControllerRevision = NEW) -> str:
    """Return a plan in short: what is made, with its revision where that is not the new one, and what goes."""
    todo = planned(found, *pods, current=current)
    created = [
        f"+{number_of(found, new.pod)}" + (":old" if new.pod.metadata.labels[HASH] == "old" else "")
        for new in todo.create
    ]
    return " ".join([*created, *(f"-{number_of(found, gone)}" for gone in todo.delete)])


UNWELL: dict[str, Any] = {"ready": None}
PARALLEL = {"podManagementPolicy": "Parallel"}


def rolling(**given: Any) -> dict[str, Any]:
    return {
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": 1, **given}}
    }


TABLE: list[tuple[str, StatefulSet, list[Pod], str]] = [
    ("the first", made_set(), [], "+0"),
    ("the next, when all before are ready", made_set(), [pod(0)], "+1"),
    ("none while one is not ready", made_set(), [pod(0), pod(1, **UNWELL)], ""),
    ("none while one is going", made_set(), [pod(0, going=True)], ""),
    ("a gap first", made_set(), [pod(0), pod(2)], "+1"),
    ("none while one is not available", made_set(minReadySeconds=101), [pod(0)], ""),
    ("the next once it is", made_set(minReadySeconds=100), [pod(0)], "+1"),
    ("all at once", made_set(**PARALLEL), [pod(1, **UNWELL)], "+0 +2"),
    ("numbers from a start", made_set(2, ordinals={"start": 5}), [pod(5)], "+6"),
    ("what failed goes", made_set(2), [pod(0, phase="Failed"), pod(1)], "-0"),
    ("what succeeded goes too", made_set(2), [pod(0, phase="Succeeded"), pod(1)], "-0"),
    ("but not in its first second", made_set(2), [pod(0, phase="Failed", age=0), pod(1)], ""),
    ("and once", made_set(2), [pod(0, phase="Failed", going=True), pod(1)], ""),
    ("the last goes first", made_set(1), [pod(0), pod(1), pod(2)], "-2"),
    ("one after the other", made_set(1), [pod(0), pod(1), pod(2, going=True)], ""),
    ("none while one that stays is unwell", made_set(1), [pod(0, **UNWELL), pod(1)], ""),
    ("none while one that goes later is unwell, but the first of those", made_set(0), [pod(0, **UNWELL), pod(1, **UNWELL)], ""),
    ("the unwell one itself", made_set(0), [pod(0, **UNWELL)], "-0"),
    ("a well one above it", made_set(0), [pod(0, **UNWELL), pod(1)], "-1"),
    ("all go at once", made_set(0, **PARALLEL), [pod(0, **UNWELL), pod(1), pod(2, going=True)], "-1 -0"),
    ("below the start they go", made_set(1, ordinals={"start": 5}), [pod(0), pod(5)], "-0"),
    ("the last of the old", made_set(), [pod(0, "old"), pod(1, "old"), pod(2, "old")], "-2"),
    ("then the next", made_set(), [pod(0, "old"), pod(1, "old"), pod(2)], "-1"),
    ("down to the partition", made_set(**rolling(partition=2)), [pod(0, "old"), pod(1, "old"), pod(2)], ""),
    ("as many as may be missing", made_set(4, **rolling(maxUnavailable=2)), [pod(n, "old") for n in range(4)], "-3 -2"),
    ("a share is rounded up", made_set(4, **rolling(maxUnavailable="30%")), [pod(n, "old") for n in range(4)], "-3 -2"),
    ("who is missing counts", made_set(3, **PARALLEL), [pod(0, "old"), pod(1, "old"), pod(2, **UNWELL)], ""),
    ("an old one that is unwell is missed by nobody", made_set(3, **PARALLEL),
     [pod(0, "old"), pod(1, "old", **UNWELL), pod(2, "old")], "-1"),
    ("none on delete", made_set(updateStrategy={"type": "OnDelete"}), [pod(n, "old") for n in range(3)], ""),
    ("a stranger is no matter", made_set(1), [pod(0), made_pod("web-01"), made_pod("x-1"), made_pod("web-x")], ""),
]  # fmt: skip


@pytest.mark.parametrize(("found", "pods", "wanted"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_steps(found: StatefulSet, pods: list[Pod], wanted: str) -> None:
    """One look makes the steps that nothing stands in the way of."""
    assert steps(found, *pods) == wanted


@pytest.mark.parametrize(
    ("partition", "number", "wanted"), [(0, 0, "+0"), (1, 0, "+0:old"), (1, 1, "+1"), (2, 1, "+1:old")]
)
def test_a_pod_made_below_the_partition_is_of_the_current_template(partition: int, number: int, wanted: str) -> None:
    """Until the update is through; the current one is the status's."""
    found = made_set(3, current="old", **rolling(partition=partition))
    pods = [pod(n, "old") for n in range(3) if n != number]
    assert steps(found, *pods, current=OLD).split(" ")[0] == wanted


def test_with_the_time() -> None:
    """What waits says for how long."""
    assert planned(made_set(2, minReadySeconds=130), pod(0)).again_in == 30
    assert planned(made_set(1), pod(0, phase="Failed", age=0.0)).again_in == 1
    assert planned(made_set(1), pod(0)).again_in is None


def test_a_set_that_goes_does_nothing() -> None:
    """Its Pods are the garbage collector's."""
    found = made_set(3, volumeClaimTemplates=[CLAIM])
    meta = msgspec.structs.replace(found.metadata, deletion_timestamp=to_wire(NOW))
    assert planned(msgspec.structs.replace(found, metadata=meta)) == StatefulPlan()


def test_a_look_is_bounded() -> None:
    """A burst makes so many Pods at once, and no more."""
    assert len(planned(made_set(BURST + 5, **PARALLEL)).create) == BURST


def test_a_pod_with_its_claims() -> None:
    """Its volumes are its claims, instead of any of those names; missing ones are made before it."""
    volumes = [{"name": "data", "emptyDir": {}}, {"name": "other", "emptyDir": {}}]
    template = {
        "metadata": {"labels": LABELS},
        "spec": {"containers": [{"name": "c", "image": "i"}], "volumes": volumes},
    }
    found = made_set(1, serviceName="svc", volumeClaimTemplates=[CLAIM], template=template)
    of = made(STATEFUL_SETS, found, 1, 0, "hash", {})
    (new,) = plan(found, Revisions(of, of), (), {}, NOW).create
    assert [volume.name for volume in new.pod.spec.volumes] == ["data", "other"]
    held = new.pod.spec.volumes[0].persistent_volume_claim
    assert held is not None
    assert held.claim_name == "data-web-0"
    assert (new.pod.spec.hostname, new.pod.spec.subdomain, new.pod.metadata.generate_name) == ("web-0", "svc", "web-")
    assert [claim.metadata.name for claim in new.claims] == ["data-web-0"]
    (new,) = planned(found, claims=new.claims).create
    assert new.claims == ()


def test_a_pending_pod_gets_its_claims_again() -> None:
    """One that runs does not need to wait for them."""
    found = made_set(1, volumeClaimTemplates=[CLAIM])
    (waits,) = planned(found, pod(0, phase="Pending", ready=None)).claims
    assert [claim.metadata.name for claim in waits.claims] == ["data-web-0"]
    assert planned(found, pod(0)).claims == []


def test_a_claim_on_its_way_out_is_waited_for() -> None:
    """No new Pod gets a claim that goes, or that is the last Pod's of that name."""
    found = made_set(1, volumeClaimTemplates=[CLAIM], persistentVolumeClaimRetentionPolicy={"whenScaled": "Delete"})
    claim = claims_of(found, 0)["data"]
    tree = {"metadata": {"name": "data-web-0", "deletionTimestamp": to_wire(NOW)}, "spec": {}}
    assert planned(found, claims=(from_tree(PersistentVolumeClaim, tree),)).create == []
    beyond = msgspec.structs.replace(found, spec=msgspec.structs.replace(found.spec, replicas=0))
    stale = owned(beyond, 0, pod(0), claim)
    assert [owner.uid for owner in stale.metadata.owner_references] == ["web-0"]
    assert planned(found, claims=(stale,)).create == []
    (freed,) = planned(found, pod(0), claims=(stale,)).retain
    assert freed.metadata.owner_references == ()


@pytest.mark.parametrize(
    ("deleted", "scaled", "within", "beyond"),
    [
        ("Retain", "Retain", [], []),
        ("Retain", "Delete", [], ["web-1"]),
        ("Delete", "Retain", ["u"], ["u"]),
        ("Delete", "Delete", ["u"], ["web-1"]),
    ],
)
def test_whose_a_claim_is(deleted: str, scaled: str, within: list[str], beyond: list[str]) -> None:
    """The policy's four corners, for a Pod that is wanted and one beyond the size; a foreign controller keeps it."""
    policy = {"persistentVolumeClaimRetentionPolicy": {"whenDeleted": deleted, "whenScaled": scaled}}
    for replicas, wanted in ((2, within), (1, beyond)):
        found = made_set(replicas, volumeClaimTemplates=[CLAIM], **policy)
        claim = claims_of(found, 1)["data"]
        settled = owned(found, 1, pod(1), claim)
        assert [owner.uid for owner in settled.metadata.owner_references] == wanted
        assert owned(found, 1, pod(1), settled) is settled
        other = {"apiVersion": "v1", "kind": "Thing", "name": "x", "uid": "x", "controller": True}
        theirs = from_tree(PersistentVolumeClaim, {"metadata": {"name": "c", "ownerReferences": [other]}, "spec": {}})
        assert owned(found, 1, pod(1), theirs) is theirs


def test_lost_labels_come_back() -> None:
    """A Pod that no longer says who it is is told."""
    bare = made_pod("web-0", labels={**LABELS, HASH: "new"})
    (repaired,) = planned(made_set(1), bare).repair
    assert repaired.metadata.labels == pod(0).metadata.labels


def test_what_a_set_says_of_itself() -> None:
    """Counts by template leave out who is going; the update is through when all are ready and of it."""
    found = made_set(4, current="old", minReadySeconds=50)
    said = status(
        found, "old", "new", [pod(0, "old"), pod(1, "old", going=True), pod(2, ready=10), pod(3, **UNWELL)], 1, NOW
    )
    assert (said.replicas, said.ready_replicas, said.available_replicas) == (4, 3, 2)
    assert (said.current_replicas, said.updated_replicas) == (1, 2)
    assert (said.current_revision, said.update_revision, said.collision_count) == ("old", "new", 1)
    done = status(made_set(2, current="old"), "old", "new", [pod(0), pod(1)], 0, NOW)
    assert (done.current_revision, done.current_replicas, done.updated_replicas) == ("new", 2, 2)
    on_delete = made_set(2, current="old", updateStrategy={"type": "OnDelete"})
    assert status(on_delete, "old", "new", [pod(0), pod(1)], 0, NOW).current_revision == "old"


def test_what_is_forgotten() -> None:
    """The oldest beyond the limit, of those that nothing is of; less than none is all kept."""
    past = history(made_set(image="r5").spec.template, [revision(f"r{number}", number) for number in range(1, 6)])
    assert [one.metadata.name for one in past.present] == ["r5"]
    names = lambda limit: [one.metadata.name for one in expired(past, {"r5", "r1"}, limit)]  # noqa: E731
    assert names(2) == ["r2"]
    assert names(0) == ["r2", "r3", "r4"]
    assert names(9) == names(-1) == []


def test_a_revision_puts_its_template_back() -> None:
    """As upstream writes it, too: with nulls where nothing is said."""
    template = made_set(image="old").spec.template
    assert template_of(OLD) == template
    data = OLD.data["spec"]["template"]
    data = {**data, "metadata": {**data["metadata"], "creationTimestamp": None}}
    assert template_of(msgspec.structs.replace(OLD, data={"spec": {"template": data}})) == template


def test_what_a_revision_holds() -> None:
    """The bytes that kubectl makes of the same template, by which it knows that there is nothing to undo."""
    template = made_set().spec.template
    assert template.spec is not None
    spec = msgspec.structs.replace(template.spec, restart_policy="Always", dns_policy="ClusterFirst")
    wanted = (
        b'{"spec":{"template":{"$patch":"replace","metadata":{"labels":{"app":"web"}},'
        b'"spec":{"containers":[{"image":"new","name":"c"}],"dnsPolicy":"ClusterFirst","restartPolicy":"Always"}}}}'
    )
    assert msgspec.json.encode(data_of(msgspec.structs.replace(template, spec=spec))) == wanted


@pytest.mark.parametrize("policy", ["OrderedReady", "Parallel"])
def test_a_set_may_want_more_than_there_is_memory_for(policy):
    """Two thousand million Pods, a slip of the hand, are looked at as many at once as are made, and no more."""
    many = made_set(2**31 - 1, podManagementPolicy=policy, volumeClaimTemplates=[CLAIM])
    todo = planned(many, pod(0), pod(2, of="old"))
    first = [number_of(many, new.pod) for new in todo.create]
    assert first == ([1] if policy == "OrderedReady" else [1, *range(3, BURST + 2)])
    assert todo.delete == []
    assert list(lacking(many, {0, 2}))[:3] == [1, 3, 4]
    assert len(list(lacking(many, ()))) == BURST
