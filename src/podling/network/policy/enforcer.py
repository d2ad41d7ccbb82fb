"""Tells one node's tables of policies what the cluster's policies and Pods are.

Owns the way from the informers and the node's Pod network into the index. What policies mean is `reach`'s, how the
kernel comes to have it `tables`'s, and what comes back from there `blocked`'s. Invariants: everything known by then is
in force when `start` returns, and everything about a Pod when `attach` does, in each address family of the node's Pods;
connections that are established go on; a Pod that runs here stays isolated until it is detached, also when its object
is gone.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from podling.api.errors import StatusError
from podling.api.resources import NAMESPACES, NETWORK_POLICIES, PODS
from podling.client.seams import WiringFailed
from podling.network.policy.blocked import BlockedPackets
from podling.network.policy.rules import PolicyRules
from podling.network.policy.tables import PolicyTables
from podling.reach.policy import party_of
from podling.reach.policy_index import PolicyIndex
from podling.reach.policy_reading import compile_policy

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Pod
    from podling.client.flows import FlowSink
    from podling.client.seams import PodNetwork
    from podling.network.context import NetworkContext
    from podling.reach.policy import Party
    from podling.reach.policy_index import PodKey

_PATIENCE: Final = 0.5
"""Seconds for which a Pod is waited for that the watch has not shown yet; then the API server is asked."""


class PolicyEnforcer:
    """The policies of one node. `close` lets go of the kernel; the rules stay."""

    def __init__(
        self,
        context: NetworkContext,
        flows: FlowSink,
        wiring: PodNetwork,
        *,
        dns: Party | None = None,
        neighbours: Sequence[PolicyEnforcer] = (),
    ) -> None:
        """`wiring` knows which Pods have which addresses here; `dns`, at its node, counts as a Pod.

        `neighbours` are the started enforcers of the other nodes of this process: they are told of a new Pod at once.
        """
        self._context = context
        self._wiring = wiring
        self._dns = dns
        self._index = PolicyIndex()
        self._pods = context.informers.of(PODS)
        self._attached: dict[str, Sequence[str]] = {}
        """The addresses of this node's Pods, by uid."""
        self._elsewhere: dict[str, Sequence[str]] = {}
        """Addresses that Pods of other nodes were given, for as long as the Pods are there."""
        self._neighbours = neighbours
        self._keys: dict[str, PodKey] = {}
        """By what the index knows those of them that it was told of."""
        self._awaited: dict[str, asyncio.Future[None]] = {}
        self._tables = PolicyTables(context, self._index, lambda: self.blocked.begin_anew())
        self.blocked = BlockedPackets(context, flows, self._tables.isolating, self._tables.untold)

    async def start(self) -> None:
        """Put everything that is known into force, and follow from then on."""
        context = self._context
        namespaces, policies = context.informers.of(NAMESPACES), context.informers.of(NETWORK_POLICIES)
        await namespaces.wait_synced()
        await policies.wait_synced()
        await self._pods.wait_synced()
        self._attached = {uid: addresses for uid, addresses in (await self._wiring.attached()).items() if addresses}
        here: tuple[str, ...] = ()
        if self._dns is not None:
            self._index.set_pod((self._dns.namespace, self._dns.pod), self._dns)
            here = self._dns.addresses if self._dns.node == context.node else ()
        group = self.blocked.listen()
        namespaces.on_change(self._namespace_changed)
        policies.on_change(self._policy_changed)
        self._pods.on_change(self._pod_changed)
        await self._tables.start([
            PolicyRules(context.instance, context.node, self._index, group, each.family, here=here)
            for each in context.pods.ranges
        ])  # fmt: skip
        context.supervisor.component(f"policies of {context.node}", self._tables.run)

    # What the cluster says.

    def _namespace_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        obj = new or old
        assert obj is not None
        self._index.set_namespace(obj.name, obj.view(NAMESPACES.type).metadata.labels if new is not None else None)
        self._tables.wake()

    def _policy_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        obj = new or old
        assert obj is not None
        policy = compile_policy(obj.view(NETWORK_POLICIES.type)) if new is not None else None
        self._index.set_policy((obj.namespace, obj.name), policy)
        self._tables.wake()

    def _pod_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        obj = new or old
        assert obj is not None
        pod = obj.view(PODS.type)
        uid = pod.metadata.uid
        self._take_in(uid, pod, gone=new is None)
        waiter = self._awaited.pop(uid, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._tables.wake()

    def _take_in(self, uid: str, pod: Pod, *, gone: bool = False) -> None:
        """Tell the index of a Pod: by the address that it was given, where that is known, else by what it says."""
        if gone:
            self._elsewhere.pop(uid, None)
        attached = self._attached.get(uid, ())
        here = pod.spec.node_name == self._context.node
        party = None
        if not gone and (attached or not here):
            party = party_of(pod, attached or self._elsewhere.get(uid, ()))
        if party is not None or not attached:
            key = (pod.metadata.namespace, uid)
            self._index.set_pod(key, party)
            if attached:
                self._keys[uid] = key

    # What the node does.

    async def attach(self, uid: str, namespace: str, name: str, addresses: Sequence[str]) -> None:
        """Have in force whatever concerns a Pod that was given `addresses`; then its first packet may come."""
        self._attached[uid] = addresses
        pod = await self._known(uid, namespace, name)
        if pod is not None:
            self._take_in(uid, pod)
        await self._tables.flush()
        for other in self._neighbours:
            if other is not self and pod is not None:
                await other.learn(uid, pod, addresses)

    async def learn(self, uid: str, pod: Pod, addresses: Sequence[str]) -> None:
        """Take in a Pod that was just given its addresses on another node, before its status says so."""
        self._elsewhere[uid] = addresses
        self._take_in(uid, pod)
        await self._tables.flush()

    async def _known(self, uid: str, namespace: str, name: str) -> Pod | None:
        """Return a Pod as soon as it is seen; `None` where the API server knows none any more.

        `WiringFailed` where that cannot be told: such a Pod does not start yet.
        """
        pod = self._pods.get(name, namespace)
        if pod is not None and pod.metadata.uid == uid:
            return pod
        waiter = self._awaited.setdefault(uid, asyncio.get_running_loop().create_future())
        try:
            async with self._context.clock.timeout(_PATIENCE):
                await asyncio.shield(waiter)
            return self._pods.get(name, namespace)
        except TimeoutError:
            self._awaited.pop(uid, None)
        try:
            found = await self._context.client.get(PODS, name, namespace)
        except StatusError as refusal:
            if refusal.is_not_found:
                return None
            raise WiringFailed(f"its policies are not known: {refusal.message}") from refusal
        return found if found.metadata.uid == uid else None

    async def detach(self, uid: str) -> None:
        """Forget a Pod that this node has let go."""
        self._attached.pop(uid, None)
        key = self._keys.pop(uid, None)
        if key is not None:
            self._index.set_pod(key, None)
            await self._tables.flush()

    def close(self) -> None:
        """Let go of the kernel; the rules stay."""
        self.blocked.close()
        self._tables.close()
