"""ResourceQuota: what a namespace's quotas do not have left is refused, what they have is charged.

A charge is committed in one transaction with the object that it is for, so that usage and objects never come apart:
neither two writers at once nor a crash between them can overrun a quota or lose what was charged. What is given back,
when objects go or ask for less, is the controller's to reckon.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import msgspec

from podling.api.errors import forbidden
from podling.api.resources import RESOURCE_QUOTAS
from podling.api.validation.shape import typed
from podling.apiserver.cache import Scope
from podling.quota.amounts import spelled
from podling.quota.charging import bill
from podling.quota.evaluators import evaluator_of
from podling.store.protocol import Wish

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.apiserver.admission.operation import Operation
    from podling.apiserver.registry import Registry
    from podling.quota.evaluator import Evaluator


class ResourceQuota:
    """Upstream's plugin of that name."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._shelf = registry.shelf(registry.record(RESOURCE_QUOTAS))
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def judge(self, operation: Operation) -> None:
        """Refuse what cannot be paid for; what can, is charged when it is written."""
        # Nearly every cluster has no quota at all: nothing else may be asked before this.
        if not len(self._shelf) or operation.verb == "DELETE" or not operation.namespace:
            return
        evaluator = evaluator_of(operation.record.resource)
        if evaluator is None or not evaluator.handles(operation.verb, operation.subresource):
            return
        if next(iter(self._shelf.select(Scope(namespace=operation.namespace))), None) is None:
            return
        resource = operation.record.resource
        new = typed(resource.type, operation.tree)
        old = typed(resource.type, operation.old) if operation.old is not None else None
        lock = self._locks.setdefault(operation.namespace, asyncio.Lock())
        charge = _Charge(self._registry, operation, evaluator, new, old, lock)
        charge.wishes()
        operation.context.charges.append(charge)


@dataclass(frozen=True, slots=True)
class _Charge:
    registry: Registry
    operation: Operation
    evaluator: Evaluator
    new: Any
    old: Any
    lock: asyncio.Lock

    def wishes(self) -> Sequence[Wish]:
        """Return the quotas as they are to be, each at the revision that this rests on."""
        operation, record = self.operation, self.registry.record(RESOURCE_QUOTAS)
        shelf = self.registry.shelf(record)
        found = {seen.name: seen for seen in shelf.select(Scope(namespace=operation.namespace))}
        billed = bill(
            [found[name].view(RESOURCE_QUOTAS.type) for name in sorted(found)],
            self.evaluator,
            self.new,
            self.old,
            now=operation.context.now,
            unlimited=operation.subresource == "status",
        )
        if billed.refusal:
            resource = operation.record.resource
            raise forbidden(resource.group, resource.plural, operation.name, billed.refusal)
        wishes = []
        for charge in billed.charges:
            seen = found[charge.quota.metadata.name]
            tree: dict[str, Any] = msgspec.json.decode(seen.raw)
            tree["status"]["used"] = spelled(charge.used)
            wishes.append(Wish(record.key(seen.namespace, seen.name), record.shape.encode(tree), seen.revision))
        return wishes
