"""The files that a kubelet gives each Pod: /etc/hosts, /etc/resolv.conf, termination logs.

Owns their content and place, `ROOT/UID/…`. Knows no mount.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod
    from podling.kubelet.settings import Settings

NODE_HOSTS: Final = Path("/etc/hosts")

_HOSTS: Final = """# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
"""


def hostname(pod: Pod) -> str:
    """Return the name a Pod's processes see: at most 63 characters, without a trailing dash or dot."""
    if pod.spec.hostname_override is not None:
        return pod.spec.hostname_override
    return (pod.spec.hostname or pod.metadata.name)[:63].rstrip("-.")


def domain(pod: Pod, cluster_domain: str) -> str:
    """Return the Pod's own domain, where a subdomain gives it one."""
    if not pod.spec.subdomain:
        return ""
    return f"{pod.spec.subdomain}.{pod.metadata.namespace}.svc.{cluster_domain}"


def hosts_file(pod: Pod, addresses: Sequence[str], cluster_domain: str, node_hosts: Path = NODE_HOSTS) -> str:
    """Return the content of /etc/hosts: the Pod's own names, or on the host's network its file; then host aliases."""
    if pod.spec.host_network:
        lines = ["# Kubernetes-managed hosts file (host network).\n", _read(node_hosts)]
    else:
        name, suffix = hostname(pod), domain(pod, cluster_domain)
        names = f"{name}.{suffix}\t{name}" if suffix else name
        lines = [_HOSTS, *(f"{address}\t{names}\n" for address in addresses)]
    if pod.spec.host_aliases:
        lines.append("\n# Entries added by HostAliases.\n")
        lines += [f"{alias.ip}\t" + "\t".join(alias.hostnames) + "\n" for alias in pod.spec.host_aliases]
    return "".join(lines)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def resolv_file(pod: Pod, settings: Settings, host_resolv: str) -> str:
    """Return the content of /etc/resolv.conf, as `dnsPolicy` and `dnsConfig` say."""
    servers, searches, options = _base(pod, settings, host_resolv)
    config = pod.spec.dns_config
    if config is not None:
        servers = list(dict.fromkeys([*servers, *config.nameservers]))
        searches = list(dict.fromkeys([*searches, *config.searches]))
        named = {option.partition(":")[0]: option for option in options}
        for extra in config.options:
            named[extra.name or ""] = f"{extra.name}:{extra.value}" if extra.value else extra.name or ""
        options = list(named.values())
    lines = []
    if searches:
        lines.append("search " + " ".join(searches))
    lines += [f"nameserver {server}" for server in servers[:3]]
    if options:
        lines.append("options " + " ".join(options))
    return "\n".join(lines) + "\n"


def _base(pod: Pod, settings: Settings, host_resolv: str) -> tuple[list[str], list[str], list[str]]:
    policy = pod.spec.dns_policy or "ClusterFirst"
    if policy == "None":
        return [], [], []
    servers, searches, options = parse_resolv(host_resolv)
    on_host = bool(pod.spec.host_network) and policy != "ClusterFirstWithHostNet"
    if policy == "Default" or on_host or not settings.cluster_dns:
        return servers, searches, options
    domain_ = settings.cluster_domain
    own = [f"{pod.metadata.namespace}.svc.{domain_}", f"svc.{domain_}", domain_]
    return list(settings.cluster_dns), list(dict.fromkeys([*own, *searches])), ["ndots:5"]


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


def write_once(path: Path, content: str) -> str:
    """Have `path` hold `content`, written only if it does not; return the path as text.

    A container may have written into it, as much as it liked and no text at all: no more is read than was expected.
    """
    wanted = content.encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        if file.seek(0, os.SEEK_END) == len(wanted):
            file.seek(0)
            if file.read(len(wanted)) == wanted:
                return str(path)
        file.truncate(0)
        file.write(wanted)
        os.fchmod(file.fileno(), 0o644)
    return str(path)
