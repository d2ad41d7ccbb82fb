"""A further node's place on the machine: a network namespace with a veth to the machine, wired as a Pod is.

Owns the namespaces `net` and `uts` pinned for the node, the link between it and the machine, and the routes over that.
They outlive Podling, as Pods do. The rules by which the machine takes from the link only what is the node's are
`podnetwork`'s, laid down before the link is. Blocking: to be called in a thread.
"""

from __future__ import annotations

import socket
from ipaddress import ip_network
from typing import TYPE_CHECKING

from podling.linux import namespaces
from podling.linux.families import IPV4, IPV6, family_of, has_family
from podling.linux.netlink import Netlink
from podling.network.links import BEHIND, EVERYTHING, GATEWAY, UPLINK, mac, node_link_name
from podling.network.wiring import ensure_veth, set_ipv6, set_uplink_ipv6

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from podling.linux.families import Address
    from podling.network.podnetwork import Place
    from podling.network.ranges import NodeRange


def ensure_namespaces(pin: Path, node: str) -> None:
    """Make the node's namespaces, unless an earlier life of Podling has left them."""
    if namespaces.pinned(pin / "net") and namespaces.pinned(pin / "uts"):
        return
    namespaces.release(pin)
    namespaces.create(pin, ("net", "uts"), hostname=node, sysctls={})


def connect(instance: str, place: Place, machine: Sequence[Address], mtu: int) -> None:
    """Link the node with the machine, whose addresses are `machine`; called again it mends what is missing."""
    link = node_link_name(instance, place.node)
    ipv6 = any(each.family is IPV6 for each in place.ranges)

    def inside() -> bool:
        with Netlink() as node:
            links = {item.name: item.index for item in node.links()}
            index = links.get(UPLINK)
            if index is None:
                return False
            set_uplink_ipv6(node, on=ipv6)
            node.set_up(index)
            for each in place.ranges:
                way_out = GATEWAY[each.family]
                node.add_address(links["lo"], each.gateway)
                node.add_neighbour(index, way_out, mac(link, 0))
                node.add_route(EVERYTHING[each.family], interface=index, gateway=way_out, source=each.gateway)
            return True

    with Netlink() as netlink:
        index = ensure_veth(netlink, link, place.namespace, mtu, inside, ipv6=ipv6)
        _lead(netlink, index, link, place.ranges, machine)


def lead_again(link: str, node: Sequence[NodeRange], machine: Sequence[Address]) -> None:
    """Put back the machine's ways to a node, which is connected; nothing happens where its link is gone."""
    try:
        index = socket.if_nametoindex(link)
    except OSError:
        return
    with Netlink() as netlink:
        set_ipv6(link, on=any(each.family is IPV6 for each in node))
        _lead(netlink, index, link, node, machine)


def _lead(netlink: Netlink, index: int, link: str, node: Sequence[NodeRange], machine: Sequence[Address]) -> None:
    for each, own in zip(node, machine, strict=True):
        if not has_family(each.family):
            continue  # switched off since: `lead_again` when it is on
        netlink.add_neighbour(index, _inner_end(each), mac(link, 1))
        netlink.add_route(each.own, interface=index, gateway=_inner_end(each), source=own)


def _inner_end(each: NodeRange) -> Address:
    return each.gateway if each.family is IPV4 else BEHIND


def lead(link: str, node: Sequence[NodeRange], machine: Sequence[Address], addresses: Sequence[Address]) -> None:
    """Have the machine's way to `addresses` lead over a node's link, beside those of the node's own ranges."""
    with Netlink() as netlink:
        index = socket.if_nametoindex(link)
        for each, own in zip(node, machine, strict=True):
            for address in addresses:
                if family_of(address) is each.family:
                    route = ip_network(address)
                    netlink.add_route(route, interface=index, gateway=_inner_end(each), source=own)


def lead_no_more(addresses: Sequence[Address]) -> None:
    """Undo `lead`."""
    with Netlink() as netlink:
        for address in addresses:
            netlink.delete_route(ip_network(address))


def remove(instance: str, node: str, pin: Path) -> None:
    """Take the node's link and namespaces away, with all that is in them; nothing happens where nothing is."""
    with Netlink() as netlink:
        netlink.delete_link(node_link_name(instance, node))
    namespaces.release(pin)
