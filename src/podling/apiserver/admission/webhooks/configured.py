"""Which webhooks there are, as the cache tells it, and which of them have a kind of write in their rules.

Level: a configuration counts from the moment at which the cache shows it. What the rules say of a resource and a verb
is remembered until a configuration or what is served changes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from podling.apiserver.admission.webhooks.matching import Hook, Place, hooks_of, place_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.resources import Resource
    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.cache import Notice
    from podling.apiserver.record import Record
    from podling.apiserver.registry import Registry

_REMEMBERED: Final = 4096


class Configured:
    """The webhooks of one of the two kinds of configurations."""

    def __init__(self, registry: Registry, resource: Resource[Any]) -> None:
        self._registry = registry
        self._resource = resource
        self._held: dict[str, Any] = {}
        self._chosen: dict[tuple[str, bool, Place], Sequence[tuple[Hook, Place]]] = {}
        self._edition = -1
        self.hooks: tuple[Hook, ...] = ()
        registry.cache.listen(registry.record(resource).key_prefix, self._follow)

    def _follow(self, notice: Notice) -> None:
        if notice.new is None:
            self._held.pop(notice.key, None)
        else:
            self._held[notice.key] = notice.new.view(self._resource.type)
        self.hooks = hooks_of(self._held.values())
        self._chosen.clear()

    def chosen(self, operation: Operation) -> Sequence[tuple[Hook, Place]]:
        """Return the webhooks whose rules have this write, each with the place as which it wants to see it."""
        routes = self._registry.routes
        if self._edition != routes.edition or len(self._chosen) > _REMEMBERED:
            self._chosen.clear()
            self._edition = routes.edition
        shown = operation.shown or operation.record
        asked = place_as(shown, operation.subresource)
        namespaced = shown.resource.namespaced
        key = (operation.verb, namespaced, asked)
        found = self._chosen.get(key)
        if found is None:
            others = [
                place_as(it, operation.subresource)
                for it in routes.records()
                if it.key_prefix == shown.key_prefix and it is not shown
            ]
            pairs = (
                (hook, place_of(hook, operation.verb, asked, others, namespaced=namespaced)) for hook in self.hooks
            )
            found = self._chosen[key] = [(hook, place) for hook, place in pairs if place is not None]
        return found


def place_as(record: Record, subresource: str) -> Place:
    """Return the place where a record serves its objects."""
    resource = record.resource
    return Place(resource.group, resource.version, resource.plural, subresource)
