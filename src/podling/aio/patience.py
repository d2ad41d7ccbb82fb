"""An HTTP server's patience with those who connect and do not finish saying what they want.

Owns one bound: how long the head of a request may take, from the connection or from its first byte. Without it anybody
holds connections for nothing. Knows no request. Imports aiohttp, so whoever starts fast imports this late.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable

    from podling.aio.clock import Clock, Timer

HEADERS: Final = 32.0
"""Seconds that upstream's servers give the head of a request."""


class PatientServer(web.Server):
    """A `web.Server` that closes connections whose request's head is not there after `HEADERS` seconds."""

    def __init__(
        self,
        handler: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        clock: Clock,
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self.clock = clock

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class _Connection(RequestHandler):
    __slots__ = ("_patient", "_timer")

    def __init__(self, server: PatientServer, **options: Any) -> None:
        super().__init__(server, **options)
        self._patient = server
        self._timer: Timer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._wait()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._rest()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        heads = self._request_count
        super().data_received(data)
        if self._request_count != heads:
            self._rest()
        elif self._timer is None and not (self._upgraded or self._messages or self._current_request):
            self._wait()

    def _wait(self) -> None:
        self._timer = self._patient.clock.call_later(HEADERS, self.force_close)

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
