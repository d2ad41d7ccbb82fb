"""Which addresses a simulated cluster has: of its Services, its nodes and their Pods, in each of its families.

Owns the plan. Nothing routes them, so that any would do; they are of the kind that `podling up` has, so that what a
test shows looks alike. Pure.
"""

from __future__ import annotations

from ipaddress import ip_network
from typing import TYPE_CHECKING, Final

from podling.apiserver.server import SERVICE_RANGE
from podling.controllers.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.linux.families import Network

IPV4: Final = "IPv4"
IPV6: Final = "IPv6"
_SERVICES: Final = {IPV4: SERVICE_RANGE, IPV6: "fd00:10:96::/112"}


def checked(families: Sequence[str]) -> tuple[str, ...]:
    """Return address families, the primary one first; `ValueError` for what are none."""
    found = tuple(families)
    if not found or len(set(found)) != len(found) or not set(found) <= set(_SERVICES):
        raise ValueError(f"families are one or both of {IPV4} and {IPV6}, the primary one first, not {families!r}")
    return found


def services(families: Sequence[str]) -> tuple[str, ...]:
    """Return the ranges of cluster addresses."""
    return tuple(_SERVICES[family] for family in families)


def balancers(wanted: Sequence[Network]) -> tuple[str, ...]:
    """Return the ranges of load balancers: those that are wanted, else the usual one of a family."""
    given = {network.version: str(network) for network in wanted}
    usual = {ip_network(text).version: text for text in Settings().load_balancer_pools}
    return tuple((usual | given).values())


def node(number: int, families: Sequence[str]) -> tuple[str, ...]:
    """Return the addresses of a node, which are numbered from 0."""
    own = {IPV4: f"192.168.{number // 250}.{number % 250 + 1}", IPV6: f"fd00:192:168::{number + 1:x}"}
    return tuple(own[family] for family in families)


def pods(number: int, families: Sequence[str]) -> tuple[str, ...]:
    """Return the ranges of a node's Pods."""
    own = {IPV4: f"10.{128 + number // 256}.{number % 256}.0/24", IPV6: f"fd00:10:128:{number:x}::/64"}
    return tuple(own[family] for family in families)
