"""Writes Pods' statuses to the API, and lets go of Pods that have ended.

Owns, for each Pod, what the status is to be and what the API is known to hold; the difference is a patch. Knows no
rule: `lifecycle.status` says what is so. Invariants: a status is written only where it differs; at most one write is in
flight for a Pod; of statuses that come meanwhile only the newest is written; a refusal or an absent server is
outlived; an object is released only after its last status has arrived.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from podling.api.codec import to_tree
from podling.api.errors import StatusError
from podling.api.resources import PODS
from podling.kubelet.differences import status_patch

if TYPE_CHECKING:
    from podling.aio.clock import Clock
    from podling.aio.supervisor import Supervisor
    from podling.api.types.core_v1 import Pod, PodStatus
    from podling.client.client import Client

log = logging.getLogger("podling.kubelet.status")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 10.0

_MERGED_BY_KEY = ("podIPs", "hostIPs")


class StatusWriter:
    """Sees to it that the API says what is so."""

    def __init__(self, client: Client, clock: Clock, supervisor: Supervisor) -> None:
        self._client = client
        self._clock = clock
        self._supervisor = supervisor
        self._entries: dict[str, _Entry] = {}

    def tell(self, pod: Pod, status: PodStatus) -> None:
        """Have `status` written for a Pod; `pod` is the newest that is known of the object. Never waits.

        What others have written over it meanwhile is put right, as upstream's reconciling does: a Pod that was marked
        not Ready while its node was thought lost is Ready again.
        """
        uid = pod.metadata.uid
        entry = self._entries.get(uid)
        if entry is None:
            entry = self._entries[uid] = _Entry(pod)
        is_newer = entry.heard(pod)
        if status is not entry.told:
            entry.told = status
            entry.wanted = to_tree(status)
        elif not is_newer:
            return
        entry.dirty = True
        if not entry.writing and entry.difference() and not self._supervisor.is_stopping:
            entry.writing = True
            self._supervisor.job(f"status {pod.metadata.namespace}/{pod.metadata.name}", self._write(uid, entry))

    async def release(self, pod: Pod) -> None:
        """Return when the last status has arrived and the API was told to let go; `StatusError` if it refused."""
        entry = self._entries.get(pod.metadata.uid)
        if entry is not None:
            await entry.settled()
        try:
            await self._client.delete(PODS, pod.metadata.name, pod.metadata.namespace, grace=0, uid=pod.metadata.uid)
        except StatusError as refusal:
            # Gone already, or another Pod has taken the name: either way there is nothing to let go of.
            if not (refusal.is_not_found or refusal.is_conflict):
                raise

    def forget(self, uid: str) -> None:
        """Drop what is known of a Pod that is gone."""
        entry = self._entries.pop(uid, None)
        if entry is not None:
            entry.gone = True

    async def _write(self, uid: str, entry: _Entry) -> None:
        pause = _FIRST_PAUSE
        try:
            while entry.dirty and not entry.gone:
                entry.dirty = False
                changes = entry.difference()
                if not changes:
                    return
                try:
                    patched = await self._client.patch(
                        PODS,
                        entry.name,
                        {"metadata": {"uid": uid}, "status": changes},
                        namespace=entry.namespace,
                        kind="strategic",
                        subresource="status",
                    )
                except StatusError as refusal:
                    if refusal.is_not_found or _is_another(refusal):
                        entry.gone = True
                        return
                    log.debug("status of %s/%s: %s", entry.namespace, entry.name, refusal)
                    entry.dirty = True
                    await self._clock.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                else:
                    pause = _FIRST_PAUSE
                    entry.heard(patched)
        finally:
            entry.writing = False
            entry.wake()


class _Entry:
    """One Pod's status: what is to be, and what the API is known to hold."""

    def __init__(self, pod: Pod) -> None:
        self.name = pod.metadata.name
        self.namespace = pod.metadata.namespace
        self.told: PodStatus | None = None
        self.wanted: dict[str, Any] = {}
        self.dirty = False
        """Whether something was told since the last write began; a server that keeps less than it was given is not
        asked for ever."""
        self.writing = False
        self.gone = False
        self._known = to_tree(pod.status)
        self._version = _number(pod.metadata.resource_version)
        self._waiters: list[asyncio.Future[None]] = []

    def heard(self, pod: Pod) -> bool:
        """Take the API's word, if it is newer than what is known; whether it is."""
        version = _number(pod.metadata.resource_version)
        if version <= self._version:
            return False
        self._version = version
        self._known = to_tree(pod.status)
        return True

    def difference(self) -> dict[str, Any]:
        """Return the patch that makes the API's status the wanted one; empty if it is."""
        return status_patch(self._known, self.wanted, _MERGED_BY_KEY)

    async def settled(self) -> None:
        """Return when nothing is left to write."""
        while self.writing and not self.gone:
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter

    def wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()


def _is_another(refusal: StatusError) -> bool:
    """Whether the name belongs to another Pod by now: the uid in the patch is refused."""
    return (refusal.is_conflict and "uid" in refusal.message.lower()) or (
        refusal.is_invalid and "uid" in refusal.message
    )


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
