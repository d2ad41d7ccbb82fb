"""Owns what a table's columns and rows are made of, and the two columns that nearly every kind has.

Must not know any kind. Cells are JSON values; ages are counted from `now`, seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from podling.api.durations import human_duration
from podling.api.times import from_wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

NONE: Final = "<none>"
UNKNOWN: Final = "<unknown>"
UNSET: Final = "<unset>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column; those of `priority` 1 are shown by `-o wide` alone."""

    name: str
    description: str
    priority: int = 0
    type: str = "string"
    format: str = ""

    def to_tree(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description,
            "priority": self.priority,
        }


@dataclass(frozen=True, slots=True)
class Layout:
    """How a kind is shown: its columns, and the cells of one object's typed view."""

    columns: tuple[Column, ...]
    cells: Callable[[Any, float], list[Any]]
    conditions: Callable[[Any], list[dict[str, str]]] | None = None
    of_trees: bool = False
    """Whether cells are made of the object's plain tree, for kinds without a typed view."""


NAME: Final = Column(
    "Name",
    "Name must be unique within a namespace. Is required when creating resources, although some resources may allow a "
    "client to request the generation of an appropriate name automatically. Name is primarily intended for creation "
    "idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names",
    format="name",
)

_CREATED: Final = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)
AGE: Final = Column("Age", _CREATED)
CREATED_AT: Final = Column("Created At", _CREATED, type="date")


def age(time: str | None, now: float) -> str:
    """Return how long ago a time on the wire was."""
    return human_duration(now - from_wire(time)) if time else UNKNOWN


def first(words: Iterable[str], most: int = 3) -> str:
    """Return words joined by commas, beyond `most` only how many more there are."""
    every = list(words)
    shown = ",".join(every[:most])
    return f"{shown} + {len(every) - most} more..." if len(every) > most else shown
