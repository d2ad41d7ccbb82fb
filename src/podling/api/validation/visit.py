"""All containers of a Pod in one go, with their paths."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from podling.api.types.core_v1 import Container, EphemeralContainer, PodSpec
    from podling.api.validation.field import Path


def visit(spec: PodSpec, path: Path) -> Iterator[tuple[Path, Container | EphemeralContainer]]:
    """Yield init, regular and ephemeral containers with their paths, in upstream's order; `path` is the spec's."""
    for i, container in enumerate(spec.init_containers):
        yield (path / "initContainers")[i], container
    for i, container in enumerate(spec.containers):
        yield (path / "containers")[i], container
    for i, ephemeral in enumerate(spec.ephemeral_containers):
        yield (path / "ephemeralContainers")[i], ephemeral
