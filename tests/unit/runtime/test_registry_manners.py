"""Registries that lead elsewhere, answer late or never, or change nothing."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
from pathlib import Path

import pytest
from aiohttp import web

from podling.runtime.oci.images.store import OciImages
from podling.runtime.protocol import Credentials, RuntimeFailure
from tests.unit.runtime.test_hostile_images import entry, layer
from tests.unit.runtime.test_pulling import Registry, digest, held

pytestmark = pytest.mark.root


def test_redirects_never_carry_credentials_to_another_host(tmp_path: Path) -> None:
    """Storage behind a registry is asked without the token, and what it demands is not answered."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        registry.password = "secret"
        registry.elsewhere = registry.url.replace("127.0.0.1", "localhost")
        await images.pull(name, Credentials("user", "secret"))
        assert {said for host, said in registry.said if host == registry.elsewhere} == {""}
        assert not [said for host, said in registry.said if host == registry.elsewhere and said]

    held(tmp_path, scenario)


def test_a_redirect_cannot_ask_for_the_password(tmp_path: Path) -> None:
    """A host that a redirect led to challenges for a token of its own service: nobody goes there."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        registry.password = "secret"
        registry.elsewhere = registry.url.replace("127.0.0.1", "localhost")

        async def demand(_: web.Request) -> web.Response:
            realm = f'Bearer realm="http://{registry.elsewhere}/token",service="thief"'
            return web.Response(status=401, headers={"WWW-Authenticate": realm})

        registry.answer = demand
        with pytest.raises(RuntimeFailure, match="401 Unauthorized"):
            await images.pull(name, Credentials("user", "secret"))
        assert not [said for host, said in registry.said if host == registry.elsewhere and said]

    held(tmp_path, scenario)


def test_a_token_that_expires_in_the_middle_is_renewed(tmp_path: Path) -> None:
    """A registry that refuses a token after two requests gives the whole image all the same."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        registry.token_uses = 2
        await images.pull(name)
        assert registry.tokens > 2

    held(tmp_path, scenario)


def test_an_unchanged_image_is_not_fetched_again(tmp_path: Path) -> None:
    """A second pull resolves the name, and neither configuration nor layers nor manifest are asked for."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        first = await images.pull(name)
        registry.asked.clear()
        assert await images.pull(f"{name}:latest") == first
        assert set(registry.asked) == {"HEAD /v2/a/b/manifests/latest", "/token"}
        registry.manifests["other"] = registry.manifests["latest"]
        await images.pull(f"{name}:other")
        image = await images.status(f"{name}:other")
        assert image is not None
        assert set(image.tags) == {f"{name}:latest", f"{name}:other"}

    held(tmp_path, scenario)


def test_a_silent_registry_is_given_up(tmp_path: Path) -> None:
    """One that takes connections and says nothing, and one whose blob drips for ever, end as failures with no remains."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        async def drip(request: web.Request) -> web.StreamResponse:
            response = web.StreamResponse(headers={"Content-Length": "100000000"})
            await response.prepare(request)
            while True:
                await response.write(b"x")
                await asyncio.sleep(0.02)

        registry.answer = drip
        manifest = json.loads(next(m for m in registry.manifests.values() if b"layers" in m))
        manifest["config"]["size"] = manifest["layers"][0]["size"] = 5_000_000
        data = json.dumps(manifest).encode()
        registry.manifests["drips"] = registry.manifests[digest(data)] = data
        with pytest.raises(RuntimeFailure, match="too slow to wait for"):
            await images.pull(f"{name}:drips")

        async def mute(_: web.Request) -> web.StreamResponse:
            await asyncio.sleep(3600)
            raise AssertionError

        registry.answer = mute
        with pytest.raises(RuntimeFailure, match="timeout awaiting response headers"):
            await images.pull(name)
        assert await images.list() == []
        assert os.listdir(tmp_path / "images" / "tmp") == []

    held(tmp_path, scenario, silence=0.2)


def test_layers_may_be_compressed_with_zstd(tmp_path: Path) -> None:
    """A zstd layer in two frames with a skippable one is unpacked; a broken one is refused."""
    zstd = pytest.importorskip("backports.zstd")
    plain = layer(entry("hello", content=b"z" * 50000))
    half = len(plain) // 2
    packed = zstd.compress(plain[:half]) + b"\x50\x2a\x4d\x18\x04\x00\x00\x00abcd" + zstd.compress(plain[half:])

    def publish(registry: Registry, tag: str, data: bytes) -> None:
        config = json.dumps({"config": {}, "rootfs": {"diff_ids": [digest(plain)]}}).encode()
        manifest = {
            "schemaVersion": 2,
            "config": {"digest": digest(config), "size": len(config)},
            "layers": [
                {"mediaType": "application/vnd.oci.image.layer.v1.tar+zstd", "digest": digest(data), "size": len(data)}
            ],
        }
        registry.blobs |= {digest(config): config, digest(data): data}
        encoded = json.dumps(manifest).encode()
        registry.manifests |= {tag: encoded, digest(encoded): encoded}

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        publish(registry, "broken", packed[:60] + b"\xff" * 40)
        with pytest.raises(RuntimeFailure, match="layer is broken"):
            await images.pull(f"{name}:broken")
        publish(registry, "zstd", packed)
        found = await images.pull(f"{name}:zstd")
        assert (Path(images.layers(found)[0]) / "hello").read_bytes() == b"z" * 50000

    held(tmp_path, scenario)


def test_who_may_not_pull_does_not_join_who_may(tmp_path: Path) -> None:
    """Simultaneous pulls with the right password, the wrong one and none end differently."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        registry.password = "secret"
        right, wrong, without = await asyncio.gather(
            images.pull(name, Credentials("user", "secret")),
            images.pull(name, Credentials("user", "wrong")),
            images.pull(name),
            return_exceptions=True,
        )
        assert isinstance(right, str)
        assert isinstance(wrong, RuntimeFailure)
        assert isinstance(without, RuntimeFailure)

    held(tmp_path, scenario)


def test_a_manifest_that_lists_nonsense_is_refused(tmp_path: Path) -> None:
    """Indexes and manifests of wrong shapes are failures of the pull, not of the node."""

    async def scenario(registry: Registry, images: OciImages, name: str) -> None:
        for number, content in enumerate(
            (b"[]", b"{", b'{"schemaVersion": 1}', b'{"schemaVersion": 2}', b'{"schemaVersion":2,"manifests":[1]}',
             b'{"schemaVersion":2,"manifests":[{}]}', b'{"schemaVersion":2,"manifests":[]}',
             b'{"schemaVersion":2,"config":{"digest":"sha256:x","size":1},"layers":[]}', gzip.compress(b"{}"))
        ):  # fmt: skip
            registry.manifests[str(number)] = registry.manifests[digest(content)] = content
            with pytest.raises(RuntimeFailure) as failure:
                await images.pull(f"{name}:{number}")
            assert failure.value.reason == "ErrImagePull", content
        assert await images.list() == []

    held(tmp_path, scenario)
