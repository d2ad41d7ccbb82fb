"""Packets: what we write is what dnspython reads, and nothing that is sent stops us."""

from __future__ import annotations

import struct
from ipaddress import ip_address, ip_network

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from podling.api.codec import from_tree
from podling.api.types.core_v1 import Service
from podling.api.types.discovery_v1 import EndpointSlice
from podling.dns import answers as answering
from podling.dns import wire
from podling.dns.answers import Answers, Forward
from podling.dns.replies import read_reply
from podling.reach.names import Zone

WEB = "web.default.svc.cluster.local"
DB = "db.default.svc.cluster.local"


def service(name, **spec):
    meta = {"name": name, "namespace": "default"}
    return from_tree(Service, {"metadata": meta, "spec": {"type": "ClusterIP"} | spec})


def made(many=3):
    zone = Zone(servers=["10.244.0.2"])
    zone.put_namespace("default")
    zone.put_service(service("web", clusterIP="10.96.0.50", ports=[{"name": "http", "port": 80}]), [])
    ends = [
        {"addresses": [f"10.244.{n // 250}.{n % 250 + 1}"], "hostname": f"db-{n}", "conditions": {"ready": True}}
        for n in range(many)
    ]
    tree = {
        "metadata": {"name": "db-x", "namespace": "default"},
        "addressType": "IPv4",
        "endpoints": ends,
        "ports": [{"name": "pg", "port": 5432, "protocol": "TCP"}],
    }
    zone.put_service(service("db", clusterIP="None"), [from_tree(EndpointSlice, tree)])
    zone.put_service(service("inside", type="ExternalName", externalName=WEB), [])
    zone.put_service(service("outside", type="ExternalName", externalName="www.example.com"), [])
    zone.put_service(service("round", type="ExternalName", externalName="round.default.svc.cluster.local"), [])
    ranges = ("10.96.0.0/16", "fd00:10:96::/112", "10.244.0.0/16", "fd00:10:244::/56")
    return Answers(zone, [ip_network(each) for each in ranges])


def ask(answers, name, kind="A", *, stream=False, **options):
    query = dns.message.make_query(name, kind, **options)
    packet = answers.answer(query.to_wire(), stream=stream)
    if isinstance(packet, Forward) or packet is None:
        return packet
    reply = dns.message.from_wire(packet)
    assert query.is_response(reply)
    assert (
        answers.quick(query.to_wire()) is None
        or stream
        or dns.message.from_wire(answers.quick(query.to_wire())).rcode() == reply.rcode()
    )
    return reply


def lines(reply):
    return sorted(str(item) for rrset in reply.answer for item in rrset)


def test_an_address():
    reply = ask(made(), WEB)
    assert lines(reply) == ["10.96.0.50"]
    assert reply.flags & dns.flags.AA
    assert reply.flags & dns.flags.RA
    assert reply.answer[0].ttl == 5


def test_letters_keep_their_case():
    reply = ask(made(), "WeB.Default.SVC.cluster.LOCAL")
    assert str(reply.question[0].name) == "WeB.Default.SVC.cluster.LOCAL."
    assert lines(reply) == ["10.96.0.50"]


def test_targets_come_with_their_addresses():
    reply = ask(made(), f"_pg._tcp.{DB}", "SRV", use_edns=0, payload=1232)
    assert lines(reply) == [f"0 33 5432 db-{n}.{DB}." for n in range(3)]
    assert sorted(str(rrset.name) for rrset in reply.additional) == [f"db-{n}.{DB}." for n in range(3)]
    assert (reply.edns, reply.payload) == (0, wire.OWN_SIZE)


def test_reverse_names_and_texts():
    answers = made()
    assert lines(ask(answers, "50.0.96.10.in-addr.arpa", "PTR")) == [f"{WEB}."]
    assert lines(ask(answers, "dns-version.cluster.local", "TXT")) == ['"1.1.0"']
    assert lines(ask(answers, "cluster.local", "NS")) == ["ns.dns.cluster.local."]
    assert ask(answers, "cluster.local", "SOA").answer[0][0].minimum == 5


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "fd00:10:97::1"])
def test_other_addresses_reverse_names_are_asked_of_others(address):
    forward = ask(made(), ip_address(address).reverse_pointer, "PTR")
    assert isinstance(forward, Forward)


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("none.default.svc.cluster.local", "A", "NXDOMAIN"),
        (WEB, "AAAA", "NOERROR"),
        ("svc.cluster.local", "A", "NOERROR"),
        ("99.99.96.10.in-addr.arpa", "PTR", "NXDOMAIN"),
        ("1.99.244.10.in-addr.arpa", "PTR", "NXDOMAIN"),
        (ip_address("fd00:10:96::99").reverse_pointer, "PTR", "NXDOMAIN"),
        (ip_address("fd00:10:244:5::1").reverse_pointer, "PTR", "NXDOMAIN"),
    ],
)
def test_what_is_not_there_says_so_for_a_short_time(name, kind, code):
    """NXDOMAIN where there is no name, no error where there is none of the kind; both with the zone's SOA."""
    reply = ask(made(), name, kind)
    assert (dns.rcode.to_text(reply.rcode()), reply.answer) == (code, [])
    (soa,) = reply.authority
    assert (str(soa.name), soa.ttl, soa[0].minimum) == ("cluster.local.", 5, 5)


def test_an_alias_within_the_zone_is_followed():
    answers = made()
    answers._zone.put_service(service("heads", type="ExternalName", externalName=DB), [])
    for name, addresses in (("inside", 1), ("heads", 3)):
        packet = dns.message.make_query(f"{name}.default.svc.cluster.local", "A").to_wire()
        for reply in (answers.answer(packet), *(answers.quick(packet) for _ in range(3))):
            kinds = [rrset.rdtype.name for rrset in dns.message.from_wire(reply).answer]
            assert kinds == ["CNAME", "A"]  # in this order: resolvers read on
            assert len(dns.message.from_wire(reply).answer[1]) == addresses
    assert lines(ask(made(), "inside.default.svc.cluster.local", "CNAME")) == [f"{WEB}."]


def test_an_alias_of_itself_ends():
    assert ask(made(), "round.default.svc.cluster.local").rcode() == dns.rcode.NOERROR


def test_an_alias_to_the_outside_is_asked_for_there():
    """And the outside's answer comes with the alias, as resolvers in containers need it."""
    answers = made()
    forward = ask(answers, "outside.default.svc.cluster.local")
    assert isinstance(forward, Forward)
    asked = dns.message.from_wire(wire.write_query(7, forward.question, dnssec=False, checking_disabled=False))
    assert str(asked.question[0]) == "www.example.com. IN A"
    said = dns.message.make_response(asked)
    said.answer = [
        dns.rrset.from_text("www.example.com.", 60, "IN", "CNAME", "cdn.example.net."),
        dns.rrset.from_text("cdn.example.net.", 60, "IN", "A", "192.0.2.7"),
    ]
    reply = read_reply(said.to_wire(), forward.question)
    final = dns.message.from_wire(answers.forwarded(forward, reply, 0))
    assert [str(rrset) for rrset in final.answer] == [
        "outside.default.svc.cluster.local. 5 IN CNAME www.example.com.",
        "www.example.com. 60 IN CNAME cdn.example.net.",
        "cdn.example.net. 60 IN A 192.0.2.7",
    ]


def test_somebody_elses_answer_is_passed_on():
    """With the client's id, case and size, its own EDNS or none, and times to live that have gone on."""
    answers = made()
    query = dns.message.make_query("WWW.example.com", "MX")
    forward = answers.answer(query.to_wire())
    asked = dns.message.from_wire(wire.write_query(9, forward.question, dnssec=True, checking_disabled=True))
    assert asked.flags & dns.flags.CD
    assert asked.ednsflags & dns.flags.DO
    said = dns.message.make_response(asked)
    said.answer = [dns.rrset.from_text("www.example.com.", 300, "IN", "MX", "10 mail.example.com.")]
    said.use_edns(0, payload=4096)
    reply = read_reply(said.to_wire(), forward.question)
    assert reply.ttl == 300
    plain = dns.message.from_wire(answers.forwarded(forward, reply, 100))
    assert (plain.id, plain.edns, str(plain.question[0].name)) == (query.id, -1, "WWW.example.com.")
    assert str(plain.answer[0]).lower() == "www.example.com. 200 in mx 10 mail.example.com."
    assert not plain.flags & dns.flags.AA
    wide = answers.answer(dns.message.make_query("www.example.com", "MX", use_edns=0, want_dnssec=True).to_wire())
    assert dns.message.from_wire(answers.forwarded(wide, reply, 0)).edns == 0
    assert dns.message.from_wire(answers.forwarded(forward, None, 0)).rcode() == dns.rcode.SERVFAIL


def test_what_does_not_fit_is_cut_off_and_comes_whole_over_tcp():
    answers = made(many=100)
    cut = ask(answers, DB)
    assert cut.flags & dns.flags.TC
    assert cut.answer == []
    assert ask(answers, DB, use_edns=0, payload=65000).flags & dns.flags.TC
    assert len(lines(ask(answers, DB, stream=True))) == 100
    few = made(many=20)
    assert len(lines(ask(few, DB))) == 20
    targets = ask(few, f"_pg._tcp.{DB}", "SRV", use_edns=0, payload=1232)
    assert (len(lines(targets)), targets.additional) == (20, []) or targets.flags & dns.flags.TC


def test_endpoints_take_turns():
    """Who takes the first of several addresses does not always get the same one."""
    answers = made()
    packet = dns.message.make_query(DB, "A").to_wire()
    answers.answer(packet)
    first = {str(dns.message.from_wire(answers.quick(packet)).answer[0][0]) for _ in range(3)}
    assert len(first) == 3


def test_what_is_remembered_is_bounded(monkeypatch):
    """In bytes, whoever asks in whatever letters; odd questions cost one answer each and not one for each turn."""
    monkeypatch.setattr(answering, "_REMEMBERED", 20_000)
    answers = made()
    for number in range(200):
        name = "".join(c.upper() if number >> at & 1 else c for at, c in enumerate(DB))
        answers.answer(dns.message.make_query(name, "A").to_wire())
        assert answers._size <= 20_000
        assert sum(len(key) + sum(map(len, each)) for key, each in answers._known.items()) <= answers._size
        odd = {len(each) for key, each in answers._known.items() if not key[10:].islower()}
        assert odd <= {1}


def test_a_change_of_the_zone_is_seen_at_once():
    answers = made()
    packet = dns.message.make_query("new.default.svc.cluster.local", "A").to_wire()
    assert dns.message.from_wire(answers.answer(packet)).rcode() == dns.rcode.NXDOMAIN
    assert answers.quick(packet) is not None
    answers._zone.put_service(service("new", clusterIP="10.96.0.51"), [])
    assert answers.quick(packet) is None
    assert lines(dns.message.from_wire(answers.answer(packet))) == ["10.96.0.51"]


def _header(flags=0x0100, counts=(1, 0, 0, 0)):
    return struct.pack("!HHHHHH", 7, flags, *counts)


QUESTION = wire.question_of(WEB, 1)


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (b"", None),
        (b"\0\7\1\0\0\1", None),
        (_header(flags=0x8100) + QUESTION, None),  # an answer: nobody waits for an answer to it
        (_header(flags=0x0900) + QUESTION, "NOTIMP"),
        (_header(flags=0x2900), "NOTIMP"),  # an update
        (_header(counts=(0, 0, 0, 0)), "FORMERR"),
        (_header(counts=(2, 0, 0, 0)) + QUESTION * 2, "FORMERR"),
        (_header(counts=(1, 1, 0, 0)) + QUESTION, "FORMERR"),
        (_header(counts=(1, 0, 0, 9)) + QUESTION, "FORMERR"),
        (_header(), "FORMERR"),
        (_header() + QUESTION[:-1], "FORMERR"),
        (_header() + b"\xc0\x0c\0\1\0\1", "FORMERR"),  # a name that is itself
        (_header() + b"\x40a\0\0\1\0\1", "FORMERR"),
        (_header() + b"\x3f" + b"a" * 62, "FORMERR"),
        (_header() + (b"\x3f" + b"a" * 63) * 5 + b"\0\0\1\0\1", "FORMERR"),
        (_header() + wire.question_of(WEB, 255), "REFUSED"),
        (_header() + wire.question_of(WEB, 252), "REFUSED"),
        (_header() + QUESTION[:-1] + b"\3", "REFUSED"),  # another class
        (_header(counts=(1, 0, 0, 1)) + QUESTION + b"\0\0\x29\4\xd0\0\1\0\0\0\0", "BADVERS"),
        (_header(counts=(1, 0, 0, 2)) + QUESTION + b"\0\0\x29\4\xd0\0\0\0\0\0\0" * 2, "FORMERR"),
    ],
)
def test_what_is_no_question(packet, code):
    answer = made().answer(packet)
    if code is None:
        assert answer is None
    else:
        reply = dns.message.from_wire(answer)
        assert (reply.id, dns.rcode.to_text(reply.rcode())) == (7, code)
        assert len(answer) <= max(len(packet), 12) + 11


class Counted(bytes):
    """Bytes that know how often they were looked at."""

    looks = 0

    def __getitem__(self, at):
        self.looks += 1
        return super().__getitem__(at)


def _chain(question, counts, limit):
    """Return a packet whose names all lead through as many pointers as it has room for."""
    at = 12 + len(question) + 11
    steps = min(limit // 2, 0x3F00 - at) // 2
    chain = b"\0\0" + b"".join(struct.pack("!H", 0xC000 | max(at + 2 * step, at)) for step in range(steps))
    last = struct.pack("!H", 0xC000 | at + 2 * steps)
    packet = _header(counts[0], counts[1:]) + question + b"\0" + wire.RECORD.pack(99, 1, 0, len(chain)) + chain
    record = last + wire.RECORD.pack(99, 1, 0, 0)
    return Counted(packet + record * ((limit - len(packet)) // len(record)))


@pytest.mark.parametrize("additional", [2, 8, 4000])
def test_a_packet_is_no_more_work_than_it_is_long(additional):
    """Anybody can send 64 KiB over TCP: names that lead through pointers to pointers hold the loop for no second."""
    packet = _chain(QUESTION, (0x0100, 1, 0, 0, additional), 65535)
    assert len(packet) > 60_000
    with pytest.raises(wire.Malformed):
        wire.read_query(packet)
    assert packet.looks < 1000
    assert dns.message.from_wire(made().answer(bytes(packet))).rcode() == dns.rcode.FORMERR


def test_nor_is_an_answer():
    packet = _chain(QUESTION, (0x8180, 1, 900, 0, 0), 65535)
    with pytest.raises(wire.Malformed):
        read_reply(packet, QUESTION)
    assert packet.looks < 1000


_FUZZ = settings(max_examples=400, deadline=None)


@_FUZZ
@given(st.binary(max_size=600))
def test_any_bytes_are_answered_or_passed_over(packet):
    """Whatever comes, over UDP or TCP: an answer that can be read, a forwarding, or silence; never an exception."""
    _judge(packet)


@_FUZZ
@given(
    st.lists(
        st.one_of(st.binary(min_size=1, max_size=20), st.sampled_from([b"\xc0\x0c", b"\0", b"\3www", QUESTION]))
    ).map(b"".join),
    st.integers(0, 0xFFFF),
    st.tuples(*[st.integers(0, 3)] * 4),
)
def test_any_bytes_behind_a_header(rest, flags, counts):
    _judge(_header(flags, counts) + rest)


@_FUZZ
@given(st.data())
def test_any_byte_of_a_good_packet_changed(data):
    query = dns.message.make_query(data.draw(st.sampled_from([WEB, DB, "example.com"])), "A", use_edns=0)
    packet = bytearray(query.to_wire())
    for _ in range(data.draw(st.integers(1, 4))):
        packet[data.draw(st.integers(0, len(packet) - 1))] = data.draw(st.integers(0, 255))
    _judge(bytes(packet[: data.draw(st.integers(0, len(packet)))] if data.draw(st.booleans()) else packet))


ANSWERS = made()


def _judge(packet):
    for stream in (False, True):
        answer = ANSWERS.answer(packet, stream=stream)
        if isinstance(answer, Forward):
            answer = ANSWERS.forwarded(answer, None, 0, stream=stream)
        if answer is not None:
            assert answer[:2] == packet[:2]
            assert answer[2] & 0x80
            assert stream or len(answer) <= wire.OWN_SIZE
    ANSWERS.quick(packet)


def _said():
    said = dns.message.make_response(dns.message.make_query("www.example.com", "A", use_edns=0))
    said.answer = [
        dns.rrset.from_text("www.example.com.", 60, "IN", "CNAME", "cdn.example.com."),
        dns.rrset.from_text("cdn.example.com.", 60, "IN", "A", "192.0.2.7", "192.0.2.8"),
    ]
    return said.to_wire()


@_FUZZ
@given(st.data())
def test_a_hostile_resolver(data):
    """Its answers are read or they are `Malformed`; what was read can be passed on."""
    packet = bytearray(_said())
    for _ in range(data.draw(st.integers(0, 6))):
        packet[data.draw(st.integers(2, len(packet) - 1))] = data.draw(st.integers(0, 255))
    question = wire.question_of("www.example.com", 1)
    query = wire.read_query(dns.message.make_query("www.example.com", "A").to_wire())
    alias = ask(ANSWERS, "outside.default.svc.cluster.local")
    try:
        reply = read_reply(bytes(packet[: data.draw(st.integers(0, len(packet)))]), question)
    except wire.Malformed:
        return
    for forward in (Forward(query, question), alias):
        assert len(ANSWERS.forwarded(forward, reply, data.draw(st.integers(0, 100)))) <= wire.OWN_SIZE
