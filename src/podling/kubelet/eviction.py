"""Ends Pods when the node is short of something, or when they use more local storage than they may.

Owns the rhythm: look, act on at most one Pod for want of a resource, wait until it is gone, look again. The rules are
`lifecycle.eviction`'s. Knows what is used through `Stats`, and Pods through their workers. Invariants: Pods are asked
for their use only when a threshold calls for it or they have a limit of their own to break; walking files takes at most
a twentieth of the time; what runs on the node is cleaned up before a Pod goes for want of disk.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from podling.api.pods import is_terminal
from podling.lifecycle.eviction import DISK_PRESSURE, Pressure, condition_of, is_relieved, observe, resource_of
from podling.lifecycle.eviction_ranking import (
    EVICTED,
    Candidate,
    has_storage_limits,
    is_critical,
    message_of,
    ranked,
    storage_violation,
)
from podling.lifecycle.facts import Eviction
from podling.lifecycle.termination import LEAST_GRACE, grace_of
from podling.placement.amounts import requests_of
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import Pod
    from podling.client.events import EventRecorder
    from podling.kubelet.node import NodeAgent
    from podling.kubelet.stats import Stats
    from podling.kubelet.worker import PodWorker
    from podling.kubelet.workers import PodWorkers
    from podling.lifecycle.eviction import EvictionPolicy, Observation, Signal, Threshold

log = logging.getLogger("podling.kubelet.eviction")

_AT_ONCE: Final = LEAST_GRACE
_CLEANED_UP_WITHIN: Final = 30.0
_CLEANED_UP_LOOK: Final = 1.0
_WALKING_SHARE: Final = 20.0


class Evictor:
    """Watches over one node; `run` is a component of the supervisor."""

    def __init__(
        self,
        stats: Stats,
        workers: PodWorkers,
        node: NodeAgent,
        recorder: EventRecorder,
        clock: Clock,
        policy: EvictionPolicy,
        reclaim: Callable[[], Awaitable[None]],
        clean_up: Callable[[Pod], Awaitable[None]],
    ) -> None:
        """`reclaim` throws away what no living Pod needs; `clean_up` gives back the disk that an evicted Pod held."""
        self._stats = stats
        self._workers = workers
        self._node = node
        self._recorder = recorder
        self._clock = clock
        self._policy = policy
        self._reclaim = reclaim
        self._clean_up = clean_up
        self._pressure = Pressure()
        self._walk_from = 0.0
        self._bounded: dict[str, bool] = {}
        """Whether a Pod can break a limit of its own, by uid."""

    @property
    def conditions(self) -> tuple[str, ...]:
        """The pressures that the node is under, as Node conditions are called."""
        return self._pressure.conditions

    async def run(self) -> None:
        """Look every period, and at once when what was evicted is gone; for ever."""
        while True:
            try:
                evicted = await self.look()
            except RuntimeFailure as failure:
                log.warning("looking at what %s uses: %s", self._node.name, failure.message)
                evicted = ()
            if evicted:
                await self._until_cleaned_up(evicted)
            else:
                await self._clock.sleep(self._policy.period)

    async def look(self) -> Sequence[PodWorker]:
        """Look once; return the workers of the Pods that were told to go."""
        seen = await self._stats.node()
        self._pressure, urgent = observe(self._pressure, self._policy, seen, self._clock.time())
        beyond = await self._hold_to_limits()
        if beyond or not urgent:
            return beyond
        cause = urgent[0]
        self._node.warn("EvictionThresholdMet", f"Attempting to reclaim {resource_of(cause.signal)}")
        if condition_of(cause.signal) == DISK_PRESSURE and await self._relieved():
            return ()
        return await self._evict_one([worker for worker in self._workers if _is_active(worker)], urgent, seen)

    async def _relieved(self) -> bool:
        await self._reclaim()
        return is_relieved(self._policy, await self._stats.node())

    async def _evict_one(
        self, active: Sequence[PodWorker], urgent: Sequence[Threshold], seen: Mapping[Signal, Observation]
    ) -> Sequence[PodWorker]:
        cause = urgent[0]
        disk = condition_of(cause.signal) == DISK_PRESSURE
        by_uid = {worker.pod.metadata.uid: worker for worker in active if worker.view.eviction is None}
        pods = [worker.view.pod for worker in by_uid.values()]
        usage = await self._stats.pods(pods, disk=disk)
        candidates = [Candidate(pod, _requests(pod), usage.get(pod.metadata.uid)) for pod in pods]
        for candidate in ranked(candidates, cause.signal)[:1]:
            message, notes = message_of(candidate, urgent, seen)
            grace = _AT_ONCE if cause.is_hard else self._policy.longest_grace
            worker = by_uid[candidate.pod.metadata.uid]
            self._evict(worker, Eviction(self._clock.time(), message, grace, disrupts=True), notes)
            return (worker,)
        log.warning("%s is short of %s and has no Pod to evict", self._node.name, resource_of(cause.signal))
        return ()

    async def _hold_to_limits(self) -> Sequence[PodWorker]:
        # None of these limits can be changed: each Pod is asked for them once.
        known, self._bounded = self._bounded, {}
        limited: dict[str, PodWorker] = {}
        for uid, pod in self._workers.pods().items():
            bounded = known.get(uid)
            if bounded is None:
                bounded = has_storage_limits(pod) and not is_critical(pod)
            self._bounded[uid] = bounded
            worker = self._workers.get(uid) if bounded else None
            if worker is not None and worker.view.eviction is None and _is_active(worker):
                limited[uid] = worker
        began = self._clock.monotonic()
        if not limited or began < self._walk_from:
            return ()
        usage = await self._stats.pods([worker.pod for worker in limited.values()])
        self._walk_from = began + _WALKING_SHARE * (self._clock.monotonic() - began)
        evicted = []
        for uid, worker in limited.items():
            message = storage_violation(worker.pod, usage[uid]) if uid in usage else None
            if message is not None:
                self._evict(worker, Eviction(self._clock.time(), message, _AT_ONCE), {})
                evicted.append(worker)
        return evicted

    def _evict(self, worker: PodWorker, eviction: Eviction, notes: Mapping[str, str]) -> None:
        self._recorder.event(worker.pod, "Warning", EVICTED, eviction.message, annotations=notes)
        worker.evict(eviction)

    async def _until_cleaned_up(self, evicted: Sequence[PodWorker]) -> None:
        """Wait until nothing of the evicted Pods holds what was short, within reason; then give their disk back."""
        longest = max(1.5 * _grace(worker) for worker in evicted)
        end = self._clock.monotonic() + longest + _CLEANED_UP_WITHIN
        while any(_is_active(worker) for worker in evicted) and self._clock.monotonic() < end:
            await self._clock.sleep(_CLEANED_UP_LOOK)
        for worker in evicted:
            if not _is_active(worker):
                await self._clean_up(worker.pod)


def _grace(worker: PodWorker) -> float:
    eviction = worker.view.eviction
    return eviction.grace if eviction is not None and eviction.grace > 0 else grace_of(worker.pod)


def _is_active(worker: PodWorker) -> bool:
    """Whether a Pod uses something of the node still, or will."""
    view = worker.view
    if any(container.is_running for container in view.containers) or view.sandbox is not None:
        return True
    return view.rejection is None and not view.vanished and not is_terminal(view.pod)


def _requests(pod: Pod) -> Mapping[str, int]:
    amounts = requests_of(pod)
    return {"memory": amounts.memory, "ephemeral-storage": amounts.ephemeral_storage}
