"""Jobs at work: upstream's conformance cases step by step, and every limit and policy with its instant."""

from __future__ import annotations

import json
import random
from collections import Counter

import pytest

from podling.api.jobs import TRACKING, condition
from podling.api.resources import JOBS, NAMESPACES, PODS, RESOURCE_QUOTAS
from podling.api.times import from_wire
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import Faults, SimulatedCluster

WELL = [{"lasts": 5}]
BADLY = [{"lasts": 5, "exitCode": 1}]


def template(runs=None, policy="Never", **spec):
    meta = {}
    if runs is not None:
        meta["annotations"] = {SCRIPT_ANNOTATION: json.dumps({"c": {"runs": runs}})}
    containers = [{"name": "c", "image": "work"}]
    return {"metadata": meta, "spec": {"restartPolicy": policy, "containers": containers, **spec}}


def job(runs=None, name="work", policy="Never", **spec):
    spec = {"template": template(runs, policy), **spec}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": meta, "spec": spec}


def indexed(runs=None, completions=3, parallelism=3, **spec):
    return job(runs, completionMode="Indexed", completions=completions, parallelism=parallelism, **spec)


def status(cluster, name="work"):
    return cluster.get(JOBS, name).status


def over(cluster, name="work"):
    found = cluster.get(JOBS, name)
    return next((kind for kind in ("Complete", "Failed") if condition(found, kind) is not None), None)


def pods(cluster, *, going=False):
    found = cluster.list(PODS, "default")
    return [pod for pod in found if going or pod.metadata.deletion_timestamp is None]


def told(cluster, name="work"):
    return [(event.type, event.reason, event.message) for event in cluster.events(name)]


def born(cluster):
    """Return when Pods were made, in seconds after the first."""
    times = sorted(from_wire(pod.metadata.creation_timestamp) for pod in cluster.list(PODS, "default"))
    return [time - times[0] for time in times]


async def patch(cluster, body, name="work", resource=JOBS, **more):
    return await cluster.client.patch(resource, name, body, namespace="default", **more)


def test_a_job_runs_to_completion(run):
    """As many Pods at once as may be, until enough have succeeded; conditions, times and events in upstream's words."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            await cluster.apply(job(WELL, completions=4, parallelism=2))
            await cluster.advance(1)
            held = status(cluster)
            assert (held.active, held.ready, held.terminating) == (2, 2, 0)
            assert held.start_time is not None
            assert all(TRACKING in pod.metadata.finalizers for pod in pods(cluster))
            await cluster.run_until(lambda: over(cluster) == "Complete")
            held = status(cluster)
            assert (held.succeeded, held.failed, held.active, held.ready) == (4, None, None, 0)
            assert born(cluster) == [0, 0, 5, 5]
            assert from_wire(held.completion_time) - from_wire(held.start_time) == 10
            assert [(it.type, it.status, it.reason, it.message) for it in held.conditions] == [
                ("SuccessCriteriaMet", "True", "CompletionsReached", "Reached expected number of succeeded pods"),
                ("Complete", "True", "CompletionsReached", "Reached expected number of succeeded pods"),
            ]
            assert not any(pod.metadata.finalizers for pod in pods(cluster))
            await cluster.advance(1)
            assert sorted(told(cluster)) == sorted(
                [("Normal", "SuccessfulCreate", f"Created pod: {pod.metadata.name}") for pod in pods(cluster)]
                + [("Normal", "Completed", "Job completed")]
            )
            assert cluster.failures == 0

    run(main())


def test_containers_that_fail_now_and_then_are_restarted_in_place(run):
    """The suite's first case: the Pods stay, and the Job comes to its end."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(
                job([{"lasts": 1, "exitCode": 1}, {"lasts": 1}], policy="OnFailure", completions=4, parallelism=2)
            )
            await cluster.run_until(lambda: over(cluster) == "Complete")
            assert (status(cluster).succeeded, status(cluster).failed) == (4, None)
            assert len(pods(cluster)) == 4

    run(main())


def test_restarts_in_place_have_their_limit(run):
    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job(BADLY, policy="OnFailure", backoffLimit=2))
            await cluster.run_until(lambda: over(cluster) == "Failed")
            assert condition(cluster.get(JOBS, "work"), "Failed").reason == "BackoffLimitExceeded"
            assert status(cluster).failed == 1

    run(main())


def test_failed_pods_are_replaced_ever_later(run):
    """10 s after the first failure, twice as long after each further one, and no more often than the limit says."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job(BADLY, backoffLimit=3))
            await cluster.run_until(lambda: over(cluster) == "Failed")
            assert born(cluster) == [0, 15, 40, 85]
            assert status(cluster).failed == 4
            held = condition(cluster.get(JOBS, "work"), "Failed")
            assert (held.reason, held.message) == (
                "BackoffLimitExceeded",
                "Job has reached the specified backoff limit",
            )
            assert condition(cluster.get(JOBS, "work"), "FailureTarget").reason == "BackoffLimitExceeded"
            await cluster.advance(1)
            assert ("Warning", "BackoffLimitExceeded", held.message) in told(cluster)

    run(main())


def test_the_back_off_outlives_the_controller(run):
    """Started anew, it knows from the Pods that are there how often they failed."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job(BADLY, backoffLimit=4))
            await cluster.run_until(lambda: status(cluster).failed == 2)
            await cluster.restart_controllers(1)
            await cluster.run_until(lambda: len(pods(cluster)) == 4)
            assert born(cluster) == [0, 15, 40, 85]

    run(main())


def test_a_deadline_ends_a_job_to_the_second(run):
    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job(activeDeadlineSeconds=20, parallelism=2, completions=2))
            await cluster.run_until(lambda: condition(cluster.get(JOBS, "work"), "FailureTarget") is not None)
            found = cluster.get(JOBS, "work")
            held = condition(found, "FailureTarget")
            assert (held.reason, held.message) == ("DeadlineExceeded", "Job was active longer than specified deadline")
            assert from_wire(held.last_transition_time) - from_wire(found.status.start_time) == 20
            await cluster.run_until(lambda: over(cluster) == "Failed")
            assert (status(cluster).failed, status(cluster).active, status(cluster).terminating) == (2, None, 0)
            assert not pods(cluster)
            assert cluster.failures == 0

    run(main())


def test_a_job_rests_and_goes_on(run):
    """While it rests it has no Pods and counts none; its deadline begins anew when it goes on."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job([{"lasts": 40}], suspend=True, activeDeadlineSeconds=60))
            await cluster.advance(5)
            assert (pods(cluster), status(cluster).start_time) == ([], None)
            held = condition(cluster.get(JOBS, "work"), "Suspended")
            assert (held.reason, held.message) == ("JobSuspended", "Job suspended")
            await patch(cluster, {"spec": {"suspend": False}})
            await cluster.advance(35)
            (first,) = pods(cluster)
            await patch(cluster, {"spec": {"suspend": True}})
            await cluster.run_until(lambda: not pods(cluster, going=True))
            assert (status(cluster).active, status(cluster).failed) == (None, None)
            await cluster.advance(100)
            await patch(cluster, {"spec": {"suspend": False}})
            await cluster.run_until(lambda: over(cluster) == "Complete")
            assert first.metadata.uid not in {pod.metadata.uid for pod in pods(cluster)}
            await cluster.advance(1)
            assert {("Normal", "Suspended", "Job suspended"), ("Normal", "Resumed", "Job resumed")} <= set(
                told(cluster)
            )
            held = next(it for it in status(cluster).conditions if it.type == "Suspended")
            assert (held.status, held.reason, held.message) == ("False", "JobResumed", "Job resumed")

    run(main())


def test_without_completions_one_success_is_all(run):
    """What runs then may end; nothing is begun."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job([{"lasts": 30}], parallelism=3))
            await cluster.advance(1)
            first = min(pods(cluster), key=lambda pod: pod.metadata.name)
            body = {"status": {"phase": "Succeeded"}}
            await patch(cluster, body, first.metadata.name, PODS, subresource="status")
            await cluster.run_until(lambda: over(cluster) == "Complete")
            assert (status(cluster).succeeded, len(pods(cluster))) == (3, 3)

    run(main())


def test_an_indexed_job_gives_each_pod_its_index(run):
    """Names, hostnames, annotations, labels and variables by index; the indexes that are done, as ranges."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(indexed(WELL, completions=4, parallelism=2))
            await cluster.advance(1)
            found = sorted(pods(cluster), key=lambda pod: pod.metadata.name)
            for index, pod in enumerate(found):
                assert pod.metadata.name.startswith(f"work-{index}-")
                assert pod.spec.hostname == f"work-{index}"
                for given in (pod.metadata.annotations, pod.metadata.labels):
                    assert given["batch.kubernetes.io/job-completion-index"] == str(index)
                (variable,) = [it for it in pod.spec.containers[0].env if it.name == "JOB_COMPLETION_INDEX"]
                path = variable.value_from.field_ref.field_path
                assert path == "metadata.labels['batch.kubernetes.io/job-completion-index']"
            await cluster.run_until(lambda: over(cluster) == "Complete")
            assert (status(cluster).completed_indexes, status(cluster).succeeded) == ("0-3", 4)

    run(main())


def test_an_indexed_job_is_scaled_down_and_up(run):
    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(indexed(None, completions=4, parallelism=4))
            await cluster.advance(2)
            for count in (2, 3):
                await patch(cluster, {"spec": {"completions": count, "parallelism": count}})
                await cluster.advance(40)
                have = sorted(
                    pod.metadata.annotations["batch.kubernetes.io/job-completion-index"] for pod in pods(cluster)
                )
                assert have == [str(index) for index in range(count)]
            assert status(cluster).failed is None

    run(main())


def test_each_index_has_its_own_limit(run):
    """An index that fails for good does not take the others with it; it backs off by its own failures."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(indexed(BADLY, completions=2, parallelism=1, backoffLimitPerIndex=2))
            await cluster.run_until(lambda: over(cluster) == "Failed", 4000)
            held = condition(cluster.get(JOBS, "work"), "Failed")
            assert (held.reason, held.message) == ("FailedIndexes", "Job has failed indexes")
            assert (status(cluster).failed_indexes, status(cluster).completed_indexes) == ("0,1", "")
            assert status(cluster).failed == 6
            counts = sorted(
                (pod.metadata.annotations["batch.kubernetes.io/job-completion-index"],
                 pod.metadata.annotations["batch.kubernetes.io/job-index-failure-count"])
                for pod in pods(cluster)
            )  # fmt: skip
            assert counts == [(index, count) for index in "01" for count in "012"]
            first = [pod for pod in pods(cluster) if pod.metadata.name.startswith("work-0-")]
            times = sorted(from_wire(pod.metadata.creation_timestamp) for pod in first)
            assert [time - times[0] for time in times] == [0, 15, 40]

    run(main())


def test_too_many_failed_indexes_end_a_job(run):
    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(
                indexed(BADLY, completions=9, parallelism=3, backoffLimitPerIndex=0, maxFailedIndexes=2)
            )
            await cluster.run_until(lambda: over(cluster) == "Failed")
            assert condition(cluster.get(JOBS, "work"), "Failed").reason == "MaxFailedIndexesExceeded"
            assert status(cluster).failed_indexes == "0-2"

    run(main())


POLICIES = [
    ("FailJob", 1, "PodFailurePolicy", 1),
    ("Count", 2, "BackoffLimitExceeded", 2),
]


@pytest.mark.parametrize(("action", "made", "reason", "failed"), POLICIES)
def test_a_failure_policy_judges_exit_codes(run, action, made, reason, failed):
    async def main():
        async with SimulatedCluster() as cluster:
            rule = {"action": action, "onExitCodes": {"operator": "In", "values": [1]}}
            await cluster.apply(job(BADLY, backoffLimit=1, podFailurePolicy={"rules": [rule]}))
            await cluster.run_until(lambda: over(cluster) == "Failed")
            held = condition(cluster.get(JOBS, "work"), "Failed")
            assert (len(pods(cluster)), held.reason, status(cluster).failed) == (made, reason, failed)
            if action == "FailJob":
                name = pods(cluster)[0].metadata.name
                said = f"Container c for pod default/{name} failed with exit code 1 matching FailJob rule at index 0"
                assert held.message == said

    run(main())


def test_ignored_failures_are_replaced_and_not_counted(run):
    async def main():
        async with SimulatedCluster() as cluster:
            rule = {"action": "Ignore", "onExitCodes": {"operator": "NotIn", "values": [7]}}
            await cluster.apply(job(BADLY, backoffLimit=0, podFailurePolicy={"rules": [rule]}))
            await cluster.run_until(lambda: len(pods(cluster)) == 3)
            assert (over(cluster), status(cluster).failed) == (None, None)

    run(main())


def test_an_index_may_fail_at_once(run):
    async def main():
        async with SimulatedCluster() as cluster:
            rule = {"action": "FailIndex", "onExitCodes": {"operator": "In", "values": [1]}}
            body = indexed(
                BADLY, completions=2, parallelism=2, backoffLimitPerIndex=5, podFailurePolicy={"rules": [rule]}
            )
            await cluster.apply(body)
            await cluster.run_until(lambda: over(cluster) == "Failed")
            assert (len(pods(cluster)), status(cluster).failed_indexes) == (2, "0,1")

    run(main())


def test_a_disruption_may_be_ignored(run):
    """A Pod that is evicted says so in a condition; the policy lets the Job go on without counting it."""

    async def main():
        async with SimulatedCluster(nodes=2) as cluster:
            rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
            await cluster.apply(job([{"lasts": 60}], backoffLimit=0, podFailurePolicy={"rules": [rule]}))
            await cluster.advance(2)
            (pod,) = pods(cluster)
            body = {
                "apiVersion": "policy/v1",
                "kind": "Eviction",
                "metadata": {"name": pod.metadata.name, "namespace": "default"},
            }
            await cluster.client.create_subresource(PODS, pod.metadata.name, "eviction", body, namespace="default")
            await cluster.run_until(lambda: over(cluster) is not None)
            assert (over(cluster), status(cluster).failed, status(cluster).succeeded) == ("Complete", None, 1)

    run(main())


@pytest.mark.parametrize(("policy", "seconds"), [("TerminatingOrFailed", 10), ("Failed", 20)])
def test_when_a_pod_on_its_way_out_is_replaced(run, policy, seconds):
    """While it goes, or only when it is over: with what it took to stop, the back-off begins there."""

    async def main():
        async with SimulatedCluster() as cluster:
            runs = [{"stopLatency": 10, "stopExitCode": 1}]
            await cluster.apply(job(runs, podReplacementPolicy=policy))
            await cluster.advance(1)
            (pod,) = pods(cluster)
            at = cluster.clock.monotonic()
            await cluster.client.delete(PODS, pod.metadata.name, "default")
            again = await cluster.run_until(lambda: bool(pods(cluster)))
            assert again - at == seconds
            await cluster.run_until(lambda: len(pods(cluster, going=True)) == 1)
            await cluster.advance(1)
            assert status(cluster).failed == 1

    run(main())


@pytest.mark.parametrize("rule", [{"succeededIndexes": "0"}, {"succeededCount": 1}], ids=["indexes", "count"])
def test_a_success_policy_ends_a_job_early(run, rule):
    """When the leader is done, or as many as are asked for, the rest is stopped and counts as neither."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(indexed(None, successPolicy={"rules": [rule]}))
            await cluster.advance(1)
            leader = next(pod for pod in pods(cluster) if pod.metadata.name.startswith("work-0-"))
            await patch(cluster, {"status": {"phase": "Succeeded"}}, leader.metadata.name, PODS, subresource="status")
            await cluster.run_until(lambda: over(cluster) == "Complete")
            held = condition(cluster.get(JOBS, "work"), "Complete")
            assert (held.reason, held.message) == ("SuccessPolicy", "Matched rules at index 0")
            assert (status(cluster).succeeded, status(cluster).completed_indexes) == (1, "0")
            assert status(cluster).failed is None

    run(main())


def test_a_success_policy_that_asks_for_all(run):
    """It is met when every index is done, and says so."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(indexed(WELL, parallelism=2, successPolicy={"rules": [{"succeededIndexes": "0-2"}]}))
            await cluster.run_until(lambda: over(cluster) == "Complete")
            assert (status(cluster).completed_indexes, status(cluster).succeeded) == ("0-2", 3)
            assert {it.type: it.reason for it in status(cluster).conditions} == {
                "SuccessCriteriaMet": "SuccessPolicy",
                "Complete": "SuccessPolicy",
            }

    run(main())


def test_a_finished_job_goes_when_its_time_is_over(run):
    """With its Pods, so many seconds after its end."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job(WELL, ttlSecondsAfterFinished=30))
            done = await cluster.run_until(lambda: over(cluster) == "Complete")
            gone = await cluster.run_until(lambda: cluster.get(JOBS, "work") is None)
            assert gone - done == pytest.approx(30, abs=1)
            assert not cluster.list(PODS, "default")

    run(main())


def test_orphans_are_adopted_and_strangers_released(run):
    """The suite's case: a Pod without its owner is taken back; one whose labels change is let go, finalizer and all."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job(parallelism=2, completions=2))
            await cluster.advance(1)
            pod = pods(cluster)[0]
            await patch(cluster, {"metadata": {"ownerReferences": None}}, pod.metadata.name, PODS)
            await cluster.advance(2)
            pod = cluster.get(PODS, pod.metadata.name)
            assert [it.name for it in pod.metadata.owner_references if it.controller] == ["work"]
            assert TRACKING in pod.metadata.finalizers
            await patch(cluster, {"metadata": {"labels": None}}, pod.metadata.name, PODS)
            await cluster.advance(2)
            pod = cluster.get(PODS, pod.metadata.name)
            assert (pod.metadata.owner_references, pod.metadata.finalizers) == ((), ())
            assert sum(bool(it.metadata.owner_references) for it in pods(cluster)) == 2
            assert status(cluster).failed is None
            assert cluster.failures == 0

    run(main())


@pytest.mark.parametrize("propagation", ["Background", "Foreground", "Orphan"])
def test_a_deleted_job_lets_its_pods_go(run, propagation):
    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job(parallelism=2, completions=2))
            await cluster.advance(1)
            await cluster.client.delete(JOBS, "work", "default", propagation=propagation)
            await cluster.advance(60)
            assert cluster.get(JOBS, "work") is None
            left = pods(cluster, going=True)
            assert len(left) == (2 if propagation == "Orphan" else 0)
            assert not any(pod.metadata.finalizers or pod.metadata.owner_references for pod in left)
            assert cluster.failures == 0

    run(main())


def test_what_is_refused_is_told_and_tried_again_within_a_minute(run):
    """Pods that a quota lets not pass are made when it does, and no refusal counts as a failure."""

    async def main():
        async with SimulatedCluster() as cluster:
            quota = {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "q", "namespace": "default"},
                "spec": {"hard": {"pods": "1"}},
            }
            await cluster.apply(quota)
            await cluster.advance(1)
            await cluster.apply(job(parallelism=3, completions=3))
            await cluster.advance(600)
            assert (len(pods(cluster)), status(cluster).active, status(cluster).failed) == (1, 1, None)
            assert any(it[:2] == ("Warning", "FailedCreate") and "exceeded quota: q" in it[2] for it in told(cluster))
            at = cluster.clock.monotonic()
            await patch(cluster, {"spec": {"hard": {"pods": "9"}}}, "q", RESOURCE_QUOTAS)
            assert await cluster.run_until(lambda: len(pods(cluster)) == 3) - at <= 60
            assert cluster.failures == 0

    run(main())


def test_what_loses_its_owner_while_the_job_goes_is_let_go(run):
    """Somebody holds the deleted Job: a Pod that becomes nobody's meanwhile is not left with a finalizer."""

    async def main():
        async with SimulatedCluster() as cluster:
            body = job(parallelism=2, completions=2)
            body["metadata"]["finalizers"] = ["example.com/hold"]
            await cluster.apply(body)
            await cluster.advance(1)
            await cluster.client.delete(JOBS, "work", "default", propagation="Background")
            await cluster.advance(1)
            orphan = {"metadata": {"ownerReferences": None, "finalizers": [TRACKING]}}
            name = pods(cluster, going=True)[0].metadata.name
            await patch(cluster, orphan, name, PODS)
            await cluster.advance(1)
            assert cluster.get(JOBS, "work") is not None
            assert cluster.get(PODS, name).metadata.finalizers == ()

    run(main())


def test_a_namespace_goes_with_its_jobs(run):
    """The finalizers of Pods that nobody will count any more do not hold it up."""

    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "work"}})
            body = job(parallelism=3, completions=3)
            body["metadata"]["namespace"] = "work"
            await cluster.advance(1)
            await cluster.apply(body)
            await cluster.run_until(lambda: len(cluster.list(PODS, "work")) == 3)
            await cluster.advance(1)
            await cluster.client.delete(NAMESPACES, "work")
            await cluster.run_until(lambda: cluster.get(NAMESPACES, "work", "") is None, 120)
            assert cluster.list(PODS, "work") == []
            assert cluster.failures == 0

    run(main())


def test_a_job_of_another_controller_is_left_alone(run):
    async def main():
        async with SimulatedCluster() as cluster:
            await cluster.apply(job(managedBy="example.com/queue"))
            await cluster.advance(60)
            assert (pods(cluster), status(cluster).start_time) == ([], None)

    run(main())


@pytest.mark.parametrize("seed", range(4))
def test_each_pod_counts_once_whatever_dies(run, seed):
    """Writes that fail, answers that are lost, controllers that are killed: the counters are those of the Pods."""

    async def main():
        faults = Faults(refusals=0.1, conflicts=0.1, lost_events=0.1)
        async with SimulatedCluster(nodes=2, seed=seed, faults=faults) as cluster:
            await cluster.apply(job([{"lasts": 2}], completions=30, parallelism=7))
            for _ in range(12):
                await cluster.advance(1.3)
                await cluster.restart_controllers(0.2)
            faults.heal()
            await cluster.run_until(lambda: over(cluster) == "Complete", 4000)
            ended = [pod for pod in cluster.list(PODS, "default") if pod.status.phase == "Succeeded"]
            assert status(cluster).succeeded == len(ended) == 30
            assert not any(pod.metadata.finalizers for pod in ended)

    run(main())


def kill_a_container(cluster, chance):
    """Let one die as by a signal from outside."""
    lives = cluster.nodes[chance.choice(sorted(cluster.nodes))].runtime._lives
    alive = [one for one in sorted(lives._state.containers) if not lives.is_over(one)]
    running = [one for one in alive if lives._state.containers[one].container.started is not None]
    if running:
        lives.die(chance.choice(running))


@pytest.mark.parametrize("seed", range(6))
def test_the_counts_are_those_of_the_pods(run, seed):
    """Indexed or not, with Pods that fail, faults and restarts: each end is counted once."""

    async def main():
        faults = Faults(refusals=0.05, conflicts=0.1, lost_events=0.1, broken_watches=0.02)
        async with SimulatedCluster(nodes=3, seed=seed, faults=faults) as cluster:
            chance = random.Random(seed)
            by_index = {"completionMode": "Indexed", "backoffLimitPerIndex": 100} if seed % 2 else {}
            body = job([{"lasts": 3}], completions=15, parallelism=5, backoffLimit=1000, **by_index)
            await cluster.apply(body)
            for _ in range(20):
                await cluster.advance(chance.randrange(30) / 10)
                if chance.randrange(4) == 0:
                    await cluster.restart_controllers(chance.randrange(2))
                else:
                    kill_a_container(cluster, chance)
            faults.heal()
            await cluster.run_until(lambda: over(cluster) == "Complete", 20_000)
            ends = Counter(pod.status.phase for pod in cluster.list(PODS, "default"))
            held = status(cluster)
            assert ends["Succeeded"] >= 15
            assert (held.failed or 0) == ends["Failed"]
            assert not any(pod.metadata.finalizers for pod in cluster.list(PODS, "default"))
            # While the event of a Pod is lost, its index looks free: there may be another, and the index counts once.
            assert held.succeeded == (15 if by_index else ends["Succeeded"])
            assert held.completed_indexes == ("0-14" if by_index else "")

    run(main())
