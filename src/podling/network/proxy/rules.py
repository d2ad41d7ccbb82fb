"""What one Service is in the rules: elements of maps and sets, as a value.

Owns the translation of a Service and the choice of its endpoints into elements. Pure: the same Service, slices and
former order give the same elements. Invariants: an endpoint keeps its place among the others for as long as it is
chosen, so that one endpoint's change is a few elements whatever their number; what a Service does not offer on this
node leaves no trace of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network, collapse_addresses, ip_address
from typing import TYPE_CHECKING, Final, TypeAlias

from podling.network.protocols import PROTOCOLS
from podling.network.proxy import chains as ch
from podling.network.proxy.chains import Drop, External, ExternalLocal, Internal, Learn, Refuse, Spread
from podling.reach.selection import by_port, choose_among, is_externally_local, is_internally_local

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from podling.api.types.core_v1 import Service, ServicePort
    from podling.api.types.discovery_v1 import EndpointSlice
    from podling.network.proxy.chains import Chain, Facts
    from podling.reach.selection import Choice, Target

_OTHERS_PROXY: Final = "service.kubernetes.io/service-proxy-name"
_DEFAULT_AFFINITY: Final = 10800
MOST_ELEMENTS: Final = 1 << 16
"""The bound of what one Service may come to, its ports times its addresses times its endpoints."""

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


NOTHING: Final = ServiceRules()


def frontend_key(address: str, protocol: int, port: int) -> bytes:
    """Return the key of an address ("" for every one of the node's own), protocol and port."""
    packed = IPv4Address(address).packed if address else ch.ANY_ADDRESS
    return packed + bytes((protocol, 0, 0, 0)) + port.to_bytes(2, "big") + b"\0\0"


def target_value(target: Target) -> bytes:
    return IPv4Address(target.address).packed + target.port.to_bytes(2, "big") + b"\0\0"


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
    addresses = [address for address in spec.cluster_ips or (spec.cluster_ip,) if _is_ipv4(address)]
    if spec.type == "ExternalName" or not addresses or _OTHERS_PROXY in service.metadata.labels:
        return NOTHING
    made = _Making(service, node, facts)
    for address in addresses:
        made.elements[ch.CLUSTER.name, IPv4Address(address).packed] = None
    offers = by_port(slices)
    for port in spec.ports:
        choice = choose_among(service, port, offers, node, zone=zone)
        made.port(port, choice, addresses, before)
    health = spec.health_check_node_port
    if not (health and spec.type == "LoadBalancer" and is_externally_local(service)):
        return ServiceRules(made.elements, made.order, made.remembered, None, made.passed_over)
    local = {target.address for (_, here), order in made.order.items() if here for target in order}
    return ServiceRules(made.elements, made.order, made.remembered, (health, len(local)), made.passed_over)


def _is_ipv4(text: str) -> bool:
    try:
        return ip_address(text).version == 4
    except ValueError:
        return False


class _Making:
    """Collects the elements of one Service; lives no longer than the plan."""

    def __init__(self, service: Service, node: str, facts: Facts) -> None:
        self._service = service
        self._node = node
        self._facts = facts
        self.elements: Elements = {}
        self.order: dict[tuple[str, bool], tuple[Target, ...]] = {}
        self.remembered: dict[bytes, Remembered] = {}
        spec = service.spec
        config = spec.session_affinity_config
        seconds = config.client_ip.timeout_seconds if config is not None and config.client_ip is not None else None
        ports = max(len(spec.ports), 1)
        self._balanced = list(dict.fromkeys(self._ingress()))
        # What is the cluster's own is nobody's to have from outside: another Service's address, or a Pod's.
        outside = [text for text in spec.external_ips if _is_ipv4(text) and not facts.is_own(IPv4Address(text))]
        external = list(dict.fromkeys((*outside, *self._balanced)))
        self._external_addresses = external[: MOST_ELEMENTS // ports]
        faces = len(self._external_addresses) + 2
        self._most = max(MOST_ELEMENTS // (ports * faces), 1)
        self.passed_over = len(external) - len(self._external_addresses)
        self._affinity = (seconds or _DEFAULT_AFFINITY) if spec.session_affinity == "ClientIP" else 0

    def port(self, port: ServicePort, choice: Choice, addresses: Iterable[str], before: ServiceRules) -> None:
        """Add what one port of the Service is."""
        for local, wanted in ((False, choice.cluster), (True, choice.local)):
            order = arranged(before.order.get((port.name, local), ()), wanted[: self._most])
            self.passed_over += len(wanted) - len(order)
            if order:
                self.order[port.name, local] = order
            for target in order:
                if target.is_local:
                    self.elements[ch.HAIRPINS.name, 2 * IPv4Address(target.address).packed] = None
        protocol = PROTOCOLS[port.protocol or "TCP"]
        for address in addresses:
            self._internal(port, choice, frontend_key(address, protocol, port.port))
        for address in self._external_addresses:
            self._external(port, choice, frontend_key(address, protocol, port.port))
        for address in self._balanced:
            self._fence(address, frontend_key(address, protocol, port.port))
        if port.node_port and self._service.spec.type in ("NodePort", "LoadBalancer"):
            self._external(port, choice, frontend_key("", protocol, port.node_port))

    def _ingress(self) -> Iterator[str]:
        balancer = self._service.status.load_balancer
        if self._service.spec.type == "LoadBalancer" and balancer is not None:
            for ingress in balancer.ingress:
                if _is_ipv4(ingress.ip) and ingress.ip_mode != "Proxy":
                    yield ingress.ip

    def _internal(self, port: ServicePort, choice: Choice, key: bytes) -> None:
        here = is_internally_local(self._service)
        spread = self._spread(port, key, here=here)
        if spread is not None:
            self._serve(key, Internal(spread), self.order[port.name, here])
        else:
            self.elements[ch.UNSERVED.name, key] = Drop() if choice.exists else Refuse()
            self._serve(key, None, ())

    def _external(self, port: ServicePort, choice: Choice, key: bytes) -> None:
        if not choice.exists:
            self.elements[ch.UNSERVED.name, key] = Refuse()
            self._serve(key, None, ())
            return
        everywhere = self._spread(port, key, here=False)
        targets = self.order.get((port.name, False), ())
        if is_externally_local(self._service):
            here = self._spread(port, key, here=True)
            local = self.order.get((port.name, True), ())
            self._serve(key, ExternalLocal(everywhere, here), (*targets, *local))
        elif everywhere is not None:
            self._serve(key, External(everywhere), targets)

    def _spread(self, port: ServicePort, key: bytes, *, here: bool) -> Spread | None:
        """Put the endpoints of a frontend in their places; say how they are chosen among."""
        targets = self.order.get((port.name, here), ())
        first = ch.LOCAL if here else 0
        for place, target in enumerate(targets, first):
            self.elements[ch.ENDPOINTS.name, key + place.to_bytes(4, "little")] = target_value(target)
        if not targets:
            return None
        return Spread(len(targets), first, bool(self._affinity), key.startswith(ch.ANY_ADDRESS))

    def _serve(self, key: bytes, chain: Chain | None, targets: Iterable[Target]) -> None:
        if chain is not None:
            self.elements[ch.SERVICES.name, key] = chain
            if self._affinity:
                self.elements[ch.STICKY.name, key] = Learn(self._affinity)
        if self._affinity or key[4] == PROTOCOLS["UDP"]:
            self.remembered[key] = Remembered(key, frozenset(map(target_value, targets)), bool(self._affinity))

    def _fence(self, address: str, key: bytes) -> None:
        """Let only the given ranges in; the node calls from the balanced address itself, and may if its own one may."""
        ranges = list(_networks(self._service.spec.load_balancer_source_ranges))
        if not ranges:
            return
        self.elements[ch.FIREWALLED.name, key] = None
        if any(self._facts.gateway in each for each in ranges):
            ranges.append(IPv4Network(address))
        # The kernel takes no intervals that overlap.
        for each in collapse_addresses(ranges):
            first, last = each.network_address.packed, each.broadcast_address.packed
            self.elements[ch.SOURCES.name, key + first] = key + last


def _networks(texts: Iterable[str]) -> Iterator[IPv4Network]:
    for text in texts:
        try:
            yield IPv4Network(text.strip(), strict=False)
        except ValueError:
            continue  # the other family's, or no range
