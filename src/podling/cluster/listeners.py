"""Where the kubelets of real nodes listen, and what is said where somebody else does already."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

from podling.cluster.failure import StartFailed

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from podling.linux.host import Host

KUBELET_PORT = 10250
"""Upstream's, on each of a node's own addresses."""


def kubelet_listeners(host: Host, addresses: Sequence[str]) -> Sequence[socket.socket]:
    """Listen for a node's kubelet at each of the node's addresses."""
    listeners: list[socket.socket] = []
    try:
        for address in addresses:
            listeners.append(host.listen(address, KUBELET_PORT))
    except OSError as error:
        for listener in listeners:
            listener.close()
        if error.errno != errno.EADDRINUSE:
            raise
        raise StartFailed(
            f"port {KUBELET_PORT} of {address}, where the kubelet is to answer, is in use",
            "another kubelet listens on every address of this machine: stop it, or let it listen on its own alone",
        ) from error
    return listeners
