"""The files that a kubelet gives each Pod: names, /etc/hosts.

Owns their content and how they are written, `ROOT/UID/…`. Knows no mount.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Pod

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
