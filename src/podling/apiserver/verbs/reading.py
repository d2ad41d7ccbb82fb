"""get and list: everything of the present from the cache, older revisions from the store.

Owns the meaning of resourceVersion, resourceVersionMatch, limit and continue. Invariant: a list and all its
continuations are as of one revision.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from podling.api.errors import StatusError, bad_request, expired, not_found
from podling.apiserver.options import PRESENT, Continue, ListOptions, read_continue, revision_of
from podling.store.protocol import Compacted, FutureRevision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from podling.api.encoded import Encoded
    from podling.apiserver.cache import Scope
    from podling.apiserver.record import Record
    from podling.apiserver.registry import Registry

_PATIENCE = 3.0
"""Seconds that a reader waits for a revision that has not happened yet, as upstream's cache does."""

_INCONSISTENT = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter, or use the continue token in this response to retrieve the remainder of the results. "
    "Continuing with the provided token results in an inconsistent list - objects that were created, modified, or "
    "deleted between the time the first chunk was returned and now may show up in the list."
)


@dataclass(frozen=True, slots=True)
class Listing:
    """A page of a list."""

    items: Sequence[Encoded]
    revision: int
    token: str = ""
    remaining: int | None = None


async def get(registry: Registry, record: Record, namespace: str, name: str, revision: str = "") -> Encoded:
    """Return one object as it is now; `revision` must have happened."""
    if revision:
        await at_least(registry, revision_of(revision))
    found = registry.shelf(record).get(record.key(namespace, name))
    if found is None:
        raise not_found(record.resource.group, record.resource.plural, name)
    return found


async def list_page(registry: Registry, record: Record, scope: Scope, options: ListOptions) -> Listing:
    """Return a page of the objects of a scope, in order."""
    shelf = registry.shelf(record)
    if options.continue_token:
        if options.revision and options.revision != "0":
            raise bad_request("specifying resource version is not allowed when using continue")
        where = read_continue(options.continue_token)
        after = shelf.prefix + where.start.removesuffix("\0")
        if where.revision == PRESENT:
            return _now(registry, record, scope, registry.cache.revision, after, options.limit)
        try:
            return await _at(registry, record, scope, where.revision, after, options.limit)
        except Compacted:
            raise StatusError(
                410, "Expired", _INCONSISTENT, metadata={"continue": Continue(PRESENT, where.start).token()}
            ) from None
    revision = revision_of(options.revision)
    if revision:
        exact = options.match == "Exact" or (options.limit and not options.match)
        await at_least(registry, revision)
        if exact:
            try:
                return await _at(registry, record, scope, revision, "", options.limit)
            except Compacted:
                raise expired("The resourceVersion for the provided list is too old.") from None
    return _now(registry, record, scope, registry.cache.revision, "", options.limit)


async def at_least(registry: Registry, revision: int) -> None:
    """Return once the cache is not older than `revision`; 504 if that does not come to pass soon."""
    if revision <= registry.cache.revision:
        return
    try:
        async with registry.clock.timeout(_PATIENCE):
            await registry.cache.reached(revision)
    except TimeoutError:
        raise _too_large(revision, registry.cache.revision) from None


def _too_large(revision: int, current: int) -> StatusError:
    cause = {"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}
    return StatusError(
        504,
        "Timeout",
        f"Timeout: Too large resource version: {revision}, current: {current}",
        details={"causes": [cause], "retryAfterSeconds": 1},
    )


def _now(registry: Registry, record: Record, scope: Scope, revision: int, after: str, limit: int) -> Listing:
    shelf = registry.shelf(record)
    if not limit:
        return Listing(list(shelf.select(scope, after)), revision)
    found = list(islice(shelf.select(scope, after), limit + 1))
    if len(found) <= limit:
        return Listing(found, revision)
    del found[limit:]
    last = record.key(found[-1].namespace, found[-1].name)
    remaining = shelf.count(scope.namespace, last) if scope.whole_range else None
    return Listing(found, revision, _token(record, revision, last), remaining)


async def _at(registry: Registry, record: Record, scope: Scope, revision: int, after: str, limit: int) -> Listing:
    """List as of a revision: from the cache where nothing has changed since, else from the store."""
    shelf = registry.shelf(record)
    if shelf.changed <= revision <= registry.cache.revision:
        return _now(registry, record, scope, revision, after, limit)
    prefix = f"{record.key_prefix}{scope.namespace}/" if scope.namespace else record.key_prefix
    test = scope.test()
    found: list[Encoded] = []
    while True:
        try:
            page = await registry.store.list(prefix, after=after, limit=limit, revision=revision)
        except FutureRevision as future:
            raise _too_large(revision, future.newest) from None
        for index, row in enumerate(page.rows):
            after = row.key
            encoded = record.shape.row(row)
            if test is None or test(encoded):
                found.append(encoded)
                if limit and len(found) == limit:
                    left = len(page.rows) - index - 1 + page.remaining
                    if not left:
                        return Listing(found, revision)
                    remaining = left if scope.whole_range else None
                    return Listing(found, revision, _token(record, revision, after), remaining)
        if not page.more:
            return Listing(found, revision)


def _token(record: Record, revision: int, last: str) -> str:
    return Continue(revision, last.removeprefix(record.key_prefix) + "\0").token()
