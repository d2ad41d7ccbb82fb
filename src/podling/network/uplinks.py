"""A node's ways out: how large packets may be there, and what it takes to forward to them.

Owns what is read of the default routes and what follows from it. Blocking, in the network namespace of the thread that
calls. Invariant: who learned a way out from a router keeps it, though a node that forwards would believe none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.linux import namespaces
from podling.linux.families import IPV4, IPV6
from podling.linux.netlink import Netlink
from podling.network.links import OURS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from podling.linux.families import Family

FORWARDING: Final = {IPV4: "net.ipv4.ip_forward", IPV6: "net.ipv6.conf.all.forwarding"}
"""What the kernel sets for every link with the one setting."""
LEAST: Final = 1280
"""Bytes that a packet of IPv6 may always have."""
_NO_LINKS: Final = frozenset({"all", "default", "lo"})


def mtu(families: Collection[Family], default: int) -> int:
    """Return the largest packet that the preferred way out takes whole; `default` where there is none.

    Of IPv6 every link takes packets of `LEAST`, or none at all: what is narrower outside is found out on the way.
    """
    with Netlink() as netlink:
        links = {link.index: link for link in netlink.links()}
        ways = [route for route in netlink.routes(IPV4) if not route.destination.prefixlen and route.interface in links]
    found = links[min(ways, key=lambda way: way.metric).interface].mtu if ways else default
    return max(found, LEAST) if IPV6 in families else found


def forwarding(families: Iterable[Family]) -> Iterator[tuple[str, str]]:
    """Yield the settings by which a node forwards packets of some families, in the order to make them in."""
    for family in families:
        if family is IPV6:
            yield from _believing()
        yield FORWARDING[family], "1"


def _believing() -> Iterator[tuple[str, str]]:
    """Yield what lets links that believe routers go on doing so, those too that have heard of none yet.

    Links that come later are left to whoever makes them: among them may be such that lead to Pods.
    """
    for link in namespaces.sysctl_folder("net/ipv6/conf"):
        there = f"net/ipv6/conf/{link}/"
        found = [namespaces.read_sysctl(there + name) for name in ("accept_ra", "forwarding")]
        if link not in _NO_LINKS and not link.startswith(OURS) and found == ["1", "0"]:
            yield f"{there}accept_ra", "2"
