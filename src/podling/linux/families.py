"""The two address families, as the kernel's messages and packets have them.

Owns what tells them apart: their numbers, the length of an address, where a packet's header has it; and whether the
machine has them. What is written for a `Family` holds for both; nothing else of the network says 4 or 16.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Final, TypeAlias

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Family:
    """One address family."""

    version: int
    number: int
    """The kernel's: of sockets, of netlink and of the packet filter alike."""
    size: int
    """Bytes of an address."""
    source_at: int
    """Where a packet's header has its source."""
    destination_at: int
    field: str
    """What the packet filter's sets call an address of it."""

    @property
    def name(self) -> str:
        """Kubernetes's word."""
        return f"IPv{self.version}"

    @property
    def suffix(self) -> str:
        """What stands behind the names of tables and sets that there are for each family."""
        return "" if self.version == 4 else str(self.version)

    @property
    def registers(self) -> int:
        """How many of the packet filter's registers an address takes."""
        return self.size // 4

    @property
    def bits(self) -> int:
        return self.size * 8

    def packed(self, text: str) -> bytes | None:
        """Return an address of the family as packets have it; `None` for what is none of it."""
        try:
            return socket.inet_pton(self.number, text)
        except OSError:
            return None


IPV4: Final = Family(4, socket.AF_INET, 4, 12, 16, "address")
IPV6: Final = Family(6, socket.AF_INET6, 16, 8, 24, "address6")
FAMILIES: Final = (IPV4, IPV6)
"""In the order in which Podling prefers them."""


def family_of(what: Address | Network) -> Family:
    """Return the family of an address or a network."""
    return IPV4 if what.version == 4 else IPV6


def is_of(family: Family, text: str) -> bool:
    """Whether `text` is an address of a family; what is no address is of none."""
    try:
        return ip_address(text).version == family.version
    except ValueError:
        return False


def has_family(family: Family) -> bool:
    """Whether the machine speaks a family: its kernel has it, and nobody has switched it off, not on the loopback."""
    if family is IPV4:
        return True
    settings = (Path(f"/proc/sys/net/ipv6/conf/{link}/disable_ipv6") for link in ("all", "lo"))
    try:
        return all(setting.read_text().strip() == "0" for setting in settings)
    except OSError:
        return False
