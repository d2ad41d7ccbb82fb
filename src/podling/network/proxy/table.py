"""The table of Services as it is laid down: its sets, its base chains, and what every packet passes.

    prerouting   −300 nothing for 127/8 but from here    −110 the bound of a Pod
    both         −110 refusals, source ranges            −100 rewrite              −90 leftovers, learning
    output
    postrouting   99 masquerade

Owns the order of these and nothing that changes with a Service. Pure. Only the first packet of a connection is judged,
and none that comes from a Pod of another instance on the machine: that has Services of its own at the same addresses.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from podling.linux import nf_expressions as nf
from podling.linux.families import IPV4
from podling.linux.nf_expressions import DROP, JUMP, RETURN, Verdict, goto, verdict
from podling.network.links import NODE_LINKS
from podling.network.proxy import chains as ch

if TYPE_CHECKING:
    from podling.linux.nf_tables import Batch, NamedSet
    from podling.network.proxy.chains import Facts

_LOOPBACK: Final = struct.pack("16s", b"lo")


def table_name(instance: str) -> str:
    """Return the name of an instance's table of Services."""
    return f"podling-{instance}-services"


def lay_down(batch: Batch, facts: Facts) -> None:
    """Replace the table by one without Services, in the same transaction."""
    batch.replace_table()
    for named in ch.SETS:
        batch.add_set(named)
    for name in ("judge", "services", "known", "leftovers", "masquerade", "refused"):
        batch.add_chain(name)
    _base_chains(batch, facts)
    _judge(batch)
    for any_address in (False, True):
        own = ch.is_local() if any_address else ()
        batch.add_rule("services", *own, *ch.frontend(any_address=any_address), _way(ch.SERVICES))
    _leftovers(batch, facts)
    batch.add_rule("masquerade", nf.mark(), nf.bits(0xFFFFFFFF ^ ch.MASQUERADE), nf.set_mark())
    towards_pods = (nf.destination(), *ch.within(facts.pods))
    batch.add_rule("masquerade", *towards_pods, nf.constant(facts.gateway.packed), nf.source_nat())
    batch.add_rule("masquerade", nf.masquerade())


def _way(named: NamedSet) -> bytes:
    """Go the way that a map tells for the frontend in the first registers."""
    return nf.lookup(named.name, into=0)


def _jump(chain: str) -> bytes:
    return verdict(Verdict(JUMP, chain))


def _base_chains(batch: Batch, facts: Facts) -> None:
    other_families = (nf.of_family(IPV4, inverted=True), verdict(Verdict(RETURN)))
    known_already = (nf.connection_state(), nf.bits(nf.NEW), nf.equal(bytes(4)), verdict(Verdict(RETURN)))
    batch.add_chain("martians", "filter", "prerouting", -300)
    batch.add_rule("martians", *other_families)
    batch.add_rule(
        "martians", nf.destination(), nf.masked(b"\xff\0\0\0"), nf.equal(b"\x7f\0\0\0"), nf.input_link(),
        nf.equal(_LOOPBACK, inverted=True), verdict(Verdict(DROP)),
    )  # fmt: skip
    others_pods = (
        nf.input_link(), nf.equal(facts.links[:2].encode()), nf.equal(facts.links.encode(), inverted=True),
        verdict(Verdict(RETURN)),
    )  # fmt: skip
    for hook in ("prerouting", "output"):
        before, rewrite, after = f"before-{hook}", f"rewrite-{hook}", f"after-{hook}"
        batch.add_chain(before, "filter", hook, -110)
        batch.add_rule(before, *other_families)
        batch.add_rule(before, *known_already)
        if hook == "prerouting":
            batch.add_rule(before, *others_pods)
        if hook == "prerouting" and facts.most_connections:
            batch.add_rule(
                before, nf.input_link(), nf.equal(facts.links.encode()), nf.source(),
                nf.learn(ch.CONNECTIONS.name, 8, limit=facts.most_connections), verdict(Verdict(DROP)),
            )  # fmt: skip
        batch.add_rule(before, _jump("judge"))
        batch.add_chain(rewrite, "nat", hook, -100)
        batch.add_rule(rewrite, *other_families)
        if hook == "prerouting":
            batch.add_rule(rewrite, *others_pods)
        batch.add_rule(rewrite, _jump("services"))
        batch.add_chain(after, "filter", hook, -90)
        batch.add_rule(after, *other_families)
        batch.add_rule(after, *known_already)
        batch.add_rule(after, nf.connection_status(), nf.bits(nf.DNAT), nf.equal(bytes(4)), verdict(goto("leftovers")))
        batch.add_rule(after, _jump("known"))
    batch.add_chain("leave", "nat", "postrouting", 99)
    batch.add_rule("leave", *other_families)
    # Towards Pods and nodes of another cluster on this machine the mark is that one's, and so is what it asks for.
    for kind in (facts.links[:2], NODE_LINKS):
        own = f"{kind}{facts.links[2:]}"
        batch.add_rule(
            "leave", nf.output_link(), nf.equal(kind.encode()), nf.equal(own.encode(), inverted=True),
            verdict(Verdict(RETURN)),
        )  # fmt: skip
    batch.add_rule("leave", nf.mark(), nf.bits(ch.MASQUERADE), nf.equal(bytes(4), inverted=True), _jump("masquerade"))
    batch.add_rule(
        "leave", nf.connection_status(), nf.bits(nf.DNAT), nf.equal(bytes(4), inverted=True),
        nf.source(8), nf.destination(9), nf.lookup(ch.HAIRPINS.name), _jump("masquerade"),
    )  # fmt: skip


def _judge(batch: Batch) -> None:
    for any_address in (False, True):
        own = ch.is_local() if any_address else ()
        batch.add_rule("judge", *own, *ch.frontend(any_address=any_address), _way(ch.UNSERVED))
    caller = (*ch.frontend(any_address=False), nf.source(11))
    batch.add_rule(
        "judge", *caller, nf.lookup(ch.FIREWALLED.name), nf.lookup(ch.SOURCES.name, inverted=True),
        verdict(Verdict(DROP)),
    )  # fmt: skip


def _leftovers(batch: Batch, facts: Facts) -> None:
    for address in (nf.original_destination(8), nf.constant(ch.ANY_ADDRESS, 8)):
        batch.add_rule("known", address, nf.protocol(9), nf.original_port(10), _way(ch.STICKY))
    for rule in ch.Refuse().rules(facts):
        batch.add_rule("refused", *rule)
    batch.add_rule("leftovers", nf.destination(), nf.lookup(ch.CLUSTER.name), verdict(goto("refused")))
    if facts.services is not None:
        batch.add_rule("leftovers", nf.destination(), *ch.within(facts.services), verdict(goto("refused")))
