"""How the API server reaches a kubelet: by a unix socket in this process, by TLS on other machines.

Owns the two `NodeConnection`s. Invariant: that one cannot be reached is told as a `StatusError`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from podling.api.errors import internal
from podling.api.resources import NODES

if TYPE_CHECKING:
    import ssl
    from collections.abc import Mapping

    from podling.apiserver.registry import Registry
    from podling.client.seams import NodeConnection

    Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PREFERRED = ("InternalIP", "Hostname", "InternalDNS", "ExternalIP", "ExternalDNS")
_LIMIT = 64 * 1024


class LocalNodes:
    """The kubelets of this process, by their sockets' paths; `paths` may change at any time."""

    def __init__(self, paths: Mapping[str, str], others: NodeConnection | None = None) -> None:
        self._paths = paths
        self._others = others

    async def connect(self, node: str) -> Streams:
        path = self._paths.get(node)
        if path is None:
            if self._others is not None:
                return await self._others.connect(node)
            raise internal(f"error dialing backend: no kubelet of node {node} is known here")
        try:
            return await asyncio.open_unix_connection(path, limit=_LIMIT)
        except OSError as error:
            raise internal(f"error dialing backend: dial unix {path}: {error.strerror or error}") from error


class RemoteNodes:
    """Kubelets anywhere, at the address and port that their Node object tells; `tls` shows our certificate."""

    def __init__(self, registry: Registry, tls: ssl.SSLContext) -> None:
        self._registry = registry
        self._tls = tls

    async def connect(self, node: str) -> Streams:
        host, port = self.address(node)
        try:
            return await asyncio.open_connection(host, port, ssl=self._tls, limit=_LIMIT)
        except OSError as error:
            raise internal(f"error dialing backend: dial tcp {host}:{port}: {error.strerror or error}") from error

    def address(self, node: str) -> tuple[str, int]:
        """Return where the kubelet of `node` listens, as its Node says."""
        found = self._registry.find(NODES, "", node)
        if found is None:
            raise internal(f'error dialing backend: nodes "{node}" not found')
        status = found.view(NODES.type).status
        addresses = {it.type: it.address for it in status.addresses}
        host = next((addresses[kind] for kind in _PREFERRED if kind in addresses), "")
        if not host:
            raise internal(f"error dialing backend: no preferred addresses found; known addresses: {addresses}")
        endpoint = status.daemon_endpoints.kubelet_endpoint if status.daemon_endpoints is not None else None
        return host, endpoint.port if endpoint is not None else 10250
