"""May A reach B, and what decides it: the Service, its selector, a probe, an endpoint, a policy.

Owns the order in which the other rules are asked, which is the order in which a packet meets them: the Service's face,
its endpoints, then the policies of both ends. Says nothing of whether a process listens: that is observed, not decided.
Pure. Every answer has its reasons, those of a yes too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from podling.api.pods import host_ports
from podling.api.selectors import from_labels
from podling.reach.endpoints import is_headless, is_ready
from podling.reach.policy import Party, compile_policy, judge, party_of
from podling.reach.selection import Target, choose, is_externally_local, is_internally_local
from podling.reach.shortcomings import absence, unreadiness
from podling.reach.snapshot import End, Snapshot, Unknown, faces

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.types.core_v1 import Node, Pod, Service, ServicePort
    from podling.reach.policy import Decision, Verdict


@dataclass(frozen=True, slots=True)
class Answer:
    """Whether a call can arrive, and why."""

    verdict: str
    """yes, no, or sometimes: where a Service leads to several endpoints of which some are closed to the caller."""
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return "\n".join([self.verdict, *(f"  {reason}" for reason in self.reasons)])


_ANYONE: Final = Party("0.0.0.0", further=("::",))  # noqa: S104  # not to listen at
"""Who has an address, but nobody says which."""


class _Caller(NamedTuple):
    party: Party
    node: str
    """Where its packets meet the proxy."""
    words: str
    is_outside: bool = False


class _Face(NamedTuple):
    service: Service
    port: ServicePort
    words: str
    is_internal: bool
    """A cluster address, which only the cluster knows."""


def reachable(snapshot: Snapshot, caller: End, callee: End, protocol: str = "TCP") -> Answer:
    """Return whether `caller` may reach `callee` by `protocol`."""
    try:
        begins = _caller(snapshot, caller)
        if isinstance(begins, str):
            return Answer("no", (begins,))
        return _Judge(snapshot, begins, protocol).answer(callee)
    except Unknown as unknown:
        return Answer("no", (str(unknown),))


def _caller(snapshot: Snapshot, end: End) -> _Caller | str:
    if end.kind == "outside":
        return _outside(snapshot, "", "a caller from outside")
    if end.kind == "node":
        return _node(snapshot.node(end.name))
    if end.kind == "address":
        pod, node = snapshot.pod_at(end.name), snapshot.node_at(end.name)
        if node is not None:
            return _node(node)
        if pod is None:
            return _outside(snapshot, end.name, f"{end.name}, outside")
    else:
        pod = snapshot.pod(end.namespace, end.name)
    name = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
    if pod.spec.host_network and pod.spec.node_name:
        return _node(snapshot.node(pod.spec.node_name))._replace(words=f"{name}, on its node's network")
    party = party_of(pod)
    return f"{name} {absence(pod)}" if party is None else _Caller(party, pod.spec.node_name, name)


def _outside(snapshot: Snapshot, address: str, words: str) -> _Caller:
    entrance = snapshot.entrance()
    party = Party(address) if address else _ANYONE
    return _Caller(party, entrance.metadata.name if entrance else "", words, is_outside=True)


def _node(node: Node) -> _Caller:
    name = node.metadata.name
    return _Caller(_party(node), name, f"Node {name}")


def _party(node: Node) -> Party:
    first, *further = _internal(node) or [""]
    return Party(first, node=node.metadata.name, further=tuple(further))


def _internal(node: Node) -> list[str]:
    return [entry.address for entry in node.status.addresses if entry.type == "InternalIP"]


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


class _Judge:
    """One question's answer, found step by step."""

    def __init__(self, snapshot: Snapshot, caller: _Caller, protocol: str) -> None:
        self._snapshot = snapshot
        self._caller = caller
        self._protocol = protocol
        self._policies = [compile_policy(policy) for policy in snapshot.policies]
        self._namespaces = snapshot.labels()

    def answer(self, callee: End) -> Answer:
        match callee.kind:
            case "svc":
                service = self._snapshot.service(callee.namespace, callee.name)
                return self._service(service, callee.port)
            case "pod":
                return self._pod(self._snapshot.pod(callee.namespace, callee.name), callee.port)
            case "node":
                return self._node(self._snapshot.node(callee.name), callee.port)
        return self._address(callee.name, callee.port)

    # What is called.

    def _address(self, address: str, port: str) -> Answer:
        for service in self._snapshot.services:
            for face, what in faces(service):
                if face == address:
                    return self._face(service, port, f"{what} {address}", is_internal=what == "cluster IP")
        node = self._snapshot.node_at(address)
        if node is not None:
            return self._node(node, port, address)
        pod = self._snapshot.pod_at(address)
        if pod is not None:
            return self._pod(pod, port, address)
        verdict = self._verdict(self._caller.party, Party(address), _number(port))
        if not verdict.allowed:
            return Answer("no", (_refusal(verdict.deciding, self._caller.words, address),))
        return Answer("yes", (f"{address} is outside the cluster, and no policy keeps {self._caller.words} from it",))

    def _node(self, node: Node, port: str, address: str = "") -> Answer:
        party = _party(node)
        called = party.at(address or party.address)
        for service in self._snapshot.services:
            for offered in service.spec.ports:
                if port and str(offered.node_port) == port and (offered.protocol or "TCP") == self._protocol:
                    words = f"node port {port} of Service {_name(service)}"
                    return self._through(_Face(service, offered, words, is_internal=False), called)
        mapped = self._mapped(called, port)
        if mapped is not None:
            return mapped
        verdict = self._verdict(self._caller.party, called, _number(port))
        if not verdict.allowed:
            return Answer("no", (_refusal(verdict.deciding, self._caller.words, f"Node {node.metadata.name}"),))
        return Answer("yes", (f"nothing keeps {self._caller.words} from Node {node.metadata.name}",))

    def _mapped(self, node: Party, port: str) -> Answer | None:
        """Answer for a port of a node that leads to one of its Pods; nothing where none does."""
        name, number = node.node, _number(port)
        for pod in self._snapshot.pods:
            party = party_of(pod) if pod.spec.node_name == name and not pod.spec.host_network else None
            for asked in host_ports(pod) if party is not None else ():
                any_address = asked.address in {"", *_ANYONE.addresses, node.address}  # upstream's words for any
                if (asked.host_port, asked.protocol) == (number, self._protocol) and any_address:
                    assert party is not None
                    called = node if name != self._caller.node else None
                    words = f"host port {port} of Node {name}"
                    way = _Way(words, name, called=called, port=number)
                    allowed, reason = self._judged(party.facing(node.address), asked.container_port, way)
                    return Answer("yes" if allowed else "no", (words, reason))
        return None

    def _pod(self, pod: Pod, port: str, address: str = "") -> Answer:
        name = f"Pod {pod.metadata.namespace}/{pod.metadata.name}"
        if pod.spec.host_network and pod.spec.node_name:
            return self._node(self._snapshot.node(pod.spec.node_name), port, address)
        party = party_of(pod)
        if party is None:
            return Answer("no", (f"{name} {absence(pod)}",))
        if self._caller.is_outside:
            return Answer("no", (f"the address of {name} means nothing outside the cluster",))
        if not port.isdigit():
            return Answer("no", (f"which port of {name}? Write it behind a colon",))
        allowed, reason = self._judged(party.at(address or party.address), int(port))
        return Answer("yes" if allowed else "no", (reason,))

    def _service(self, service: Service, port: str) -> Answer:
        kind = service.spec.type
        if kind == "ExternalName":
            return Answer("no", (f"Service {_name(service)} is a name for {service.spec.external_name} alone",))
        if is_headless(service):
            return self._headless(service, port)
        first = next(faces(service), None)
        if first is None:
            return Answer("no", (f"Service {_name(service)} has no address",))
        face, what = first
        if self._caller.is_outside:
            outer = [(address, words) for address, words in faces(service) if words != "cluster IP"]
            if outer:
                face, what = outer[0]
        return self._face(service, port, f"{what} {face}", is_internal=what == "cluster IP")

    def _face(self, service: Service, port: str, words: str, *, is_internal: bool) -> Answer:
        offered = _offered(service, port, self._protocol)
        if isinstance(offered, str):
            return Answer("no", (offered,))
        return self._through(_Face(service, offered, f"{words} of Service {_name(service)}", is_internal), None)

    # Through a Service.

    def _through(self, face: _Face, node: Party | None) -> Answer:
        """Judge a call to a Service's face; `node` is whose address was called, where it is a Node's."""
        caller, service = self._caller, face.service
        if face.is_internal and caller.is_outside:
            return Answer("no", (f"{face.words} means nothing outside the cluster",))
        enters = node.node if node is not None else caller.node
        choice = choose(service, face.port, self._snapshot.slices_of(service), enters)
        if face.is_internal:
            local = is_internally_local(service)
        else:
            # Pods, and a node at its own door, reach a Service's outer faces as if they came by its cluster address.
            at_home = bool(caller.party.pod) or (caller.node == enters and not caller.is_outside)
            local = is_externally_local(service) and not at_home
        targets = choice.local if local else choice.cluster
        if not targets:
            return Answer("no", (face.words, *self._no_targets(service, enters if local else "", exists=choice.exists)))
        called = node if enters != caller.node else None
        rewrites = not face.is_internal and not is_externally_local(service)
        return self._weighed(_Way(face.words, enters, rewrites, called, face.port.node_port or 0), targets)

    def _party_of(self, node: str) -> Party:
        try:
            return _party(self._snapshot.node(node))
        except Unknown:
            return Party("", node=node)

    def _headless(self, service: Service, port: str) -> Answer:
        offered = _offered(service, port, self._protocol)
        if isinstance(offered, str):
            return Answer("no", (offered,))
        words = f"Service {_name(service)} has no address: its name leads to its endpoints"
        if self._caller.is_outside:
            return Answer("no", (f"{words}, which mean nothing outside the cluster",))
        targets = choose(service, offered, self._snapshot.slices_of(service), self._caller.node).cluster
        if not targets:
            return Answer("no", (words, *self._no_targets(service, "", exists=False)))
        return self._weighed(_Way(words, self._caller.node), targets)

    def _weighed(self, way: _Way, targets: Iterable[Target]) -> Answer:
        judged = [self._target(target, way) for target in targets]
        open_ones = sum(allowed for allowed, _ in judged)
        verdict = "yes" if open_ones == len(judged) else "sometimes" if open_ones else "no"
        return Answer(verdict, (way.words, *dict.fromkeys(reason for _, reason in judged)))

    def _target(self, target: Target, way: _Way) -> tuple[bool, str]:
        pod = self._snapshot.pod_at(target.address)
        party = party_of(pod) if pod is not None else self._snapshot.stand_in_at(target.address)
        if party is None:
            node = self._snapshot.node_at(target.address)
            party = _party(node) if node is not None else Party(target.address)
        return self._judged(party.at(target.address), target.port, way)

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

    def _no_targets(self, service: Service, only_on: str, *, exists: bool) -> Sequence[str]:
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
        return tuple(
            f"Pod {pod.metadata.name} {absence(pod) if party_of(pod) is None else unreadiness(pod)}"
            if not is_ready(pod)
            else f"Pod {pod.metadata.name} is Ready, but is no endpoint of that port"
            for pod in pods[:_MOST_NAMED]
        )


_MOST_NAMED = 5


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
