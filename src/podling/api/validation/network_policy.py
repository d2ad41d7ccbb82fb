"""NetworkPolicies: ports and their ranges, peers, blocks of addresses, the directions they are about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.api.validation import formats, meta
from podling.api.validation.addresses import check_cidr, parse_network
from podling.api.validation.field import SPEC, forbidden, invalid, invalid_each, not_supported, required
from podling.api.validation.handlers import check_port

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.networking_v1 import IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort
    from podling.api.validation.field import Path

_TYPES: Final = ("Ingress", "Egress")
_PROTOCOLS: Final = ("TCP", "UDP", "SCTP")


def check_create(policy: NetworkPolicy, causes: list[Cause]) -> None:
    meta.check_create(policy.metadata, causes, namespaced=True)
    _check_spec(policy, causes)


def check_update(new: NetworkPolicy, old: NetworkPolicy, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    _check_spec(new, causes)


def _check_spec(policy: NetworkPolicy, causes: list[Cause]) -> None:
    spec = policy.spec
    meta.check_selector(spec.pod_selector, SPEC / "podSelector", causes)
    for direction, word, rules in (
        ("ingress", "from", [(rule.ports, rule.from_) for rule in spec.ingress]),
        ("egress", "to", [(rule.ports, rule.to) for rule in spec.egress]),
    ):
        for i, (ports, peers) in enumerate(rules):
            path = (SPEC / direction)[i]
            for j, port in enumerate(ports):
                _check_port(port, (path / "ports")[j], causes)
            for j, peer in enumerate(peers):
                _check_peer(peer, (path / word)[j], causes)
    types = spec.policy_types
    if len(types) > len(_TYPES):
        causes.append(invalid(SPEC / "policyTypes", types, "may not specify more than two policyTypes"))
        return
    for i, name in enumerate(types):
        if name not in _TYPES:
            causes.append(not_supported((SPEC / "policyTypes")[i], name, _TYPES))


def _check_port(port: NetworkPolicyPort, path: Path, causes: list[Cause]) -> None:
    if port.protocol is not None and port.protocol not in _PROTOCOLS:
        causes.append(not_supported(path / "protocol", port.protocol, _PROTOCOLS))
    end = port.end_port
    if isinstance(port.port, int):
        check_port(port.port, path / "port", causes)
        if end is not None:
            if end < port.port:
                # The value shown is the port's: upstream's slip, which clients may have learnt.
                causes.append(invalid(path / "endPort", port.port, "must be greater than or equal to `port`"))
            invalid_each(path / "endPort", end, formats.port_number(end), causes)
        return
    if end is not None:
        why = "is not specified" if port.port is None else "is non-numeric"
        causes.append(invalid(path / "endPort", end, f"may not be specified when `port` {why}"))
    if port.port is not None:
        check_port(port.port, path / "port", causes)


def _check_peer(peer: NetworkPolicyPeer, path: Path, causes: list[Cause]) -> None:
    meta.check_selector(peer.pod_selector, path / "podSelector", causes)
    meta.check_selector(peer.namespace_selector, path / "namespaceSelector", causes)
    selects = peer.pod_selector is not None or peer.namespace_selector is not None
    if peer.ip_block is not None:
        _check_block(peer.ip_block, path / "ipBlock", causes)
        if selects:
            causes.append(forbidden(path, "may not specify both ipBlock and another peer"))
    elif not selects:
        causes.append(required(path, "must specify a peer"))


def _check_block(block: IPBlock, path: Path, causes: list[Cause]) -> None:
    if not block.cidr:
        causes.append(required(path / "cidr"))
        return
    check_cidr(block.cidr, path / "cidr", causes)
    whole = parse_network(block.cidr)
    if whole is None:
        return
    for i, text in enumerate(block.except_):
        where = (path / "except")[i]
        check_cidr(text, where, causes)
        part = parse_network(text)
        if part is None:
            continue
        outer, inner = whole[1], part[1]
        if inner.network_address not in outer or inner.prefixlen <= outer.prefixlen:
            causes.append(invalid(where, text, "must be a strict subset of `cidr`"))
