"""The HTTP transport against a real aiohttp server that answers by script."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from podling.aio.clock import SystemClock, VirtualClock
from podling.api import errors
from podling.api.errors import StatusError
from podling.api.resources import PODS
from podling.client import ApiClient, Call, Selection
from podling.client.http import HttpTransport
from podling.client.kubeconfig import Connection

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from pathlib import Path

    Answerer = Callable[[web.Request], Awaitable[web.StreamResponse]]

POD = '{"apiVersion":"v1","kind":"Pod","metadata":{"resourceVersion":"%d","name":"%s","namespace":"d"}}'


@pytest.fixture
def served(run: Callable[[Any], Any], tmp_path: Path) -> Callable[..., None]:
    """Serve `answer` on a unix socket and run `body(transport, requests)` against it."""

    def serve(answer: Answerer, body: Callable[..., Any], clock: Any = None, **how: Any) -> None:
        async def main() -> None:
            requests: list[web.Request] = []

            async def keep(request: web.Request) -> web.StreamResponse:
                requests.append(request)
                await request.read()
                return await answer(request)

            application = web.Application()
            application.router.add_route("*", "/{path:.*}", keep)
            runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
            await runner.setup()
            path = tmp_path / "s"
            await web.UnixSite(runner, str(path)).start()
            transport = HttpTransport(Connection(f"unix://{path}", **how), clock or SystemClock(), timeout=5)
            try:
                await body(transport, requests)
            finally:
                await transport.close()
                await runner.cleanup()

        run(main())

    return serve


def test_call_carries_everything(served: Callable[..., None]) -> None:
    """Method, repeated queries, body, type, token; the answer brings code, body and warnings."""

    async def answer(request: web.Request) -> web.Response:
        response = web.Response(body=b'{"a":1}', content_type="application/json", status=201)
        response.headers.add("Warning", r'299 - "unknown field \"spec.x\""')
        response.headers.add("Warning", '299 - "second"')
        return response

    async def body(transport: HttpTransport, requests: list[web.Request]) -> None:
        call = Call("PATCH", "/api/v1/x", (("a", "1"), ("a", "2 &"), ("b", "")), b"[]", "application/json-patch+json")
        got = await transport.call(call)
        assert (got.code, got.body, got.content_type) == (201, b'{"a":1}', "application/json")
        assert got.warnings == ('unknown field "spec.x"', "second")
        (request,) = requests
        assert (request.method, request.path) == ("PATCH", "/api/v1/x")
        assert list(request.query.items()) == [("a", "1"), ("a", "2 &"), ("b", "")]
        assert await request.read() == b"[]"
        assert request.headers["Content-Type"] == "application/json-patch+json"
        assert request.headers["Authorization"] == "Bearer secret"

    served(answer, body, token="secret")


def test_refusals_are_status_errors(served: Callable[..., None]) -> None:
    """A Status body is raised as it is; any other body becomes the message; nobody there is 503."""
    answers = [
        web.json_response(errors.not_found("", "pods", "x").to_tree(), status=404),
        web.Response(text="bad gateway", status=502),
    ]

    async def answer(request: web.Request) -> web.Response:
        return answers.pop(0)

    async def body(transport: HttpTransport, requests: list[web.Request]) -> None:
        with pytest.raises(StatusError, match='pods "x" not found') as missing:
            await ApiClient(transport).get(PODS, "x", "d")
        assert missing.value.is_not_found
        assert missing.value.details == {"name": "x", "kind": "pods"}
        with pytest.raises(StatusError, match="bad gateway") as bad:
            await transport.call(Call("GET", "/"))
        assert bad.value.code == 502
        nobody = HttpTransport(Connection("http://127.0.0.1:9"), SystemClock())
        with pytest.raises(StatusError, match="cannot be reached") as away:
            await nobody.call(Call("GET", "/"))
        await nobody.close()
        assert away.value.code == 503

    served(answer, body)


def test_busy_server_is_asked_again(served: Callable[..., None]) -> None:
    """429 with Retry-After is waited out on the injected clock."""
    count = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal count
        count += 1
        if count < 3:
            return web.Response(status=429, headers={"Retry-After": "7"})
        return web.Response(body=b"{}")

    clock = VirtualClock()

    async def body(transport: HttpTransport, requests: list[web.Request]) -> None:
        task = asyncio.create_task(transport.call(Call("GET", "/")))
        for number in range(2):
            while len(requests) <= number or not clock._timers:
                await asyncio.sleep(0.001)
            await asyncio.sleep(0.05)
            await clock.advance(7)
        assert (await task).body == b"{}"
        assert clock.monotonic() == 14
        assert count == 3

    served(answer, body, clock)


def test_late_answer_is_a_timeout(served: Callable[..., None]) -> None:
    """A server that does not answer in time is 504, and the connection is not used again."""

    async def answer(request: web.Request) -> web.Response:
        if request.path == "/late":
            await asyncio.sleep(30)
        return web.Response(body=b"{}")

    async def body(transport: HttpTransport, requests: list[web.Request]) -> None:
        transport._timeout = 0.05
        with pytest.raises(StatusError, match="was not answered in 0.05 s") as late:
            await transport.call(Call("GET", "/late"))
        assert late.value.code == 504
        assert (await transport.call(Call("GET", "/"))).body == b"{}"

    served(answer, body)


def test_list_and_watch(served: Callable[..., None]) -> None:
    """Lists bring items and tokens; watch lines arrive whole however they were cut and however long they are."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if "watch" not in request.query:
            text = (
                '{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"9","continue":"tok"},"items":[%s]}'
            )
            return web.Response(text=text % (POD % (3, "a")), content_type="application/json")
        response = web.StreamResponse()
        await response.prepare(request)
        long = (POD % (11, "b")).replace('"name"', f'"uid":"{"u" * 300_000}","name"')
        lines = [f'{{"type":"ADDED","object":{POD % (10, "a")}}}\n', f'{{"type":"MODIFIED","object":{long}}}\n']
        whole = "".join(lines).encode()
        for cut in (whole[:20], whole[20:150], whole[150:200_000], whole[200_000:]):
            await response.write(cut)
            await asyncio.sleep(0.005)
        if request.query.get("timeoutSeconds") == "7":
            assert request.transport is not None
            request.transport.abort()
        return response

    async def body(transport: HttpTransport, requests: list[web.Request]) -> None:
        page = await transport.list(PODS, Selection("d", "a=b", "x=y"), limit=1, revision="0")
        assert [(item.name, item.revision) for item in page.items] == [("a", 3)]
        assert (page.revision, page.continue_token) == (9, "tok")
        assert dict(requests[0].query) == {
            "labelSelector": "a=b", "fieldSelector": "x=y", "limit": "1", "resourceVersion": "0",
        }  # fmt: skip
        await transport.list(PODS, Selection("d"), limit=1, continue_token="tok", revision="0")
        assert dict(requests[1].query) == {"limit": "1", "continue": "tok"}
        # Ended in order and broken off alike: the watch ends, after every whole line.
        for timeout in (None, 7.5):
            watch = transport.watch(PODS, Selection("d"), revision=9, timeout=timeout)
            events = [(event.type, event.object.name, event.object.revision) async for event in watch]
            assert events == [("ADDED", "a", 10), ("MODIFIED", "b", 11)]
        assert dict(requests[-1].query) == {
            "watch": "true", "allowWatchBookmarks": "true", "resourceVersion": "9", "timeoutSeconds": "7",
        }  # fmt: skip

    served(answer, body)


def test_watch_that_is_let_go_closes_its_connection(served: Callable[..., None]) -> None:
    """A reader that stops reading frees the server: the connection is closed, not kept idle."""
    gone = asyncio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(('{"type":"ADDED","object":%s}\n' % (POD % (10, "a"))).encode())
        try:
            await asyncio.sleep(30)
        finally:
            gone.set()
        return response

    async def body(transport: HttpTransport, requests: list[web.Request]) -> None:
        watch = transport.watch(PODS, Selection("d"), revision=9)
        assert (await anext(watch)).object.name == "a"
        await watch.aclose()
        await asyncio.wait_for(gone.wait(), 5)

    served(answer, body)


def test_refused_watch(served: Callable[..., None]) -> None:
    """A watch refused before it begins, and one refused within, raise the same `StatusError`."""

    async def answer(request: web.Request) -> web.StreamResponse:
        status = errors.expired("too old resource version: 1 (5)").to_tree()
        if request.query["resourceVersion"] == "1":
            return web.json_response(status, status=410)
        return web.json_response({"type": "ERROR", "object": status})

    async def body(transport: HttpTransport, requests: list[web.Request]) -> None:
        for revision in (1, 2):
            with pytest.raises(StatusError, match="too old") as refused:
                await anext(transport.watch(PODS, Selection(), revision=revision))
            assert refused.value.is_expired

    served(answer, body)


def test_tls_with_client_certificate(run: Callable[[Any], Any]) -> None:
    """Over TLS: the authority checks the server, the client certificate names the caller, strangers are refused."""
    import ssl
    import tempfile
    from pathlib import Path

    authority, server_pair, client_pair = _certificates()

    async def main(directory: Path) -> None:
        for name, data in [("ca", authority), ("crt", server_pair[0]), ("key", server_pair[1])]:
            (directory / name).write_bytes(data)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(directory / "ca"))
        context.load_cert_chain(directory / "crt", directory / "key")
        context.verify_mode = ssl.CERT_OPTIONAL

        async def who(request: web.Request) -> web.Response:
            assert request.transport is not None
            peer = request.transport.get_extra_info("peercert") or {}
            return web.Response(text=str(peer.get("subject", "")))

        application = web.Application()
        application.router.add_get("/", who)
        runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        known = Connection(
            f"https://127.0.0.1:{port}", authority, client_pair[0], client_pair[1], server_name="kubernetes"
        )
        transport = HttpTransport(known, SystemClock())
        assert b"system:node:n1" in (await transport.call(Call("GET", "/"))).body
        await transport.close()
        stranger = HttpTransport(Connection(f"https://127.0.0.1:{port}", server_name="kubernetes"), SystemClock())
        with pytest.raises(StatusError, match="certificate verify failed"):
            await stranger.call(Call("GET", "/"))
        await stranger.close()
        await runner.cleanup()

    with tempfile.TemporaryDirectory() as directory:
        run(main(Path(directory)))


def _certificates() -> tuple[bytes, tuple[bytes, bytes], tuple[bytes, bytes]]:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    now = datetime.now(UTC)

    def made(name: str, issuer: Any = None) -> tuple[Any, Any]:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer[0].subject if issuer else subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(hours=1))
            .not_valid_after(now + timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("kubernetes")]), critical=False)
        )
        return builder.sign(issuer[1] if issuer else key, hashes.SHA256()), key

    def pem(pair: tuple[Any, Any]) -> tuple[bytes, bytes]:
        certificate, key = pair
        return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    authority = made("ca")
    return pem(authority)[0], pem(made("server", authority)), pem(made("system:node:n1", authority))
