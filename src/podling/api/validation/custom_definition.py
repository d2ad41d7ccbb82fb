"""CustomResourceDefinitions: their names, versions, columns, subresources; schemas stand in `custom_schema`.

What a definition is stored under (group, plural) never changes; scope and kind do not once it is established.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.api import codec, jsonpath, names
from podling.api.validation import meta
from podling.api.validation.custom_schema import check_root
from podling.api.validation.field import METADATA, SPEC, STATUS, Path, immutable, invalid, not_supported, required

if TYPE_CHECKING:
    from podling.api.errors import Cause
    from podling.api.types.apiextensions_v1 import (
        CustomResourceColumnDefinition,
        CustomResourceDefinition,
        CustomResourceDefinitionNames,
        CustomResourceDefinitionSpec,
        CustomResourceDefinitionVersion,
    )

_APPROVAL: Final = "api-approved.kubernetes.io"
_COLUMN_TYPES: Final = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS: Final = (
    "int32", "int64", "float", "double", "byte", "date", "date-time", "password",
)  # fmt: skip
_MOST_SELECTABLE: Final = 8


def check_create(new: CustomResourceDefinition, causes: list[Cause]) -> None:
    wanted = f"{new.spec.names.plural}.{new.spec.group}"

    def named(name: str) -> tuple[str, ...]:
        wrong = names.is_dns1123_subdomain(name)
        return tuple(wrong if name == wanted else [*wrong, 'must be spec.names.plural+"."+spec.group'])

    meta.check_create(new.metadata, causes, namespaced=False, name=named, any_finalizer=True)
    _check_approval(new, causes)
    _check_spec(new.spec, causes)


def check_update(new: CustomResourceDefinition, old: CustomResourceDefinition, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes, any_finalizer=True)
    _check_approval(new, causes)
    _check_spec(new.spec, causes)
    if any(it.type == "Established" and it.status == "True" for it in old.status.conditions):
        immutable(SPEC / "scope", new.spec.scope, old.spec.scope, causes)
        immutable(SPEC / "names" / "kind", new.spec.names.kind, old.spec.names.kind, causes)
    immutable(SPEC / "group", new.spec.group, old.spec.group, causes)
    immutable(SPEC / "names" / "plural", new.spec.names.plural, old.spec.names.plural, causes)
    versions = {version.name for version in new.spec.versions}
    _check_stored(new, versions, causes)


def check_status_update(new: CustomResourceDefinition, old: CustomResourceDefinition, causes: list[Cause]) -> None:
    meta.check_update(new.metadata, old.metadata, causes, any_finalizer=True)
    if new.status.accepted_names is not None:
        _check_names(new.status.accepted_names, STATUS / "acceptedNames", causes)
    if not new.status.stored_versions:
        causes.append(invalid(STATUS / "storedVersions", [], "must have at least one stored version"))
    _check_stored(new, {version.name for version in new.spec.versions}, causes)
    for version in new.spec.versions:
        if version.storage and version.name not in new.status.stored_versions:
            said = f"must have the storage version {version.name}"
            causes.append(invalid(STATUS / "storedVersions", list(new.status.stored_versions), said))


def _check_stored(new: CustomResourceDefinition, versions: set[str], causes: list[Cause]) -> None:
    for i, version in enumerate(new.status.stored_versions):
        if version not in versions:
            causes.append(invalid((STATUS / "storedVersions")[i], version, "must appear in spec.versions"))


def _check_approval(new: CustomResourceDefinition, causes: list[Cause]) -> None:
    group = new.spec.group
    if not group.endswith((".k8s.io", ".kubernetes.io")) and group not in {"k8s.io", "kubernetes.io"}:
        return
    path = (METADATA / "annotations").key(_APPROVAL)
    value = new.metadata.annotations.get(_APPROVAL, "")
    if not value:
        said = f'protected groups must have approval annotation "{_APPROVAL}", see https://github.com/kubernetes/'
        causes.append(required(path, said + "enhancements/pull/1111"))
    elif not value.startswith(("https://", "unapproved")):
        causes.append(invalid(path, value, 'must be a link to a pull request or begin with "unapproved"'))


def _check_spec(spec: CustomResourceDefinitionSpec, causes: list[Cause]) -> None:
    if not spec.group:
        causes.append(required(SPEC / "group"))
    elif wrong := names.is_dns1123_subdomain(spec.group):
        causes.append(invalid(SPEC / "group", spec.group, ",".join(wrong)))
    elif "." not in spec.group:
        causes.append(invalid(SPEC / "group", spec.group, "should be a domain with at least one dot"))
    if not spec.scope:
        causes.append(required(SPEC / "scope"))
    elif spec.scope not in {"Cluster", "Namespaced"}:
        causes.append(not_supported(SPEC / "scope", spec.scope, ("Cluster", "Namespaced")))
    if spec.preserve_unknown_fields:
        said = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        causes.append(invalid(SPEC / "preserveUnknownFields", True, said))
    _check_versions(spec, causes)
    given = spec.names
    wanted = (
        ("plural", given.plural),
        ("singular", given.singular),
        ("kind", given.kind),
        ("listKind", given.list_kind),
    )
    causes.extend(required(SPEC / "names" / name) for name, value in wanted if not value)
    _check_names(spec.names, SPEC / "names", causes)
    _check_conversion(spec, causes)


def _check_versions(spec: CustomResourceDefinitionSpec, causes: list[Cause]) -> None:
    path = SPEC / "versions"
    for i, version in enumerate(spec.versions):
        if wrong := names.is_dns1035_label(version.name):
            causes.append(invalid(path[i] / "name", version.name, ",".join(wrong)))
        _check_version(version, path[i], causes)
    shown = codec.to_tree(spec).get("versions")
    if len({version.name for version in spec.versions}) < len(spec.versions):
        causes.append(invalid(path, shown, "must contain unique version names"))
    if sum(version.storage for version in spec.versions) != 1:
        causes.append(invalid(path, shown, "must have exactly one version marked as storage version"))


def _check_version(version: CustomResourceDefinitionVersion, path: Path, causes: list[Cause]) -> None:
    schema = version.schema.open_api_v3_schema if version.schema is not None else None
    where = path / "schema" / "openAPIV3Schema"
    if schema is None:
        causes.append(required(where, "schemas are required"))
    else:
        check_root(codec.to_tree(schema), where, causes)
    if version.deprecation_warning is not None:
        where = path / "deprecationWarning"
        if not version.deprecated:
            causes.append(invalid(where, version.deprecation_warning, "can only be set for deprecated versions"))
        elif not version.deprecation_warning.strip():
            causes.append(invalid(where, version.deprecation_warning, "must not be empty"))
    for i, column in enumerate(version.additional_printer_columns):
        _check_column(column, (path / "additionalPrinterColumns")[i], causes)
    fields = path / "selectableFields"
    if len(version.selectable_fields) > _MOST_SELECTABLE:
        causes.append(invalid(fields, len(version.selectable_fields), "must have at most 8 items"))
    for i, field in enumerate(version.selectable_fields):
        _check_path(field.json_path, fields[i] / "jsonPath", causes, simple=True)
    if version.subresources is not None and (scale := version.subresources.scale) is not None:
        where = path / "subresources" / "scale"
        for name, value, below in (
            ("specReplicasPath", scale.spec_replicas_path, ".spec."),
            ("statusReplicasPath", scale.status_replicas_path, ".status."),
            ("labelSelectorPath", scale.label_selector_path, (".spec.", ".status.")),
        ):
            if value is None:
                continue
            _check_path(value, where / name, causes, simple=True)
            if value and not value.startswith(below):
                parents = below if isinstance(below, str) else " or ".join(below)
                causes.append(invalid(where / name, value, f"should be a json path under {parents[:-1]}"))


def _check_path(value: str, path: Path, causes: list[Cause], *, simple: bool = False) -> None:
    if not value:
        causes.append(required(path))
        return
    try:
        read = jsonpath.Path(value)
    except ValueError as error:
        causes.append(invalid(path, value, f"should be a valid JSONPath: {error}"))
        return
    if simple and (not value.startswith(".") or not read.fields):
        causes.append(invalid(path, value, "should be a simple json path in dot notation starting with ."))


def _check_column(column: CustomResourceColumnDefinition, path: Path, causes: list[Cause]) -> None:
    if not column.name:
        causes.append(required(path / "name"))
    if not column.type:
        causes.append(required(path / "type", f"must be one of {','.join(_COLUMN_TYPES)}"))
    elif column.type not in _COLUMN_TYPES:
        causes.append(invalid(path / "type", column.type, f"must be one of {','.join(_COLUMN_TYPES)}"))
    if column.format and column.format not in _COLUMN_FORMATS:
        causes.append(invalid(path / "format", column.format, f"must be one of {','.join(_COLUMN_FORMATS)}"))
    if not column.json_path:
        causes.append(required(path / "jsonPath"))
    else:
        _check_path(column.json_path, path / "jsonPath", causes)


def _check_names(given: CustomResourceDefinitionNames, path: Path, causes: list[Cause]) -> None:
    for name, value in (("plural", given.plural), ("singular", given.singular)):
        if value and (wrong := names.is_dns1035_label(value)):
            causes.append(invalid(path / name, value, ",".join(wrong)))
    for name, value in (("kind", given.kind), ("listKind", given.list_kind)):
        if value and (wrong := names.is_dns1035_label(value.lower())):
            said = f"may have mixed case, but should otherwise match: {','.join(wrong)}"
            causes.append(invalid(path / name, value, said))
    _check_words(given.short_names, path / "shortNames", causes)
    if given.kind and given.kind == given.list_kind:
        causes.append(invalid(path / "listKind", given.list_kind, "kind and listKind may not be the same"))
    _check_words(given.categories, path / "categories", causes)


def _check_words(words: tuple[str, ...], path: Path, causes: list[Cause]) -> None:
    for i, word in enumerate(words):
        if wrong := names.is_dns1035_label(word):
            causes.append(invalid(path[i], word, ",".join(wrong)))


def _check_conversion(spec: CustomResourceDefinitionSpec, causes: list[Cause]) -> None:
    conversion: Any = spec.conversion
    if conversion is None:
        return
    path = SPEC / "conversion"
    if not conversion.strategy:
        causes.append(required(path / "strategy"))
    elif conversion.strategy not in {"None", "Webhook"}:
        causes.append(not_supported(path / "strategy", conversion.strategy, ("None", "Webhook")))
    elif conversion.strategy == "Webhook" and (conversion.webhook is None or conversion.webhook.client_config is None):
        said = 'required when strategy is set to "Webhook"'
        causes.append(required(path / "webhookClientConfig", said))
