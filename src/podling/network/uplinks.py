"""A node's ways out: how large packets may be there, and what it takes to forward to them.

Owns what is read of the default routes and what follows from it. Blocking, in the network namespace of the thread that
calls. Invariant: who learned a way out from a router keeps it, though a node that forwards would believe none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.linux import namespaces
from podling.linux.families import IPV4, IPV6
from podling.linux.netlink import ADVERTISED, Netlink

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from podling.linux.families import Family


def mtu(default: int) -> int:
    """Return the largest packet that the preferred way out takes whole; `default` where there is none."""
    with Netlink() as netlink:
        links = {link.index: link for link in netlink.links()}
        ways = [route for route in netlink.routes(IPV4) if not route.destination.prefixlen and route.interface in links]
    return links[min(ways, key=lambda way: way.metric).interface].mtu if ways else default


def forwarding(families: Iterable[Family]) -> Iterator[tuple[str, str]]:
    """Yield the settings by which a node forwards packets of some families, in the order to make them in."""
    for family in families:
        if family is IPV6:
            yield from _believing()
            yield "net.ipv6.conf.all.forwarding", "1"
        else:
            yield "net.ipv4.ip_forward", "1"


def _believing() -> Iterator[tuple[str, str]]:
    """Yield what lets links go on believing the routers by whom they know a way."""
    with Netlink() as netlink:
        names = {link.index: link.name for link in netlink.links()}
        told = sorted({route.interface for route in netlink.routes(IPV6) if route.protocol == ADVERTISED})
    for interface in told:
        name = f"net/ipv6/conf/{names.get(interface, '')}/accept_ra"
        if namespaces.read_sysctl(name) == "1":
            yield name, "2"
