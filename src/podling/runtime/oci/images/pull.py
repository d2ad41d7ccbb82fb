"""Images from a registry: manifests, tokens and blobs over the distribution API.

Owns the HTTP. Writes blobs into a scratch directory and hands them on; the store unpacks them. Invariants: every byte
is checked against the digest that named it while it arrives; credentials go to the registry that they are for and to
the token service which that registry names over HTTPS, and nowhere a redirect leads; plain HTTP is spoken to the
loopback and to hosts that were named, and to nobody else.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urljoin, urlsplit

from podling.runtime.oci.images.archive import choose
from podling.runtime.oci.images.limits import ArchiveRefused, Bounds
from podling.runtime.protocol import RuntimeFailure

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from pathlib import Path

    import aiohttp

    from podling.aio.clock import Clock
    from podling.runtime.oci.images.reference import Reference
    from podling.runtime.protocol import Credentials

_INDEX: Final = ("application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json")
_MANIFEST: Final = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
_ACCEPT: Final = ", ".join([*_INDEX, *_MANIFEST])
_CHALLENGE = re.compile(r'(\w+)="([^"]*)"')
_TRIES: Final = 4
_SILENCE: Final = 60.0
"""Seconds without a byte after which a connection counts as dead."""


@dataclass(frozen=True, slots=True)
class Pulled:
    """An image as it arrived: its layers in order from the lowest, `None` for one that was there."""

    digest: str
    config: bytes
    layers: Sequence[Path | None]


class _Interrupted(Exception):
    """The connection broke in the middle; what has arrived is kept."""


class Puller:
    """Fetches images. `insecure` names hosts (with port) that are spoken to over plain HTTP, beside the loopback."""

    def __init__(
        self, clock: Clock, *, insecure: Sequence[str] = (), bounds: Bounds | None = None, parallel: int = 3
    ) -> None:
        self._clock = clock
        self._insecure = frozenset(insecure)
        self._bounds = bounds or Bounds()
        self._parallel = parallel

    async def pull(
        self,
        reference: Reference,
        credentials: Credentials | None,
        scratch: Path,
        have: Callable[[str], bool],
    ) -> Pulled:
        """Fetch an image's manifest, configuration and those layers that the node does not `have`.

        `RuntimeFailure` is ErrImagePull in upstream's words, or RegistryUnavailable where nobody answers.
        """
        import aiohttp

        timeout = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=_SILENCE)
        try:
            async with aiohttp.ClientSession(timeout=timeout, auto_decompress=False, trust_env=True) as session:
                return await _Conversation(self, session, reference, credentials).pull(scratch, have)
        except (aiohttp.ClientConnectionError, TimeoutError) as error:
            raise RuntimeFailure(
                "RegistryUnavailable", f'failed to pull and unpack image "{reference}": failed to do request: {error}'
            ) from error
        except (aiohttp.ClientError, _Interrupted) as error:
            raise RuntimeFailure("ErrImagePull", f'failed to pull and unpack image "{reference}": {error}') from error

    def base(self, registry: str) -> str:
        """Return the URL at which a registry's API begins."""
        host = "registry-1.docker.io" if registry == "docker.io" else registry
        return f"{'http' if self._plain(host) else 'https'}://{host}/v2/"

    def _plain(self, host: str) -> bool:
        name = urlsplit(f"//{host}").hostname or ""
        return host in self._insecure or name in {"localhost", "::1"} or name.startswith("127.")


class _Conversation:
    """One pull: the authorization that it has gained, and its requests."""

    def __init__(
        self,
        puller: Puller,
        session: aiohttp.ClientSession,
        reference: Reference,
        credentials: Credentials | None,
    ) -> None:
        self._puller = puller
        self._session = session
        self._reference = reference
        self._credentials = credentials
        self._base = urljoin(puller.base(reference.registry), f"{reference.path}/")
        self._authorization = ""
        if credentials is not None and credentials.registry_token:
            self._authorization = f"Bearer {credentials.registry_token}"

    async def pull(self, scratch: Path, have: Callable[[str], bool]) -> Pulled:
        manifest, digest = await self._manifest(self._reference.digest or self._reference.tag)
        top = digest
        for _ in range(3):
            if "manifests" not in manifest:
                break
            manifest, digest = await self._manifest(choose(manifest["manifests"]))
        try:
            descriptor = manifest["config"]
            config_digest, config_size = str(descriptor["digest"]), int(descriptor["size"])
            layers = [(str(layer["digest"]), int(layer["size"])) for layer in manifest["layers"]]
        except (KeyError, TypeError, ValueError) as error:
            raise ArchiveRefused(f"manifest {digest} lacks what it must have: {error!r}") from error
        bounds = self._puller._bounds
        if config_size > bounds.metadata or len(layers) > bounds.layers:
            raise ArchiveRefused(f"manifest {digest} asks for more than an image may have")
        config_path = scratch / "config"
        await self._blob(config_digest, config_size, config_path)
        config = config_path.read_bytes()
        try:
            diff_ids = [str(item) for item in json.loads(config)["rootfs"]["diff_ids"]]
        except (ValueError, KeyError, TypeError) as error:
            raise ArchiveRefused(f"image configuration {config_digest} is broken: {error!r}") from error
        if len(diff_ids) != len(layers):
            raise ArchiveRefused(f"image has {len(layers)} layers and its configuration names {len(diff_ids)}")
        gate = asyncio.Semaphore(self._puller._parallel)

        async def fetch(number: int) -> Path | None:
            if have(diff_ids[number]):
                return None
            path = scratch / f"layer-{number}"
            async with gate:
                await self._blob(*layers[number], path)
            return path

        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(fetch(number)) for number in range(len(layers))]
        except ExceptionGroup as several:
            raise several.exceptions[0] from several
        return Pulled(top, config, [task.result() for task in tasks])

    async def _manifest(self, name: str) -> tuple[dict[str, Any], str]:
        async with self._get(f"manifests/{name}", {"Accept": _ACCEPT}) as response:
            await self._expect(response, name)
            data = await response.content.read(self._puller._bounds.metadata + 1)
            while len(data) <= self._puller._bounds.metadata and (more := await response.content.read(1 << 16)):
                data += more
        if len(data) > self._puller._bounds.metadata:
            raise ArchiveRefused(f"manifest {name} is too large")
        digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
        if ":" in name and name != digest:
            raise ArchiveRefused(f"manifest has digest {digest}, wanted {name}")
        try:
            manifest = json.loads(data)
        except ValueError as error:
            raise ArchiveRefused(f"manifest {name} is no JSON: {error}") from error
        if not isinstance(manifest, dict) or manifest.get("schemaVersion") != 2:
            raise ArchiveRefused(f"manifest {name} is of a form that is not supported")
        return manifest, digest

    async def _blob(self, digest: str, size: int, path: Path) -> None:
        """Fetch a blob, going on where a broken connection left it."""
        import aiohttp

        if not re.fullmatch(r"sha256:[0-9a-f]{64}", digest) or not 0 <= size <= self._puller._bounds.layer:
            raise ArchiveRefused(f"blob {digest!r} of {size} bytes cannot be")
        checksum = hashlib.sha256()
        with path.open("wb") as file:
            for attempt in range(_TRIES):
                try:
                    await self._blob_from(digest, size, file.tell(), file.write, checksum)
                    break
                except (_Interrupted, aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, TimeoutError):
                    if attempt == _TRIES - 1:
                        raise
                    await self._puller._clock.sleep(0.2 * 2**attempt)
        if f"sha256:{checksum.hexdigest()}" != digest:
            raise ArchiveRefused(f"blob {digest} arrived as sha256:{checksum.hexdigest()}")

    async def _blob_from(
        self, digest: str, size: int, offset: int, write: Callable[[bytes], int], checksum: Any
    ) -> None:
        headers = {"Range": f"bytes={offset}-"} if offset else {}
        if offset == size and size:
            return
        async with self._get(f"blobs/{digest}", headers) as response:
            await self._expect(response, digest)
            skip = offset if offset and response.status != 206 else 0
            arrived = offset - skip
            async for data in response.content.iter_chunked(1 << 18):
                arrived += len(data)
                if arrived > size:
                    raise ArchiveRefused(f"blob {digest} is larger than the {size} bytes that were announced")
                if skip:
                    dropped = min(skip, len(data))
                    skip -= dropped
                    data = data[dropped:]
                if data:
                    checksum.update(data)
                    await asyncio.to_thread(write, data)
            if arrived < size:
                raise _Interrupted(f"blob {digest} ended after {arrived} of {size} bytes")

    @asynccontextmanager
    async def _get(self, path: str, headers: dict[str, str]) -> AsyncIterator[aiohttp.ClientResponse]:
        """Request something of the repository; once a challenge is answered, the answer is kept."""
        for _ in range(2):
            authorized = {**headers, "Authorization": self._authorization} if self._authorization else headers
            response = await self._request(urljoin(self._base, path), authorized)
            if response.status != 401 or not await self._answer(response.headers.get("WWW-Authenticate", "")):
                break
            response.release()
        try:
            yield response
        finally:
            response.release()

    async def _request(self, url: str, headers: dict[str, str]) -> aiohttp.ClientResponse:
        # Redirects are followed by hand: storage behind a registry must not see what is meant for the registry.
        for _ in range(6):
            response = await self._session.get(url, headers=headers, allow_redirects=False)
            if response.status not in {301, 302, 303, 307, 308}:
                return response
            target = urljoin(url, response.headers.get("Location", ""))
            response.release()
            before, after = urlsplit(url), urlsplit(target)
            if after.scheme != "https" and not (after.scheme == "http" and self._puller._plain(after.netloc)):
                raise ArchiveRefused(f"registry redirects to {after.scheme}://{after.netloc}, which is not allowed")
            if before.netloc != after.netloc:
                headers = {name: value for name, value in headers.items() if name != "Authorization"}
            url = target
        raise ArchiveRefused(f"registry redirects without end at {url}")

    async def _answer(self, challenge: str) -> bool:
        """Gain an authorization that the registry's challenge asks for; say whether there is a new one."""
        scheme, _, rest = challenge.partition(" ")
        parameters = dict(_CHALLENGE.findall(rest))
        credentials = self._credentials
        basic = ""
        if credentials is not None and credentials.username:
            pair = f"{credentials.username}:{credentials.password}".encode()
            basic = f"Basic {base64.b64encode(pair).decode()}"
        before = self._authorization
        if scheme.lower() == "basic":
            self._authorization = basic
        elif scheme.lower() == "bearer":
            self._authorization = await self._token(parameters, basic)
        return bool(self._authorization) and self._authorization != before

    async def _token(self, parameters: dict[str, str], basic: str) -> str:
        realm = parameters.get("realm", "")
        where = urlsplit(realm)
        if where.scheme != "https" and not (where.scheme == "http" and self._puller._plain(where.netloc)):
            raise ArchiveRefused(f"registry names {realm!r} as its token service, which is not allowed")
        scope = parameters.get("scope") or f"repository:{self._reference.path}:pull"
        query = {"scope": scope, **({"service": parameters["service"]} if "service" in parameters else {})}
        credentials = self._credentials
        if credentials is not None and credentials.identity_token:
            form = {
                **query,
                "grant_type": "refresh_token",
                "client_id": "podling",
                "refresh_token": credentials.identity_token,
            }
            response = await self._session.post(realm, data=form, allow_redirects=False)
        else:
            headers = {"Authorization": basic} if basic else {}
            response = await self._session.get(realm, params=query, headers=headers, allow_redirects=False)
        async with response:
            if response.status != 200:
                raise self._failure(
                    f"failed to authorize: failed to fetch {'oauth' if basic else 'anonymous'} token: "
                    f"unexpected status from GET request to {realm}: {response.status} {response.reason}"
                )
            answer = json.loads(await response.content.read(1 << 20))
        token = answer.get("token") or answer.get("access_token") if isinstance(answer, dict) else None
        return f"Bearer {token}" if token else ""

    def _failure(self, why: str) -> RuntimeFailure:
        return RuntimeFailure(
            "ErrImagePull",
            f'failed to pull and unpack image "{self._reference}": '
            f'failed to resolve reference "{self._reference}": {why}',
        )

    async def _expect(self, response: aiohttp.ClientResponse, what: str) -> None:
        if response.status in {200, 206}:
            return
        if response.status == 404:
            raise self._failure(f"{self._reference}: not found")
        if response.status in {401, 403}:
            raise self._failure(
                "pull access denied, repository does not exist or may require authorization: "
                "server message: insufficient_scope: authorization failed"
            )
        if response.status == 416:
            raise _Interrupted(f"{what} cannot be continued")
        reason = "RegistryUnavailable" if response.status >= 500 else "ErrImagePull"
        raise RuntimeFailure(
            reason,
            f'failed to pull and unpack image "{self._reference}": unexpected status from GET request to '
            f"{response.url.origin()}: {response.status} {response.reason}",
        )
