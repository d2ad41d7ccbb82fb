"""The API over real sockets: what is HTTP's own."""

from __future__ import annotations

import asyncio
import gzip
import json
from contextlib import asynccontextmanager

import aiohttp
import aiohttp.web
import pytest
from tests.served import PODS, Served, pod

from podling.aio.clock import SystemClock
from podling.apiserver.identity.authentication import Authentication, TokenFile
from podling.apiserver.record import User

BEARER = {"Authorization": "Bearer secret"}


@asynccontextmanager
async def listening(**options):
    """Yield a served API, its HTTP server and a session that calls it as an administrator."""
    async with Served() as api:
        tokens = TokenFile({"secret": User("admin", ("system:masters",))})
        http = api.server.http(Authentication(api.clock, tokens=tokens))
        for name, value in options.items():
            setattr(http, name, value)
        port = await http.listen()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", headers=BEARER, auto_decompress=False) as session:
            yield api, http, session


def test_answers_carry_upstream_headers(run):
    """An answer says its length, date and audit id; warnings are headers; HEAD has no body."""

    async def main():
        async with listening() as (_, _, session):
            async with session.post(PODS, json=pod(foo=1)) as answer:
                assert answer.status == 201
                assert answer.headers["Warning"] == '299 - "unknown field \\"spec.foo\\""'
                assert answer.headers["Cache-Control"] == "no-cache, private"
                assert len(answer.headers["Audit-Id"]) == 36
                assert answer.headers["Date"].endswith("GMT")
            async with session.get(f"{PODS}/web") as answer:
                body = await answer.read()
                assert answer.headers["Content-Length"] == str(len(body))
            async with session.head(f"{PODS}/web") as answer:
                assert (answer.status, await answer.read()) == (200, b"")

    run(main())


def test_refusals_are_statuses(run):
    """Each refusal has upstream's code and a Status; too large a body closes the connection."""

    async def main():
        async with listening() as (_, _, session):
            async with session.get(f"{PODS}/gone") as answer:
                assert (answer.status, (await answer.json())["message"]) == (404, 'pods "gone" not found')
            async with session.get(PODS, headers={"Authorization": "Bearer wrong"}) as answer:
                assert (answer.status, (await answer.json())["reason"]) == (401, "Unauthorized")
            async with session.post(
                PODS, data=b"x", headers={"Content-Length": "4000000", "Content-Type": "application/json"}
            ) as answer:
                assert (answer.status, (await answer.json())["message"]) == (
                    413,
                    "Request entity too large: limit is 3145728",
                )
            async with session.post(PODS, data=b"<a/>", headers={"Content-Type": "application/xml"}) as answer:
                assert answer.status == 415
            async with session.get("/nothing") as answer:
                assert (answer.status, (await answer.json())["reason"]) == (404, "NotFound")

    run(main())


def test_the_index_lists_paths_that_answer(run):
    """`/` names what is not about objects, in upstream's form; each path that it names is there."""

    async def main():
        async with listening() as (_, _, session):
            async with session.get("/") as answer:
                assert answer.status == 200
                paths = (await answer.json())["paths"]
            assert {"/api", "/api/v1", "/apis/policy", "/apis/policy/v1", "/livez/ping", "/openapi/v3"} <= set(paths)
            assert paths == sorted(set(paths))
            for path in paths:
                async with session.get(path) as answer:
                    assert (answer.status, path) == (200, path)

    run(main())


def test_nobody_sees_health_and_version_alone(run):
    """A caller without credentials reads health and version, and nothing else."""

    async def main():
        async with listening() as (_, _, session):
            url = str(session._base_url)
            async with aiohttp.ClientSession(url) as nobody:
                for path in ("/livez", "/readyz", "/healthz"):
                    async with nobody.get(path) as answer:
                        assert (answer.status, await answer.text()) == (200, "ok")
                async with nobody.get("/version") as answer:
                    assert (await answer.json())["minor"] == "37"
                for path in (PODS, "/metrics", "/api", "/"):
                    async with nobody.get(path) as answer:
                        assert answer.status == 403
            async with session.get("/readyz?verbose") as answer:
                assert (await answer.text()).endswith("[+]watch-cache ok\nreadyz check passed\n")
            async with session.get("/livez/ping") as answer:
                assert answer.status == 200
            async with session.get("/metrics") as answer:
                text = await answer.text()
                assert 'apiserver_storage_objects{resource="namespaces"} 4' in text
                assert (
                    'apiserver_request_total{verb="GET",group="",version="",resource="",subresource="",scope="cluster",code="200"}'
                    in text
                )

    run(main())


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_long_lists_come_in_pieces(run, encoding):
    """A list above 256 KiB comes chunked, compressed for whoever takes it, and is whole."""

    async def main():
        async with listening() as (api, _, session):
            for number in range(20):
                await api.post(
                    "/api/v1/namespaces/default/configmaps",
                    {"metadata": {"name": f"c{number:02}"}, "data": {"a": "x" * 50_000}},
                )
            async with session.get("/api/v1/configmaps", headers={"Accept-Encoding": encoding}) as answer:
                assert answer.headers["Transfer-Encoding"] == "chunked"
                assert answer.headers.get("Content-Encoding", "identity") == encoding
                body = await answer.read()
            tree = json.loads(gzip.decompress(body) if encoding == "gzip" else body)
            assert [it["metadata"]["name"] for it in tree["items"]] == [f"c{number:02}" for number in range(20)]

    run(main())


def test_a_watch_is_told_as_it_happens(run):
    """A watch begins with what is there, goes on with changes, and ends cleanly when the server closes."""

    async def main():
        async with listening() as (api, http, session):
            await api.post(PODS, pod("a"))
            async with session.get(
                f"{PODS}?watch=1&allowWatchBookmarks=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
            ) as answer:
                lines = [json.loads(await answer.content.readline()) for _ in range(2)]
                assert [it["type"] for it in lines] == ["ADDED", "BOOKMARK"]
                assert lines[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
                await api.post(PODS, pod("b"))
                event = json.loads(await answer.content.readline())
                assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "b")
                assert event["object"] == await api.get(f"{PODS}/b")
                await http.close()
                assert await answer.content.readline() == b""

    run(main())


@pytest.mark.parametrize(
    ("path", "accept", "kind", "version"),
    [
        (
            "/api/v1/pods",
            "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io",
            "PartialObjectMetadata",
            "meta.k8s.io/v1",
        ),
        ("/api/v1/pods", "application/json;as=Table;v=v1;g=meta.k8s.io", "Table", "meta.k8s.io/v1"),
        ("/api/v1/pods", "application/json", "Pod", "v1"),
        ("/apis/events.k8s.io/v1/events", "application/json", "Event", "events.k8s.io/v1"),
    ],
)
def test_bookmarks_have_the_form_that_was_asked_for(run, path, accept, kind, version):
    """Objects and bookmarks of one watch are of one kind, so that typed clients can read both."""

    async def main():
        async with listening() as (api, _, session):
            await api.post(PODS, pod("a"))
            about = {"kind": "Pod", "name": "a", "namespace": "default"}
            await api.post("/api/v1/namespaces/default/events", {"metadata": {"name": "e"}, "involvedObject": about})
            async with session.get(f"{path}?watch=1&allowWatchBookmarks=true", headers={"Accept": accept}) as answer:
                lines = [json.loads(await answer.content.readline())]
                await api.clock.advance(61)
                lines.append(json.loads(await answer.content.readline()))
            assert [it["type"] for it in lines] == ["ADDED", "BOOKMARK"]
            assert {(it["object"]["kind"], it["object"]["apiVersion"]) for it in lines} == {(kind, version)}
            assert lines[1]["object"]["metadata"]["resourceVersion"] == str(api.store.revision)

    run(main())


def test_who_leaves_is_forgotten(run):
    """A watch whose client has gone holds nothing."""

    async def main():
        async with listening() as (api, _, session):
            shelf = api.server.registry.shelf(api.server.records[2])
            answer = await session.get(f"{PODS}?watch=1")
            assert shelf.watching == 1
            answer.close()
            for _ in range(100):
                await SystemClock().sleep(0.01)
                if not shelf.watching:
                    break
            assert shelf.watching == 0

    run(main())


def test_who_does_not_read_is_cut_off(run):
    """A watch whose connection takes nothing is broken once its buffer is full, and slows nobody."""

    async def main():
        async with listening(_write_limit=100_000) as (api, _, session):
            path = "/api/v1/namespaces/default/configmaps"
            shelf = api.server.registry.shelf(api.server.registry.routes.record("", "v1", "configmaps"))
            answer = await session.get(f"{path}?watch=1", read_bufsize=1024)
            await api.post(path, {"metadata": {"name": "c"}, "data": {"a": ""}})
            number = 0
            while shelf.watching and number < 200:
                number += 1
                await api.patch(f"{path}/c", {"data": {"a": f"{number}" + "x" * 200_000}})
            assert shelf.watching == 0
            assert (await api.get(f"{path}/c"))["data"]["a"].startswith(str(number))
            with pytest.raises(aiohttp.ClientError):
                while await answer.content.read(1 << 20):
                    pass
            answer.close()

    run(main())


def test_watches_end_when_their_time_is_over(run):
    """timeoutSeconds ends a watch with a whole answer."""

    async def main():
        async with listening() as (api, _, session), session.get(f"{PODS}?watch=1&timeoutSeconds=5") as answer:
            reading = asyncio.create_task(answer.content.read())
            await api.clock.advance(5)
            assert await reading == b""

    run(main())


def test_a_unix_socket_serves_as_well(run, tmp_path):
    """Components of the machine call through a unix socket."""

    async def main():
        async with listening() as (_, http, _):
            path = str(tmp_path / "s")
            await http.listen(unix=path)
            connector = aiohttp.UnixConnector(path)
            async with (
                aiohttp.ClientSession(connector=connector, headers=BEARER) as session,
                session.get("http://localhost/api/v1/namespaces/default") as answer,
            ):
                assert (await answer.json())["status"] == {"phase": "Active"}

    run(main())


class _Proxy:
    """Answers in place of a kubelet."""

    async def serve(self, request, *, pod, subresource, user):
        response = aiohttp.web.StreamResponse()
        await response.prepare(request)
        await response.write(f"{pod.name} {subresource} {user.name} {request.query_string}".encode())
        await response.write_eof()
        return response


def test_streams_go_to_the_kubelet_once_they_are_allowed(run):
    """log, exec and proxy paths are authorized here, for an object that is there, and answered by the proxy."""

    async def main():
        async with listening(_proxy=_Proxy()) as (api, _, session):
            await api.post(PODS, pod())
            async with session.get(f"{PODS}/web/log?follow=true") as answer:
                assert await answer.text() == "web log admin follow=true"
            async with session.get("/api/v1/namespaces/default/services/https:kubernetes:https/proxy/a/b") as answer:
                assert await answer.text() == "kubernetes proxy admin "
            async with session.get(f"{PODS}/gone/log") as answer:
                assert (answer.status, (await answer.json())["message"]) == (404, 'pods "gone" not found')
            async with (
                aiohttp.ClientSession(str(session._base_url)) as nobody,
                nobody.get(f"{PODS}/web/log") as answer,
            ):
                message = (await answer.json())["message"]
                assert message.startswith(
                    'pods "web" is forbidden: User "system:anonymous" cannot get resource "pods/log"'
                )

    run(main())


def test_a_write_is_made_though_its_caller_has_left(run):
    """Who disconnects in the midst of a write leaves a whole one behind."""

    async def main():
        async with listening() as (api, http, session):
            entered, go_on = asyncio.Event(), asyncio.Event()
            put = api.store.put

            async def slow(key, value, *, expected):
                entered.set()
                await go_on.wait()
                return await put(key, value, expected=expected)

            api.store.put = slow
            asked = asyncio.create_task(
                session.post("/api/v1/namespaces/default/configmaps", json={"metadata": {"name": "c"}})
            )
            await entered.wait()
            asked.cancel()
            await asyncio.wait([asked])
            go_on.set()
            await http.close()
            assert (await api.get("/api/v1/namespaces/default/configmaps/c"))["metadata"]["name"] == "c"

    run(main())
