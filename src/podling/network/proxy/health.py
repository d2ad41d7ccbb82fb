"""Health checks of Services whose external traffic stays on the node: does it have endpoints here?

Owns a small HTTP server for each `healthCheckNodePort` and family of its Service, for the load balancers that ask. It
answers 200 where the node has local endpoints and 503 where it has none, with upstream's body; an endpoint that has an
address of each family counts once. Hostile callers get a bounded head and a bounded time.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

import msgspec

from podling.linux.families import IPV4, IPV6

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.aio.clock import Clock
    from podling.linux.families import Family
    from podling.linux.host import Host

log = logging.getLogger("podling.proxy")

_PATIENCE: Final = 5.0
_LONGEST_HEAD: Final = 8192
_EVERYWHERE: Final = {IPV4: "0.0.0.0", IPV6: "::"}  # noqa: S104  # balancers ask any address of the node


class HealthChecks:
    """The servers of one node, by Service."""

    def __init__(self, host: Host, clock: Clock) -> None:
        self._host = host
        self._clock = clock
        self._local: dict[str, int] = {}
        self._servers: dict[tuple[str, Family], tuple[int, asyncio.Server]] = {}

    async def follow(self, wanted: Mapping[str, Mapping[Family, tuple[int, int]]]) -> None:
        """Serve what Services want by now: in which families, on which port, of how many endpoints there."""
        for key, checks in wanted.items():
            self._local[key] = max((count for _, count in checks.values()), default=0)
            for family in _EVERYWHERE:
                port, _ = checks.get(family, (0, 0))
                held = self._servers.get((key, family))
                if held is not None and held[0] != port:
                    del self._servers[key, family]
                    held[1].close()
                    held = None
                if port and held is None:
                    await self._serve(key, family, port)
            if not checks:
                del self._local[key]

    async def _serve(self, key: str, family: Family, port: int) -> None:
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
            listener = self._host.listen(_EVERYWHERE[family], port)
        except OSError as error:
            log.warning("health checks of Service %s: port %d: %s", key, port, error.strerror)
            return
        self._servers[key, family] = (port, await asyncio.start_server(answer, sock=listener, limit=_LONGEST_HEAD))

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
