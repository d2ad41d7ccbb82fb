"""How a Pod resolves names: /etc/resolv.conf, as `dnsPolicy` and `dnsConfig` say.

Owns the policies, the limits of resolvers and upstream's words for what they cut off. Pure.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgspec import Struct

from podling.lifecycle.specs import full_name

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod
    from podling.kubelet.settings import Settings

_SERVERS: Final = 3
_SEARCHES: Final = 32
_SEARCH_LINE: Final = 2048
_SEARCH: Final = 253
"""More than these, resolvers leave out or break at."""


class Notice(Struct, frozen=True):
    """What is to be told of a Pod's resolver: an event's reason and message."""

    reason: str
    message: str


class Resolver(Struct, frozen=True):
    """The lines of a resolv.conf, and what had to be left out."""

    servers: Sequence[str]
    searches: Sequence[str]
    options: Sequence[str]
    notices: Sequence[Notice] = ()

    def text(self) -> str:
        """Return the file's content."""
        lines = []
        if self.searches:
            lines.append("search " + " ".join(self.searches))
        lines += [f"nameserver {server}" for server in self.servers]
        if self.options:
            lines.append("options " + " ".join(self.options))
        return "\n".join(lines) + "\n"


def resolver_of(pod: Pod, settings: Settings, host_resolv: str) -> Resolver:
    """Return what a Pod's resolv.conf says, cut to what resolvers take."""
    servers, searches, options, notices = _base(pod, settings, host_resolv)
    config = pod.spec.dns_config
    if config is not None:
        servers = list(dict.fromkeys([*servers, *config.nameservers]))
        searches = list(dict.fromkeys([*searches, *config.searches]))
        named = {option.partition(":")[0]: option for option in options}
        for extra in config.options:
            named[extra.name or ""] = f"{extra.name}:{extra.value}" if extra.value else extra.name or ""
        options = list(named.values())
    kept = _fitting(searches)
    if kept != searches:
        words = "Search Line limits were exceeded, some search paths have been omitted, the applied search line is: "
        notices.append(Notice("DNSConfigForming", words + " ".join(kept)))
    if len(servers) > _SERVERS:
        servers = servers[:_SERVERS]
        words = "Nameserver limits were exceeded, some nameservers have been omitted, the applied nameserver line is: "
        notices.append(Notice("DNSConfigForming", words + " ".join(servers)))
    return Resolver(servers, kept, options, notices)


def _fitting(searches: list[str]) -> list[str]:
    kept = [search for search in searches[:_SEARCHES] if len(search) <= _SEARCH]
    while len(" ".join(kept)) > _SEARCH_LINE:
        kept.pop()
    return kept


def _base(pod: Pod, settings: Settings, host_resolv: str) -> tuple[list[str], list[str], list[str], list[Notice]]:
    policy = pod.spec.dns_policy or "ClusterFirst"
    if policy == "None":
        return [], [], [], []
    servers, searches, options = parse_resolv(host_resolv)
    on_host = bool(pod.spec.host_network) and policy != "ClusterFirstWithHostNet"
    if policy == "Default" or on_host:
        return servers, searches, options, []
    if not settings.cluster_dns:
        words = (
            f'pod: "{full_name(pod)}". kubelet does not have ClusterDNS IP configured and cannot create Pod using '
            '"ClusterFirst" policy. Falling back to "Default" policy.'
        )
        return servers, searches, options, [Notice("MissingClusterDNS", words)]
    domain_ = settings.cluster_domain
    own = [f"{pod.metadata.namespace}.svc.{domain_}", f"svc.{domain_}", domain_]
    return list(settings.cluster_dns), list(dict.fromkeys([*own, *searches])), ["ndots:5"], []


def parse_resolv(text: str) -> tuple[list[str], list[str], list[str]]:
    """Return nameservers, search domains and options of a resolv.conf."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] in ("search", "domain"):
            searches = words[1:]
        elif words[0] == "options":
            options += words[1:]
    return servers, searches, options
