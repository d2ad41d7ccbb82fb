"""The chains and sets of one policy in the packet filter.

Owns how a policy's rules are written: a chain for each direction that it is about, which ends a packet's way through
that direction where a rule lets it pass and returns where none does. Peers and named ports stand in sets, which change
without their rules; blocks of addresses and numbers of ports are the policy's own and stand as they were read. Written
for one address family: what is of the other is left out, and whatever it would have let pass with it. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.linux import nf_expressions as nf
from podling.linux.nf_tables import INTERVAL, Element, NamedSet
from podling.network.protocols import PROTOCOLS
from podling.reach.policy import Direction

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podling.linux.families import Family
    from podling.linux.nf_tables import Batch
    from podling.reach.policy import Policy, PortRange, Range, Rule
    from podling.reach.policy_index import Element as Known
    from podling.reach.policy_index import PolicyIndex

DIRECTIONS: Final = (Direction.EGRESS, Direction.INGRESS)
"""As packets meet them."""
_LAST_PORT: Final = 65535
_PEERS, _BLOCKS, _NAMED = "peers", "blocks", "named"


def chain_of(number: int, direction: Direction) -> str:
    """Return the name of a policy's chain; a policy is numbered as it comes."""
    return f"policy-{number}-{direction.lower()}"


def set_of(number: int, direction: Direction, rule: int, element: Known) -> str:
    """Return the name of the set of a rule that an element belongs into."""
    return _set(number, direction, rule, _PEERS if isinstance(element, str) else _NAMED)


def _set(number: int, direction: Direction, rule: int, what: str) -> str:
    return f"{chain_of(number, direction)}-{rule}-{what}"


def element_of(family: Family, known: Known) -> Element | None:
    """Return a peer or a named port as the element of a set; `None` where its address is not of the family."""
    if isinstance(known, str):
        peer = family.packed(known)
        return Element(peer) if peer is not None else None
    address, protocol, port = known
    called = family.packed(address)
    if called is None or protocol not in PROTOCOLS:
        return None
    return Element(called + bytes((PROTOCOLS[protocol], 0, 0, 0)) + port.to_bytes(2, "big") + b"\0\0")


def write(batch: Batch, family: Family, number: int, policy: Policy, index: PolicyIndex) -> None:
    """Write a policy's rules into its chains, which are there and empty, and the sets where they look."""
    for direction in DIRECTIONS:
        for place, rule in enumerate(policy.rules(direction) or ()):
            known = index.elements((policy.key, direction, place))
            for what, fields, flags, elements in _sets(family, rule, known):
                name = _set(number, direction, place, what)
                batch.add_set(NamedSet(name, fields, flags=flags))
                batch.add_elements(name, elements)
            for conditions in _ways(family, rule, number, direction, place):
                batch.add_rule(chain_of(number, direction), *conditions, nf.verdict(nf.Verdict(nf.ACCEPT)))


def erase(batch: Batch, family: Family, number: int, policy: Policy) -> None:
    """Empty a policy's chains and delete its sets."""
    for direction in DIRECTIONS:
        rules = policy.rules(direction)
        if rules is None:
            continue
        batch.empty_chain(chain_of(number, direction))
        for place, rule in enumerate(rules):
            for what, _, _, _ in _sets(family, rule, ()):
                batch.delete_set(_set(number, direction, place, what))


def _sets(
    family: Family, rule: Rule, known: Iterable[Known]
) -> Iterator[tuple[str, tuple[str, ...], int, Iterable[Element]]]:
    """Yield the sets of a rule: what they hold, their fields, flags and elements."""
    elements = [(isinstance(one, str), element) for one in known if (element := element_of(family, one)) is not None]
    if rule.selectors:
        yield _PEERS, (family.field,), 0, [element for is_peer, element in elements if is_peer]
    if rule.named:
        yield _NAMED, (family.field, "protocol", "port"), 0, [element for is_peer, element in elements if not is_peer]
    blocks = _blocks(family, rule)
    if blocks:
        yield _BLOCKS, (family.field,), INTERVAL, _intervals(family, blocks)


def _blocks(family: Family, rule: Rule) -> list[Range]:
    return [block for block in rule.ranges if block.version == family.version]


def _intervals(family: Family, blocks: Iterable[Range]) -> Iterator[Element]:
    """Yield where each interval begins and, unless it reaches the last address, the first address behind it."""
    opened = False
    for block in blocks:
        if not opened and block.first:
            # What lies before the first interval is said to be outside, as nft does.
            yield Element(bytes(family.size), closes=True)
        opened = True
        yield Element(block.first.to_bytes(family.size, "big"))
        if block.last + 1 < 1 << family.bits:
            yield Element((block.last + 1).to_bytes(family.size, "big"), closes=True)


def _ways(family: Family, rule: Rule, number: int, direction: Direction, place: int) -> Iterator[tuple[bytes, ...]]:
    """Yield the conditions of each way through a rule: by whom, and by which port."""
    peer = (nf.source if direction is Direction.INGRESS else nf.destination)(family=family)
    peers: list[tuple[bytes, ...]] = [()] if rule.anyone else []
    if rule.selectors:
        peers.append((peer, nf.lookup(_set(number, direction, place, _PEERS))))
    if _blocks(family, rule):
        peers.append((peer, nf.lookup(_set(number, direction, place, _BLOCKS))))
    ports: list[tuple[bytes, ...]] = [()] if rule.any_port else [_port(port) for port in rule.ports]
    for by_whom in peers:
        for by_port in ports:
            yield (*by_whom, *by_port)
    if rule.named:
        behind = nf.REGISTERS.start + family.registers
        looked_up = (
            nf.destination(family=family),
            nf.protocol(behind),
            nf.destination_port(behind + 1),
            nf.lookup(_set(number, direction, place, _NAMED)),
        )
        if direction is Direction.EGRESS:
            yield looked_up  # the set holds none but peers
        else:
            for by_whom in peers:
                yield (*by_whom, *looked_up)


def _port(port: PortRange) -> tuple[bytes, ...]:
    protocol = (nf.protocol(), nf.equal(bytes((PROTOCOLS[port.protocol],))))
    if port.first == 0 and port.last == _LAST_PORT:
        return protocol
    if port.first == port.last:
        return (*protocol, nf.destination_port(), nf.equal(port.first.to_bytes(2, "big")))
    first, last = port.first.to_bytes(2, "big"), port.last.to_bytes(2, "big")
    return (*protocol, nf.destination_port(), nf.within(first, last))
