"""The proxy between clients and kubelets: plain HTTP to Pods, Services and nodes, and kubelets reached over TLS."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from tests.streaming import NODE, POD_ADDRESS, Streaming

from podling.api.errors import StatusError
from podling.apiserver.identity.pki import Pki, client_context, server_context
from podling.apiserver.kubelet_proxy import RemoteNodes
from podling.apiserver.kubelet_proxy.targets import is_global_unicast, proxy_path
from podling.apiserver.paths import resource_path
from podling.kubelet.server import KubeletServer

PODS = "/api/v1/namespaces/default/pods"


def _with(tmp_path: Path, body: Callable[[Streaming, aiohttp.ClientSession], Awaitable[None]], run: Any) -> None:
    async def main() -> None:
        async with Streaming(tmp_path) as node:
            await node.run_pod()
            async with aiohttp.ClientSession(f"http://127.0.0.1:{node.port}") as session:
                await body(node, session)

    run(main())


async def _backend() -> tuple[web.ServerRunner, int]:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/cut":
            made = web.StreamResponse(headers={"Content-Length": "100"})
            await made.prepare(request)
            await made.write(b"half")
            assert request.transport is not None
            request.transport.abort()
            return made
        told = {
            "method": request.method,
            "path": request.path_qs,
            "body": (await request.read()).decode(),
            "secret": request.headers.get("Authorization", "") + request.headers.get("Sec-WebSocket-Protocol", ""),
        }
        return web.json_response(told, status=207, headers={"X-Own": "kept"})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]


def test_a_pods_own_port_is_reached(tmp_path: Path, run: Any) -> None:
    """Method, path, query and body pass through; the caller's credentials do not; the connection is kept."""

    async def body(node: Streaming, session: aiohttp.ClientSession) -> None:
        runner, port = await _backend()
        path = f"{PODS}/web:{port}/proxy"
        async with session.get(path, allow_redirects=False) as moved:
            assert (moved.status, moved.headers["Location"]) == (301, path + "/")
        async with session.get(f"{path}/x/proxy", allow_redirects=False) as answer:
            assert (await answer.json())["path"] == "/x/proxy"
        secret = {"Authorization": "Bearer secret"}
        for data in (b"whole", _pieces()):
            async with session.post(f"{path}/a%20b?c=d", data=data, headers=secret) as answer:
                assert (answer.status, answer.headers["X-Own"]) == (207, "kept")
                told = await answer.json()
                assert told == {"method": "POST", "path": "/a%20b?c=d", "body": "whole", "secret": ""}
        token = {"Sec-WebSocket-Protocol": "base64url.bearer.authorization.k8s.io.c2VjcmV0, chat"}
        async with session.get(
            f"{path}/x", headers=token | {"Connection": "Upgrade", "Upgrade": "websocket"}
        ) as answer:
            assert (await answer.json())["secret"] == "chat"
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get(f"{path}/cut") as answer:
                await answer.read()
        async with session.get(f"{PODS}/web:1/proxy/") as answer:
            assert answer.status == 503
            assert "dial tcp 192.0.2.7:1: connect: connection refused" in (await answer.json())["message"]
        await runner.cleanup()

    _with(tmp_path, body, run)


async def _pieces() -> Any:
    yield b"who"
    yield b"le"


def test_a_services_ready_endpoint_is_reached(tmp_path: Path, run: Any) -> None:
    """A Service's port leads to a ready endpoint of its slices; without one the Service is unavailable."""

    async def body(node: Streaming, session: aiohttp.ClientSession) -> None:
        runner, port = await _backend()
        spec = {"ports": [{"name": "http", "port": 80}], "selector": {"a": "b"}}
        await node._call("POST", "/api/v1/namespaces/default/services", {"metadata": {"name": "s"}, "spec": spec})
        path = "/api/v1/namespaces/default/services/s:http/proxy/x"
        async with session.get(path) as answer:
            assert answer.status == 503
            assert (await answer.json())["message"] == 'no endpoints available for service "s"'
        ports = [{"name": "http", "port": port, "protocol": "TCP"}]
        endpoints = [
            {"addresses": ["192.0.2.1"], "conditions": {"ready": False}},
            {"addresses": [POD_ADDRESS], "conditions": {"ready": True}},
        ]
        found = {"metadata": {"name": "s-1", "labels": {"kubernetes.io/service-name": "s"}}, "addressType": "IPv4"}
        slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        await node._call("POST", slices, found | {"endpoints": endpoints, "ports": ports})
        async with session.get(path) as answer:
            assert (answer.status, (await answer.json())["path"]) == (207, "/x")
        async with session.get("/api/v1/namespaces/default/services/s:nope/proxy/x") as answer:
            assert (await answer.json())["message"] == 'no service port "nope" found for service "s"'
        await runner.cleanup()

    _with(tmp_path, body, run)


@pytest.mark.parametrize(
    "prefix", [f"{PODS}/proxy:80/proxy", "/api/v1/namespaces/proxy/pods/p/proxy", "/api/v1/nodes/proxy/proxy"]
)
def test_anything_may_be_named_proxy(prefix: str) -> None:
    """Namespaces, Pods, nodes and what is asked of the backend: the names before are counted, not searched."""
    path = resource_path(prefix)
    assert path is not None
    for rest in ("", "a/proxy", "proxy/", "a//b%2Fc"):
        assert proxy_path(f"{prefix}/{rest}", path) == (prefix, rest)
    assert proxy_path(prefix, path) == (prefix, None)


PAGE = b"<html><title><a href='/t'></title><a href=\"/there\">go</a><!-- <a href='/c'> --><img src=/i/>"


async def _site() -> tuple[web.ServerRunner, int]:
    """A backend with pages: one in many pieces, one packed, one that moved, one that breaks off."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/moved":
            return web.Response(status=302, headers={"Location": f"http://{request.host}/there"})
        made = web.StreamResponse(headers={"Content-Type": "text/html; charset=utf-8", "X-Seen": "no"})
        made.headers["Access-Control-Allow-Origin"] = "*"
        made.headers["X-Seen"] = request.headers["X-Forwarded-Uri"]
        packed = request.path in {"/packed", "/half"}
        if packed:
            made.headers["Content-Encoding"] = "gzip"
        else:
            made.enable_chunked_encoding()
        await made.prepare(request)
        body = gzip.compress(PAGE * 20_000) if packed else PAGE
        if request.path == "/half":
            body = body[:-20]
        for at in range(0, len(body), 500 if packed else 3):
            await made.write(body[at : at + (500 if packed else 3)])
        await made.write_eof()
        return made

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    return runner, site._server.sockets[0].getsockname()[1]  # type: ignore[union-attr]


def test_links_of_pages_lead_through_the_proxy_again(tmp_path: Path, run: Any) -> None:
    """Of HTML, plain or packed, and of redirects; a page that breaks off breaks off; other origins get no access."""

    async def body(node: Streaming, session: aiohttp.ClientSession) -> None:
        runner, port = await _site()
        path = f"{PODS}/web:{port}/proxy"
        there = PAGE.replace(b'"/there', f'"{path}/there'.encode()).replace(b"=/i", f"={path}/i".encode())
        async with session.get(f"{path}/a/b?c=d") as answer:
            assert await answer.read() == there
            assert (answer.headers["X-Seen"], answer.headers.get("Access-Control-Allow-Origin")) == (
                f"{path}/a/b",
                None,
            )
        async with session.get(f"{path}/packed") as answer:
            assert await answer.read() == there * 20_000
        async with session.head(f"{path}/x") as answer:
            assert (answer.status, await answer.read()) == (200, b"")
        async with session.get(f"{path}/moved", allow_redirects=False) as answer:
            assert answer.headers["Location"] == f"{path}/there"
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get(f"{path}/half") as answer:
                await answer.read()
        await runner.cleanup()

    _with(tmp_path, body, run)


def test_a_nodes_proxy_path_is_the_kubelets_api(tmp_path: Path, run: Any) -> None:
    """nodes/NAME/proxy/pods answers with the kubelet's own Pods, and what it does not know with 404."""

    async def body(node: Streaming, session: aiohttp.ClientSession) -> None:
        await node._call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        async with session.get(f"/api/v1/nodes/{NODE}/proxy/pods") as answer:
            listed = json.loads(await answer.read())
            assert [it["metadata"]["name"] for it in listed["items"]] == ["web"]
        async with session.get(f"/api/v1/nodes/{NODE}/proxy/metrics") as answer:
            assert 'kubelet_running_containers{container_state="running"} 1' in await answer.text()
        async with session.get(f"/api/v1/nodes/{NODE}/proxy/stats/summary") as answer:
            assert (await answer.json())["node"]["nodeName"] == NODE
        async with session.post(f"/api/v1/nodes/{NODE}/proxy/run/default/web/main?cmd=echo+ran") as answer:
            assert await answer.text() == "ran\n"
        async with session.get(f"/api/v1/nodes/{NODE}/proxy/nonsense") as answer:
            assert answer.status == 404

    _with(tmp_path, body, run)


def test_a_pod_without_a_node_has_no_streams(tmp_path: Path, run: Any) -> None:
    """Its log is empty and no error; exec says that it has no host; a node that cannot be reached is a 500."""

    async def body(node: Streaming, session: aiohttp.ClientSession) -> None:
        from tests.streaming import pod

        await node._call("POST", PODS, pod("idle", node=""))
        async with session.get(f"{PODS}/idle/log") as answer:
            assert (answer.status, await answer.read()) == (204, b"")
        async with session.post(f"{PODS}/idle/exec?command=ls&stdout=true") as answer:
            assert answer.status == 400
            assert (await answer.json())["message"] == "pod idle does not have a host assigned"
        await node._call("POST", PODS, pod("away", node="nowhere"))
        async with session.get(f"{PODS}/away/log") as answer:
            assert answer.status == 500
            assert "error dialing backend" in (await answer.json())["message"]
        async with session.get(f"{PODS}/none/log") as answer:
            assert answer.status == 404

    _with(tmp_path, body, run)


def test_a_client_that_goes_away_ends_a_followed_log(tmp_path: Path, run: Any) -> None:
    """The kubelet stops following when nobody reads."""

    async def body(node: Streaming, session: aiohttp.ClientSession) -> None:
        answer = await session.get(f"{PODS}/web/log?follow=true")
        with (tmp_path / "web-main.log").open("a") as file:
            file.write("2026-01-01T00:00:00Z stdout F here\n")
        assert await answer.content.readline() == b"here\n"
        assert len(node.runtime._events) == 1
        answer.close()
        async with asyncio.timeout(20):
            while len(node.runtime._events):
                await asyncio.sleep(0.01)

    _with(tmp_path, body, run)


def test_kubelets_over_tls_know_their_callers(tmp_path: Path, run: Any) -> None:
    """The API server's certificate is let in, no certificate is 401, another user's is 403."""

    async def body(node: Streaming, session: aiohttp.ClientSession) -> None:
        now = time.time()
        pki = Pki(tmp_path / "pki")
        pki.ensure(now)
        kubelet = KubeletServer(node, node.runtime, node.clock, node=NODE)  # type: ignore[arg-type]
        pair = pki.kubelet_server(NODE, now, ("127.0.0.1",))
        await kubelet.start(tls=server_context(pki.authority, pair))
        tree = await node._call("POST", "/api/v1/nodes", {"metadata": {"name": NODE}})
        tree["status"] = {
            "addresses": [{"type": "Hostname", "address": "nowhere"}, {"type": "InternalIP", "address": "127.0.0.1"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": kubelet.port}},
        }
        await node._call("PUT", f"/api/v1/nodes/{NODE}/status", tree)
        remote = RemoteNodes(node.api.registry, client_context(pki.authority, pki.kubelet_client))
        node.proxy._nodes = remote
        with (tmp_path / "web-main.log").open("a") as file:
            file.write("2026-01-01T00:00:00Z stdout F over tls\n")
        async with session.get(f"{PODS}/web/log") as answer:
            assert await answer.text() == "over tls\n"
        for protocol in ("websocket", "spdy"):
            done = await node.kubectl("exec", "-i", "web", "--", "cat", stdin=b"x" * 300_000, protocol=protocol)
            assert done == (0, b"x" * 300_000, b"")
        for own, expected in ((None, 401), (pki.client("system:kube-scheduler", now), 403), (pki.admin, 200)):
            context = client_context(pki.authority, own)
            async with session.get(f"https://127.0.0.1:{kubelet.port}/healthz", ssl=context) as answer:
                assert answer.status == expected
        await kubelet.close()
        with pytest.raises(StatusError, match="error dialing backend"):
            await remote.connect(NODE)

    _with(tmp_path, body, run)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("10.244.0.9", True),
        ("fd00:10:244::9", True),
        ("::ffff:10.244.0.9", True),
        ("127.0.0.1", False),
        ("::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("fe80::1", False),
        ("ff02::1", False),
        ("::", False),
        ("255.255.255.255", False),
        ("web", False),
    ],
)
def test_a_proxy_leads_to_nothing_but_what_a_pod_may_have(address: str, expected: bool) -> None:
    """Loopback in whatever dress would be the API server's own machine."""
    assert is_global_unicast(address) is expected
