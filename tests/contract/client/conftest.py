"""The transports that the contract is held against: the API server's own door, and HTTP to the same server.

Another transport joins by a factory in `FACTORIES`: it is given the API server and a directory, and yields a
`Transport` to it as an administrator.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from aiohttp import web

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.errors import StatusError
from podling.apiserver.messages import Request
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
        self.server.close()


@asynccontextmanager
async def door(server: ApiServer, directory: Path) -> AsyncIterator[Transport]:
    yield server.transport(ADMIN)


@asynccontextmanager
async def http(server: ApiServer, directory: Path) -> AsyncIterator[Transport]:
    """HTTP over a unix socket, into the same chain."""

    async def answer(request: web.Request) -> web.StreamResponse:
        call = Request(
            request.method,
            request.path,
            tuple(request.query.items()),
            ADMIN,
            await request.read(),
            request.headers.get("Content-Type", ""),
            request.headers.get("Accept", ""),
            {name.lower(): value for name, value in request.headers.items()},
        )
        try:
            response = await server.chain.handle(call)
        except StatusError as refusal:
            return web.json_response(
                refusal.to_tree(), status=refusal.code, dumps=lambda t: msgspec.json.encode(t).decode()
            )
        if response.watching is None:
            body = response.body if response.pieces is None else b"".join(response.pieces)
            return web.Response(body=body, status=response.code, headers={"Content-Type": response.content_type})
        watching = response.watching
        stream = web.StreamResponse(headers={"Content-Type": "application/json"})
        await stream.prepare(request)
        watcher = watching.stream.watcher
        if watching.timeout is not None:
            server.clock.call_later(watching.timeout, watcher.close)
        try:
            for encoded in watching.stream.initial:
                await stream.write(watching.first(encoded))
            async for notice, kind in watcher:
                await stream.write(watching.frame(notice, kind))
        except StatusError as refusal:
            await stream.write(msgspec.json.encode({"type": "ERROR", "object": refusal.to_tree()}) + b"\n")
        finally:
            watcher.close()
        return stream

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    path = directory / "api"
    await web.UnixSite(runner, str(path)).start()
    transport = HttpTransport(Connection(f"unix://{path}"), server.clock)
    try:
        yield transport
    finally:
        await transport.close()
        await runner.cleanup()


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
                server.close()
            await store.close()

        run(main())

    return scenario
