"""What one Service is in the rules of one address family: elements of maps and sets, as a value.

Owns the translation of a Service and the choice of its endpoints into elements. Pure: the same Service, slices and
former order give the same elements. What of it is of the other family (addresses, source ranges, endpoints) is not
seen; ports of the node it has where it has a cluster address, as upstream. Invariants: an endpoint keeps its place
among the others for as long as it is chosen, so that one endpoint's change is a few elements whatever their number;
what a Service does not offer on this node leaves no trace of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from podling.api.validation.addresses import family as version_of
from podling.api.validation.addresses import parse_network
from podling.network.protocols import PROTOCOLS
from podling.network.proxy import chains as ch
from podling.network.proxy import sets
from podling.network.proxy.chains import Drop, External, ExternalLocal, Internal, Learn, Refuse, Spread
from podling.network.proxy.sets import frontend_key, packed
from podling.reach.selection import by_port, choose_among, is_externally_local, is_internally_local

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from podling.api.types.core_v1 import Service, ServicePort
    from podling.api.types.discovery_v1 import EndpointSlice
    from podling.linux.families import Address
    from podling.network.proxy.chains import Chain, Facts
    from podling.reach.selection import Choice, Target

_NOT_OURS: Final = frozenset({"service.kubernetes.io/service-proxy-name", "service.kubernetes.io/headless"})
"""Labels that take a Service away from this proxy, whatever their value."""

_DEFAULT_AFFINITY: Final = 10800
MOST_ELEMENTS: Final = 1 << 16
"""The bound of what one Service may come to, its ports times its addresses times its endpoints."""

_Kind = TypeVar("_Kind", IPv4Network, IPv6Network)

Value: TypeAlias = "bytes | Chain | None"
Elements: TypeAlias = "dict[tuple[str, bytes], Value]"
"""By set and key: the value of a map, the chain whose number is the value, the end of an interval, or nothing."""


@dataclass(frozen=True, slots=True)
class Remembered:
    """A frontend of which the kernel remembers clients: connections without end (UDP), or the endpoint they had."""

    key: bytes
    targets: frozenset[bytes]
    sticky: bool


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """One Service in the rules of one node."""

    elements: Elements = field(default_factory=dict)
    order: Mapping[tuple[str, bool], tuple[Target, ...]] = field(default_factory=dict)
    """By port's name and whether the policy is Local: the endpoints in their places."""
    remembered: Mapping[bytes, Remembered] = field(default_factory=dict)
    health: tuple[int, int] | None = None
    """The health check's port, and how many local endpoints it has to tell of."""
    passed_over: int = 0
    """How many endpoints and addresses are left out, because one Service may have so many elements and no more."""
    yielding: frozenset[bytes] = frozenset()
    """Frontends that give way to whoever has them from a load balancer: its own word alone says that they are its."""


NOTHING: Final = ServiceRules()


def target_value(target: Target) -> bytes:
    return sets.target_value(packed(target.address), target.port)


def arranged(before: Sequence[Target], wanted: Iterable[Target]) -> tuple[Target, ...]:
    """Return the wanted ones with as few as possible moved from the places that they had."""
    missing = dict.fromkeys(wanted)
    places: list[Target | None] = []
    for target in before:
        places.append(target if target in missing else None)
        missing.pop(target, None)
    new = list(reversed(missing))
    for place, held in enumerate(places):
        if held is None and new:
            places[place] = new.pop()
    gaps = [place for place, held in enumerate(places) if held is None]
    for gap in gaps:
        while places and places[-1] is None:
            places.pop()
        if gap < len(places):
            places[gap] = places.pop()
    return (*(held for held in places if held is not None), *reversed(new))


def plan(
    service: Service,
    slices: Sequence[EndpointSlice],
    node: str,
    facts: Facts,
    before: ServiceRules = NOTHING,
    *,
    zone: str = "",
) -> ServiceRules:
    """Return what a Service is in the rules of `node` (in `zone`), in the order that it had `before`."""
    spec = service.spec
    version = facts.family.version
    addresses = [packed(text) for text in spec.cluster_ips or (spec.cluster_ip,) if version_of(text) == version]
    if spec.type == "ExternalName" or not addresses or _NOT_OURS & service.metadata.labels.keys():
        return NOTHING
    made = _Making(service, node, facts)
    for address in addresses:
        made.elements[sets.CLUSTER, address] = None
    offers = by_port(slices, family=version)
    for port in spec.ports:
        choice = choose_among(service, port, offers, node, zone=zone, family=version)
        made.port(port, choice, addresses, before)
    health = None
    if spec.health_check_node_port and spec.type == "LoadBalancer" and is_externally_local(service):
        local = {target.address for (_, here), order in made.order.items() if here for target in order}
        health = (spec.health_check_node_port, len(local))
    yielding = frozenset(made.yielding)
    return ServiceRules(made.elements, made.order, made.remembered, health, made.passed_over, yielding)


class _Making:
    """Collects the elements of one Service; lives no longer than the plan."""

    def __init__(self, service: Service, node: str, facts: Facts) -> None:
        self._service = service
        self._node = node
        self._facts = facts
        self._version = facts.family.version
        self.elements: Elements = {}
        self.order: dict[tuple[str, bool], tuple[Target, ...]] = {}
        self._values: dict[tuple[str, bool], tuple[bytes, ...]] = {}
        self.remembered: dict[bytes, Remembered] = {}
        self.yielding: list[bytes] = []
        spec = service.spec
        config = spec.session_affinity_config
        seconds = config.client_ip.timeout_seconds if config is not None and config.client_ip is not None else None
        ports = max(len(spec.ports), 1)
        self._balanced = dict.fromkeys(self._ingress())
        external = list(dict.fromkeys((*self._balanced, *self._outside())))
        self._external_addresses = external[: MOST_ELEMENTS // ports]
        faces = len(self._external_addresses) + 2
        self._most = max(MOST_ELEMENTS // (ports * faces), 1)
        self.passed_over = len(external) - len(self._external_addresses)
        self._affinity = (seconds or _DEFAULT_AFFINITY) if spec.session_affinity == "ClientIP" else 0

    def port(self, port: ServicePort, choice: Choice, addresses: Iterable[bytes], before: ServiceRules) -> None:
        """Add what one port of the Service is."""
        for local, wanted in ((False, choice.cluster), (True, choice.local)):
            order = arranged(before.order.get((port.name, local), ()), wanted[: self._most])
            self.passed_over += len(wanted) - len(order)
            if order:
                self.order[port.name, local] = order
                self._values[port.name, local] = tuple(map(target_value, order))
            for target in order:
                if target.is_local:
                    self.elements[sets.HAIRPINS, 2 * packed(target.address)] = None
        protocol = PROTOCOLS[port.protocol or "TCP"]
        for address in addresses:
            self._internal(port, choice, frontend_key(address, protocol, port.port))
        for address in self._external_addresses:
            key = frontend_key(address, protocol, port.port)
            self._external(port, choice, key)
            if address in self._balanced:
                self._fence(address, key)
            else:
                self.yielding.append(key)
        if port.node_port and self._service.spec.type in ("NodePort", "LoadBalancer"):
            every = sets.any_address(self._facts.family)
            self._external(port, choice, frontend_key(every, protocol, port.node_port))

    def _outside(self) -> Iterator[bytes]:
        for text in self._service.spec.external_ips:
            # What is the cluster's own is nobody's to have from outside: another Service's address, or a Pod's.
            if version_of(text) == self._version and not self._facts.is_own(ip_address(packed(text))):
                yield packed(text)

    def _ingress(self) -> Iterator[bytes]:
        balancer = self._service.status.load_balancer
        if self._service.spec.type == "LoadBalancer" and balancer is not None:
            for ingress in balancer.ingress:
                if version_of(ingress.ip) == self._version and ingress.ip_mode != "Proxy":
                    yield packed(ingress.ip)

    def _internal(self, port: ServicePort, choice: Choice, key: bytes) -> None:
        here = is_internally_local(self._service)
        spread = self._spread(port, key, here=here)
        if spread is not None:
            self._serve(key, Internal(spread), self._values[port.name, here])
        else:
            self.elements[sets.UNSERVED, key] = Drop() if choice.exists else Refuse()
            self._serve(key, None, ())

    def _external(self, port: ServicePort, choice: Choice, key: bytes) -> None:
        if not choice.exists:
            self.elements[sets.UNSERVED, key] = Refuse()
            self._serve(key, None, ())
            return
        everywhere = self._spread(port, key, here=False)
        targets = self._values.get((port.name, False), ())
        if is_externally_local(self._service):
            here = self._spread(port, key, here=True)
            local = self._values.get((port.name, True), ())
            self._serve(key, ExternalLocal(everywhere, here), (*targets, *local))
        elif everywhere is not None:
            self._serve(key, External(everywhere), targets)

    def _spread(self, port: ServicePort, key: bytes, *, here: bool) -> Spread | None:
        """Put the endpoints of a frontend in their places; say how they are chosen among."""
        targets = self._values.get((port.name, here), ())
        first = ch.LOCAL if here else 0
        for place, target in enumerate(targets, first):
            self.elements[sets.ENDPOINTS, key + place.to_bytes(4, "little")] = target
        if not targets:
            return None
        address, _, _ = sets.parts_of(key)
        return Spread(len(targets), first, bool(self._affinity), sets.is_any(address))

    def _serve(self, key: bytes, chain: Chain | None, targets: Iterable[bytes]) -> None:
        if chain is not None:
            self.elements[sets.SERVICES, key] = chain
            if self._affinity:
                self.elements[sets.STICKY, key] = Learn(self._affinity)
        if self._affinity or sets.parts_of(key)[1] == PROTOCOLS["UDP"]:
            self.remembered[key] = Remembered(key, frozenset(targets), bool(self._affinity))

    def _fence(self, address: bytes, key: bytes) -> None:
        """Let only the given ranges in; the node calls from the balanced address itself, and may if its own one may."""
        texts = self._service.spec.load_balancer_source_ranges
        if self._version == 4:
            ranges = _ranges(IPv4Network, texts, self._facts.gateway, address)
        else:
            ranges = _ranges(IPv6Network, texts, self._facts.gateway, address)
        if ranges:
            self.elements[sets.FIREWALLED, key] = None
        for first, last in ranges:
            self.elements[sets.SOURCES, key + first] = key + last


def _ranges(
    kind: type[_Kind], texts: Iterable[str], gateway: Address, balanced: bytes
) -> Sequence[tuple[bytes, bytes]]:
    """Return the first and last address of each range of a family, and `balanced` too if `gateway` is in one.

    No two overlap: the kernel takes none that do.
    """
    found = list(_networks(kind, texts))
    if any(gateway in each for each in found):
        found.append(kind(balanced))
    return [(each.network_address.packed, each.broadcast_address.packed) for each in collapse_addresses(found)]


def _networks(kind: type[_Kind], texts: Iterable[str]) -> Iterator[_Kind]:
    for text in texts:
        found = parse_network(text.strip())
        if found is not None and isinstance(found[1], kind):
            yield found[1]
