"""Kernel calls: namespaces, mounts, cgroups v1 and v2, netlink, nftables, processes, sockets.

Every kernel call of the project stands in this room. A node acts through a `Host` handle; nothing above this room opens
a socket, spawns a process or speaks netlink by itself. Knows nothing of Kubernetes.
"""

from podling.linux.host import Completed, Host

__all__ = ["Completed", "Host"]
