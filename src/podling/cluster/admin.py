"""The administration socket: what the commands ask of a running cluster and Kubernetes has no API for.

Owns images (load, pull, list, remove), the call graph as `podling graph` prints it, and the facts of `podling status`.
Whoever can open the socket is the administrator: it is owner-only, in an owner-only folder.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from aiohttp import web

from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from podling.insight.call_graph import CallGraph
    from podling.insight.questions import Questions
    from podling.runtime.protocol import Runtime

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

    def __init__(
        self,
        runtimes: Sequence[Runtime],
        facts: Callable[[], Mapping[str, object]],
        graph: CallGraph | None,
        questions: Questions,
    ) -> None:
        """`facts` are what `podling status` prints; without `graph` there are no calls to be seen."""
        self._graph = graph
        self._questions = questions
        self._runtimes = runtimes
        self._facts = facts
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
                web.get("/graph", self._calls),
                web.get("/graph/reachable", self._reachable),
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
        return _json(self._facts())

    async def _calls(self, request: web.Request) -> web.Response:
        if self._graph is None:
            return _json({"message": "calls are seen between real containers only; this cluster simulates them"}, 422)
        return _json(
            {"text": self._graph.render(request.query.get("form", "table"), request.query.get("namespace", ""))}
        )

    async def _reachable(self, request: web.Request) -> web.Response:
        query = request.query
        try:
            answer = await self._questions.reachable(query["from"], query["to"], query.get("protocol", "TCP"))
        except ValueError as error:
            return _json({"message": str(error)}, 422)
        return _json({"verdict": answer.verdict, "text": str(answer)})

    async def _images(self, _request: web.Request) -> web.Response:
        # Nodes beside the first may have what only their Pods have asked for.
        found = {image.id: image for runtime in reversed(self._runtimes) for image in await runtime.images.list()}
        return _json({"images": list(found.values())})

    async def _load(self, request: web.Request) -> web.Response:
        loaded: dict[str, None] = {}
        for runtime in self._runtimes:
            loaded.update(dict.fromkeys(await runtime.images.load(Path(request.query["path"]))))
        return _json({"references": list(loaded)})

    async def _pull(self, request: web.Request) -> web.Response:
        found = ""
        for runtime in self._runtimes:
            found = await runtime.images.pull(request.query["reference"])
        return _json({"id": found})

    async def _remove(self, request: web.Request) -> web.Response:
        for runtime in self._runtimes:
            await runtime.images.remove(request.query["reference"])
        return _json({})
