"""The paths of the kubelet API, each answered.

Owns the reading of paths and queries. Knows nothing of listeners or callers; by the time a request comes here, it may.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import msgspec
from aiohttp import web

from podling.api import codec
from podling.api.times import from_wire
from podling.api.types.core_v1 import PodList
from podling.kubelet.server import streaming
from podling.kubelet.server.logs import LogOptions, read_log
from podling.kubelet.server.lookup import Refusal, logged_container, pod_of, running_container
from podling.kubelet.server.upgrades import wants_websocket
from podling.kubelet.stats import SimulatedStats
from podling.kubelet.stats_summary import resource_metrics, summary
from podling.runtime.protocol import ContainerState, RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import Pod
    from podling.kubelet.server.lookup import PodLookup
    from podling.kubelet.stats import Stats
    from podling.runtime.protocol import Runtime, Session

_RUN_PATIENCE = 120.0
_RUN_LIMIT = 16 * 1024 * 1024


class Routes:
    """Answers requests about the Pods of one node."""

    def __init__(
        self,
        pods: PodLookup,
        runtime: Runtime,
        clock: Clock,
        node: str,
        configuration: Mapping[str, Any],
        stats: Stats | None = None,
    ) -> None:
        """Without `stats` the use of the node is what its runtime says of containers."""
        self._stats: Stats = stats or SimulatedStats(runtime, dict, dict)
        self._pods = pods
        self._runtime = runtime
        self._clock = clock
        self._node = node
        self._configuration = configuration

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request; `Refusal` with code and sentence where that is not possible."""
        parts = [unquote(part) for part in request.rel_url.raw_path.strip("/").split("/")]
        match parts:
            case ["healthz"] | ["healthz", "ping"] | ["healthz", "log"] | ["healthz", "syncloop"]:
                return web.Response(text="ok")
            case ["pods"]:
                return _json(codec.encode(PodList(items=tuple(self._pods.pods()))))
            case ["configz"]:
                return _json(msgspec.json.encode({"kubeletconfig": self._configuration}))
            case ["metrics"]:
                return web.Response(body=await self._metrics(), headers={"Content-Type": "text/plain; version=0.0.4"})
            case ["stats", "summary"]:
                disk = not _truth(request.query.get("only_cpu_and_memory", ""))
                pods, now = self._pods.pods(), self._clock.time()
                told = await summary(self._node, pods, self._stats, self._runtime, now, disk=disk)
                return _json(msgspec.json.encode(told))
            case ["metrics", "resource"]:
                text = await resource_metrics(self._pods.pods(), self._stats, self._runtime)
                return web.Response(body=text.encode(), headers={"Content-Type": "text/plain; version=0.0.4"})
            case ["containerLogs", namespace, name, container]:
                return await self._logs(request, namespace, name, container)
            case ["exec", namespace, name, container]:
                return await self._exec(request, pod_of(self._pods, namespace, name), container)
            case ["exec", namespace, name, uid, container]:
                return await self._exec(request, pod_of(self._pods, namespace, name, uid), container)
            case ["attach", namespace, name, container]:
                return await self._attach(request, pod_of(self._pods, namespace, name), container)
            case ["attach", namespace, name, uid, container]:
                return await self._attach(request, pod_of(self._pods, namespace, name, uid), container)
            case ["portForward", namespace, name, *rest] if len(rest) < 2:
                pod = pod_of(self._pods, namespace, name, rest[0] if rest else "")
                return await streaming.port_forward(request, self._pods, self._runtime, pod, self._clock)
            case ["run", namespace, name, container] if request.method == "POST":
                return await self._run(request, pod_of(self._pods, namespace, name), container)
            case _:
                raise Refusal(404, "404 page not found")

    async def _logs(self, request: web.BaseRequest, namespace: str, name: str, container: str) -> web.StreamResponse:
        pod = self._pods.pod(namespace, name)
        if pod is None:
            raise Refusal(404, f'pod "{name}" does not exist')
        query = request.query
        options = log_options(query, self._clock.time())
        found = logged_container(pod, container, previous=_truth(query.get("previous", "")))
        known = await self._runtime.container(found)
        answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
        if known is None or not known.log_path:
            text = f"unable to retrieve container logs for {self._runtime.name}://{found}"
            return web.Response(text=text if known is None else "")
        pieces = read_log(known.log_path, options, self._runtime, found)
        if wants_websocket(request.headers):
            return await streaming.send_all(request, pieces, self._clock)
        try:
            first = await anext(pieces, b"") if not options.follow else b""
            answer.enable_chunked_encoding()
            await answer.prepare(request)
            if first:
                await answer.write(first)
            async for piece in pieces:
                await answer.write(piece)
        except FileNotFoundError:
            if answer.prepared:
                await answer.write(f"unable to retrieve container logs for {self._runtime.name}://{found}".encode())
            else:
                return web.Response(text=f"unable to retrieve container logs for {self._runtime.name}://{found}")
        finally:
            await pieces.aclose()
        await answer.write_eof()
        return answer

    async def _exec(self, request: web.BaseRequest, pod: Pod, container: str) -> web.StreamResponse:
        streams = streaming.streams_of(request.query)
        command = request.query.getall("command", [])
        found = await running_container(self._pods, self._runtime, pod, container)
        if not command:
            raise Refusal(400, "you must specify at least 1 command for the container")

        async def start() -> Session:
            return await self._runtime.exec(
                found.id, command, stdin=streams.stdin, stdout=streams.stdout, stderr=streams.stderr, tty=streams.tty
            )

        return await streaming.remote_command(request, start, streams, self._clock, command)

    async def _attach(self, request: web.BaseRequest, pod: Pod, container: str) -> web.StreamResponse:
        streams = streaming.streams_of(request.query)
        found = await running_container(self._pods, self._runtime, pod, container)

        async def start() -> Session:
            return await self._runtime.attach(found.id, stdin=streams.stdin, tty=streams.tty)

        return await streaming.remote_command(request, start, streams, self._clock, None)

    async def _run(self, request: web.BaseRequest, pod: Pod, container: str) -> web.StreamResponse:
        command = request.query.get("cmd", "").split(" ")
        found = await running_container(self._pods, self._runtime, pod, container)
        try:
            result = await self._runtime.exec_sync(found.id, command, _RUN_PATIENCE, _RUN_LIMIT)
        except RuntimeFailure as failure:
            raise Refusal(500, failure.message) from failure
        return web.Response(body=result.output, content_type="text/plain")

    async def _metrics(self) -> bytes:
        counts = dict.fromkeys(ContainerState, 0)
        for container in await self._runtime.list_containers():
            counts[container.state] += 1
        running = sum(self._pods.sandbox(pod.metadata.uid) is not None for pod in self._pods.pods())
        lines = [
            "# HELP kubelet_node_name [ALPHA] The node's name. The count is always 1.",
            "# TYPE kubelet_node_name gauge",
            f'kubelet_node_name{{node="{self._node}"}} 1',
            "# HELP kubelet_running_containers [ALPHA] Number of containers currently running",
            "# TYPE kubelet_running_containers gauge",
            *(f'kubelet_running_containers{{container_state="{state}"}} {count}' for state, count in counts.items()),
            "# HELP kubelet_running_pods [ALPHA] Number of pods that have a running pod sandbox",
            "# TYPE kubelet_running_pods gauge",
            f"kubelet_running_pods {running}",
            "",
        ]
        return "\n".join(lines).encode()


def log_options(query: Mapping[str, str], now: float) -> LogOptions:
    """Read the query of a log request; `Refusal` 400 for what cannot be read."""
    tail, limit, seconds = (_number(query, name) for name in ("tailLines", "limitBytes", "sinceSeconds"))
    since = None if seconds is None else now - seconds
    if "sinceTime" in query:
        try:
            since = from_wire(query["sinceTime"])
        except ValueError:
            raise Refusal(400, f"Unable to decode the request as container log options: {query['sinceTime']}") from None
    stream = query.get("stream") or "All"
    if stream not in {"All", "Stdout", "Stderr"}:
        raise Refusal(422, f"invalid stream type: {stream}")
    return LogOptions(_truth(query.get("follow", "")), since, _truth(query.get("timestamps", "")), tail, limit, stream)


def _number(query: Mapping[str, str], name: str) -> int | None:
    text = query.get(name, "")
    if not text:
        return None
    try:
        number = int(text)
    except ValueError:
        number = -1
    if number < 0:
        raise Refusal(400, f"Unable to decode the request as container log options: {name}={text}")
    return number


def _truth(text: str) -> bool:
    return text.lower() in {"1", "true"}


def _json(body: bytes) -> web.Response:
    return web.Response(body=body, content_type="application/json")
