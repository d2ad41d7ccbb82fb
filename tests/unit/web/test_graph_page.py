"""The page of the call graph: who may have it, and what it may load."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from aiohttp import ClientSession, web

from podling.web.graph import application


async def _read() -> str:
    return '{"calls":[],"missing":{}}'


def served(check: Callable[[ClientSession, str], Awaitable[None]]) -> None:
    async def main() -> None:
        runner = web.AppRunner(application("s3cret", _read))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        try:
            async with ClientSession() as session:
                await check(session, f"http://127.0.0.1:{runner.addresses[0][1]}")
        finally:
            await runner.cleanup()

    asyncio.run(main())


def test_the_page_and_all_that_it_names_are_there() -> None:
    """Each file comes with its type; nothing may come from elsewhere, and nothing is kept."""

    async def check(session: ClientSession, base: str) -> None:
        kinds = {
            "": "text/html", "graph.js": "text/javascript", "layout.js": "text/javascript", "graph.css": "text/css",
            "preact.mjs": "text/javascript", "hooks.mjs": "text/javascript", "htm.mjs": "text/javascript",
            "calls.json": "application/json",
        }  # fmt: skip
        for name, kind in kinds.items():
            async with session.get(f"{base}/s3cret/{name}") as answer:
                assert (answer.status, answer.content_type) == (200, kind), name
                assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
                assert answer.headers["Cache-Control"] == "no-store"

    served(check)


@pytest.mark.parametrize(
    "path",
    ["/", "/graph.js", "/wrong/", "/s3cret", "/s3cret/vendor/preact.mjs", "/s3cret/..%2Fgraph.py", "/s3cret/LICENSE"],
)
def test_nothing_else_is_there(path: str) -> None:
    """Without the secret, and beside the page's own files, there is nothing."""

    async def check(session: ClientSession, base: str) -> None:
        async with session.get(base + path, allow_redirects=False) as answer:
            assert answer.status == 404

    served(check)


def test_another_name_for_this_machine_is_refused() -> None:
    """A page elsewhere whose name was made to lead here (DNS rebinding) gets nothing, with the secret or without."""

    async def check(session: ClientSession, base: str) -> None:
        for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", ""):
            async with session.get(f"{base}/s3cret/", headers={"Host": host}) as answer:
                assert answer.status in (400, 403), host
        async with session.get(f"{base}/s3cret/", headers={"Host": "localhost:1"}) as answer:
            assert answer.status == 200

    served(check)
