"""Answers of other resolvers: taken apart as far as they must be, and passed on to who asked. Pure.

Owns what may be believed of such an answer: it is as hostile as a question. What cannot be read is `wire.Malformed`.
"""

from __future__ import annotations

import struct
from typing import Final

from msgspec import Struct

from podling.dns import wire


class Reply(Struct, frozen=True):
    """Somebody else's answer, taken apart as far as it must be."""

    packet: bytes
    flags: int
    ttls: tuple[int, ...]
    """Where the times to live stand in `packet`, its OPT record being taken out."""
    ttl: int
    """For how many seconds it is good."""
    records: tuple[wire.Section, ...]
    """The answer section's addresses and aliases."""

    @property
    def code(self) -> int:
        return self.flags & 0xF


_MOST_RECORDS: Final = 1000


def read_reply(packet: bytes, question: bytes) -> Reply:
    """Take an answer to `question` apart."""
    _, flags, questions, answers, authorities, additional = wire.header(packet)
    if not flags & wire.QR or questions != 1:
        raise wire.Malformed("no answer to one question")
    at = wire.QUESTION_AT + len(question)
    if packet[wire.QUESTION_AT : at].lower() != question.lower():
        raise wire.Malformed("an answer to another question")
    total = answers + authorities + additional
    if total > _MOST_RECORDS:
        raise wire.Malformed("more records than anybody needs")
    records: list[wire.Section] = []
    ttls: list[int] = []
    good: list[int] = []
    option: tuple[int, int] | None = None
    for number in range(total):
        start = at
        name, at = wire.read_name(packet, at)
        if at + wire.RECORD.size > len(packet):
            raise wire.Malformed("a record is cut off")
        kind, class_, ttl, length = wire.RECORD.unpack_from(packet, at)
        data_at = at + wire.RECORD.size
        end = data_at + length
        if end > len(packet):
            raise wire.Malformed("a record is cut off")
        if kind == wire.OPT:
            option = (start, end)
        else:
            ttls.append(at + 4)
            if number < answers:
                good.append(ttl)
                if kind in (1, 28):
                    records.append(wire.Section(name, kind, class_, ttl, packet[data_at:end]))
                elif kind == wire.KINDS["CNAME"]:
                    records.append(wire.Section(name, kind, class_, ttl, b"", wire.read_name(packet, data_at)[0]))
            elif kind == wire.KINDS["SOA"] and length >= 20:
                good.append(min(ttl, int.from_bytes(packet[end - 4 : end], "big")))
        at = end
    body = packet[:at]
    if option is not None:
        if option[1] != at:
            raise wire.Malformed("an OPT record before others")
        body = packet[: option[0]]
        body = body[:10] + (additional - 1).to_bytes(2, "big") + body[12:]
    return Reply(body, flags, tuple(ttls), min(good, default=0), tuple(records))


def pass_on(query: wire.Query, reply: Reply, age: int, limit: int) -> bytes:
    """Return somebody else's answer as an answer to `query`, `age` seconds after it was given."""
    tail = wire.opt(0, dnssec=query.dnssec) if query.edns else b""
    flags = wire.QR | wire.RA | (reply.flags & (0x7800 | wire.TC | wire.AD | 0xF)) | (query.flags & (wire.RD | wire.CD))
    if len(reply.packet) + len(tail) > limit:
        head = wire.HEADER.pack(query.id, flags | wire.TC, 1, 0, 0, bool(tail))
        return head + query.question + tail
    made = bytearray(reply.packet)
    answers, authorities, additional = struct.unpack_from("!HHH", made, 6)
    end = wire.QUESTION_AT + len(query.question)
    made[: wire.QUESTION_AT] = wire.HEADER.pack(query.id, flags, 1, answers, authorities, additional + bool(tail))
    made[wire.QUESTION_AT : end] = query.question
    if age:
        for at in reply.ttls:
            left = max(int.from_bytes(made[at : at + 4], "big") - age, 0)
            made[at : at + 4] = left.to_bytes(4, "big")
    return bytes(made) + tail
