"""The scheduler's shell: from the watch into queue and cache, from a decision to a binding.

Owns the one loop that decides and the jobs that carry decisions out. The loop never waits on the API server: a decided
Pod is assumed on its Node and bound by a job of its own, of which there are at most `_JOBS` at a time. Knows the
cluster only through `Client` and `Informers`, so it also runs against any Kubernetes API server.

Level-triggered: queue and cache are rebuilt from the informers at each start; a binding that the watch does not confirm
in time is asked about again; a Pod whose binding failed is tried again after a pause. At rest there is no timer but the
next deadline of queue or cache.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from podling.api.errors import StatusError
from podling.api.pods import TERMINAL_PHASES
from podling.api.resources import (
    NAMESPACES,
    NODES,
    POD_DISRUPTION_BUDGETS,
    PODS,
    REPLICA_SETS,
    REPLICATION_CONTROLLERS,
    SERVICES,
    STATEFUL_SETS,
)
from podling.api.selectors import from_label_selector, from_labels
from podling.lifecycle.disruption import disrupted
from podling.placement.changes import (
    AssignedPodAdded,
    AssignedPodRemoved,
    AssignedPodShrunk,
    AssignedPodTerminating,
    ClaimChanged,
    NodeAdded,
    NodeUpdated,
    StorageClassChanged,
    VolumeChanged,
    changed_allocatable,
    changed_labels,
    changed_taints,
)
from podling.placement.claims import look_up, plan_on
from podling.placement.fitting import Chosen, decide
from podling.placement.pods import PendingPod, PodInfo
from podling.placement.preemption import Budget, Preemption, preempt
from podling.placement.profile import DEFAULT
from podling.scheduler.cache import Cache
from podling.scheduler.conditions import (
    GATED,
    GATED_MESSAGE,
    PREEMPTED,
    SCHEDULER_ERROR,
    UNSCHEDULABLE,
    not_scheduled,
)
from podling.scheduler.queue import QueuedPod, SchedulingQueue
from podling.scheduler.volumes import NotBound, Volumes

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Literal

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock, Timer
    from podling.aio.supervisor import Supervisor
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Node, Pod
    from podling.client.client import Client
    from podling.client.informer import Informer, Informers
    from podling.placement.changes import Change
    from podling.placement.claims import VolumePlan
    from podling.placement.diagnosis import Diagnosis
    from podling.placement.fitting import Unschedulable
    from podling.placement.nodes import NodeInfo
    from podling.placement.preemption import NoPreemption
    from podling.placement.profile import Profile

log = logging.getLogger("podling.scheduler")

_JOBS: Final = 64
_NOTE_LIMIT: Final = 1024
_FEW_NODES: Final = 100
"""Up to so many Nodes all are looked at for victims, from the first."""


class Recorder(Protocol):
    """Says what happened to an object, and never waits."""

    def event(self, about: object, type_: Literal["Normal", "Warning"], reason: str, message: str) -> None: ...


class Scheduler:
    """Gives Pods their Nodes. `start` makes it a component of the supervisor."""

    def __init__(
        self,
        client: Client,
        informers: Informers,
        recorder: Recorder,
        clock: Clock,
        chance: Chance,
        supervisor: Supervisor,
        profile: Profile = DEFAULT,
    ) -> None:
        self._client = client
        self._informers = informers
        self._recorder = recorder
        self._clock = clock
        self._chance = chance
        self._supervisor = supervisor
        self._profile = profile
        self._pods: Informer[Pod] = informers.of(PODS)
        self._nodes: Informer[Node] = informers.of(NODES)
        self._namespaces = informers.of(NAMESPACES)
        self._services = informers.of(SERVICES)
        self._controllers = informers.of(REPLICATION_CONTROLLERS)
        self._sets: tuple[Informer[Any], ...] = (informers.of(REPLICA_SETS), informers.of(STATEFUL_SETS))
        self._budgets = informers.of(POD_DISRUPTION_BUDGETS)
        self._volumes = Volumes(client, informers, clock)
        self._cache = Cache(self._volumes)
        self._queue = SchedulingQueue(profile.filters)
        self._start_index = 0
        self._jobs = 0
        self._preempting: dict[str, None] = {}
        """Pods whose victims are being told."""
        self._awake: asyncio.Future[None] | None = None

    def start(self) -> None:
        """Run as a component of the supervisor."""
        self._supervisor.component("scheduler", self.run)

    async def run(self) -> None:
        """Schedule for ever, from nothing but what the informers know."""
        # Jobs of an earlier run go on with the queue and cache that they began with.
        self._cache = Cache(self._volumes)
        self._queue = SchedulingQueue(self._profile.filters)
        await self._volumes.wait_synced()
        await self._namespaces.wait_synced()
        await self._nodes.wait_synced()
        await self._pods.wait_synced()
        removals: list[Callable[[], None]] = []
        try:
            removals.append(self._namespaces.on_change(self._on_namespace))
            removals.append(self._services.on_change(self._on_service))
            removals.append(self._controllers.on_change(self._on_controller))
            removals.extend(sets.on_change(partial(self._on_set, sets)) for sets in self._sets)
            removals.append(self._volumes.claims.on_change(self._on_claim))
            removals.append(self._volumes.volumes.on_change(self._on_volume))
            removals.append(self._volumes.classes.on_change(self._on_class))
            removals.append(self._nodes.on_change(self._on_node))
            removals.append(self._pods.on_change(self._on_pod))
            while True:
                self._recheck_expired()
                while self._may_start() and (queued := self._queue.pop(self._clock.monotonic())) is not None:
                    self._cycle(queued)
                    await self._clock.sleep(0)
                await self._rest()
        finally:
            for remove in removals:
                remove()

    def _may_start(self) -> bool:
        return self._jobs < _JOBS and not self._supervisor.is_stopping

    async def _rest(self) -> None:
        """Wait until something happens or a deadline comes."""
        deadlines = [d for d in (self._queue.next_deadline(), self._cache.next_deadline()) if d is not None]
        if not self._may_start():
            deadlines.clear()  # the next finished job wakes us
        self._awake = asyncio.get_running_loop().create_future()
        timer: Timer | None = None
        if deadlines:
            timer = self._clock.call_later(min(deadlines) - self._clock.monotonic(), self._wake)
        try:
            await self._awake
        finally:
            self._awake = None
            if timer is not None:
                timer.cancel()

    def _wake(self) -> None:
        if self._awake is not None and not self._awake.done():
            self._awake.set_result(None)

    # What the watch says.

    def _on_namespace(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._cache.set_namespace(new.name, new.labels)
        elif old is not None:
            self._cache.set_namespace(old.name, None)

    def _on_service(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._cache.set_service(new.namespace, new.name, self._services.view(new).spec.selector)
        elif old is not None:
            self._cache.set_service(old.namespace, old.name, {})

    def _on_controller(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._cache.set_workload(new.uid, from_labels(self._controllers.view(new).spec.selector))
        elif old is not None:
            self._cache.set_workload(old.uid, None)

    def _on_set(self, sets: Informer[Any], old: Encoded | None, new: Encoded | None) -> None:
        if new is not None:
            self._cache.set_workload(new.uid, from_label_selector(sets.view(new).spec.selector))
        elif old is not None:
            self._cache.set_workload(old.uid, None)

    def _on_claim(self, old: Encoded | None, new: Encoded | None) -> None:
        self._volumes.on_claim(old, new)
        seen = new or old
        if seen is not None:
            self._changed(ClaimChanged(self._volumes.claims.view(seen)))

    def _on_volume(self, old: Encoded | None, new: Encoded | None) -> None:
        self._volumes.on_volume(old, new)
        if new is not None:
            self._changed(VolumeChanged(self._volumes.volumes.view(new)))

    def _on_class(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None:
            self._changed(StorageClassChanged(self._volumes.classes.view(new)))

    def _on_node(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None:
            if old is not None:
                self._cache.remove_node(old.name)
            return
        node = self._nodes.view(new)
        self._cache.set_node(node)
        if old is None:
            self._changed(NodeAdded(node))
            return
        before = self._nodes.view(old)
        if changed_allocatable(before, node) or changed_labels(before, node) or changed_taints(before, node):
            self._changed(NodeUpdated(before, node))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        if old is not None and (new is None or new.uid != old.uid):
            self._gone(old.uid)
        if new is None:
            return
        pod = self._pods.view(new)
        if pod.status.phase in TERMINAL_PHASES:
            self._gone(new.uid)
        elif pod.spec.node_name:
            self._assigned(PodInfo(pod), pod.spec.node_name)
        elif not self._is_ours(pod):
            self._queue.remove(new.uid)
        elif not self._cache.is_assumed(new.uid):
            if pod.status.nominated_node_name:
                self._cache.nominate(PendingPod(pod), pod.status.nominated_node_name)
            elif old is not None and self._pods.view(old).status.nominated_node_name:
                self._cache.renounce(new.uid)
            self._pending(pod)

    def _is_ours(self, pod: Pod) -> bool:
        return (pod.spec.scheduler_name or DEFAULT.scheduler_name) == self._profile.scheduler_name

    def _gone(self, uid: str) -> None:
        self._queue.remove(uid)
        self._volumes.abandon(uid)
        pod = self._cache.renounce(uid) or self._cache.remove(uid)
        self._cache.remove(uid)
        if pod is not None:
            self._changed(AssignedPodRemoved(pod))

    def _assigned(self, pod: PodInfo, node: str) -> None:
        self._queue.remove(pod.uid)
        self._cache.renounce(pod.uid)
        held = self._cache.place(pod.uid)
        elsewhere = held is not None and held[1] != node
        self._cache.confirm(pod, node)
        if held is None or elsewhere:
            self._changed(AssignedPodAdded(pod))
        elif held[0].requests != pod.requests:
            self._changed(AssignedPodShrunk(held[0], pod))
        elif held[0].labels != pod.labels:
            self._changed(AssignedPodRemoved(held[0]))
            self._changed(AssignedPodAdded(pod))
        elif pod.deleting and not held[0].deleting:
            self._changed(AssignedPodTerminating(pod))

    def _pending(self, pod: Pod) -> None:
        if pod.metadata.deletion_timestamp is not None:
            self._gone(pod.metadata.uid)
            return
        self._queue.set(PendingPod(pod), self._clock.monotonic())
        self._wake()
        if pod.spec.scheduling_gates:
            self._explain(pod, GATED, GATED_MESSAGE)

    def _changed(self, change: Change) -> None:
        self._queue.changed(change, self._clock.monotonic())
        self._wake()

    def _recheck_expired(self) -> None:
        for uid in self._cache.expired(self._clock.monotonic()):
            pod = self._cache.remove(uid)
            if pod is not None:
                log.warning("the binding of %s was not confirmed; looking again", pod.key)
                self._changed(AssignedPodRemoved(pod))
                self._look_again(pod)

    def _look_again(self, pod: PodInfo) -> None:
        """Take in what the watch said of a Pod while it was assumed to have its Node."""
        seen = self._pods.encoded(pod.name, pod.namespace)
        if seen is not None and seen.uid == pod.uid:
            self._on_pod(None, seen)
        else:
            self._queue.remove(pod.uid)

    # One Pod.

    def _cycle(self, queued: QueuedPod) -> None:
        pod = queued.pod
        snapshot = self._cache.snapshot()
        decision = decide(pod, snapshot, self._profile, self._start_index, self._cache.nominated(pod.uid))
        self._start_index = decision.next_start
        if isinstance(decision, Chosen):
            node = decision.best[self._chance.below(len(decision.best))] if len(decision.best) > 1 else decision.best[0]
            self._cache.renounce(pod.uid)
            plan = self._plan_volumes(pod, snapshot.by_name[node])
            self._cache.assume(pod, node)
            if plan is None:
                self._job(f"bind {pod.key}", self._bind(queued, pod, node))
            else:
                # Not counted among the jobs: who waits for volumes keeps nobody else from being bound.
                self._volumes.reserve(plan, node)
                work = self._bind(queued, pod, node, plan, snapshot.by_name[node].node)
                self._supervisor.job(f"bind {pod.key}", work)
        else:
            self._refuse(queued, decision)

    def _refuse(self, queued: QueuedPod, decision: Unschedulable) -> None:
        pod, diagnosis = queued.pod, decision.diagnosis
        after, nominated = "", None
        chosen: Preemption | None = None
        if diagnosis.nodes and pod.uid not in self._preempting:
            found = self._preempt(pod, diagnosis)
            if isinstance(found, Preemption):
                chosen, nominated = found, found.node
                self._cache.nominate(pod, found.node)
            else:
                after = f"preemption: {found.message}"
                if found.is_hopeless:
                    self._cache.renounce(pod.uid)
                    nominated = ""
        message = diagnosis.message(after)
        self._queue.refused(queued, diagnosis.plugins, self._clock.monotonic())
        self._recorder.event(pod.pod, "Warning", "FailedScheduling", _note(message))
        self._explain(pod.pod, UNSCHEDULABLE, message, nominated)
        if chosen is not None and not self._supervisor.is_stopping:
            self._preempting[pod.uid] = None
            self._job(f"preempt for {pod.key}", self._make_room(pod, chosen))

    def _preempt(self, pod: PendingPod, diagnosis: Diagnosis) -> Preemption | NoPreemption:
        snapshot = self._cache.snapshot()
        start = self._chance.below(len(snapshot)) if len(snapshot) > _FEW_NODES else 0
        nominated = self._cache.nominated(pod.uid)
        budgets = [
            Budget(
                budget.metadata.namespace,
                from_label_selector(budget.spec.selector),
                budget.status.disruptions_allowed or 0,
                budget.status.disrupted_pods,
            )
            for budget in self._budgets.list()
        ]
        return preempt(pod, snapshot, diagnosis, self._profile, nominated=nominated, budgets=budgets, start=start)

    async def _make_room(self, pod: PendingPod, chosen: Preemption) -> None:
        """Ask the victims to go, and take their promises from whoever is of lower priority."""
        message = f"{pod.pod.spec.scheduler_name}: preempting to accommodate a higher priority pod"
        try:
            for other in self._cache.nominees(chosen.node):
                if other.priority < pod.priority:
                    self._cache.renounce(other.uid)
                    patch: dict[str, object] = {"status": {"nominatedNodeName": None}}
                    await self._patch_status(other.name, other.namespace, patch | {"metadata": {"uid": other.uid}})
            for victim in chosen.victims:
                held = self._pods.get(victim.name, victim.namespace)
                if held is None or held.metadata.uid != victim.uid or held.metadata.deletion_timestamp is not None:
                    continue
                told = disrupted(held, PREEMPTED, message, self._clock.time())
                if told is not None:
                    await self._patch_status(victim.name, victim.namespace, told)
                await self._delete(victim)
                why = f"Preempted by pod {pod.uid} on node {chosen.node}"
                self._recorder.event(held, "Normal", "Preempted", why)
        finally:
            self._preempting.pop(pod.uid, None)

    async def _delete(self, victim: PodInfo) -> None:
        try:
            await self._client.delete(PODS, victim.name, victim.namespace, uid=victim.uid)
        except StatusError as refusal:
            if not (refusal.is_not_found or refusal.is_conflict):
                # The next attempt of the Pod that wants to come chooses anew.
                log.warning("cannot preempt %s: %s", victim.key, refusal)

    def _plan_volumes(self, pod: PendingPod, node: NodeInfo) -> VolumePlan | None:
        """Return what is to be bound before a Pod is; `None` where there is nothing."""
        if not pod.claims:
            return None
        plan = plan_on(look_up(pod.pod, self._volumes), node, self._volumes)
        return plan if plan is not None and plan.claims else None

    async def _bind(
        self, queued: QueuedPod, pod: PendingPod, node: str, plan: VolumePlan | None = None, at: Node | None = None
    ) -> None:
        queue, cache = self._queue, self._cache
        accepted = False
        try:
            if plan is not None and at is not None:
                await self._volumes.bind(pod.uid, plan, at)
            await self._client.create_subresource(
                PODS, pod.name, "binding", _binding(pod, node), namespace=pod.namespace
            )
            accepted = True
        except NotBound as why:
            self._volumes_failed(pod, f'running PreBind plugin "VolumeBinding": binding volumes: {why}')
        except StatusError as refusal:
            message = f'running Bind plugin "DefaultBinder": {refusal}'
            log.info("%s: %s", pod.key, message)
            # Gone, or given a Node by somebody else: the watch will say so, and it is nobody's fault.
            if cache.is_assumed(pod.uid) and not (refusal.is_not_found or refusal.is_conflict):
                self._recorder.event(pod.pod, "Warning", "FailedScheduling", _note(message))
                self._explain(pod.pod, SCHEDULER_ERROR, message)
        finally:
            # An error that is no refusal goes to the supervisor; the Pod goes back into the queue all the same.
            if plan is not None and not accepted:
                self._volumes.give_up(plan)
            if not accepted and cache.is_assumed(pod.uid):
                cache.remove(pod.uid)
                queue.failed(queued, self._clock.monotonic())
                if queue is self._queue:
                    self._changed(AssignedPodRemoved(pod))
                    self._look_again(pod)
        if accepted:
            cache.bound(pod.uid, self._clock.monotonic())
            queue.remove(pod.uid)
            self._recorder.event(pod.pod, "Normal", "Scheduled", f"Successfully assigned {pod.key} to {node}")

    def _volumes_failed(self, pod: PendingPod, message: str) -> None:
        log.info("%s: %s", pod.key, message)
        if self._cache.is_assumed(pod.uid):
            self._recorder.event(pod.pod, "Warning", "FailedScheduling", _note(message))
            self._explain(pod.pod, SCHEDULER_ERROR, message)

    def _explain(self, pod: Pod, reason: str, message: str, nominated: str | None = None) -> None:
        patch = not_scheduled(pod, reason, message, self._clock.time(), nominated)
        if patch is not None and not self._supervisor.is_stopping:
            name, namespace = pod.metadata.name, pod.metadata.namespace
            self._job(f"explain {namespace}/{name}", self._patch_status(name, namespace, patch))

    def _job(self, name: str, work: Coroutine[object, object, None]) -> None:
        self._jobs += 1
        self._supervisor.job(name, work).add_done_callback(self._job_done)

    def _job_done(self, _: object) -> None:
        self._jobs -= 1
        self._wake()

    async def _patch_status(self, name: str, namespace: str, patch: dict[str, object]) -> None:
        try:
            await self._client.patch(PODS, name, patch, namespace=namespace, kind="strategic", subresource="status")
        except StatusError as refusal:
            # The next attempt says it again; a Pod that is gone, or another by this name, needs no telling.
            if not (refusal.is_not_found or refusal.is_conflict):
                log.warning("cannot say why %s/%s is not scheduled: %s", namespace, name, refusal)


def _binding(pod: PendingPod, node: str) -> object:
    from podling.api.types.core_v1 import Binding, ObjectReference
    from podling.api.types.meta_v1 import ObjectMeta

    return Binding(
        metadata=ObjectMeta(name=pod.name, namespace=pod.namespace, uid=pod.uid),
        target=ObjectReference(kind="Node", name=node),
    )


def _note(message: str) -> str:
    """Cut a message to what an event may hold, as upstream does."""
    return message if len(message) <= _NOTE_LIMIT else f"{message[: _NOTE_LIMIT - 4]} ..."
