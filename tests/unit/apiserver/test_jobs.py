"""Jobs through the front door."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import Served

from podling.api.errors import StatusError

JOBS = "/apis/batch/v1/namespaces/default/jobs"


def template(policy: str = "Never", labels: dict[str, str] | None = None, **spec: Any) -> dict[str, Any]:
    containers = [{"name": "c", "image": "busybox"}]
    made: dict[str, Any] = {"spec": {"restartPolicy": policy, "containers": containers, **spec}}
    if labels is not None:
        made["metadata"] = {"labels": labels}
    return made


def job(name: str = "work", **spec: Any) -> dict[str, Any]:
    spec = {"template": template(), **spec}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def indexed(**spec: Any) -> dict[str, Any]:
    return job(**{"completionMode": "Indexed", "completions": 5, "parallelism": 2, **spec})


def test_a_created_job_is_complete(run):
    """Upstream's defaults, and labels by which it knows its Pods."""

    async def main():
        async with Served() as api:
            made = await api.post(JOBS, {**job(), "status": {"succeeded": 9}})
            uid = made["metadata"]["uid"]
            spec = made["spec"]
            assert made["status"] == {}
            assert made["metadata"]["generation"] == 1
            assert {name: spec[name] for name in spec if name != "template"} == {
                "parallelism": 1,
                "completions": 1,
                "backoffLimit": 6,
                "completionMode": "NonIndexed",
                "suspend": False,
                "podReplacementPolicy": "TerminatingOrFailed",
                "manualSelector": False,
                "selector": {"matchLabels": {"batch.kubernetes.io/controller-uid": uid}},
            }
            assert spec["template"]["metadata"]["labels"] == {
                "batch.kubernetes.io/controller-uid": uid,
                "batch.kubernetes.io/job-name": "work",
                "controller-uid": uid,
                "job-name": "work",
            }
            assert spec["template"]["spec"]["dnsPolicy"] == "ClusterFirst"

    run(main())


@pytest.mark.parametrize(
    ("given", "completions", "parallelism"),
    [({}, 1, 1), ({"parallelism": 3}, None, 3), ({"completions": 3}, 3, 1)],
)
def test_how_many_pods(run, given, completions, parallelism):
    """One and once; with parallelism alone, success is for the Pods to say."""

    async def main():
        async with Served() as api:
            spec = (await api.post(JOBS, job(**given)))["spec"]
            assert (spec.get("completions"), spec["parallelism"]) == (completions, parallelism)

    run(main())


def test_defaults_that_depend(run):
    """A limit per index lifts that of the Job, and a failure policy replaces failed Pods only."""

    async def main():
        async with Served() as api:
            rule = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
            made = await api.post(JOBS, indexed(backoffLimitPerIndex=1, podFailurePolicy={"rules": [rule]}))
            spec = made["spec"]
            assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (2147483647, "Failed")
            assert spec["podFailurePolicy"]["rules"][0]["onPodConditions"][0]["status"] == "True"

    run(main())


def rules(**rule: Any) -> dict[str, Any]:
    return {"rules": [rule]}


def codes(operator: str = "In", values: list[int] | None = None, **more: Any) -> dict[str, Any]:
    return {"operator": operator, "values": [1] if values is None else values, **more}


_RULE = "spec.podFailurePolicy.rules[0]"
_SUCCESS = "spec.successPolicy.rules[0]"
REFUSED = [
    (job(parallelism=-1), "spec.parallelism: Invalid value: -1: must be greater than or equal to 0"),
    (job(backoffLimit=-1), "spec.backoffLimit: Invalid value: -1: must be greater than or equal to 0"),
    (job(ttlSecondsAfterFinished=-1), "spec.ttlSecondsAfterFinished: Invalid value: -1: must be greater than or equal to 0"),
    (job(template=template("Always")),
     'spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never"'),
    (job(completionMode="Other"),
     'spec.completionMode: Unsupported value: "Other": supported values: "Indexed", "NonIndexed"'),
    (job(completionMode="Indexed", parallelism=2), "spec.completions: Required value: when completion mode is Indexed"),
    (job(backoffLimitPerIndex=1), "spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"),
    (indexed(maxFailedIndexes=1), "spec.backoffLimitPerIndex: Required value: when maxFailedIndexes is specified"),
    (indexed(maxFailedIndexes=6, backoffLimitPerIndex=1),
     "spec.maxFailedIndexes: Invalid value: 6: must be less than or equal to completions"),
    (indexed(completions=200_000, backoffLimitPerIndex=1),
     "spec.maxFailedIndexes: Required value: must be specified when completions is above 100000"),
    (job(managedBy="here"), 'spec.managedBy: Invalid value: "here": must be a domain-prefixed path (such as "acme.io/foo")'),
    (job(podReplacementPolicy="Never"),
     'spec.podReplacementPolicy: Unsupported value: "Never": supported values: "Failed", "TerminatingOrFailed"'),
    (job(podFailurePolicy=rules(action="Count", onExitCodes=codes()), podReplacementPolicy="TerminatingOrFailed"),
     'spec.podReplacementPolicy: Unsupported value: "TerminatingOrFailed": supported values: "Failed"'),
    (job(podFailurePolicy=rules(action="Count", onExitCodes=codes()), template=template("OnFailure")),
     ('spec.template.spec.restartPolicy: Invalid value: "OnFailure": only "Never" is supported when podFailurePolicy is '
     "specified")),
    (job(podFailurePolicy=rules(action="FailIndex", onExitCodes=codes())),
     f'{_RULE}.action: Invalid value: "FailIndex": requires the backoffLimitPerIndex to be set'),
    (job(podFailurePolicy=rules(action="Explode", onExitCodes=codes())),
     f'{_RULE}.action: Unsupported value: "Explode": supported values: "Count", "FailIndex", "FailJob", "Ignore"'),
    (job(podFailurePolicy=rules(action="FailJob")),
     f"{_RULE}: Invalid value: specifying one of OnExitCodes and OnPodConditions is required"),
    (job(podFailurePolicy=rules(action="FailJob", onExitCodes=codes(), onPodConditions=[{"type": "A"}])),
     f"{_RULE}: Invalid value: specifying both OnExitCodes and OnPodConditions is not supported"),
    (job(podFailurePolicy=rules(action="FailJob", onExitCodes=codes(values=[0]))),
     f"{_RULE}.onExitCodes.values[0]: Invalid value: 0: must not be 0 for the In operator"),
    (job(podFailurePolicy=rules(action="FailJob", onExitCodes=codes(values=[2, 1]))),
     f"{_RULE}.onExitCodes.values: Invalid value: [2,1]: must be ordered"),
    (job(podFailurePolicy=rules(action="FailJob", onExitCodes=codes(containerName="x"))),
     (f'{_RULE}.onExitCodes.containerName: Invalid value: "x": must be one of the container or initContainer names in the '
     "pod template")),
    (indexed(successPolicy={"rules": []}),
     "spec.successPolicy.rules: Required value: at least one rules must be specified when the successPolicy is specified"),
    (indexed(successPolicy=rules()),
     f"{_SUCCESS}: Required value: at least one of succeededCount or succeededIndexes must be specified"),
    (indexed(successPolicy=rules(succeededIndexes="0-9")),
     f'{_SUCCESS}.succeededIndexes: Invalid value: "0-9": error parsing succeededIndexes: too large index: "9"'),
    (indexed(successPolicy=rules(succeededIndexes="0,1", succeededCount=3)),
     (f"{_SUCCESS}.succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the "
     "specified succeededIndexes field)")),
]  # fmt: skip


@pytest.mark.parametrize(("body", "said"), REFUSED)
def test_what_is_refused(run, body, said):
    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refused:
                await api.post(JOBS, body)
            assert refused.value.message == f'Job.batch "work" is invalid: {said}'

    run(main())


def test_labels_that_contradict_are_refused_unless_the_selector_is_the_authors(run):
    async def main():
        async with Served() as api:
            with pytest.raises(StatusError, match=r"labels\[job-name\].*must be 'work'"):
                await api.post(JOBS, job(template=template(labels={"job-name": "other"})))
            with pytest.raises(StatusError, match="spec.selector: Required value"):
                await api.post(JOBS, job(manualSelector=True))
            mine = {"app": "work"}
            made = await api.post(
                JOBS, job(manualSelector=True, selector={"matchLabels": mine}, template=template(labels=mine))
            )
            assert made["spec"]["template"]["metadata"]["labels"] == made["metadata"]["labels"] == mine

    run(main())


def test_an_indexed_job_must_make_good_hostnames(run):
    async def main():
        async with Served() as api:
            body = indexed()
            body["metadata"]["name"] = "a" * 62
            with pytest.raises(StatusError, match=f"will not able to create pod with invalid DNS label: {'a' * 62}-4"):
                await api.post(JOBS, body)

    run(main())


def test_what_may_be_changed_later(run):
    """How many at once, when to give up and whether to rest; never what work it is, unless it has not begun."""

    async def main():
        async with Served() as api:
            await api.post(JOBS, job())
            await api.patch(f"{JOBS}/work", {"spec": {"parallelism": 4, "suspend": True, "activeDeadlineSeconds": 9}})
            with pytest.raises(StatusError, match=r"spec.completions: Invalid value: 2: field is immutable"):
                await api.patch(f"{JOBS}/work", {"spec": {"completions": 2}})
            tolerations = {"spec": {"template": {"spec": {"tolerations": [{"operator": "Exists"}]}}}}
            done = await api.patch(f"{JOBS}/work", tolerations)
            assert done["metadata"]["generation"] == 3
            await api.patch(f"{JOBS}/work/status", {"status": {"startTime": "2026-01-01T00:00:00Z"}})
            with pytest.raises(StatusError, match=r"spec.template: Invalid value: .*: field is immutable"):
                await api.patch(f"{JOBS}/work", {"spec": {"template": {"spec": {"tolerations": []}}}})

    run(main())


def test_an_elastic_job_is_scaled_both_ways_at_once(run):
    async def main():
        async with Served() as api:
            await api.post(JOBS, indexed())
            with pytest.raises(StatusError, match="can only be modified in tandem with spec.parallelism"):
                await api.patch(f"{JOBS}/work", {"spec": {"completions": 3}})
            await api.patch(f"{JOBS}/work", {"spec": {"completions": 3, "parallelism": 3}})

    run(main())


def true(kind: str) -> dict[str, str]:
    return {"type": kind, "status": "True"}


STATUS_REFUSED = [
    ({"active": -1}, "status.active: Invalid value: -1: must be greater than or equal to 0"),
    ({"failed": 1}, "status.failed: Invalid value: 1: cannot decrease the failed counter"),
    ({"uncountedTerminatedPods": {"succeeded": ["a"], "failed": ["a"]}},
     'status.uncountedTerminatedPods.failed[0]: Duplicate value: "a"'),
    ({"conditions": [true("Failed")], "startTime": "2026-01-01T00:00:00Z"},
     "status.conditions: Invalid value: cannot set Failed=True condition without the FailureTarget=true condition"),
    ({"conditions": [true("SuccessCriteriaMet"), true("Complete")], "startTime": "2026-01-01T00:00:00Z"},
     "status.completionTime: Required value: completionTime is required for Complete jobs"),
    ({"completionTime": "2026-01-01T00:00:00Z"},
     ('status.completionTime: Invalid value: "2026-01-01T00:00:00Z": cannot set completionTime when there is no '
     "Complete=True condition")),
    ({"completedIndexes": "1"},
     ('status.completedIndexes: Invalid value: "1": cannot set non-empty completedIndexes when non-indexed completion '
     "mode")),
    ({"conditions": [true("FailureTarget"), true("Failed")]}, ("status.startTime: Required value: startTime is required for "
     "finished job")),
]  # fmt: skip


@pytest.mark.parametrize(("status", "said"), STATUS_REFUSED)
def test_what_a_job_may_not_say_of_itself(run, status, said):
    async def main():
        async with Served() as api:
            await api.post(JOBS, job())
            await api.patch(f"{JOBS}/work/status", {"status": {"failed": 2}})
            with pytest.raises(StatusError) as refused:
                await api.patch(f"{JOBS}/work/status", {"status": {"failed": 2, **status}})
            assert refused.value.message == f'Job.batch "work" is invalid: {said}'

    run(main())


def test_the_start_may_be_told_again(run):
    """As the conformance suite of 1.28 does, which is older than the rule against it."""

    async def main():
        async with Served() as api:
            await api.post(JOBS, job())
            for time in ("2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"):
                body = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": {"startTime": time}}
                done = await api.patch(f"{JOBS}/work/status", body)
                assert (done["status"]["startTime"], done["metadata"]["annotations"]) == (
                    time,
                    {"patchedstatus": "true"},
                )

    run(main())


def test_a_deleted_job_leaves_its_pods_and_says_so(run):
    async def main():
        async with Served() as api:
            await api.post(JOBS, job())
            answer = await api.ask("DELETE", f"{JOBS}/work")
            assert [it for it in answer.warnings if it.startswith("child pods are preserved by default when jobs")]
            assert (await api.get(f"{JOBS}/work"))["metadata"]["finalizers"] == ["orphan"]
            await api.post(JOBS, job("other"))
            answer = await api.ask("DELETE", f"{JOBS}/other", {"propagationPolicy": "Background"})
            assert not list(answer.warnings)

    run(main())


def test_jobs_are_found_by_how_many_succeeded(run):
    async def main():
        async with Served() as api:
            await api.post(JOBS, job())
            assert len((await api.get(f"{JOBS}?fieldSelector=status.successful=0"))["items"]) == 1
            await api.patch(f"{JOBS}/work/status", {"status": {"succeeded": 1}})
            assert len((await api.get(f"{JOBS}?fieldSelector=status.successful=0"))["items"]) == 0
            assert len((await api.get(f"{JOBS}?fieldSelector=status.successful=1"))["items"]) == 1

    run(main())


def test_what_is_alpha_is_dropped_and_said(run):
    """In a Job and in a CronJob's template of Jobs."""

    async def main():
        async with Served() as api:
            scheduling = {"schedulingPolicy": {"basic": {}}}
            answer = await api.ask("POST", JOBS, job(scheduling=scheduling))
            assert "spec.scheduling: dropped: this field is alpha and off by default" in list(answer.warnings)
            assert "scheduling" not in (await api.get(f"{JOBS}/work"))["spec"]
            template = {"spec": {"scheduling": scheduling, "template": job()["spec"]["template"]}}
            spec = {"schedule": "@daily", "jobTemplate": template}
            body = {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "tick"}, "spec": spec}
            answer = await api.ask("POST", JOBS.replace("jobs", "cronjobs"), body)
            said = "spec.jobTemplate.spec.scheduling: dropped: this field is alpha and off by default"
            assert said in list(answer.warnings)

    run(main())
