"""A container's environment: every source, in upstream's order.

Owns the order (services' variables, `envFrom`, `env`), references and their errors. Expansion itself is
`lifecycle.environment`'s. Knows no container runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.kubelet.downward import field_value, resource_value
from podling.kubelet.env_files import value_aside
from podling.kubelet.objects import MissingReference, secret_content
from podling.lifecycle.environment import expand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from podling.api.types.core_v1 import EnvFromSource, EnvVar, Pod
    from podling.kubelet.objects import References
    from podling.lifecycle.specs import AnyContainer


class EnvironmentBuilder:
    """Makes environments for the containers of this node.

    `services` gives the variables of the Services that a namespace sees; `allocatable` what the node can give.
    """

    def __init__(
        self,
        references: References,
        host_addresses: Sequence[str],
        allocatable: Callable[[], Mapping[str, str]],
        services: Callable[[str, bool], Mapping[str, str]],
    ) -> None:
        self._references = references
        self._host_addresses = host_addresses
        self._allocatable = allocatable
        self._services = services

    async def build(
        self, pod: Pod, container: AnyContainer, addresses: Sequence[str], volumes: Mapping[str, str]
    ) -> dict[str, str]:
        """Return the variables in their order; `MissingReference` says what stands in the way.

        `volumes` are host paths by volume name, for variables that an init container has left in a file.
        """
        links = pod.spec.enable_service_links is not False
        variables = dict(self._services(pod.metadata.namespace, links))
        for source in container.env_from:
            variables.update(await self._from(pod, source))
        own: dict[str, str] = {}
        for variable in container.env:
            if variable.value_from is not None and variable.value_from.file_key_ref is not None:
                value = await value_aside(variable.value_from.file_key_ref, volumes)
            else:
                value = await self._value(pod, container, variable, addresses, {**variables, **own})
            if value is not None:
                own[variable.name] = value
        variables.update(own)
        return variables

    async def _from(self, pod: Pod, source: EnvFromSource) -> dict[str, str]:
        namespace = pod.metadata.namespace
        content: Mapping[str, bytes] = {}
        if source.config_map_ref is not None:
            ref = source.config_map_ref
            found = await self._references.config_map(namespace, ref.name, optional=bool(ref.optional))
            content = {k: v.encode() for k, v in sorted(found.data.items())} if found is not None else {}
        elif source.secret_ref is not None:
            secret_ref = source.secret_ref
            secret = await self._references.secret(namespace, secret_ref.name, optional=bool(secret_ref.optional))
            content = secret_content(secret) if secret is not None else {}
        return {source.prefix + key: value.decode(errors="replace") for key, value in content.items() if "=" not in key}

    async def _value(
        self, pod: Pod, container: AnyContainer, variable: EnvVar, addresses: Sequence[str], known: Mapping[str, str]
    ) -> str | None:
        """Return the variable's value, or `None` for an optional reference to nothing."""
        source = variable.value_from
        namespace = pod.metadata.namespace
        if source is None:
            return expand(variable.value, known)
        if source.field_ref is not None:
            return field_value(pod, source.field_ref.field_path, addresses, self._host_addresses)
        if source.resource_field_ref is not None:
            return resource_value(pod, source.resource_field_ref, self._allocatable(), container)
        if source.config_map_key_ref is not None:
            key_ref = source.config_map_key_ref
            found = await self._references.config_map(namespace, key_ref.name, optional=bool(key_ref.optional))
            content: Mapping[str, bytes] = {k: v.encode() for k, v in found.data.items()} if found is not None else {}
            return _pick(content, key_ref.key, f"ConfigMap {namespace}/{key_ref.name}", optional=bool(key_ref.optional))
        if source.secret_key_ref is not None:
            secret_ref = source.secret_key_ref
            secret = await self._references.secret(namespace, secret_ref.name, optional=bool(secret_ref.optional))
            content = secret_content(secret) if secret is not None else {}
            where = f"Secret {namespace}/{secret_ref.name}"
            return _pick(content, secret_ref.key, where, optional=bool(secret_ref.optional))
        raise MissingReference(f"environment variable {variable.name}: its source is not supported")


def _pick(content: Mapping[str, bytes], key: str, where: str, *, optional: bool) -> str | None:
    if key in content:
        return content[key].decode(errors="replace")
    if optional:
        return None
    raise MissingReference(f"couldn't find key {key} in {where}")
