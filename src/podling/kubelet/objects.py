"""ConfigMaps, Secrets and RuntimeClasses as Pods refer to them.

Owns the reading of referenced objects and upstream's words for what is missing. Knows neither volumes nor environment.
Reads go to the API each time: a Pod started now sees what is there now.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from podling.api.errors import StatusError
from podling.api.resources import CONFIG_MAPS, RUNTIME_CLASSES, SECRETS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.types.core_v1 import ConfigMap, Secret
    from podling.client.client import Client


class MissingReference(Exception):  # an outcome that callers plan for
    """An object or key that a Pod needs is not there; the message is upstream's."""


class References:
    """Reads what Pods of this node refer to."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def config_map(self, namespace: str, name: str, *, optional: bool = False) -> ConfigMap | None:
        """Return a ConfigMap; `None` if it is missing and may be."""
        try:
            return await self._client.get(CONFIG_MAPS, name, namespace)
        except StatusError as refusal:
            _explain(refusal, f'configmap "{name}" not found', optional=optional)
            return None

    async def runtime_handler(self, name: str) -> str:
        """Return the handler of a RuntimeClass."""
        try:
            return (await self._client.get(RUNTIME_CLASSES, name)).handler
        except StatusError as refusal:
            raise MissingReference(refusal.message) from refusal

    async def secret(self, namespace: str, name: str, *, optional: bool = False) -> Secret | None:
        """Return a Secret; `None` if it is missing and may be."""
        try:
            return await self._client.get(SECRETS, name, namespace)
        except StatusError as refusal:
            _explain(refusal, f'secret "{name}" not found', optional=optional)
            return None


def _explain(refusal: StatusError, message: str, *, optional: bool) -> None:
    """Raise what a refusal means for the Pod; return where the object is missing and may be."""
    if refusal.is_not_found and optional:
        return
    if refusal.is_not_found or refusal.is_forbidden:
        raise MissingReference(message if refusal.is_not_found else refusal.message) from refusal
    raise refusal


def config_map_content(config_map: ConfigMap) -> Mapping[str, bytes]:
    """Return a ConfigMap's values as bytes, by key in their order."""
    content = {key: value.encode() for key, value in config_map.data.items()}
    content.update({key: decoded(value) for key, value in config_map.binary_data.items()})
    return dict(sorted(content.items()))


def secret_content(secret: Secret) -> Mapping[str, bytes]:
    """Return a Secret's values as bytes, by key in their order."""
    return {key: decoded(value) for key, value in sorted(secret.data.items())}


def decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except binascii.Error:
        return b""
