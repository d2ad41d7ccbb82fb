"""Follows the CustomResourceDefinitions: gives them their names, serves what they define, and ends it with them.

What is served changes within the change of a definition, before any client hears of it: who sees a definition
Established finds its objects served. Names, conditions and the deletion of objects are written by `run`, a component
of the supervisor. Level: all definitions that have changed, and those that wait for the end of their objects.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

import msgspec

from podling.api.custom.resources import hides_built_in
from podling.api.errors import StatusError
from podling.api.resources import CUSTOM_RESOURCE_DEFINITIONS
from podling.apiserver.cache import CachedKind, Scope
from podling.apiserver.custom.naming import ESTABLISHED, NAMES_ACCEPTED, TERMINATING, is_true, plan, set_condition
from podling.apiserver.kinds.custom import CLEANUP
from podling.apiserver.objects import tree_of
from podling.apiserver.options import DeleteOptions
from podling.apiserver.paths import Target
from podling.apiserver.record import User
from podling.apiserver.verbs import deleting, updating
from podling.store.protocol import Mismatch

if TYPE_CHECKING:
    from podling.api.encoded import Encoded
    from podling.apiserver.cache import Notice
    from podling.apiserver.custom.records import Kind
    from podling.apiserver.registry import Registry

_Tree = dict[str, Any]

log = logging.getLogger("podling.apiserver.custom")

_USER: Final = User("system:apiserver", ("system:masters", "system:authenticated"))


class CustomKinds:
    """All kinds that users have brought."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._record = registry.record(CUSTOM_RESOURCE_DEFINITIONS)
        self._shelf = registry.shelf(self._record)
        self._kinds: dict[str, Kind] = {}
        self._groups: dict[str, dict[str, _Tree]] = {}
        """What is left to say of definitions as to names: their status, by group and name."""
        self._ended: dict[str, str] = {}
        """Definition → prefix of what it defined, until nothing is left there."""
        self._pending: dict[str, None] = {}
        self._changed = asyncio.Event()
        registry.cache.listen(self._record.key_prefix, self._note)

    def _note(self, notice: Notice) -> None:
        shown = notice.new or notice.old
        assert shown is not None
        before = None if notice.old is None else _tree(notice.old)
        after = None if notice.new is None else _tree(notice.new)
        if after is None or not _defines_alike(before, after):
            self._serve(shown.name, after)
        self._pending[shown.name] = None
        group = self._groups.setdefault(_group(shown.name), {})
        if after is None:
            group.pop(shown.name, None)
            if not group:
                del self._groups[_group(shown.name)]
            self._wake_waiting(shown.name)
        else:
            group[shown.name] = {"status": after.get("status") or {}}
        self._changed.set()

    def _wake_waiting(self, name: str) -> None:
        """Look again at who waits for names: those that one definition had may be free. Others keep what they have."""
        for other, seen in self._groups.get(_group(name), {}).items():
            if other != name and not is_true(seen["status"], NAMES_ACCEPTED):
                self._pending[other] = None

    def _serve(self, name: str, definition: _Tree | None) -> None:
        """Let what a definition says be served, and nothing of what it said before."""
        routes, cache = self._registry.routes, self._registry.cache
        before = self._kinds.pop(name, None)
        kind = None
        if definition is not None and is_true(definition.get("status") or {}, ESTABLISHED):
            kind = _kind_of(name, definition)
        if kind is not None and hides_built_in(*kind.named):
            log.error("%s is not served: a built-in kind has its name", name)
            kind = None
        if kind is not None:
            self._kinds[name] = kind
            resource, shape = kind.stored.resource, kind.stored.shape
            cache.serve(CachedKind(kind.prefix, shape, resource.namespaced, ""))
            cache.listen_once(kind.prefix, lambda notice: self._note_object(name, notice))
        elif before is not None:
            cache.retire(before.prefix)
            if definition is None:
                self._ended[name] = before.prefix
        if kind is not None or before is not None:
            routes.serve(kind.served if kind is not None else (), before.served if before is not None else ())

    def _note_object(self, name: str, notice: Notice) -> None:
        if notice.new is None and name in self._kinds:
            self._pending[name] = None
            self._changed.set()

    async def run(self) -> None:
        """Write for ever what has come to differ."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            while self._pending:
                name = next(iter(self._pending))
                del self._pending[name]
                await self._sync(name)

    async def _sync(self, name: str) -> None:
        current = self._shelf.get(self._record.key("", name))
        if current is None:
            await self._sweep(self._ended.pop(name, ""))
            return
        definition = _tree(current)
        try:
            if definition["metadata"].get("deletionTimestamp"):
                if CLEANUP in definition["metadata"].get("finalizers", ()):
                    await self._clean_up(name, definition)
                return
            if await self._write_status(name):
                self._wake_waiting(name)
        except StatusError as refusal:
            # It went, or somebody else wrote it: either is a change, after which it is looked at again.
            if not (refusal.is_not_found or refusal.is_conflict):
                raise

    async def _write_status(self, name: str) -> bool:
        """Write the status that a definition is to have; whether it had another one."""
        others = [seen for other, seen in self._groups.get(_group(name), {}).items() if other != name]
        now = self._registry.clock.time()
        current = self._shelf.get(self._record.key("", name))
        if current is None or plan(_tree(current), others, now) is None:
            return False

        def change(found: Encoded) -> _Tree:
            tree = tree_of(found)
            tree["status"] = plan(tree, others, now) or tree["status"]
            return tree

        await self._update(name, "status", change)
        return True

    async def _clean_up(self, name: str, definition: _Tree) -> None:
        """Delete all that a definition has defined, and let it go once nothing is left."""
        kind = self._kinds.get(name)
        if kind is not None:
            shelf = self._registry.shelf(kind.stored)
            for found in list(shelf.select(Scope())):
                if b'"deletionTimestamp"' in found.raw and "deletionTimestamp" in _tree(found)["metadata"]:
                    continue
                one = Target(kind.stored, found.namespace, found.name)
                try:
                    await deleting.delete(self._registry, one, _USER, DeleteOptions(), [])
                except StatusError as refusal:
                    if not refusal.is_not_found:
                        raise
            if len(shelf):
                said = "CustomResource deletion is in progress"
                await self._say_terminating(name, definition, "InstanceDeletionInProgress", said)
                return

        def release(found: Encoded) -> _Tree:
            tree = tree_of(found)
            tree["metadata"]["finalizers"] = [it for it in tree["metadata"].get("finalizers", ()) if it != CLEANUP]
            return tree

        await self._update(name, "", release)

    async def _sweep(self, prefix: str) -> None:
        """Delete what was created while its definition went, so that it does not come back with the next one."""
        for key, revision in self._registry.cache.unclaimed(prefix) if prefix else ():
            try:
                await self._registry.store.delete(key, expected=revision)
            except Mismatch:
                continue  # it is gone, or somebody else's by now

    async def _say_terminating(self, name: str, definition: _Tree, reason: str, message: str) -> None:
        standing = definition.get("status", {}).get("conditions", ())
        if any(it.get("type") == TERMINATING and it.get("reason") == reason for it in standing):
            return

        def change(found: Encoded) -> _Tree:
            tree = tree_of(found)
            set_condition(tree["status"], TERMINATING, "True", reason, message, self._registry.clock.time())
            return tree

        await self._update(name, "status", change)

    async def _update(self, name: str, subresource: str, change: Any) -> None:
        target = Target(self._record, "", name, subresource)
        await updating.apply_change(self._registry, target, _USER, change, [], dry_run=False)


def _kind_of(name: str, definition: _Tree) -> Kind | None:
    # What custom kinds need is loaded with the first of them.
    from podling.apiserver.custom.records import kind_of

    try:
        return kind_of(definition)
    except Exception:  # boundary: a definition that another server stored must not keep the cache from all others
        log.exception("%s cannot be read, and is not served", name)
        return None


def _defines_alike(before: _Tree | None, after: _Tree) -> bool:
    """Whether two states of a definition let the same be served."""
    return (
        before is not None
        and all(
            _of(before, *path) == _of(after, *path)
            for path in (("spec",), ("status", "acceptedNames"), ("metadata", "deletionTimestamp"))
        )
        and is_true(before.get("status") or {}, ESTABLISHED) == is_true(after.get("status") or {}, ESTABLISHED)
    )


def _group(name: str) -> str:
    """Return the group of a definition, whose name is its plural and that."""
    return name.partition(".")[2]


def _of(tree: Any, *path: str) -> Any:
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def _tree(encoded: Encoded) -> _Tree:
    return msgspec.json.decode(encoded.raw, type=_Tree)
