"""Takes Jobs away that are over for as long as they said: `ttlSecondsAfterFinished`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.jobs import ended
from podling.api.resources import JOBS
from podling.api.times import from_wire
from podling.client.cache import key_of, split_key

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.types.batch_v1 import Job
    from podling.client.informer import Informer
    from podling.controllers.context import Context

_WORKERS: Final = 5


def time_left(job: Job, now: float) -> float | None:
    """Return how many seconds a Job may still stand; `None` where nothing says so yet. Pure."""
    over = ended(job)
    ttl = job.spec.ttl_seconds_after_finished if job.spec is not None else None
    if over is None or ttl is None or not over.last_transition_time or job.metadata.deletion_timestamp is not None:
        return None
    return max(from_wire(over.last_transition_time) + ttl - now, 0.0)


class TtlAfterFinished:
    """Keys are Jobs."""

    account = "ttl-after-finished-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._jobs: Informer[Job] = context.informers.of(JOBS)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._jobs.on_change(self._on_job)
        self._supervisor.workers("ttl after finished", self._queue, self._sync, _WORKERS)

    def _on_job(self, old: Encoded | None, new: Encoded | None) -> None:  # noqa: ARG002
        if new is not None and b'"ttlSecondsAfterFinished"' in new.raw:
            self._queue.add(key_of(new))

    async def _sync(self, key: str) -> None:
        namespace, name = split_key(key)
        job = self._jobs.get(name, namespace)
        left = time_left(job, self._clock.time()) if job is not None else None
        if job is None or left is None:
            return
        if left > 0:
            self._queue.add_after(key, left)
            return
        try:
            fresh = await self._client.get(JOBS, name, namespace)
            if fresh.metadata.uid == job.metadata.uid and time_left(fresh, self._clock.time()) == 0:
                await self._client.delete(JOBS, name, namespace, uid=job.metadata.uid, propagation="Foreground")
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
