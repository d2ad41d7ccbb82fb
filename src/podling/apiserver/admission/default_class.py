"""Which of the classes of a kind is the default one: of several the youngest, then the first by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from podling.apiserver.cache import Scope

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from podling.api.resources import Resource
    from podling.apiserver.registry import Registry


def default_class(registry: Registry, classes: Resource[Any], annotations: Sequence[str]) -> str:
    """Return the name of the class that one of `annotations` marks as the default; empty where there is none."""
    marked = sorted(_marked(registry, classes, annotations), key=lambda it: it["name"])
    youngest = max((it["creationTimestamp"] for it in marked), default="")
    return next((it["name"] for it in marked if it["creationTimestamp"] == youngest), "")


def _marked(registry: Registry, classes: Resource[Any], annotations: Sequence[str]) -> Iterator[dict[str, Any]]:
    for encoded in registry.shelf(registry.record(classes)).select(Scope()):
        metadata: dict[str, Any] = msgspec.json.decode(encoded.raw)["metadata"]
        given = metadata.get("annotations") or {}
        if any(given.get(key) == "true" for key in annotations):
            yield metadata
