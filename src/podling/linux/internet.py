"""Internet sockets: an address as text and a port, as the kernel takes them.

Owns what is the same for every socket of an address: its family, the scope that is written behind a link-local address
(`fe80::1%eth0`), and that an IPv6 socket is that alone, so that both families can listen on one port. Knows no
namespaces: a scope's name is that of an interface of the calling thread's.
"""

from __future__ import annotations

import socket
from typing import TypeAlias

Place: TypeAlias = "tuple[str, int] | tuple[str, int, int, int]"
"""What `bind`, `connect` and `sendto` take."""


def opened(address: str, kind: socket.SocketKind) -> socket.socket:
    """Return a non-blocking socket of an address's family."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    made = socket.socket(family, kind | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    return made


def place(address: str, port: int) -> Place:
    """Return where an address and a port are; `OSError` where there is no interface of its scope's name."""
    plain, _, scope = address.partition("%")
    if not scope:
        return address, port
    return plain, port, 0, int(scope) if scope.isdigit() else socket.if_nametoindex(scope)
