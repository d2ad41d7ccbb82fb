"""Deleting a namespace deletes what is in it.

    Terminating ─▶ delete Pods, each with its grace ─▶ none left ─▶ delete all else ─▶ none left ─▶ finalize ─▶ gone
                            └── some left: say so in conditions, look again ──┘

Pods go first, as upstream does, so that what they use outlives them. Which kinds there are comes from
`resources.STORED`, and from the CustomResourceDefinitions, which are asked for each time. Level: the namespaces that
are terminating, and listings of what is in them; a Pod's end brings its namespace forth at once, all else is looked at
again after the estimate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.codec import encode
from podling.api.custom.resources import served_resources
from podling.api.errors import StatusError
from podling.api.resources import CUSTOM_RESOURCE_DEFINITIONS, NAMESPACES, PODS, STORED
from podling.api.times import to_wire
from podling.client.transport import Call, Selection

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.aio.clock import Clock
    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.types.core_v1 import Namespace, NamespaceStatus
    from podling.controllers.context import Context

FINALIZER: Final = "kubernetes"
_FINALIZERS_TAKE: Final = 15.0
"""Seconds that somebody else's finalizer is expected to take, as upstream guesses."""


@dataclass(frozen=True, slots=True)
class Remainder:
    """What deletion has left of one resource."""

    resource: Resource[Any]
    count: int
    finalizers: tuple[str, ...] = ()
    """Those of all its objects, repeated."""
    estimate: float = 0.0
    """Seconds until it may be gone."""
    failure: str = ""


@dataclass(frozen=True, slots=True)
class NamespacePlan:
    """What to do after one round of deletion."""

    status: NamespaceStatus | None
    """The status as it must be written, if something is to be said."""
    finalize: bool
    again_in: float | None
    """Seconds until the next round."""


def plan(namespace: Namespace, remainders: Sequence[Remainder], now: float) -> NamespacePlan:
    """Say what is left, and finalize once nothing is."""
    left = [r for r in remainders if r.count or r.failure]
    again_in = max((r.estimate / 2 + 1 for r in left), default=None)
    status = _status(namespace, left, now) if left else None
    return NamespacePlan(status, finalize=not left, again_in=again_in)


def _status(namespace: Namespace, left: Sequence[Remainder], now: float) -> NamespaceStatus | None:
    from podling.api.types.core_v1 import NamespaceCondition, NamespaceStatus

    held = {c.type: c for c in namespace.status.conditions}
    written = dict(held)
    for type_, (status, reason, message) in _conditions(left).items():
        old = held.get(type_)
        if old is not None and (old.status, old.reason, old.message) == (status, reason, message):
            continue
        since = old.last_transition_time if old is not None and old.status == status else to_wire(now)
        written[type_] = NamespaceCondition(
            type=type_, status=status, reason=reason, message=message, last_transition_time=since
        )
    if written == held and namespace.status.phase == "Terminating":
        return None
    return NamespaceStatus(phase="Terminating", conditions=tuple(written.values()))


def _conditions(left: Sequence[Remainder]) -> dict[str, tuple[str, str, str]]:
    conditions = {
        "NamespaceDeletionDiscoveryFailure": (
            "False",
            "ResourcesDiscovered",
            "All resources successfully discovered",
        ),
        "NamespaceDeletionGroupVersionParsingFailure": (
            "False",
            "ParsedGroupVersions",
            "All legacy kube types successfully parsed",
        ),
        "NamespaceDeletionContentFailure": (
            "False",
            "ContentDeleted",
            "All content successfully deleted, may be waiting on finalization",
        ),
        "NamespaceContentRemaining": ("False", "ContentRemoved", "All content successfully removed"),
        "NamespaceFinalizersRemaining": (
            "False",
            "ContentHasNoFinalizers",
            "All content-preserving finalizers finished",
        ),
    }
    failures = [r.failure for r in left if r.failure]
    if failures:
        conditions["NamespaceDeletionContentFailure"] = (
            "True",
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(failures)} remaining: {', '.join(sorted(failures))}",
        )
    counted = sorted(
        f"{r.resource.plural}.{r.resource.group} has {r.count} resource instances" for r in left if r.count
    )
    if counted:
        conditions["NamespaceContentRemaining"] = (
            "True",
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(counted)}",
        )
    finalizers: dict[str, int] = {}
    for remainder in left:
        for finalizer in remainder.finalizers:
            finalizers[finalizer] = finalizers.get(finalizer, 0) + 1
    if finalizers:
        said = ", ".join(f"{name} in {count} resource instances" for name, count in sorted(finalizers.items()))
        conditions["NamespaceFinalizersRemaining"] = (
            "True",
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {said}",
        )
    return conditions


class NamespaceLifecycle:
    """Keys are namespaces."""

    account = "namespace-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock: Clock = context.clock
        self._namespaces = context.informers.of(NAMESPACES)
        self._pods = context.informers.of(PODS)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._namespaces.on_change(self._on_namespace)
        self._pods.on_change(self._on_pod)
        self._supervisor.workers("namespace-controller", self._queue, self._sync, count=4)

    def _on_namespace(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None and self._namespaces.view(new).metadata.deletion_timestamp is not None:
            self._queue.add(new.name)

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None and old is not None:
            if self._pods.indexed("namespace", old.namespace):
                return  # the last one will tell
            namespace = self._namespaces.get(old.namespace)
            if namespace is not None and namespace.metadata.deletion_timestamp is not None:
                self._queue.add(old.namespace)

    async def _sync(self, name: str) -> None:
        seen = self._namespaces.get(name)
        if seen is None or seen.metadata.deletion_timestamp is None:
            return
        try:
            # Asked for directly: a namesake made since then must not lose what is in it.
            namespace = await self._client.get(NAMESPACES, name)
        except StatusError as refusal:
            if refusal.is_not_found:
                return
            raise
        if namespace.metadata.deletion_timestamp is None or FINALIZER not in namespace.spec.finalizers:
            return
        remainders = [await self._delete_all(PODS, name)]
        if not remainders[0].count and not remainders[0].failure:
            others = [r for r in STORED if r.namespaced and r is not PODS]
            others += [r for r in await self._custom_resources() if r.namespaced]
            remainders = [await self._delete_all(resource, name) for resource in others]
        todo = plan(namespace, remainders, self._clock.time())
        try:
            if todo.status is not None:
                await self._client.update_status(NAMESPACES, msgspec.structs.replace(namespace, status=todo.status))
            if todo.finalize:
                await self._finalize(namespace)
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
        if todo.again_in is not None:
            self._queue.add_after(name, todo.again_in)

    async def _delete_all(self, resource: Resource[Any], namespace: str) -> Remainder:
        """Delete a resource's objects and return what is left of them."""
        try:
            items = await self._items(resource, namespace)
            if any(item.metadata.deletion_timestamp is None for item in items):
                await self._client.delete_collection(resource, namespace, propagation="Background")
                items = await self._items(resource, namespace)
        except StatusError as refusal:
            # A custom kind that is gone has taken all its objects along.
            gone = refusal.is_not_found and resource not in STORED
            return Remainder(resource, 0, failure="" if gone else str(refusal))
        if not items:
            return Remainder(resource, 0)
        finalizers = tuple(finalizer for item in items for finalizer in item.metadata.finalizers)
        grace = max((item.metadata.deletion_grace_period_seconds for item in items), default=0)
        estimate = float(grace) or (_FINALIZERS_TAKE if finalizers else 0.0)
        failure = ""
        if not estimate:
            where = f"/{resource.version}, Resource={resource.plural}"
            failure = f"unexpected items still remain in namespace: {namespace} for gvr: {resource.group}{where}"
        return Remainder(resource, len(items), finalizers, estimate, failure)

    async def _custom_resources(self) -> list[Resource[Any]]:
        definitions = await self._client.list(CUSTOM_RESOURCE_DEFINITIONS)
        return [served[0] for definition in definitions if (served := served_resources(definition))]

    async def _items(self, resource: Resource[Any], namespace: str) -> list[_Item]:
        page = await self._client.list_page(resource, Selection(namespace))
        return [_DECODER.decode(item.raw) for item in page.items]

    async def _finalize(self, namespace: Namespace) -> None:
        """Take our finalizer away; the API server removes the namespace when none is left."""
        kept = tuple(finalizer for finalizer in namespace.spec.finalizers if finalizer != FINALIZER)
        freed = msgspec.structs.replace(namespace, spec=msgspec.structs.replace(namespace.spec, finalizers=kept))
        path = NAMESPACES.path(name=namespace.metadata.name, subresource="finalize")
        await self._client.raw(Call("PUT", path, body=encode(freed)))


class _ItemMetadata(msgspec.Struct, frozen=True, rename="camel"):
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int = 0


class _Item(msgspec.Struct, frozen=True):
    """What this controller reads of an object of any kind."""

    metadata: _ItemMetadata


_DECODER: Final = msgspec.json.Decoder(_Item)
