"""What hostile callers do to connections: answered or cut off, never believed, and others are served meanwhile."""

from __future__ import annotations

import asyncio
import logging

from tests.served import PODS
from tests.unit.apiserver.test_http import listening

from podling.aio.patience import HEADERS
from podling.apiserver.http import BODY_PATIENCE

HEAD = b"POST %b HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n" % PODS.encode()


async def _open(session):
    return await asyncio.open_connection(session._base_url.host, session._base_url.port)


def test_bodies_that_cannot_be_read_are_bad_requests(run):
    """A body that is not of its Content-Encoding is the caller's fault, not the server's."""

    async def main():
        async with listening() as (_, _, session):
            headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
            async with session.post(PODS, data=b"no gzip at all", headers=headers) as answer:
                assert answer.status == 400
                assert (await answer.json())["reason"] == "BadRequest"

    run(main())


def test_a_body_that_does_not_come_is_not_waited_for(run):
    """Who promises a body and does not send it is told so after a minute, and the connection closed."""

    async def main():
        async with listening() as (api, _, session):
            reader, writer = await _open(session)
            writer.write(HEAD + b"Content-Length: 50\r\n\r\n{")
            await writer.drain()
            async with session.get(PODS) as answer:
                assert answer.status == 200
            await asyncio.sleep(0.05)
            await api.clock.advance(BODY_PATIENCE + 1)
            assert b" 504 " in await reader.readline()
            writer.close()
            async with session.get(PODS) as answer:
                assert (await answer.json())["items"] == []

    run(main())


def test_a_head_that_does_not_end_is_not_waited_for(run):
    """Silence, half a head and half a second head each cost a connection after 32 s; who is served is not cut off."""

    async def main():
        async with listening() as (api, _, session):
            silent, half, second, served = [await _open(session) for _ in range(4)]
            half[1].write(HEAD[:-20])
            request = HEAD.replace(b"POST", b"GET") + b"\r\n"
            for reader, writer in (second, served):
                writer.write(request)
                assert b" 200 " in await reader.readline()
            watch = await _open(session)
            watch[1].write(request.replace(b" HTTP", b"?watch=true HTTP"))
            assert b" 200 " in await watch[0].readline()
            await asyncio.sleep(0.05)
            second[1].write(request[:20])
            await asyncio.sleep(0.05)
            await api.clock.advance(HEADERS - 1)
            half[1].write(HEAD[-20:-10])
            await asyncio.sleep(0.05)
            assert not any(reader.at_eof() for reader, _ in (silent, half, second, served, watch))
            await api.clock.advance(2)
            for reader, _ in (silent, half, second):
                await asyncio.wait_for(reader.read(), 5)
            served[1].write(request)
            await asyncio.sleep(0.05)
            assert b"HTTP/1.1 200 OK" in await served[0].read(100_000)
            assert not watch[0].at_eof()
            for _, writer in (silent, half, second, served, watch):
                writer.close()

    run(main())


def test_what_is_no_http_is_refused_and_not_logged_as_a_defect(run, caplog):
    """Two lengths, both length and chunks, or garbage: 400, closed, nothing behind it read as a request."""
    spoilt = [
        b"GARBAGE\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhelloGET /version HTTP/1.1\r\nHost: x\r\n\r\n",
        HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /version HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /version HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 20000 + b"\r\n",
    ]  # fmt: skip

    async def main():
        async with listening() as (_, _, session):
            for data in spoilt:
                reader, writer = await _open(session)
                writer.write(data)
                answer = await asyncio.wait_for(reader.read(), 20)
                writer.close()
                assert answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ")), answer
                assert answer.count(b"HTTP/1.") <= 2
                assert b"gitVersion" not in answer
            async with session.get("/version") as answer:
                assert answer.status == 200

    with caplog.at_level(logging.ERROR):
        run(main())
    assert not caplog.records
