"""Keeps StatefulSets: Pods with a name and claims of their own, made, rolled and taken away in their order.

Level: sets, Pods, revisions and claims as they are seen, and as they were written. What to do is `stateful_plan`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.pods import ready_condition
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS, STATEFUL_SETS
from podling.api.selectors import from_label_selector
from podling.api.types.apps_v1 import StatefulSetStatus
from podling.client.cache import key_of, split_key
from podling.controllers.owned import Owned
from podling.controllers.pod_owners import PodOwners
from podling.controllers.refusals import Refused, namespace_is_going
from podling.controllers.revision_keeper import RevisionKeeper
from podling.controllers.slow_start import all_at_once, slow_start
from podling.controllers.stateful_plan import Revisions, lacking, plan
from podling.controllers.stateful_pods import claims_of, number_of, revision_of
from podling.controllers.stateful_status import status
from podling.controllers.stateful_writes import StatefulWrites
from podling.controllers.written import Written

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.api.selectors import Selector
    from podling.api.types.apps_v1 import StatefulSet
    from podling.api.types.core_v1 import PersistentVolumeClaim, Pod
    from podling.client.informer import Informer
    from podling.controllers.context import Context
    from podling.controllers.stateful_plan import StatefulPlan

_WORKERS: Final = 5
_PAUSE: Final = 0.0001
"""Seconds, for each Pod, that a large set waits for more changes: counting it costs the loop more than that."""
_LARGE: Final = 100
"""Pods; a set of fewer is counted at once."""
_REVISION_HASH: Final = "controller.kubernetes.io/hash"
"""Where a StatefulSet's revision tells its hash; its Pods tell its name."""


class StatefulSets:
    """Keys are StatefulSets."""

    account = "statefulset-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._sets: Informer[StatefulSet] = context.informers.of(STATEFUL_SETS)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._claims: Informer[PersistentVolumeClaim] = context.informers.of(PERSISTENT_VOLUME_CLAIMS)
        self._written_sets = Written(self._sets)
        self._written_pods = Written(self._pods)
        self._written_claims = Written(self._claims)
        self._owned = Owned(self._pods, self._written_pods)
        self._owners = PodOwners(self._sets, _selector)
        self._revisions = RevisionKeeper(context.client, context.informers, STATEFUL_SETS, _REVISION_HASH)
        self._writes = StatefulWrites(context, self.account, self._written_pods, self._written_claims)
        self._sizes: dict[str, int] = {}
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._sets.on_change(self._on_set)
        self._pods.on_change(self._on_pod)
        self._claims.on_change(self._on_claim)
        self._revisions.start(self._queue.add)
        self._supervisor.workers("statefulsets", self._queue, self._sync, _WORKERS)

    def _on_set(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None and not self._written_sets.echoed(old, new):
            self._queue.add(key_of(seen))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        self._written_pods.echoed(old, new)
        if new is None and old is not None:
            self._writes.gone(old.uid)
        concerned = self._owners.concerned(old, new)
        # Asked in this order: a Pod that is none of theirs is never decoded.
        if not concerned or (old is not None and new is not None and old.uid == new.uid and self._alike(old, new)):
            return
        for found in concerned:
            key = key_of(found)
            self._queue.add_after(key, self._sizes.get(key, 0) * _PAUSE)

    def _alike(self, old: Encoded, new: Encoded) -> bool:
        return old.labels == new.labels and _facts(self._pods.view(old)) == _facts(self._pods.view(new))

    def _on_claim(self, old: Encoded | None, new: Encoded | None) -> None:
        """The end of a claim is what a Pod of its name may wait for."""
        self._written_claims.echoed(old, new)
        if new is not None or old is None:
            return
        for found in self._sets.indexed("namespace", old.namespace):
            templates = self._sets.view(found).spec.volume_claim_templates
            if any(old.name.startswith(f"{template.metadata.name}-{found.name}-") for template in templates):
                self._queue.add(key_of(found))

    async def _sync(self, key: str) -> None:
        for informer in (self._sets, self._pods, self._claims, self._revisions):
            await informer.wait_synced()
        namespace, name = split_key(key)
        seen = self._sets.get(name, namespace)
        if seen is None:
            self._sizes.pop(key, None)
            return
        (found,) = self._written_sets.over(key, [seen])
        selector = from_label_selector(found.spec.selector)
        if selector.empty:
            return
        try:
            await self._run(key, found, selector)
        except StatusError as refusal:
            if not namespace_is_going(refusal):
                raise

    async def _run(self, key: str, found: StatefulSet, selector: Selector) -> None:
        await self._owned.settle(
            self._client, STATEFUL_SETS, found, selector, counts=lambda pod: number_of(found, pod) is not None
        )
        before = found.status or StatefulSetStatus(replicas=0)
        if found.metadata.deletion_timestamp is not None:
            # Its revisions are the garbage collector's by now: none is made anew.
            names = (before.current_revision, before.update_revision)
            pods, count = self._pods_of(found), before.collision_count or 0
            await self._write(key, found, status(found, *names, pods, count, self._clock.time()))
            return
        update, past, collisions = await self._revisions.present(found, selector, found.metadata.annotations)
        current = past.named(before.current_revision) or update
        if before.current_revision == update.metadata.name:
            current = update
        todo = plan(found, Revisions(current, update), self._pods_of(found), self._claims_of(found), self._clock.time())
        refusal = await self._carry_out(found, todo)
        pods, names = self._pods_of(found), (current.metadata.name, update.metadata.name)
        self._sizes[key] = len(pods) if len(pods) > _LARGE else 0
        await self._write(key, found, status(found, *names, pods, collisions, self._clock.time()))
        await self._revisions.trim(found, past, {*names, *map(revision_of, pods)}, by_hash=False)
        if refusal is not None:
            raise Refused(refusal) from refusal
        if todo.again_in is not None:
            self._queue.add_after(key, todo.again_in)

    def _pods_of(self, found: StatefulSet) -> Sequence[Pod]:
        """Return a set's Pods; those that were taken away are on their way out, whatever the informer says yet."""
        return [self._writes.as_written(pod) for pod in self._owned.of(found.metadata.uid, found.metadata.namespace)]

    def _claims_of(self, found: StatefulSet) -> dict[str, PersistentVolumeClaim]:
        """Return the claims that are there for the Pods that are, or are wanted, by name."""
        if not found.spec.volume_claim_templates:
            return {}
        numbers = {number_of(found, pod) or 0 for pod in self._owned.of(found.metadata.uid, found.metadata.namespace)}
        names = [
            claim.metadata.name
            for number in sorted(numbers.union(lacking(found, numbers)))
            for claim in claims_of(found, number).values()
        ]
        seen = (self._claims.get(name, found.metadata.namespace) for name in names)
        held = [claim for claim in seen if claim is not None]
        return {claim.metadata.name: claim for claim in self._written_claims.over(found.metadata.uid, held)}

    async def _carry_out(self, found: StatefulSet, todo: StatefulPlan) -> StatusError | None:
        """Do what is planned, whatever of it is refused; return the first refusal."""
        writes = self._writes
        refusal = await all_at_once([writes.retain(found, claim) for claim in todo.retain])
        if refusal is not None:
            return refusal  # before a Pod goes, its claims must know whether they go with it
        refusals = [
            await all_at_once([writes.complete(found, new) for new in todo.claims]),
            await all_at_once([writes.repair(found, pod) for pod in todo.repair]),
            await slow_start(len(todo.create), lambda n: writes.create(found, todo.create[n])),
            await all_at_once([writes.delete(found, pod) for pod in todo.delete]),
        ]
        return next((refusal for refusal in refusals if refusal is not None), None)

    async def _write(self, key: str, found: StatefulSet, fresh: StatefulSetStatus) -> None:
        if fresh == found.status:
            return
        changed = msgspec.structs.replace(found, status=fresh)
        try:
            self._written_sets.put(key, await self._client.update_status(STATEFUL_SETS, changed))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise


def _selector(found: StatefulSet) -> Selector | None:
    return from_label_selector(found.spec.selector)


def _facts(pod: Pod) -> tuple[object, ...]:
    """Return all of a Pod that matters to its set."""
    held = ready_condition(pod)
    return (
        pod.metadata.owner_references,
        pod.metadata.deletion_timestamp is None,
        pod.status.phase,
        (held.status, held.last_transition_time) if held is not None else None,
    )
