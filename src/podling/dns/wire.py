"""DNS messages as bytes: questions read, answers written. Pure.

Owns the form of messages (RFC 1035, and of RFC 6891 what a small server needs). Everything that is read is hostile: a
message that cannot be read is a `Malformed`, whatever it is made of; no name is followed in circles, and none is work
beyond its own length.
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

HEADER: Final = struct.Struct("!HHHHHH")
RECORD: Final = struct.Struct("!HHIH")
_PAIR: Final = struct.Struct("!HH")
_SRV: Final = struct.Struct("!HHH")
_SOA: Final = struct.Struct("!IIIII")
_POINTER: Final = 0xC0
_MOST_POINTERS: Final = 32
"""In one name: a chain of more is made to be followed, not to save room."""
_MOST_ADDITIONAL: Final = 8
"""Records behind a question: OPT, a signature, and some that nobody has thought of yet."""
QUESTION_AT: Final = 12


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
    if len(packet) < QUESTION_AT or packet[2] & 0x80:
        return None
    return int.from_bytes(packet[:2], "big")


def read_query(packet: bytes) -> Query:
    """Read a query with one question and, at most, an OPT record."""
    id_, flags, questions, answers, authorities, additional = header(packet)
    if questions != 1 or answers or authorities:
        raise Malformed("not one question")
    if additional > _MOST_ADDITIONAL:
        raise Malformed("more records than a question has")
    name, at = read_name(packet, QUESTION_AT, pointers=False)
    if at + 4 > len(packet):
        raise Malformed("the question is cut off")
    kind, class_ = _PAIR.unpack_from(packet, at)
    question = packet[QUESTION_AT : at + 4]
    if not additional:
        return Query(id_, flags, question, name, kind, class_)
    at += 4
    found = None
    for _ in range(additional):
        start = at
        owner, at = read_name(packet, at)
        if at + RECORD.size > len(packet):
            raise Malformed("a record is cut off")
        type_, size, ttl, length = RECORD.unpack_from(packet, at)
        at += RECORD.size + length
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


def header(packet: bytes) -> tuple[int, int, int, int, int, int]:
    """Return id, flags, and how many questions, answers, authorities and additional records follow."""
    if len(packet) < QUESTION_AT:
        raise Malformed("shorter than a header")
    id_, flags, questions, answers, authorities, additional = HEADER.unpack_from(packet)
    return id_, flags, questions, answers, authorities, additional


def read_name(packet: bytes, at: int, *, pointers: bool = True) -> tuple[str, int]:
    """Return a name in lower case and where it ends. A dot within a label becomes a character that no name has."""
    labels: list[str] = []
    end = 0
    lowest = at
    total = pointers_followed = 0
    try:
        while length := packet[at]:
            if length >= _POINTER:
                if not pointers:
                    raise Malformed("a pointer in a question")
                end = end or at + 2
                at = ((length & 0x3F) << 8) | packet[at + 1]
                pointers_followed += 1
                if at >= lowest or pointers_followed > _MOST_POINTERS:
                    raise Malformed("a pointer that does not lead back, or one too many")
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
    return HEADER.pack(id_, flags, 1, 0, 0, 1) + question + opt(0, dnssec=dnssec)


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


def opt(extended: int, *, dnssec: bool = False) -> bytes:
    """Return our OPT record; `extended` is what of a code the header has no room for."""
    return b"\0" + RECORD.pack(OPT, OWN_SIZE, extended << 24 | (0x8000 if dnssec else 0), 0)


class _Writer:
    """A message as it grows; knows where names stand that later ones can point to."""

    def __init__(self, question: bytes, name: str) -> None:
        self.body = bytearray(question)
        self._places: dict[str, int] = {}
        at, rest = QUESTION_AT, name
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
            here = QUESTION_AT + len(self.body)
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
        self.body += RECORD.pack(kind, class_, ttl, 0)
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
        self.body += RECORD.pack(section.kind, section.class_, section.ttl, 0)
        start = len(self.body)
        if section.target:
            self.name(section.target)
        else:
            self.body += section.data
        self._close(start)

    def soa(self, domain: str, serial: int, ttl: int) -> None:
        self.name(domain)
        self.body += RECORD.pack(KINDS["SOA"], IN, ttl, 0)
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
        tail = opt(answer.code >> 4, dnssec=query.dnssec)
    room = limit - QUESTION_AT - len(tail)
    if len(writer.body) > room:
        del writer.body[needed:]  # addresses that nobody asked for are left out first
        additional = 0
    flags = _flags(query, answer.code, own=answer.own)
    if len(writer.body) > room:
        del writer.body[len(query.question) :]
        answers = authorities = 0
        flags |= TC
    additional += bool(tail)
    return HEADER.pack(query.id, flags, 1, answers, authorities, additional) + bytes(writer.body) + tail


def write_error(id_: int, flags: int, code: int) -> bytes:
    """Return an answer to what could not be read as a question."""
    return HEADER.pack(id_, QR | RA | (flags & (0x7800 | RD)) | code, 0, 0, 0, 0)


def _flags(query: Query, code: int, *, own: bool) -> int:
    return QR | RA | (AA if own else 0) | (query.flags & (0x7800 | RD | CD)) | (code & 0xF)
