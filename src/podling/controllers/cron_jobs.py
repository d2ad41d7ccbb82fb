"""Begins Jobs at the times that CronJobs say, and takes away those that are over for long.

A Job's name tells the time that it is for: killed between a Job's creation and the CronJob's status, the controller
finds the name taken, and takes note of what it began.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import CRON_JOBS, JOBS
from podling.client.cache import key_of, split_key
from podling.controllers.claims import controller_of
from podling.controllers.cron_job_plan import CronJobPlan, begun, plan, without
from podling.controllers.owned import Owned, controller_seen
from podling.controllers.refusals import Refused, namespace_is_going
from podling.controllers.written import Written

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.types.batch_v1 import CronJob, CronJobStatus, Job
    from podling.client.informer import Informer
    from podling.controllers.context import Context

_WORKERS: Final = 5


class CronJobs:
    """Keys are CronJobs."""

    account = "cronjob-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._cron_jobs: Informer[CronJob] = context.informers.of(CRON_JOBS)
        self._jobs: Informer[Job] = context.informers.of(JOBS)
        self._written: Written[CronJob] = Written(self._cron_jobs)
        self._written_jobs: Written[Job] = Written(self._jobs)
        self._owned = Owned(self._jobs, self._written_jobs)
        self._recorder = context.recorder(self.account)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._cron_jobs.on_change(self._on_cron_job)
        self._jobs.on_change(self._on_job)
        self._supervisor.workers("cronjobs", self._queue, self._sync, _WORKERS)

    def _on_cron_job(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None and not self._written.echoed(old, new):
            self._queue.add(key_of(new))

    def _on_job(self, old: Encoded | None, new: Encoded | None) -> None:
        self._written_jobs.echoed(old, new)
        for seen in (old, new):
            reference = controller_seen(seen) if seen is not None else None
            if seen is None or reference is None or reference.kind != CRON_JOBS.kind:
                continue
            owner = self._cron_jobs.encoded(reference.name, seen.namespace)
            if owner is not None and owner.uid == reference.uid:
                self._queue.add(key_of(owner))

    async def _sync(self, key: str) -> None:
        await self._cron_jobs.wait_synced()
        await self._jobs.wait_synced()
        namespace, name = split_key(key)
        seen = self._cron_jobs.get(name, namespace)
        if seen is None:
            return
        (found,) = self._written.over(key, [seen])
        todo = plan(found, self._owned.of(found.metadata.uid, found.metadata.namespace), self._clock.time())
        for told in todo.told:
            self._recorder.event(found, told.type, told.reason, told.message)
        status = todo.status
        try:
            for job in todo.expired:
                await self._delete(found, job)
            status = await self._begin(found, todo, status)
        finally:
            await self._write(key, found, status)
        if todo.again is not None:
            self._queue.add_after(key, todo.again)

    async def _begin(self, found: CronJob, todo: CronJobPlan, status: CronJobStatus) -> CronJobStatus:
        """Begin the Job that is due, in the place of others where that is so; return what is known then."""
        if todo.begin is None:
            return status
        for held in todo.replaced:
            await self._delete(found, await self._client.get(JOBS, held.name, held.namespace))
            status = without(status, (held.uid,))
        try:
            job = await self._client.create(JOBS, todo.begin)
        except StatusError as refusal:
            if refusal.is_already_exists:
                return await self._taken(found, todo, status)
            if namespace_is_going(refusal):
                return status
            self._recorder.event(found, "Warning", "FailedCreate", f"Error creating job: {refusal}")
            raise Refused(refusal) from None
        self._written_jobs.put(found.metadata.uid, job)
        self._recorder.event(found, "Normal", "SuccessfulCreate", f"Created job {job.metadata.name}")
        return begun(status, job, todo.at)

    async def _taken(self, found: CronJob, todo: CronJobPlan, status: CronJobStatus) -> CronJobStatus:
        """Take note of a Job that was begun already; one of somebody else's with its name is left alone."""
        assert todo.begin is not None, "somebody asked for a Job"
        meta = todo.begin.metadata
        job = await self._client.get(JOBS, meta.name, meta.namespace)
        reference = controller_of(job)
        if reference is None or reference.uid != found.metadata.uid:
            return status
        return begun(status, job, todo.at)

    async def _delete(self, found: CronJob, job: Job) -> None:
        meta = job.metadata
        try:
            await self._client.delete(JOBS, meta.name, meta.namespace, uid=meta.uid, propagation="Background")
        except StatusError as refusal:
            if refusal.is_not_found:
                return
            self._recorder.event(found, "Warning", "FailedDelete", f"Deleted job: {refusal}")
            raise
        self._written_jobs.removed(job)
        self._recorder.event(found, "Normal", "SuccessfulDelete", f"Deleted job {meta.name}")

    async def _write(self, key: str, found: CronJob, status: CronJobStatus) -> None:
        if status == found.status:
            return
        fresh: Any = msgspec.structs.replace(found, status=status)
        try:
            self._written.put(key, await self._client.update_status(CRON_JOBS, fresh))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
