"""kubectl and the official Python client against the real API server and kubelet server, with subprocesses as Pods."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import pty
import re
import shutil
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tests.streaming import Streaming

pytestmark = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
PROTOCOLS = pytest.mark.parametrize("protocol", ["websocket", "spdy"])
LINE = "2026-01-01T00:00:0{}.000000001Z stdout F {}\n"


def _with(tmp_path: Path, body: Callable[[Streaming], Awaitable[None]], run: Any, log: str = "") -> None:
    async def main() -> None:
        async with Streaming(tmp_path) as node:
            await node.run_pod(log=log)
            await body(node)

    run(main())


async def _until(condition: Callable[[], Any], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


@PROTOCOLS
def test_exec_carries_streams_and_exit_codes(tmp_path: Path, run: Any, protocol: str) -> None:
    """exec returns both streams, 300 KB of input counted, the exit code, and why a command cannot run."""

    async def body(node: Streaming) -> None:
        script = "echo out; echo err >&2; exit 7"
        code, out, err = await node.kubectl("exec", "web", "--", "sh", "-c", script, protocol=protocol)
        assert (code, out) == (7, b"out\n")
        assert err == b"err\ncommand terminated with exit code 7\n"
        data = os.urandom(300_000)
        assert await node.kubectl("exec", "-i", "web", "--", "cat", stdin=data, protocol=protocol) == (0, data, b"")
        code, out, err = await node.kubectl("exec", "web", "--", "nosuchcommand", protocol=protocol)
        assert code == 1
        assert b'error executing command in container: exec: "nosuchcommand"' in err
        big = "head -c 3000000 /dev/zero"
        code, out, _ = await node.kubectl("exec", "web", "--", "sh", "-c", big, protocol=protocol)
        assert (code, len(out)) == (0, 3_000_000)
        assert all(session.closed for session in node.runtime.sessions)

    _with(tmp_path, body, run)


@PROTOCOLS
def test_a_command_that_reads_no_input_still_ends(tmp_path: Path, run: Any, protocol: str) -> None:
    """Input that nobody reads is held back, not buffered, and does not hide the command's end."""

    async def body(node: Streaming) -> None:
        script = "echo early; exit 3"
        code, out, _ = await node.kubectl(
            "exec", "-i", "web", "--", "sh", "-c", script, stdin=b"x" * 5_000_000, protocol=protocol
        )
        assert (code, out) == (3, b"early\n")

    _with(tmp_path, body, run)


@PROTOCOLS
def test_exec_gives_a_terminal(tmp_path: Path, run: Any, protocol: str) -> None:
    """exec -it is a terminal with the size of the caller's, and ends with the shell's exit code."""

    async def body(node: Streaming) -> None:
        import fcntl
        import struct
        import termios

        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 99, 0, 0))
        process = await node.spawn(
            "exec", "-it", "web", "--", "sh", protocol=protocol, stdin=slave, stdout=slave, stderr=slave
        )
        os.close(slave)
        os.set_blocking(master, False)
        seen = bytearray()

        def read() -> None:
            try:
                seen.extend(os.read(master, 4096))
            except OSError:
                asyncio.get_running_loop().remove_reader(master)

        asyncio.get_running_loop().add_reader(master, read)
        await _until(lambda: node.runtime.sessions and (99, 33) in node.runtime.sessions[0].sizes)
        os.write(master, b"tty; stty size; echo sum-$((40+2)); exit 5\n")
        await _until(lambda: b"sum-42" in seen)
        async with asyncio.timeout(20):
            assert await process.wait() == 5
        asyncio.get_running_loop().remove_reader(master)
        os.close(master)
        assert b"/dev/pts/" in seen
        assert b"33 99" in seen

    _with(tmp_path, body, run)


@PROTOCOLS
def test_a_client_that_goes_away_ends_its_command(tmp_path: Path, run: Any, protocol: str) -> None:
    """Killing kubectl kills what it executed."""

    async def body(node: Streaming) -> None:
        process = await node.spawn("exec", "web", "--", "sh", "-c", "echo here; sleep 1000", protocol=protocol)
        assert process.stdout is not None
        assert await process.stdout.readline() == b"here\n"
        process.kill()
        await process.communicate()
        await _until(lambda: node.runtime.sessions[0].process.returncode == -9)
        await _until(lambda: node.runtime.sessions[0].gone)

    _with(tmp_path, body, run)


@PROTOCOLS
def test_a_client_that_goes_away_in_mid_input_is_missed(
    tmp_path: Path, run: Any, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a command takes no input nothing is read; the client's end is noticed all the same."""
    monkeypatch.setattr("podling.kubelet.server.sessions.PING_EVERY", 0.1)

    async def body(node: Streaming) -> None:
        arguments = ("exec", "-i", "web", "--", "sh", "-c", "echo here; exec sleep 1000")
        process = await node.spawn(*arguments, protocol=protocol, stdin=asyncio.subprocess.PIPE)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"x" * 20_000_000)
        assert await process.stdout.readline() == b"here\n"
        await asyncio.sleep(0.5)
        assert not node.runtime.sessions[0].closed
        process.kill()
        with contextlib.suppress(ConnectionError):
            await process.communicate()
        await _until(lambda: node.runtime.sessions[0].process.returncode == -9)
        await _until(lambda: node.runtime.sessions[0].gone)

    _with(tmp_path, body, run)


def test_logs_over_websocket(tmp_path: Path, run: Any) -> None:
    """A log comes as the messages of a WebSocket too, as bytes or as base64."""

    async def body(node: Streaming) -> None:
        import aiohttp

        address = f"http://127.0.0.1:{node.port}/api/v1/namespaces/default/pods/web/log"
        async with aiohttp.ClientSession() as session:
            async with session.ws_connect(address, protocols=["binary.k8s.io"]) as socket:
                assert await socket.receive_bytes() == b"one\n"
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            async with session.ws_connect(address + "?follow=1", protocols=["base64.binary.k8s.io"]) as socket:
                assert base64.b64decode(await socket.receive_str()) == b"one\n"
                node.runtime.end("web-main")
                assert (await socket.receive()).type is aiohttp.WSMsgType.CLOSE
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect(address + "?container=x")
            assert refused.value.status == 400

    _with(tmp_path, body, run, LINE.format(1, "one"))


@PROTOCOLS
def test_attach_joins_the_container(tmp_path: Path, run: Any, protocol: str) -> None:
    """attach -i brings input in and output out, and ends when the container's streams do."""

    async def body(node: Streaming) -> None:
        code, out, _ = await node.kubectl("attach", "-i", "web", stdin=b"one\ntwo\n", protocol=protocol)
        assert code == 0
        assert out == b"got one\ngot two\nover\n"

    _with(tmp_path, body, run)


def test_logs_follow_to_the_end_across_a_rotation(tmp_path: Path, run: Any) -> None:
    """logs -f prints what is written, reads the rotated file to its end and the new one, and ends with the container."""

    async def body(node: Streaming) -> None:
        process = await node.spawn("logs", "-f", "web", "--tail=1")
        assert process.stdout is not None
        assert await process.stdout.readline() == b"two\n"
        log = tmp_path / "web-main.log"
        with log.open("a") as file:
            file.write(LINE.format(3, "three"))
        assert await process.stdout.readline() == b"three\n"
        log.rename(tmp_path / "web-main.log.old")
        with (tmp_path / "web-main.log.old").open("a") as file:
            file.write(LINE.format(4, "four"))
        log.write_text(LINE.format(5, "five"))
        assert await process.stdout.readline() == b"four\n"
        assert await process.stdout.readline() == b"five\n"
        with log.open("a") as file:
            file.write(LINE.format(6, "six"))
        node.runtime.end("web-main")
        out, err = await process.communicate()
        assert (process.returncode, out, err) == (0, b"six\n", b"")

    _with(tmp_path, body, run, LINE.format(1, "one") + LINE.format(2, "two"))


def test_logs_say_why_there_are_none(tmp_path: Path, run: Any) -> None:
    """A container that was never there, was not restarted, or must be named is refused in upstream's words."""

    async def body(node: Streaming) -> None:
        await node.run_pod("two", "a", "b")
        _, out, err = await node.kubectl("logs", "web", "--previous")
        assert b'previous terminated container "main" in pod "web" not found' in err
        _, out, err = await node.kubectl("logs", "web", "-c", "x")
        assert b"container x is not valid for pod web" in err
        status, text = await _get(node, "/api/v1/namespaces/default/pods/two/log")
        assert status == 400
        assert "a container name must be specified for pod two, choose one of: [a b]" in text
        status, text = await _get(node, "/api/v1/namespaces/default/pods/web/log?tailLines=-1")
        assert status == 422
        assert "tailLines: Invalid value: -1: must be greater than or equal to 0" in text
        status, text = await _get(node, "/api/v1/namespaces/default/pods/web/exec?command=ls&stdout=1")
        assert status == 400
        assert "Upgrade request required" in text

    _with(tmp_path, body, run)


@PROTOCOLS
def test_cp_both_ways(tmp_path: Path, run: Any, protocol: str) -> None:
    """cp takes a file in and brings it back the same."""

    async def body(node: Streaming) -> None:
        data = os.urandom(2_000_000)
        (tmp_path / "in").write_bytes(data)
        inside = tmp_path / "inside"
        inside.mkdir()
        code, _, err = await node.kubectl("cp", str(tmp_path / "in"), f"web:{inside}/file", protocol=protocol)
        assert code == 0, err
        assert (inside / "file").read_bytes() == data
        code, _, err = await node.kubectl("cp", f"web:{inside}/file", str(tmp_path / "out"), protocol=protocol)
        assert code == 0, err
        assert (tmp_path / "out").read_bytes() == data

    _with(tmp_path, body, run)


async def _forward(node: Streaming, port: int, protocol: str) -> tuple[asyncio.subprocess.Process, int]:
    process = await node.spawn("port-forward", "web", f":{port}", protocol=protocol)
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = (await process.stdout.readline()).decode()
    found = re.search(r"127\.0\.0\.1:(\d+) -> (\d+)", line)
    assert found, (await process.communicate())[1]
    return process, int(found[1])


async def _ask(data: bytes, port: int) -> bytes:
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(data)
        await writer.drain()
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer


@PROTOCOLS
def test_port_forward_carries_many_connections(tmp_path: Path, run: Any, protocol: str) -> None:
    """Each connection to the local port is one to the Pod's, closed by half where the client closes by half."""

    async def body(node: Streaming) -> None:
        async def shout(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.read()).upper())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(shout, "127.0.0.1", 0)
        process, port = await _forward(node, server.sockets[0].getsockname()[1], protocol)
        big = b"x" * 700_000
        answers = await asyncio.gather(*(_ask(b"hello %d" % i, port) for i in range(5)), _ask(big, port))
        assert answers == [*(b"HELLO %d" % i for i in range(5)), big.upper()]
        process.kill()
        await process.communicate()
        server.close()
        await server.wait_closed()

    _with(tmp_path, body, run)


@PROTOCOLS
def test_port_forward_tells_of_a_closed_port(tmp_path: Path, run: Any, protocol: str) -> None:
    """A port that does not answer is told in upstream's words."""

    async def body(node: Streaming) -> None:
        process, port = await _forward(node, 1, protocol)
        assert await _ask(b"", port) == b""
        assert process.stderr is not None
        said = b""
        async with asyncio.timeout(20):
            while b"error forwarding port 1 to pod web_default, uid : " not in said:
                line = await process.stderr.readline()
                assert line, said
                said += line
        if process.returncode is None:
            process.kill()
        await process.communicate()

    _with(tmp_path, body, run)


def test_the_python_client_streams(tmp_path: Path, run: Any) -> None:
    """The official client executes with input and exit code, forwards a port and reads logs."""

    async def body(node: Streaming) -> None:
        async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"hello " + await reader.readline())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        # In a process of its own: the client leaves its sockets to the collector.
        root = Path(__file__).parents[4]
        script = f"from {__name__} import _use_python_client as use; use({node.port}, {port})"
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, cwd=root, env=os.environ | {"PYTHONPATH": f"{root}:{root}/src"}
        )
        try:
            async with asyncio.timeout(60):
                assert await process.wait() == 0
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        server.close()
        await server.wait_closed()

    _with(tmp_path, body, run, LINE.format(1, "one"))


def _use_python_client(api: int, port: int) -> None:
    import kubernetes
    from kubernetes.stream import portforward, stream

    configuration = kubernetes.client.Configuration(host=f"http://127.0.0.1:{api}")
    with kubernetes.client.ApiClient(configuration) as client:
        core = kubernetes.client.CoreV1Api(client)
        assert core.read_namespaced_pod_log("web", "default") == "one\n"
        every = {"stdin": False, "stdout": True, "stderr": True, "tty": False}
        shell = stream(
            core.connect_get_namespaced_pod_exec, "web", "default", command=["sh"], _preload_content=False,
            **(every | {"stdin": True}),
        )  # fmt: skip
        shell.write_stdin("echo in; echo wrong >&2; exit 9\n")
        shell.run_forever(timeout=20)
        assert (shell.read_stdout(), shell.read_stderr(), shell.returncode) == ("in\n", "wrong\n", 9)
        forwarded = portforward(core.connect_get_namespaced_pod_portforward, "web", "default", ports=str(port))
        socket = forwarded.socket(port)
        socket.setblocking(True)
        socket.sendall(b"there\n")
        assert socket.recv(100) == b"hello there\n"
        socket.close()
        assert forwarded.error(port) is None


async def _get(node: Streaming, path: str) -> tuple[int, str]:
    import aiohttp

    async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{node.port}{path}") as answer:
        return answer.status, await answer.text()
