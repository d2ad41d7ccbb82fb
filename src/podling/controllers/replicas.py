"""Keeps as many Pods as a ReplicaSet or a ReplicationController wants: one controller for both kinds.

Level: sets and Pods as they are seen, and as they were written. Pods that were made count before the watch shows them,
Pods that were deleted count as going. A set that is going makes, takes and adopts nothing any more.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.pods import is_active, is_terminal, ready_condition
from podling.api.resources import PODS, REPLICA_SETS, REPLICATION_CONTROLLERS
from podling.api.selectors import from_label_selector, from_labels
from podling.client.cache import key_of, split_key
from podling.controllers.availability import next_available
from podling.controllers.claims import controller_of
from podling.controllers.owned import Owned
from podling.controllers.pod_owners import PodOwners
from podling.controllers.pod_writes import PodWrites
from podling.controllers.pods_of_templates import pod_of
from podling.controllers.refusals import Refused
from podling.controllers.replicas_plan import Replicas, Status, plan, status, with_status
from podling.controllers.slow_start import all_at_once, slow_start
from podling.controllers.written import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.selectors import Selector
    from podling.api.types.core_v1 import Pod
    from podling.client.informer import Informer
    from podling.controllers.context import Context

_WORKERS: Final = 5
_PAUSE: Final = 0.0001
"""Seconds, for each Pod, that a large set waits for more changes: counting it costs the loop a sixth of that."""
_LARGE: Final = 100
"""Pods; a set of fewer is counted at once."""


class ReplicaController:
    """Keys are sets of one kind."""

    account: str
    kind: Resource[Any]

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._sets: Informer[Any] = context.informers.of(self.kind)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._written_sets: Written[Any] = Written(self._sets)
        self._written_pods: Written[Pod] = Written(self._pods)
        self._owned = Owned(self._pods, self._written_pods)
        self._siblings = Owned(self._sets, self._written_sets)
        self._deleted: dict[str, None] = {}
        self._sizes: dict[str, int] = {}
        self._owners = PodOwners(self._sets, self.selector)
        self._writes = PodWrites(self._client, context.recorder(self.account))
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._sets.on_change(self._on_set)
        self._pods.on_change(self._on_pod)
        self._supervisor.workers(self.kind.plural, self._queue, self._sync, _WORKERS)

    def _on_set(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is None or self._written_sets.echoed(old, new):
            return
        if old is None or new is None or _asked(self._sets.view(old)) != _asked(self._sets.view(new)):
            self._queue.add(key_of(seen))
        else:
            self._wake(seen)

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None and old is not None:
            self._deleted.pop(old.uid, None)
        concerned = self._owners.concerned(old, new)
        # Asked in this order: a Pod that is none of theirs is never decoded.
        if not concerned or (old is not None and new is not None and old.uid == new.uid and self._alike(old, new)):
            return
        for found in concerned:
            self._wake(found)

    def _wake(self, found: Encoded) -> None:
        """Count a set's Pods soon: a large one's not for each of them anew."""
        key = key_of(found)
        self._queue.add_after(key, self._sizes.get(key, 0) * _PAUSE)

    def _alike(self, old: Encoded, new: Encoded) -> bool:
        return old.labels == new.labels and _facts(self._pods.view(old)) == _facts(self._pods.view(new))

    async def _sync(self, key: str) -> None:
        await self._sets.wait_synced()
        await self._pods.wait_synced()
        found = self._found(key)
        if found is None:
            self._sizes.pop(key, None)
            return
        selector = self.selector(found)
        if selector.empty:
            return
        mine = await self._owned.settle(self._client, self.kind, found, selector, is_active)
        active = [pod for pod in mine if pod.metadata.uid not in self._deleted]
        refusal = None
        if found.metadata.deletion_timestamp is None:
            refusal, active = await self._carry_out(found, active)
        self._sizes[key] = len(active) if len(active) > _LARGE else 0
        now = self._clock.time()
        going = self._going(found, selector, active)
        await self._write(key, found, status(found, active, going, str(refusal or ""), now))
        if refusal is not None:
            raise Refused(refusal)
        wait = next_available(active, found.spec.min_ready_seconds or 0, now)
        if wait is not None:
            self._queue.add_after(key, wait)

    def _found(self, key: str) -> Replicas | None:
        namespace, name = split_key(key)
        seen = self._sets.get(name, namespace)
        if seen is None:
            return None
        (found,) = self._written_sets.over(key, [seen])
        return found  # type: ignore[no-any-return]  # the informer's kind is this class's

    def _going(self, found: Replicas, selector: Selector, active: Sequence[Pod]) -> int:
        """Return how many Pods of a set are on their way out."""
        staying = {pod.metadata.uid for pod in active}
        return sum(
            not is_terminal(pod) and pod.metadata.uid not in staying and selector.matches(pod.metadata.labels)
            for pod in self._owned.of(_uid(found), found.metadata.namespace)
        )

    async def _write(self, key: str, found: Replicas, fresh: Status | None) -> None:
        if fresh is None:
            return
        try:
            self._written_sets.put(key, await self._client.update_status(self.kind, with_status(found, fresh)))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise

    async def _carry_out(self, found: Replicas, active: list[Pod]) -> tuple[StatusError | None, list[Pod]]:
        """Make or delete what is to be; return the refusal, if any, and the Pods that are active after that."""
        now = self._clock.time()
        todo = plan(found.spec.replicas or 0, active, self._related(found, active), now)
        template = found.spec.template
        if todo.create and template is not None:
            pod = pod_of(template, self.kind, found)
            return await slow_start(todo.create, lambda _: self._create(found, pod, active)), active
        refusal = await all_at_once([self._delete(found, pod) for pod in todo.delete])
        return refusal, [pod for pod in active if pod.metadata.uid not in self._deleted]

    def _related(self, found: Replicas, active: Sequence[Pod]) -> Sequence[Pod]:
        """Return the Pods of all sets that one Deployment controls, among which these are spread over the Nodes."""
        above = controller_of(found)
        if above is None:
            return active
        return [
            pod
            for one in self._siblings.of(above.uid, found.metadata.namespace)
            for pod in self._owned.of(_uid(one), found.metadata.namespace)
        ]

    async def _create(self, found: Replicas, pod: Pod, active: list[Pod]) -> None:
        made = await self._writes.create(found, pod)
        if made is not None:
            self._written_pods.put(_uid(found), made)
            active.append(made)

    async def _delete(self, found: Replicas, pod: Pod) -> None:
        # Before the call: the watch may tell of the end before it returns.
        self._deleted[_uid(pod)] = None
        try:
            await self._writes.delete(found, pod)
        except StatusError:
            self._deleted.pop(_uid(pod), None)
            raise

    def selector(self, found: Any) -> Selector:
        """Return by what a set knows its Pods."""
        raise NotImplementedError


class ReplicaSets(ReplicaController):
    account = "replicaset-controller"
    kind = REPLICA_SETS

    def selector(self, found: Any) -> Selector:
        return from_label_selector(found.spec.selector)


class ReplicationControllers(ReplicaController):
    account = "replication-controller"
    kind = REPLICATION_CONTROLLERS

    def selector(self, found: Any) -> Selector:
        return from_labels(found.spec.selector)


def _uid(found: Any) -> str:
    uid: str = found.metadata.uid
    return uid


def _asked(found: Any) -> tuple[object, ...]:
    return found.metadata.generation, found.metadata.deletion_timestamp


def _facts(pod: Pod) -> tuple[object, ...]:
    """Return all of a Pod that matters to who counts it."""
    held = ready_condition(pod)
    return (
        pod.metadata.owner_references,
        pod.metadata.deletion_timestamp is None,
        is_terminal(pod),
        (held.status, held.last_transition_time) if held is not None else None,
    )
