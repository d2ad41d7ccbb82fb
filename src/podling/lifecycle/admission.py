"""Whether a node takes a Pod at all, beside the question of room.

Owns the checks that concern the Pod and the node's kind alone: operating system, sysctls that no node allows. What
concerns room (resources, ports, selectors, taints) is `placement`'s, and the kubelet asks it there. Knows no other Pod.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from podling.lifecycle.facts import Rejection

if TYPE_CHECKING:
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

_SWAP: Final = str.maketrans("./", "/.")


def admit(pod: Pod, node: Node) -> Rejection | None:
    """Return why `node` refuses the Pod, or `None` if nothing about the Pod itself stands against it."""
    info = node.status.node_info
    if pod.spec.os is not None and info is not None and pod.spec.os.name != info.operating_system:
        return Rejection(
            "PodOSNotSupported",
            "Failed to admit pod as the OS field doesn't match node OS",
        )
    return _sysctls(pod)


def _sysctls(pod: Pod) -> Rejection | None:
    """Refuse sysctls that reach beyond the Pod, and those of a namespace that it shares with the host."""
    shared = {"net": pod.spec.host_network, "ipc": pod.spec.host_ipc}
    for sysctl in pod.spec.security_context.sysctls if pod.spec.security_context is not None else ():
        # Either separator is taken, and whichever comes first says which it is.
        dotted = sysctl.name.translate(_SWAP) if "/" in sysctl.name.partition(".")[0] else sysctl.name
        namespace = _SAFE_SYSCTLS.get(dotted)
        if namespace is None:
            return Rejection("SysctlForbidden", f'forbidden sysctl: "{dotted}" not allowlisted')
        if shared[namespace]:
            why = f'"{dotted}" not allowed with host {namespace} enabled'
            return Rejection("SysctlForbidden", f"forbidden sysctl: {why}")
    return None
