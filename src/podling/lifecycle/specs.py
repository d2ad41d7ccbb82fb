"""What a Pod's specification says about its containers, asked in one place.

Owns the kinds of containers (main, init, sidecar, ephemeral) and their order. Pure reading, no decisions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podling.api.types.core_v1 import Container, ContainerStatus, EphemeralContainer, Pod

    AnyContainer: TypeAlias = Container | EphemeralContainer


def every_container(pod: Pod) -> Iterator[AnyContainer]:
    """Yield all containers: init in their order, main, ephemeral."""
    yield from pod.spec.init_containers
    yield from pod.spec.containers
    yield from pod.spec.ephemeral_containers


def container_named(pod: Pod, name: str) -> AnyContainer | None:
    return next((container for container in every_container(pod) if container.name == name), None)


def field_path(pod: Pod, name: str) -> str:
    """Return the path by which an event's `involvedObject` points at a container."""
    if any(container.name == name for container in pod.spec.init_containers):
        return f"spec.initContainers{{{name}}}"
    if any(container.name == name for container in pod.spec.ephemeral_containers):
        return f"spec.ephemeralContainers{{{name}}}"
    return f"spec.containers{{{name}}}"


def full_name(pod: Pod) -> str:
    """Return `name_namespace(uid)`, as messages name a Pod."""
    return f"{pod.metadata.name}_{pod.metadata.namespace}({pod.metadata.uid})"


def has_begun(status: ContainerStatus) -> bool:
    """Whether an instance of a container ever ran, by its status."""
    state, last = status.state, status.last_state
    if state is not None and (state.running is not None or state.terminated is not None):
        return True
    return last is not None and last.terminated is not None
