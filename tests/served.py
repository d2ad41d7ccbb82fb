"""An API server in a test's hand: memory store, virtual clock, seeded chance, called through its front door."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

import msgspec

from podling.aio.chance import Chance
from podling.aio.clock import VirtualClock
from podling.apiserver.record import User
from podling.apiserver.server import ApiServer
from podling.client.transport import Call
from podling.store.memory import MemoryStore

if TYPE_CHECKING:
    from types import TracebackType

    from podling.client.transport import Answer

ADMIN = User("admin", ("system:masters", "system:authenticated"))
PODS = "/api/v1/namespaces/default/pods"


def pod(name: str = "web", **spec: Any) -> dict[str, Any]:
    metadata = {"name": name} if name else {"generateName": "web-"}
    containers = [{"name": "c", "image": "busybox"}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers, **spec}}


class Served:
    """A started server with a `default` ServiceAccount in the namespace `default`."""

    def __init__(self, user: User = ADMIN, **options: Any) -> None:
        self.clock = VirtualClock()
        self.store = MemoryStore(self.clock, history=options.pop("history", None))
        self.server = ApiServer(self.store, self.clock, Chance(seed=1), **options)
        self.door = self.server.transport(user)
        self._tasks: list[asyncio.Task[Any]] = []

    async def __aenter__(self) -> Self:
        self._tasks = [asyncio.create_task(main()) for _, main in self.server.components()]
        await self.server.start()
        await self.post("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.store.close()

    async def ask(self, method: str, path: str, body: Any = None, **options: Any) -> Answer:
        path, _, query = path.partition("?")
        pairs = tuple((key, value) for key, _, value in (part.partition("=") for part in query.split("&") if part))
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        return await self.door.call(Call(method, path, pairs, data, **options))

    async def get(self, path: str, accept: str = "") -> Any:
        return msgspec.json.decode((await self.ask("GET", path, headers={"Accept": accept})).body)

    async def post(self, path: str, body: Any) -> Any:
        return msgspec.json.decode((await self.ask("POST", path, body)).body)

    async def put(self, path: str, body: Any) -> Any:
        return msgspec.json.decode((await self.ask("PUT", path, body)).body)

    async def patch(self, path: str, body: Any, kind: str = "merge-patch+json") -> Any:
        return msgspec.json.decode((await self.ask("PATCH", path, body, content_type=f"application/{kind}")).body)

    async def delete(self, path: str, body: Any = None) -> Any:
        return msgspec.json.decode((await self.ask("DELETE", path, body)).body)
