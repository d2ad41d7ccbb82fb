"""The network of a node, composed: what starts beside its Pod network, and in which order.

Owns the list. Each component is built from a `NetworkContext` and started. Its tasks are the supervisor's to end; what
it holds beside them, it hands to `closing`, which is closed after those, the last one first.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from podling.apiserver.record import User
from podling.network.context import NetworkContext
from podling.network.flows import FlowReader, HeardPodNetwork, Strays
from podling.network.policy.enforcer import PolicyEnforcer
from podling.network.policy.podnetwork import PoliciedPodNetwork
from podling.network.proxy.hostports import HostPorts
from podling.network.proxy.proxy import Proxy

if TYPE_CHECKING:
    from contextlib import AsyncExitStack
    from pathlib import Path

    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.client.flows import FlowSink
    from podling.client.seams import PodNetwork
    from podling.cluster.control_plane import ControlPlane
    from podling.linux.host import Host
    from podling.network.podnetwork import RoutedPodNetwork
    from podling.reach.policy import Party

PROXY = User("system:kube-proxy", ("system:authenticated",))
POLICY = User("podling:network-policy", ("system:authenticated",))


def network_context(
    node: str,
    instance: str,
    data: Path,
    plane: ControlPlane,
    clock: Clock,
    supervisor: Supervisor,
    host: Host,
    pods: RoutedPodNetwork,
    most_connections: int,
) -> NetworkContext:
    """Return what the network components of `node` are built from; they call as upstream's proxy does."""
    client = plane.client(PROXY)
    informers = plane.informers(PROXY, supervisor)
    return NetworkContext(
        node,
        instance,
        data,
        client,
        informers,
        clock,
        supervisor,
        host,
        pods,
        plane.server.addresses.networks,
        most_connections,
    )


async def start(
    context: NetworkContext,
    plane: ControlPlane,
    wiring: PodNetwork,
    closing: AsyncExitStack,
    flows: FlowSink,
    dns: Party,
    enforcers: list[PolicyEnforcer],
    strays: Strays,
) -> PodNetwork:
    """Start the network of one node; returns when its rules are in force for what is known by then.

    `wiring` is what gives Pods their links; what is returned does that and the rest. `flows` is told what calls the
    node's kernel sees; `dns` is the cluster's; `enforcers` are those of nodes that have started, and gets this one's;
    `strays` is told what addresses others than us give to its Pods.
    """
    # In this order: the proxy (Services), then policies, then flows. Each adds itself here.
    context.supervisor.component(f"rules of the Pod network {context.node}", context.pods.keep_rules)
    context.supervisor.component(f"ways of the Pod network {context.node}", context.pods.keep_ways)
    proxy = Proxy(context, flows)
    closing.callback(proxy.close)
    by_plugins = wiring is not context.pods
    if not by_plugins:  # CNI plugins see to host ports themselves
        wiring = forwarding = HostPorts(context.pods, proxy, context.data)
        await forwarding.start()
    await proxy.start()
    informers = plane.informers(POLICY, context.supervisor)
    enforcing = replace(context, client=plane.client(POLICY), informers=informers)
    policies = PolicyEnforcer(enforcing, flows, wiring, dns=dns, neighbours=enforcers)
    closing.callback(policies.close)
    await policies.start()
    enforcers.append(policies)
    reader = FlowReader(context, [held.cluster for held in context.pods.ranges], strays, flows)
    closing.callback(reader.close)
    if by_plugins:
        attached = await wiring.attached()
        await reader.know(address for held in attached.values() for address in held)
        wiring = HeardPodNetwork(wiring, reader)
    await reader.start()
    return PoliciedPodNetwork(wiring, policies)
