"""How components see the cluster: typed verbs over Kubernetes resources.

Owns `Client` and its one implementation, which turns verbs into calls on a `Transport`, in this process or over HTTP.
Knows nothing of caches, retries or time. What it sends is what any Kubernetes API server takes, and every refusal is
the server's `StatusError`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar

import msgspec

from podling.api.codec import decode, encode
from podling.api.errors import StatusError
from podling.client.transport import Call, Selection

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.client.transport import Answer, ListPage, Transport, WatchEvent

_Kind = TypeVar("_Kind")

PatchKind = Literal["merge", "strategic", "json", "apply"]

_PATCH_TYPES: dict[PatchKind, str] = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
    "apply": "application/apply-patch+yaml",
}

PAGE = 500
"""How many objects a page of a listing asks for, as client-go does."""


@dataclass(frozen=True, slots=True)
class Listing(Generic[_Kind]):
    """A whole listing, as of one revision."""

    items: Sequence[_Kind]
    revision: int

    def __iter__(self) -> Iterator[_Kind]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class Client(Protocol):
    """The verbs of the Kubernetes API as one user; every refusal is a `StatusError`."""

    async def get(self, resource: Resource[_Kind], name: str, namespace: str = "") -> _Kind: ...

    async def list(
        self, resource: Resource[_Kind], namespace: str = "", *, labels: str = "", fields: str = "", limit: int = PAGE
    ) -> Listing[_Kind]:
        """Return all that match, following pages of `limit`."""
        ...

    async def list_page(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        """Return one undecoded page; for caches."""
        ...

    def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncIterator[WatchEvent]:
        """Yield what happens after `revision`; ends when the server closes."""
        ...

    async def create(
        self, resource: Resource[_Kind], obj: _Kind, *, namespace: str = "", dry_run: bool = False
    ) -> _Kind:
        """Create; `namespace` is the object's own unless given."""
        ...

    async def update(self, resource: Resource[_Kind], obj: _Kind, *, dry_run: bool = False) -> _Kind:
        """Replace the object; its `resourceVersion`, where it has one, must be the current one."""
        ...

    async def update_status(self, resource: Resource[_Kind], obj: _Kind) -> _Kind:
        """Replace the object's status only."""
        ...

    async def patch(
        self,
        resource: Resource[_Kind],
        name: str,
        patch: object,
        *,
        namespace: str = "",
        kind: PatchKind = "merge",
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> _Kind:
        """Apply `patch`, a plain tree or its bytes; `force` takes fields over where `kind` is apply."""
        ...

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        namespace: str = "",
        *,
        grace: int | None = None,
        uid: str = "",
        revision: str = "",
        propagation: str = "",
        dry_run: bool = False,
    ) -> None:
        """Ask for deletion; `grace` in seconds, `uid` and `revision` are what the object must have."""
        ...

    async def delete_collection(
        self,
        resource: Resource[Any],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> None: ...

    async def create_subresource(
        self, resource: Resource[Any], name: str, subresource: str, body: object, *, namespace: str = ""
    ) -> dict[str, Any]:
        """Post to `binding`, `token`, `eviction` and return the answer's plain tree (often a `Status`)."""
        ...

    async def raw(self, call: Call) -> Answer: ...


class ApiClient:
    """The `Client` over a `Transport`. `manager` names the writer in managedFields."""

    def __init__(self, transport: Transport, *, manager: str = "") -> None:
        self._transport = transport
        self._manager = manager

    async def get(self, resource: Resource[_Kind], name: str, namespace: str = "") -> _Kind:
        answer = await self._transport.call(Call("GET", resource.path(namespace, name)))
        return decode(resource.type, answer.body)

    async def list(
        self, resource: Resource[_Kind], namespace: str = "", *, labels: str = "", fields: str = "", limit: int = PAGE
    ) -> Listing[_Kind]:
        items, revision = await list_whole(self, resource, Selection(namespace, labels, fields), limit=limit)
        return Listing([item.view(resource.type) for item in items], revision)

    async def list_page(
        self,
        resource: Resource[Any],
        selection: Selection,
        *,
        limit: int = 0,
        continue_token: str = "",
        revision: str = "",
    ) -> ListPage:
        return await self._transport.list(
            resource, selection, limit=limit, continue_token=continue_token, revision=revision
        )

    def watch(
        self, resource: Resource[Any], selection: Selection, *, revision: int, timeout: float | None = None
    ) -> AsyncIterator[WatchEvent]:
        return self._transport.watch(resource, selection, revision=revision, timeout=timeout)

    async def create(
        self, resource: Resource[_Kind], obj: _Kind, *, namespace: str = "", dry_run: bool = False
    ) -> _Kind:
        path = resource.path(namespace or _metadata(obj).namespace)
        return await self._write(resource, "POST", path, obj, dry_run=dry_run)

    async def update(self, resource: Resource[_Kind], obj: _Kind, *, dry_run: bool = False) -> _Kind:
        metadata = _metadata(obj)
        return await self._write(
            resource, "PUT", resource.path(metadata.namespace, metadata.name), obj, dry_run=dry_run
        )

    async def update_status(self, resource: Resource[_Kind], obj: _Kind) -> _Kind:
        metadata = _metadata(obj)
        return await self._write(resource, "PUT", resource.path(metadata.namespace, metadata.name, "status"), obj)

    async def patch(
        self,
        resource: Resource[_Kind],
        name: str,
        patch: object,
        *,
        namespace: str = "",
        kind: PatchKind = "merge",
        subresource: str = "",
        force: bool = False,
        dry_run: bool = False,
    ) -> _Kind:
        body = patch if isinstance(patch, bytes) else encode(patch)
        query = self._query(dry_run) + ((("force", "true"),) if force else ())
        path = resource.path(namespace, name, subresource)
        answer = await self._transport.call(Call("PATCH", path, query, body, _PATCH_TYPES[kind]))
        return decode(resource.type, answer.body)

    async def delete(
        self,
        resource: Resource[Any],
        name: str,
        namespace: str = "",
        *,
        grace: int | None = None,
        uid: str = "",
        revision: str = "",
        propagation: str = "",
        dry_run: bool = False,
    ) -> None:
        body = _delete_options(grace, propagation, uid=uid, revision=revision)
        query = (("dryRun", "All"),) if dry_run else ()
        await self._transport.call(Call("DELETE", resource.path(namespace, name), query, body))

    async def delete_collection(
        self,
        resource: Resource[Any],
        namespace: str = "",
        *,
        labels: str = "",
        fields: str = "",
        grace: int | None = None,
        propagation: str = "",
    ) -> None:
        query = selectors(Selection(namespace, labels, fields))
        await self._transport.call(Call("DELETE", resource.path(namespace), query, _delete_options(grace, propagation)))

    async def create_subresource(
        self, resource: Resource[Any], name: str, subresource: str, body: object, *, namespace: str = ""
    ) -> dict[str, Any]:
        path = resource.path(namespace or _metadata(body).namespace, name, subresource)
        answer = await self._transport.call(Call("POST", path, self._query(), encode(body)))
        tree: dict[str, Any] = msgspec.json.decode(answer.body)
        return tree

    async def raw(self, call: Call) -> Answer:
        return await self._transport.call(call)

    async def _write(
        self, resource: Resource[_Kind], method: Literal["POST", "PUT"], path: str, obj: _Kind, *, dry_run: bool = False
    ) -> _Kind:
        answer = await self._transport.call(Call(method, path, self._query(dry_run), encode(obj)))
        return decode(resource.type, answer.body)

    def _query(self, dry_run: bool = False) -> tuple[tuple[str, str], ...]:
        query: tuple[tuple[str, str], ...] = (("dryRun", "All"),) if dry_run else ()
        return (*query, ("fieldManager", self._manager)) if self._manager else query


async def list_whole(
    client: Client, resource: Resource[Any], selection: Selection, *, limit: int = PAGE, revision: str = ""
) -> tuple[Sequence[Encoded], int]:
    """Return all undecoded items and their revision.

    Where the listing's revision is compacted away between two pages, all is asked for at once, as client-go does.
    """
    page = await client.list_page(resource, selection, limit=limit, revision=revision)
    if not page.continue_token:
        return page.items, page.revision
    items = list(page.items)
    try:
        while page.continue_token:
            page = await client.list_page(resource, selection, limit=limit, continue_token=page.continue_token)
            items += page.items
    except StatusError as refusal:
        if not refusal.is_expired:
            raise
        page = await client.list_page(resource, selection)
        items = list(page.items)
    return items, page.revision


def selectors(selection: Selection) -> tuple[tuple[str, str], ...]:
    """Return the query parameters of a selection; the namespace stands in the path."""
    query: tuple[tuple[str, str], ...] = ()
    if selection.labels:
        query += (("labelSelector", selection.labels),)
    if selection.fields:
        query += (("fieldSelector", selection.fields),)
    return query


def _metadata(obj: object) -> Any:
    return obj.metadata  # type: ignore[attr-defined]  # every kind has it, and no base class says so


def _delete_options(grace: int | None, propagation: str, *, uid: str = "", revision: str = "") -> bytes:
    options: dict[str, Any] = {"kind": "DeleteOptions", "apiVersion": "v1"}
    if grace is not None:
        options["gracePeriodSeconds"] = grace
    if propagation:
        options["propagationPolicy"] = propagation
    preconditions = {name: value for name, value in (("uid", uid), ("resourceVersion", revision)) if value}
    if preconditions:
        options["preconditions"] = preconditions
    return encode(options)
