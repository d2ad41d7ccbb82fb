"""Deletes Pods that do not tolerate their Node's NoExecute taints, each at the instant its tolerations say.

    tainted ─┬─ a taint is not tolerated ────────────▶ deleted at once
             ├─ all tolerated for ever ──────────────▶ stays
             └─ tolerated for seconds, the fewest count ─▶ due ── the instant comes ──▶ deleted
                                                            └─ taints gone, or tolerated for ever ─▶ stays; it is told

Seconds count from when the taint was first seen here, as upstream has it; further taints that are tolerated for seconds
do not move an instant that is set. Level: Nodes and Pods; what is due is lost with the process and reckoned anew from
its start, again as upstream's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import NODES, PODS
from podling.client.cache import key_of, split_key
from podling.controllers.node_lifecycle import pods_by_node
from podling.lifecycle.disruption import disrupted
from podling.placement.tolerations import tolerates

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Node, Pod, Taint, Toleration
    from podling.client.informer import Informer
    from podling.controllers.context import Context

REASON = "DeletionByTaintManager"
MESSAGE = "Taint manager: deleting due to NoExecute taint"


def tolerated_for(taints: Sequence[Taint], tolerations: Sequence[Toleration]) -> float | None:
    """Return for how many seconds a Pod may stay under NoExecute taints; `None` is for ever.

    Of a taint that several tolerations cover, all of them count, and the fewest seconds do.
    """
    seconds: list[float] = []
    for taint in taints:
        matching = [t for t in tolerations if tolerates(t, taint)]
        if not matching:
            return 0.0
        seconds += [max(float(t.toleration_seconds), 0.0) for t in matching if t.toleration_seconds is not None]
    return min(seconds, default=None)


def no_execute(node: Node) -> tuple[Taint, ...]:
    return tuple(taint for taint in node.spec.taints if taint.effect == "NoExecute")


@dataclass(frozen=True, slots=True)
class Due:
    """A Pod's deletion that is to come."""

    uid: str
    at: float


class TaintEviction:
    """Keys are Pods."""

    account = "node-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._nodes = context.informers.of(NODES)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        pods_by_node(self._pods)
        self._recorder = context.recorder("taint-eviction-controller")
        self._queue: WorkQueue[str] = WorkQueue(context.clock)
        self._due: dict[str, Due] = {}

    def start(self) -> None:
        self._nodes.on_change(self._on_node)
        self._pods.on_change(self._on_pod)
        self._supervisor.workers("taint-eviction", self._queue, self._sync, count=4)

    def _on_node(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is None:
            return
        before = no_execute(self._nodes.view(old)) if old is not None else ()
        after = no_execute(self._nodes.view(new)) if new is not None else ()
        if before != after:
            for pod in self._pods.indexed("node", seen.name):
                self._queue.add(key_of(pod))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None:
            if old is not None:
                self._due.pop(key_of(old), None)
            return
        key = key_of(new)
        node = self._nodes.get(new.fields.get("spec.nodeName", ""))
        if key in self._due or (node is not None and no_execute(node)):
            self._queue.add(key)

    async def _sync(self, key: str) -> None:
        await self._nodes.wait_synced()
        namespace, name = split_key(key)
        pod = self._pods.get(name, namespace)
        if pod is None:
            self._due.pop(key, None)
            return
        node = self._nodes.get(pod.spec.node_name)
        if node is None:
            return  # the garbage collector's
        taints = no_execute(node)
        seconds = tolerated_for(taints, pod.spec.tolerations) if taints else None
        due = self._due.get(key)
        if due is not None and due.uid != pod.metadata.uid:
            self._due.pop(key)
            due = None
        if seconds is None or pod.metadata.deletion_timestamp is not None:
            if self._due.pop(key, None) is not None and seconds is None:
                self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Cancelling deletion of Pod {key}")
            return
        now = self._clock.monotonic()
        if due is None or not seconds:
            due = self._due[key] = Due(pod.metadata.uid, now + seconds)
        if now < due.at:
            self._queue.add_after(key, due.at - now)
            return
        await self._delete(pod, key)
        self._due.pop(key, None)

    async def _delete(self, pod: Pod, key: str) -> None:
        namespace, name = split_key(key)
        patch = disrupted(pod, REASON, MESSAGE, self._clock.time())
        try:
            if patch is not None:
                self._recorder.event(pod, "Normal", "TaintManagerEviction", f"Marking for deletion Pod {key}")
                await self._client.patch(PODS, name, patch, namespace=namespace, kind="strategic", subresource="status")
            await self._client.delete(PODS, name, namespace, uid=pod.metadata.uid)
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
