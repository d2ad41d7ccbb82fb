"""The kubelet API: what the API server asks a node for.

Owns the listeners, who may ask, and the paths. Over TCP a client certificate of the cluster's authority is demanded
(nobody is anonymous here) and judged; the unix socket is trusted, for only its owner may open it. Errors are plain
text, as upstream's are. Knows the kubelet through `PodLookup` alone.

Invariants: after `close` no connection is open and no command runs for one; nothing heavy is imported before `start`.
"""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Mapping, Sequence

    from aiohttp import web

    from podling.aio.clock import Clock
    from podling.kubelet.server.lookup import PodLookup
    from podling.kubelet.server.routes import Routes
    from podling.kubelet.stats import Stats
    from podling.runtime.protocol import Runtime

    Authorize = Callable[[str, tuple[str, ...], str, str], bool]

log = logging.getLogger("podling.kubelet.server")

_SHUTDOWN_PATIENCE = 1.0


def of_the_api_server(user: str, groups: tuple[str, ...], method: str, path: str) -> bool:  # noqa: ARG001
    """Let the API server and the cluster's masters do everything, and nobody else anything."""
    return "system:masters" in groups or user in {"kube-apiserver-kubelet-client", "system:kube-apiserver"}


class KubeletServer:
    """Serves the Pods of one node.

    >>> server = KubeletServer(kubelet, runtime, clock, node="one")               # doctest: +SKIP
    >>> await server.start(unix_path="/run/podling/x/kubelet.sock", tls=context)
    """

    def __init__(
        self,
        pods: PodLookup,
        runtime: Runtime,
        clock: Clock,
        *,
        node: str = "",
        configuration: Mapping[str, Any] | None = None,
        authorize: Authorize = of_the_api_server,
        stats: Stats | None = None,
    ) -> None:
        """`configuration` is what `/configz` shows; `authorize` judges (user, groups, method, path).

        `stats` is what `/stats/summary` tells of; without it, what the runtime says of containers.
        """
        self._stats = stats
        self._pods = pods
        self._runtime = runtime
        self._clock = clock
        self._node = node
        self._configuration = configuration or {}
        self._authorize = authorize
        self._routes: Routes | None = None
        self._runners: list[web.ServerRunner] = []
        self._handling: set[asyncio.Task[Any]] = set()
        self._unix_path = ""
        self.port = 0
        """Of the TLS listener, once started; what `status.daemonEndpoints` tells."""

    async def start(
        self,
        unix_path: str = "",
        *,
        tls: ssl.SSLContext | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        listeners: Sequence[socket.socket] = (),
    ) -> None:
        """Listen on a unix socket, on TCP with `tls`, or on both; `listeners` do so already, instead of `host:port`."""
        from aiohttp import web

        from podling.kubelet.server.routes import Routes

        self._routes = Routes(self._pods, self._runtime, self._clock, self._node, self._configuration, self._stats)
        if unix_path:
            runner = await self._runner(trusted=True)
            await web.UnixSite(runner, unix_path).start()
            Path(unix_path).chmod(0o600)
            self._unix_path = unix_path
        if tls is not None:
            runner = await self._runner(trusted=False)
            sites: list[web.BaseSite] = [web.SockSite(runner, each, ssl_context=tls) for each in listeners]
            for site in sites or [web.TCPSite(runner, host, port, ssl_context=tls)]:
                await site.start()
            listening = next(iter(runner.sites))._server.sockets[0]  # type: ignore[union-attr]
            self.port = int(listening.getsockname()[1])

    async def close(self) -> None:
        """Stop listening and end what is under way."""
        handling = list(self._handling)
        for task in handling:
            task.cancel()
        await asyncio.gather(*handling, return_exceptions=True)
        for runner in self._runners:
            await runner.cleanup()
        self._runners.clear()
        if self._unix_path:
            Path(self._unix_path).unlink(missing_ok=True)
            self._unix_path = ""

    async def _runner(self, *, trusted: bool) -> web.ServerRunner:
        from aiohttp import web

        from podling.aio.patience import PatientServer

        async def handle(request: web.BaseRequest) -> web.StreamResponse:
            task = asyncio.current_task()
            assert task is not None
            self._handling.add(task)
            try:
                return await self._handle(request, trusted=trusted)
            finally:
                self._handling.discard(task)

        server = PatientServer(handle, self._clock, handler_cancellation=True, access_log=None, logger=log)
        runner = web.ServerRunner(server, shutdown_timeout=_SHUTDOWN_PATIENCE)
        await runner.setup()
        self._runners.append(runner)
        return runner

    async def _handle(self, request: web.BaseRequest, *, trusted: bool) -> web.StreamResponse:
        from aiohttp import web

        from podling.kubelet.server.lookup import Refusal

        assert self._routes is not None
        try:
            if not trusted:
                self._judge(request)
            return await self._routes.serve(request)
        except Refusal as refusal:
            return web.Response(status=refusal.code, text=refusal.message)
        except ConnectionError:
            raise
        except Exception as error:  # boundary: one request's defect is that request's 500
            log.exception("%s %s failed", request.method, request.path)
            return web.Response(status=500, text=str(error) or type(error).__name__)

    def _judge(self, request: web.BaseRequest) -> None:
        from podling.kubelet.server.lookup import Refusal

        transport = request.transport
        certificate = transport.get_extra_info("peercert") if transport is not None else None
        if not certificate:
            raise Refusal(401, "Unauthorized")
        subject = [pair for part in certificate.get("subject", ()) for pair in part]
        user = next((value for key, value in subject if key == "commonName"), "")
        groups = tuple(value for key, value in subject if key == "organizationName")
        if not self._authorize(user, groups, request.method, request.path):
            verb = {"GET": "get", "POST": "create", "PUT": "update", "DELETE": "delete"}.get(request.method, "")
            raise Refusal(403, f"Forbidden (user={user}, verb={verb}, resource=nodes, subresource(s)=[proxy])")
