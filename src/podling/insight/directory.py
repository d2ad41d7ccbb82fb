"""Whose an address is: the Pods, Nodes and Services of the cluster by their addresses.

Owns the maps and the rules of attribution, pure. An address that a Pod has had stays its own until another Pod has it:
what is told of a connection may come after its Pod is gone, and addresses are given out again as late as possible.
Knows no time and no client.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from podling.api.pods import is_terminal
from podling.api.times import from_wire
from podling.api.validation.addresses import canonical, family, parse
from podling.reach.endpoints import families

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from podling.api.types.core_v1 import Node, Pod, Service
    from podling.client.flows import Block, Flow, Refusal
    from podling.linux.families import Network
    from podling.reach.policy import Party as ReachParty


@dataclass(frozen=True, slots=True)
class Party:
    """One end of a call."""

    kind: str
    """Pod, Node, Outside, or Nobody: an address of the cluster that no Pod has had."""
    namespace: str = ""
    name: str = ""
    uid: str = ""


OUTSIDE: Final = Party("Outside")
NOBODY: Final = Party("Nobody")
_MOST_EXPECTED: Final = 4096
_VERSIONS: Final = {"IPv4": 4, "IPv6": 6}


@dataclass(frozen=True, slots=True)
class Edge:
    """Who called whom, by which Service, on which port: what calls are counted by."""

    caller: Party
    callee: Party
    service: str
    """NAMESPACE/NAME; empty for a direct call."""
    port: int
    protocol: str

    @property
    def namespace(self) -> str:
        """Where its `Call` lives: the caller's, else the callee's, else the Service's namespace; empty for nobody's."""
        return self.caller.namespace or self.callee.namespace or self.service.partition("/")[0]


_Front: TypeAlias = tuple[str, str, int]
"""Address, protocol, port."""
_NodePort: TypeAlias = tuple[int, str, int]
"""Version of the family, protocol, port: a Service's port of nodes is there in its own families alone."""


@dataclass(frozen=True, slots=True)
class _Home:
    party: Party
    node: str
    since: float
    """When the Pod was made: what is older belongs to another who had the address before."""


class Directory:
    """Who is where. Told of objects as they come and go; asked about addresses."""

    def __init__(self, pods: Sequence[Network], first_node: str = "") -> None:
        """`pods` are the ranges of Pod addresses; `first_node` sees what comes from outside before any other does."""
        self._ranges = pods
        self._first = first_node
        self._pods: dict[str, _Home] = {}
        self._expected: dict[str, None] = {}
        self._nodes: dict[str, str] = {}
        self._own: dict[str, frozenset[str]] = {}
        """By node, what it has beside the addresses by which others know it: another node may have the same."""
        self._services: dict[tuple[str, str, int], str] = {}
        self._node_ports: dict[_NodePort, str] = {}
        self._of_service: dict[str, tuple[list[_Front], list[_NodePort]]] = {}

    def place_pod(self, pod: Pod) -> bool:
        """Take a Pod's addresses; say whether anything is new. Those of the host are the Node's."""
        status = pod.status
        if pod.spec.host_network or not status.pod_ips:
            return False
        meta = pod.metadata
        since = from_wire(meta.creation_timestamp) if meta.creation_timestamp else 0.0
        home = _Home(Party("Pod", meta.namespace, meta.name, meta.uid), pod.spec.node_name, since)
        over = is_terminal(pod)
        changed = False
        for address in (canonical(entry.ip) for entry in status.pod_ips):
            known = self._pods.get(address)
            if known != home and not (over and known is not None):
                self._pods[address] = home
                self._expected.pop(address, None)
                changed = True
        return changed

    def expect(self, node: str, pods: Iterable[str], own: Iterable[str] = ()) -> None:
        """Take addresses that are of no range of the cluster's: its Pods have been given some, the node has others."""
        self._own[node] = frozenset(own)
        self._expected.update(dict.fromkeys(address for address in pods if address not in self._pods))
        while len(self._expected) > _MOST_EXPECTED:
            del self._expected[next(iter(self._expected))]

    def place_stand_in(self, party: ReachParty, since: float = 0.0) -> None:
        """Take the addresses of what counts as a Pod though there is none: the cluster's DNS, there `since` then.

        What the kernel still holds of older flows was another cluster's, which had the same range before.
        """
        home = _Home(Party("Pod", party.namespace, party.pod), party.node, since)
        self._pods.update(dict.fromkeys(party.addresses, home))

    def place_node(self, node: Node) -> None:
        for address in node.status.addresses:
            self._nodes[canonical(address.address)] = node.metadata.name

    def place_service(self, service: Service) -> None:
        """Take a Service's addresses and ports in place of those that it had."""
        name = f"{service.metadata.namespace}/{service.metadata.name}"
        self.forget_service(name)
        fronts = [
            (address, port.protocol or "TCP", port.port) for address in _fronts(service) for port in service.spec.ports
        ]
        ports = [
            (_VERSIONS.get(each, 0), port.protocol or "TCP", port.node_port)
            for each in families(service)
            for port in service.spec.ports
            if port.node_port
        ]
        self._of_service[name] = (fronts, ports)
        for front in fronts:
            self._services[front] = name
        for node_port in ports:
            self._node_ports[node_port] = name

    def forget_service(self, name: str) -> None:
        fronts, ports = self._of_service.pop(name, ([], []))
        for front in fronts:
            self._services.pop(front, None)
        for node_port in ports:
            self._node_ports.pop(node_port, None)

    def counts(self, flow: Flow, started: float = 0.0) -> bool:
        """Say whether a flow counts where it was seen: one of its ends is a Pod that was there when it `started`.

        A flow between nodes is seen by each of them: it counts at its caller's; what comes from outside, at the first.
        """
        pod, called = self._pods.get(flow.caller), self._pods.get(flow.callee)
        if pod is None and called is None:
            return False
        if started and any(home is not None and started < home.since for home in (pod, called)):
            return False
        if pod is not None:
            return pod.node == flow.node
        node = self._node(flow.caller, flow.node)
        if node:
            return node == flow.node
        return flow.node == self._first if self._first else True

    def awaits(self, address: str) -> bool:
        """Whether the address is one of the cluster's own whose owner has not been heard of: it may yet be."""
        return address not in self._pods and address not in self._nodes and self._is_inside(address)

    def party(self, address: str, seen_by: str = "") -> Party:
        """Return whose an address is; `seen_by` is the node that tells of it."""
        pod = self._pods.get(address)
        if pod is not None:
            return pod.party
        node = self._node(address, seen_by)
        if node:
            return Party("Node", "", node)
        return NOBODY if self._is_inside(address) else OUTSIDE

    def _node(self, address: str, seen_by: str) -> str:
        return self._nodes.get(address) or (seen_by if address in self._own.get(seen_by, ()) else "")

    def _is_inside(self, address: str) -> bool:
        if address in self._expected:
            return True
        parsed = parse(address)
        return parsed is not None and any(parsed in held for held in self._ranges)

    def service(self, address: str, protocol: str, port: int) -> str:
        """Return the Service that an address and port belong to, its node ports included; empty where none does."""
        found = self._services.get((address, protocol, port))
        if found is None and address not in self._pods:
            found = self._node_ports.get((family(address), protocol, port))
        return found or ""

    def edge(self, flow: Flow) -> Edge:
        """Return what a flow counts for."""
        service = self.service(flow.called, flow.protocol, flow.port)
        caller, callee = self.party(flow.caller, flow.node), self.party(flow.callee, flow.node)
        return Edge(caller, callee, service, flow.port, flow.protocol)

    def blocked_edge(self, block: Block) -> Edge:
        """Return what a stopped attempt counts for: policies are asked when the Service is no longer visible."""
        caller, callee = self.party(block.caller, block.node), self.party(block.callee, block.node)
        return Edge(caller, callee, "", block.port, block.protocol)

    def refused_edge(self, refusal: Refusal) -> Edge:
        """Return what a call counts for that no endpoint was there for."""
        service = self.service(refusal.called, refusal.protocol, refusal.port)
        return Edge(self.party(refusal.caller, refusal.node), NOBODY, service, refusal.port, refusal.protocol)


def _fronts(service: Service) -> Iterator[str]:
    spec, status = service.spec, service.status
    yield from (canonical(address) for address in spec.cluster_ips if address != "None")
    yield from map(canonical, spec.external_ips)
    if status.load_balancer is not None:
        yield from (canonical(entry.ip) for entry in status.load_balancer.ingress if entry.ip)
