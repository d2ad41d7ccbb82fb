"""NetworkPolicies as they are written, read once into what judging them is cheap by.

Owns the reading: which directions a policy is about where it does not say, what is left of a block without its
exceptions, ranges joined so that they neither overlap nor touch. Pure. Invariant: what cannot be read selects nobody
and opens nothing.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from podling.api.selectors import EVERYTHING, NOTHING, Selector, from_label_selector
from podling.api.validation.addresses import parse_network
from podling.reach.policy import PeerSelector, Policy, PortRange, Range, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from podling.api.types.meta_v1 import LabelSelector
    from podling.api.types.networking_v1 import IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort

_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")
"""What has ports."""
_LAST_PORT: Final = 65535


def compile_policy(policy: NetworkPolicy) -> Policy:
    """Read a policy once, so that judging it is cheap."""
    spec, namespace = policy.spec, policy.metadata.namespace
    types = spec.policy_types or (("Ingress", "Egress") if spec.egress else ("Ingress",))
    selector = EVERYTHING if spec.pod_selector is None else _selector(spec.pod_selector)
    return Policy(
        (namespace, policy.metadata.name),
        selector,
        tuple(_rule(r.from_, r.ports, namespace) for r in spec.ingress) if "Ingress" in types else None,
        tuple(_rule(r.to, r.ports, namespace) for r in spec.egress) if "Egress" in types else None,
    )


def _selector(given: LabelSelector) -> Selector:
    try:
        return from_label_selector(given)
    except ValueError:
        return NOTHING


def _rule(peers: Sequence[NetworkPolicyPeer], ports: Sequence[NetworkPolicyPort], namespace: str) -> Rule:
    numbers = []
    named: dict[tuple[str, str], None] = {}
    for port in ports:
        protocol = port.protocol or "TCP"
        if protocol not in _PROTOCOLS:
            continue
        if port.port is None:
            numbers.append(PortRange(protocol, 0, _LAST_PORT))
        elif isinstance(port.port, str):
            named[protocol, port.port] = None
        elif 0 < port.port <= (last := port.end_port or port.port) <= _LAST_PORT:
            numbers.append(PortRange(protocol, port.port, last))
    selectors = [_peer_selector(peer, namespace) for peer in peers if peer.ip_block is None]
    ranges = [part for peer in peers if peer.ip_block is not None for part in _block(peer.ip_block)]
    return Rule(
        not peers, tuple(dict.fromkeys(selectors)), _joined(ranges), not ports, _joined_ports(numbers), tuple(named)
    )


def _peer_selector(peer: NetworkPolicyPeer, namespace: str) -> PeerSelector:
    pods = EVERYTHING if peer.pod_selector is None else _selector(peer.pod_selector)
    if peer.namespace_selector is None:
        return PeerSelector(NOTHING if peer.pod_selector is None else pods, namespace)
    return PeerSelector(pods, namespaces=_selector(peer.namespace_selector))


@lru_cache(maxsize=4096)
def _range(text: str) -> Range | None:
    found = parse_network(text)
    if found is None:
        return None
    network = found[1]
    return Range(network.version, int(network.network_address), int(network.broadcast_address))


def _block(block: IPBlock) -> Iterable[Range]:
    """Yield what is left of a block without its exceptions."""
    whole = _range(block.cidr)
    if whole is None:
        return
    holes = sorted(
        (hole.first, hole.last)
        for hole in map(_range, block.except_)
        if hole is not None and hole.version == whole.version
    )
    first = whole.first
    for begin, end in holes:
        if begin > first:
            yield Range(whole.version, first, min(begin - 1, whole.last))
        first = max(first, end + 1)
        if first > whole.last:
            return
    yield Range(whole.version, first, whole.last)


def _joined(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """Return the same addresses in ranges that neither overlap nor touch."""
    merged: list[Range] = []
    for part in sorted(ranges, key=lambda r: (r.version, r.first, r.last)):
        last = merged[-1] if merged else None
        if last is not None and last.version == part.version and part.first <= last.last + 1:
            merged[-1] = Range(last.version, last.first, max(last.last, part.last))
        else:
            merged.append(part)
    return tuple(merged)


def _joined_ports(ranges: Iterable[PortRange]) -> tuple[PortRange, ...]:
    merged: list[PortRange] = []
    for part in sorted(ranges, key=lambda r: (r.protocol, r.first, r.last)):
        last = merged[-1] if merged else None
        if last is not None and last.protocol == part.protocol and part.first <= last.last + 1:
            merged[-1] = PortRange(last.protocol, last.first, max(last.last, part.last))
        else:
            merged.append(part)
    return tuple(merged)
