"""A cluster in a process of its own: identity, sockets, nodes and the administration socket around the control plane.

Owns the order in which `podling up` starts things and the reverse in which they stop. Containers are none of the
things that stop: they outlive this process.
"""

from __future__ import annotations

import asyncio
import errno
import os
import resource
import shutil
import socket
from ipaddress import ip_address
from typing import TYPE_CHECKING, Self

import podling
from podling.aio.chance import Chance
from podling.aio.supervisor import Supervisor
from podling.api.resources import NODES, SERVICE_ACCOUNTS
from podling.apiserver.event_retention import EventLimits
from podling.client.wait import exists, ready, wait_for
from podling.cluster import simulated_addresses
from podling.cluster.admin import Admin
from podling.cluster.control_plane import ADMIN, ControlPlane, account_user
from podling.cluster.failure import StartFailed
from podling.cluster.identity import Identity
from podling.controllers.settings import Settings as ControllerSettings
from podling.insight.questions import Questions
from podling.kubelet.configuration_shown import shown
from podling.kubelet.server.server import KubeletServer
from podling.kubelet.settings import Settings
from podling.linux.local import LocalHost
from podling.store import open_store

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from types import TracebackType

    from podling.aio.clock import Clock
    from podling.apiserver.kubelet_proxy import ConnectionProxy
    from podling.cluster.data_dir import DataDir
    from podling.cluster.nodes import ComposedNode
    from podling.cluster.options import Options
    from podling.cluster.real_nodes import RealNodes
    from podling.insight.call_graph import CallGraph
    from podling.kubelet.kubelet import Kubelet
    from podling.runtime.protocol import Runtime
    from podling.store.protocol import Store

_PATIENCE = 60.0


def why_no_containers() -> str:
    """Say what this process lacks for real containers; empty if nothing."""
    if os.geteuid() != 0:
        return "not root"
    path = os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    for programs in (("conmon",), ("crun", "runc")):
        if not any(shutil.which(program, path=path) for program in programs):
            return f"{' or '.join(programs)} is not installed"
    return ""


class Cluster:
    """What `podling up` runs. An asynchronous context manager; `progress` starts it step by step."""

    def __init__(self, data: DataDir, options: Options, clock: Clock) -> None:
        self._data = data
        self._options = options
        self._clock = clock
        self._chance = Chance()
        self._supervisor = Supervisor(clock)
        self._store: Store | None = None
        self._plane: ControlPlane | None = None
        self._real: RealNodes | None = None
        self._graph: CallGraph | None = None
        self.kubelets: list[Kubelet] = []
        self.runtimes: list[Runtime] = []
        self.port = 0
        self._host = LocalHost(clock=clock)
        self._admin: Admin | None = None
        self._proxy: ConnectionProxy | None = None
        self._kubelet_servers: list[KubeletServer] = []
        self._kubelet_sockets: dict[str, str] = {}

    async def __aenter__(self) -> Self:
        await self._supervisor.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self._admin is not None:
                await self._admin.close()
            if self._proxy is not None:
                await self._proxy.close()
            if self._plane is not None:
                await self._plane.close()
            for server in self._kubelet_servers:
                await server.close()
        finally:
            await self._supervisor.__aexit__(kind, error, trace)
            if self._real is not None:
                await self._real.close()
            else:
                for runtime in self.runtimes:
                    await runtime.close()
            if self._store is not None:
                await self._store.close()
            self._host.close()

    def summary(self) -> str:
        """Return the line that `podling up` ends with."""
        nodes = self.kubelets[0].name if len(self.kubelets) == 1 else f"{len(self.kubelets)} nodes"
        return f"https://127.0.0.1:{self.port}, {nodes} Ready, runtime {self._kind()}"

    def _facts(self) -> dict[str, object]:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return {
            "version": podling.__version__,
            "running": self.summary(),
            "runtime": self._kind(),
            "pods": sum(len(kubelet.pods()) for kubelet in self.kubelets),
            "memory": f"{peak:.0f} MB at most so far",
        }

    async def progress(self) -> AsyncIterator[str]:
        """Start everything, yielding a line before each part; returns when the node is Ready."""
        options, clock = self._options, self._clock
        kind = self._kind()
        missing = why_no_containers()
        if kind == "cri":
            raise StartFailed("the cri runtime is not built in yet", "use --runtime oci or --runtime sim")
        if kind == "oci" and missing:
            raise StartFailed(f"containers cannot run here: {missing}", "install it, or simulate with --runtime sim")
        if options.runtime is None and kind == "sim":
            yield f"Containers are simulated: {missing}"

        addresses = ["127.0.0.1", *options.listen]
        endpoint = addresses[-1]
        if kind == "oci":
            from podling.cluster.real_nodes import RealNodes

            yield "Preparing the Pod network"
            self._real = RealNodes(self._data, options, clock, self._chance, self._supervisor)
            await self._real.prepare()
            for warning in self._real.warnings:
                yield warning
            addresses += self._real.addresses
            endpoint = self._real.addresses[0]

        yield "Opening the store"
        try:
            self._store = open_store(options.store, self._data.path / "store", clock)
        except ValueError as error:
            raise StartFailed(str(error), "see podling up --help") from error
        limits = EventLimits(seconds=options.event_ttl)
        services, balancers = self._service_ranges()
        plane = self._plane = ControlPlane(
            self._store, clock, self._chance, self._supervisor, limits, service_ranges=services
        )
        plane.controller_settings = ControllerSettings(load_balancer_pools=balancers)
        identity = Identity(self._data.path / "pki", clock, self._chance, plane.server)
        identity.ensure((socket.gethostname(), plane.server.addresses.first, *addresses))
        await plane.start()

        yield "Starting the API server"
        await self._listen(plane, identity, addresses)
        if not ip_address(endpoint).is_loopback:  # nobody but this machine could reach it: there would be no endpoint
            await plane.server.publish_endpoints(endpoint, self.port)
        plane.authority = identity
        plane.start_components(identity.root_ca())

        yield "Starting nodes"
        await self._start_nodes(plane, identity)
        client = plane.client(ADMIN)
        for kubelet in self.kubelets:
            await wait_for(client, NODES, kubelet.name, "", ready(), clock, _PATIENCE)
        await wait_for(client, SERVICE_ACCOUNTS, "default", "default", exists(), clock, _PATIENCE)
        asking = plane.client(account_user("podling-insight"))
        questions = Questions(asking, self._real.first, (self._real.dns,)) if self._real else Questions(asking)
        self._admin = Admin(self.runtimes, self._facts, self._graph, questions)
        await self._admin.start(self._data.run / "admin.sock")
        identity.write_kubeconfig(self._data.kubeconfig, f"https://127.0.0.1:{self.port}")

    def _service_ranges(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return where Services have their addresses, and where load balancers have theirs."""
        if self._real is not None:
            ranges = self._real.services.of_families
            return tuple(each.services for each in ranges), tuple(each.balancers for each in ranges)
        families = self._simulated_families()
        self._options.check_ranges(families)
        services = simulated_addresses.services(families)
        return services, simulated_addresses.balancers(self._options.load_balancer_ranges)

    def _simulated_families(self) -> tuple[str, ...]:
        both = (simulated_addresses.IPV4, simulated_addresses.IPV6)
        return both if self._options.ip_family == "dual" else both[:1]

    def _kind(self) -> str:
        return self._options.runtime or ("sim" if why_no_containers() else "oci")

    async def _listen(self, plane: ControlPlane, identity: Identity, addresses: list[str]) -> None:
        from podling.apiserver.kubelet_proxy import ConnectionProxy, LocalNodes, RemoteNodes

        remote = RemoteNodes(plane.server.registry, identity.kubelet_client())
        nodes = LocalNodes(self._kubelet_sockets, remote)
        self._proxy = ConnectionProxy(plane.server.registry, nodes, self._host)
        authentication = identity.authentication(self._options.token_file)
        plane.server.use_identity(authentication, identity.issuer)
        http = plane.server.http(authentication, self._proxy)
        tls = identity.server_tls()
        self.port = self._options.port
        for address in addresses:
            try:
                self.port = await http.listen(address, self.port, tls=tls)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    raise StartFailed(f"{address}:{self.port} is in use", "choose another with --port") from error
                raise StartFailed(
                    f"cannot listen on {address}:{self.port}: {error}", "see --listen and --port"
                ) from error

    async def _start_nodes(self, plane: ControlPlane, identity: Identity) -> None:
        from podling.cluster import nodes

        try:
            settings = nodes.read_settings(self._options.kubelet_config, Settings())
        except ValueError as error:
            raise StartFailed(f"--kubelet-config: {error}", "see KubeletConfiguration in Kubernetes's docs") from error
        if self._real is not None:
            self._graph = await self._start_graph(plane, self._real)
            composed = await self._real.compose(plane, settings, self._graph)
            self._graph.place_stand_in(self._real.dns)
        else:
            composed = [self._simulated(number, plane, settings) for number in range(self._options.nodes or 1)]
        self.kubelets = [node.kubelet for node in composed]
        self.runtimes = [node.runtime for node in composed]
        await asyncio.gather(*(kubelet.start() for kubelet in self.kubelets))
        for number, node in enumerate(composed):
            kubelet = node.kubelet
            server = KubeletServer(
                kubelet,
                node.runtime,
                self._clock,
                node=kubelet.name,
                configuration=shown(kubelet.settings),
                stats=kubelet.housekeeping.stats,
            )
            path = str(self._data.run / f"kubelet-{number}.sock")
            own = kubelet.settings.addresses
            tls = identity.kubelet_server_tls(kubelet.name, own) if node.listeners else None
            await server.start(path, tls=tls, listeners=node.listeners)
            self._kubelet_servers.append(server)
            self._kubelet_sockets[kubelet.name] = path

    async def _start_graph(self, plane: ControlPlane, real: RealNodes) -> CallGraph:
        from podling.insight.call_graph import CallGraph

        user = account_user("podling-insight")
        graph = CallGraph(plane.client(user), plane.informers(user), self._clock, real.pods, real.first)
        await graph.start(self._supervisor)
        return graph

    def _simulated(self, number: int, plane: ControlPlane, settings: Settings) -> ComposedNode:
        from podling.cluster import nodes

        name = self._options.node_name if number == 0 else ""
        return nodes.ComposedNode(
            *nodes.make_simulated(
                number,
                plane,
                self._clock,
                self._chance,
                self._supervisor,
                name=name,
                settings=settings,
                families=self._simulated_families(),
            )
        )
