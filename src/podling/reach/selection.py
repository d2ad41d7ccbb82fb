"""Which endpoints one node's proxy sends new connections to.

Owns the choice among the endpoints of a Service's port: those that are ready, wherever they are or on this node alone
as the traffic policies ask; near ones where hints say so; and, where none is ready, those that terminate and still
serve. Owns too what a Pod that goes has to wait for: whether others take over from it, and whether it is still chosen.
Knows no rules of any kernel.

Invariants: an endpoint appears once; a ready one is never passed over for one that terminates; the order is that of
addresses, whatever slices they came in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from podling.api.validation.addresses import family as version_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from podling.api.types.core_v1 import Service, ServicePort
    from podling.api.types.discovery_v1 import Endpoint, EndpointSlice

    Offers = Mapping[tuple[str, str], Sequence[tuple[int, EndpointSlice]]]
    """By name and protocol of a port: its number, and who offers it."""

PROGRAMMED: Final = "podling.dev/programmed"
"""A proxy's word on its node's Lease: the revision of EndpointSlices up to which everything is in its rules."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """An address and port that connections may be sent to."""

    address: str
    port: int
    is_local: bool = False
    """Whether it is on the node that chooses."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a node may send the connections of one Service port to."""

    cluster: tuple[Target, ...] = ()
    """Where the policy is Cluster."""
    local: tuple[Target, ...] = ()
    """Where the policy is Local."""
    exists: bool = False
    """Whether there is an endpoint anywhere: with none, callers are refused; with none here alone, they are dropped."""


def is_ready(endpoint: Endpoint) -> bool:
    """Whether new connections are welcome; what does not say is."""
    return endpoint.conditions is None or endpoint.conditions.ready is not False


def is_serving(endpoint: Endpoint) -> bool:
    """Whether it would answer, be it about to go or not; what does not say does if it is ready."""
    if endpoint.conditions is None or endpoint.conditions.serving is None:
        return is_ready(endpoint)
    return endpoint.conditions.serving


def is_terminating(endpoint: Endpoint) -> bool:
    return endpoint.conditions is not None and endpoint.conditions.terminating is True


def is_external(service: Service) -> bool:
    """Whether a Service is reached from outside the cluster at all."""
    spec = service.spec
    return spec.type in ("NodePort", "LoadBalancer") or bool(spec.external_ips)


def is_internally_local(service: Service) -> bool:
    return service.spec.internal_traffic_policy == "Local"


def is_externally_local(service: Service) -> bool:
    return is_external(service) and service.spec.external_traffic_policy == "Local"


def by_port(slices: Iterable[EndpointSlice], *, family: int = 4) -> Offers:
    """Return the slices of a Service by the name and protocol of what they offer, each with the port's number."""
    offers: dict[tuple[str, str], list[tuple[int, EndpointSlice]]] = {}
    for one in slices:
        for offered in one.ports if one.address_type == f"IPv{family}" else ():
            if offered.port:
                offers.setdefault((offered.name or "", offered.protocol or "TCP"), []).append((offered.port, one))
    return offers


def choose(
    service: Service, port: ServicePort, slices: Iterable[EndpointSlice], node: str, *, zone: str = "", family: int = 4
) -> Choice:
    """Return where `node` (in `zone`) sends new connections to `port`: upstream's categories of endpoints."""
    return choose_among(service, port, by_port(slices, family=family), node, zone=zone, family=family)


def choose_among(
    service: Service, port: ServicePort, offers: Offers, node: str, *, zone: str = "", family: int = 4
) -> Choice:
    """Do the same where the slices were taken apart before, once for all ports of the Service."""
    found = _endpoints(offers.get((port.name, port.protocol or "TCP"), ()), family)
    near = _near(found, node, zone)
    cluster: list[Target] = []
    local: list[Target] = []
    if not is_internally_local(service) or is_external(service):
        cluster = _pick(found, node, lambda endpoint: is_ready(endpoint) and near(endpoint)) or _pick(
            found, node, _still_serves
        )
    exists = bool(cluster)
    if is_internally_local(service) or is_externally_local(service):
        here = [(endpoint, number) for endpoint, number in found if endpoint.node_name == node]
        local = _pick(here, node, is_ready) or _pick(here, node, _still_serves)
        exists = exists or any(is_ready(endpoint) or _still_serves(endpoint) for endpoint, _ in found)
    return Choice(tuple(sorted(cluster)), tuple(sorted(local)), exists)


def _still_serves(endpoint: Endpoint) -> bool:
    return is_serving(endpoint) and is_terminating(endpoint)


def _endpoints(offered: Iterable[tuple[int, EndpointSlice]], family: int) -> list[tuple[Endpoint, int]]:
    """Return the endpoints that have a port, each with its number of it; of two with one address, the ready one."""
    by_address: dict[tuple[str, int], Endpoint] = {}
    for number, one in offered:
        for endpoint in one.endpoints:
            address = endpoint.addresses[0]
            key = (address, number)
            if version_of(address) == family and (key not in by_address or is_ready(endpoint)):
                by_address[key] = endpoint
    return [(endpoint, number) for (_, number), endpoint in by_address.items()]


def _pick(found: Iterable[tuple[Endpoint, int]], node: str, wanted: Callable[[Endpoint], bool]) -> list[Target]:
    return [
        Target(endpoint.addresses[0], number, endpoint.node_name == node)
        for endpoint, number in found
        if wanted(endpoint)
    ]


def _near(found: Sequence[tuple[Endpoint, int]], node: str, zone: str) -> Callable[[Endpoint], bool]:
    """Return whether an endpoint is one of those meant for this node: all are, unless every ready one has a hint."""
    ready = [endpoint for endpoint, _ in found if is_ready(endpoint)]

    def for_node(endpoint: Endpoint) -> bool:
        return endpoint.hints is not None and any(hint.name == node for hint in endpoint.hints.for_nodes)

    def for_zone(endpoint: Endpoint) -> bool:
        return endpoint.hints is not None and any(hint.name == zone for hint in endpoint.hints.for_zones)

    if all(endpoint.hints is not None and endpoint.hints.for_nodes for endpoint in ready) and any(map(for_node, ready)):
        return for_node
    if all(endpoint.hints is not None and endpoint.hints.for_zones for endpoint in ready) and any(map(for_zone, ready)):
        return for_zone
    return lambda _: True


@dataclass(frozen=True, slots=True)
class Standing:
    """How a Pod that goes stands with one Service."""

    is_missed: bool = False
    """Whether others take over, so that waiting till it is let go saves requests."""
    is_chosen: bool = False
    """Whether the slices still offer it."""
    revision: int = 0
    """The newest of its slices: a proxy that has programmed it has let the Pod go, if it is not chosen in it."""


def standing(slices: Sequence[EndpointSlice], uid: str) -> Standing:
    """Return how the Pod `uid` stands with the Service whose slices these are.

    Nobody waits for a Pod that no other ready endpoint can take over from (it is used till its end), nor for one that
    is offered though it terminates, as with publishNotReadyAddresses: it will not be let go.
    """
    others = chosen = kept = False
    revision = 0
    for one in slices:
        for endpoint in one.endpoints:
            ready = is_ready(endpoint)
            if endpoint.target_ref is None or endpoint.target_ref.uid != uid:
                others = others or (ready and not is_terminating(endpoint))
                continue
            chosen = chosen or ready
            kept = kept or (ready and is_terminating(endpoint))
            revision = max(revision, int(one.metadata.resource_version or 0))
    return Standing(bool(revision) and others and not kept, chosen, revision)
