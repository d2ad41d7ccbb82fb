"""A control plane whose API server can go away and come back while its components stand.

Owns the server's death and return, and `Line`, the way from a component to whichever server stands now. Invariants: a
call under way when the server dies is refused with 503, whether or not its write was committed, as a broken connection
would have it; what a watch had not read by then is lost with it; while no server stands every call is refused.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Self

from podling.aio.supervisor import Supervisor
from podling.api.errors import service_unavailable
from podling.apiserver.server import ApiServer
from podling.cluster.control_plane import ADMIN, ControlPlane
from podling.testing.faults import FaultyTransport

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from types import TracebackType

    from podling.aio.chance import Chance
    from podling.aio.clock import Clock
    from podling.api.errors import StatusError
    from podling.api.resources import Resource
    from podling.apiserver.record import User
    from podling.client.transport import Answer, Call, ListPage, Selection, Transport, WatchEvent
    from podling.store.protocol import Store
    from podling.testing.faults import Faults


class SimulatedPlane(ControlPlane):
    """A `ControlPlane` in three parts that end by themselves: server, controllers, scheduler."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        chance: Chance,
        supervisor: Supervisor,
        faults: Faults,
        faulty: Chance,
        service_ranges: Sequence[str],
    ) -> None:
        """`faulty` is the chance that faults are drawn from: so they do not move what the cluster itself draws."""
        super().__init__(store, clock, chance, supervisor, service_ranges=service_ranges)
        self._service_ranges = service_ranges
        self._store = store
        self._faults = faults
        self._faulty = faulty
        self._root_ca = ""
        self._parts: dict[str, Supervisor] = {}
        self._under_way: dict[_Cut, None] = {}
        self.standing = False
        """Whether a server answers."""
        self.failures = 0
        """How many failures the supervisors of parts that have ended had noted."""

    def transport(self, user: User) -> Transport:
        line = Line(self, user)
        return line if user is ADMIN else FaultyTransport(line, self._faults, self._clock, self._faulty)

    async def open(self, root_ca: str) -> None:
        """Start everything."""
        self._root_ca = root_ca
        await self.start_server()
        await self.start_part("controllers")
        await self.start_part("scheduler")

    async def start_server(self) -> None:
        """Let the server stand, from what is stored."""
        await self.start(await self._begin("server"))
        self.standing = True

    async def kill_server(self) -> None:
        """Let the server be gone at once, with all that it had in memory."""
        self.standing = False
        for cut in list(self._under_way):
            cut.now()
        await self.server.close()
        await self.end("server")
        self.server = ApiServer(self._store, self._clock, self._chance, service_cidrs=self._service_ranges)

    async def start_part(self, name: str) -> None:
        """Start the `controllers` or the `scheduler`."""
        supervisor = await self._begin(name)
        if name == "controllers":
            self.start_controllers(self._root_ca, supervisor)
        else:
            self.start_scheduler(supervisor)

    async def _begin(self, name: str) -> Supervisor:
        assert name not in self._parts, f"{name} runs already"
        self._parts[name] = await Supervisor(self._clock, name).__aenter__()
        return self._parts[name]

    async def end(self, name: str) -> None:
        """Let a part be gone, with all that it had in memory."""
        supervisor = self._parts.pop(name)
        await supervisor.__aexit__(None, None, None)
        self.failures += supervisor.failures

    def parts(self) -> dict[str, Supervisor]:
        """Return the supervisors of what runs."""
        return dict(self._parts)

    async def close(self) -> None:
        for name in [name for name in ("scheduler", "controllers") if name in self._parts]:
            await self.end(name)
        if self.standing:
            self.standing = False
            await self.server.close()
            await self.end("server")

    def refusal(self) -> StatusError:
        """Return what the HTTP transport says of a server that is away."""
        return service_unavailable("the API server cannot be reached: connection refused")


class Line:
    """The transport of one user to whichever server stands now."""

    def __init__(self, plane: SimulatedPlane, user: User) -> None:
        self._plane = plane
        self._user = user

    def _door(self) -> Transport:
        if not self._plane.standing:
            raise self._plane.refusal()
        return self._plane.server.transport(self._user)

    async def call(self, call: Call) -> Answer:
        async with _Cut(self._plane):
            return await self._door().call(call)
        raise AssertionError("a cut leaves by its error")

    async def list(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        async with _Cut(self._plane):
            return await self._door().list(
                resource, selection, limit=limit, continue_token=continue_token, revision=revision
            )
        raise AssertionError("a cut leaves by its error")

    async def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncIterator[WatchEvent]:
        events = self._door().watch(resource, selection, revision=revision, timeout=timeout)
        server = self._plane.server
        try:
            async for event in events:
                if self._plane.server is not server or not self._plane.standing:
                    return
                yield event
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    async def close(self) -> None:
        """Nothing is held open for a user."""


class _Cut:
    """A block that the server's death breaks off: its task is cancelled, and the cancellation becomes a 503."""

    def __init__(self, plane: SimulatedPlane) -> None:
        self._plane = plane
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._is_cut = False

    async def __aenter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None
        self._cancelling = self._task.cancelling()
        self._plane._under_way[self] = None
        return self

    def now(self) -> None:
        if self._task is not None and not self._is_cut:
            self._is_cut = True
            self._task.cancel()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._plane._under_way.pop(self, None)
        task, self._task = self._task, None
        if not self._is_cut or task is None or task.uncancel() > self._cancelling:
            return
        if kind is None or issubclass(kind, asyncio.CancelledError):
            raise self._plane.refusal() from error
