"""How a Pod's names are resolved: dnsConfig and hostAliases."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import formats
from podling.api.validation.addresses import check_ip
from podling.api.validation.field import Path, invalid, invalid_each, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import HostAlias, PodDNSConfig

_MOST_SERVERS = 3
_MOST_SEARCHES = 32
_LONGEST_SEARCHES = 2048


def check_config(config: PodDNSConfig | None, policy: str, path: Path, causes: list[Cause]) -> None:
    """Check dnsConfig; the policy None needs a name server."""
    if policy == "None":
        if config is None:
            causes.append(required(path, "must provide `dnsConfig` when `dnsPolicy` is None"))
            return
        if not config.nameservers:
            said = "must provide at least one DNS nameserver when `dnsPolicy` is None"
            causes.append(required(path / "nameservers", said))
            return
    if config is None:
        return
    if len(config.nameservers) > _MOST_SERVERS:
        said = f"must not have more than {_MOST_SERVERS} nameservers"
        causes.append(invalid(path / "nameservers", config.nameservers, said))
    for i, server in enumerate(config.nameservers):
        check_ip(server, (path / "nameservers")[i], causes)
    if len(config.searches) > _MOST_SEARCHES:
        said = f"must not have more than {_MOST_SEARCHES} search paths"
        causes.append(invalid(path / "searches", config.searches, said))
    if len(" ".join(config.searches)) > _LONGEST_SEARCHES:
        said = f"must not have more than {_LONGEST_SEARCHES} characters (including spaces) in the search list"
        causes.append(invalid(path / "searches", config.searches, said))
    for i, search in enumerate(config.searches):
        if search != ".":
            domain = search.removesuffix(".")
            invalid_each((path / "searches")[i], domain, formats.dns_subdomain_underscore(domain), causes)
    for i, option in enumerate(config.options):
        if not option.name:
            causes.append(required((path / "options")[i], "must not be empty"))


def check_host_aliases(aliases: tuple[HostAlias, ...], path: Path, causes: list[Cause]) -> None:
    for i, alias in enumerate(aliases):
        check_ip(alias.ip, path[i] / "ip", causes)
        for j, name in enumerate(alias.hostnames):
            invalid_each((path[i] / "hostnames")[j], name, formats.dns_subdomain(name), causes)
