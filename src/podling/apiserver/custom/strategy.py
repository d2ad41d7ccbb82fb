"""What custom kinds do on a write: status kept apart where there is such a subresource, generations counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from podling.apiserver.kinds.strategy import Plain, keep

if TYPE_CHECKING:
    from podling.apiserver.record import Context

_Tree = dict[str, Any]


class CustomStrategy(Plain):
    """Unlike for built-in kinds, writers of the status change nothing of metadata."""

    def __init__(self, *, status: bool) -> None:
        super().__init__(status=status, generation=True)
        self._counted_apart = {"metadata", "apiVersion", "kind"} | ({"status"} if status else set())

    def prepare_update(self, tree: _Tree, old: _Tree, context: Context) -> None:
        super().prepare_update(tree, old, context)
        changed = any(tree.get(key) != old.get(key) for key in {**old, **tree} if key not in self._counted_apart)
        tree["metadata"]["generation"] = old["metadata"].get("generation", 1) + changed

    def prepare_subresource(self, subresource: str, tree: _Tree, old: _Tree, context: Context) -> None:  # noqa: ARG002
        for key in [key for key in {**old, **tree} if key != "status"]:
            keep(tree, old, key)
