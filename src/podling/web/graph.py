"""The page of the call graph: its files, and the calls that it draws.

Owns an aiohttp application for one reader on this machine. The page's address holds a secret, the server answers only
to the names of the loopback, and the page may load nothing from elsewhere, so that neither another user nor another
page open in the same browser reads the cluster's calls. `read` gives the calls as JSON; who asks the cluster is not
known here.
"""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_STATIC: Final = Path(__file__).parent / "static"
_FILES: Final = {
    "": ("index.html", "text/html"),
    "graph.js": ("graph.js", "text/javascript"),
    "layout.js": ("layout.js", "text/javascript"),
    "graph.css": ("graph.css", "text/css"),
    "preact.mjs": ("vendor/preact.mjs", "text/javascript"),
    "hooks.mjs": ("vendor/hooks.mjs", "text/javascript"),
    "htm.mjs": ("vendor/htm.mjs", "text/javascript"),
}
"""What the page is made of, by its name below the secret: nothing else is ever read from the disk."""
_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "[::1]"})


def application(secret: str, read: Callable[[], Awaitable[str]]) -> web.Application:
    """Return the application whose page is at `/SECRET/`."""
    headers = {
        "Content-Security-Policy": (
            f"default-src 'none'; script-src 'self' '{_import_map_hash()}'; style-src 'self' 'unsafe-inline';"
            " connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "no-store",
    }

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if re.sub(r":\d+$", "", request.host) not in _LOCAL:
            raise web.HTTPForbidden(text="this page is for the machine that it runs on\n")
        answer = await handler(request)
        answer.headers.update(headers)
        return answer

    async def file(request: web.Request) -> web.StreamResponse:
        name, kind = _FILES.get(request.match_info["name"], ("", ""))
        if not name:
            raise web.HTTPNotFound
        return web.Response(body=(_STATIC / name).read_bytes(), content_type=kind, charset="utf-8")

    async def calls(_request: web.Request) -> web.StreamResponse:
        return web.Response(text=await read(), content_type="application/json")

    app = web.Application(middlewares=[guarded])
    app.router.add_get(f"/{secret}/calls.json", calls)
    app.router.add_get(f"/{secret}/{{name:[a-z.]*}}", file)
    return app


def _import_map_hash() -> str:
    text = (_STATIC / "index.html").read_text()
    found = re.search(r'<script type="importmap">(.*?)</script>', text, re.DOTALL)
    assert found is not None, "the page has an import map"
    return f"sha256-{base64.b64encode(hashlib.sha256(found[1].encode()).digest()).decode()}"
