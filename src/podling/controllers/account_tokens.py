"""Secrets of type `kubernetes.io/service-account-token` hold a token of the ServiceAccount that they name.

Level: Secrets and ServiceAccounts. A Secret gets what it lacks: token, CA, namespace, the account's uid; one whose
account is gone, or is another of that name, goes. The token is bound to its Secret and dies with it, or when it is
taken out of it; it says that it ends after 136 years, which is as long as a TokenRequest can ask for.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from podling.aio.workqueue import WorkQueue
from podling.api.codec import to_tree
from podling.api.errors import StatusError
from podling.api.resources import SECRETS, SERVICE_ACCOUNTS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from podling.api.encoded import Encoded
    from podling.api.types.core_v1 import Secret, ServiceAccount
    from podling.controllers.context import Context

TYPE: Final = "kubernetes.io/service-account-token"
NAME: Final = "kubernetes.io/service-account.name"
UID: Final = "kubernetes.io/service-account.uid"
_FOREVER: Final = 1 << 32
_MARK: Final = f'"{TYPE}"'.encode()

Key = tuple[str, str]
"""Namespace and name of a Secret."""


@dataclass(frozen=True, slots=True)
class Fill:
    """What a Secret is to hold, beside a token of its own where it has none."""

    data: Mapping[str, str]
    uid: str
    needs_token: bool


@dataclass(frozen=True, slots=True)
class Delete:
    """The Secret's account is gone."""


def plan(secret: Secret, account: ServiceAccount | None, root_ca: str) -> Fill | Delete | None:
    """Return what is to become of a Secret, if anything."""
    if secret.type != TYPE or secret.metadata.deletion_timestamp is not None:
        return None
    noted = secret.metadata.annotations.get(UID, "")
    if account is None or (noted and noted != account.metadata.uid):
        return Delete()
    wanted = {"ca.crt": _encoded(root_ca), "namespace": _encoded(secret.metadata.namespace)}
    missing = {key: value for key, value in wanted.items() if secret.data.get(key) != value}
    needs_token = not secret.data.get("token")
    if not missing and not needs_token and noted:
        return None
    return Fill({**secret.data, **missing}, account.metadata.uid, needs_token)


def _encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


class AccountTokens:
    """Keys are Secrets."""

    account = ""

    def __init__(self, context: Context) -> None:
        self._client = context.client
        self._supervisor = context.supervisor
        self._root_ca = context.root_ca
        self._secrets = context.informers.of(SECRETS)
        self._accounts = context.informers.of(SERVICE_ACCOUNTS)
        self._queue: WorkQueue[Key] = WorkQueue(context.clock)

    def start(self) -> None:
        self._secrets.on_change(self._on_secret)
        self._accounts.on_change(self._on_account)
        self._supervisor.workers("serviceaccount-tokens", self._queue, self._sync)

    def _on_secret(self, old: Encoded | None, new: Encoded | None) -> None:
        del old
        if new is not None and _MARK in new.raw:
            self._queue.add((new.namespace, new.name))

    def _on_account(self, old: Encoded | None, new: Encoded | None) -> None:
        seen = new or old
        if seen is None or (new is not None and old is not None and new.uid == old.uid):
            return
        for secret in self._secrets.list(seen.namespace):
            if secret.metadata.annotations.get(NAME) == seen.name:
                self._queue.add((seen.namespace, secret.metadata.name))

    async def _sync(self, key: Key) -> None:
        await self._secrets.wait_synced()
        await self._accounts.wait_synced()
        namespace, name = key
        secret = self._secrets.get(name, namespace)
        if secret is None:
            return
        account = self._accounts.get(secret.metadata.annotations.get(NAME, ""), namespace)
        todo = plan(secret, account, self._root_ca)
        try:
            match todo:
                case Delete():
                    # An informer may be behind: only what the server has not either is gone.
                    if account is not None or not await self._exists(secret):
                        await self._client.delete(SECRETS, name, namespace, uid=secret.metadata.uid)
                case Fill():
                    await self._fill(secret, todo)
        except StatusError as refusal:
            # Whoever was faster is heard of by the informers.
            if not (refusal.is_not_found or refusal.is_conflict):
                raise

    async def _exists(self, secret: Secret) -> bool:
        named = secret.metadata.annotations.get(NAME, "")
        try:
            await self._client.get(SERVICE_ACCOUNTS, named, secret.metadata.namespace)
        except StatusError as refusal:
            if refusal.is_not_found:
                return False
            raise
        return True

    async def _fill(self, secret: Secret, todo: Fill) -> None:
        data = dict(todo.data)
        if todo.needs_token:
            data["token"] = _encoded(await self._token(secret))
        annotations = {**secret.metadata.annotations, UID: todo.uid}
        metadata = msgspec.structs.replace(secret.metadata, annotations=annotations)
        await self._client.update(SECRETS, msgspec.structs.replace(secret, metadata=metadata, data=data))

    async def _token(self, secret: Secret) -> str:
        from podling.api.types.authentication_v1 import BoundObjectReference, TokenRequest, TokenRequestSpec

        bound = BoundObjectReference(
            api_version="v1", kind="Secret", name=secret.metadata.name, uid=secret.metadata.uid
        )
        request = TokenRequest(spec=TokenRequestSpec(bound_object_ref=bound, expiration_seconds=_FOREVER))
        name, namespace = secret.metadata.annotations[NAME], secret.metadata.namespace
        answer = await self._client.create_subresource(
            SERVICE_ACCOUNTS, name, "token", to_tree(request), namespace=namespace
        )
        return str(answer["status"]["token"])
