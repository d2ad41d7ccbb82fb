"""Whether a node takes a Pod at all, beside the question of room.

Owns the checks that concern the Pod and the node's kind alone: operating system, sysctls that no node allows. What
concerns room (resources, ports, selectors, taints) is `placement`'s, and the kubelet asks it there. Knows no other Pod.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from podling.lifecycle.facts import Rejection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.types.core_v1 import Node, Pod

_SAFE_SYSCTLS: Final = {
    "kernel.shm_rmid_forced": "ipc",
    "net.ipv4.ip_local_port_range": "net",
    "net.ipv4.ip_local_reserved_ports": "net",
    "net.ipv4.ip_unprivileged_port_start": "net",
    "net.ipv4.ping_group_range": "net",
    "net.ipv4.tcp_fin_timeout": "net",
    "net.ipv4.tcp_keepalive_intvl": "net",
    "net.ipv4.tcp_keepalive_probes": "net",
    "net.ipv4.tcp_keepalive_time": "net",
    "net.ipv4.tcp_rmem": "net",
    "net.ipv4.tcp_syncookies": "net",
    "net.ipv4.tcp_wmem": "net",
}
"""What a Pod may set and nobody else feels, with the namespace that keeps it in; upstream's list."""

_NAMESPACES: Final = (
    ("kernel.shm", "ipc"),
    ("kernel.msg", "ipc"),
    ("kernel.sem", "ipc"),
    ("fs.mqueue.", "ipc"),
    ("net.", "net"),
)
"""What sysctls begin with that a namespace keeps in, safe or not."""

_SWAP: Final = str.maketrans("./", "/.")
_PATTERN: Final = re.compile(r"([a-z0-9]([-_a-z0-9]*[a-z0-9])?[./])*([a-z0-9]([-_a-z0-9]*[a-z0-9])?|[-_a-z0-9]*\*)")
_LONGEST: Final = 253


def allowlist(patterns: Sequence[str]) -> tuple[str, ...]:
    """Return `allowedUnsafeSysctls` as `admit` takes them; `ValueError` in upstream's words for what no Pod may set."""
    for pattern in patterns:
        if len(pattern) > _LONGEST or not _PATTERN.fullmatch(pattern):
            raise ValueError(f'sysctl "{pattern}" must have at most {_LONGEST} characters and be a name or a pattern')
        if not _namespace(_dotted(pattern)):
            some = "sysctls" if pattern.endswith("*") else "sysctl"
            raise ValueError(f'the {some} "{_dotted(pattern)}" are not known to be namespaced')
    return tuple(_dotted(pattern) for pattern in patterns)


def admit(pod: Pod, node: Node, unsafe: Sequence[str] = ()) -> Rejection | None:
    """Return why `node` refuses the Pod, or `None` if nothing about the Pod itself stands against it.

    `unsafe` is what the node's owner allows beside the safe sysctls, as `allowlist` gives it.
    """
    info = node.status.node_info
    if pod.spec.os is not None and info is not None and pod.spec.os.name != info.operating_system:
        return Rejection(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        )
    return _sysctls(pod, unsafe)


def _sysctls(pod: Pod, unsafe: Sequence[str]) -> Rejection | None:
    """Refuse sysctls that reach beyond the Pod, and those of a namespace that it shares with the host."""
    shared = {"net": pod.spec.host_network, "ipc": pod.spec.host_ipc}
    for sysctl in pod.spec.security_context.sysctls if pod.spec.security_context is not None else ():
        dotted = _dotted(sysctl.name)
        namespace = _SAFE_SYSCTLS.get(dotted)
        if namespace is None and any(_matches(dotted, pattern) for pattern in unsafe):
            namespace = _namespace(dotted)
        if not namespace:
            return Rejection("SysctlForbidden", f'forbidden sysctl: "{dotted}" not allowlisted')
        if shared[namespace]:
            why = f'"{dotted}" not allowed with host {namespace} enabled'
            return Rejection("SysctlForbidden", f"forbidden sysctl: {why}")
    return None


def _dotted(name: str) -> str:
    """Return a name with dots: either separator is taken, and whichever comes first says which it is."""
    return name.translate(_SWAP) if "/" in name.partition(".")[0] else name


def _matches(name: str, pattern: str) -> bool:
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern


def _namespace(name: str) -> str:
    return next((namespace for prefix, namespace in _NAMESPACES if name.startswith(prefix)), "")
