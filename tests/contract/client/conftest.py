"""The transports that the contract is held against: the API server's own door, and HTTP to the same server.

Another transport joins by a factory in `FACTORIES`: it is given the API server and a directory, and yields a
`Transport` to it as an administrator.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.apiserver.identity.authentication import Authentication, TokenFile
from podling.apiserver.record import User
from podling.apiserver.server import ApiServer
from podling.client.http import HttpTransport
from podling.client.kubeconfig import Connection
from podling.store.memory import MemoryStore

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path

    from podling.client import Transport

ADMIN = User("admin", ("system:masters", "system:authenticated"))


class Served:
    """A running API server, a transport to it, and what a test may do behind its back."""

    def __init__(self, transport: Transport, server: ApiServer, store: MemoryStore, supervisor: Supervisor) -> None:
        self.transport = transport
        self.server = server
        self.store = store
        self.supervisor = supervisor
        self.clock = server.clock

    async def forget_history(self) -> None:
        """Compact the store and lose the server's own memory of changes, as a restart does."""
        await self.store.compact(self.store.revision)
        for shelf in self.server.cache.shelves():
            shelf._ring.clear()
            shelf.ring_start = self.store.revision

    def close_watches(self) -> None:
        for shelf in self.server.cache.shelves():
            for watcher in list(shelf.watchers()):
                watcher.close()


@asynccontextmanager
async def door(server: ApiServer, directory: Path) -> AsyncIterator[Transport]:
    yield server.transport(ADMIN)


@asynccontextmanager
async def http(server: ApiServer, directory: Path) -> AsyncIterator[Transport]:
    """HTTP over a unix socket, by a bearer token."""
    path = directory / "api"
    await server.http(Authentication(server.clock, tokens=TokenFile({"secret": ADMIN}))).listen(unix=str(path))
    transport = HttpTransport(Connection(f"unix://{path}", token="secret"), server.clock)
    try:
        yield transport
    finally:
        await transport.close()


FACTORIES: dict[str, Any] = {"door": door, "http": http}


@pytest.fixture(params=sorted(FACTORIES))
def hold(request: pytest.FixtureRequest, run: Callable[[Any], Any], tmp_path: Path) -> Callable[..., None]:
    """Run a scenario against an API server through one kind of transport."""
    factory = FACTORIES[request.param]

    def scenario(body: Callable[[Served], Awaitable[None]]) -> None:
        async def main() -> None:
            clock = SystemClock()
            store = MemoryStore(clock)
            server = ApiServer(store, clock, Chance(1))
            async with Supervisor(clock) as supervisor:
                for name, component in server.components():
                    supervisor.component(name, component)
                await server.start()
                async with factory(server, tmp_path) as transport:
                    await asyncio.wait_for(body(Served(transport, server, store, supervisor)), 20)
                    await server.close()
            await store.close()

        run(main())

    return scenario
