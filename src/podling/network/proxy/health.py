"""Health checks of Services whose external traffic stays on the node: does it have endpoints here?

Owns a small HTTP server for each `healthCheckNodePort`, for the load balancers that ask. It answers 200 where the node
has local endpoints and 503 where it has none, with upstream's body. Hostile callers get a bounded head and a bounded
time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.aio.clock import Clock
    from podling.linux.host import Host
    from podling.network.proxy.rules import ServiceRules

log = logging.getLogger("podling.proxy")

_PATIENCE: Final = 5.0
_LONGEST_HEAD: Final = 8192


class HealthChecks:
    """The servers of one node, by Service."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._local: dict[str, int] = {}
        self._servers: dict[str, tuple[int, asyncio.Server]] = {}

    async def follow(self, changes: Mapping[str, tuple[ServiceRules, ServiceRules]]) -> None:
        """Serve what Services want by now."""
        for key, (_, rules) in changes.items():
            port, self._local[key] = rules.health or (0, 0)
            held = self._servers.get(key)
            if held is not None and held[0] != port:
                del self._servers[key]
                held[1].close()
                held = None
            if port and held is None:
                await self._serve(key, port)
            if not port:
                del self._local[key]

    async def _serve(self, key: str, port: int) -> None:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                async with self._clock.timeout(_PATIENCE):
                    await reader.readuntil(b"\r\n\r\n")
                    writer.write(self._answer(key))
                    await writer.drain()
            except (TimeoutError, OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                pass  # nobody is there to be told
            finally:
                writer.close()

        try:
            listener = self._host.listen("0.0.0.0", port)  # noqa: S104  # balancers ask any address of the node
        except OSError as error:
            log.warning("health checks of Service %s: port %d: %s", key, port, error.strerror)
            return
        self._servers[key] = (port, await asyncio.start_server(answer, sock=listener, limit=_LONGEST_HEAD))

    def _answer(self, key: str) -> bytes:
        count = self._local.get(key, 0)
        namespace, _, name = key.partition("/")
        tree = {
            "service": {"namespace": namespace, "name": name},
            "localEndpoints": count,
            "serviceProxyHealthy": True,
        }
        body = msgspec.json.format(msgspec.json.encode(tree), indent=1)
        head = (
            f"HTTP/1.1 {'200 OK' if count else '503 Service Unavailable'}\r\n"
            "Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n"
            f"X-Load-Balancing-Endpoint-Weight: {count}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        return head.encode() + body

    def close(self) -> None:
        """Stop listening."""
        for _, server in self._servers.values():
            server.close()
        self._servers.clear()
