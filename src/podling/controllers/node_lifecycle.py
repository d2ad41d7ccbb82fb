"""Notices Nodes that are lost, taints them, and says of their Pods that they are not ready.

Level: Nodes and Leases as they are seen; when each was last heard of is kept here and begins anew with each start, as
upstream's does. One timer a Node, which is moved only when it fires. What is decided stands in `node_health`,
`node_taints` and `node_zones`.

    a sign of life ─▶ `Health` ──── silent for the grace period ───▶ conditions Unknown ─▶ NoSchedule, Pods not ready
                                                                             └─ as fast as its zone allows ─▶ NoExecute
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import LEASES, NODES, PODS
from podling.api.times import from_wire, to_wire
from podling.controllers.node_health import Health, condition, observe, ready_status, silenced
from podling.controllers.node_taints import driven_out, driving_out, wanted
from podling.controllers.node_zones import Zones
from podling.lifecycle.disruption import not_ready

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Node, Pod
    from podling.client.informer import Informer
    from podling.controllers.context import Context

_LEASE_NAMESPACE: Final = "kube-node-lease"


def pods_by_node(pods: Informer[Any]) -> None:
    """Let an informer of Pods find them by Node: `indexed("node", name)`."""
    pods.add_index("node", lambda pod: (pod.fields["spec.nodeName"],) if pod.fields.get("spec.nodeName") else ())


class NodeLifecycle:
    """Keys are Nodes."""

    account = "node-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._settings = context.settings
        self._nodes = context.informers.of(NODES)
        self._leases = context.informers.of(LEASES)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        pods_by_node(self._pods)
        self._recorder = context.recorder("node-controller")
        self._queue: WorkQueue[str] = WorkQueue(context.clock)
        self._health: dict[str, Health] = {}
        self._zones = Zones(context.settings)
        self._was_all_lost = False
        self._states = self._zones.states()

    def start(self) -> None:
        self._nodes.on_change(self._on_node)
        self._leases.on_change(self._on_lease)
        self._supervisor.workers("node-lifecycle", self._queue, self._sync)

    def _on_node(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None:
            if old is not None:
                self._forget(old)
            return
        if old is None:
            self._say(new.name, new.uid, "RegisteredNode", f"Registered Node {new.name} in Controller")
        node = self._nodes.view(new)
        self._heard(node)
        self._zones.set(node, ready_status(node) == "True")
        self._queue.add(new.name)
        self._judge_zones()

    def _forget(self, gone: Encoded) -> None:
        self._say(gone.name, gone.uid, "RemovingNode", f"Removing Node {gone.name} from Controller")
        self._health.pop(gone.name, None)
        self._zones.remove(gone.name)
        self._judge_zones()

    def _on_lease(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None and new.namespace == _LEASE_NAMESPACE:
            node = self._nodes.get(new.name)
            if node is not None:
                self._heard(node)

    def _heard(self, node: Node) -> None:
        name = node.metadata.name
        lease = self._leases.get(name, _LEASE_NAMESPACE)
        renewed = lease.spec.renew_time if lease is not None and lease.spec is not None else None
        created = node.metadata.creation_timestamp
        age = self._clock.time() - from_wire(created) if created else 0.0
        self._health[name] = observe(self._health.get(name), node, renewed, self._clock.monotonic(), age)

    def _judge_zones(self) -> None:
        """Bring forth whoever waits for what has just changed."""
        states, all_lost = self._zones.states(), self._zones.all_lost
        if states == self._states and all_lost == self._was_all_lost:
            return
        if self._was_all_lost and not all_lost:
            # Some Node is back, so it was not the Nodes that were gone: each gets its grace period anew.
            now = self._clock.monotonic()
            for name, held in self._health.items():
                self._health[name] = Health(now, held.has_status, held.heartbeat, held.renewed)
        self._states, self._was_all_lost = states, all_lost
        for known in self._nodes:
            self._queue.add(known.name)

    async def _sync(self, name: str) -> None:
        await self._leases.wait_synced()
        await self._pods.wait_synced()
        node, health = self._nodes.get(name), self._health.get(name)
        if node is None or health is None:
            return
        now = self._clock.monotonic()
        lost_at = health.lost_at(self._settings)
        is_lost = now >= lost_at
        try:
            if is_lost:
                node = await self._silence(node)
            else:
                self._queue.add_after(name, lost_at - now)
            await self._taint(node)
            if ready_status(node) == "Unknown" and condition(node, "Ready") is not None:
                await self._mark_pods(name)
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise

    async def _silence(self, node: Node) -> Node:
        changed = silenced(node, to_wire(self._clock.time()))
        if not changed:
            return node
        before = ready_status(node)
        patch = {"metadata": {"resourceVersion": node.metadata.resource_version}, "status": {"conditions": changed}}
        name = node.metadata.name
        written = await self._client.patch(NODES, name, patch, kind="strategic", subresource="status")
        if before == "True":
            self._say(name, node.metadata.uid, "NodeNotReady", f"Node {name} status is now: NodeNotReady")
        self._zones.set(written, ready=False)
        self._judge_zones()
        return written

    async def _taint(self, node: Node) -> None:
        now = self._clock.monotonic()
        has, needs = driven_out(node), driving_out(node)
        # A Node that never posted a status is not driven out of; nor is any, while all are lost.
        if condition(node, "Ready") is None or self._zones.all_lost:
            needs = ""
        if needs and not has:
            wait = self._zones.wait(node, now)
            if wait is None:
                needs = ""
            elif wait:
                self._queue.add_after(node.metadata.name, wait)
                needs = ""
        taints = wanted(node, (needs,) if needs else (), to_wire(self._clock.time()))
        if taints is not None:
            patch = {"metadata": {"resourceVersion": node.metadata.resource_version}, "spec": {"taints": taints}}
            await self._client.patch(NODES, node.metadata.name, patch)
            if needs and not has:
                self._zones.tainted(node, now)

    async def _mark_pods(self, node: str) -> None:
        for seen in self._pods.indexed("node", node):
            pod = self._pods.view(seen)
            patch = not_ready(pod, self._clock.time())
            if patch is None:
                continue
            self._recorder.event(pod, "Warning", "NodeNotReady", "Node is not ready")
            try:
                await self._client.patch(
                    PODS, seen.name, patch, namespace=seen.namespace, kind="strategic", subresource="status"
                )
            except StatusError as refusal:
                if not (refusal.is_not_found or refusal.is_conflict):
                    raise

    def _say(self, name: str, uid: str, reason: str, message: str) -> None:
        from podling.api.types.core_v1 import ObjectReference

        self._recorder.event(ObjectReference(kind="Node", name=name, uid=uid), "Normal", reason, message)
