"""A container's environment: variables and where they come from.

Names may be any printable ASCII but `=`, as upstream has taken them since its relaxed rule became the rule.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.validation import formats
from podling.api.validation.field import Path, invalid, invalid_each, required, too_long
from podling.api.validation.paths import check_not_reserved
from podling.api.validation.references import (
    check_environment_field,
    check_key,
    check_one_of,
    check_resource_field,
)

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.core_v1 import EnvFromSource, EnvVar, EnvVarSource, FileKeySelector

_SOURCES = ("fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef")
_FILE_KEY_SIZE = 128


def check_variables(variables: tuple[EnvVar, ...], path: Path, causes: list[Cause]) -> None:
    for i, variable in enumerate(variables):
        if not variable.name:
            causes.append(required(path[i] / "name"))
        else:
            complaints = formats.environment_name(variable.name)
            if complaints:
                invalid_each(path[i] / "name", variable.name, complaints, causes)
        if variable.value_from is not None:
            _check_source(variable.value_from, variable.value, path[i] / "valueFrom", causes)


def _check_source(source: EnvVarSource, value: str, path: Path, causes: list[Cause]) -> None:
    count = 0
    if source.field_ref is not None:
        count += 1
        check_environment_field(source.field_ref, path / "fieldRef", causes)
    if source.resource_field_ref is not None:
        count += 1
        check_resource_field(source.resource_field_ref, path / "resourceFieldRef", causes, volume=False)
    if source.config_map_key_ref is not None:
        count += 1
        check_key(source.config_map_key_ref, path / "configMapKeyRef", causes)
    if source.secret_key_ref is not None:
        count += 1
        check_key(source.secret_key_ref, path / "secretKeyRef", causes)
    if source.file_key_ref is not None:
        count += 1
        _check_file_key(source.file_key_ref, path / "fileKeyRef", causes)
    if count and value:
        causes.append(invalid(path, "", "may not be specified when `value` is not empty"))
    else:
        check_one_of(count, (*_SOURCES[:-1], "fileKeyRef", _SOURCES[-1]), path, causes)


def _check_file_key(selector: FileKeySelector, path: Path, causes: list[Cause]) -> None:
    if not selector.key:
        causes.append(required(path / "key"))
    else:
        invalid_each(path / "key", selector.key, formats.environment_name(selector.key), causes)
        if len(selector.key) > _FILE_KEY_SIZE:
            causes.append(too_long(path / "key", _FILE_KEY_SIZE))
    if not selector.volume_name:
        causes.append(required(path / "volumeName"))
    else:
        invalid_each(path / "volumeName", selector.volume_name, formats.dns_label(selector.volume_name), causes)
    if not selector.path:
        causes.append(required(path / "path"))
    else:
        check_not_reserved(selector.path, path / "path", causes)


def check_sources(sources: tuple[EnvFromSource, ...], path: Path, causes: list[Cause]) -> None:
    """Check `envFrom`. That the count of sources is reported at the list is upstream's choice."""
    for i, source in enumerate(sources):
        where = path[i]
        if source.prefix:
            invalid_each(where / "prefix", source.prefix, formats.environment_name(source.prefix), causes)
        count = 0
        for name, reference in (("configMapRef", source.config_map_ref), ("secretRef", source.secret_ref)):
            if reference is None:
                continue
            count += 1
            if not reference.name:
                causes.append(required(where / name / "name"))
            else:
                complaints = formats.dns_subdomain(formats.masked(reference.name))
                invalid_each(where / name / "name", reference.name, complaints, causes)
        check_one_of(count, ("configMapRef", "secretRef"), path, causes)
