"""Where the subresource `scale` stands in an object: how many replicas it is to have and has, and whose they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from podling.api.encoded import Encoded


@dataclass(frozen=True, slots=True)
class Scaling:
    """The places of one kind; paths are those of fields."""

    selector: Callable[[Encoded], str]
    """By what an object selects its Pods, as text; empty where it says nothing."""
    wanted: tuple[str, ...] = ("spec", "replicas")
    is_required: bool = False
    """Whether an object that does not say how many it wants has no scale."""
    present: tuple[str, ...] = ("status", "replicas")


def found(tree: Any, path: tuple[str, ...]) -> Any:
    """Return what stands in a tree at a path, `None` for nothing."""
    for name in path:
        tree = tree.get(name) if isinstance(tree, dict) else None
    return tree


def put(tree: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    """Set what stands at a path."""
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = value
