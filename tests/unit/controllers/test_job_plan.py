"""What a Job makes, takes away and says of itself: tables."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from podling.api.codec import from_tree
from podling.api.jobs import TRACKING, condition
from podling.api.times import to_wire
from podling.api.types.batch_v1 import Job, JobSpec
from podling.api.types.core_v1 import Pod
from podling.controllers.job_backoff import Backoff
from podling.controllers.job_plan import JobPlan, plan
from podling.controllers.job_pods import finished_at, made
from podling.controllers.job_status import account, finish, settle, suspended
from podling.controllers.job_tally import Verdict, completed, tally

NOW = 1_700_000_000.0
DONE = Verdict("SuccessCriteriaMet", "CompletionsReached", "")
NONE = Backoff()
LOST = Verdict("FailureTarget", "BackoffLimitExceeded", "")


def job(status: dict[str, Any] | None = None, **spec: Any) -> tuple[Job, JobSpec]:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c"}]}}
    whole = {
        "parallelism": 2,
        "backoffLimit": 6,
        "podReplacementPolicy": "TerminatingOrFailed",
        "template": template,
        **spec,
    }
    meta = {"name": "work", "namespace": "default", "uid": "job"}
    found = from_tree(Job, {"metadata": meta, "spec": whole, "status": status or {}})
    assert found.spec is not None
    return found, found.spec


def pod(
    name: str, phase: str = "Running", *, index: int | None = None, tracked: bool = True, going: bool = False,
    ended: float = 100, failures: int = 0,
) -> Pod:  # fmt: skip
    """`ended` is in seconds before `NOW`; the uid is the name."""
    annotations = {}
    if index is not None:
        annotations["batch.kubernetes.io/job-completion-index"] = str(index)
        annotations["batch.kubernetes.io/job-index-failure-count"] = str(failures)
    meta: dict[str, Any] = {"name": name, "namespace": "default", "uid": name, "annotations": annotations}
    if tracked:
        meta["finalizers"] = [TRACKING]
    if going:
        meta |= {"deletionTimestamp": to_wire(NOW - ended + 30), "deletionGracePeriodSeconds": 30}
    status: dict[str, Any] = {"phase": phase}
    if phase in {"Succeeded", "Failed"}:
        state = {"terminated": {"exitCode": 1, "finishedAt": to_wire(NOW - ended)}}
        held = {"name": "c", "ready": False, "restartCount": 0, "image": "", "imageID": "", "state": state}
        status["containerStatuses"] = [held]
    spec = {"nodeName": "n", "containers": [{"name": "c"}]}
    return from_tree(Pod, {"metadata": meta, "spec": spec, "status": status})


def planned(found: Job, spec: JobSpec, pods: list[Pod], backoff: Backoff = NONE) -> JobPlan:
    return plan(found, spec, pods, tally(found, spec, pods), backoff, NOW)


RUNNING = [pod("a"), pod("b")]
CREATIONS: list[tuple[str, dict[str, Any], dict[str, Any], list[Pod], int, int]] = [
    ("as many as may be", {"completions": 9}, {}, [], 2, 0),
    ("no more than are missing", {"completions": 9}, {"succeeded": 8}, [], 1, 0),
    ("what has just succeeded counts", {"completions": 2}, {}, [pod("a", "Succeeded")], 1, 0),
    ("what is not counted yet counts", {"completions": 2}, {"uncountedTerminatedPods": {"succeeded": ["a"]}},
     [pod("a", "Succeeded")], 1, 0),
    ("what is there is enough", {"completions": 9}, {}, RUNNING, 0, 0),
    ("too many", {"completions": 9, "parallelism": 1}, {}, RUNNING, 0, 1),
    ("none are wanted", {"completions": 9, "parallelism": 0}, {}, RUNNING, 0, 2),
    ("resting", {"completions": 9, "suspend": True}, {}, RUNNING, 0, 2),
    ("without completions", {"parallelism": 3}, {}, RUNNING, 1, 0),
    ("without completions, after a success", {"parallelism": 3}, {"succeeded": 1}, RUNNING, 0, 0),
    ("one on its way out is replaced", {"completions": 9}, {"failed": 1}, [pod("a"), pod("b", going=True, tracked=False)], 1, 0),
    ("or only when it has failed", {"completions": 9, "podReplacementPolicy": "Failed"}, {}, [pod("a"), pod("b", going=True)], 0, 0),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "status", "pods", "create", "delete"), [it[1:] for it in CREATIONS], ids=[it[0] for it in CREATIONS]
)
def test_how_many(spec, status, pods, create, delete):
    done = planned(*job(status, **spec), pods)
    assert (len(done.create), len(done.delete), done.verdict) == (create, delete, None)


INDEXES: list[tuple[str, dict[str, Any], dict[str, Any], list[Pod], list[int], list[str]]] = [
    ("the first", {}, {}, [], [0, 1], []),
    ("those without a Pod", {}, {}, [pod("a", index=0)], [1], []),
    ("those that are not done", {}, {"completedIndexes": "0,2"}, [], [1, 3], []),
    ("what has just succeeded is done", {}, {}, [pod("a", "Succeeded", index=0)], [1, 2], []),
    ("one of two with the same index goes", {}, {}, [pod("a", index=0), pod("b", "Pending", index=0)], [], ["b"]),
    ("one without an index, or beyond all, goes", {}, {}, [pod("a"), pod("b", index=7)], [], ["a", "b"]),
    ("one that failed for good is left", {"backoffLimitPerIndex": 0}, {}, [pod("a", "Failed", index=0)], [1, 2], []),
    ("one that backs off waits, others do not", {"backoffLimitPerIndex": 9}, {}, [pod("a", "Failed", index=0, ended=5)], [1], []),
    ("one whose back-off is over", {"backoffLimitPerIndex": 9}, {}, [pod("a", "Failed", index=0, ended=10)], [0, 1], []),
    ("each failure doubles it", {"backoffLimitPerIndex": 9}, {}, [pod("a", "Failed", index=0, ended=19, failures=1)], [1], []),
]  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "status", "pods", "create", "delete"), [it[1:] for it in INDEXES], ids=[it[0] for it in INDEXES]
)
def test_which_indexes(spec, status, pods, create, delete):
    done = planned(*job(status, completionMode="Indexed", completions=5, **spec), pods)
    assert (list(done.create), sorted(it.metadata.name for it in done.delete)) == (create, delete)


def test_a_back_off_says_when_to_look_again():
    found, spec = job({"failed": 1}, completions=3)
    done = planned(found, spec, [], Backoff(2, NOW - 5))
    assert (done.create, done.again) == ((), 15)


@pytest.mark.parametrize(
    ("failures", "ago", "left"), [(0, 0, 0), (1, 0, 10), (1, 4, 6), (3, 0, 40), (7, 0, 600), (99, 0, 600), (1, 11, 0)]
)
def test_the_back_off_doubles_up_to_its_limit(failures, ago, left):
    assert Backoff(failures, NOW - ago).remaining(NOW) == left


def test_a_success_begins_the_back_off_anew():
    """Only failures after it count, in whatever order they are told."""
    held = Backoff(4, NOW - 500)
    failed = [pod("a", "Failed", ended=50), pod("b", "Failed", ended=10)]
    assert held.after([], failed) == Backoff(6, NOW - 10)
    assert held.after([pod("c", "Succeeded", ended=30)], failed) == Backoff(1, NOW - 10)
    assert held.after([pod("c", "Succeeded", ended=5)], failed) == Backoff()


@pytest.mark.parametrize(
    ("held", "at"),
    [(pod("a", "Failed", ended=7), 7), (pod("a", going=True, ended=7), 7)],
)
def test_when_a_pod_ended(held, at):
    assert finished_at(held) == NOW - at


def test_one_pod_is_counted_in_three_steps_wherever_it_stops():
    """Told, let go, counted: each state that a crash can leave comes to the same number."""
    found, spec = job(completions=2)
    pods = [pod("a", "Succeeded"), pod("b", "Failed"), pod("c")]
    for _ in range(2):  # the same again: nothing is told twice
        sums = account(found, spec, pods, pods, tally(found, spec, pods), None, NOW)
        assert [it.metadata.name for it in sums.release] == ["a", "b"]
        held = sums.status.uncounted_terminated_pods
        assert held is not None
        assert (held.succeeded, held.failed, sums.status.succeeded) == (("a",), ("b",), None)
        found = msgspec.structs.replace(found, status=sums.status)
        seen = tally(found, spec, pods)
        assert (seen.succeeded, seen.failed, seen.new_succeeded, seen.new_failed) == (1, 1, [], [])
    half = settle(found.status, {"b", "c"})
    assert (half.succeeded, half.failed) == (1, None)
    whole = settle(half, {"c"})
    assert (whole.succeeded, whole.failed) == (1, 1)
    assert settle(whole, {"c"}) == whole
    found = msgspec.structs.replace(found, status=half)
    rest = [pod("a", "Succeeded", tracked=False), pod("b", "Failed"), pod("c")]
    assert tally(found, spec, rest).succeeded == 1
    assert tally(found, spec, rest).failed == 1


def test_no_more_uids_than_a_status_can_hold():
    found, spec = job(completions=900)
    pods = [pod(f"p{number}", "Succeeded") for number in range(700)]
    sums = account(found, spec, pods, pods, tally(found, spec, pods), None, NOW)
    assert (len(sums.release), sums.whole) == (500, False)


def test_the_end_waits_for_what_is_left():
    """For Pods on their way out, and for those not counted."""
    found, _ = job()
    assert condition(_with(found, finish(found.status, DONE, NOW)), "Complete") is not None
    for status in ({"terminating": 1}, {"active": 1}, {"uncountedTerminatedPods": {"failed": ["a"]}}):
        held, _ = job(status)
        assert finish(held.status, LOST, NOW) == held.status


def test_stopped_by_success_is_not_failed_and_by_failure_is():
    found, spec = job(completions=1)
    for verdict, count in ((DONE, 0), (LOST, 1)):
        pods = [pod("a")]
        sums = account(found, spec, pods, [pod("a", going=True)], tally(found, spec, pods), verdict, NOW)
        held = sums.status.uncounted_terminated_pods
        assert held is not None
        assert (len(held.failed), len(sums.release), sums.status.terminating) == (count, 1, 1)


def test_a_job_that_never_rested_does_not_say_that_it_goes_on():
    found, spec = job()
    assert suspended(found.status, spec, NOW) == found.status


@pytest.mark.parametrize(
    ("completions", "succeeded", "active", "done"),
    [(None, 1, 0, True), (None, 1, 1, False), (None, 0, 0, False), (2, 2, 0, True), (2, 1, 0, False), (0, 0, 0, True)],
)
def test_when_all_is_done(completions, succeeded, active, done):
    _, spec = job(completions=completions)
    assert (completed(spec, succeeded, active) is not None) == done


def test_what_is_made_carries_the_failures_of_its_index():
    found, spec = job(completionMode="Indexed", completions=5, backoffLimitPerIndex=3)
    new = made(found, spec, 2, pod("a", "Failed", index=2, failures=1))
    assert new.metadata.generate_name == "work-2-"
    assert new.metadata.annotations["batch.kubernetes.io/job-index-failure-count"] == "2"
    assert new.metadata.finalizers == (TRACKING,)
    assert new.spec.hostname == "work-2"


def _with(found: Job, status: Any) -> Job:
    return msgspec.structs.replace(found, status=status)
