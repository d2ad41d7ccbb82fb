"""Whose an object is, of those that a controller's selector matches. Pure.

Owns the rule that upstream has for every kind that controls others:

    nobody's, matched ───────▶ adopted, unless it or the owner is going
    mine, matched ───────────▶ kept
    mine, not matched ───────▶ released, unless the owner is going
    somebody else's ─────────▶ left alone, matched or not
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from podling.api.selectors import Selector
    from podling.api.types.meta_v1 import OwnerReference

_Kind = TypeVar("_Kind")


@dataclass(frozen=True, slots=True)
class Claims(Generic[_Kind]):
    """What a controller has, and what is to be written so that it has what it should."""

    kept: tuple[_Kind, ...]
    adopted: tuple[_Kind, ...]
    released: tuple[_Kind, ...]


def controller_of(obj: Any) -> OwnerReference | None:
    """Return the reference to the one owner that controls an object."""
    references: tuple[OwnerReference, ...] = obj.metadata.owner_references
    return next((reference for reference in references if reference.controller), None)


def claim(owner: Any, selector: Selector, objects: Iterable[_Kind]) -> Claims[_Kind]:
    """Sort objects of the owner's namespace by whether they are, or should be, the owner's."""
    going = owner.metadata.deletion_timestamp is not None
    kept: list[_Kind] = []
    adopted: list[_Kind] = []
    released: list[_Kind] = []
    for obj in objects:
        meta: Any = obj.metadata  # type: ignore[attr-defined]  # every kind has it, and no base class says so
        reference, matched = controller_of(obj), selector.matches(meta.labels)
        if reference is None:
            if matched and not going and meta.deletion_timestamp is None:
                adopted.append(obj)
        elif reference.uid == owner.metadata.uid:
            if matched:
                kept.append(obj)
            elif not going:
                released.append(obj)
    return Claims(tuple(kept), tuple(adopted), tuple(released))
