"""Keeps a Pod of each DaemonSet on every Node that is to have one.

Level: DaemonSets, Nodes and Pods as they are seen and were written. Whether a Node is to have a Pod is asked of
`placement`, which the scheduler asks again; it binds the Pod, whose affinity names the Node.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.pods import is_ready, ready_condition
from podling.api.resources import DAEMON_SETS, NODES, PODS
from podling.api.selectors import NOTHING, from_label_selector
from podling.client.cache import key_of, split_key
from podling.controllers.availability import next_available
from podling.controllers.daemon_plan import DaemonPlan, keep, renew
from podling.controllers.daemon_pods import by_node, draft, fit, made
from podling.controllers.daemon_status import status
from podling.controllers.failed_backoff import FailedBackoff
from podling.controllers.owned import Owned
from podling.controllers.pod_owners import PodOwners
from podling.controllers.pod_writes import PodWrites
from podling.controllers.refusals import Refused
from podling.controllers.revision_keeper import RevisionKeeper
from podling.controllers.revisions import HASH
from podling.controllers.slow_start import all_at_once, slow_start
from podling.controllers.written import Written
from podling.placement.nodes import NodeInfo
from podling.placement.pods import PendingPod

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.encoded import Encoded
    from podling.api.selectors import Selector
    from podling.api.types.apps_v1 import ControllerRevision, DaemonSet
    from podling.api.types.core_v1 import Node, Pod
    from podling.client.informer import Informer
    from podling.controllers.context import Context
    from podling.controllers.daemon_pods import Fit

_WORKERS: Final = 2
_LARGE: Final = 50
_PAUSE: Final = 0.0002
"""Seconds, for each Node of more than `_LARGE`, that a DaemonSet waits for more changes of its Pods."""


class DaemonSets:
    """Keys are DaemonSets."""

    account = "daemon-set-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._sets: Informer[DaemonSet] = context.informers.of(DAEMON_SETS)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._nodes: Informer[Node] = context.informers.of(NODES)
        self._written: Written[DaemonSet] = Written(self._sets)
        self._written_pods: Written[Pod] = Written(self._pods)
        self._owned = Owned(self._pods, self._written_pods)
        self._owners = PodOwners(self._sets, _selector)
        self._revisions = RevisionKeeper(context.client, context.informers, DAEMON_SETS, HASH)
        self._infos: dict[str, NodeInfo] = {}
        self._deleted: dict[str, None] = {}
        self._failures = FailedBackoff()
        self._recorder = context.recorder("daemonset-controller")
        self._writes = PodWrites(context.client, self._recorder)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._sets.on_change(self._on_set)
        self._pods.on_change(self._on_pod)
        self._nodes.on_change(self._on_node)
        self._revisions.start(self._queue.add)
        self._supervisor.workers("daemonsets", self._queue, self._sync, _WORKERS)

    def _on_set(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None:
            if old is not None:
                self._failures.forget(old.uid)
            return
        if self._written.echoed(old, new):
            return
        if old is None or _asked(self._sets.view(old)) != _asked(self._sets.view(new)):
            self._queue.add(key_of(new))
        else:
            self._wake(new)

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None and old is not None:
            self._deleted.pop(old.uid, None)
        if old is not None and new is not None and old.uid == new.uid and self._alike(old, new):
            return
        for found in self._owners.concerned(old, new):
            self._wake(found)

    def _wake(self, found: Encoded) -> None:
        """Look at a DaemonSet soon: where there are many Nodes not for each of them anew."""
        nodes = len(self._infos)
        self._queue.add_after(key_of(found), nodes * _PAUSE if nodes > _LARGE else 0)

    def _alike(self, old: Encoded, new: Encoded) -> bool:
        return old.labels == new.labels and _facts(self._pods.view(old)) == _facts(self._pods.view(new))

    def _on_node(self, old: Encoded | None, new: Encoded | None) -> None:
        """A heartbeat changes nothing; labels and taints may change everything."""
        if new is None:
            if old is not None:
                self._infos.pop(old.name, None)
        else:
            before, node = self._infos.get(new.name), self._nodes.view(new)
            if before is None:
                self._infos[new.name] = NodeInfo(node)
            else:
                alike = before.labels == node.metadata.labels and before.node.spec.taints == node.spec.taints
                before.set_node(node)
                if alike:
                    return
        for found in self._sets.list():
            self._queue.add(f"{found.metadata.namespace}/{found.metadata.name}")

    async def _sync(self, key: str) -> None:
        for informer in (self._sets, self._pods, self._nodes):
            await informer.wait_synced()
        await self._revisions.wait_synced()
        namespace, name = split_key(key)
        seen = self._sets.get(name, namespace)
        if seen is None:
            return
        (found,) = self._written.over(key, [seen])
        selector = _selector(found) or NOTHING
        if selector.empty:
            self._recorder.event(found, "Warning", "SelectingAll", _SELECTING_ALL)
            return
        if found.metadata.deletion_timestamp is None:
            await self._run(key, found, selector)

    async def _run(self, key: str, found: DaemonSet, selector: Selector) -> None:
        await self._owned.settle(self._client, DAEMON_SETS, found, selector)
        annotations = dict(found.metadata.annotations)
        present, past, collisions = await self._revisions.present(found, selector, annotations)
        revision = present.metadata.labels.get(HASH, "")
        await self._merge(found, revision, [one for one in past.present if one.metadata.uid != present.metadata.uid])
        pending = PendingPod(draft(found))
        fits = {name: fit(pending, info) for name, info in sorted(self._infos.items())}
        now = self._clock.time()
        waits = self._failures.waits(found.metadata.uid, now)
        todo = keep(found, revision, fits, self._by_node(found), waits, now)
        if not todo.create and not todo.delete:
            todo = _with_wait(renew(found, revision, fits, self._by_node(found), now), todo.again)
        refusal = await self._carry_out(found, pending.pod, revision, todo)
        pods = self._by_node(found)
        live = {pod.metadata.labels.get(HASH, "") for held in pods.values() for pod in held}
        await self._revisions.trim(found, past, live, by_hash=True)
        await self._write(key, found, revision, fits, pods, collisions)
        if refusal is not None:
            raise Refused(refusal)
        seconds = found.spec.min_ready_seconds or 0
        every = [pod for held in pods.values() for pod in held]
        for wait in (todo.again, next_available(every, seconds, self._clock.time())):
            if wait is not None:
                self._queue.add_after(key, wait)

    async def _merge(self, found: DaemonSet, revision: str, others: Sequence[ControllerRevision]) -> None:
        """Let one revision of the present template be enough: its Pods are told of it and stay as they are."""
        hashes = {one.metadata.labels.get(HASH, "") for one in others}
        for pod in self._owned.of(found.metadata.uid, found.metadata.namespace) if others else ():
            meta = pod.metadata
            if meta.labels.get(HASH, "") in hashes - {revision}:
                patch = {"metadata": {"uid": meta.uid, "labels": {HASH: revision}}}
                fresh = await self._client.patch(PODS, meta.name, patch, namespace=meta.namespace)
                self._written_pods.put(found.metadata.uid, fresh)
        for one in others:
            await self._revisions.forget(one)

    def _by_node(self, found: DaemonSet) -> Mapping[str, list[Pod]]:
        return by_node(self._as_it_is(pod) for pod in self._owned.of(found.metadata.uid, found.metadata.namespace))

    def _as_it_is(self, pod: Pod) -> Pod:
        """Show a Pod that was deleted here as going, also before the informer does."""
        meta = pod.metadata
        if meta.uid not in self._deleted or meta.deletion_timestamp is not None:
            return pod
        going = msgspec.structs.replace(meta, deletion_timestamp=meta.creation_timestamp)
        return msgspec.structs.replace(pod, metadata=going)

    async def _carry_out(self, found: DaemonSet, pod: Pod, revision: str, todo: DaemonPlan) -> StatusError | None:
        for kind, reason, message in todo.told:
            self._recorder.event(found, "Warning" if kind == "Warning" else "Normal", reason, message)
        for node in todo.failed:
            self._failures.add(found.metadata.uid, node, self._clock.time())

        async def create(place: int) -> None:
            done = await self._writes.create(found, made(found, pod, todo.create[place], revision))
            if done is not None:
                self._written_pods.put(found.metadata.uid, done)

        refusal = await slow_start(len(todo.create), create)
        return await all_at_once([self._delete(found, one) for one in todo.delete]) or refusal

    async def _delete(self, found: DaemonSet, pod: Pod) -> None:
        self._deleted[pod.metadata.uid] = None
        try:
            await self._writes.delete(found, pod)
        except StatusError:
            self._deleted.pop(pod.metadata.uid, None)
            raise
        if self._pods.get(pod.metadata.name, pod.metadata.namespace) is None:
            self._deleted.pop(pod.metadata.uid, None)  # gone before, and told already

    async def _write(
        self,
        key: str,
        found: DaemonSet,
        revision: str,
        fits: Mapping[str, Fit],
        pods: Mapping[str, list[Pod]],
        collisions: int,
    ) -> None:
        fresh = status(found, revision, fits, pods, collisions, self._clock.time())
        if fresh == found.status:
            return
        try:
            done = await self._client.update_status(DAEMON_SETS, msgspec.structs.replace(found, status=fresh))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
        else:
            self._written.put(key, done)


_SELECTING_ALL: Final = "This daemon set is selecting all pods. A non-empty selector is required."


def _asked(found: DaemonSet) -> tuple[object, ...]:
    """Return all that others ask of a DaemonSet."""
    return found.metadata.uid, found.metadata.generation, found.metadata.deletion_timestamp


def _selector(found: Any) -> Selector | None:
    return from_label_selector(found.spec.selector) if found.spec.selector is not None else None


def _with_wait(todo: DaemonPlan, again: float | None) -> DaemonPlan:
    todo.again = again
    return todo


def _facts(pod: Pod) -> tuple[object, ...]:
    """Return all of a Pod that matters to its DaemonSet."""
    held = ready_condition(pod)
    return (
        pod.metadata.owner_references,
        pod.metadata.deletion_timestamp is None,
        pod.spec.node_name,
        pod.status.phase,
        is_ready(pod),
        held.last_transition_time if held is not None else None,
    )
