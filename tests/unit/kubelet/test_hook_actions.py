"""Hooks against real servers on this machine: what they ask, and what they say where that does not come off."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.types.core_v1 import (
    Container,
    ContainerPort,
    HTTPGetAction,
    HTTPHeader,
    Lifecycle,
    LifecycleHandler,
    Pod,
    PodSpec,
    TCPSocketAction,
)
from podling.api.types.meta_v1 import ObjectMeta
from podling.kubelet.hooks import HookFailure, Hooks
from podling.kubelet.probes.wire import HostWire
from podling.kubelet.wording import PodEvents
from podling.linux.local import LocalHost

Hook = Callable[[Hooks, Pod, Container], Awaitable[object]]


async def _post_start(hooks: Hooks, pod: Pod, container: Container) -> object:
    return await hooks.post_start(pod, container, "id", "127.0.0.1")


async def _pre_stop(hooks: Hooks, pod: Pod, container: Container) -> object:
    return await hooks.pre_stop(pod, container, "id", "127.0.0.1", SystemClock().time() + 10)


HOOKS = pytest.mark.parametrize("hook", [_post_start, _pre_stop], ids=["postStart", "preStop"])


async def _run(hook: Hook, handler: LifecycleHandler, port: int = 1) -> None:
    """Run a handler as both hooks of a container whose port `web` is `port`."""
    lifecycle = Lifecycle(post_start=handler, pre_stop=handler)
    container = Container(name="c", lifecycle=lifecycle, ports=(ContainerPort(name="web", container_port=port),))
    pod = Pod(metadata=ObjectMeta(name="p", namespace="ns", uid="u"), spec=PodSpec(containers=(container,)))
    clock = SystemClock()
    host = LocalHost(clock=clock)
    try:
        async with Supervisor(clock) as supervisor:
            hooks = Hooks(None, HostWire(host, clock), clock, supervisor, PodEvents(None))  # type: ignore[arg-type]
            await hook(hooks, pod, container)
    finally:
        host.close()


@HOOKS
@pytest.mark.parametrize("status", [b"200 OK", b"500 Internal Server Error"])
def test_an_http_hook_asks_as_it_is_told(hook: Hook, status: bytes) -> None:
    """Path, named port, host, scheme and headers are the action's; whatever the status, it has come off."""
    asked: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
        writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            action = HTTPGetAction(
                path="/bell?x=1", port="web", host="127.0.0.1", scheme="HTTP",
                http_headers=(HTTPHeader(name="X-Who", value="hook"),),
            )  # fmt: skip
            await _run(hook, LifecycleHandler(http_get=action), port)

    asyncio.run(main())
    (request,) = asked
    assert request.startswith("GET /bell?x=1 HTTP/1.1\r\n")
    assert "\r\nX-Who: hook\r\n" in request
    assert "\r\nUser-Agent: kube-lifecycle/" in request


@HOOKS
@pytest.mark.parametrize(
    ("port", "scheme", "words"),
    [("none", "HTTP", "none"), (1, "HTTP", "connection refused"), (1, "HTTPS", "connection refused")],
)
def test_an_http_hook_that_nobody_answers_fails(hook: Hook, port: int | str, scheme: str, words: str) -> None:
    """A port that the container does not name, or at which nobody listens; the path is told."""
    action = HTTPGetAction(path="/x", port=port, scheme=scheme)
    with pytest.raises(HookFailure) as failed:
        asyncio.run(_run(hook, LifecycleHandler(http_get=action)))
    assert 'HTTP lifecycle hook (/x) for Container "c" in Pod "p_ns(u)" failed' in str(failed.value)
    assert words in str(failed.value)


@HOOKS
def test_a_tcp_hook_is_refused_as_upstream_does(hook: Hook) -> None:
    """`tcpSocket`, its port and host are taken for old manifests' sake and never run."""
    action = TCPSocketAction(port=1, host="127.0.0.1")
    with pytest.raises(HookFailure, match="tcpSocket hooks are not supported"):
        asyncio.run(_run(hook, LifecycleHandler(tcp_socket=action)))
