"""IP addresses and ranges in objects.

Upstream still takes two odd forms, IPv4 numbers with leading zeros and IPv4 addresses dressed as IPv6, and warns of
them. So does this module. Must not know where addresses come from.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from typing import TYPE_CHECKING

from podling.api.validation.field import Path, invalid, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.errors import Cause

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_LEADING_ZEROS = re.compile(r"(^|[.:])0+(?=[0-9]+(?:\.|/|$))", re.ASCII)
_FUTURE = "will be considered invalid in a future Kubernetes release: use"
_PLAIN_IPV4 = re.compile(r"(?:0|[1-9][0-9]{0,2})(?:\.(?:0|[1-9][0-9]{0,2})){3}", re.ASCII)
_DRESS = 96
"""Bits before an IPv4 address that is dressed as IPv6."""
_DOTTED = re.compile(r"[0-9]+(\.[0-9]+){3}", re.ASCII)


@functools.lru_cache(maxsize=4096)
def parse(text: str) -> Address | None:
    """Return the address, an IPv4 one where it is only dressed as IPv6; None where text is none."""
    try:
        address = ipaddress.ip_address(_plain(text))
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address):
        if address.scope_id is not None:
            return None
        return address.ipv4_mapped or address
    return address


def parse_network(text: str) -> tuple[Address, Network] | None:
    """Return the address and the range that a CIDR says, of IPv4 where it is only dressed as IPv6; None for no CIDR."""
    head, slash, length = text.partition("/")
    if not slash or not length.isascii() or not length.isdigit() or "%" in head:
        return None
    try:
        interface = ipaddress.ip_interface(f"{_plain(head)}/{length}")
    except ValueError:
        return None
    network = interface.network
    if isinstance(network, ipaddress.IPv6Network):
        dressed = network.network_address.ipv4_mapped
        if dressed is not None and network.prefixlen >= _DRESS:
            plain = ipaddress.IPv4Network((dressed, network.prefixlen - _DRESS))
            return ipaddress.IPv4Address(int(interface.ip) & 0xFFFFFFFF), plain
    return interface.ip, network


def canonical(text: str) -> str:
    """Return an address in its one form, in which the kernel has it too; what is none stays as it is."""
    return text if _PLAIN_IPV4.fullmatch(text) else str(parse(text) or text)


def family(text: str) -> int:
    """4 or 6; 0 where text is no address."""
    address = parse(text)
    return address.version if address is not None else 0


def family_name(address: str) -> str:
    """Return Kubernetes's word for the family of what is known to be an address."""
    return "IPv6" if ":" in address and family(address) == 6 else "IPv4"


def bracketed(host: str) -> str:
    """Return a host as it stands before a port: an IPv6 address is in brackets."""
    return f"[{host}]" if ":" in host else host


def one_of_each_family(texts: Sequence[str], primary: str = "") -> tuple[str, ...]:
    """Return the first address of each family, that of `primary`, else IPv4, before the other."""
    before = family(primary) or 4
    firsts = (next((text for text in texts if family(text) == version), "") for version in (before, 10 - before))
    return tuple(filter(None, firsts))


def dual_stack(texts: tuple[str, ...]) -> bool:
    """Whether addresses or ranges are of both families."""
    return {family(text.partition("/")[0]) for text in texts} >= {4, 6}


def check_ip(text: str, path: Path, causes: list[Cause]) -> bool:
    """Refuse what is no address; return whether it is one."""
    if parse(text) is not None:
        return True
    causes.append(invalid(path, text, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"))
    return False


def check_cidr(text: str, path: Path, causes: list[Cause]) -> None:
    if parse_network(text) is None:
        causes.append(invalid(path, text, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"))


def check_ordinary(text: str, path: Path, causes: list[Cause]) -> None:
    """Refuse addresses that no Service can stand for: unspecified, loopback, link-local."""
    address = parse(text)
    if address is None:
        causes.append(invalid(path, text, "must be a valid IP address"))
        return
    if address.is_unspecified:
        causes.append(invalid(path, text, f"may not be unspecified ({text})"))
    if address.is_loopback:
        causes.append(invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)"))
    if address.is_link_local:
        causes.append(invalid(path, text, "may not be in the link-local range (169.254.0.0/16, fe80::/10)"))
    if address in _MULTICAST_4 or address in _MULTICAST_6:
        causes.append(invalid(path, text, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)"))


_MULTICAST_4 = ipaddress.ip_network("224.0.0.0/24")
_MULTICAST_6 = ipaddress.ip_network("ff02::/16")


def ip_warnings(text: str, path: Path) -> list[str]:
    """Return what upstream warns of: odd forms of an address that it still takes."""
    address = parse(text)
    if address is None:
        return []
    if address.version == 4:
        if text != str(address):
            plain = quoted(str(address))
            return [f"{path}: non-standard IP address {quoted(text)} {_FUTURE} {plain}"]
        return []
    if text != str(address):
        return [f"{path}: IPv6 address {quoted(text)} should be in RFC 5952 canonical format ({quoted(str(address))})"]
    return []


def cidr_warnings(text: str, path: Path) -> list[str]:
    """Return what upstream warns of: ranges with bits after the prefix, and odd forms."""
    parsed = parse_network(text)
    if parsed is None:
        return []
    address, network = parsed
    warnings = []
    if address != network.network_address:
        warnings.append(
            f"{path}: CIDR value {quoted(text)} is ambiguous in this context (should be {quoted(str(network))} or "
            f"{quoted(f'{address}/{network.max_prefixlen}')}?)"
        )
    if text.partition("/")[0] != str(address):
        if network.version == 4:
            warnings.append(f"{path}: non-standard CIDR value {quoted(text)} {_FUTURE} {quoted(str(network))}")
        elif not warnings:
            warnings.append(
                f"{path}: IPv6 CIDR value {quoted(text)} should be in RFC 5952 canonical format "
                f"({quoted(f'{address}/{network.prefixlen}')})"
            )
    return warnings


def _plain(text: str) -> str:
    """Drop leading zeros from dotted numbers, which Python refuses and upstream takes as decimal."""
    return _LEADING_ZEROS.sub(r"\1", text) if _DOTTED.search(text) else text
