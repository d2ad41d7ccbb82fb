"""References from a Pod to its own fields and to the keys of ConfigMaps and Secrets.

Used by environment variables and by volumes alike. Must not know either.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from podling.api.quantity import parse
from podling.api.validation import formats
from podling.api.validation.field import Path, invalid, invalid_each, not_supported, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import (
        ConfigMapKeySelector,
        ObjectFieldSelector,
        ResourceFieldSelector,
        SecretKeySelector,
    )

_ENVIRONMENT_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_VOLUME_FIELDS = (
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
)
_KNOWN_FIELDS = {
    *_ENVIRONMENT_FIELDS,
    *_VOLUME_FIELDS,
    "spec.restartPolicy",
    "spec.schedulerName",
    "status.phase",
}
"""What the conversion of field labels knows; of these each place takes its own."""
_RESOURCES = (
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
)
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_BYTE_DIVISORS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SUBSCRIPTED = re.compile(r"(?P<path>.+?)\['(?P<key>.*)'\]", re.DOTALL)


def check_environment_field(selector: ObjectFieldSelector, path: Path, causes: list[Cause]) -> None:
    _check_field(selector, _ENVIRONMENT_FIELDS, path, causes)


def check_volume_field(selector: ObjectFieldSelector, path: Path, causes: list[Cause]) -> None:
    _check_field(selector, _VOLUME_FIELDS, path, causes)


def _check_field(selector: ObjectFieldSelector, supported: tuple[str, ...], path: Path, causes: list[Cause]) -> None:
    version, text = selector.api_version, selector.field_path
    if version == "v1" and text in supported:
        return
    if not version:
        causes.append(required(path / "apiVersion"))
        return
    if not text:
        causes.append(required(path / "fieldPath"))
        return
    if version != "v1":
        causes.append(
            invalid(path / "fieldPath", text, f"error converting fieldPath: unsupported pod version: {version}")
        )
        return
    subscripted = _SUBSCRIPTED.fullmatch(text)
    if subscripted is not None:
        field, key = subscripted["path"], subscripted["key"]
        if field == "metadata.annotations":
            invalid_each(path, key.lower(), formats.qualified_name(key.lower()), causes)
        elif field == "metadata.labels":
            invalid_each(path, key, formats.qualified_name(key), causes)
        else:
            causes.append(
                invalid(
                    path / "fieldPath",
                    text,
                    f"error converting fieldPath: field label does not support subscript: {field}",
                )
            )
        return
    if text == "spec.host":
        text = "spec.nodeName"
    if text not in _KNOWN_FIELDS:
        causes.append(
            invalid(path / "fieldPath", text, f"error converting fieldPath: field label not supported: {text}")
        )
    elif text not in supported:
        causes.append(not_supported(path / "fieldPath", text, supported))


def check_resource_field(selector: ResourceFieldSelector, path: Path, causes: list[Cause], *, volume: bool) -> None:
    """Check a reference to a container's requests or limits; in volumes the container must be named."""
    resource = selector.resource
    if volume and not selector.container_name:
        causes.append(required(path / "containerName"))
    elif not resource:
        causes.append(required(path / "resource"))
    elif resource not in _RESOURCES and not resource.startswith(_HUGE_PAGES):
        causes.append(not_supported(path / "resource", resource, _RESOURCES))
    if selector.divisor is not None:
        _check_divisor(resource, selector.divisor, path / "divisor", causes)


def _check_divisor(resource: str, divisor: str, path: Path, causes: list[Cause]) -> None:
    try:
        value = parse(divisor)
    except ValueError as error:
        causes.append(invalid(path, divisor, str(error)))
        return
    if not value:
        return
    if resource in {"limits.cpu", "requests.cpu"}:
        if str(value) not in {"1m", "1"}:
            causes.append(invalid(path, resource, "only divisor's values 1m and 1 are supported with the cpu resource"))
        return
    if resource in {"limits.memory", "requests.memory"}:
        what = "memory"
    elif resource in {"limits.ephemeral-storage", "requests.ephemeral-storage"}:
        what = "local ephemeral storage"
    elif resource.startswith(_HUGE_PAGES):
        what = "hugepages"
    else:
        return
    if str(value) not in _BYTE_DIVISORS:
        listed = ", ".join(_BYTE_DIVISORS)
        causes.append(invalid(path, resource, f"only divisor's values {listed} are supported with the {what} resource"))


def check_key(selector: ConfigMapKeySelector | SecretKeySelector, path: Path, causes: list[Cause]) -> None:
    """Check a reference to one key of a ConfigMap or Secret."""
    invalid_each(path / "name", selector.name, formats.dns_subdomain(selector.name), causes)
    if not selector.key:
        causes.append(required(path / "key"))
    else:
        invalid_each(path / "key", selector.key, formats.config_key(selector.key), causes)


def check_one_of(count: int, names: tuple[str, ...], path: Path, causes: list[Cause]) -> None:
    """Refuse a source that names none or several of its alternatives."""
    if count == 0:
        listed = ", ".join(f"`{name}`" for name in names[:-1])
        causes.append(invalid(path, "", f"must specify one of: {listed} or `{names[-1]}`"))
    elif count > 1:
        causes.append(invalid(path, "", "may not have more than one field specified at a time"))
