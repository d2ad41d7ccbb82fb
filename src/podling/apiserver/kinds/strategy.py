"""What most kinds do on a write, for the records to combine.

Owns `Plain`, the strategy of a kind without peculiarities: whether it has a status that callers of the main resource
may not set, and whether metadata.generation counts changes of its specification. What the kinds with rules of their
own add stands in their modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from podling.api.errors import Cause
    from podling.apiserver.record import Context


class Plain:
    """A kind that is stored as it comes."""

    def __init__(
        self, *, status: bool = False, generation: bool = False, blank: Mapping[str, Any] | None = None
    ) -> None:
        """`blank` is the status that a new object has, where it is printed without saying anything."""
        self._status = status
        self._blank = blank
        self._generation = generation

    def prepare_create(self, tree: dict[str, Any], context: Context) -> None:  # noqa: ARG002
        if self._status:
            tree.pop("status", None)
            if self._blank is not None:
                tree["status"] = dict(self._blank)
        if self._generation:
            tree["metadata"]["generation"] = 1

    def prepare_update(self, tree: dict[str, Any], old: dict[str, Any], context: Context) -> None:  # noqa: ARG002
        if self._status:
            keep(tree, old, "status")
        if self._generation:
            raise_generation(tree, old)

    def validate_create(self, tree: dict[str, Any], context: Context) -> Sequence[Cause]:  # noqa: ARG002
        return ()

    def validate_update(
        self,
        tree: dict[str, Any],  # noqa: ARG002
        old: dict[str, Any],  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> Sequence[Cause]:
        return ()

    def prepare_subresource(
        self,
        subresource: str,  # noqa: ARG002  # status is the only one that most kinds have
        tree: dict[str, Any],
        old: dict[str, Any],
        context: Context,  # noqa: ARG002
    ) -> None:
        for key in [key for key in {**old, **tree} if key not in {"status", "metadata", "kind", "apiVersion"}]:
            keep(tree, old, key)
        metadata, before = tree["metadata"], old["metadata"]
        for key in ("ownerReferences", "deletionTimestamp", "deletionGracePeriodSeconds", "generation"):
            keep(metadata, before, key)

    def validate_subresource(
        self,
        subresource: str,  # noqa: ARG002
        tree: dict[str, Any],  # noqa: ARG002
        old: dict[str, Any],  # noqa: ARG002
        context: Context,  # noqa: ARG002
    ) -> Sequence[Cause]:
        return ()

    def grace(self, tree: dict[str, Any], requested: int | None) -> int | None:  # noqa: ARG002
        return None

    def deleting(self, tree: dict[str, Any]) -> None:
        """Nothing but the metadata says so."""

    def held(self, tree: dict[str, Any]) -> bool:  # noqa: ARG002
        return False


def keep(tree: dict[str, Any], old: dict[str, Any], key: str) -> None:
    """Let a member be what it was."""
    if key in old:
        tree[key] = old[key]
    else:
        tree.pop(key, None)


def raise_generation(tree: dict[str, Any], old: dict[str, Any]) -> None:
    """Count a change of anything but metadata and status."""
    generation = old["metadata"].get("generation", 0)
    if any(
        tree.get(key) != old.get(key)
        for key in {**old, **tree}
        if key not in {"metadata", "status", "kind", "apiVersion"}
    ):
        generation += 1
    tree["metadata"]["generation"] = max(generation, 1)
