"""exec, attach and port-forward: an upgraded connection, its protocol, and the runtime behind it.

Owns the way from a request to a running session. What the client asks for is checked before the upgrade, so that a
refusal is an HTTP answer; what the runtime says comes over the error stream.
"""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING

from podling.aio.takeover import Taken, Takeover
from podling.kubelet.server import portforward, sessions
from podling.kubelet.server.lookup import Refusal, pod_full_name, sandbox_of
from podling.kubelet.server.remotecommand import (
    SPDY_VERSIONS,
    WEBSOCKET_VERSIONS,
    Remote,
    SpdyRemote,
    Streams,
    WebSocketRemote,
)
from podling.kubelet.server.upgrades import switch_to_spdy, switch_to_websocket, wants_spdy, wants_websocket
from podling.kubelet.server.websocketwire import WebSocketWire
from podling.kubelet.server.wire import Connection

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence

    from aiohttp import web

    from podling.aio.clock import Clock
    from podling.api.types.core_v1 import Pod
    from podling.kubelet.server.lookup import PodLookup
    from podling.runtime.protocol import ByteStream, Runtime, Session


def streams_of(query: Mapping[str, str]) -> Streams:
    """Read which streams are asked for; `Refusal` 400 for none."""

    def asked(name: str) -> bool:
        return query.get(name, "").lower() in {"1", "true"}

    streams = Streams(asked("input"), asked("output"), asked("error"), asked("tty"))
    if not (streams.stdin or streams.stdout or streams.stderr):
        raise Refusal(400, "you must specify at least 1 of stdin, stdout, stderr")
    return streams


async def remote_command(
    request: web.BaseRequest,
    start: Callable[[], Awaitable[Session]],
    streams: Streams,
    clock: Clock,
    command: Sequence[str] | None,
) -> web.StreamResponse:
    """Upgrade the connection and carry an exec, or without a `command` an attach, to its end."""
    headers = request.headers
    if wants_websocket(headers):
        version, head = switch_to_websocket(headers, WEBSOCKET_VERSIONS)
    elif wants_spdy(headers):
        version, head = switch_to_spdy(headers, SPDY_VERSIONS)
    else:
        raise _not_an_upgrade(request)
    async with Takeover(request) as (reader, writer):
        wire = Connection(reader, writer)
        writer.write(head)
        remote: Remote
        if wants_websocket(headers):
            remote = WebSocketRemote(WebSocketWire(wire), version, streams)
        else:
            remote = SpdyRemote(wire, version, streams, clock)
        await sessions.serve(remote, start, streams, clock, command)
    return Taken(status=101)


async def send_all(request: web.BaseRequest, pieces: AsyncGenerator[bytes, None], clock: Clock) -> web.StreamResponse:
    """Upgrade the connection to a WebSocket, and send the pieces as its messages: a log, as browsers take it."""
    version, head = switch_to_websocket(request.headers, ("binary.k8s.io", "base64.binary.k8s.io"))
    text = version.startswith("base64")

    async def send(socket: WebSocketWire) -> None:
        with contextlib.suppress(ConnectionError):
            async for piece in pieces:
                await socket.send(base64.b64encode(piece) if text else piece, text=text)
            await socket.close()

    async def ignore(socket: WebSocketWire) -> None:
        with contextlib.suppress(ConnectionError):
            while await socket.receive() is not None:
                pass

    async with Takeover(request) as (reader, writer), contextlib.aclosing(pieces):
        writer.write(head)
        socket = WebSocketWire(Connection(reader, writer))
        await sessions.race(send(socket), ignore(socket), clock)
    return Taken(status=101)


async def port_forward(
    request: web.BaseRequest, pods: PodLookup, runtime: Runtime, pod: Pod, clock: Clock
) -> web.StreamResponse:
    """Upgrade the connection and forward ports until the client closes it."""
    headers = request.headers
    sandbox = sandbox_of(pods, pod)
    name = pod_full_name(pod)

    async def connect(port: int) -> ByteStream:
        return await runtime.port_forward(sandbox, port)

    ports: list[int] = []
    version = ""
    if wants_websocket(headers):
        supported = (portforward.TUNNEL_PROTOCOL, *portforward.WEBSOCKET_VERSIONS)
        version, head = switch_to_websocket(headers, supported)
        if version != portforward.TUNNEL_PROTOCOL:
            ports = ports_of(request.query.getall("port", ()))
    elif wants_spdy(headers):
        _, head = switch_to_spdy(headers, (portforward.SPDY_PROTOCOL,))
    else:
        raise _not_an_upgrade(request)
    async with Takeover(request) as (reader, writer):
        wire = Connection(reader, writer)
        writer.write(head)
        if not wants_websocket(headers):
            await portforward.SpdyForwarding(wire, connect, name, clock).run()
        elif version == portforward.TUNNEL_PROTOCOL:
            socket = WebSocketWire(wire)
            await portforward.SpdyForwarding(socket, connect, name, clock).run()
        else:
            text = "base64" in version
            await portforward.WebSocketForwarding(WebSocketWire(wire), connect, name, ports, text=text).run()
    return Taken(status=101)


def ports_of(texts: Sequence[str]) -> list[int]:
    """Read the ports of a WebSocket port-forward; `Refusal` 400 with upstream's words."""
    ports: list[int] = []
    for text in (word for listed in texts for word in listed.split(",")):
        if not text.isdecimal() or not 0 < int(text) < 65536:
            raise Refusal(400, f'query parameter "port" should be a comma separated list of ports: {text!r}')
        ports.append(int(text))
    if not ports or len(ports) > 64:
        raise Refusal(400, 'query parameter "port" is required')
    return ports


def _not_an_upgrade(request: web.BaseRequest) -> Refusal:
    return Refusal(400, f"unable to upgrade: missing upgrade headers in request: {request.method} {request.path}")
