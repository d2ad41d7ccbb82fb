"""The service proxy of one node: informers in, elements out.

Owns the loop. A change of a Service or of its slices marks the Service; what is marked is planned anew and carried into
the table of each family that the node has, in one transaction each, at once. Decides nothing: `reach.selection` and
`rules.plan` do. Invariants: a table is replaced by a whole one at start, never taken away first; whoever takes it away
finds it back; the revision told of is one whose changes are all in the rules of every family.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final, TypeAlias

from podling.api.resources import ENDPOINT_SLICES, NODES, SERVICES
from podling.client.transport import Selection
from podling.linux.namespaces import read_sysctl
from podling.linux.nf_tables import Tables, TableWatch
from podling.network.proxy.chains import Facts
from podling.network.proxy.health import HealthChecks
from podling.network.proxy.installed import Installed, remove
from podling.network.proxy.programmed import Programmed
from podling.network.proxy.refused import RefusedCalls
from podling.network.proxy.rules import NOTHING, ServiceRules, plan
from podling.network.proxy.stale import StaleFlows
from podling.network.proxy.table import table_name, table_names
from podling.reach.endpoints import SERVICE_NAME, ZONE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from podling.api.encoded import Encoded
    from podling.client.flows import FlowSink
    from podling.linux.families import Family
    from podling.network.context import NetworkContext
    from podling.network.ranges import NodeRange

    Rules: TypeAlias = Mapping[str, ServiceRules]

SETTINGS: Final = {
    "net.ipv4.conf.all.route_localnet": "1",
    "net.netfilter.nf_conntrack_tcp_timeout_established": "86400",
    "net.netfilter.nf_conntrack_tcp_timeout_close_wait": "3600",
}
"""Ports of the node answer at 127.0.0.1 too (nobody from elsewhere gets there, the table sees to it); the rest is what
upstream's proxy sets."""
_MOST_TRACKED: Final = "net.netfilter.nf_conntrack_max"
_TRACKED: Final = 131072
_AT_ONCE: Final = 32
"""Services planned for in one turn of the loop: some milliseconds."""
_POD: Final = "~"
"""What the owners begin with that are Pods: where a Service wants the same, it goes before them."""

log = logging.getLogger("podling.proxy")


class Proxy:
    """Services in the rules of one node."""

    def __init__(self, context: NetworkContext, flows: FlowSink) -> None:
        """`flows` is told of calls that the rules refuse."""
        self._context = context
        self._refused = RefusedCalls(context, flows)
        self._services = context.informers.of(SERVICES)
        self._slices = context.informers.of(ENDPOINT_SLICES)
        self._slices.add_index("service", _service_of)
        self._nodes = context.informers.of(NODES, Selection(fields=f"metadata.name={context.node}"))
        self._zone = ""
        self._tables = Tables(context.host.network_namespace)
        self._installed = tuple(self._table_of(each) for each in context.pods.ranges)
        self._watch: TableWatch | None = None
        self._forwarded: dict[str, Mapping[Family, ServiceRules]] = {}
        self._marked: dict[str, None] = {}
        self._waiters: dict[str, list[asyncio.Future[None]]] = {}
        self._is_whole = False
        self._disturbed = False
        self._kicked = asyncio.Event()
        self._programmed = Programmed(context, self._slices)
        self._stale = StaleFlows(context.host.network_namespace, self._programmed.reached)
        self._health = HealthChecks(context.host, context.clock)

    def _table_of(self, node: NodeRange) -> Installed:
        context = self._context
        facts = Facts(
            node.cluster,
            node.gateway,
            context.pods.link_prefix,
            context.services_of(node.family),
            context.most_connections,
            node.own,
            self._refused.group,
        )
        return Installed(self._tables, table_name(context.instance, node.family), facts)

    async def start(self) -> None:
        """Put all that is known into the rules; from then on follow."""
        await self._services.wait_synced()
        await self._slices.wait_synced()
        await self._nodes.wait_synced()
        self._nodes.on_change(self._node_changed)
        self._services.on_change(self._service_changed)
        self._slices.on_change(self._slice_changed)
        await self._install()
        await asyncio.to_thread(self._remove_others)
        await self._set_sysctls()
        self._context.supervisor.component(f"proxy {self._context.node}", self._run)
        self._context.supervisor.component(f"stale flows {self._context.node}", self._stale.forget)
        self._context.supervisor.component(f"proxy's word {self._context.node}", self._programmed.tell)

    async def _set_sysctls(self) -> None:
        """Set what the rules need of the node; only once they are in force is 127.0.0.1 safe to be forwarded from."""
        for name, value in SETTINGS.items():
            await self._context.pods.set_sysctl(name, value)
        if 0 < int(read_sysctl(_MOST_TRACKED) or 0) < _TRACKED:
            await self._context.pods.set_sysctl(_MOST_TRACKED, str(_TRACKED))

    def _remove_others(self) -> None:
        """Take away what an earlier life left of a family that the node has no more."""
        kept = [installed.table for installed in self._installed]
        for name in table_names(self._context.instance):
            if name not in kept:
                remove(self._tables, name)

    def forward(self, pod: str, rules: Mapping[Family, ServiceRules]) -> None:
        """Have ports of the node lead to a Pod, by its uid, in these families and no other."""
        self._forwarded[_POD + pod] = rules
        if not rules:
            del self._forwarded[_POD + pod]
        self._mark(_POD + pod)

    async def caught_up(self, pod: str) -> None:
        """Return when what `forward` was told last of a Pod is in the rules."""
        if _POD + pod in self._marked:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.setdefault(_POD + pod, []).append(waiter)
            await waiter

    def close(self) -> None:
        """Let go; the rules stay."""
        self._refused.close()
        if self._watch is not None:
            self._watch.close()
        self._health.close()
        self._tables.close()

    def _service_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        obj = new or old
        assert obj is not None
        self._mark(f"{obj.namespace}/{obj.name}")

    def _slice_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        for obj in (old, new):
            for key in _service_of(obj) if obj is not None else ():
                self._mark(key)

    def _node_changed(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        zone = new.labels.get(ZONE, "") if new is not None else ""
        if zone != self._zone:
            self._zone = zone
            for obj in self._services:
                self._mark(f"{obj.namespace}/{obj.name}")

    def _mark(self, key: str) -> None:
        self._marked[key] = None
        self._kicked.set()

    def _disturb(self, seen: bool) -> None:
        self._disturbed = True
        self._is_whole = self._is_whole and not seen
        self._kicked.set()

    async def _run(self) -> None:
        while True:
            if not self._is_whole:
                await self._install()
            await self._kicked.wait()
            self._kicked.clear()
            if self._disturbed:
                self._disturbed = False
                there = self._is_whole and await asyncio.to_thread(self._are_there)
                self._is_whole = self._is_whole and there
                if not self._is_whole:
                    log.warning("somebody changed the table of Services; it is laid down again")
                    continue
            await self._catch_up()

    def _are_there(self) -> bool:
        return all(installed.is_there() for installed in self._installed)

    async def _install(self) -> None:
        if self._watch is None:
            # From before the first rule: nothing that others do to the tables is missed.
            names = tuple(installed.table for installed in self._installed)
            namespace = self._context.host.network_namespace
            self._watch = TableWatch(namespace, names, self._tables.sender, self._disturb)
        self._disturbed = False
        self._is_whole = True  # unless somebody touches it from now on
        revision = self._slices.revision
        marked, self._marked = self._marked, {}
        everything = dict.fromkeys(f"{obj.namespace}/{obj.name}" for obj in self._services)
        everything |= dict.fromkeys((*self._forwarded, *marked))
        with self._marking_again(marked):
            for installed in self._installed:
                before = dict(installed.owners())
                wanted = await self._plan_all(installed, everything)
                await self._carry_out(installed.install, before, wanted)
        await self._settle(revision, everything)
        self._release(everything)

    async def _catch_up(self) -> None:
        revision = self._slices.revision
        marked, self._marked = self._marked, {}
        with self._marking_again(marked):
            for installed in self._installed:
                before = {key: installed.of(key) for key in marked}
                planned = await self._plan_all(installed, marked)
                wanted = {key: rules for key, rules in planned.items() if rules != before[key]}
                if wanted:
                    await self._carry_out(installed.change, before, wanted)
        await self._settle(revision, marked)
        self._release(marked)

    @contextlib.contextmanager
    def _marking_again(self, marked: Mapping[str, None]) -> Iterator[None]:
        """Where the kernel refuses something, leave what was marked to the next turn, which begins anew."""
        try:
            yield
        except OSError:
            self._is_whole = False
            self._marked = {**marked, **self._marked}
            raise

    def _release(self, keys: Iterable[str]) -> None:
        for key in keys:
            # One that was marked again meanwhile waits for the next turn.
            for waiter in self._waiters.pop(key, ()) if key not in self._marked else ():
                if not waiter.done():
                    waiter.set_result(None)

    async def _carry_out(self, how: Callable[[Rules], None], before: Rules, wanted: Rules) -> None:
        try:
            await asyncio.to_thread(how, wanted)
        finally:
            # Refused, it is done again: from what is wanted by now, and without knowing of what was before.
            self._stale.note({key: (before.get(key, NOTHING), rules) for key, rules in wanted.items()})

    async def _settle(self, revision: int, keys: Iterable[str]) -> None:
        """Do what else it brings with it that everything up to `revision` is in the rules."""
        self._stale.settled(revision)
        await self._health.follow({key: self._checks(key) for key in keys})

    def _checks(self, key: str) -> Mapping[Family, tuple[int, int]]:
        found = ((installed.facts.family, installed.of(key).health) for installed in self._installed)
        return {family: health for family, health in found if health is not None}

    async def _plan_all(self, installed: Installed, keys: Iterable[str]) -> dict[str, ServiceRules]:
        """Plan for many; what changes meanwhile is marked anew. The loop is left to others now and then."""
        wanted = {}
        for number, key in enumerate(keys, 1):
            wanted[key] = self._plan(installed, key)
            if number % _AT_ONCE == 0:
                await self._context.clock.sleep(0)
        return wanted

    def _plan(self, installed: Installed, key: str) -> ServiceRules:
        facts = installed.facts
        if key.startswith(_POD):
            return self._forwarded.get(key, {}).get(facts.family, NOTHING)
        namespace, _, name = key.partition("/")
        service = self._services.get(name, namespace)
        if service is None:
            return NOTHING
        before = installed.of(key)
        slices = [self._slices.view(obj) for obj in self._slices.indexed("service", key)]
        rules = plan(service, slices, self._context.node, facts, before, zone=self._zone)
        if rules.passed_over and rules.passed_over != before.passed_over:
            log.warning("Service %s is too large: %d endpoints or addresses are left out", key, rules.passed_over)
        return rules


def _service_of(obj: Encoded) -> tuple[str, ...]:
    """Return the key of the Service whose slice this is; nothing for a slice that nobody's is."""
    name = obj.labels.get(SERVICE_NAME)
    return (f"{obj.namespace}/{name}",) if name else ()


async def teardown(instance: str, namespace: str = "") -> None:
    """Take the rules of Services away, with no daemon running."""
    await asyncio.to_thread(_teardown, instance, namespace)


def _teardown(instance: str, namespace: str) -> None:
    with contextlib.closing(Tables(namespace)) as tables:
        for name in table_names(instance):
            remove(tables, name)
