"""Each namespace has a ServiceAccount `default`.

Level: the ServiceAccounts that are there. Deleted, it is made again; an existing one is never changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from podling.aio.workqueue import WorkQueue
from podling.api.errors import StatusError
from podling.api.resources import NAMESPACES, SERVICE_ACCOUNTS
from podling.controllers.refusals import namespace_is_going

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Namespace, ServiceAccount
    from podling.controllers.context import Context

NAME = "default"


def plan(namespace: Namespace | None, present: bool) -> ServiceAccount | None:
    """Return the ServiceAccount to create, if one is missing from a namespace that is not going."""
    if namespace is None or present or namespace.metadata.deletion_timestamp is not None:
        return None
    from podling.api.types.core_v1 import ServiceAccount
    from podling.api.types.meta_v1 import ObjectMeta

    return ServiceAccount(metadata=ObjectMeta(name=NAME, namespace=namespace.metadata.name))


class ServiceAccounts:
    """Keys are namespaces."""

    account = "service-account-controller"

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._namespaces = context.informers.of(NAMESPACES)
        self._accounts = context.informers.of(SERVICE_ACCOUNTS)
        self._queue: WorkQueue[str] = WorkQueue(context.clock)

    def start(self) -> None:
        self._namespaces.on_change(self._on_namespace)
        self._accounts.on_change(self._on_account)
        self._supervisor.workers("serviceaccounts", self._queue, self._sync)

    def _on_namespace(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None:
            self._queue.add(new.name)

    def _on_account(self, old: Encoded | None, new: Encoded | None) -> None:
        if new is None and old is not None and old.name == NAME:
            self._queue.add(old.namespace)

    async def _sync(self, name: str) -> None:
        await self._accounts.wait_synced()
        present = self._accounts.encoded(NAME, name) is not None
        account = plan(self._namespaces.get(name), present)
        if account is None:
            return
        try:
            await self._client.create(SERVICE_ACCOUNTS, account)
        except StatusError as refusal:
            if not (refusal.is_already_exists or namespace_is_going(refusal)):
                raise
