"""The administration socket: what the commands ask of a running cluster and Kubernetes has no API for.

Owns images (load, pull, list, remove) and the facts of `podling status`. Whoever can open the socket is the
administrator: it is owner-only, in an owner-only folder.
"""

from __future__ import annotations

import resource
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from aiohttp import web

import podling
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from podling.cluster.compose import Cluster

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def _json(value: object, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


@web.middleware
async def _failures(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except RuntimeFailure as failure:
        return _json({"message": failure.message}, 422)
    except OSError as error:
        return _json({"message": str(error)}, 422)


class Admin:
    """Serves one cluster's commands on a unix socket."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._runner: web.AppRunner | None = None

    async def start(self, path: Path) -> None:
        """Listen on `path`; a socket left by a killed process is replaced."""
        app = web.Application(middlewares=[_failures])
        app.add_routes(
            [
                web.get("/status", self._status),
                web.get("/images", self._images),
                web.post("/images/load", self._load),
                web.post("/images/pull", self._pull),
                web.delete("/images", self._remove),
            ]
        )
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        path.unlink(missing_ok=True)
        await web.UnixSite(self._runner, str(path)).start()
        path.chmod(0o600)

    async def close(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    async def _status(self, _request: web.Request) -> web.Response:
        facts: dict[str, Any] = {
            "version": podling.__version__,
            "running": self._cluster.summary(),
            "pods": sum(len(kubelet.pods()) for kubelet in self._cluster.kubelets),
            "memory": f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most so far",
        }
        return _json(facts)

    async def _images(self, _request: web.Request) -> web.Response:
        return _json({"images": list(await self._cluster.runtimes[0].images.list())})

    async def _load(self, request: web.Request) -> web.Response:
        loaded: dict[str, None] = {}
        for runtime in self._cluster.runtimes:
            loaded.update(dict.fromkeys(await runtime.images.load(Path(request.query["path"]))))
        return _json({"references": list(loaded)})

    async def _pull(self, request: web.Request) -> web.Response:
        found = ""
        for runtime in self._cluster.runtimes:
            found = await runtime.images.pull(request.query["reference"])
        return _json({"id": found})

    async def _remove(self, request: web.Request) -> web.Response:
        for runtime in self._cluster.runtimes:
            await runtime.images.remove(request.query["reference"])
        return _json({})
