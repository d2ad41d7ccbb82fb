"""Reckons the usage of ResourceQuotas anew: what the API server charges when objects come, is given back here.

Level: a quota's objects are listed afresh, at a revision no older than that of the quota, whose status is then written
only if nobody has charged anything meanwhile. So usage may be told too high for a moment, and never too low. Upstream's
occasions: a new quota, a changed specification, objects that went or ask for less, and every five minutes all quotas;
beside them, a custom kind that comes to be counted, or stops being served;
a status that somebody else has written stands until one of these.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import RESOURCE_QUOTAS, CustomResource
from podling.client.cache import key_of, split_key
from podling.client.client import list_whole
from podling.client.transport import Selection
from podling.controllers.custom_resources import CustomResources
from podling.quota.evaluators import EVALUATORS, evaluator_of
from podling.quota.reckoning import counted, needed, reckon

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.types.core_v1 import ResourceQuota
    from podling.client.informer import Informer
    from podling.controllers.context import Context
    from podling.controllers.custom_resources import CustomKind
    from podling.quota.evaluator import Evaluator

_WORKERS: Final = 5
_LONGEST_PAUSE: Final = 1.0
_REST: Final = 20
"""How many times as long as it took to reckon a quota it is left alone: thousands of Pods that go are not all news."""


class ResourceQuotaController:
    """Keys are quotas."""

    account = "resourcequota-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._period = context.settings.resource_quota_sync_period
        self._quotas: Informer[ResourceQuota] = context.informers.of(RESOURCE_QUOTAS)
        self._counted: dict[Resource[Any], Informer[Any]] = {it: context.informers.of(it) for it in EVALUATORS}
        self._evaluators: dict[tuple[str, str], Evaluator] = {_name(it): each for it, each in EVALUATORS.items()}
        self._custom = CustomResources(context.informers, self._came, self._went)
        # A namespace in which much is made sends the write back again and again; what waits for it must not wait long.
        self._queue: WorkQueue[str] = WorkQueue(context.clock, longest=_LONGEST_PAUSE)
        self._resting: dict[str, float] = {}

    def start(self) -> None:
        self._quotas.on_change(self._on_quota)
        for resource, informer in self._counted.items():
            informer.on_change(partial(self._on_object, resource))
        self._custom.start()
        self._supervisor.workers("resource-quota", self._queue, self._sync, count=_WORKERS)
        self._supervisor.component("resource-quota resync", self._resync)

    def _came(self, custom: CustomKind) -> None:
        evaluator = evaluator_of(custom.resource)
        if evaluator is None:
            return
        self._evaluators[_name(custom.resource)] = evaluator
        custom.informer.on_change(partial(self._on_object, custom.resource))
        self._ask_who_counts(evaluator)

    def _went(self, custom: CustomKind) -> None:
        """Count what is no more: a kind without a definition has no objects."""
        evaluator = self._evaluators.get(_name(custom.resource))
        if evaluator is not None:
            self._ask_who_counts(evaluator)

    def _ask_who_counts(self, evaluator: Evaluator) -> None:
        for seen in self._quotas:
            if evaluator.matching(self._quotas.view(seen).spec.hard):
                self._ask(seen)

    async def _resync(self) -> None:
        while True:
            await self._clock.sleep(self._period)
            for quota in self._quotas:
                self._ask(quota)

    def _on_quota(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None:
            if old is not None:
                self._resting.pop(key_of(old), None)
        elif old is None or self._quotas.view(old).spec != self._quotas.view(new).spec:
            self._ask(new)

    def _ask(self, quota: Encoded) -> None:
        key = key_of(quota)
        self._queue.add_after(key, self._resting.get(key, 0.0) - self._clock.monotonic())

    def _on_object(self, resource: Resource[Any], old: Encoded | None, new: Encoded | None) -> None:
        """Ask for the quotas in which an object counts for less, or otherwise, than it did."""
        if old is None or not len(self._quotas):
            return
        evaluator, now = self._evaluators[_name(resource)], self._clock.time()
        for seen in self._quotas.indexed("namespace", old.namespace):
            quota = self._quotas.view(seen)
            if not evaluator.matching(quota.spec.hard):
                continue
            if new is None:
                self._ask(seen)
                continue
            before, after = (
                (counted(quota, evaluator, obj, now), evaluator.counts_until(obj))
                for obj in (old.view(resource.type), new.view(resource.type))
            )
            if before != after:
                self._ask(seen)

    async def _sync(self, key: str) -> None:
        namespace, name = split_key(key)
        quota = self._quotas.get(name, namespace)
        if quota is None:
            return
        began = self._clock.monotonic()
        evaluators = needed(quota, self._evaluators.values())
        objects = {each.resource: await self._list(each.resource, namespace) for each in evaluators}
        found = reckon(quota, objects, evaluators, self._clock.time())
        now = self._clock.monotonic()
        self._resting[key] = now + _REST * (now - began)
        if found.again_in is not None:
            self._queue.add_after(key, found.again_in)
        if found.status is None:
            return
        try:
            await self._client.update_status(RESOURCE_QUOTAS, msgspec.structs.replace(quota, status=found.status))
        except StatusError as refusal:
            if refusal.is_not_found:
                return
            raise
        if found.is_new:
            # What came between the listing and the new limits has not been charged.
            self._queue.add(key)

    async def _list(self, resource: Resource[Any], namespace: str) -> list[Any]:
        try:
            items, _ = await list_whole(self._client, resource, Selection(namespace), revision="")
        except StatusError as refusal:
            if refusal.is_not_found and isinstance(resource, CustomResource):
                return []
            raise
        return [item.view(resource.type) for item in items]


def _name(resource: Resource[Any]) -> tuple[str, str]:
    """Return what a resource is counted by, whatever its version."""
    return resource.group, resource.plural
