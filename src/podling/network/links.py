"""What the links and tables of an instance are called, and what link-layer addresses their ends have.

Pure. Everything follows from the instance, the Pod's uid and the node's name, so that taking things down needs no
memory of what was put up. The kernel allows a name 15 characters.
"""

from __future__ import annotations

import hashlib
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final

from podling.linux.families import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.linux.families import Address, Family, Network

GATEWAY: Final[Mapping[Family, Address]] = {IPV4: ip_address("169.254.1.1"), IPV6: ip_address("fe80::1")}
"""Where default routes lead, of Pods and of further nodes: no interface has it, both ends of a link know each other."""
BEHIND: Final = ip_address("fe80::2")
"""The inner end of a link to a further node, for IPv6, whose routes lead to no address but such ones."""
EVERYTHING: Final[Mapping[Family, Network]] = {IPV4: ip_network("0.0.0.0/0"), IPV6: ip_network("::/0")}
UPLINK: Final = "eth0"
"""The inner end of a link, in a Pod as in a further node."""


POD_LINKS, NODE_LINKS = "pd", "pn"
"""What the names of all links to Pods begin with, and to further nodes, whichever instance's they are."""
OURS: Final = (POD_LINKS, NODE_LINKS)


def table_name(instance: str) -> str:
    """Return the name of an instance's nftables table."""
    return f"podling-{instance}"


def link_prefix(instance: str) -> str:
    """Return what the names of an instance's links to Pods begin with."""
    return f"{POD_LINKS}{_digest(instance, 5)}"


def link_name(instance: str, uid: str) -> str:
    """Return the name of a Pod's link."""
    return link_prefix(instance) + _digest(uid, 8)


def node_link_prefix(instance: str) -> str:
    """Return what the names of the machine's links to an instance's further nodes begin with."""
    return f"{NODE_LINKS}{_digest(instance, 5)}"


def node_link_name(instance: str, node: str) -> str:
    """Return the name of the machine's link to a further node."""
    return node_link_prefix(instance) + _digest(node, 8)


def mac(link: str, end: int) -> bytes:
    """Return the link-layer address of a link's outer (0) or inner (1) end: the same for its whole life."""
    # Locally administered, unicast.
    return b"\x02" + hashlib.sha256(f"{link}/{end}".encode()).digest()[:5]


def _digest(text: str, length: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:length]
