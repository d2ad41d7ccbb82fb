"""Keeps Deployments: a ReplicaSet for each template, and the way from one to the next.

Level: Deployments, ReplicaSets and Pods as they are seen and were written. Their Pods are the ReplicaSets' affair; they
matter here where a Deployment waits for the last old one to be gone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import DEPLOYMENTS, PODS, REPLICA_SETS
from podling.api.selectors import from_label_selector
from podling.client.cache import key_of, split_key
from podling.controllers import deployment_status as statuses
from podling.controllers.claims import controller_of
from podling.controllers.deployment_plan import DeploymentPlan, plan
from podling.controllers.deployment_revisions import is_of
from podling.controllers.deployment_sizes import is_rolling
from podling.controllers.owned import Owned
from podling.controllers.pod_owners import PodOwners
from podling.controllers.refusals import Refused, namespace_is_going
from podling.controllers.written import Written

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.encoded import Encoded
    from podling.api.types.apps_v1 import Deployment, ReplicaSet
    from podling.api.types.core_v1 import Pod
    from podling.client.informer import Informer
    from podling.controllers.context import Context

_WORKERS: Final = 5


class Deployments:
    """Keys are Deployments."""

    account = "deployment-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._clock = context.clock
        self._deployments: Informer[Deployment] = context.informers.of(DEPLOYMENTS)
        self._sets: Informer[ReplicaSet] = context.informers.of(REPLICA_SETS)
        self._pods: Informer[Pod] = context.informers.of(PODS)
        self._written = Written(self._deployments)
        self._written_sets = Written(self._sets)
        self._owned = Owned(self._sets, self._written_sets)
        self._owned_pods = Owned(self._pods, Written(self._pods))
        self._owners = PodOwners(self._deployments, lambda found: from_label_selector(found.spec.selector))
        self._pod_owners = PodOwners(self._sets)
        self._recorder = context.recorder(self.account)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._deployments.on_change(self._on_deployment)
        self._sets.on_change(self._on_set)
        self._pods.on_change(self._on_pod)
        self._supervisor.workers("deployments", self._queue, self._sync, _WORKERS)

    def _on_deployment(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is not None and not self._written.echoed(old, new):
            self._queue.add(key_of(seen))

    def _on_set(self, old: Encoded | None, new: Encoded | None) -> None:
        if self._written_sets.echoed(old, new):
            return
        for found in self._owners.concerned(old, new):
            self._queue.add(key_of(found))

    def _on_pod(self, old: Encoded | None, new: Encoded | None) -> None:
        """The end of a Pod is what a Deployment that recreates them waits for."""
        one = self._pod_owners.owner(old) if new is None and old is not None else None
        if one is not None:
            for found in self._owners.concerned(None, one):
                self._queue.add(key_of(found))

    async def _sync(self, key: str) -> None:
        for informer in (self._deployments, self._sets, self._pods):
            await informer.wait_synced()
        namespace, name = split_key(key)
        seen = self._deployments.get(name, namespace)
        if seen is None:
            return
        (deployment,) = self._written.over(key, [seen])
        selector = from_label_selector(deployment.spec.selector)
        if selector.empty:
            return
        sets = await self._owned.settle(self._client, DEPLOYMENTS, deployment, selector)
        todo = plan(deployment, sets, self._pods_of(deployment, sets), self._clock.time())
        try:
            await self._carry_out(key, deployment, todo)
        except StatusError as refusal:
            if not namespace_is_going(refusal):
                raise
            return
        if todo.again_in is not None:
            self._queue.add_after(key, todo.again_in)

    def _pods_of(self, deployment: Deployment, sets: Sequence[ReplicaSet]) -> Mapping[str, Sequence[Pod]]:
        if is_rolling(deployment):
            return {}
        return {one.metadata.uid: self._owned_pods.of(one.metadata.uid, one.metadata.namespace) for one in sets}

    async def _carry_out(self, key: str, deployment: Deployment, todo: DeploymentPlan) -> None:
        said = todo.told
        if todo.create is not None:
            await self._create(key, deployment, todo.create)
            self._tell(deployment, said, todo.create)
        for changed in todo.update:
            self._written_sets.put(deployment.metadata.uid, await self._client.update(REPLICA_SETS, changed))
            self._tell(deployment, said, changed)
        for old in todo.delete:
            meta = old.metadata
            try:
                await self._client.delete(REPLICA_SETS, meta.name, meta.namespace, uid=meta.uid)
            except StatusError as refusal:
                if not refusal.is_not_found:
                    raise
            self._written_sets.removed(old)
        if todo.deployment is not None:
            await self._write(key, todo.deployment)

    def _tell(self, deployment: Deployment, said: Mapping[str, str], one: ReplicaSet) -> None:
        if one.metadata.name in said:
            self._recorder.event(deployment, "Normal", "ScalingReplicaSet", said[one.metadata.name])

    async def _create(self, key: str, deployment: Deployment, made: ReplicaSet) -> None:
        try:
            done = await self._client.create(REPLICA_SETS, made)
        except StatusError as refusal:
            if refusal.is_already_exists:
                await self._met(key, deployment, made.metadata.name, refusal)
                return
            if namespace_is_going(refusal):
                raise
            await self._not_created(key, deployment, made.metadata.name, refusal)
            raise Refused(refusal) from refusal
        self._written_sets.put(deployment.metadata.uid, done)

    async def _met(self, key: str, deployment: Deployment, name: str, refusal: StatusError) -> None:
        """Take a ReplicaSet that has the new one's name for it, if it is; else the next look hashes otherwise."""
        meta = deployment.metadata
        try:
            standing = await self._client.get(REPLICA_SETS, name, meta.namespace)
        except StatusError as gone:
            raise Refused(gone) from gone
        reference = controller_of(standing)
        if reference is not None and reference.uid == meta.uid and is_of(deployment, standing):
            self._written_sets.put(meta.uid, standing)
            return
        count = (deployment.status.collision_count or 0) + 1
        status = msgspec.structs.replace(deployment.status, collision_count=count)
        await self._write(key, msgspec.structs.replace(deployment, status=status))
        raise Refused(refusal) from refusal

    async def _not_created(self, key: str, deployment: Deployment, name: str, refusal: StatusError) -> None:
        said = f'Failed to create new replica set "{name}": {refusal}'
        if statuses.has_deadline(deployment):
            conditions = statuses.told(
                deployment.status.conditions,
                statuses.PROGRESSING,
                "False",
                statuses.NOT_CREATED,
                said,
                self._clock.time(),
            )
            status = msgspec.structs.replace(deployment.status, conditions=conditions)
            if status != deployment.status:
                await self._write(key, msgspec.structs.replace(deployment, status=status))
        self._recorder.event(deployment, "Warning", statuses.NOT_CREATED, said)

    async def _write(self, key: str, deployment: Deployment) -> None:
        try:
            self._written.put(key, await self._client.update_status(DEPLOYMENTS, deployment))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
