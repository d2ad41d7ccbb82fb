"""How the Pods and claims of a StatefulSet are written, and what is told of it, in upstream's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from podling.api.errors import StatusError
from podling.api.resources import PERSISTENT_VOLUME_CLAIMS, PODS
from podling.api.times import to_wire
from podling.controllers.refusals import namespace_is_going

if TYPE_CHECKING:
    from podling.api.types.apps_v1 import StatefulSet
    from podling.api.types.core_v1 import PersistentVolumeClaim, Pod
    from podling.controllers.context import Context
    from podling.controllers.stateful_plan import NewPod
    from podling.controllers.written import Written


class StatefulWrites:
    """As the controller's account; what is written is remembered by the uid of its set."""

    def __init__(
        self, context: Context, account: str, pods: Written[Pod], claims: Written[PersistentVolumeClaim]
    ) -> None:
        self._client = context.client
        self._clock = context.clock
        self._recorder = context.recorder(account)
        self._pods = pods
        self._claims = claims
        self._deleted: dict[str, str] = {}

    def as_written(self, pod: Pod) -> Pod:
        """Return a Pod as it is by now, with its deletion begun where that was asked for here."""
        since, meta = self._deleted.get(pod.metadata.uid), pod.metadata
        if since is None or meta.deletion_timestamp is not None:
            return pod
        return msgspec.structs.replace(pod, metadata=msgspec.structs.replace(meta, deletion_timestamp=since))

    def gone(self, uid: str) -> None:
        """Forget a Pod that is no more."""
        self._deleted.pop(uid, None)

    async def create(self, found: StatefulSet, new: NewPod) -> None:
        """Make a Pod's claims and then the Pod; one of its name that is there already is no matter to tell of."""
        await self._make_claims(found, new, "create")
        try:
            made = await self._client.create(PODS, new.pod)
        except StatusError as refusal:
            if not refusal.is_already_exists and not namespace_is_going(refusal):
                self._tell(found, "create", new.pod, refusal)
            raise
        self._pods.put(found.metadata.uid, made)
        self._tell(found, "create", new.pod)

    async def complete(self, found: StatefulSet, new: NewPod) -> None:
        """Make the claims that a Pod waits for."""
        await self._make_claims(found, new, "update")

    async def repair(self, found: StatefulSet, pod: Pod) -> None:
        try:
            self._pods.put(found.metadata.uid, await self._client.update(PODS, pod))
        except StatusError as refusal:
            if refusal.is_not_found:
                return
            if not refusal.is_conflict:
                self._tell(found, "update", pod, refusal)
            raise
        self._tell(found, "update", pod)

    async def retain(self, found: StatefulSet, claim: PersistentVolumeClaim) -> None:
        """Give a claim the owners that it should have."""
        try:
            self._claims.put(found.metadata.uid, await self._client.update(PERSISTENT_VOLUME_CLAIMS, claim))
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise

    async def delete(self, found: StatefulSet, pod: Pod) -> None:
        meta = pod.metadata
        self._deleted[meta.uid] = to_wire(self._clock.time())
        try:
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except StatusError as refusal:
            self.gone(meta.uid)
            if refusal.is_not_found or refusal.is_conflict:
                return  # another of that name stands there, or none
            self._tell(found, "delete", pod, refusal)
            raise
        self._tell(found, "delete", pod)

    async def _make_claims(self, found: StatefulSet, new: NewPod, verb: str) -> None:
        for claim in new.claims:
            told = f"Claim {claim.metadata.name} Pod {new.pod.metadata.name} in StatefulSet {found.metadata.name}"
            try:
                made = await self._client.create(PERSISTENT_VOLUME_CLAIMS, claim)
            except StatusError as refusal:
                if refusal.is_already_exists:
                    continue
                if not namespace_is_going(refusal):
                    failed = told.replace(" Pod ", " for Pod ")
                    said = f"create {failed} failed error: {refusal}"
                    self._recorder.event(found, "Warning", "FailedCreate", said)
                    self._tell(found, verb, new.pod, f"failed to create PVC {claim.metadata.name}: {refusal}")
                raise
            self._claims.put(found.metadata.uid, made)
            self._recorder.event(found, "Normal", "SuccessfulCreate", f"create {told} success")

    def _tell(self, found: StatefulSet, verb: str, pod: Pod, failure: object = None) -> None:
        what = f"{verb} Pod {pod.metadata.name} in StatefulSet {found.metadata.name}"
        if failure is None:
            self._recorder.event(found, "Normal", f"Successful{verb.title()}", f"{what} successful")
        else:
            self._recorder.event(found, "Warning", f"Failed{verb.title()}", f"{what} failed error: {failure}")
