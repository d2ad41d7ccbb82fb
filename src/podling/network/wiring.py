"""A veth from a node to whoever is behind it, and the wiring of a Pod over one: links, addresses, routes, neighbours.

Owns the netlink calls. Blocking, and in the network namespace of the thread that calls: the node's. Invariants: called
again everything here mends what is missing and changes nothing else; a link is whole or not there; the near end learns
no neighbour, so that whoever is behind it cannot fill the node's table of them.
"""

from __future__ import annotations

import os
import socket
from ipaddress import ip_network
from typing import TYPE_CHECKING

from podling.linux import namespaces
from podling.linux.families import IPV6, family_of, has_family
from podling.linux.netlink import Netlink
from podling.network.links import EVERYTHING, GATEWAY, UPLINK, mac

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.lifecycle.traffic import Traffic
    from podling.linux.families import Address


def set_ipv6(link: str, *, on: bool) -> None:
    """Have a link take IPv6 or none of it; it has no address of its own choosing and believes no router."""
    _set(link, {"addr_gen_mode": "1", "accept_ra": "0", "disable_ipv6": "0"} if on else {"disable_ipv6": "1"})


def _set(link: str, wanted: Mapping[str, str]) -> None:
    for setting, value in wanted.items():
        name = f"net/ipv6/conf/{link}/{setting}"
        if namespaces.read_sysctl(name) not in (None, value):  # none: a kernel without IPv6
            namespaces.write_sysctl(name, value)


def set_uplink_ipv6(netlink: Netlink, *, on: bool) -> None:
    """Have the far end of a link take IPv6; where it is to have none any more, what it was given goes, too."""
    if on:
        _set("lo", {"disable_ipv6": "0"})  # some machines have new namespaces begin as they are set themselves
    if on or any(route.gateway == GATEWAY[IPV6] for route in netlink.routes(IPV6)):
        set_ipv6(UPLINK, on=on)


def ensure_veth(
    netlink: Netlink, link: str, netns: str, mtu: int, configure: Callable[[], bool], *, ipv6: bool = False
) -> int:
    """Return the index of `link`, whose other end is in the namespace pinned at `netns`; it takes packets.

    `configure` is called in there: it sets the other end up, or says that there is none.
    """
    try:
        index = socket.if_nametoindex(link)
    except OSError:
        index = 0
    if index and not namespaces.inside(netns, configure):
        # A link whose other end is elsewhere belongs to a sandbox or a node that is no more.
        netlink.delete_link(link)
        index = 0
    if index:
        set_ipv6(link, on=ipv6 and has_family(IPV6))  # it may be of a time when the cluster had other families
        netlink.set_up(index, asks=False)
        return index
    descriptor = os.open(netns, os.O_RDONLY | os.O_CLOEXEC)
    try:
        netlink.create_veth(link, mac(link, 0), UPLINK, mac(link, 1), mtu=mtu, peer_namespace=descriptor)
    finally:
        os.close(descriptor)
    try:
        index = socket.if_nametoindex(link)
        set_ipv6(link, on=ipv6 and has_family(IPV6))
        netlink.set_up(index, asks=False)
        namespaces.inside(netns, configure)
        netlink.wait_up(index)
    except BaseException:
        netlink.delete_link(link)
        raise
    return index


def wire_pod(
    link: str, netns: str, addresses: Sequence[Address], node: Sequence[Address], mtu: int, traffic: Traffic
) -> None:
    """Wire the Pod whose network namespace is pinned at `netns`; `node` has the node's own address of each family."""
    ipv6 = any(address.version == 6 for address in addresses)

    def inside() -> bool:
        with Netlink() as pod:
            found = next((item for item in pod.links() if item.name == UPLINK), None)
            if found is None:
                return False
            set_uplink_ipv6(pod, on=ipv6)
            pod.set_up(found.index)
            for address in addresses:
                family = family_of(address)
                pod.add_address(found.index, address)
                pod.add_neighbour(found.index, GATEWAY[family], mac(link, 0))
                pod.add_route(EVERYTHING[family], interface=found.index, gateway=GATEWAY[family])
                # Of a range that the node has no more: what is sent from there is dropped.
                for former in pod.own_addresses(found.index, family) - {*addresses}:
                    pod.delete_address(found.index, former)
            if traffic.egress is not None:
                pod.shape(found.index, traffic.egress)
            return True

    with Netlink() as netlink:
        index = ensure_veth(netlink, link, netns, mtu, inside, ipv6=ipv6)
        if traffic.ingress is not None:
            netlink.shape(index, traffic.ingress)
        _lead(netlink, index, link, addresses, node)


def lead_again(link: str, addresses: Sequence[Address], node: Sequence[Address]) -> None:
    """Put back the node's ways to a Pod, which is wired; nothing happens where its link is gone."""
    try:
        index = socket.if_nametoindex(link)
    except OSError:
        return
    with Netlink() as netlink:
        set_ipv6(link, on=any(address.version == 6 for address in addresses))
        _lead(netlink, index, link, addresses, node)


def _lead(netlink: Netlink, index: int, link: str, addresses: Sequence[Address], node: Sequence[Address]) -> None:
    for address, own in zip(addresses, node, strict=True):
        if not has_family(family_of(address)):
            continue  # switched off since: `lead_again` when it is on
        netlink.add_neighbour(index, address, mac(link, 1))
        netlink.add_route(ip_network(address), interface=index, source=own)
