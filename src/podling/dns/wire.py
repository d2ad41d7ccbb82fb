"""DNS messages as bytes: questions read, answers written. Pure.

Owns the form of messages (RFC 1035, and of RFC 6891 what a small server needs). Everything that is read is hostile: a
message that cannot be read is a `Malformed`, whatever it is made of, and no name is followed in circles.
"""

from __future__ import annotations

import socket
import struct
from typing import TYPE_CHECKING, Final

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.reach.names import Data, Record

KINDS: Final = {"A": 1, "NS": 2, "CNAME": 5, "SOA": 6, "PTR": 12, "TXT": 16, "AAAA": 28, "SRV": 33}
NAMES: Final = {number: name for name, number in KINDS.items()}
OPT: Final = 41
IN: Final = 1
OK, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED, BADVERS = 0, 1, 2, 3, 4, 5, 16
QR, AA, TC, RD, RA, AD, CD = 0x8000, 0x0400, 0x0200, 0x0100, 0x0080, 0x0020, 0x0010
PLAIN_SIZE: Final = 512
"""What a client without EDNS takes over UDP."""
OWN_SIZE: Final = 1232
"""What is sent over UDP at most: no path cuts it."""
LARGEST: Final = 65535

_HEADER: Final = struct.Struct("!HHHHHH")
_RECORD: Final = struct.Struct("!HHIH")
_PAIR: Final = struct.Struct("!HH")
_SRV: Final = struct.Struct("!HHH")
_SOA: Final = struct.Struct("!IIIII")
_POINTER: Final = 0xC0
_QUESTION_AT: Final = 12


class Malformed(Exception):
    """No message, or none that can be read."""


class Query(Struct, frozen=True, gc=False):
    """One question."""

    id: int
    flags: int
    question: bytes
    """As it was sent, with the letters' cases."""
    name: str
    """In lower case, without the last dot."""
    kind: int
    class_: int
    size: int = PLAIN_SIZE
    """What the client takes over UDP."""
    edns: bool = False
    version: int = 0
    dnssec: bool = False
    options: bool = False
    """Whether EDNS carried options, so that the next question of this client will differ."""

    @property
    def opcode(self) -> int:
        return (self.flags >> 11) & 0xF


class Section(Struct, frozen=True, gc=False):
    """A record of somebody else's answer, with its name and data in a form that can be sent on."""

    name: str
    kind: int
    class_: int
    ttl: int
    data: bytes
    target: str = ""
    """Where a CNAME leads."""


def identifier(packet: bytes) -> int | None:
    """Return the id of a packet that asks for something; `None` where nobody waits for an answer."""
    if len(packet) < _QUESTION_AT or packet[2] & 0x80:
        return None
    return int.from_bytes(packet[:2], "big")


def read_query(packet: bytes) -> Query:
    """Read a query with one question and, at most, an OPT record."""
    id_, flags, questions, answers, authorities, additional = _header(packet)
    if questions != 1 or answers or authorities:
        raise Malformed("not one question")
    name, at = read_name(packet, _QUESTION_AT, pointers=False)
    if at + 4 > len(packet):
        raise Malformed("the question is cut off")
    kind, class_ = _PAIR.unpack_from(packet, at)
    question = packet[_QUESTION_AT : at + 4]
    if not additional:
        return Query(id_, flags, question, name, kind, class_)
    at += 4
    found = None
    for _ in range(additional):
        start = at
        owner, at = read_name(packet, at)
        if at + _RECORD.size > len(packet):
            raise Malformed("a record is cut off")
        type_, size, ttl, length = _RECORD.unpack_from(packet, at)
        at += _RECORD.size + length
        if at > len(packet):
            raise Malformed("a record is cut off")
        if type_ == OPT:
            if found is not None or owner or at - start < 11:
                raise Malformed("not one OPT of the root")
            found = (size, ttl, length)
    if found is None:
        return Query(id_, flags, question, name, kind, class_)
    size, ttl, length = found
    return Query(
        id_,
        flags,
        question,
        name,
        kind,
        class_,
        max(size, PLAIN_SIZE),
        edns=True,
        version=(ttl >> 16) & 0xFF,
        dnssec=bool(ttl & 0x8000),
        options=length > 0,
    )


def _header(packet: bytes) -> tuple[int, int, int, int, int, int]:
    if len(packet) < _QUESTION_AT:
        raise Malformed("shorter than a header")
    id_, flags, questions, answers, authorities, additional = _HEADER.unpack_from(packet)
    return id_, flags, questions, answers, authorities, additional


def read_name(packet: bytes, at: int, *, pointers: bool = True) -> tuple[str, int]:
    """Return a name in lower case and where it ends. A dot within a label becomes a character that no name has."""
    labels: list[str] = []
    end = 0
    lowest = at
    total = 0
    try:
        while length := packet[at]:
            if length >= _POINTER:
                if not pointers:
                    raise Malformed("a pointer in a question")
                end = end or at + 2
                at = ((length & 0x3F) << 8) | packet[at + 1]
                if at >= lowest:
                    raise Malformed("a pointer that does not lead back")
                lowest = at
                continue
            if length > 63:
                raise Malformed("a label of a kind that does not exist")
            label = packet[at + 1 : at + 1 + length]
            total += length + 1
            if len(label) < length or total > 254:
                raise Malformed("a name that is cut off or too long")
            text = label.lower().decode("latin-1")
            labels.append(text.replace(".", "\0") if "." in text else text)
            at += length + 1
    except IndexError:
        raise Malformed("a name that is cut off") from None
    return ".".join(labels), end or at + 1


def write_query(id_: int, question: bytes, *, dnssec: bool, checking_disabled: bool) -> bytes:
    """Return a query of our own."""
    flags = RD | (CD if checking_disabled else 0)
    return _HEADER.pack(id_, flags, 1, 0, 0, 1) + question + _opt(0, dnssec=dnssec)


def question_of(name: str, kind: int) -> bytes:
    """Return the question for a name; `ValueError` where it is none."""
    return encode_name(name) + _PAIR.pack(kind, IN)


def encode_name(name: str) -> bytes:
    """Return a name as labels; `ValueError` where it is too long or has an empty label."""
    made = bytearray()
    for label in name.split(".") if name else ():
        text = label.encode("latin-1")
        if not 0 < len(text) < 64:
            raise ValueError(f"{name!r} is no name")
        made.append(len(text))
        made += text
    made.append(0)
    if len(made) > 255:
        raise ValueError(f"{name!r} is too long")
    return bytes(made)


def _opt(extended: int, *, dnssec: bool = False) -> bytes:
    return b"\0" + _RECORD.pack(OPT, OWN_SIZE, extended << 24 | (0x8000 if dnssec else 0), 0)


class _Writer:
    """A message as it grows; knows where names stand that later ones can point to."""

    def __init__(self, question: bytes, name: str) -> None:
        self.body = bytearray(question)
        self._places: dict[str, int] = {}
        at, rest = _QUESTION_AT, name
        while rest:
            self._places.setdefault(rest, at)
            label, _, rest = rest.partition(".")
            at += len(label) + 1

    def name(self, name: str) -> None:
        rest = name
        while rest:
            place = self._places.get(rest)
            if place is not None:
                self.body += (_POINTER << 8 | place).to_bytes(2, "big")
                return
            here = _QUESTION_AT + len(self.body)
            if here < 0x4000:
                self._places[rest] = here
            label, _, rest = rest.partition(".")
            text = label.encode("latin-1")
            if not 0 < len(text) < 64:
                raise ValueError(f"{name!r} is no name")
            self.body.append(len(text))
            self.body += text
        self.body.append(0)

    def record(self, name: str, kind: int, ttl: int, data: Data, class_: int = IN) -> None:
        self.name(name)
        self.body += _RECORD.pack(kind, class_, ttl, 0)
        start = len(self.body)
        if isinstance(data, tuple):
            self.body += _SRV.pack(*data[:3]) + encode_name(data[3])
        elif kind == 1:
            self.body += socket.inet_aton(data)
        elif kind == 28:
            self.body += socket.inet_pton(socket.AF_INET6, data)
        elif kind == 16:
            text = data.encode()[:255]
            self.body.append(len(text))
            self.body += text
        else:
            self.name(data)
        self._close(start)

    def raw(self, section: Section) -> None:
        self.name(section.name)
        self.body += _RECORD.pack(section.kind, section.class_, section.ttl, 0)
        start = len(self.body)
        if section.target:
            self.name(section.target)
        else:
            self.body += section.data
        self._close(start)

    def soa(self, domain: str, serial: int, ttl: int) -> None:
        self.name(domain)
        self.body += _RECORD.pack(KINDS["SOA"], IN, ttl, 0)
        start = len(self.body)
        self.name(f"ns.dns.{domain}")
        self.name(f"hostmaster.{domain}")
        self.body += _SOA.pack(serial & 0xFFFFFFFF, 7200, 1800, 86400, ttl)
        self._close(start)

    def _close(self, start: int) -> None:
        length = len(self.body) - start
        if length > LARGEST:
            raise ValueError("too much data for one record")
        self.body[start - 2 : start] = length.to_bytes(2, "big")


class Answer(Struct, frozen=True):
    """What is to be said."""

    code: int = OK
    records: Sequence[Record | Section] = ()
    more: Sequence[Record] = ()
    authority: tuple[str, int] | None = None
    """The zone and its serial, where its SOA is part of the answer's authority section."""
    soa: tuple[str, int] | None = None
    """The same, where it is the answer itself."""
    own: bool = True
    """Whether it is ours to say."""


def write(query: Query, answer: Answer, ttl: int, limit: int) -> bytes:
    """Return the message; what does not fit into `limit` bytes is cut off with the flag that says so."""
    writer = _Writer(query.question, query.name)
    for record in answer.records:
        if isinstance(record, Section):
            writer.raw(record)
        else:
            writer.record(record.name, KINDS[record.kind], ttl, record.data)
    answers, authorities, additional = len(answer.records), 0, len(answer.more)
    if answer.soa is not None:
        writer.soa(*answer.soa, ttl)
        answers += 1
    if answer.authority is not None:
        writer.soa(*answer.authority, ttl)
        authorities = 1
    needed = len(writer.body)
    for record in answer.more:
        writer.record(record.name, KINDS[record.kind], ttl, record.data)
    tail = b""
    if query.edns:
        tail = _opt(answer.code >> 4, dnssec=query.dnssec)
    room = limit - _QUESTION_AT - len(tail)
    if len(writer.body) > room:
        del writer.body[needed:]  # addresses that nobody asked for are left out first
        additional = 0
    flags = _flags(query, answer.code, own=answer.own)
    if len(writer.body) > room:
        del writer.body[len(query.question) :]
        answers = authorities = 0
        flags |= TC
    additional += bool(tail)
    return _HEADER.pack(query.id, flags, 1, answers, authorities, additional) + bytes(writer.body) + tail


def write_error(id_: int, flags: int, code: int) -> bytes:
    """Return an answer to what could not be read as a question."""
    return _HEADER.pack(id_, QR | RA | (flags & (0x7800 | RD)) | code, 0, 0, 0, 0)


def _flags(query: Query, code: int, *, own: bool) -> int:
    return QR | RA | (AA if own else 0) | (query.flags & (0x7800 | RD | CD)) | (code & 0xF)


class Reply(Struct, frozen=True):
    """Somebody else's answer, taken apart as far as it must be."""

    packet: bytes
    flags: int
    ttls: tuple[int, ...]
    """Where the times to live stand in `packet`, its OPT record being taken out."""
    ttl: int
    """For how many seconds it is good."""
    records: tuple[Section, ...]
    """The answer section's addresses and aliases."""

    @property
    def code(self) -> int:
        return self.flags & 0xF


_MOST_RECORDS: Final = 1000


def read_reply(packet: bytes, question: bytes) -> Reply:
    """Take an answer to `question` apart."""
    _, flags, questions, answers, authorities, additional = _header(packet)
    if not flags & QR or questions != 1:
        raise Malformed("no answer to one question")
    at = _QUESTION_AT + len(question)
    if packet[_QUESTION_AT:at].lower() != question.lower():
        raise Malformed("an answer to another question")
    total = answers + authorities + additional
    if total > _MOST_RECORDS:
        raise Malformed("more records than anybody needs")
    records: list[Section] = []
    ttls: list[int] = []
    good: list[int] = []
    option: tuple[int, int] | None = None
    for number in range(total):
        start = at
        name, at = read_name(packet, at)
        if at + _RECORD.size > len(packet):
            raise Malformed("a record is cut off")
        kind, class_, ttl, length = _RECORD.unpack_from(packet, at)
        data_at = at + _RECORD.size
        end = data_at + length
        if end > len(packet):
            raise Malformed("a record is cut off")
        if kind == OPT:
            option = (start, end)
        else:
            ttls.append(at + 4)
            if number < answers:
                good.append(ttl)
                if kind in (1, 28):
                    records.append(Section(name, kind, class_, ttl, packet[data_at:end]))
                elif kind == KINDS["CNAME"]:
                    records.append(Section(name, kind, class_, ttl, b"", read_name(packet, data_at)[0]))
            elif kind == KINDS["SOA"] and length >= 20:
                good.append(min(ttl, int.from_bytes(packet[end - 4 : end], "big")))
        at = end
    body = packet[:at]
    if option is not None:
        if option[1] != at:
            raise Malformed("an OPT record before others")
        body = packet[: option[0]]
        body = body[:10] + (additional - 1).to_bytes(2, "big") + body[12:]
    return Reply(body, flags, tuple(ttls), min(good, default=0), tuple(records))


def pass_on(query: Query, reply: Reply, age: int, limit: int) -> bytes:
    """Return somebody else's answer as an answer to `query`, `age` seconds after it was given."""
    tail = _opt(0, dnssec=query.dnssec) if query.edns else b""
    flags = QR | RA | (reply.flags & (0x7800 | TC | AD | 0xF)) | (query.flags & (RD | CD))
    if len(reply.packet) + len(tail) > limit:
        head = _HEADER.pack(query.id, flags | TC, 1, 0, 0, bool(tail))
        return head + query.question + tail
    made = bytearray(reply.packet)
    answers, authorities, additional = struct.unpack_from("!HHH", made, 6)
    end = _QUESTION_AT + len(query.question)
    made[:_QUESTION_AT] = _HEADER.pack(query.id, flags, 1, answers, authorities, additional + bool(tail))
    made[_QUESTION_AT:end] = query.question
    if age:
        for at in reply.ttls:
            left = max(int.from_bytes(made[at : at + 4], "big") - age, 0)
            made[at : at + 4] = left.to_bytes(4, "big")
    return bytes(made) + tail
