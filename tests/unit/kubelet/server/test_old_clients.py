"""The protocol versions that no client at hand speaks any more, by a client made of our own codec."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from podling.kubelet.server.spdystreams import SpdyConnection
from podling.kubelet.server.wire import Connection
from tests.streaming import Streaming

WEB = "/api/v1/namespaces/default/pods/web"


def _with(tmp_path: Path, body: Callable[[Streaming], Awaitable[None]], run: Any) -> None:
    async def main() -> None:
        async with Streaming(tmp_path) as node:
            await node.run_pod()
            async with asyncio.timeout(30):
                await body(node)

    run(main())


async def _head(node: Streaming, path: str, *headers: str) -> tuple[str, asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        "Connection: Upgrade",
        "Upgrade: SPDY/3.1",
        "Content-Length: 0",
        *headers,
    ]
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n")
    return (await reader.readuntil(b"\r\n\r\n")).decode(), reader, writer


@contextlib.asynccontextmanager
async def _spdy(node: Streaming, path: str, *headers: str) -> AsyncIterator[tuple[str, SpdyConnection]]:
    head, reader, writer = await _head(node, path, *headers)
    assert head.startswith("HTTP/1.1 101 ")
    connection = SpdyConnection(Connection(reader, writer), lambda stream: False, client=True)
    running = asyncio.create_task(connection.run())
    try:
        yield head, connection
    finally:
        writer.close()
        await running


async def _all(read: Callable[[], Awaitable[bytes]]) -> bytes:
    data = b""
    while piece := await read():
        data += piece
    return data


@pytest.mark.parametrize(
    ("offered", "chosen"),
    [
        ((), ""),
        (("X-Stream-Protocol-Version: channel.k8s.io",), "channel.k8s.io"),
        (("X-Stream-Protocol-Version: v9.channel.k8s.io, v3.channel.k8s.io",), "v3.channel.k8s.io"),
        (("X-Stream-Protocol-Version: v2.channel.k8s.io", "X-Stream-Protocol-Version: v4.channel.k8s.io"), "v2.channel.k8s.io"),
        (("X-Stream-Protocol-Version: v4.channel.k8s.io",), "v4.channel.k8s.io"),
    ],
)  # fmt: skip
def test_every_version_over_spdy(tmp_path: Path, run: Any, offered: tuple[str, ...], chosen: str) -> None:
    """The version is agreed upon; before v4 an exit code is told as text and a success not at all."""

    async def body(node: Streaming) -> None:
        for script, code in (("cat; echo err >&2", 0), ("cat; echo err >&2; exit 4", 4)):
            query = f"?command=sh&command=-c&command={script.replace(' ', '+').replace('&', '%26')}"
            path = f"{WEB}/exec{query}&stdin=true&stdout=true&stderr=true"
            async with _spdy(node, path, *offered) as (head, connection):
                assert f"X-Stream-Protocol-Version: {chosen}" in head or not chosen
                error, stdin, stdout, stderr = [
                    await connection.open({"streamType": name}) for name in ("error", "stdin", "stdout", "stderr")
                ]
                await stdin.write(b"given")
                await stdin.close_write()
                assert await _all(stdout.read) == b"given"
                assert await _all(stderr.read) == b"err\n"
                said = await _all(error.read)
            if chosen.startswith("v4"):
                status = json.loads(said)
                assert status["status"] == ("Failure" if code else "Success")
                causes = status.get("details", {}).get("causes", [])
                assert causes == ([{"reason": "ExitCode", "message": "4"}] if code else [])
            else:
                assert (b"exit code 4" in said) == bool(code)
                assert bool(said) == bool(code)

    _with(tmp_path, body, run)


def test_versions_that_are_not_known(tmp_path: Path, run: Any) -> None:
    """A client that speaks none of ours is refused with what we speak, and no command is started."""

    async def body(node: Streaming) -> None:
        path = f"{WEB}/exec?command=ls&stdout=true"
        head, reader, writer = await _head(node, path, "X-Stream-Protocol-Version: v9.channel.k8s.io")
        assert head.startswith("HTTP/1.1 403 ")
        assert b"client supports [v9.channel.k8s.io], server accepts [v4.channel.k8s.io" in await reader.readuntil(
            b" channel.k8s.io]"
        )
        writer.close()
        head, _, writer = await _head(node, f"{WEB}/exec?command=ls")
        assert head.startswith("HTTP/1.1 400 ")
        writer.close()
        assert node.runtime.sessions == []

    _with(tmp_path, body, run)


def test_forwarded_pairs_without_a_request_id(tmp_path: Path, run: Any) -> None:
    """Clients older than requestID pair a data stream with the error stream opened just before it."""

    async def body(node: Streaming) -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello " + await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = str(server.sockets[0].getsockname()[1])
        protocol = "X-Stream-Protocol-Version: portforward.k8s.io"
        async with _spdy(node, f"{WEB}/portforward", protocol) as (_, connection):
            for name in (b"one\n", b"two\n"):
                error = await connection.open({"streamType": "error", "port": port})
                data = await connection.open({"streamType": "data", "port": port})
                await data.write(name)
                assert await _all(data.read) == b"hello " + name
                assert await _all(error.read) == b""
            bad = await connection.open({"streamType": "data", "port": "99999"})
            assert await _all(bad.read) == b""
        server.close()
        await server.wait_closed()

    _with(tmp_path, body, run)


def test_noise_after_an_upgrade_ends_the_connection(tmp_path: Path, run: Any) -> None:
    """Bytes that are no SPDY close the connection, and nothing is left running."""

    async def body(node: Streaming) -> None:
        for path in (f"{WEB}/exec?command=sleep&command=1000&stdout=true", f"{WEB}/portforward"):
            protocol = "portforward.k8s.io" if "forward" in path else "v4.channel.k8s.io"
            head, reader, writer = await _head(node, path, f"X-Stream-Protocol-Version: {protocol}")
            assert head.startswith("HTTP/1.1 101 ")
            writer.write(b"\xff" * 4096)
            assert await reader.read() == b""
            writer.close()
        assert node.runtime.sessions == []

    _with(tmp_path, body, run)


@pytest.mark.parametrize(
    "protocol", ["", "channel.k8s.io", "base64.channel.k8s.io", "v4.channel.k8s.io", "v4.base64.channel.k8s.io"]
)
def test_every_version_over_websocket(tmp_path: Path, run: Any, protocol: str) -> None:
    """Bytes or base64, the channels are the same; before v4 an exit code is told as text."""
    text = "base64" in protocol

    async def body(node: Streaming) -> None:
        channels: dict[int, bytes] = {}
        path = f"http://127.0.0.1:{node.port}{WEB}/exec?stdin=1&stdout=1&stderr=1&command=sh&command=-c"
        path += "&command=read+line;+echo+got+$line;+echo+err+>%262;+exit+4"
        offered = [protocol] if protocol else []
        async with aiohttp.ClientSession() as session, session.ws_connect(path, protocols=offered) as socket:
            assert (socket.protocol or "") == protocol
            if text:
                await socket.send_str("0" + base64.b64encode(b"it\n").decode())
            else:
                await socket.send_bytes(b"\0it\n")
            async for message in socket:
                if text:
                    channel, data = int(message.data[0]), base64.b64decode(message.data[1:])
                else:
                    channel, data = message.data[0], message.data[1:]
                channels[channel] = channels.get(channel, b"") + data
        assert channels[1] == b"got it\n"
        assert channels[2] == b"err\n"
        if protocol.startswith("v4"):
            assert json.loads(channels[3])["details"]["causes"] == [{"reason": "ExitCode", "message": "4"}]
        else:
            assert channels[3].endswith(b"exit code 4")

    _with(tmp_path, body, run)
