"""The formats of strings that schemas may name, by their names without hyphens; other names mean nothing.

Owns what text is of a format, as upstream's `strfmt` judges.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TYPE_CHECKING, Final

from podling.api.names import is_dns1035_label, is_dns1123_subdomain

if TYPE_CHECKING:
    from collections.abc import Callable

_UUID: Final = r"(?i)[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}"
_DATE: Final = r"\d{4}-(?:0[1-9]|1[0-2])-(?:0[1-9]|[12]\d|3[01])"
_TIME: Final = r"(?i)T(?:[01]\d|2[0-3]):[0-5]\d:(?:[0-5]\d|60)(?:\.\d+)?(?:Z|[+-]\d{2}:\d{2})"
_LABEL: Final = r"[a-zA-Z0-9_](?:[-a-zA-Z0-9_]{0,61}[a-zA-Z0-9_])?"
_HOST: Final = rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*"
_DURATION: Final = r"(?:[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:ns|us|µs|μs|ms|s|m|h))+|0"
_BASE64: Final = r"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"


def _like(pattern: str) -> Callable[[str], bool]:
    return lambda text: re.fullmatch(pattern, text, re.ASCII) is not None


def _address(version: int) -> Callable[[str], bool]:
    def fits(text: str) -> bool:
        try:
            return ipaddress.ip_address(text).version == version and "%" not in text
        except ValueError:
            return False

    return fits


def _cidr(text: str) -> bool:
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return "/" in text


FORMATS: Final[dict[str, Callable[[str], bool]]] = {
    "byte": _like(_BASE64),
    "cidr": _cidr,
    "date": _like(_DATE),
    "datetime": _like(_DATE + _TIME.replace("(?i)", "").replace("T", "[Tt]", 1)),
    "duration": _like(_DURATION),
    "email": _like(r"[^@\s<>]+@[^@\s<>]+"),
    "hexcolor": _like("#?(?:[0-9a-fA-F]{3}|[0-9a-fA-F]{6})"),
    "hostname": _like(_HOST),
    "ipv4": _address(4),
    "ipv6": _address(6),
    "k8slongname": lambda text: not is_dns1123_subdomain(text),
    "k8sshortname": lambda text: not is_dns1035_label(text),
    "mac": _like("(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}"),
    "uri": _like(r"(?:[a-zA-Z][a-zA-Z0-9+.-]*:|/)\S*"),
    "uuid": _like(_UUID),
}
