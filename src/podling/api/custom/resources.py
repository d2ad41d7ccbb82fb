"""Which resources a CustomResourceDefinition brings: one for each version that is served, once it is established."""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.api.resources import EVENTS_V1, STORED, CustomResource

if TYPE_CHECKING:
    from podling.api.types.apiextensions_v1 import CustomResourceDefinition, CustomResourceDefinitionVersion


def resource_of(definition: CustomResourceDefinition, version: str) -> CustomResource:
    """Return the resource of one version, by the names that were accepted."""
    spec, names = definition.spec, definition.status.accepted_names or definition.spec.names
    return CustomResource(
        spec.group,
        version,
        names.plural,
        names.kind,
        spec.scope == "Namespaced",
        names.short_names,
        names.categories,
        names.singular,
        names.list_kind,
    )


def hides_built_in(group: str, plural: str, kind: str) -> bool:
    """Whether what a definition names is built in: such a one is never served, whatever its versions.

    Who looks at all kinds there are would else take it for the built-in one, or that for it.
    """
    return any(it.group == group and (it.plural == plural or it.kind == kind) for it in (*STORED, EVENTS_V1))


def served_resources(definition: CustomResourceDefinition) -> tuple[CustomResource, ...]:
    """Return the resources that are served, the version that is stored before all others."""
    if not any(it.type == "Established" and it.status == "True" for it in definition.status.conditions):
        return ()
    if hides_built_in(definition.spec.group, definition.spec.names.plural, definition.spec.names.kind):
        return ()

    def stored_later(version: CustomResourceDefinitionVersion) -> bool:
        return not version.storage

    versions = sorted(definition.spec.versions, key=stored_later)
    return tuple(resource_of(definition, version.name) for version in versions if version.served)
