"""Takes away Pods that nobody else will: of Nodes gone or out of service, and finished ones beyond a number.

    on a Node that does not exist, for 40 s ────────────────▶ Failed, DisruptionTarget, gone
    terminating, its Node not ready and out of service ─────▶ Failed, gone
    terminating, and never given a Node ────────────────────▶ Failed, gone
    finished, above the threshold: evicted first, then the oldest ─▶ gone

Level: Pods and Nodes as they are seen. A Node that has only just come may be unknown here though a Pod names it:
hence the quarantine, after which the API server itself is asked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.pods import TERMINAL_PHASES
from podling.api.resources import NODES, PODS
from podling.client.cache import key_of, split_key
from podling.controllers.node_health import ready_status
from podling.controllers.node_lifecycle import pods_by_node
from podling.controllers.node_taints import OUT_OF_SERVICE
from podling.lifecycle.disruption import disrupted

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Node, Pod
    from podling.client.informer import Informer
    from podling.controllers.context import Context

QUARANTINE: Final = 40.0
PERIOD: Final = 20.0
"""Seconds between counts of finished Pods."""

_REASON: Final = "DeletionByPodGC"
_MESSAGE: Final = "PodGC: node no longer exists"
_NODE, _POD, _COUNT = "node", "pod", "count"

Key = tuple[str, str]


def is_stuck(pod: Pod, node: Node | None) -> bool:
    """Whether a terminating Pod has no kubelet that would end it."""
    if pod.metadata.deletion_timestamp is None:
        return False
    if not pod.spec.node_name:
        return True
    return node is not None and is_out_of_service(node)


def is_out_of_service(node: Node) -> bool:
    return ready_status(node) != "True" and any(taint.key == OUT_OF_SERVICE for taint in node.spec.taints)


def surplus(pods: Iterable[Pod], threshold: int) -> list[Pod]:
    """Return the finished Pods to delete so that `threshold` are left: evicted ones first, then the oldest."""
    finished = [pod for pod in pods if pod.status.phase in TERMINAL_PHASES]
    finished.sort(
        key=lambda p: (
            not (p.status.phase == "Failed" and p.status.reason == "Evicted"),
            p.metadata.creation_timestamp or "",
            p.metadata.name,
        )
    )
    return finished[: max(len(finished) - threshold, 0)]


class PodGarbageCollector:
    """Keys are Nodes that are missing, Pods that terminate, and the count."""

    account = "pod-garbage-collector"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._threshold = context.settings.terminated_pod_gc_threshold
        self._nodes = context.informers.of(NODES)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        pods_by_node(self._pods)
        self._queue: WorkQueue[Key] = WorkQueue(context.clock)
        self._missing: dict[str, float] = {}
        self._finished: dict[str, None] = {}

    def start(self) -> None:
        self._nodes.on_change(self._on_node)
        self._pods.on_change(self._on_pod)
        self._supervisor.workers("pod-garbage-collector", self._queue, self._sync)

    def _on_node(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None:
            if old is not None and self._pods.indexed("node", old.name):
                self._queue.add((_NODE, old.name))
            return
        self._missing.pop(new.name, None)
        if is_out_of_service(self._nodes.view(new)):
            for pod in self._pods.indexed("node", new.name):
                self._queue.add((_POD, key_of(pod)))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is None:
            return
        key = key_of(seen)
        if new is None or new.fields.get("status.phase") not in TERMINAL_PHASES:
            self._finished.pop(key, None)
        else:
            self._finished[key] = None
            if self._threshold and len(self._finished) > self._threshold:
                self._queue.add_after((_COUNT, ""), PERIOD)
        if new is None:
            return
        node = new.fields.get("spec.nodeName", "")
        if node and self._nodes.encoded(node) is None:
            self._queue.add((_NODE, node))
        elif b'"deletionTimestamp"' in new.raw:
            self._queue.add((_POD, key))

    async def _sync(self, key: Key) -> None:
        await self._nodes.wait_synced()
        await self._pods.wait_synced()
        kind, name = key
        if kind == _NODE:
            await self._look_for(name)
        elif kind == _POD:
            namespace, pod_name = split_key(name)
            pod = self._pods.get(pod_name, namespace)
            if pod is not None and is_stuck(pod, self._nodes.get(pod.spec.node_name)):
                await self._delete(pod)
        else:
            held = [self._pods.get(name, namespace) for namespace, name in map(split_key, self._finished)]
            for pod in surplus([pod for pod in held if pod is not None], self._threshold):
                await self._delete(pod)

    async def _look_for(self, name: str) -> None:
        if self._nodes.encoded(name) is not None or not self._pods.indexed("node", name):
            self._missing.pop(name, None)
            return
        now = self._clock.monotonic()
        since = self._missing.setdefault(name, now)
        if now < since + QUARANTINE:
            self._queue.add_after((_NODE, name), since + QUARANTINE - now)
            return
        if await self._exists(name):
            self._missing.pop(name, None)
            return
        for seen in self._pods.indexed("node", name):
            await self._delete(self._pods.view(seen), _REASON, _MESSAGE)

    async def _exists(self, name: str) -> bool:
        try:
            await self._client.get(NODES, name)
        except StatusError as refusal:
            if refusal.is_not_found:
                return False
            raise
        return True

    async def _delete(self, pod: Pod, reason: str = "", message: str = "") -> None:
        name, namespace = pod.metadata.name, pod.metadata.namespace
        try:
            if pod.status.phase not in TERMINAL_PHASES:
                patch = disrupted(pod, reason, message, self._clock.time(), failed=True)
                await self._client.patch(PODS, name, patch, namespace=namespace, kind="strategic", subresource="status")
            await self._client.delete(PODS, name, namespace, grace=0, uid=pod.metadata.uid)
        except StatusError as refusal:
            if not (refusal.is_not_found or refusal.is_conflict):
                raise
