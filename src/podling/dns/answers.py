"""What is answered: from the cluster's zone at once, or the word that somebody else must be asked.

Owns the rules of a server that knows one zone and forwards the rest, and the store of answers already made, which is
emptied with every change of the zone. Knows no sockets. Invariants: the store is bounded; whatever is asked, and
however it is written, there is an answer, a silence, or a forwarding, and never an exception.
"""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.dns import wire
from podling.dns.replies import pass_on
from podling.reach.names import Found

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

    from podling.dns.replies import Reply
    from podling.dns.wire import Query, Section
    from podling.reach.names import Record, Zone

TTL: Final = 5
"""Seconds for which our answers, and that there is none, may be remembered: CoreDNS's default."""
_REMEMBERED: Final = 8 << 20
"""Bytes of questions and answers."""
_VARIANTS: Final = 8
_PLAIN: Final = 0x0100
"""The flags of an ordinary question: that others may be asked."""
_OVERHEAD: Final = 300
"""Bytes that each remembered answer costs beside what is in it."""
_LONGEST_CHAIN: Final = 8
_ANY: Final = 255
_TRANSFERS: Final = range(249, 255)


class Forward(Struct, frozen=True):
    """Somebody else must be asked."""

    query: Query
    question: bytes
    """What to ask them; the query's own question, or where an alias of ours leads."""
    before: tuple[Record, ...] = ()
    """Aliases of ours that led there, for the answer."""


class Answers:
    """Answers to packets, from one zone."""

    def __init__(self, zone: Zone, ranges: Sequence[IPv4Network | IPv6Network] = ()) -> None:
        """Of addresses in `ranges`, the cluster's own, nobody else is asked for the name."""
        self._zone = zone
        self._ranges = ranges
        self._known: dict[bytes, tuple[bytes, ...]] = {}
        self._size = 0
        self._version = -1
        self._turn = 0

    def quick(self, packet: bytes) -> bytes | None:
        """Return an answer that was made before, if there is one that still holds."""
        if self._version != self._zone.version:
            self._forget()
            return None
        made = self._known.get(packet[2:])
        if made is None:
            return None
        if len(made) == 1:
            return packet[:2] + made[0]
        self._turn += 1
        return packet[:2] + made[self._turn % len(made)]

    def answer(self, packet: bytes, *, stream: bool = False) -> bytes | Forward | None:
        """Return the answer to a packet; `None` where none is due. `stream` is whether it came over TCP."""
        id_ = wire.identifier(packet)
        if id_ is None:
            return None
        flags = int.from_bytes(packet[2:4], "big")
        if (flags >> 11) & 0xF:
            return wire.write_error(id_, flags, wire.NOTIMP)
        try:
            query = wire.read_query(packet)
        except wire.Malformed:
            return wire.write_error(id_, flags, wire.FORMERR)
        limit = limit_of(query, stream=stream)
        refused = _refusal(query)
        if refused is not None:
            return wire.write(query, wire.Answer(refused, own=False), TTL, limit)
        if not self._zone.inside(query.name) and not self._is_ours(query.name):
            return Forward(query, query.question)
        return self._own(packet, query, limit, stream=stream)

    def _own(self, packet: bytes, query: Query, limit: int, *, stream: bool) -> bytes | Forward:
        found, forward = self._resolved(query)
        if forward is not None:
            return forward
        soa = (self._zone.domain, self._zone.version)
        apex = query.name == self._zone.domain and query.kind == wire.KINDS["SOA"]
        negative = not found.records and not apex
        answer = wire.Answer(
            wire.OK if found.exists else wire.NXDOMAIN,
            found.records,
            found.more,
            authority=soa if negative else None,
            soa=soa if apex else None,
        )
        try:
            made = wire.write(query, answer, TTL, limit)
        except (ValueError, OSError):  # a name or an address that the API let pass and no packet can hold
            return wire.write(query, wire.Answer(wire.SERVFAIL), TTL, limit)
        if not stream and not query.options:
            variants = [made]
            # Aliases stay in front of what they lead to: resolvers read in order.
            aliases = tuple(record for record in found.records if record.kind == "CNAME")
            records = found.records[len(aliases) :]
            # For questions as resolvers write them alone: others cost us no more than one answer each.
            common = query.flags == _PLAIN and query.question.islower()
            for shift in range(1, min(len(records), _VARIANTS)) if common else ():
                turned = wire.Answer(wire.OK, (*aliases, *records[shift:], *records[:shift]), found.more)
                variants.append(wire.write(query, turned, TTL, limit))
            self._remember(packet[2:], variants)
        return made

    def _remember(self, key: bytes, variants: list[bytes]) -> None:
        if self._version != self._zone.version:
            self._forget()
        size = len(key) + sum(map(len, variants)) + _OVERHEAD
        if self._size + size > _REMEMBERED:
            self._forget()  # whoever asks for names without end costs the others one more reckoning
        self._size += size
        self._known[key] = tuple(each[2:] for each in variants)

    def _forget(self) -> None:
        self._known.clear()
        self._size = 0
        self._version = self._zone.version

    def _resolved(self, query: Query) -> tuple[Found, Forward | None]:
        """Follow the zone's aliases, as resolvers in containers do not."""
        kind = wire.NAMES.get(query.kind, "")
        found = self._zone.find(query.name, kind)
        chain: list[Record] = []
        while kind != "CNAME" and len(found.records) == 1 and found.records[0].kind == "CNAME":
            alias = found.records[0]
            target = str(alias.data)
            chain.append(alias)
            if len(chain) > _LONGEST_CHAIN:
                break
            if not self._zone.inside(target):
                try:
                    return found, Forward(query, wire.question_of(target, query.kind), tuple(chain))
                except ValueError:
                    break
            found = self._zone.find(target, kind)
        if chain:
            last = () if found.records and found.records[0] is chain[-1] else found.records
            found = Found(exists=True, records=(*chain, *last), more=found.more)
        return found, None

    def forwarded(self, forward: Forward, reply: Reply | None, age: int, *, stream: bool = False) -> bytes:
        """Return the answer to a query that was forwarded; without a reply, that nobody knows."""
        query = forward.query
        limit = limit_of(query, stream=stream)
        if reply is None:
            return wire.write(query, wire.Answer(wire.SERVFAIL, own=False), TTL, limit)
        if not forward.before:
            return pass_on(query, reply, age, limit)
        records: list[Record | Section] = [*forward.before, *reply.records]
        return wire.write(query, wire.Answer(reply.code, records, own=False), TTL, limit)

    def _is_ours(self, name: str) -> bool:
        """Whether a name is that of an address which only the cluster could name."""
        if not self._ranges or not name.endswith((".in-addr.arpa", ".ip6.arpa")):
            return False
        address = _reversed(name)
        return address is not None and any(address in each for each in self._ranges)


def limit_of(query: Query, *, stream: bool) -> int:
    """Return how many bytes an answer may have."""
    return wire.LARGEST if stream else min(query.size, wire.OWN_SIZE)


def _refusal(query: Query) -> int | None:
    if query.version:
        return wire.BADVERS
    if query.class_ != wire.IN or query.kind == _ANY or query.kind in _TRANSFERS:
        return wire.REFUSED
    return None


def _reversed(name: str) -> IPv4Address | IPv6Address | None:
    """Return the address that a reverse name is of."""
    labels = name.split(".")[:-2][::-1]
    try:
        if name.endswith(".in-addr.arpa"):
            return ip_address(".".join(labels)) if len(labels) == 4 else None
        digits = "".join(labels)
        return ip_address(":".join(digits[at : at + 4] for at in range(0, 32, 4))) if len(labels) == 32 else None
    except ValueError:
        return None
