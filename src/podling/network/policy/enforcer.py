"""Keeps one node's table of policies equal to what the cluster's policies say.

Owns the way from the informers through the index into the kernel. What policies mean is `reach`'s, what stands in the
table `rules`'s, and what comes back from the kernel `blocked`'s. Invariants: everything known by then is in force when
`start` returns, and everything about a Pod when `attach` does; the table is replaced whole when anybody else has
touched it, or the kernel refuses a change; connections that are established go on; a Pod that runs here stays isolated
until it is detached, also when its object is gone.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from podling.api.errors import StatusError
from podling.api.resources import NAMESPACES, NETWORK_POLICIES, PODS
from podling.client.seams import WiringFailed
from podling.linux.nf_tables import Tables, TableWatch
from podling.network.policy.blocked import BlockedPackets
from podling.network.policy.rules import BLOCKED, LOGGED, PolicyRules
from podling.reach.policy import compile_policy, party_of
from podling.reach.policy_index import PolicyIndex

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Pod
    from podling.client.flows import FlowSink
    from podling.client.seams import PodNetwork
    from podling.linux.nf_tables import Batch
    from podling.network.context import NetworkContext
    from podling.reach.policy import Direction, Party, PolicyKey
    from podling.reach.policy_index import PodKey

log = logging.getLogger("podling.policy")

_PATIENCE: Final = 0.5
"""Seconds for which a Pod is waited for that the watch has not shown yet; then the API server is asked."""
_INLINE: Final = 256
"""Messages of a transaction that the loop waits for itself."""
_CALM: Final = 0.05
"""Seconds after a restoration until the next: somebody who undoes it again and again does not keep the loop."""


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
        self._dirty = asyncio.Event()
        self._disturbed = False
        self._in_doubt = False
        self._lock = asyncio.Lock()
        self._tables: Tables | None = None
        self._watch: TableWatch | None = None
        self.blocked = BlockedPackets(context, flows, self._isolating, self.untold)
        self._rules: PolicyRules | None = None

    async def start(self) -> None:
        """Put everything that is known into force, and follow from then on."""
        context = self._context
        namespace = context.host.network_namespace
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
        self._rules = PolicyRules(context.instance, context.node, self._index, group, here=here)
        self._tables = Tables(namespace)
        namespaces.on_change(self._namespace_changed)
        policies.on_change(self._policy_changed)
        self._pods.on_change(self._pod_changed)
        await self._replace()
        context.supervisor.component(f"policies of {context.node}", self._run)

    # What the cluster says.

    def _namespace_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        obj = new or old
        assert obj is not None
        self._index.set_namespace(obj.name, obj.view(NAMESPACES.type).metadata.labels if new is not None else None)
        self._dirty.set()

    def _policy_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        obj = new or old
        assert obj is not None
        policy = compile_policy(obj.view(NETWORK_POLICIES.type)) if new is not None else None
        self._index.set_policy((obj.namespace, obj.name), policy)
        self._dirty.set()

    def _pod_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        obj = new or old
        assert obj is not None
        pod = obj.view(PODS.type)
        uid = pod.metadata.uid
        self._take_in(uid, pod, gone=new is None)
        waiter = self._awaited.pop(uid, None)
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._dirty.set()

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
        await self._flush()
        for other in self._neighbours:
            if other is not self and pod is not None:
                await other.learn(uid, pod, addresses)

    async def learn(self, uid: str, pod: Pod, addresses: Sequence[str]) -> None:
        """Take in a Pod that was just given its addresses on another node, before its status says so."""
        self._elsewhere[uid] = addresses
        self._take_in(uid, pod)
        await self._flush()

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
            await self._flush()

    def _isolating(self, direction: Direction, address: str) -> tuple[PolicyKey, ...]:
        return self._rules.isolating(direction, address) if self._rules is not None else ()

    async def untold(self) -> int:
        """Return how many blocked packets nobody was told of since the table was laid down: they were too many."""
        async with self._lock:
            assert self._tables is not None
            assert self._rules is not None
            table = self._rules.table
            return self._tables.counter(table, BLOCKED) - self._tables.counter(table, LOGGED)

    def close(self) -> None:
        """Let go of the kernel; the rules stay."""
        for held in (self._watch, self.blocked, self._tables):
            if held is not None:
                held.close()
        self._watch = self._tables = None

    # Into the kernel.

    async def _run(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            restored = self._disturbed
            await self._flush()
            if restored:
                await self._context.clock.sleep(_CALM)

    def _touched(self, seen: bool) -> None:
        if seen:
            self._disturbed = True
        else:
            self._in_doubt = True
        self._dirty.set()

    async def _flush(self) -> None:
        """Bring the table up to date; returns when what is known now is in force."""
        async with self._lock:
            assert self._rules is not None
            if self._in_doubt:  # the kernel had no room to say what was changed, mostly in tables of others
                self._in_doubt = False
                self._disturbed = self._disturbed or not self._has_table()
            if self._disturbed:
                log.warning("somebody else has changed the rules of policies; they are restored")
                await self._replace()
                return
            changes = self._index.take()
            if not changes:
                return
            try:
                await self._commit(self._rules.change(changes))
            except OSError:
                log.exception("the kernel refused a change of policies; all are written anew")
                self._disturbed = True
                await self._replace()

    def _has_table(self) -> bool:
        assert self._tables is not None
        assert self._rules is not None
        return self._tables.has_table(self._rules.table)

    async def _replace(self) -> None:
        assert self._tables is not None
        assert self._rules is not None
        if self._watch is not None:
            # All that is written now would be told to it, and be more than it has room for.
            self._watch.close()
        self._index.take()
        await self._commit(self._rules.whole())
        self._disturbed = False
        self.blocked.begin_anew()
        namespace = self._context.host.network_namespace
        self._watch = TableWatch(namespace, (self._rules.table,), self._tables.sender, self._touched)

    async def _commit(self, batch: Batch) -> None:
        assert self._tables is not None
        if len(batch) > _INLINE:
            await asyncio.to_thread(self._tables.commit, batch)
        else:
            self._tables.commit(batch)
