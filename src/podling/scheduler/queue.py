"""Which Pod is next: upstream's scheduling queue as a value that is told the time.

    add ──▶ active ── pop ──▶ in flight ── bound: done
              ▲  ▲               │    │
              │  │ due, or idle  │    └─ refused ──▶ unschedulable
              │  backoff ◀───────┘ failed              │  │ 5 min
              │    ▲                                   │  ▼
              │    └── a change helps, still paused ───┤ active
              └────── a change helps ─────────────────┘
    gated ── its gates are gone ──▶ active

A Pod pauses 1 s after its first refusal, twice as long after each further one, at most 10 s. While nothing else is
active, a Pod that was refused and then helped does not wait out its pause; one whose attempt failed (the API server
said no) does. Owns no timer: `next_deadline` says when to look again, `advance` looks.

Invariants: a Pod is in one place; a change that comes while a Pod is in flight is not lost, because decisions are made
without giving way and failures are always tried again.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from podling.placement.changes import Change, NodeAdded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.placement.plugin import FilterPlugin
    from podling.placement.pods import PendingPod

FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 10.0
LONGEST_UNSCHEDULABLE: Final = 300.0


class Where(Enum):
    ACTIVE = auto()
    BACKOFF = auto()
    UNSCHEDULABLE = auto()
    GATED = auto()
    IN_FLIGHT = auto()


@dataclass(slots=True)
class QueuedPod:
    """A Pod with the history of its attempts."""

    pod: PendingPod
    since: float
    """When it entered the queue, or was last refused; the order among equals."""
    where: Where = Where.ACTIVE
    refusals: int = 0
    failures: int = 0
    """Failed attempts in a row."""
    refused_by: tuple[str, ...] = ()
    ticket: int = 0
    """The one heap entry that counts; others are leftovers."""

    def pause_ends(self) -> float:
        count = self.failures or self.refusals
        if not count:
            return self.since
        return self.since + min(FIRST_PAUSE * 2.0 ** min(count - 1, 10), LONGEST_PAUSE)


@dataclass(slots=True)
class _Heap:
    """Pods by a key; entries whose ticket has expired are skipped."""

    entries: list[tuple[tuple[float, ...], int, QueuedPod]] = field(default_factory=list)

    def push(self, key: tuple[float, ...], queued: QueuedPod) -> None:
        heapq.heappush(self.entries, (key, queued.ticket, queued))

    def first(self) -> QueuedPod | None:
        while self.entries:
            _, ticket, queued = self.entries[0]
            if queued.ticket == ticket:
                return queued
            heapq.heappop(self.entries)
        return None


class SchedulingQueue:
    """Pods that look for a Node."""

    def __init__(self, filters: Sequence[FilterPlugin]) -> None:
        self._plugins = {plugin.name: plugin for plugin in filters}
        self._awaited = {kind for plugin in filters for kind in plugin.awaits} | {NodeAdded}
        self._pods: dict[str, QueuedPod] = {}
        self._active = _Heap()
        self._backoff = _Heap()
        self._failed = _Heap()
        self._unschedulable: dict[str, QueuedPod] = {}
        self._tickets = 0

    def __len__(self) -> int:
        return len(self._pods)

    def __contains__(self, uid: str) -> bool:
        return uid in self._pods

    def where(self, uid: str) -> Where | None:
        queued = self._pods.get(uid)
        return queued.where if queued is not None else None

    def set(self, pod: PendingPod, now: float) -> None:
        """Take a Pod that has no Node, new or changed; a change of what it asks for is reason to try again."""
        queued = self._pods.get(pod.uid)
        if queued is None:
            queued = self._pods[pod.uid] = QueuedPod(pod, now)
            self._enter(queued, Where.GATED if pod.pod.spec.scheduling_gates else Where.ACTIVE)
            return
        before, queued.pod = queued.pod, pod
        match queued.where:
            case Where.GATED:
                if not pod.pod.spec.scheduling_gates:
                    queued.since = now
                    self._enter(queued, Where.ACTIVE)
            case Where.UNSCHEDULABLE:
                if before.pod.spec != pod.pod.spec or before.labels != pod.labels:
                    self._retry(queued, now)
            case Where.ACTIVE:
                if before.priority != pod.priority:
                    self._enter(queued, Where.ACTIVE)
            case Where.BACKOFF | Where.IN_FLIGHT:
                pass

    def remove(self, uid: str) -> None:
        """Forget a Pod: deleted, or given a Node."""
        queued = self._pods.pop(uid, None)
        if queued is not None:
            self._unschedulable.pop(uid, None)
            queued.ticket = -1

    def pop(self, now: float) -> QueuedPod | None:
        """Take the Pod that is next: by priority, then by age; of those that pause, only if no other is active."""
        self.advance(now)
        queued = self._active.first() or self._backoff.first()
        if queued is not None:
            self._enter(queued, Where.IN_FLIGHT)
        return queued

    def refused(self, queued: QueuedPod, plugins: tuple[str, ...], now: float) -> None:
        """Put back a Pod that fits nowhere; a change that may help brings it forth, or time does."""
        if self._pods.get(queued.pod.uid) is not queued:
            return
        queued.since = now
        queued.refusals += 1
        queued.failures = 0
        queued.refused_by = plugins
        self._enter(queued, Where.UNSCHEDULABLE)

    def failed(self, queued: QueuedPod, now: float) -> None:
        """Put back a Pod whose attempt went wrong; it is tried again after its pause."""
        if self._pods.get(queued.pod.uid) is not queued:
            return
        queued.since = now
        queued.failures += 1
        self._enter(queued, Where.BACKOFF)

    def changed(self, change: Change, now: float) -> None:
        """Bring forth the Pods that a change may help."""
        if not self._unschedulable or type(change) not in self._awaited:
            return
        for queued in list(self._unschedulable.values()):
            if self._helps(change, queued):
                self._retry(queued, now)

    def advance(self, now: float) -> None:
        """Make active whose pause is over, and whoever has been unschedulable for too long."""
        for heap in (self._backoff, self._failed):
            while (queued := heap.first()) is not None and queued.pause_ends() <= now:
                self._enter(queued, Where.ACTIVE)
        while self._unschedulable:
            oldest = next(iter(self._unschedulable.values()))
            if oldest.since + LONGEST_UNSCHEDULABLE > now:
                break
            self._retry(oldest, now)

    def next_deadline(self) -> float | None:
        """Return when `advance` will next have something to do."""
        deadlines = [q.pause_ends() for heap in (self._backoff, self._failed) if (q := heap.first()) is not None]
        if self._unschedulable:
            deadlines.append(next(iter(self._unschedulable.values())).since + LONGEST_UNSCHEDULABLE)
        return min(deadlines, default=None)

    def _helps(self, change: Change, queued: QueuedPod) -> bool:
        if not queued.refused_by:
            return isinstance(change, NodeAdded)  # there was no Node at all
        for name in queued.refused_by:
            plugin = self._plugins[name]
            if type(change) in plugin.awaits and plugin.helped_by(queued.pod, change):
                return True
        return False

    def _retry(self, queued: QueuedPod, now: float) -> None:
        self._enter(queued, Where.ACTIVE if queued.pause_ends() <= now else Where.BACKOFF)

    def _enter(self, queued: QueuedPod, where: Where) -> None:
        self._unschedulable.pop(queued.pod.uid, None)
        self._tickets += 1
        queued.ticket = self._tickets
        queued.where = where
        match where:
            case Where.ACTIVE:
                self._active.push((-queued.pod.priority, queued.since), queued)
            case Where.BACKOFF:
                heap = self._failed if queued.failures else self._backoff
                heap.push((queued.pause_ends(), -queued.pod.priority), queued)
            case Where.UNSCHEDULABLE:
                self._unschedulable[queued.pod.uid] = queued
            case Where.GATED | Where.IN_FLIGHT:
                pass
