"""Follows the kinds that come with CustomResourceDefinitions and go with them, for who looks at all kinds there are.

Owns one informer for each such kind, whatever versions it is served in. Level: the definitions. When one goes, all
objects of its kind are gone: those whose end nobody had seen yet are told as deleted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from podling.api.custom.resources import served_resources
from podling.api.resources import CUSTOM_RESOURCE_DEFINITIONS

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from podling.api.encoded import Encoded
    from podling.api.resources import CustomResource
    from podling.client.informer import Informer, Informers


@dataclass(frozen=True, slots=True)
class CustomKind:
    """A kind that is served, and the informer of its objects."""

    resource: CustomResource
    """The version by which it is read and written."""
    versions: tuple[str, ...]
    """The apiVersions under which its objects are known."""
    informer: Informer[Any]
    task: asyncio.Task[None]


class CustomResources:
    """All custom kinds, as they come and go."""

    def __init__(
        self,
        informers: Informers,
        came: Callable[[CustomKind], None],
        went: Callable[[CustomKind], None],
    ) -> None:
        """`came` may ask the informer to tell it of objects; `went` is called before the informer ends."""
        self._informers = informers
        self._definitions = informers.of(CUSTOM_RESOURCE_DEFINITIONS)
        self._came = came
        self._went = went
        self._kinds: dict[str, CustomKind] = {}

    def start(self) -> None:
        self._definitions.on_change(self._on_definition)

    def _on_definition(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is None:
            return
        served = served_resources(self._definitions.view(new)) if new is not None else ()
        before = self._kinds.get(seen.name)
        versions = tuple(sorted(it.api_version for it in served))
        if before is not None and (not served or served[0] != before.resource or versions != before.versions):
            del self._kinds[seen.name]
            self._went(before)
            before.task.cancel()
            before = None
        if before is None and served:
            informer, task = self._informers.begin(served[0])
            kind = self._kinds[seen.name] = CustomKind(served[0], versions, informer, task)
            self._came(kind)
