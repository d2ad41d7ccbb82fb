"""The table of Services of one family as it is laid down: its sets, its base chains, and what every packet passes.

    prerouting   −300 nothing for loopback but from here −110 the bound of a Pod
    both         −110 refusals, source ranges            −100 rewrite              −90 leftovers, learning
    output
    postrouting   99 masquerade

Owns the order of these and nothing that changes with a Service. Pure. Only the first packet of a connection is judged,
none of the other family, and none that comes from a Pod of another instance on the machine: that has Services of its
own at the same addresses. What IPv6 is run by (neighbours, routers, errors) begins no connection, so that nothing here
is about it.
"""

from __future__ import annotations

import struct
from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from podling.linux import nf_expressions as nf
from podling.linux.families import FAMILIES, IPV4, IPV6
from podling.linux.nf_expressions import DROP, JUMP, RETURN, Verdict, goto, verdict
from podling.network.links import OURS, POD_LINKS
from podling.network.proxy import chains as ch
from podling.network.proxy import sets
from podling.network.proxy.sets import any_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.linux.families import Family
    from podling.linux.nf_tables import Batch
    from podling.network.proxy.chains import Facts

_LOOPBACK: Final = struct.pack("16s", b"lo")
_ON_LOOPBACK: Final = {IPV4: ip_network("127.0.0.0/8"), IPV6: ip_network("::1/128")}


def table_name(instance: str, family: Family = IPV4) -> str:
    """Return the name of an instance's table of Services for a family."""
    return f"podling-{instance}-services{family.suffix}"


def table_names(instance: str) -> Sequence[str]:
    """Return the names of all tables of Services that an instance may have."""
    return [table_name(instance, family) for family in FAMILIES]


def lay_down(batch: Batch, facts: Facts) -> None:
    """Replace the table by one without Services, in the same transaction."""
    family = facts.family
    batch.replace_table()
    for named in sets.of(family):
        batch.add_set(named)
    for name in ("judge", "services", "known", "leftovers", "masquerade", "refused"):
        batch.add_chain(name)
    _base_chains(batch, facts)
    _judge(batch, family)
    for frontend in _frontends(family):
        batch.add_rule("services", *frontend, _way(sets.SERVICES))
    _leftovers(batch, facts)
    batch.add_rule("masquerade", nf.mark(), nf.bits(0xFFFFFFFF ^ ch.MASQUERADE), nf.set_mark())
    towards_pods = (nf.destination(family=family), *ch.within(facts.pods))
    batch.add_rule("masquerade", *towards_pods, nf.constant(facts.gateway.packed), nf.source_nat(family=family))
    batch.add_rule("masquerade", nf.masquerade())


def _frontends(family: Family) -> Sequence[Sequence[bytes]]:
    """Return how a packet's frontend is loaded: its own address, and where that has the node's ports, any."""
    return (
        ch.frontend(family, any_address=False),
        (*ch.has_ports(family), *ch.frontend(family, any_address=True)),
    )


def _way(name: str) -> bytes:
    """Go the way that a map tells for the frontend in the first registers."""
    return nf.lookup(name, into=0)


def _jump(chain: str) -> bytes:
    return verdict(Verdict(JUMP, chain))


def _base_chains(batch: Batch, facts: Facts) -> None:
    family = facts.family
    source, destination = nf.source(family=family), nf.destination(family=family)
    other_families = (nf.of_family(family, inverted=True), verdict(Verdict(RETURN)))
    known_already = (nf.connection_state(), nf.bits(nf.NEW), nf.equal(bytes(4)), verdict(Verdict(RETURN)))
    batch.add_chain("martians", "filter", "prerouting", -300)
    batch.add_rule("martians", *other_families)
    batch.add_rule(
        "martians", destination, *ch.within(_ON_LOOPBACK[family]), nf.input_link(),
        nf.equal(_LOOPBACK, inverted=True), verdict(Verdict(DROP)),
    )  # fmt: skip
    others_pods = (
        nf.input_link(), nf.equal(POD_LINKS.encode()), nf.equal(facts.links.encode(), inverted=True),
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
                before, nf.input_link(), nf.equal(facts.links.encode()), source,
                nf.learn(sets.CONNECTIONS, 8, limit=facts.most_connections), verdict(Verdict(DROP)),
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
    for kind in OURS:
        own = kind + facts.links.removeprefix(POD_LINKS)
        batch.add_rule(
            "leave", nf.output_link(), nf.equal(kind.encode()), nf.equal(own.encode(), inverted=True),
            verdict(Verdict(RETURN)),
        )  # fmt: skip
    batch.add_rule("leave", nf.mark(), nf.bits(ch.MASQUERADE), nf.equal(bytes(4), inverted=True), _jump("masquerade"))
    batch.add_rule(
        "leave", nf.connection_status(), nf.bits(nf.DNAT), nf.equal(bytes(4), inverted=True),
        source, nf.destination(8 + family.registers, family), nf.lookup(sets.HAIRPINS), _jump("masquerade"),
    )  # fmt: skip


def _judge(batch: Batch, family: Family) -> None:
    for frontend in _frontends(family):
        batch.add_rule("judge", *frontend, _way(sets.UNSERVED))
    caller = (*ch.frontend(family, any_address=False), nf.source(ch.behind_frontend(family), family))
    batch.add_rule(
        "judge", *caller, nf.lookup(sets.FIREWALLED), nf.lookup(sets.SOURCES, inverted=True), verdict(Verdict(DROP))
    )


def _leftovers(batch: Batch, facts: Facts) -> None:
    family = facts.family
    behind = 8 + family.registers
    for address in (nf.original_destination(8, family), nf.constant(any_address(family), 8)):
        batch.add_rule("known", address, nf.protocol(behind), nf.original_port(behind + 1), _way(sets.STICKY))
    for rule in ch.Refuse().rules(facts):
        batch.add_rule("refused", *rule)
    destination = nf.destination(family=family)
    batch.add_rule("leftovers", destination, nf.lookup(sets.CLUSTER), verdict(goto("refused")))
    if facts.services is not None:
        batch.add_rule("leftovers", destination, *ch.within(facts.services), verdict(goto("refused")))
