"""ConfigMaps, Secrets and ServiceAccounts: keys, sizes, and what stays once it is immutable."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.validation import formats, meta
from podling.api.validation.field import (
    METADATA,
    ROOT,
    Path,
    forbidden,
    immutable,
    invalid,
    invalid_each,
    required,
    too_long,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.errors import Cause
    from podling.api.types.core_v1 import ConfigMap, Secret, ServiceAccount

_LARGEST = 1024 * 1024
_FROZEN = "field is immutable when `immutable` is set"
_ACCOUNT_NAME = "kubernetes.io/service-account.name"
_KEYS: dict[str, tuple[str, ...]] = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}


def check_config_map_create(config: ConfigMap, causes: list[Cause]) -> None:
    meta.check_create(config.metadata, causes, namespaced=True)
    size = 0
    for key, value in config.data.items():
        where = (ROOT / "data").key(key)
        invalid_each(where, key, formats.config_key(key), causes)
        if key in config.binary_data:
            causes.append(invalid(where, key, "duplicate of key present in binaryData"))
        size += len(value) if value.isascii() else len(value.encode())
    for key, value in config.binary_data.items():
        invalid_each((ROOT / "binaryData").key(key), key, formats.config_key(key), causes)
        size += decoded_size(value)
    if size > _LARGEST:
        causes.append(too_long(ROOT, _LARGEST))


def check_config_map_update(new: ConfigMap, old: ConfigMap, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    if old.immutable:
        if not new.immutable:
            causes.append(forbidden(ROOT / "immutable", _FROZEN))
        if new.data != old.data:
            causes.append(forbidden(ROOT / "data", _FROZEN))
        if new.binary_data != old.binary_data:
            causes.append(forbidden(ROOT / "binaryData", _FROZEN))
    check_config_map_create(new, causes)


def check_secret_create(secret: Secret, causes: list[Cause]) -> None:
    """Check a Secret; `stringData` has been moved into `data` before."""
    meta.check_create(secret.metadata, causes, namespaced=True)
    path, size = ROOT / "data", 0
    for key, value in secret.data.items():
        invalid_each(path.key(key), key, formats.config_key(key), causes)
        size += decoded_size(value)
    if size > _LARGEST:
        causes.append(too_long(path, _LARGEST))
    _check_secret_type(secret, path, causes)


def _check_secret_type(secret: Secret, path: Path, causes: list[Cause]) -> None:
    data: Mapping[str, str] = secret.data
    match secret.type:
        case "kubernetes.io/service-account-token":
            if not secret.metadata.annotations.get(_ACCOUNT_NAME):
                causes.append(required((METADATA / "annotations").key(_ACCOUNT_NAME)))
        case "kubernetes.io/dockercfg" | "kubernetes.io/dockerconfigjson":
            (key,) = _KEYS[secret.type]
            if key not in data:
                causes.append(required(path.key(key)))
            elif (complaint := _not_object(data[key])) is not None:
                causes.append(invalid(path.key(key), "<secret contents redacted>", complaint))
        case "kubernetes.io/basic-auth":
            if "username" not in data and "password" not in data:
                causes.extend(required(path.key(key)) for key in ("username", "password"))
        case "kubernetes.io/ssh-auth":
            if not data.get("ssh-privatekey"):
                causes.append(required(path.key("ssh-privatekey")))
        case "kubernetes.io/tls":
            causes.extend(required(path.key(key)) for key in _KEYS[secret.type] if key not in data)


def check_secret_update(new: Secret, old: Secret, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    immutable(ROOT / "type", new.type, old.type, causes)
    if old.immutable:
        if not new.immutable:
            causes.append(forbidden(ROOT / "immutable", _FROZEN))
        if new.data != old.data:
            causes.append(forbidden(ROOT / "data", _FROZEN))
    check_secret_create(new, causes)


def check_service_account_create(account: ServiceAccount, causes: list[Cause]) -> None:
    meta.check_create(account.metadata, causes, namespaced=True)


def check_service_account_update(new: ServiceAccount, old: ServiceAccount, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes)
    check_service_account_create(new, causes)


def decoded_size(text: str) -> int:
    """Return how many bytes a base64 text stands for."""
    padding = len(text) - len(text.rstrip("="))
    return len(text) * 3 // 4 - padding


def _not_object(text: str) -> str | None:
    """Return why base64 text holds no JSON object; None where it does."""
    import base64
    import binascii

    try:
        raw = base64.b64decode(text)
        value = msgspec.json.decode(raw)
    except binascii.Error as error:
        return str(error)
    except msgspec.DecodeError:
        return "unexpected end of JSON input" if not raw else "invalid character in JSON input"
    if value is None or isinstance(value, dict):
        return None
    kind = {str: "string", bool: "bool", list: "array"}.get(type(value), "number")
    return f"json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"
