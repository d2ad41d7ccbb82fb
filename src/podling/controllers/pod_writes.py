"""How the Pods of a workload are made and taken away, and what is told of it: upstream's events, once for all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.api.errors import StatusError
from podling.api.resources import PODS
from podling.controllers.refusals import namespace_is_going

if TYPE_CHECKING:
    from podling.api.types.core_v1 import Pod
    from podling.client.client import Client
    from podling.client.events import EventRecorder


class PodWrites:
    """As one controller's account."""

    def __init__(self, client: Client, recorder: EventRecorder) -> None:
        self._client = client
        self._recorder = recorder

    async def create(self, owner: Any, pod: Pod) -> Pod | None:
        """Make a Pod; nothing comes of it where its namespace is going."""
        try:
            made = await self._client.create(PODS, pod)
        except StatusError as refusal:
            if namespace_is_going(refusal):
                return None
            self._recorder.event(owner, "Warning", "FailedCreate", f"Error creating: {refusal}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulCreate", f"Created pod: {made.metadata.name}")
        return made

    async def delete(self, owner: Any, pod: Pod) -> None:
        """Take a Pod away; one that is gone, or another of its name, is no matter."""
        meta = pod.metadata
        try:
            await self._client.delete(PODS, meta.name, meta.namespace, uid=meta.uid)
        except StatusError as refusal:
            if refusal.is_not_found or refusal.is_conflict:
                return
            self._recorder.event(owner, "Warning", "FailedDelete", f"Error deleting: {refusal}")
            raise
        self._recorder.event(owner, "Normal", "SuccessfulDelete", f"Deleted pod: {meta.name}")
