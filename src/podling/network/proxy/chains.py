"""What the rules do with the connections of one kind: a chain for each kind, none for a single Service.

               ┌─▶ internal ──┐
    services ──┼─▶ external ──┼─▶ spread N ─▶ endpoints[address, protocol, port, one of N] ─▶ rewrite
               └─▶ hostport ──┘
    unserved ────▶ refuse, drop          sticky ────▶ learn for so many seconds

Owns the kinds and their rules, written once for a family of addresses. Pure. Invariants: of N endpoints each is as
likely as the others; a packet that meets a change halfway still finds the first of what is left.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from podling.linux import nf_expressions as nf
from podling.linux.families import family_of
from podling.linux.nflog import LENGTH
from podling.network.proxy import sets

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from podling.linux.families import Address, Family, Network

    Rule: TypeAlias = tuple[bytes, ...]

MASQUERADE: Final = 0x4000
"""The bit of a packet's mark that asks for another source address, as upstream's does."""
LOCAL: Final = 1 << 16
"""Where the numbers of a Service's local endpoints begin; those of all begin at 0."""

REFUSED: Final = "refused"
"""What the rule says of a call that it hands to the log."""
_TOLD: Final = 100
"""Refused calls that are told of in a second."""
_FIRST: Final = nf.REGISTERS.start


@dataclass(frozen=True, slots=True)
class Facts:
    """What the rules of a node for one address family take for given."""

    pods: Network
    """The range of all Pods of the cluster."""
    gateway: Address
    """The node's own address in it: who is masqueraded towards a Pod comes from there."""
    links: str
    """What the names of the node's Pod links begin with."""
    services: Network | None = None
    """The range of cluster addresses."""
    most_connections: int = 0
    """How many connections one Pod may have open; 0 for no bound."""
    own: Network | None = None
    """The range of this node's Pods; all of `pods` where there is but one node."""
    refusals: int = 0
    """The log group that refused calls are handed to; 0 for none."""

    @property
    def family(self) -> Family:
        return family_of(self.pods)

    def is_own(self, address: Address) -> bool:
        """Whether an address is of a range that the cluster gives to Pods, nodes or Services."""
        return address in self.pods or (self.services is not None and address in self.services)


def within(network: Network) -> Sequence[bytes]:
    """Go on if the address in the first registers is of a network."""
    return nf.masked(network.netmask.packed), nf.equal(network.network_address.packed)


def beyond(network: Network) -> Sequence[bytes]:
    return nf.masked(network.netmask.packed), nf.equal(network.network_address.packed, inverted=True)


def is_local(*, source: bool = False, inverted: bool = False) -> Sequence[bytes]:
    """Go on if the destination (or the source) is the node's own address, or if it is not."""
    return nf.address_type(of_source=source), nf.equal(struct.pack("=I", nf.LOCAL), inverted=inverted)


def has_ports(family: Family) -> Sequence[bytes]:
    """Go on if the destination is an address at which the node's ports are: its own ones, but for `PORTLESS`."""
    if len(sets.PORTLESS) != family.size:
        return is_local()
    return (*is_local(), nf.destination(family=family), nf.equal(sets.PORTLESS, inverted=True))


def ask_masquerade() -> Sequence[bytes]:
    return nf.mark(), nf.bits(0xFFFFFFFF ^ MASQUERADE, flip=MASQUERADE), nf.set_mark()


def frontend(family: Family, *, any_address: bool, register: int = _FIRST) -> Sequence[bytes]:
    """Load whom a packet is for, as keys have it."""
    behind = register + family.registers
    address = nf.constant(sets.any_address(family), register) if any_address else nf.destination(register, family)
    return address, nf.protocol(behind), nf.destination_port(behind + 1)


def behind_frontend(family: Family) -> int:
    """Return the register behind a frontend that stands in the first ones."""
    return _FIRST + sets.frontend_bytes(family) // 4


@dataclass(frozen=True, slots=True)
class Spread:
    """Over `count` endpoints evenly; `sticky` where a client keeps the one it had."""

    count: int
    first: int = 0
    sticky: bool = False
    any_address: bool = False

    @property
    def name(self) -> str:
        words = ["spread", str(self.count)]
        words += [
            word
            for word, is_so in (("local", self.first), ("sticky", self.sticky), ("port", self.any_address))
            if is_so
        ]
        return "-".join(words)

    def rules(self, facts: Facts) -> Iterator[Rule]:
        family = facts.family
        key = frontend(family, any_address=self.any_address)
        rewrite = nf.destination_nat(family=family)
        if self.sticky:
            asked = frontend(family, any_address=False, register=_FIRST + family.registers)
            yield (nf.source(family=family), *asked, nf.lookup(sets.AFFINITY, into=_FIRST), rewrite)
        number = behind_frontend(family)
        choices = [nf.constant(struct.pack("=I", self.first), number)]
        if self.count > 1:
            choices.insert(0, nf.random(self.count, number, offset=self.first))
        for choice in choices:
            yield (*key, choice, nf.lookup(sets.ENDPOINTS, into=_FIRST), rewrite)


@dataclass(frozen=True, slots=True)
class Internal:
    """For a cluster address: the callers that are no Pods are masqueraded, so that answers find back."""

    to: Spread

    @property
    def name(self) -> str:
        return f"internal-{self.to.name}"

    def rules(self, facts: Facts) -> Iterator[Rule]:
        yield (nf.source(family=facts.family), *beyond(facts.pods), *ask_masquerade())
        yield (nf.verdict(nf.goto(self.to.name)),)


@dataclass(frozen=True, slots=True)
class External:
    """For an address or port that the outside calls, where the policy is Cluster: all callers are masqueraded."""

    to: Spread

    @property
    def name(self) -> str:
        return f"external-{self.to.name}"

    def rules(self, facts: Facts) -> Iterator[Rule]:
        del facts
        yield tuple(ask_masquerade())
        yield (nf.verdict(nf.goto(self.to.name)),)


@dataclass(frozen=True, slots=True)
class ExternalLocal:
    """The same where the policy is Local: callers from outside keep their address and get what is here, or nothing.

    The node and its Pods, who would reach any node, get all. Pods of other nodes count as outside: an endpoint on their
    own node would answer them past this one.
    """

    to: Spread | None
    here: Spread | None

    @property
    def name(self) -> str:
        return f"external-{self.to.name if self.to else 'none'}-{self.here.name if self.here else 'none'}"

    def rules(self, facts: Facts) -> Iterator[Rule]:
        if self.to is not None:
            own = is_local(source=True)
            yield (*own, *ask_masquerade())
            yield (*own, nf.verdict(nf.goto(self.to.name)))
            near = within(facts.own or facts.pods)
            yield (nf.source(family=facts.family), *near, nf.verdict(nf.goto(self.to.name)))
        yield (nf.verdict(nf.goto(self.here.name) if self.here is not None else nf.Verdict(nf.DROP)),)


@dataclass(frozen=True, slots=True)
class HostPort:
    """For a port of the node that one Pod asked for: callers keep their address, but for the node itself.

    Whatever address the Pod has named: only where that is the node's is it the Pod's to have.
    """

    to: Spread

    @property
    def name(self) -> str:
        return f"hostport-{self.to.name}"

    def rules(self, facts: Facts) -> Iterator[Rule]:
        del facts
        yield (*is_local(inverted=True), nf.verdict(nf.Verdict(nf.RETURN)))
        yield (*is_local(source=True), *ask_masquerade())
        yield (nf.verdict(nf.goto(self.to.name)),)


@dataclass(frozen=True, slots=True)
class Learn:
    """Remember for so many seconds which endpoint a client was sent to."""

    seconds: int

    @property
    def name(self) -> str:
        return f"learn-{self.seconds}"

    def rules(self, facts: Facts) -> Iterator[Rule]:
        family = facts.family
        asked = _FIRST + family.registers
        protocol = asked + family.registers
        value = protocol + 2
        yield (
            nf.original_source(_FIRST, family), nf.original_destination(asked, family),
            nf.protocol(protocol), nf.original_port(protocol + 1),
            nf.destination(value, family), nf.destination_port(value + family.registers),
            nf.learn(sets.AFFINITY, _FIRST, value=value, timeout=float(self.seconds)),
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Refuse:
    """Answer that nobody is there."""

    @property
    def name(self) -> str:
        return "refuse"

    def rules(self, facts: Facts) -> Iterator[Rule]:
        if facts.refusals:
            yield nf.limited(_TOLD, 2 * _TOLD), nf.logged(facts.refusals, REFUSED, LENGTH)
        yield nf.protocol(), nf.equal(b"\6"), nf.reject_tcp()
        yield (nf.reject(),)


@dataclass(frozen=True, slots=True)
class Drop:
    """Say nothing: somebody else may answer."""

    @property
    def name(self) -> str:
        return "drop"

    def rules(self, facts: Facts) -> Iterator[Rule]:
        del facts
        yield (nf.verdict(nf.Verdict(nf.DROP)),)


Chain: TypeAlias = Spread | Internal | External | ExternalLocal | HostPort | Learn | Refuse | Drop


def leads_to(chain: Chain) -> Sequence[Spread]:
    """Return the chains that a chain goes on to."""
    match chain:
        case Internal(to=to) | External(to=to) | HostPort(to=to):
            return (to,)
        case ExternalLocal(to=to, here=here):
            return tuple(each for each in (to, here) if each is not None)
    return ()
