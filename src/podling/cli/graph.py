"""`podling graph`: who called whom, asked of the running cluster; as text, or as a page for a browser here."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import click

from podling.cli.admin import ask
from podling.cli.failure import Failure

if TYPE_CHECKING:
    from podling.cluster import DataDir


def show(data_dir: DataDir, namespace: str, form: str) -> None:
    """Print the graph in one of its forms: table, dot or json."""
    click.echo(_read(data_dir, namespace, form), nl=False)


def explain(data_dir: DataDir, caller: str, callee: str, protocol: str) -> None:
    """Print whether `caller` may reach `callee` and why; exit 1 where it may not."""
    answer = ask(data_dir, "GET", "/graph/reachable", **{"from": caller, "to": callee, "protocol": protocol})
    click.echo(answer["text"])
    if answer["verdict"] == "no":
        raise SystemExit(1)


def serve(data_dir: DataDir, port: int) -> None:
    """Serve the page on a loopback port (0 takes a free one) until interrupted; print its address first."""
    import asyncio
    import json

    from aiohttp import web

    from podling.web.graph import application

    _read(data_dir, "", "json")  # where there is no cluster, or none whose calls are seen, there is no page

    async def read() -> str:
        try:
            return await asyncio.to_thread(_read, data_dir, "", "json")
        except Failure as failure:
            raise web.HTTPBadGateway(
                text=json.dumps({"message": failure.message}), content_type="application/json"
            ) from failure

    async def run() -> None:
        secret = secrets.token_urlsafe(16)
        runner = web.AppRunner(application(secret, read), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", port)
        try:
            await site.start()
        except OSError as error:
            raise Failure(
                f"127.0.0.1:{port} cannot be listened on: {error.strerror}", "choose another with --port"
            ) from error
        address = runner.addresses[0][1]
        click.echo(f"Open http://127.0.0.1:{address}/{secret}/ in a browser on this machine; Ctrl-C ends it.")
        try:
            await asyncio.Event().wait()
        finally:
            await runner.cleanup()

    try:
        asyncio.run(run())
    except KeyboardInterrupt:
        click.echo()


def _read(data_dir: DataDir, namespace: str, form: str) -> str:
    return str(ask(data_dir, "GET", "/graph", namespace=namespace, form=form)["text"])
