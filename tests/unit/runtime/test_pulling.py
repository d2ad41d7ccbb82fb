"""Pulling from a registry: tokens, indexes, broken connections, lies."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from podling.aio.chance import Chance
from podling.aio.clock import SystemClock
from podling.runtime.oci.images.archive import architecture
from podling.runtime.oci.images.pull import Puller
from podling.runtime.oci.images.store import OciImages
from podling.runtime.protocol import Credentials, RuntimeFailure
from tests.unit.runtime.test_hostile_images import entry, layer

pytestmark = pytest.mark.root


def digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


class Registry:
    """A registry with one image, which can be told to misbehave."""

    def __init__(self) -> None:
        plain = layer(entry("hello", content=b"hello" * 5000))
        compressed = gzip.compress(plain, mtime=0)
        config = json.dumps({"config": {"Cmd": ["x"]}, "rootfs": {"diff_ids": [digest(plain)]}}).encode()
        manifest = json.dumps(
            {
                "schemaVersion": 2,
                "config": {"digest": digest(config), "size": len(config)},
                "layers": [{"digest": digest(compressed), "size": len(compressed)}],
            }
        ).encode()
        index = json.dumps(
            {
                "schemaVersion": 2,
                "manifests": [
                    {"digest": "sha256:" + "0" * 64, "platform": {"os": "linux", "architecture": "mips"}},
                    {"digest": digest(manifest), "platform": {"os": "linux", "architecture": architecture()}},
                ],
            }
        ).encode()
        self.layer = digest(compressed)
        self.index = digest(index)
        self.blobs = {digest(item): item for item in (compressed, config)}
        self.manifests = {digest(manifest): manifest, "latest": index, digest(index): index}
        self.asked: list[str] = []
        self.said: list[tuple[str, str]] = []
        """Each request's host with the credentials that it carried."""
        self.tokens = 0
        self.token_uses = 1000
        self.cut = 0
        self.elsewhere = ""
        """A host and port to which blobs are redirected."""
        self.answer: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        """What to do about blobs instead of giving them."""
        self.password = ""
        self.used = 0
        self.url = ""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request.path if request.method == "GET" else f"{request.method} {request.path}")
        self.said.append((request.host, request.headers.get("Authorization", "")))
        if request.path == "/token":
            if self.password and request.headers.get("Authorization") != "Basic dXNlcjpzZWNyZXQ=":
                return web.Response(status=401)
            self.tokens += 1
            self.used = 0
            return web.json_response({"token": f"let-me-in-{self.tokens}"})
        self.used += 1
        wanted = f"Bearer let-me-in-{self.tokens}"
        if request.host == self.url and (request.headers.get("Authorization") != wanted or self.used > self.token_uses):
            challenge = f'Bearer realm="http://{self.url}/token",service="r",scope="repository:a/b:pull"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        kind, name = request.path.split("/")[-2:]
        data = (self.manifests if kind == "manifests" else self.blobs).get(name)
        if data is None or not request.path.startswith("/v2/a/b/"):
            return web.Response(status=404)
        if kind == "blobs" and self.elsewhere and request.host == self.url:
            return web.Response(status=307, headers={"Location": f"http://{self.elsewhere}{request.path}"})
        if kind == "blobs" and self.answer is not None:
            return await self.answer(request)
        start = int(request.headers["Range"][6:-1]) if "Range" in request.headers else 0
        if kind == "blobs" and name == self.layer and self.cut and not start:
            response = web.StreamResponse(headers={"Content-Length": str(len(data))})
            await response.prepare(request)
            await response.write(data[: self.cut])
            assert request.transport is not None
            request.transport.close()
            return response
        headers = {"Docker-Content-Digest": digest(data)} if kind == "manifests" else {}
        return web.Response(body=data[start:], status=206 if start else 200, headers=headers)


def held(
    tmp_path: Path, scenario: Callable[[Registry, OciImages, str], Awaitable[None]], *, silence: float = 30.0
) -> None:
    async def main() -> None:
        registry = Registry()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", registry.handle)
        runner = web.AppRunner(application, handler_cancellation=True)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        registry.url = f"127.0.0.1:{runner.addresses[0][1]}"
        images = OciImages(tmp_path / "images", Chance(), puller=Puller(SystemClock(), silence=silence))
        images.open()
        try:
            await scenario(registry, images, f"{registry.url}/a/b")
        finally:
            await images.close()
            await runner.cleanup()

    asyncio.run(main())


def test_an_image_is_pulled_once_for_all_who_wait(tmp_path: Path) -> None:
    """Token, index and blobs are fetched; simultaneous pulls of a reference are one."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        ids = await asyncio.gather(*(images.pull(name) for _ in range(5)))
        assert len(set(ids)) == 1
        assert registry.asked.count(f"/v2/a/b/blobs/{registry.layer}") == 1
        image = await images.status(name)
        assert image is not None
        assert image.digests == (f"{registry.url}/a/b@{registry.index}",)
        assert (Path(images.layers(image.id)[0]) / "hello").read_bytes() == b"hello" * 5000
        assert await images.pull(f"{name}@{registry.index}") == ids[0]

    held(tmp_path, scenario)


def test_a_broken_connection_is_taken_up_where_it_broke(tmp_path: Path) -> None:
    """The second request asks for the rest only."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        registry.cut = 40
        await images.pull(name)
        assert registry.asked.count(f"/v2/a/b/blobs/{registry.layer}") == 2

    held(tmp_path, scenario)


def test_credentials_open_what_is_closed(tmp_path: Path) -> None:
    """Without the password the pull fails; with it the token is given."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        registry.password = "secret"
        with pytest.raises(RuntimeFailure, match="failed to authorize: failed to fetch anonymous token: .* 401"):
            await images.pull(name)
        with pytest.raises(RuntimeFailure, match="failed to fetch oauth token: .* 401 Unauthorized"):
            await images.pull(name, Credentials("user", "wrong"))
        await images.pull(name, Credentials("user", "secret"))

    held(tmp_path, scenario)


def test_content_that_is_not_what_was_named_is_refused(tmp_path: Path) -> None:
    """A blob of another digest is never unpacked."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        registry.blobs[registry.layer] = registry.blobs[registry.layer][:-1] + b"X"
        with pytest.raises(RuntimeFailure, match="unexpected commit digest") as failure:
            await images.pull(name)
        assert failure.value.reason == "ErrImagePull"
        assert await images.list() == []

    held(tmp_path, scenario)


def test_what_is_not_there_is_said_so(tmp_path: Path) -> None:
    """A missing tag, a dead registry and a reference that is none each have their reason."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        for reference, reason, words in (
            (f"{name}:gone", "ErrImagePull", "not found"),
            ("127.0.0.1:1/a/b", "ErrImagePull", "dial tcp 127.0.0.1:1: connect: connection refused"),
            ("Bad Name", "InvalidImageName", "invalid reference format"),
        ):
            with pytest.raises(RuntimeFailure, match=words) as failure:
                await images.pull(reference)
            assert failure.value.reason == reason

    held(tmp_path, scenario)
