"""Writes the history of a kind of workload: makes and numbers the present revision, forgets the oldest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.errors import StatusError
from podling.api.resources import CONTROLLER_REVISIONS
from podling.controllers.claims import controller_of
from podling.controllers.owned import Owned, controller_seen
from podling.controllers.revisions import History, expired, history, made, number
from podling.controllers.written import Written

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.selectors import Selector
    from podling.api.types.apps_v1 import ControllerRevision
    from podling.client.client import Client
    from podling.client.informer import Informers

_ATTEMPTS: Final = 10


class RevisionKeeper:
    """Over the informer of ControllerRevisions, for owners of one kind."""

    def __init__(self, client: Client, informers: Informers, kind: Resource[Any], hash_label: str) -> None:
        self._client = client
        self._kind = kind
        self._hash_label = hash_label
        self._informer = informers.of(CONTROLLER_REVISIONS)
        self._written: Written[ControllerRevision] = Written(self._informer)
        self._owned = Owned(self._informer, self._written)

    def start(self, wake: Callable[[str], object]) -> None:
        """Tell `wake` the key of each owner that lost a revision by another hand."""

        def on_revision(old: Encoded | None, new: Encoded | None) -> None:
            if self._written.echoed(old, new) or new is not None or old is None:
                return
            reference = controller_seen(old)
            if reference is not None and reference.kind == self._kind.kind:
                wake(f"{old.namespace}/{reference.name}")

        self._informer.on_change(on_revision)

    async def wait_synced(self) -> None:
        await self._informer.wait_synced()

    async def present(
        self, owner: Any, selector: Selector, annotations: dict[str, str]
    ) -> tuple[ControllerRevision, History, int]:
        """Return the revision of an owner's present template, those before, and how many collisions were met."""
        uid = owner.metadata.uid
        past = history(owner.spec.template, await self._owned.settle(self._client, self._kind, owner, selector))
        collisions = (owner.status.collision_count or 0) if owner.status is not None else 0
        if not past.present:
            one, collisions = await self._make(owner, past.next_number, collisions, annotations)
            return one, past, collisions
        one = past.present[-1]
        if number(one) < past.next_number:
            one = await self._client.update(
                CONTROLLER_REVISIONS, msgspec.structs.replace(one, revision=past.next_number)
            )
            self._written.put(uid, one)
        return one, past, collisions

    async def trim(self, owner: Any, past: History, live: Collection[str], *, by_hash: bool) -> None:
        """Forget the oldest revisions, beyond as many as the owner keeps."""
        label = self._hash_label if by_hash else None
        limit = owner.spec.revision_history_limit
        for one in expired(past, live, 10 if limit is None else limit, label):
            await self.forget(one)

    async def forget(self, one: ControllerRevision) -> None:
        """Take a revision away."""
        meta = one.metadata
        try:
            await self._client.delete(CONTROLLER_REVISIONS, meta.name, meta.namespace, uid=meta.uid)
        except StatusError as refusal:
            if not refusal.is_not_found:
                raise
        self._written.removed(one)

    async def _make(
        self, owner: Any, revision: int, collisions: int, annotations: dict[str, str]
    ) -> tuple[ControllerRevision, int]:
        """Make a revision; where its name is taken by another template's, with another hash."""
        for tried in range(collisions, collisions + _ATTEMPTS):
            wanted = made(self._kind, owner, revision, tried, self._hash_label, annotations)
            try:
                one = await self._client.create(CONTROLLER_REVISIONS, wanted)
            except StatusError as refusal:
                if not refusal.is_already_exists:
                    raise
                one = await self._client.get(CONTROLLER_REVISIONS, wanted.metadata.name, wanted.metadata.namespace)
                reference = controller_of(one)
                if reference is None or reference.uid != owner.metadata.uid or one.data != wanted.data:
                    continue
            self._written.put(owner.metadata.uid, one)
            return one, tried
        raise RuntimeError(f"{_ATTEMPTS} names of revisions of {owner.metadata.name} are taken")
