"""The objects that a controller controls, and those of nobody that it might: found without looking at all of them.

Owns an index over one informer: by the uid of the controller, and for objects without one by each of their labels.
Owns the writes by which an object is adopted or released.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from podling.api.codec import to_tree
from podling.api.errors import StatusError
from podling.controllers.claims import claim
from podling.controllers.pods_of_templates import controller_reference

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from podling.api.encoded import Encoded
    from podling.api.resources import Resource
    from podling.api.selectors import Selector
    from podling.client.client import Client
    from podling.client.informer import Informer
    from podling.controllers.written import Written

_Kind = TypeVar("_Kind")

_INDEX: Final = "controller"


class ControllerReference(msgspec.Struct, frozen=True, rename="camel"):
    """What is needed of an owner reference to find the controller."""

    kind: str
    name: str
    uid: str
    controller: bool | None = None


class _Metadata(msgspec.Struct, frozen=True, rename="camel"):
    owner_references: tuple[ControllerReference, ...] = ()


class _Object(msgspec.Struct, frozen=True):
    metadata: _Metadata


_DECODER: Final = msgspec.json.Decoder(_Object)


def controller_seen(obj: Encoded) -> ControllerReference | None:
    """Return the reference to an object's controller, without its typed view."""
    if b'"controller":true' not in obj.raw:
        return None
    references = _DECODER.decode(obj.raw).metadata.owner_references
    return next((reference for reference in references if reference.controller), None)


def _places(obj: Encoded) -> Iterable[str]:
    held = controller_seen(obj)
    if held is not None:
        return (_controlled_by(held.uid, obj.namespace),)
    namespace = obj.namespace
    return (f"{namespace}/", *(f"{namespace}/{name}={value}" for name, value in obj.labels.items()))


def _controlled_by(uid: str, namespace: str) -> str:
    # A reference says nothing of namespaces, and anybody may write the uid of an owner in another one.
    return f"{uid}@{namespace}"


class Owned(Generic[_Kind]):
    """Over the informer of what is controlled, and what was written of it."""

    def __init__(self, informer: Informer[_Kind], written: Written[_Kind], finalizer: str = "") -> None:
        """`finalizer` comes and goes with the controller, for kinds that must see an end before it is forgotten."""
        self._informer = informer
        self._finalizer = finalizer
        self._written = written
        informer.add_index(_INDEX, _places)

    def of(self, uid: str, namespace: str) -> Sequence[_Kind]:
        """Return what the owner of this uid controls by now, in its own namespace: nowhere else is anything its own."""
        found = self._informer.indexed(_INDEX, _controlled_by(uid, namespace))
        return self._written.over(uid, [self._informer.view(seen) for seen in found])

    def orphans(self, namespace: str, selector: Selector) -> Sequence[_Kind]:
        """Return what nobody controls and a selector matches."""
        found = self._informer.indexed(_INDEX, f"{namespace}/{narrowest(selector)}")
        return [self._informer.view(seen) for seen in found if selector.matches(seen.labels)]

    async def settle(
        self,
        client: Client,
        kind: Resource[Any],
        owner: Any,
        selector: Selector,
        counts: Callable[[_Kind], bool] = lambda _: True,
    ) -> Sequence[_Kind]:
        """Adopt and release what is to be, and return what `owner`, an object of `kind`, controls then.

        What does not count (Pods that are over, for who keeps a number of them) is left as it is and out of this.
        """
        meta = owner.metadata
        mine = self.of(meta.uid, meta.namespace)
        held = {_uid(obj) for obj in mine}
        free = [obj for obj in self.orphans(meta.namespace, selector) if _uid(obj) not in held]
        claims = claim(owner, selector, filter(counts, [*mine, *free]))
        kept = list(claims.kept)
        for obj in claims.released:
            patch: dict[str, Any] = {"ownerReferences": [{"$patch": "delete", "uid": meta.uid}]}
            if self._finalizer:
                patch["$deleteFromPrimitiveList/finalizers"] = [self._finalizer]
            await self._write(client, meta.uid, obj, patch)
        if claims.adopted and await _still_stands(client, kind, owner):
            patch = {"ownerReferences": [to_tree(controller_reference(kind, owner))]}
            if self._finalizer:
                patch["finalizers"] = [self._finalizer]
            for obj in claims.adopted:
                done = await self._write(client, meta.uid, obj, patch)
                if done is not None:
                    kept.append(done)
        return kept

    async def _write(self, client: Client, group: str, obj: _Kind, metadata: dict[str, Any]) -> _Kind | None:
        meta: Any = obj.metadata  # type: ignore[attr-defined]  # every kind has it, and no base class says so
        patch = {"metadata": {"uid": meta.uid, **metadata}}
        resource = self._informer.resource
        try:
            done = await client.patch(resource, meta.name, patch, namespace=meta.namespace, kind="strategic")
        except StatusError as refusal:
            # Gone, or taken by another controller meanwhile: the watch will say.
            if refusal.is_not_found or refusal.is_invalid:
                return None
            raise
        self._written.put(group, done)
        return done


async def _still_stands(client: Client, kind: Resource[Any], owner: Any) -> bool:
    """Ask the server itself: an owner that was deleted meanwhile must not take anything with it."""
    meta = owner.metadata
    try:
        found = await client.get(kind, meta.name, meta.namespace)
    except StatusError as refusal:
        if refusal.is_not_found:
            return False
        raise
    return bool(found.metadata.uid == meta.uid and found.metadata.deletion_timestamp is None)


def narrowest(selector: Selector) -> str:
    """Return a label that everything selected has; empty where the selector names none."""
    for wanted in selector.requirements:
        value = selector.required_value(wanted.key)
        if value is not None:
            return f"{wanted.key}={value}"
    return ""


def _uid(obj: object) -> str:
    uid: str = obj.metadata.uid  # type: ignore[attr-defined]  # as above
    return uid
