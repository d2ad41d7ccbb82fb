"""Who owns whom: owner references of all objects as a graph, and the rules of garbage. Pure.

Owns the graph and `plan`. Knows objects by where they are and by uid; an owner that nobody has seen is asked about by
the shell before it counts as absent.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

FOREGROUND: Final = "foregroundDeletion"
ORPHAN: Final = "orphan"


class ObjectKey(NamedTuple):
    """Where an object is."""

    api_version: str
    kind: str
    namespace: str
    name: str


class OwnerReference(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool | None = None
    block_owner_deletion: bool | None = None


class Metadata(msgspec.Struct, frozen=True, rename="camel"):
    """What garbage collection reads of an object of any kind."""

    uid: str = ""
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()
    deletion_timestamp: str | None = None

    def goes_with(self, finalizer: str) -> bool:
        """Whether the object is being deleted and waits for its dependents in this manner."""
        return self.deletion_timestamp is not None and finalizer in self.finalizers


class OwnerState(Enum):
    PRESENT = auto()
    WAITING = auto()
    """Being deleted in the foreground: it waits for its dependents to go."""
    ABSENT = auto()


@dataclass(frozen=True, slots=True)
class Collect:
    """Delete the dependent; nobody is left who wants it."""


@dataclass(frozen=True, slots=True)
class Detach:
    """Take these owners out of the dependent's references; others still want it."""

    uids: tuple[str, ...]


def plan(owners: Sequence[tuple[OwnerReference, OwnerState]]) -> Collect | Detach | None:
    """Say what becomes of a dependent: garbage once no owner is present, else only loosed from those that are not."""
    gone = tuple(reference.uid for reference, state in owners if state is not OwnerState.PRESENT)
    if not gone:
        return None
    return Collect() if len(gone) == len(owners) else Detach(gone)


class Graph:
    """Dependents by the uid of their owner."""

    def __init__(self) -> None:
        self._owners: dict[ObjectKey, tuple[OwnerReference, ...]] = {}
        self._dependents: dict[str, dict[ObjectKey, None]] = {}

    def set(self, key: ObjectKey, owners: tuple[OwnerReference, ...]) -> bool:
        """Take an object's references; whether they are other than before."""
        before = self._owners.get(key, ())
        if before == owners:
            return False
        for reference in before:
            dependents = self._dependents.get(reference.uid)
            if dependents is not None:
                dependents.pop(key, None)
                if not dependents:
                    del self._dependents[reference.uid]
        for reference in owners:
            self._dependents.setdefault(reference.uid, {})[key] = None
        if owners:
            self._owners[key] = owners
        else:
            self._owners.pop(key, None)
        return True

    def owners(self, key: ObjectKey) -> tuple[OwnerReference, ...]:
        return self._owners.get(key, ())

    def dependents(self, uid: str) -> list[ObjectKey]:
        """Return the objects that name `uid` as an owner."""
        return list(self._dependents.get(uid, ()))

    def holding_up(self, uid: str) -> list[ObjectKey]:
        """Return the dependents that block the foreground deletion of `uid`."""
        return [
            key
            for key in self.dependents(uid)
            if any(r.uid == uid and r.block_owner_deletion for r in self._owners[key])
        ]
