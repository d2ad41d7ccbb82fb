"""Runs Jobs: as many Pods as are to succeed, each counted once, until all is done or given up.

Level: Jobs and Pods as they are seen, and as they were written. What a Pod came to is in the Job's status before the
Pod's finalizer comes off, so that it is neither lost nor counted twice wherever the process dies between the two.
Pods whose Job is gone or over are let go: nobody else would.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.jobs import COMPLETE, TRACKING, condition, ended, managed_elsewhere
from podling.api.pods import is_active, is_ready, is_terminal
from podling.api.resources import JOBS, PODS
from podling.api.selectors import NOTHING, from_label_selector
from podling.client.cache import key_of, split_key
from podling.controllers.claims import controller_of
from podling.controllers.job_backoff import Backoff
from podling.controllers.job_plan import plan
from podling.controllers.job_pods import is_failed, is_tracked, made
from podling.controllers.job_status import account, finish, settle, suspended
from podling.controllers.job_tally import completed, tally, time_left
from podling.controllers.job_tracking import Tracking
from podling.controllers.owned import Owned
from podling.controllers.pod_owners import PodOwners
from podling.controllers.pod_writes import PodWrites
from podling.controllers.refusals import Refused
from podling.controllers.slow_start import all_at_once, slow_start
from podling.controllers.written import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.api.selectors import Selector
    from podling.api.types.batch_v1 import Job, JobSpec, JobStatus
    from podling.api.types.core_v1 import Pod
    from podling.client.informer import Informer
    from podling.controllers.context import Context
    from podling.controllers.job_plan import JobPlan
    from podling.controllers.job_tally import Tally

_WORKERS: Final = 5
_LARGE: Final = 50
"""Pods; a Job of more is looked at once a second while they change."""
_BATCH: Final = 1.0
_LONGEST_REFUSAL: Final = 60.0
"""Seconds after which what was refused is tried again, as upstream does for Jobs alone."""


class Jobs:
    """Keys are Jobs; in a second queue, Pods that no Job counts any more."""

    account = "job-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._jobs: Informer[Job] = context.informers.of(JOBS)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._written_jobs: Written[Job] = Written(self._jobs)
        self._written_pods: Written[Pod] = Written(self._pods)
        self._owned = Owned(self._pods, self._written_pods, TRACKING)
        self._owners = PodOwners(self._jobs, _selector)
        self._tracking = Tracking(context.client, self._pods, context.clock)
        self._backoffs: dict[str, Backoff] = {}
        self._large: dict[str, None] = {}
        self._recorder = context.recorder(self.account)
        self._writes = PodWrites(context.client, self._recorder)
        self._queue: WorkQueue[str] = WorkQueue(context.clock, longest=_LONGEST_REFUSAL)
        self._orphans: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._jobs.on_change(self._on_job)
        self._pods.on_change(self._on_pod)
        self._supervisor.workers("jobs", self._queue, self._sync, _WORKERS)
        self._supervisor.workers("pods of jobs", self._orphans, self._let_go)

    def _on_job(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None:
            if old is not None:
                self._backoffs.pop(old.uid, None)
                self._large.pop(old.uid, None)
                for pod in self._owned.of(old.uid, old.namespace):
                    self._orphans.add(f"{pod.metadata.namespace}/{pod.metadata.name}")
            return
        if self._written_jobs.echoed(old, new):
            return
        if old is None or _asked(self._jobs.view(old)) != _asked(self._jobs.view(new)):
            self._queue.add(key_of(new))
        else:
            self._wake(new)

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        self._tracking.seen(old, new)
        if old is not None and new is not None and old.uid == new.uid and self._alike(old, new):
            return
        for found in self._owners.concerned(old, new):
            self._wake(found)
        if new is not None and is_tracked(self._pods.view(new)) and not self._owners.concerned(None, new):
            self._orphans.add(key_of(new))

    def _wake(self, found: Encoded) -> None:
        """Look at a Job soon: at a large one not for each of its Pods anew."""
        self._queue.add_after(key_of(found), _BATCH if found.uid in self._large else 0)

    def _alike(self, old: Encoded, new: Encoded) -> bool:
        return old.labels == new.labels and _facts(self._pods.view(old)) == _facts(self._pods.view(new))

    async def _sync(self, key: str) -> None:
        await self._jobs.wait_synced()
        await self._pods.wait_synced()
        job = self._found(key)
        if job is None or job.spec is None or managed_elsewhere(job):
            return
        if ended(job) is not None:
            self._backoffs.pop(job.metadata.uid, None)
            left = [pod for pod in self._mine(job) if is_tracked(pod)]
            _raise(await all_at_once([self._tracking.release(pod) for pod in left]))
            return
        await self._run(key, job, job.spec)

    async def _run(self, key: str, job: Job, spec: JobSpec) -> None:
        uid, now = job.metadata.uid, self._clock.time()
        await self._owned.settle(self._client, JOBS, job, from_label_selector(spec.selector))
        pods = self._mine(job)
        seen = tally(job, spec, pods)
        backoff = self._backoff(job, spec, pods, seen)
        todo = plan(job, spec, pods, seen, backoff, now)
        self._large.pop(uid, None)
        if len(pods) + len(todo.create) > _LARGE:
            self._large[uid] = None
        refusal = await self._carry_out(job, spec, todo, seen)
        after = self._mine(job)
        decided = todo.verdict if refusal is None else None
        if todo.verdict is None:
            decided = completed(spec, seen.succeeded, sum(map(is_active, after)))
        sums = account(job, spec, pods, after, seen, decided, now)
        status = sums.status
        if decided is None and todo.verdict is None and job.metadata.deletion_timestamp is None:
            status = suspended(status, spec, now)
        job = await self._write(key, job, status)
        self._backoffs[uid] = backoff
        unreleased = await all_at_once([self._tracking.release(pod) for pod in sums.release])
        status = settle(job.status, {pod.metadata.uid for pod in self._mine(job) if is_tracked(pod)})
        if decided is not None and unreleased is None and sums.whole:
            status = finish(status, decided, now)
        job = await self._write(key, job, status)
        _raise(refusal or unreleased)
        if not sums.whole:
            self._queue.add(key)
        for wait in (todo.again, time_left(job, spec, now) if decided is None else None):
            if wait is not None:
                self._queue.add_after(key, wait)

    def _backoff(self, job: Job, spec: JobSpec, pods: Sequence[Pod], seen: Tally) -> Backoff:
        """Return the back-off with what has ended since; of a Job that is new here, its counted Pods begin it."""
        held = self._backoffs.get(job.metadata.uid)
        if held is None:
            new = {pod.metadata.uid for pod in (*seen.new_succeeded, *seen.new_failed)}
            counted = [pod for pod in pods if pod.metadata.uid not in new]
            succeeded = [pod for pod in counted if pod.status.phase == "Succeeded"]
            held = Backoff().after(succeeded, [pod for pod in counted if is_failed(pod, spec) and is_terminal(pod)])
        return held.after(seen.new_succeeded, seen.new_failed)

    def _found(self, key: str) -> Job | None:
        namespace, name = split_key(key)
        seen = self._jobs.get(name, namespace)
        return None if seen is None else self._written_jobs.over(key, [seen])[0]

    def _mine(self, job: Job) -> list[Pod]:
        return self._tracking.over(self._owned.of(job.metadata.uid, job.metadata.namespace))

    async def _carry_out(self, job: Job, spec: JobSpec, todo: JobPlan, seen: Tally) -> StatusError | None:
        """Make or delete what is to be; return the first refusal."""
        if todo.delete:
            return await all_at_once([self._delete(job, pod, todo) for pod in todo.delete])
        return await slow_start(len(todo.create), lambda place: self._create(job, spec, todo.create[place], seen))

    async def _create(self, job: Job, spec: JobSpec, index: int | None, seen: Tally) -> None:
        before = seen.replaced.get(index) if index is not None else None
        pod = await self._writes.create(job, made(job, spec, index, before))
        if pod is not None:
            self._written_pods.put(job.metadata.uid, pod)

    async def _delete(self, job: Job, pod: Pod, todo: JobPlan) -> None:
        if todo.uncounted and is_tracked(pod):
            await self._tracking.release(pod)
        self._tracking.deleting(pod)
        try:
            await self._writes.delete(job, pod)
        except StatusError:
            self._tracking.kept(pod)
            raise
        if self._pods.get(pod.metadata.name, pod.metadata.namespace) is None:
            self._tracking.kept(pod)  # gone before, and told already

    async def _write(self, key: str, job: Job, status: JobStatus) -> Job:
        """Write a status that says something new, and tell of what it says."""
        if status == job.status:
            return job
        try:
            fresh = await self._client.update_status(JOBS, msgspec.structs.replace(job, status=status))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
            return msgspec.structs.replace(job, status=status)
        self._written_jobs.put(key, fresh)
        self._tell(job, fresh)
        return fresh

    def _tell(self, before: Job, job: Job) -> None:
        over = ended(job)
        if over is not None and ended(before) is None:
            if over.type == COMPLETE:
                wanted = job.spec.completions if job.spec is not None else None
                if wanted is not None and (job.status.succeeded or 0) > wanted:
                    said = "Too many succeeded pods running after completion count reached"
                    self._recorder.event(job, "Warning", "TooManySucceededPods", said)
                self._recorder.event(job, "Normal", "Completed", "Job completed")
            else:
                self._recorder.event(job, "Warning", over.reason, over.message)
        rests, rested = (condition(it, "Suspended") is not None for it in (job, before))
        if rests != rested:
            reason, message = ("Suspended", "Job suspended") if rests else ("Resumed", "Job resumed")
            self._recorder.event(job, "Normal", reason, message)

    async def _let_go(self, key: str) -> None:
        """Take the finalizer off a Pod whose Job is gone, over, or no longer its controller."""
        await self._jobs.wait_synced()
        namespace, name = split_key(key)
        pod = self._pods.get(name, namespace)
        if pod is None or not is_tracked(pod):
            return
        reference = controller_of(pod)
        if reference is not None:
            if reference.kind != JOBS.kind or reference.api_version != JOBS.api_version:
                return
            job = self._jobs.get(reference.name, namespace)
            if job is not None and job.metadata.uid == reference.uid and (managed_elsewhere(job) or not ended(job)):
                return
        await self._tracking.release(pod)


def _selector(job: Job) -> Selector | None:
    """Return by what a Job that can still adopt knows its Pods."""
    going = job.metadata.deletion_timestamp is not None
    if job.spec is None or going or ended(job) is not None or managed_elsewhere(job):
        return None
    return from_label_selector(job.spec.selector) if job.spec.selector is not None else NOTHING


def _asked(job: Job) -> tuple[object, ...]:
    """Return all that others ask of a Job."""
    return job.metadata.uid, job.metadata.generation, job.metadata.deletion_timestamp


def _raise(refusal: StatusError | None) -> None:
    if refusal is not None:
        raise refusal if refusal.is_conflict else Refused(refusal)


def _facts(pod: Pod) -> tuple[object, ...]:
    """Return all of a Pod that matters to its Job."""
    status = pod.status
    return (
        pod.metadata.owner_references,
        pod.metadata.finalizers,
        pod.metadata.deletion_timestamp is None,
        status.phase,
        is_ready(pod),
        tuple(held.restart_count for held in (*status.init_container_statuses, *status.container_statuses)),
    )
