"""CronJobs through the front door."""

from __future__ import annotations

from typing import Any

import pytest
from tests.served import Served

from podling.api.errors import StatusError

CRON_JOBS = "/apis/batch/v1/namespaces/default/cronjobs"


def cron_job(name: str = "tick", template: dict[str, Any] | None = None, **spec: Any) -> dict[str, Any]:
    pod = {"spec": {"restartPolicy": "OnFailure", "containers": [{"name": "c", "image": "i"}]}}
    spec = {"schedule": "*/1 * * * ?", "jobTemplate": {"spec": {"template": pod, **(template or {})}}, **spec}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name}, "spec": spec}


def test_a_created_cron_job_is_complete(run):
    """Upstream's defaults; those of its Jobs are given to the Jobs."""

    async def main():
        async with Served() as api:
            made = await api.post(CRON_JOBS, {**cron_job(), "status": {"lastScheduleTime": "2026-01-01T00:00:00Z"}})
            spec = made["spec"]
            assert made["status"] == {}
            assert made["metadata"]["generation"] == 1
            assert {name: value for name, value in spec.items() if name != "jobTemplate"} == {
                "schedule": "*/1 * * * ?",
                "concurrencyPolicy": "Allow",
                "suspend": False,
                "successfulJobsHistoryLimit": 3,
                "failedJobsHistoryLimit": 1,
            }
            job = spec["jobTemplate"]["spec"]
            assert list(job) == ["template"]
            assert job["template"]["spec"]["dnsPolicy"] == "ClusterFirst"

    run(main())


_TEMPLATE = "spec.jobTemplate.spec"
REFUSED = [
    (cron_job(schedule=""), "spec.schedule: Required value"),
    (cron_job(schedule="* * *"),
     'spec.schedule: Invalid value: "* * *": expected exactly 5 fields, found 3: [* * *]'),
    (cron_job(schedule="TZ=UTC 0 * * * *"),
     'spec.schedule: Invalid value: "TZ=UTC 0 * * * *": cannot use TZ or CRON_TZ in schedule, use timeZone field instead'),
    (cron_job(timeZone=""), 'spec.timeZone: Invalid value: "": timeZone must be nil or non-empty string'),
    (cron_job(timeZone="Here/There"), 'spec.timeZone: Invalid value: "Here/There": unknown time zone Here/There'),
    (cron_job(timeZone="../etc"), 'spec.timeZone: Invalid value: "../etc": unknown time zone ../etc'),
    (cron_job(timeZone="Local"),
     ('spec.timeZone: Invalid value: "Local": timeZone must be an explicit time zone as defined in '
     "https://www.iana.org/time-zones")),
    (cron_job(concurrencyPolicy="Sometimes"),
     'spec.concurrencyPolicy: Unsupported value: "Sometimes": supported values: "Allow", "Forbid", "Replace"'),
    (cron_job(startingDeadlineSeconds=-1),
     "spec.startingDeadlineSeconds: Invalid value: -1: must be greater than or equal to 0"),
    (cron_job(failedJobsHistoryLimit=-1),
     "spec.failedJobsHistoryLimit: Invalid value: -1: must be greater than or equal to 0"),
    (cron_job(template={"parallelism": -1}),
     f"{_TEMPLATE}.parallelism: Invalid value: -1: must be greater than or equal to 0"),
    (cron_job(template={"manualSelector": True}),
     f'{_TEMPLATE}.manualSelector: Unsupported value: true: supported values: "nil", "false"'),
]  # fmt: skip


@pytest.mark.parametrize(("body", "said"), REFUSED)
def test_what_is_refused(run, body, said):
    async def main():
        async with Served() as api:
            with pytest.raises(StatusError) as refused:
                await api.post(CRON_JOBS, body)
            assert refused.value.message == f'CronJob.batch "tick" is invalid: {said}'

    run(main())


def test_a_name_leaves_room_for_its_jobs(run):
    async def main():
        async with Served() as api:
            with pytest.raises(StatusError, match="must be no more than 52 characters"):
                await api.post(CRON_JOBS, cron_job("a" * 53))
            await api.post(CRON_JOBS, cron_job("a" * 52, timeZone="Asia/Tokyo"))

    run(main())


def test_the_operations_of_the_suite(run):
    """get, list, watch by label, patch, update, /status by get, patch and update, delete, deletecollection."""

    async def main():
        async with Served() as api:
            body = cron_job()
            body["metadata"]["labels"] = {"special-label": "x"}
            await api.post(CRON_JOBS, body)
            assert len((await api.get("/apis/batch/v1/cronjobs?labelSelector=special-label=x"))["items"]) == 1
            patched = await api.patch(f"{CRON_JOBS}/tick", {"metadata": {"annotations": {"patched": "true"}}})
            assert patched["metadata"]["annotations"] == {"patched": "true"}
            patched["metadata"]["annotations"]["updated"] = "true"
            updated = await api.put(f"{CRON_JOBS}/tick", patched)
            assert updated["metadata"]["annotations"]["updated"] == "true"
            status = {"lastScheduleTime": "2026-01-01T00:00:00Z"}
            told = {"metadata": {"annotations": {"patchedstatus": "true"}}, "status": status}
            done = await api.patch(f"{CRON_JOBS}/tick/status", told)
            assert (done["status"], done["metadata"]["annotations"]["patchedstatus"]) == (status, "true")
            done["status"]["lastScheduleTime"] = "2026-01-01T00:01:00Z"
            await api.put(f"{CRON_JOBS}/tick/status", done)
            assert (await api.get(f"{CRON_JOBS}/tick/status"))["status"] == {"lastScheduleTime": "2026-01-01T00:01:00Z"}
            await api.delete(f"{CRON_JOBS}/tick")
            with pytest.raises(StatusError, match='cronjobs.batch "tick" not found'):
                await api.get(f"{CRON_JOBS}/tick")
            await api.post(CRON_JOBS, body)
            await api.delete(f"{CRON_JOBS}?labelSelector=special-label=x")
            assert (await api.get(CRON_JOBS))["items"] == []

    run(main())
