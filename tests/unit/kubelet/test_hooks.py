"""Hooks over real sockets: what upstream does where a server speaks another protocol than was said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from podling.aio.clock import SystemClock
from podling.aio.supervisor import Supervisor
from podling.api.codec import from_tree
from podling.api.types.core_v1 import Pod
from podling.kubelet.hooks import HookFailure, Hooks
from podling.kubelet.probes.wire import HostWire
from podling.kubelet.wording import PodEvents
from podling.linux.local import LocalHost


class Recorded:
    """An event recorder that keeps reasons."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def event(self, _pod: Pod, _type: str, reason: str, _message: str, **_more: Any) -> None:
        self.reasons.append(reason)


def hooked(port: int) -> Pod:
    hook = {
        "httpGet": {
            "port": port,
            "scheme": "HTTPS",
            "path": "/stop",
            "httpHeaders": [{"name": "Authorization", "value": "x"}],
        }
    }
    container = {"name": "main", "lifecycle": {"preStop": hook}}
    return from_tree(Pod, {"metadata": {"name": "a", "namespace": "b"}, "spec": {"containers": [container]}})


async def stop(answer: bytes) -> tuple[list[bytes], list[str]]:
    """Run an HTTPS preStop hook against a server without TLS; return what it was asked and the events."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked.append(await reader.read(4096))
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    clock, recorded = SystemClock(), Recorded()
    host = LocalHost(clock=clock)
    try:
        async with server, Supervisor(clock) as supervisor:
            hooks = Hooks(None, HostWire(host, clock), clock, supervisor, PodEvents(recorded))  # type: ignore[arg-type]
            pod = hooked(server.sockets[0].getsockname()[1])
            await hooks.pre_stop(pod, pod.spec.containers[0], "id", "127.0.0.1", clock.time() + 5)
    finally:
        host.close()
    return asked, recorded.reasons


def test_an_https_hook_falls_back_to_http(run: Callable[..., Any]) -> None:
    """A server that answers the handshake in plain HTTP is asked once more without TLS, and without credentials."""
    asked, reasons = run(stop(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"))
    assert reasons == ["LifecycleHTTPFallback"]
    assert asked[0][:1] == b"\x16" and asked[1].startswith(b"GET /stop HTTP/1.1")  # a TLS record, then a request
    assert b"Authorization" not in asked[1]


def test_what_speaks_neither_has_failed(run: Callable[..., Any]) -> None:
    """No HTTP either: the hook failed with the words of the first attempt."""
    with pytest.raises(HookFailure, match="server gave HTTP response to HTTPS client"):
        run(stop(b"220 smtp ready\r\n"))
