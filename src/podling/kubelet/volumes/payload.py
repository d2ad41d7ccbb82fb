"""What a projected volume shows: files from ConfigMaps, Secrets, the Downward API and service account tokens.

Owns the gathering: keys and paths, modes, optional references, upstream's words for what is missing. Knows no disk.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

from msgspec import Struct

from podling.api.codec import to_tree
from podling.api.errors import StatusError
from podling.api.resources import CONFIG_MAPS, SECRETS, SERVICE_ACCOUNTS
from podling.api.times import from_wire
from podling.api.types.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec
from podling.kubelet.downward import field_value, resource_value
from podling.kubelet.objects import MissingReference, config_map_content, secret_content
from podling.kubelet.volumes.writer import ProjectedFile

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence

    from podling.aio.clock import Clock
    from podling.api.resources import Resource
    from podling.api.types.core_v1 import (
        ConfigMap,
        DownwardAPIVolumeFile,
        KeyToPath,
        Pod,
        Secret,
        ServiceAccountTokenProjection,
        Volume,
    )
    from podling.client.client import Client
    from podling.kubelet.objects import References
    from podling.kubelet.volumes.changes import VolumeChanges

_Kind = TypeVar("_Kind", "ConfigMap", "Secret")

_DEFAULT_MODE: Final = 0o644
_TOKEN_LIFE: Final = 3600
_OLDEST: Final = 86_400.0
"""Seconds after which a token is renewed however long it still lives."""


class _Token(Struct, frozen=True):
    text: str
    refresh_at: float
    expires: float


class Payloads:
    """Gathers the files of projected volumes."""

    def __init__(
        self,
        client: Client,
        references: References,
        clock: Clock,
        host_addresses: Sequence[str],
        allocatable: Callable[[], Mapping[str, str]],
        changes: VolumeChanges | None = None,
    ) -> None:
        """`changes` hears what each volume was made from; without it nobody needs to know."""
        self._client = client
        self._references = references
        self._clock = clock
        self._host_addresses = host_addresses
        self._allocatable = allocatable
        self._changes = changes
        self._tokens: dict[tuple[str, str, str, int], _Token] = {}

    async def gather(self, pod: Pod, volume: Volume, addresses: Sequence[str]) -> dict[str, ProjectedFile] | None:
        """Return the files of a volume, or `None` for a kind that projects nothing; `MissingReference` if it cannot."""
        if volume.config_map is not None:
            source = volume.config_map
            mode = _mode(source.default_mode)
            return await self._config_map(pod, source.name, source.items, mode, optional=bool(source.optional))
        if volume.secret is not None:
            secret = volume.secret
            mode = _mode(secret.default_mode)
            return await self._secret(pod, secret.secret_name, secret.items, mode, optional=bool(secret.optional))
        if volume.downward_api is not None:
            return self._downward(pod, volume.downward_api.items, _mode(volume.downward_api.default_mode), addresses)
        if volume.projected is not None:
            return await self._projected(pod, volume, addresses)
        return None

    def forget(self, uid: str) -> None:
        """Drop what is held for a Pod that is gone."""
        self._tokens = {key: token for key, token in self._tokens.items() if key[0] != uid}
        if self._changes is not None:
            self._changes.forget(uid)

    async def _projected(self, pod: Pod, volume: Volume, addresses: Sequence[str]) -> dict[str, ProjectedFile]:
        assert volume.projected is not None
        mode = _mode(volume.projected.default_mode)
        files: dict[str, ProjectedFile] = {}
        for source in volume.projected.sources:
            if source.config_map is not None:
                ref = source.config_map
                files |= await self._config_map(pod, ref.name, ref.items, mode, optional=bool(ref.optional))
            elif source.secret is not None:
                secret = source.secret
                files |= await self._secret(pod, secret.name, secret.items, mode, optional=bool(secret.optional))
            elif source.downward_api is not None:
                files |= self._downward(pod, source.downward_api.items, mode, addresses)
            elif source.service_account_token is not None:
                files |= await self._token(pod, source.service_account_token, mode)
            else:
                raise MissingReference(f'volume "{volume.name}": a source of it is not supported')
        return files

    async def _config_map(
        self, pod: Pod, name: str, items: Sequence[KeyToPath], mode: int, *, optional: bool
    ) -> dict[str, ProjectedFile]:
        reading = self._references.config_map(pod.metadata.namespace, name, optional=optional)
        found = await self._read(pod, CONFIG_MAPS, name, reading)
        content = config_map_content(found) if found is not None else {}
        return _selected(content, items, mode, "configmap references non-existent config key", optional=optional)

    async def _secret(
        self, pod: Pod, name: str, items: Sequence[KeyToPath], mode: int, *, optional: bool
    ) -> dict[str, ProjectedFile]:
        reading = self._references.secret(pod.metadata.namespace, name, optional=optional)
        found = await self._read(pod, SECRETS, name, reading)
        content = secret_content(found) if found is not None else {}
        return _selected(content, items, mode, "references non-existent secret key", optional=optional)

    async def _read(
        self, pod: Pod, resource: Resource[_Kind], name: str, reading: Awaitable[_Kind | None]
    ) -> _Kind | None:
        """Return what `reading` finds, followed from before it was read, missing or not: it may yet come."""
        changes = self._changes
        if changes is None:
            return await reading
        uid, namespace = pod.metadata.uid, pod.metadata.namespace
        changes.follow(uid, resource, namespace, name)
        revision = 0
        try:
            found = await reading
            if found is not None:
                revision = int(found.metadata.resource_version or 0)
        finally:
            changes.read(uid, resource, namespace, name, revision)
        return found

    def _downward(
        self, pod: Pod, items: Sequence[DownwardAPIVolumeFile], mode: int, addresses: Sequence[str]
    ) -> dict[str, ProjectedFile]:
        files = {}
        for item in items:
            if item.field_ref is not None:
                value = field_value(pod, item.field_ref.field_path, addresses, self._host_addresses)
            elif item.resource_field_ref is not None:
                value = resource_value(pod, item.resource_field_ref, self._allocatable())
            else:
                continue
            files[item.path] = ProjectedFile(value.encode(), item.mode if item.mode is not None else mode)
        return files

    async def _token(self, pod: Pod, source: ServiceAccountTokenProjection, mode: int) -> dict[str, ProjectedFile]:
        """Return a token bound to the Pod, asked for anew when four fifths of its life are over, as upstream does.

        One that cannot be renewed is shown for as long as it lives.
        """
        life = source.expiration_seconds or _TOKEN_LIFE
        account = pod.spec.service_account_name or "default"
        key = (pod.metadata.uid, account, source.audience, life)
        held = self._tokens.get(key)
        now = self._clock.time()
        if held is None or now >= held.refresh_at:
            try:
                held = self._tokens[key] = await self._request(pod, account, source.audience, life, now)
            except MissingReference:
                if held is None or now >= held.expires:
                    raise
        security = pod.spec.security_context
        group_reads = security is not None and security.fs_group is not None
        user = _only_user(pod)
        token_mode = 0o600 if user is not None or group_reads else mode
        return {source.path: ProjectedFile(held.text.encode(), 0o640 if group_reads else token_mode, user)}

    async def _request(self, pod: Pod, account: str, audience: str, life: int, now: float) -> _Token:
        request = TokenRequest(
            spec=TokenRequestSpec(
                audiences=(audience,) if audience else (),
                expiration_seconds=life,
                bound_object_ref=BoundObjectReference(
                    api_version="v1", kind="Pod", name=pod.metadata.name, uid=pod.metadata.uid
                ),
            )
        )
        try:
            answer: dict[str, Any] = await self._client.create_subresource(
                SERVICE_ACCOUNTS, account, "token", to_tree(request), namespace=pod.metadata.namespace
            )
        except StatusError as refusal:
            raise MissingReference(f"failed to fetch token: {refusal.message}") from refusal
        status = answer["status"]
        expires = from_wire(status["expirationTimestamp"])
        return _Token(status["token"], now + min(0.8 * (expires - now), _OLDEST), expires)


def _only_user(pod: Pod) -> int | None:
    """Return the user that every container runs as, if it is one: the token is then readable by that user alone."""
    security = pod.spec.security_context
    default = security.run_as_user if security is not None else None
    users = []
    for container in (*pod.spec.init_containers, *pod.spec.containers):
        own = container.security_context.run_as_user if container.security_context is not None else None
        users.append(own if own is not None else default)
    first = users[0] if users else None
    return first if first is not None and all(user == first for user in users) else None


def _mode(mode: int | None) -> int:
    return _DEFAULT_MODE if mode is None else mode


def _selected(
    content: Mapping[str, bytes], items: Sequence[KeyToPath], mode: int, missing: str, *, optional: bool
) -> dict[str, ProjectedFile]:
    if not items:
        return {key: ProjectedFile(value, mode) for key, value in content.items()}
    files = {}
    for item in items:
        if item.key in content:
            files[item.path] = ProjectedFile(content[item.key], item.mode if item.mode is not None else mode)
        elif not optional:
            raise MissingReference(f"{missing}: {item.key}")
    return files
