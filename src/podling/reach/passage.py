"""Whether a call of one address family passes, judged step by step in the order in which a packet meets what decides.

Owns that order: the Service's face, its endpoints, then the policies of both ends, each by the addresses that they have
of the family. Knows neither what people call the ends nor the other family: `reachable` asks once for each. Pure; a
refusal and a passage both have their reasons.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from podling.api.pods import host_ports, is_ready
from podling.api.selectors import from_labels
from podling.api.validation.addresses import canonical, family
from podling.reach.endpoints import addresses, families, is_headless
from podling.reach.policy import Party, judge, party_of
from podling.reach.policy_reading import compile_policy
from podling.reach.selection import choose, is_externally_local, is_internally_local
from podling.reach.shortcomings import absence, unreadiness
from podling.reach.snapshot import Unknown, called_at, faces

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.types.core_v1 import Node, Pod, Service, ServicePort
    from podling.reach.policy import Decision, Verdict
    from podling.reach.selection import Choice, Target
    from podling.reach.snapshot import End, Snapshot

ANYONE: Final = Party("0.0.0.0", further=("::",))  # noqa: S104  # not to listen at
"""Who has an address, but nobody says which."""
_MOST_NAMED: Final = 5


class Caller(NamedTuple):
    """Who calls."""

    party: Party
    node: str
    """Where its packets meet the proxy."""
    words: str
    is_outside: bool = False


class Finding(NamedTuple):
    """Whether a call can arrive, and why."""

    verdict: str
    reasons: tuple[str, ...]
    way: str = ""
    """How it comes there, where that is not directly: by which face of which Service."""

    @property
    def lines(self) -> tuple[str, ...]:
        """The way, where there is one, and the reasons."""
        return (self.way, *self.reasons) if self.way else self.reasons


class _Face(NamedTuple):
    service: Service
    port: ServicePort
    words: str
    is_internal: bool
    """A cluster address, which only the cluster knows."""


class _Way(NamedTuple):
    """How a call comes to a Service's endpoints."""

    words: str
    enters: str
    """The node that makes an endpoint's address of the Service's."""
    rewrites: bool = False
    """Whether endpoints on other nodes see that node in place of the caller."""
    called: Party | None = None
    """Another node, at whose address the caller's own node sees it call, on `port`."""
    port: int = 0


class Passage:
    """One caller's calls of one family, judged."""

    def __init__(self, snapshot: Snapshot, caller: Caller, protocol: str, version: int) -> None:
        """`version` is the family's: 4 or 6."""
        self._snapshot = snapshot
        self._caller = caller
        self._protocol = protocol
        self._version = version
        self._policies = [compile_policy(policy) for policy in snapshot.policies]
        self._namespaces = snapshot.labels()

    def judge(self, callee: End) -> Finding:
        """Return whether the caller may reach `callee`; `Unknown` where there is none."""
        match callee.kind:
            case "svc":
                return self._service(self._snapshot.service(callee.namespace, callee.name), callee.port)
            case "pod":
                return self._pod(self._snapshot.pod(callee.namespace, callee.name), callee.port)
            case "node":
                return self._node(self._snapshot.node(callee.name), callee.port)
        return self._address(callee.name, callee.port)

    def is_taken(self, node: Node, port: str) -> bool:
        """Whether a port of a node leads to a Service, or to a Pod that has it."""
        return self._node_port(port) is not None or self._host_port(self._called(node), port) is not None

    # What is called.

    def _address(self, address: str, port: str) -> Finding:
        for service in self._snapshot.services:
            for face, what in faces(service):
                if face == address:
                    return self._face(service, port, f"{what} {address}", is_internal=what == "cluster IP")
        node = self._snapshot.node_at(address)
        if node is not None:
            return self._node(node, port, address)
        pod = self._snapshot.pod_at(address)
        if pod is not None:
            return self._pod(pod, port)
        verdict = self._verdict(self._caller.party, Party(address), _number(port))
        if not verdict.allowed:
            return Finding("no", (_refusal(verdict.deciding, self._caller.words, address),))
        return Finding("yes", (f"{address} is outside the cluster, and no policy keeps {self._caller.words} from it",))

    def _called(self, node: Node, address: str = "") -> Party:
        """Return a node as it is called: at an address that was asked for, or at its own of the family."""
        party = node_party(node)
        return party.at(address) if address else party.of(self._version) or party

    def _node(self, node: Node, port: str, address: str = "") -> Finding:
        called = self._called(node, address)
        offered = self._node_port(port)
        if offered is not None:
            words = f"node port {port} of Service {_name(offered[0])}"
            return self._through(_Face(*offered, words, is_internal=False), called)
        mapped = self._host_port(called, port)
        if mapped is not None:
            party, number = mapped
            other = called if called.node != self._caller.node else None
            way = _Way(f"host port {port} of Node {called.node}", called.node, called=other, port=_number(port))
            allowed, reason = self._judged(party, number, way)
            return Finding("yes" if allowed else "no", (reason,), way.words)
        verdict = self._verdict(self._caller.party, called, _number(port))
        if not verdict.allowed:
            return Finding("no", (_refusal(verdict.deciding, self._caller.words, f"Node {called.node}"),))
        return Finding("yes", (f"nothing keeps {self._caller.words} from Node {called.node}",))

    def _node_port(self, port: str) -> tuple[Service, ServicePort] | None:
        """Return the Service, and its port, that a port of every node leads to."""
        for service in self._snapshot.services:
            for offered in service.spec.ports if f"IPv{self._version}" in families(service) else ():
                if port and str(offered.node_port) == port and (offered.protocol or "TCP") == self._protocol:
                    return service, offered
        return None

    def _host_port(self, node: Party, port: str) -> tuple[Party, int] | None:
        """Return the Pod, and its port, that a port of one node leads to; the family's word for any address counts."""
        number, anyone = _number(port), ANYONE.facing(node.address).address
        for pod in self._snapshot.pods:
            party = party_of(pod) if pod.spec.node_name == node.node and not pod.spec.host_network else None
            called = party.of(self._version) if party is not None else None
            for asked in host_ports(pod) if called is not None else ():
                is_here = canonical(asked.address) in {"", anyone, node.address}
                if called is not None and is_here and (asked.host_port, asked.protocol) == (number, self._protocol):
                    return called, asked.container_port
        return None

    def _pod(self, pod: Pod, port: str) -> Finding:
        name = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
        if pod.spec.host_network and pod.spec.node_name:
            return self._node(self._snapshot.node(pod.spec.node_name), port)
        party = party_of(pod)
        if party is None:
            return Finding("no", (f"{name} {absence(pod)}",))
        if self._caller.is_outside:
            return Finding("no", (f"the address of {name} means nothing outside the cluster",))
        if not port.isdigit():
            return Finding("no", (f"which port of {name}? Write it behind a colon",))
        allowed, reason = self._judged(party.of(self._version) or party, int(port))
        return Finding("yes" if allowed else "no", (reason,))

    def _service(self, service: Service, port: str) -> Finding:
        if service.spec.type == "ExternalName":
            return Finding("no", (f"Service {_name(service)} is a name for {service.spec.external_name} alone",))
        if is_headless(service):
            return self._headless(service, port)
        called = called_at(service, is_outside=self._caller.is_outside)
        own = next(((face, what) for face, what in called if family(face) == self._version), None)
        if own is None:
            return Finding("no", (f"Service {_name(service)} has no address",))
        face, what = own
        return self._face(service, port, f"{what} {face}", is_internal=what == "cluster IP")

    def _face(self, service: Service, port: str, words: str, *, is_internal: bool) -> Finding:
        offered = _offered(service, port, self._protocol)
        if isinstance(offered, str):
            return Finding("no", (offered,))
        return self._through(_Face(service, offered, f"{words} of Service {_name(service)}", is_internal), None)

    # Through a Service.

    def _through(self, face: _Face, node: Party | None) -> Finding:
        """Judge a call to a Service's face; `node` is whose address was called, where it is a Node's."""
        caller, service = self._caller, face.service
        if face.is_internal and caller.is_outside:
            return Finding("no", (), f"{face.words} means nothing outside the cluster")
        enters = node.node if node is not None else caller.node
        choice = self._choose(service, face.port, enters)
        if face.is_internal:
            local = is_internally_local(service)
        else:
            # Pods, and a node at its own door, reach a Service's outer faces as if they came by its cluster address.
            at_home = bool(caller.party.pod) or (caller.node == enters and not caller.is_outside)
            local = is_externally_local(service) and not at_home
        targets = choice.local if local else choice.cluster
        if not targets:
            return Finding("no", self._no_targets(service, enters if local else "", exists=choice.exists), face.words)
        called = node if enters != caller.node else None
        rewrites = not face.is_internal and not is_externally_local(service)
        return self._weighed(_Way(face.words, enters, rewrites, called, face.port.node_port or 0), targets)

    def _choose(self, service: Service, port: ServicePort, node: str) -> Choice:
        return choose(service, port, self._snapshot.slices_of(service), node, family=self._version)

    def _party_of(self, node: str) -> Party:
        try:
            return node_party(self._snapshot.node(node))
        except Unknown:
            return Party("", node=node)

    def _headless(self, service: Service, port: str) -> Finding:
        offered = _offered(service, port, self._protocol)
        if isinstance(offered, str):
            return Finding("no", (offered,))
        words = f"Service {_name(service)} has no address: its name leads to its endpoints"
        if self._caller.is_outside:
            return Finding("no", (f"{words}, which mean nothing outside the cluster",))
        targets = self._choose(service, offered, self._caller.node).cluster
        if not targets:
            return Finding("no", self._no_targets(service, "", exists=False), words)
        return self._weighed(_Way(words, self._caller.node), targets)

    def _weighed(self, way: _Way, targets: Iterable[Target]) -> Finding:
        judged = [self._target(target, way) for target in targets]
        open_ones = sum(allowed for allowed, _ in judged)
        verdict = "yes" if open_ones == len(judged) else "sometimes" if open_ones else "no"
        return Finding(verdict, tuple(dict.fromkeys(reason for _, reason in judged)), way.words)

    def _target(self, target: Target, way: _Way) -> tuple[bool, str]:
        address = canonical(target.address)
        pod = self._snapshot.pod_at(address)
        party = party_of(pod) if pod is not None else self._snapshot.stand_in_at(address)
        if party is None:
            node = self._snapshot.node_at(address)
            party = node_party(node) if node is not None else Party(address)
        return self._judged(party.at(address), target.port, way)

    def _judged(self, party: Party, port: int, way: _Way | None = None) -> tuple[bool, str]:
        """Judge the last step, to an endpoint, by the policies of both ends, each where it stands."""
        caller = self._caller
        words = f"Pod {party.namespace}/{party.pod}" if party.pod else party.address
        egress = self._verdict(caller.party, party, port).egress
        if way is not None and way.called is not None:
            # What another node makes of the address that was called, the caller's own does not see.
            egress = self._verdict(caller.party, way.called, way.port).egress
        source = caller.party
        if way is not None and way.rewrites and way.enters != party.node:
            # Where it enters its address is still its own; the node behind sees that node.
            source = self._party_of(way.enters)
        ingress = self._verdict(source, party, port).ingress
        for decision in (egress, ingress):
            if not decision.allowed:
                return False, _refusal(decision, caller.words, words)
        grants = [f"{_key(made.policy)} ({made.direction})" for made in (egress, ingress) if made.policy is not None]
        if grants:
            return True, f"{words} port {port}: allowed by NetworkPolicy {' and '.join(grants)}"
        return True, f"{words} port {port}: no NetworkPolicy stands between"

    def _verdict(self, source: Party, destination: Party, port: int) -> Verdict:
        return judge(self._policies, self._namespaces, source, destination, self._protocol, port)

    def _no_targets(self, service: Service, only_on: str, *, exists: bool) -> tuple[str, ...]:
        """Say why there is nobody to send a call to."""
        if only_on and exists:
            return (f"its traffic policy is Local, and no endpoint of it is on Node {only_on}",)
        if not service.spec.selector:
            return ("it has no selector, and nobody has given it endpoints",)
        matches = from_labels(service.spec.selector).matches
        meta = service.metadata
        pods = [p for p in self._snapshot.pods if p.metadata.namespace == meta.namespace and matches(p.metadata.labels)]
        if not pods:
            labels = ",".join(f"{key}={value}" for key, value in sorted(service.spec.selector.items()))
            return (f"its selector {labels} matches no Pod of namespace {meta.namespace}",)
        return tuple(f"Pod {pod.metadata.name} {self._no_target(pod)}" for pod in pods[:_MOST_NAMED])

    def _no_target(self, pod: Pod) -> str:
        if not is_ready(pod):
            return absence(pod) if party_of(pod) is None else unreadiness(pod)
        if self._version not in map(family, addresses(pod)):
            return f"has no IPv{self._version} address"
        return "is Ready, but is no endpoint of that port"


def node_party(node: Node) -> Party:
    """Return a node as an end of calls, by all of its own addresses."""
    own = [canonical(entry.address) for entry in node.status.addresses if entry.type == "InternalIP"]
    first, *further = own or [""]
    return Party(first, node=node.metadata.name, further=tuple(further))


def _offered(service: Service, port: str, protocol: str) -> ServicePort | str:
    """Return the port of a Service that is meant; a sentence where none is."""
    ports = [offered for offered in service.spec.ports if (offered.protocol or "TCP") == protocol]
    if not port and len(ports) == 1:
        return ports[0]
    for offered in ports:
        if port and port in (str(offered.port), offered.name):
            return offered
    has = ", ".join(f"{offered.port}/{offered.protocol or 'TCP'}" for offered in service.spec.ports) or "none"
    return f"Service {_name(service)} has no port {port or '?'}/{protocol}; it has {has}"


def _refusal(decision: Decision | None, caller: str, callee: str) -> str:
    assert decision is not None, "a refusal has a decision"
    names = ", ".join(_key(key) for key in decision.isolating)
    whom = caller if decision.direction == "Egress" else callee
    direction = decision.direction.lower()
    return f"NetworkPolicy {names} isolates {whom} for {direction}, and lets no call {caller} → {callee} pass"


def _key(key: tuple[str, str] | None) -> str:
    return "/".join(key) if key is not None else ""


def _name(service: Service) -> str:
    return f"{service.metadata.namespace}/{service.metadata.name}"


def _number(port: str) -> int:
    return int(port) if port.isdigit() else 0
