"""Checks against real servers on this machine: hanging, flooding, lying and well-behaved ones."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager

import pytest

from podling.aio.clock import SystemClock
from podling.api.types.core_v1 import Container, GRPCAction, HTTPGetAction, HTTPHeader, Probe, TCPSocketAction
from podling.kubelet.probes.checks import Checks
from podling.kubelet.probes.wire import HostWire
from podling.lifecycle.probes import Checked, Outcome
from podling.linux.local import LocalHost

WEB = Container(name="web")
PLENTY = 20.0


@asynccontextmanager
async def serving(answer, **options):
    """A server on a free port that does `answer(request, writer)` with each connection."""

    tasks = set()

    async def one(reader, writer):
        tasks.add(asyncio.current_task())
        try:
            request = await reader.read(4096)
            await answer(request, writer)
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass
        finally:
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()

    server = await asyncio.start_server(one, "127.0.0.1", 0, **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def check(probe: Probe, timeout: float = PLENTY) -> Checked:
    clock = SystemClock()
    host = LocalHost(clock=clock)
    try:
        return await Checks(None, HostWire(host, clock), clock).check(WEB, "id", probe, "127.0.0.1", timeout)
    finally:
        host.close()


def get(port: int, path: str = "/", **more) -> Probe:
    return Probe(http_get=HTTPGetAction(port=port, path=path, **more))


def saying(text: str):
    async def answer(_request, writer):
        writer.write(text.encode())

    return answer


@pytest.mark.parametrize(
    ("status", "outcome"),
    [(199, "failure"), (200, "success"), (204, "success"), (399, "warning"), (400, "failure"), (503, "failure")],
)
def test_which_statuses_are_good(run, status, outcome):
    """200 to 399 are; a redirect that leads nowhere is a success with a warning."""

    async def main():
        async with serving(saying(f"HTTP/1.1 {status} Word\r\nContent-Length: 0\r\n\r\n")) as port:
            checked = await check(get(port))
            assert checked.outcome.value == outcome
            if outcome == "failure":
                assert checked.output == f"HTTP probe failed with statuscode: {status}"

    run(main())


def test_what_is_sent(run):
    """Host, agent and headers as upstream sends them; a Host header goes before the address, an empty agent is none."""
    heard = []

    async def answer(request, writer):
        heard.append(request.decode().split("\r\n"))
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")

    async def main():
        async with serving(answer) as port:
            await check(get(port, "healthz?full=1"))
            headers = tuple(
                HTTPHeader(name=n, value=v) for n, v in (("Host", "web.example"), ("User-Agent", ""), ("X-A", "b"))
            )
            await check(get(port, "/", http_headers=headers))
            assert heard[0][:4] == [
                "GET /healthz?full=1 HTTP/1.1", f"Host: 127.0.0.1:{port}", "User-Agent: kube-probe/1.37", "Accept: */*"
            ]  # fmt: skip
            assert heard[1][:4] == ["GET / HTTP/1.1", "Host: web.example", "Accept: */*", "X-A: b"]

    run(main())


def test_a_server_that_floods_is_cut_off(run):
    """Of an endless body no more than 10 KiB is read, and the status decides."""
    sent = []

    async def answer(_request, writer):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        for _ in range(100_000):
            writer.write(b"x" * 4096)
            await writer.drain()
            sent.append(4096)

    async def main():
        async with serving(answer) as port:
            assert (await check(get(port))).outcome is Outcome.SUCCESS
        assert sum(sent) < 50_000_000

    run(main())


@pytest.mark.parametrize(
    "answer",
    [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ],
)
def test_a_server_that_does_not_hang_up(run, answer):
    """A whole answer is enough, though the connection stays open."""

    async def one(_request, writer):
        writer.write(answer.encode())
        await writer.drain()
        await asyncio.sleep(30)

    async def main():
        async with serving(one) as port:
            before = time.monotonic()
            assert (await check(get(port))).outcome is Outcome.SUCCESS
            assert time.monotonic() - before < 10

    run(main())


def test_an_endless_head_is_no_answer(run):
    """A head that does not end within 64 KiB is a failure, not a growing buffer."""

    async def main():
        async with serving(saying("HTTP/1.1 200 OK\r\n" + "X-Y: z\r\n" * 20_000)) as port:
            assert (await check(get(port))).outcome is Outcome.FAILURE

    run(main())


@pytest.mark.parametrize("text", ["", "SSH-2.0-OpenSSH_9\r\n", "HTTP/1.1 yes\r\n\r\n", "\x00\xff" * 40])
def test_what_is_no_http_is_a_failure(run, text):
    """Nothing that a server sends is more than a failed probe."""

    async def main():
        async with serving(saying(text)) as port:
            checked = await check(get(port))
            assert checked.outcome is Outcome.FAILURE
            assert checked.output.startswith(f'Get "http://127.0.0.1:{port}/": ')

    run(main())


def test_a_server_that_is_silent(run):
    """The check ends at its timeout, by HTTP, TLS and gRPC alike; TCP is content with a connection."""

    async def answer(_request, _writer):
        await asyncio.sleep(30)

    async def main():
        async with serving(answer) as port:
            before = time.monotonic()
            probes = [get(port), get(port, scheme="HTTPS"), Probe(grpc=GRPCAction(port=port))]
            checked = await asyncio.gather(*(check(probe, 0.3) for probe in probes))
            assert time.monotonic() - before < 10
            assert all(one.outcome in (Outcome.FAILURE, Outcome.UNKNOWN) for one in checked)
            assert (await check(Probe(tcp_socket=TCPSocketAction(port=port)))).outcome is Outcome.SUCCESS

    run(main())


def test_nobody_listens(run):
    """Refused by all three, in Go's words."""

    async def main():
        async with serving(saying("")) as port:
            pass
        refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
        assert (await check(Probe(tcp_socket=TCPSocketAction(port=port)))).output == refused
        assert (await check(get(port, "/x"))).output == f'Get "http://127.0.0.1:{port}/x": {refused}'
        assert refused in (await check(Probe(grpc=GRPCAction(port=port)))).output

    run(main())


def test_a_node_that_was_late_blames_nobody(run):
    """A timeout during which the node's own loop stood still is unknown, not a failure."""

    async def answer(_request, _writer):
        await asyncio.sleep(30)

    async def main():
        async with serving(answer) as port:
            asking = asyncio.create_task(check(get(port), 0.5))
            await asyncio.sleep(0.1)
            time.sleep(0.7)
            assert (await asking).outcome is Outcome.UNKNOWN

    run(main())


def test_https_asks_for_no_certificate(run, tmp_path):
    """A self-signed server is well."""
    import ssl
    import subprocess

    key, cert = tmp_path / "key", tmp_path / "cert"
    words = (
        f"req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {key} -out {cert} -subj /CN=x -days 1"
    )
    subprocess.run(["openssl", *words.split()], check=True, capture_output=True)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)

    async def main():
        async with serving(saying("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), ssl=context) as port:
            assert (await check(get(port, scheme="HTTPS"))).outcome is Outcome.SUCCESS

    run(main())


@pytest.mark.parametrize(
    ("service", "outcome", "words"),
    [
        ("good", Outcome.SUCCESS, ""),
        ("bad", Outcome.FAILURE, 'service unhealthy (responded with "NOT_SERVING")'),
        ("none", Outcome.FAILURE, "error: health rpc probe failed: rpc error: code = NotFound desc = unknown service"),
    ],
)
def test_grpc_health(run, service, outcome, words):
    """A real gRPC server is understood, with its statuses and errors."""
    grpc = pytest.importorskip("grpc")

    async def answer(request: bytes, context):
        name = request[2:].decode()
        if name == "none":
            await context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08\x01" if name == "good" else b"\x08\x02"

    async def main():
        server = grpc.aio.server()
        handler = grpc.method_handlers_generic_handler(
            "grpc.health.v1.Health", {"Check": grpc.unary_unary_rpc_method_handler(answer)}
        )
        server.add_generic_rpc_handlers((handler,))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            checked = await check(Probe(grpc=GRPCAction(port=port, service=service)))
            assert checked == Checked(outcome, words)
        finally:
            await server.stop(None)

    run(main())


def test_grpc_asked_of_a_web_server(run):
    """What is no HTTP/2 is a failure with words."""

    async def main():
        async with serving(saying("HTTP/1.1 400 Bad Request\r\n\r\n")) as port:
            checked = await check(Probe(grpc=GRPCAction(port=port)))
            assert checked.outcome is Outcome.FAILURE
            assert "health rpc probe failed" in checked.output

    run(main())
