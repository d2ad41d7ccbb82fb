"""CronJobs at work: upstream's conformance cases step by step, and the rules of missed starts, to the second."""

from __future__ import annotations

import json

import pytest

from podling.api.jobs import ended
from podling.api.resources import CRON_JOBS, JOBS, PODS
from podling.api.times import from_wire, to_wire
from podling.runtime.sim import SCRIPT_ANNOTATION
from podling.testing import Faults, SimulatedCluster

START = from_wire("2026-07-09T12:00:30Z")
MINUTE = 60


def cron_job(lasts=None, exit_code=0, name="tick", job=None, **spec):
    script = {"c": {"runs": [{"lasts": lasts, "exitCode": exit_code} if lasts is not None else {}]}}
    meta = {"annotations": {SCRIPT_ANNOTATION: json.dumps(script)}}
    pod = {"restartPolicy": "Never", "containers": [{"name": "c", "image": "work"}], "terminationGracePeriodSeconds": 1}
    template = {"metadata": {"labels": {"of": "tick"}, "annotations": {"a": "b"}},
                "spec": {"template": {"metadata": meta, "spec": pod}, **(job or {})}}  # fmt: skip
    spec = {"schedule": "* * * * *", "jobTemplate": template, **spec}
    return {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {"name": name, "namespace": "default"},
        "spec": spec,
    }


def cluster(**options):
    return SimulatedCluster(start=START, **options)


def jobs(world):
    """Return the Jobs by the minute that they are for, counted from 12:00."""
    found = {int(job.metadata.name.rpartition("-")[2]) - int(START) // 60: job for job in world.list(JOBS, "default")}
    return dict(sorted(found.items()))


def status(world):
    return world.get(CRON_JOBS, "tick").status


def told(world):
    return {(event.type, event.reason, event.message) for event in world.events("tick")}


async def patch(world, spec):
    await world.client.patch(CRON_JOBS, "tick", {"spec": spec}, namespace="default")


def test_a_job_each_minute(run):
    """Begun at its minute, named and marked by it, and known until it is over."""

    async def main():
        async with cluster() as world:
            await world.apply(cron_job(5))
            at = await world.run_until(lambda: bool(jobs(world)))
            assert at == pytest.approx(30.1)
            (job,) = jobs(world).values()
            assert job.metadata.labels["of"] == "tick"
            stamp = "batch.kubernetes.io/cronjob-scheduled-timestamp"
            assert job.metadata.annotations == {"a": "b", stamp: "2026-07-09T12:01:00Z"}
            (owner,) = job.metadata.owner_references
            assert (owner.kind, owner.name, owner.controller) == ("CronJob", "tick", True)
            await world.advance(1)
            assert [it.name for it in status(world).active] == [job.metadata.name]
            assert status(world).last_schedule_time == "2026-07-09T12:01:00Z"
            await world.advance(10)
            assert (status(world).active, status(world).last_successful_time) == ((), "2026-07-09T12:01:05Z")
            await world.advance(2 * MINUTE)
            assert list(jobs(world)) == [1, 2, 3]
            assert {
                ("Normal", "SuccessfulCreate", f"Created job {job.metadata.name}"),
                ("Normal", "SawCompletedJob", f"Saw completed job: {job.metadata.name}, condition: Complete"),
            } <= told(world)
            assert world.failures == 0

    run(main())


POLICIES = [("Allow", [1, 2, 3], 3), ("Forbid", [1], 1), ("Replace", [3], 1)]


@pytest.mark.parametrize(("policy", "minutes", "active"), POLICIES)
def test_what_still_runs_at_the_next_time(run, policy, minutes, active):
    """It runs beside the next, keeps the next from being begun, or is replaced by it, Pods and all."""

    async def main():
        async with cluster() as world:
            await world.apply(cron_job(concurrencyPolicy=policy))
            await world.advance(3 * MINUTE)
            assert (list(jobs(world)), len(status(world).active)) == (minutes, active)
            assert (
                len([pod for pod in world.list(PODS, "default") if pod.metadata.deletion_timestamp is None]) == active
            )
            if policy == "Forbid":
                said = "Not starting job because prior execution is running and concurrency policy is Forbid"
                assert ("Normal", "JobAlreadyActive", said) in told(world)
            assert world.failures == 0

    run(main())


def test_what_was_kept_from_beginning_begins_when_it_may(run):
    async def main():
        async with cluster() as world:
            await world.apply(cron_job(100, concurrencyPolicy="Forbid"))
            at = await world.run_until(lambda: len(jobs(world)) == 2)
            assert list(jobs(world)) == [1, 2]
            assert at == pytest.approx(30 + 100, abs=1)

    run(main())


def test_none_while_it_rests(run):
    """And when it goes on, the last time that has passed is made up for."""

    async def main():
        async with cluster() as world:
            await world.apply(cron_job(1, suspend=True))
            await world.advance(5 * MINUTE)
            assert not jobs(world)
            await patch(world, {"suspend": False})
            await world.advance(1)
            assert list(jobs(world)) == [5]

    run(main())


def test_a_time_may_be_too_old(run):
    async def main():
        async with cluster() as world:
            await world.apply(cron_job(1, suspend=True, startingDeadlineSeconds=20))
            await world.advance(5 * MINUTE)
            await patch(world, {"suspend": False})
            await world.advance(1)
            assert not jobs(world)
            await world.advance(30)
            assert list(jobs(world)) == [6]

    run(main())


def test_times_missed_while_nobody_looked_are_made_up_for_once(run):
    """The last of them, and with a word where there were very many."""

    async def main():
        async with cluster() as world:
            await world.apply(cron_job(1))
            await world.run_until(lambda: status(world).last_successful_time is not None)
            await world.restart_controllers(down_for=150 * MINUTE)
            await world.advance(1)
            assert list(jobs(world)) == [1, 151]
            said = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew"
            assert ("Warning", "TooManyMissedTimes", said) in told(world)

    run(main())


@pytest.mark.parametrize(
    ("exit_code", "limits", "kept"), [(0, {}, 3), (1, {}, 1), (0, {"successfulJobsHistoryLimit": 0}, 0)]
)
def test_history_is_limited(run, exit_code, limits, kept):
    """The youngest of those that are over stay."""

    async def main():
        async with cluster() as world:
            await world.apply(cron_job(1, exit_code, job={"backoffLimit": 0}, **limits))
            await world.advance(8 * MINUTE - 10)
            over = {minute: job for minute, job in jobs(world).items() if ended(job) is not None}
            assert list(over) == [1, 2, 3, 4, 5, 6, 7, 8][8 - kept :]
            assert len(world.list(PODS, "default")) == kept

    run(main())


def test_a_time_zone_says_when(run):
    """Noon in Tokyo is three in the morning in UTC; the Job says so in Tokyo's own time."""

    async def main():
        async with cluster() as world:
            await world.apply(cron_job(1, schedule="0 12 * * *", timeZone="Asia/Tokyo"))
            await world.run_until(lambda: bool(jobs(world)), 24 * 3600)
            assert to_wire(world.clock.time()) == "2026-07-10T03:00:00Z"
            (job,) = jobs(world).values()
            stamp = job.metadata.annotations["batch.kubernetes.io/cronjob-scheduled-timestamp"]
            assert stamp == "2026-07-10T12:00:00+09:00"

    run(main())


def test_another_schedule_holds_at_once(run):
    async def main():
        async with cluster() as world:
            await world.apply(cron_job(1, schedule="0 0 1 1 *"))
            await world.advance(MINUTE)
            await patch(world, {"schedule": "*/2 * * * *"})
            await world.advance(4 * MINUTE)
            assert list(jobs(world)) == [2, 4]

    run(main())


def test_a_job_that_somebody_took_away_is_told(run):
    async def main():
        async with cluster() as world:
            await world.apply(cron_job(concurrencyPolicy="Forbid"))
            await world.advance(MINUTE)
            (job,) = jobs(world).values()
            await world.client.delete(JOBS, job.metadata.name, "default", propagation="Background")
            await world.advance(1)
            assert status(world).active == ()
            assert ("Normal", "MissingJob", f"Active job went missing: {job.metadata.name}") in told(world)

    run(main())


def test_a_deleted_cron_job_takes_its_jobs_with_it(run):
    async def main():
        async with cluster() as world:
            await world.apply(cron_job())
            await world.advance(2 * MINUTE)
            await world.client.delete(CRON_JOBS, "tick", "default")
            await world.advance(60)
            assert (jobs(world), world.list(PODS, "default")) == ({}, [])

    run(main())


@pytest.mark.parametrize("seed", range(3))
def test_each_time_is_seen_to_once_whatever_dies(run, seed):
    """Answers that fail and controllers that are killed around each minute: one Job for each, all told of."""

    async def main():
        faults = Faults(refusals=0.2, conflicts=0.2)
        async with cluster(seed=seed, faults=faults) as world:
            await world.apply(cron_job(2, successfulJobsHistoryLimit=100))
            for _ in range(10):
                await world.advance(MINUTE - 0.3)
                await world.restart_controllers(0.3)
            faults.heal()
            await world.advance(MINUTE)
            assert list(jobs(world)) == list(range(1, 12))
            await world.run_until(lambda: not status(world).active)

    run(main())
