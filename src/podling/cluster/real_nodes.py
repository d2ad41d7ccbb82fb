"""Real nodes, composed: what each is made of, in the order in which it starts and is let go.

Owns the parts of a node with real containers: its hands on the machine, its Pod network, its runtime, its share of the
machine, its kubelet, and what else its network runs (`networks.py`). Knows nothing of how the control plane is made.
Invariant: what was begun is let go by `close`, also after half a start; containers, links and rules are no part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from podling.cluster import naming, networks
from podling.cluster.control_plane import ADMIN
from podling.cluster.failure import StartFailed
from podling.cluster.listeners import kubelet_listeners
from podling.cluster.membership import retire
from podling.cluster.nodes import ComposedNode, make_kubelet
from podling.kubelet.body import Body
from podling.kubelet.letting_go import LettingGo
from podling.kubelet.machine import read_machine, share_of
from podling.kubelet.probes.wire import HostWire
from podling.kubelet.resources import NodeCgroups
from podling.kubelet.stats_machine import MachineStats
from podling.linux import mounts
from podling.linux.cgroup import detect
from podling.linux.families import FAMILIES, IPV4, IPV6, has_family
from podling.linux.local import LocalHost
from podling.network import cni, firewalls, nodelink
from podling.network.behind import PodsBehind
from podling.network.cni import CniPodNetwork
from podling.network.cni_config import BadConfiguration
from podling.network.flows import Strays
from podling.network.pod_ranges import RangeHeld
from podling.network.podnetwork import Place, RoutedPodNetwork
from podling.network.ranges import PREFERRED, NoRange
from podling.network.service_ranges import ServicesHeld, reserve
from podling.reach.policy import dns_party
from podling.runtime.oci.runtime import OciRuntime

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.client.flows import FlowSink
    from podling.client.seams import PodNetwork
    from podling.cluster.control_plane import ControlPlane
    from podling.cluster.data_dir import DataDir
    from podling.cluster.options import Options
    from podling.kubelet.settings import Settings
    from podling.linux.families import Family, Network
    from podling.network.policy.enforcer import PolicyEnforcer
    from podling.network.service_ranges import ServiceRanges
    from podling.reach.policy import Party


@dataclass(slots=True)
class _RealNode:
    name: str
    data: Path
    """Its own folder: the cluster's for the first node."""
    host: LocalHost
    network: RoutedPodNetwork
    closing: AsyncExitStack = field(default_factory=AsyncExitStack)
    """What its network components hold, beside their tasks."""
    runtime: OciRuntime | None = None
    plugins: PodNetwork | None = None
    """What wires its Pods instead of `network`, where the user asks for it."""
    place: Place | None = None
    """Where it stands beside the machine; the first node is the machine."""

    @property
    def addresses(self) -> tuple[str, ...]:
        return tuple(map(str, self.network.addresses))

    @property
    def pod_ranges(self) -> tuple[str, ...]:
        return tuple(str(each.own) for each in self.network.ranges)


class RealNodes:
    """The nodes of a cluster whose containers are real."""

    def __init__(self, data: DataDir, options: Options, clock: Clock, chance: Chance, supervisor: Supervisor) -> None:
        self._data = data
        self._options = options
        self._clock = clock
        self._chance = chance
        self._supervisor = supervisor
        self._nodes: list[_RealNode] = []
        self._services: ServiceRanges | None = None
        self._dns: Party | None = None
        self._enforcers: list[PolicyEnforcer] = []
        self._strays = Strays()
        self.warnings: Sequence[str] = ()
        """What the user should know of the machine, after `prepare`."""

    async def prepare(self) -> None:
        """Put up the Pod networks: from then on the nodes have addresses."""
        data, options = self._data, self._options
        first = options.node_name or socket.gethostname().lower()
        further = [f"{first}-{number}" for number in range(2, (options.nodes or self._before(first)) + 1)]
        families = self._families()
        preferred = [PREFERRED[family] for family in families]
        behind = {name: cni.given(data.nodes / name) for name in further}
        machine = RoutedPodNetwork(data.path, data.instance, preferred=preferred, further=further, behind=behind)
        self._nodes.append(_RealNode(first, data.path, LocalHost(first, clock=self._clock), machine))
        try:
            await machine.start()
            self._services = await asyncio.to_thread(
                reserve, data.path, data.run, self._options.load_balancer_ranges, families
            )
            if further:
                mounts.share(str(data.run))  # before anything is pinned in it, which it would hide
            for number, name in enumerate(further, 1):
                await self._prepare_further(machine, machine.place(number, str(data.pin(name) / "net")))
        except RangeHeld as error:
            raise StartFailed(
                f"no range is free for a second node: {error}", "delete them, or use --nodes 1"
            ) from error
        except ServicesHeld as error:
            raise StartFailed(
                str(error), "free that range, choose with --load-balancer-range, or take another --data-dir"
            ) from error
        except NoRange as error:
            raise StartFailed(str(error), "see --nodes") from error
        except (OSError, ValueError) as error:  # the kernel's refusals: of what it lacks, or of who asks
            hint = "where it is about IPv6, start with --ip-family ipv4" if IPV6 in families else ""
            raise StartFailed(f"the Pod network cannot be put up: {error}", hint) from error
        await self._look_at_firewalls(machine, families)
        if options.cni is not None:
            await self._prepare_cni(options.cni)
        elif any(any(cni.records_folder(node.data).glob("*.json")) for node in self._nodes):
            raise StartFailed(
                "Pods of this cluster are wired by CNI plugins", "start it with --cni, or first: podling down"
            )

    async def _look_at_firewalls(self, machine: RoutedPodNetwork, families: Sequence[Family]) -> None:
        links = [machine.link_prefix, *([machine.node_link_prefix] if len(self._nodes) > 1 else [])]
        self.warnings = await asyncio.to_thread(firewalls.warnings, families, links)

    def _families(self) -> Sequence[Family]:
        """Return the families that Pods and Services have addresses of."""
        wanted, has_ipv6 = self._options.ip_family, has_family(IPV6)
        if wanted == "dual" and not has_ipv6:
            raise StartFailed(
                "this machine has no IPv6, which --ip-family dual asks for",
                "use --ip-family ipv4, or see sysctl net.ipv6.conf.all.disable_ipv6 and net.ipv6.conf.lo.disable_ipv6",
            )
        families = FAMILIES if has_ipv6 and wanted != "ipv4" else (IPV4,)
        self._options.check_ranges([family.name for family in families])
        return families

    async def _prepare_cni(self, configuration: Path) -> None:
        """Have plugins wire the Pods; nodes' addresses, and what else their networks do, stay ours."""
        machine = self._nodes[0].network
        for node in self._nodes:
            if await node.network.attached():
                raise StartFailed(
                    "Pods of this cluster are wired already, and not by CNI plugins", "first: podling down"
                )
            own = configuration.absolute() / node.name
            plugins = CniPodNetwork(node.data, own if own.is_dir() else configuration.absolute(), node.host)
            try:
                await plugins.start()
            except BadConfiguration as error:
                raise StartFailed(f"--cni: {error}", "see https://www.cni.dev/docs/spec/ and CNI_PATH") from error
            node.plugins = plugins if node.place is None else PodsBehind(plugins, machine, node.name)

    def _before(self, first: str) -> int:
        """Return how many nodes there were, if the machine's was called the same then."""
        there = self._data.further_nodes()
        count = 1
        while f"{first}-{count + 1}" in there:
            count += 1
        return count

    async def _prepare_further(self, machine: RoutedPodNetwork, place: Place) -> None:
        data, name = self._data, place.node
        folder = data.nodes / name
        for made in (folder, folder / "pods"):
            made.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Credentials for registries are the cluster's, unless the node has its own.
        with contextlib.suppress(FileExistsError):
            (folder / "config.json").symlink_to("../../config.json")
        await asyncio.to_thread(nodelink.ensure_namespaces, data.pin(name), name)
        network = RoutedPodNetwork(folder, data.instance, place=place)
        host = LocalHost(name, place.namespace, clock=self._clock)
        self._nodes.append(_RealNode(name, folder, host, network, place=place))
        # Linked first, so that the network learns of the way out; its rules are there before a Pod is.
        await asyncio.to_thread(nodelink.connect, data.instance, place, machine.addresses, machine.mtu)
        await network.start()

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where Pods of every node reach what runs on the first one, in each family."""
        return self._nodes[0].addresses

    @property
    def services(self) -> ServiceRanges:
        """Where Services and load balancers have their addresses, after `prepare`."""
        assert self._services is not None
        return self._services

    @property
    def dns(self) -> Party:
        """What the cluster's DNS counts as, after `compose`."""
        assert self._dns is not None
        return self._dns

    @property
    def first(self) -> str:
        """The node that is the machine: what comes from outside comes to it first."""
        return self._nodes[0].name

    @property
    def pods(self) -> Sequence[Network]:
        """The ranges of all Pod addresses, one of each family that there is."""
        return [held.cluster for held in self._nodes[0].network.ranges]

    async def compose(self, plane: ControlPlane, settings: Settings, flows: FlowSink) -> Sequence[ComposedNode]:
        """Return the nodes, their networks' components running and their kubelets not yet."""
        client = plane.client(ADMIN)
        await retire(self._data, client, {node.name for node in self._nodes})
        for node in self._nodes:
            await plane.server.set_node_ranges(node.name, node.pod_ranges)
        settings = await self._start_dns(plane, settings)
        return [await self._compose(node, plane, settings, flows) for node in self._nodes]

    async def _start_dns(self, plane: ControlPlane, settings: Settings) -> Settings:
        """Start the cluster's DNS; return the settings of kubelets whose Pods ask it, unless the user has others."""
        first = self._nodes[0]
        started = await naming.start(
            plane, first.network, first.host, settings.cluster_domain, self._clock, self._chance, self._supervisor
        )
        first.closing.push_async_callback(started.server.close)
        self._dns = dns_party(tuple(started.addresses), first.name)
        return replace(settings, cluster_dns=settings.cluster_dns or (started.service,))

    async def _compose(self, node: _RealNode, plane: ControlPlane, settings: Settings, flows: FlowSink) -> ComposedNode:
        data, count = self._data, len(self._nodes)
        further = node.place.node if node.place is not None else ""
        runtime = node.runtime = OciRuntime(
            node.data, instance=data.instance, node=further, clock=self._clock, chance=self._chance
        )
        settings = replace(
            settings,
            root=node.data / "pods",
            addresses=node.addresses,
            pod_cidrs=node.pod_ranges,
            cgroup_root=f"{runtime.layout.cgroup}/kubepods",
            thresholds_reserve=True,
        )
        machine = read_machine(node.data)
        if count > 1:
            machine = share_of(machine, further, count)
        cgroups = NodeCgroups(settings.cgroup_root, detect())
        context = networks.network_context(
            node.name, data.instance, node.data, plane, self._clock, self._supervisor, node.host, node.network,
            self._options.pod_connections,
        )  # fmt: skip
        assert self._dns is not None
        pods = await networks.start(
            context, plane, node.plugins or node.network, node.closing, flows, self._dns, self._enforcers, self._strays
        )
        stats = MachineStats(runtime, settings, runtime.layout.images, cgroups, machine.memory, shared=count > 1)
        body = Body(machine, runtime, pods, HostWire(node.host, self._clock), stats, cgroups)
        letting_go = LettingGo(node.name, context.informers, self._clock)
        kubelet = make_kubelet(node.name, plane, body, self._clock, self._supervisor, settings, letting_go)
        return ComposedNode(kubelet, runtime, kubelet_listeners(node.host, node.addresses))

    async def close(self) -> None:
        """Let everything go, in the reverse order; the tasks have ended before."""
        for node in reversed(self._nodes):
            await node.closing.aclose()
            if node.runtime is not None:
                await node.runtime.close()
            await node.network.close()
            node.host.close()
