"""Whether a firewall of the machine's own keeps Pods from each other: it is told at start, as nothing else would tell.

Every packet of a Pod is forwarded, and what any chain on the way drops is dropped, whatever ours say. Owns the finding
and its words. What a rule of such a firewall lets pass is not known here; iptables of before nftables is not seen.
Blocking, in the network namespace of the thread that calls.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

from podling.linux.families import IPV4, IPV6
from podling.linux.nf_tables import Tables

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from podling.linux.families import Family

_PROGRAMS: Final = {IPV4: "iptables", IPV6: "ip6tables"}
_BOTH: Final = 1


def warnings(families: Collection[Family], links: Sequence[str]) -> Sequence[str]:
    """Return what to tell of, for Pods of some families behind links whose names begin with `links`."""
    with contextlib.closing(Tables()) as tables:
        closed = tables.closed_chains("forward")
    told = []
    for chain in closed:
        concerned = [family for family in families if chain.family in (family.number, _BOTH)]
        if not concerned:
            continue
        words = f"The firewall drops what is forwarded (chain {chain.name} of table {chain.table}), unless a rule of it"
        words += " lets pass what comes by and leaves by the links of Pods"
        if chain.name == "FORWARD" and chain.family != _BOTH:
            program = _PROGRAMS[concerned[0]]
            asked = (f"{program} -I FORWARD {way} {link}+ -j ACCEPT" for link in links for way in ("-i", "-o"))
            words += f": {'; '.join(asked)}"
        else:
            words += f", {' and '.join(f'{link}*' for link in links)}"
        told.append(words)
    return told
